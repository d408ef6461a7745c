"""One generator per purpose, so that no draw depends on what was drawn before or on the order of threads."""

from zlib import crc32

import numpy as np


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return the generator of a purpose: the same seed and words give the same numbers, whatever else is
    drawn.
    """
    words = [crc32(str(word).encode()) for word in purpose]
    return np.random.default_rng([seed, *words])


def sample(field: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Return the field `(y, x)` at pixel coordinates `(n,)`, clamped to its edge."""
    rows = np.clip(np.asarray(row).astype(np.int64), 0, field.shape[0] - 1)
    columns = np.clip(np.asarray(column).astype(np.int64), 0, field.shape[1] - 1)
    return np.asarray(field[rows, columns])
