"""Clouds of known truth painted over clear ground: windows to learn from without any label.

The sky is more varied than that of the simulated regions: cumulus to overcast, cirrus, two layers, heights
from 300 m to 8 km, shadows light and dark, clouds bright and grey, with less effect at 1.6 and 2.2 um where
they are of ice.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from features.imagery.sun import fall
from features.smooth_field import smooth_field
from models.clouds.mask.scoring import truth_of

HEIGHTS_M = (300.0, 8000.0)
LONGWAVE = ("B11", "B12")
# what reaches shaded ground, relative to sunlit: the sky's own light is blue
DIFFUSE = {"B02": 0.6, "B03": 0.5, "B04": 0.45, "B08": 0.36, "B8A": 0.36, "B11": 0.3, "B12": 0.28}


@dataclass(frozen=True)
class Sky:
    """Opacity and brightness of cloud, and depth of its shadow, `(y, x)` in 0 to 1."""

    opacity: np.ndarray
    brightness: np.ndarray
    shade: np.ndarray
    ice: float  # share by which ice dims a cloud at 1.6 and 2.2 um


def draw_sky(shape: tuple[int, int], pixel_m: float, sun: np.ndarray, rng: np.random.Generator) -> Sky:
    """Draw one sky over a window `(y, x)`: clear, thin, broken or covered."""
    height = float(np.exp(rng.uniform(*np.log(HEIGHTS_M))))
    down, right = fall(sun, height, pixel_m)
    reach = int(min(max(abs(down), abs(right)), 3 * max(shape))) + 1
    large = (shape[0] + 2 * reach, shape[1] + 2 * reach)
    scale = float(np.exp(rng.uniform(np.log(150), np.log(6000)))) / pixel_m
    thick = _layer(smooth_field(large, scale, rng, slope=rng.uniform(1.4, 2.4)), rng.beta(0.8, 1.6), rng)
    if rng.random() < 0.2:
        thick *= 0
    if rng.random() < 0.5:
        thin = _layer(smooth_field(large, rng.uniform(60, 300), rng, slope=1.6), rng.beta(1, 1), rng, 1.6)
        thin *= rng.uniform(0.1, 0.6)
    else:
        thin = np.zeros(large, np.float32)
    opacity = 1 - (1 - thick) * (1 - thin)
    shift = np.clip((down, right), -reach + 1, reach - 1)
    thrown = ndimage.shift(opacity, shift, order=1, mode="nearest")
    here = (slice(reach, reach + shape[0]), slice(reach, reach + shape[1]))
    brightness = rng.uniform(0.4, 0.85) + rng.uniform(0, 0.15) * smooth_field(shape, 300 / pixel_m, rng, 1.0)
    shade = thrown[here] * (1 - opacity[here]) * rng.uniform(0.7, 1.0)
    return Sky(opacity[here], np.clip(brightness, 0.3, 1.1), np.clip(shade, 0, 1), float(rng.beta(1, 3)))


def _layer(
    field: np.ndarray, cover: float, rng: np.random.Generator, softness: float | None = None
) -> np.ndarray:
    soft = rng.uniform(0.1, 0.7) if softness is None else softness
    level = float(np.quantile(field[::3, ::3], 1 - np.clip(cover, 0.002, 0.999)))
    return np.clip((field - level) / soft, 0, 1).astype(np.float32) * np.float32(rng.uniform(0.75, 1.0))


def paint(ground: np.ndarray, bands: tuple[str, ...], sky: Sky) -> tuple[np.ndarray, np.ndarray]:
    """Return reflectance `(band, y, x)` of clear ground seen through a sky, and the true class `(y, x)`."""
    out = np.empty_like(ground)
    for k, band in enumerate(bands):
        lit = ground[k] * (1 - sky.shade * (1 - DIFFUSE.get(band, 0.4)))
        white = sky.brightness * (1 - (0.3 + 0.5 * sky.ice) * (band in LONGWAVE))
        veil = sky.opacity * (1 - 0.3 * sky.ice * (band in LONGWAVE))
        out[k] = lit + veil * (white - lit)
    return out, truth_of(sky.opacity, sky.shade)
