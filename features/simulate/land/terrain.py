"""Elevation and soil of the region, on the imagery's grid."""

from dataclasses import dataclass

import numpy as np

from features.simulate.randomness import generator
from features.smooth_field import smooth_field

# class: name, water the root zone holds (mm), brightness of the dry surface (factor on the library's soil)
SOILS = {
    1: ("sand", 95.0, 0.86),
    2: ("sandy loam", 140.0, 0.76),
    3: ("silt loam", 200.0, 0.66),
    4: ("clay", 175.0, 0.52),
}


@dataclass(frozen=True)
class Terrain:
    """Rasters (y, x): elevation in metres, soil class 1 to 4, and the fine pattern within soils (standard
    normal).
    """

    elevation: np.ndarray
    soil: np.ndarray
    pattern: np.ndarray


def make_terrain(shape: tuple[int, int], pixel: float, seed: int) -> Terrain:
    """Draw hills (20 to about 250 m, rising towards the north-east) and soils that follow them in part."""
    hills = smooth_field(shape, 2400 / pixel, generator(seed, "hills"), slope=2.2)
    ramp = np.linspace(1.2, -1.2, shape[0])[:, None] + np.linspace(-0.8, 0.8, shape[1])[None, :]
    height = 0.7 * hills + ramp
    elevation = 20 + 110 * np.log1p(np.exp(height))
    texture = smooth_field(shape, 1400 / pixel, generator(seed, "soil"), slope=1.6) + 0.5 * hills
    soil = 1 + np.digitize(texture, (-0.75, 0.1, 0.95)).astype(np.uint8)
    pattern = smooth_field(shape, 130 / pixel, generator(seed, "pattern"), slope=1.4)
    return Terrain(elevation.astype(np.float32), soil.astype(np.uint8), pattern)
