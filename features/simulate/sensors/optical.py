"""A Sentinel-2 scene: field states to reflectance, pixels, sky and digital numbers."""

from dataclasses import dataclass

import numpy as np

from features.code.jit import njit
from features.schema import OPTICAL_BANDS
from features.simulate.land.states import States
from features.simulate.sensors.canopy import STRAW, canopy_reflectance, soil_reflectance
from features.simulate.sensors.clouds import Sky
from features.simulate.sensors.mixing import Mixture

FINE_BANDS = ("B02", "B03", "B04", "B08")  # 10 m; the others are 20 m, written on the 10 m grid
VIGOUR_STEP, SOIL_STEP = (
    0.16,
    0.1,
)  # one standard deviation within a field, of leaf area and of soil brightness
# what reaches a shaded ground relative to a sunlit one: diffuse light is blue
SHADE = np.array([0.62, 0.52, 0.45, 0.43, 0.40, 0.38, 0.37, 0.36, 0.30, 0.28], np.float32)
CLOUD = np.array([1.0, 0.98, 0.98, 0.98, 0.97, 0.96, 0.96, 0.95, 0.62, 0.48], np.float32)
# uncertainty of the atmospheric correction, a scene's common error: largest in the blue
HAZE = np.array([0.008, 0.006, 0.005, 0.005, 0.004, 0.004, 0.004, 0.004, 0.003, 0.003], np.float32)
BUILT = np.array([0.10, 0.12, 0.14, 0.15, 0.18, 0.20, 0.21, 0.22, 0.24, 0.21], np.float32)
DEAD = STRAW * np.float32(0.85)  # upright stalks shade each other
WATER = np.array([0.035, 0.04, 0.03, 0.025, 0.02, 0.018, 0.015, 0.013, 0.008, 0.006], np.float32)


@dataclass(frozen=True)
class Palette:
    """Reflectance (label, band) of every label on a date, and its change with vigour and with soil
    brightness.
    """

    base: np.ndarray
    by_vigour: np.ndarray
    by_soil: np.ndarray


def field_palette(
    states: States, day: int, brightness: np.ndarray, wetness: float, sun_zenith: float
) -> Palette:
    """Return the reflectance of every field, `(field, band)`, on a day of year (0 is 1 January)."""
    look, wet = _look(states, day), np.full(len(brightness), wetness, np.float32)
    base = _field_reflectance(look, brightness, wet, sun_zenith)
    denser = look | {
        "leaf_area": look["leaf_area"] * (1 + VIGOUR_STEP),
        "gap": look["gap"] * (1 - VIGOUR_STEP),
    }
    lighter = brightness * (1 + SOIL_STEP)
    return Palette(
        base,
        _field_reflectance(denser, brightness, wet, sun_zenith) - base,
        _field_reflectance(look, lighter, np.clip(wet - 0.05, 0, 1), sun_zenith) - base,
    )


def field_reflectance(
    states: States, day: int, brightness: np.ndarray, wetness: float, sun_zenith: float
) -> np.ndarray:
    """Return the `base (field, band)` of `field_palette` alone."""
    wet = np.full(len(brightness), wetness, np.float32)
    return _field_reflectance(_look(states, day), brightness, wet, sun_zenith)


def _look(states: States, day: int) -> dict[str, np.ndarray]:
    """Return what light meets on every field (field,) on a day, by name."""
    names = (
        "leaf_area", "chlorophyll", "senescence", "leaf_angle", "petals", "straw", "gap", "standing_dead",
    )  # fmt: skip
    return {name: getattr(states, name)[:, day] for name in names}


def _field_reflectance(
    look: dict[str, np.ndarray], brightness: np.ndarray, wet: np.ndarray, sun_zenith: float
) -> np.ndarray:
    """Return the reflectance (field, band) of canopy, dead stalks and the ground between them."""
    soil = soil_reflectance(brightness, wet, look["straw"])
    names = ("leaf_area", "chlorophyll", "senescence", "leaf_angle", "petals")
    green = canopy_reflectance(**{name: look[name] for name in names}, sun_zenith=sun_zenith, soil=soil)
    dead, gap = look["standing_dead"][:, None], look["gap"][:, None]
    return np.asarray((1 - gap) * ((1 - dead) * green + dead * DEAD) + gap * soil, np.float32)


