"""Clouds, thin clouds and their shadows over a scene, and the scene classification that half sees them."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from features.imagery.sun import fall
from features.smooth_field import smooth_field

SPREAD = 3.4  # of cloud cover between scenes, in log-odds: most scenes are nearly clear or nearly covered
HEIGHTS_M = (700.0, 2400.0)  # of the layers that cast shadows


@dataclass(frozen=True)
class Sky:
    """What hangs between ground and sensor, (y, x) float32 in 0 to 1."""

    opacity: np.ndarray
    shade: np.ndarray
    brightness: np.ndarray

    def finer(self) -> "Sky":
        """Return the same sky on a grid of half the pixel size."""
        return Sky(*(_finer(part) for part in (self.opacity, self.shade, self.brightness)))


@dataclass(frozen=True)
class View:
    """Reflectance (y, x) as observed, clouds and all."""

    blue: np.ndarray
    red: np.ndarray
    nir: np.ndarray

    @property
    def greenness(self) -> np.ndarray:
        """Return the normalised difference of near infrared and red `(y, x)`; 0 where both are zero."""
        total = self.red + self.nir
        return np.asarray(np.divide(self.nir - self.red, total, out=np.zeros_like(total), where=total > 0))


def _finer(values: np.ndarray) -> np.ndarray:
    """Interpolate linearly between pixel centres to twice as many rows and columns."""
    for axis in (0, 1):
        padded = np.pad(values, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        before, here, after = (padded.take(np.arange(k, k + values.shape[axis]), axis) for k in range(3))
        pair = np.stack([0.25 * before + 0.75 * here, 0.75 * here + 0.25 * after], axis=axis + 1)
        values = pair.reshape([2 * n if a == axis else n for a, n in enumerate(values.shape)])
    return np.ascontiguousarray(values, np.float32)


def scene_cover(mean_cover: float, dullness: float, rng: np.random.Generator) -> float:
    """Draw a scene's cloud cover from the day's dullness (standard normal) and chance; the mean is
    `mean_cover`.
    """
    centre = np.log(max(mean_cover, 1e-3) / max(1 - mean_cover, 1e-3)) * np.sqrt(1 + np.pi * SPREAD**2 / 8)
    return float(1 / (1 + np.exp(-centre - SPREAD * (0.6 * dullness + 0.8 * rng.standard_normal()))))


def make_sky(
    shape: tuple[int, int],
    pixel: float,
    cover: float,
    sun: tuple[float, float],
    rng: np.random.Generator,
) -> Sky:
    """Draw the sky over a grid: an opaque layer with its shadow and a thin one.

    The shadow is displaced by the layer's height and the sun's zenith and azimuth, degrees.
    """
    down, right = fall(sun, rng.uniform(*HEIGHTS_M), pixel)
    margin = int(np.ceil(np.hypot(down, right))) + 1
    large = (shape[0] + 2 * margin, shape[1] + 2 * margin)
    part = rng.beta(4.0, 1.2)
    opaque_cover = cover * (part + (1 - part) * cover**2)
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


def classify_scene(
    sky: Sky, view: View, water: np.ndarray, pixel: float, rng: np.random.Generator
) -> np.ndarray:
    """Return scene classes, uint8 `(y, x)`, as Sen2Cor gives them, with its typical errors.

    Small clouds and cloud edges are missed, thin cloud is flagged in part, near half of the shadows are
    missed, bright dry soil and roofs pass for cloud, dark ground for shadow: Sen2Cor's agreement on clouds is
    about 0.6 to 0.7 (CloudSEN12; KappaMask's published comparison).
    """
    scl = _ground_classes(view, water)
    shape = water.shape
    doubt = smooth_field(shape, 260 / pixel, rng, slope=0.8)
    seen = ndimage.gaussian_filter(sky.opacity, 55 / pixel)
    scl[(sky.opacity > 0.08) & (doubt > 1.3) & ~water] = 7
    shadow = (sky.shade > 0.45) & (doubt + 0.35 * smooth_field(shape, 900 / pixel, rng) > -0.1)
    dark = (view.nir < 0.13) & (view.blue < 0.05) & (doubt > 1.1)
    scl[shadow | dark] = 3
    scl[(seen > 0.12) & (sky.opacity < 0.55) & (doubt > -0.25)] = 10
    bright = (view.blue > 0.145) & (doubt > 0.9) & (view.greenness < 0.3)
    scl[((seen > 0.5) & (view.blue > 0.13)) | bright] = 8
    scl[(seen > 0.72) & (view.blue > 0.3)] = 9
    return scl


def _ground_classes(view: View, water: np.ndarray) -> np.ndarray:
    """Return vegetation (4), bare (5), dark (2) and water (6)."""
    scl = np.where(view.greenness > 0.38, 4, 5).astype(np.uint8)
    scl[view.nir < 0.11] = 2
    scl[water] = 6
    return scl
