"""Importing large libraries: quicker without Python's collections."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Import libraries without Python's collections, which find nothing there and take up to a fifth of the
    time; what was imported is left out of later ones.
    """
    before, collected = len(sys.modules), gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()
        if len(sys.modules) > before:
            gc.freeze()
