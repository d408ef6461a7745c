"""Random fields that are smooth in space: hills, soils, clouds."""

from functools import lru_cache

import numpy as np
from scipy import fft


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
    noise *= _gain(rows, columns, scale, slope)
    field = fft.irfft2(noise, s=(rows, columns))[: shape[0], : shape[1]]
    return np.asarray(((field - field.mean()) / max(float(field.std()), 1e-9)).astype(np.float32))


@lru_cache(maxsize=6)
def _gain(rows: int, columns: int, scale: float, slope: float) -> np.ndarray:
    """Return the factor on each frequency, float32; a scene asks for those of the scene before."""
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :]) * scale
    gain = (1 + frequency**2) ** (-0.5 * (slope + 1)) if slope else np.exp(-2 * frequency**2)
    gain[0, 0] = 0
    return np.asarray(gain, np.float32)
