"""Clouds, thin clouds and their shadows over a scene, and the scene classification that half sees them."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from features.simulate.randomness import smooth_field

SPREAD = 3.4  # of cloud cover between scenes, in log-odds: most scenes are nearly clear or nearly covered
HEIGHTS_M = (700.0, 2400.0)  # of the layers that cast shadows


@dataclass(frozen=True)
class Sky:
    """What hangs between ground and sensor, (y, x) float32 in 0 to 1."""

    opacity: np.ndarray
    shade: np.ndarray
    brightness: np.ndarray


def scene_cover(mean_cover: float, dullness: float, rng: np.random.Generator) -> float:
    """Draw a scene's cloud cover from the day's dullness (standard normal) and chance; the mean is `mean_cover`."""
    centre = np.log(max(mean_cover, 1e-3) / max(1 - mean_cover, 1e-3)) * np.sqrt(1 + np.pi * SPREAD**2 / 8)
    return float(1 / (1 + np.exp(-centre - SPREAD * (0.6 * dullness + 0.8 * rng.standard_normal()))))


def make_sky(
    shape: tuple[int, int],
    pixel: float,
    cover: float,
    sun_zenith: float,
    sun_azimuth: float,
    rng: np.random.Generator,
) -> Sky:
    """Draw the sky over a grid: an opaque layer with its shadow, displaced by height and sun, and a thin one."""
    height = rng.uniform(*HEIGHTS_M)
    throw = height * np.tan(np.radians(sun_zenith)) / pixel
    down, right = throw * np.cos(np.radians(sun_azimuth)), -throw * np.sin(np.radians(sun_azimuth))
    margin = int(np.ceil(throw)) + 1
    large = (shape[0] + 2 * margin, shape[1] + 2 * margin)
    opaque_cover = cover * rng.beta(4.0, 1.2)
    scale = np.exp(rng.uniform(np.log(500), np.log(6000))) / pixel
    layer = _layer(smooth_field(large, scale, rng, slope=1.9), opaque_cover, 0.22)
    here = (slice(margin, margin + shape[0]), slice(margin, margin + shape[1]))
    cast = ndimage.shift(layer, (down, right), order=1, mode="nearest")[here]
    thin = _layer(smooth_field(shape, 3500 / pixel, rng, slope=1.6), max(cover - opaque_cover, 0.0), 1.4)
    thin = thin * rng.uniform(0.12, 0.5)
    opacity = 1 - (1 - layer[here]) * (1 - thin)
    brightness = 0.62 + 0.12 * smooth_field(shape, 300 / pixel, rng, slope=1.0)
    shade = cast * (1 - layer[here]) * 0.95
    return Sky(opacity.astype(np.float32), shade.astype(np.float32), np.clip(brightness, 0.3, 1.0))


def _layer(field: np.ndarray, cover: float, softness: float) -> np.ndarray:
    """Return opacity where a field exceeds the level that leaves `cover` of it above; soft at the edge."""
    if cover < 0.002:
        return np.zeros_like(field)
    level = float(np.quantile(field[::4, ::4], 1 - min(cover, 0.9995)))
    return np.clip((field - level) / softness + 0.15, 0, 1) * (field > level - 0.15 * softness)


def classify_scene(sky: Sky, red: np.ndarray, nir: np.ndarray, blue: np.ndarray, water: np.ndarray, pixel: float, rng: np.random.Generator) -> np.ndarray:  # fmt: skip
    """Return scene classes (uint8) of a grid as Sen2Cor gives them, its mistakes included.

    Small clouds and cloud edges are missed, thin cloud is flagged in part, near half of the shadows are missed,
    bright dry soil and roofs pass for cloud, dark ground for shadow: Sen2Cor's agreement on clouds is about
    0.6 to 0.7 (CloudSEN12; KappaMask's published comparison).

    Parameters
    ----------
    red, nir, blue
        Reflectance as observed, clouds and all.
    """
    total = red + nir
    greenness = np.divide(nir - red, total, out=np.zeros_like(total), where=total > 0)
    scl = np.where(greenness > 0.38, 4, 5).astype(np.uint8)
    scl[(nir < 0.11) & ~water] = 2
    scl[water] = 6
    doubt = smooth_field(red.shape, 260 / pixel, rng, slope=0.8)
    seen = ndimage.gaussian_filter(sky.opacity, 55 / pixel)
    scl[(sky.opacity > 0.08) & (doubt > 1.3) & (scl != 6)] = 7
    thin = (seen > 0.12) & (sky.opacity < 0.55) & (doubt > -0.25)
    shadow = (sky.shade > 0.45) & (doubt + 0.35 * smooth_field(red.shape, 900 / pixel, rng) > -0.1)
    dark = (nir < 0.13) & (blue < 0.05) & (doubt > 1.1)
    scl[shadow | dark] = 3
    scl[thin] = 10
    cloud = (seen > 0.5) & (blue > 0.13)
    bright = (blue > 0.145) & (doubt > 0.9) & (greenness < 0.3)
    scl[cloud | bright] = 8
    scl[(seen > 0.72) & (blue > 0.3)] = 9
    return scl
