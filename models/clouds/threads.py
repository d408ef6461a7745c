"""How many processors compiled loops take: all for a tile, one for windows so small that waking others costs
more than they do."""

from collections.abc import Iterator
from contextlib import contextmanager

import numba


@contextmanager
def one_processor() -> Iterator[None]:
    """Let this thread's compiled loops run on one processor; a context, or a decorator."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)
