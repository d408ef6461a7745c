"""Keras brought up once: its threads, repeatable operations, and no C++ chatter of missing accelerators."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from features.code.imports import uncollected

ALIGNED = 64  # bytes, at a multiple of which an array must begin for TensorFlow to read it where it is


@lru_cache(maxsize=1)
def bring_up() -> None:
    """Import Keras with one thread an operation and repeatable operations, and touch its device.

    Fits run beside each other, one thread each: small operations gain nothing from more, and a result cannot
    then depend on how many there are. Where TensorFlow is already running, it keeps the threads it has. What
    C++ prints is dropped, but shown where the import fails.
    """
    with _muted(), uncollected():
        import keras

        if keras.backend.backend() == "tensorflow":
            _steady()
        keras.ops.zeros(1)


def lent(array: np.ndarray) -> Any:
    """Return an array as a tensor that reads it where it lies, for a call that ends before it is written to.

    Keras copies every array that it is given. An array that TensorFlow cannot read so is returned as it is.
    """
    import keras

    fit = array.ctypes.data % ALIGNED == 0 and array.flags.c_contiguous and array.flags.writeable
    if keras.backend.backend() != "tensorflow" or not fit:
        return array
    import tensorflow

    return tensorflow.experimental.dlpack.from_dlpack(array.__dlpack__())


def _steady() -> None:
    import tensorflow

    try:
        tensorflow.config.threading.set_intra_op_parallelism_threads(1)
        tensorflow.config.threading.set_inter_op_parallelism_threads(2)
    except RuntimeError:
        return
    finally:
        tensorflow.config.experimental.enable_op_determinism()


@contextmanager
def _muted() -> Iterator[None]:
    """Hold file descriptor 2 back: C++ writes to it past Python's `sys.stderr`."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except BaseException:
            aside.seek(0)
            os.write(kept, aside.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
