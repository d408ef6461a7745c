"""TensorFlow brought up once, without what its C++ prints of the machine's missing accelerators."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


def bring_up() -> None:
    """Import Keras and touch its device; the C++ chatter is dropped, but shown where the import fails."""
    with _muted():
        import keras

        keras.ops.zeros(1)


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
