"""One generator per purpose, so that no draw depends on what was drawn before or on the order of threads."""

from zlib import crc32

import numpy as np
from scipy import fft


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return the generator of a purpose: the same seed and words give the same numbers, whatever else is
    drawn.
    """
    words = [crc32(str(word).encode()) for word in purpose]
    return np.random.default_rng([seed, *words])


def smooth_field(
    shape: tuple[int, int], scale: float, rng: np.random.Generator, slope: float = 0.0
) -> np.ndarray:
    """Return a spatially correlated standard normal field `(y, x)`, float32.

    Parameters
    ----------
    scale
        Correlation length in pixels: structure finer than this is damped.
    slope
        With 0 the field is Gaussian-smooth at `scale`; with 1 to 3 it has a power-law spectrum with
        outer scale `scale`, rough at every finer scale, as clouds and soils are.
    """
    rows, columns = (fft.next_fast_len(n + int(2 * scale), real=True) for n in shape)
    noise = fft.rfft2(rng.standard_normal((rows, columns), dtype=np.float32))
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :]) * scale
    gain = (1 + frequency**2) ** (-0.5 * (slope + 1)) if slope else np.exp(-2 * frequency**2)
    gain[0, 0] = 0
    field = fft.irfft2(noise * gain.astype(np.float32), s=(rows, columns))[: shape[0], : shape[1]]
    return np.asarray(((field - field.mean()) / max(float(field.std()), 1e-9)).astype(np.float32))


def sample(field: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Return the field `(y, x)` at pixel coordinates `(n,)`, clamped to its edge."""
    rows = np.clip(np.asarray(row).astype(np.int64), 0, field.shape[0] - 1)
    columns = np.clip(np.asarray(column).astype(np.int64), 0, field.shape[1] - 1)
    return np.asarray(field[rows, columns])