def cover_palette(kinds: list[str], day: int, wetness: float, sun_zenith: float) -> Palette:
    """Return the reflectance of unfarmed land, by kind: forest (in leaf from May), built, water, verge."""
    leafy = 1 / (1 + np.exp(-(day - 118) / 7)) / (1 + np.exp((day - 298) / 8))
    growth = 1 / (1 + np.exp(-(day - 95) / 12))
    states = np.array(
        [[1.6 + 3.2 * leafy, 42, 0.12 + 0.1 * (1 - leafy), 45], [0.9 + 1.1 * growth, 36, 0.25, 50]],
        np.float32,
    )
    soil = soil_reflectance(np.array([0.5, 0.7]), np.full(2, wetness), np.array([0.5, 0.4]))
    names = ("leaf_area", "chlorophyll", "senescence", "leaf_angle")
    look = dict(zip(names, states.T, strict=True))
    plants = canopy_reflectance(**look, sun_zenith=sun_zenith, soil=soil, petals=np.zeros(2, np.float32))
    forest = plants[0] * np.float32(0.72)  # crowns shade each other
    known = {"forest": forest, "built": BUILT, "water": WATER, "verge": 0.75 * plants[1] + 0.25 * BUILT}
    base = np.stack([known[kind] for kind in kinds]).astype(np.float32)
    return Palette(base, base * np.float32(0.06), base * np.float32(0.05))


def stack_palettes(*palettes: Palette) -> Palette:
    """Return one palette whose labels follow each other."""
    parts = [(p.base, p.by_vigour, p.by_soil) for p in palettes]
    return Palette(*(np.ascontiguousarray(np.concatenate(column)) for column in zip(*parts, strict=True)))


def surface(
    mixture: Mixture, palette: Palette, vigour: np.ndarray, pattern: np.ndarray, bands: list[int]
) -> np.ndarray:
    """Return the reflectance of the ground (band, y, x), float32."""
    colours = (palette.base[:, bands], palette.by_vigour[:, bands], palette.by_soil[:, bands])
    mixed: np.ndarray = _mix(mixture.label, mixture.share, *colours, vigour, pattern)
    return mixed


@njit(cache=True, nogil=True)
def _mix(
    label: np.ndarray,
    share: np.ndarray,
    base: np.ndarray,
    by_vigour: np.ndarray,
    by_soil: np.ndarray,
    vigour: np.ndarray,
    pattern: np.ndarray,
) -> np.ndarray:
    rows, columns, slots = label.shape
    bands = base.shape[1]
    out = np.empty((bands, rows, columns), np.float32)
    for row in range(rows):
        for column in range(columns):
            for band in range(bands):
                out[band, row, column] = 0.0
            for slot in range(slots):
                part = share[row, column, slot]
                if part > 0:
                    which = label[row, column, slot]
                    for band in range(bands):
                        out[band, row, column] += part * (
                            base[which, band]
                            + vigour[row, column] * by_vigour[which, band]
                            + pattern[row, column] * by_soil[which, band]
                        )
    return out


def observe(ground: np.ndarray, sky: Sky, bands: list[int], haze: float, stream: int) -> np.ndarray:
    """Return reflectance as the product has it: shaded, veiled, hazy and noisy (band, y, x).

    Noise: 0.0015 plus 1.2% of the signal (signal-to-noise ratios of the MSI instrument, with resampling).
    """
    light = (SHADE[bands], CLOUD[bands], HAZE[bands] * np.float32(haze))
    seen: np.ndarray = _observe(ground, sky.opacity, sky.shade, sky.brightness, *light, np.uint64(stream))
    return seen


@njit(cache=True, nogil=True)
def _observe(
    ground: np.ndarray,
    opacity: np.ndarray,
    shade: np.ndarray,
    brightness: np.ndarray,
    dimming: np.ndarray,
    whiteness: np.ndarray,
    haze: np.ndarray,
    stream: np.uint64,
) -> np.ndarray:
    bands, rows, columns = ground.shape
    out = np.empty_like(ground)
    for band in range(bands):
        for row in range(rows):
            for column in range(columns):
                value = (
                    ground[band, row, column] * (1 - shade[row, column] * (1 - dimming[band])) + haze[band]
                )
                veil = opacity[row, column]
                value += veil * (whiteness[band] * brightness[row, column] - value)
                bits = _scramble(stream + np.uint64((band * rows + row) * columns + column))
                total = (bits & np.uint64(0xFFFF)) + ((bits >> np.uint64(16)) & np.uint64(0xFFFF))
                total += ((bits >> np.uint64(32)) & np.uint64(0xFFFF)) + (bits >> np.uint64(48))
                noise = (np.float32(total) / np.float32(65536.0) - np.float32(2.0)) * np.float32(1.7320508)
                out[band, row, column] = value + noise * (np.float32(0.0015) + np.float32(0.012) * value)
    return out


@njit(cache=True, nogil=True, inline="always")
def _scramble(x: np.uint64) -> np.uint64:
    """One random 64-bit word per counter (splitmix64: Steele, Lea and Flood 2014)."""
    x = x * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def digital_numbers(reflectance: np.ndarray, offset: int) -> np.ndarray:
    """Return digital numbers, uint16 and of the shape of `reflectance`: reflectance x 10000 + offset; 0 is
    reserved for nodata.
    """
    return np.asarray(np.clip(np.rint(reflectance * 10000 + offset), 1, 65535).astype(np.uint16))


def band_indices(names: tuple[str, ...]) -> list[int]:
    """Return positions in OPTICAL_BANDS."""
    return [OPTICAL_BANDS.index(name) for name in names]
