"""Fmask's rules for Sentinel-2, which has no thermal band.

Zhu, Wang and Woodcock (2015), "Improvement and expansion of the Fmask algorithm", and Qiu, Zhu and He (2019),
"Fmask 4.0": spectral tests; the chance of cloud over land from how clear pixels of the same scene look in the
haze-optimised transform; dark areas of near infrared and 1.6 um by filling; shadows matched to clouds by the
sun's direction over a range of heights. Their elevation model, cirrus band and view-angle parallax are not
used: L2A has no cirrus band.
"""

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from features.code.jit import njit
from features.imagery.sun import fall
from models.clouds.mask.classes import CLEAR, CLOUD, SHADOW
from models.clouds.mask.frames import FOR_SNOW, NEAR_INFRARED, Frames

LAND_OFFSET = 0.2  # of the dynamic threshold (Fmask 4.0: 20% for Sentinel-2)
SOFT = 0.1
HEIGHTS_M = np.arange(200.0, 12_000.0, 100.0)
SIMILAR = 0.3  # of a matched shadow (Zhu and Woodcock 2012)
SMALLEST = 9  # pixels of a cloud whose shadow is looked for
FILLED = 0.02  # reflectance by which filling must raise a dark area
MOST_PASSES = 30
CERTAINTY = 0.9


class FmaskMask:
    """Fmask; clouds and shadows, no class of thin cloud."""

    name = "fmask"
    margin_px = 64
    needs = (("B02",), ("B03",), ("B04",), NEAR_INFRARED, ("B11",), ("B12",))
    uses = FOR_SNOW

    def chances(self, frames: Frames) -> Iterator[np.ndarray]:
        """Yield each date's chances `(class, y, x)`, NaN where a band is unknown."""
        bands = [frames.band(*group) for group in self.needs]
        for number in range(len(frames)):
            yield _chances(np.stack([band[number] for band in bands]), frames.sun[number], frames.pixel_m)


def _chances(values: np.ndarray, sun: np.ndarray, pixel_m: float) -> np.ndarray:
    known = np.isfinite(values).all(axis=0)
    values = np.where(known, values, 0)
    cloud, water = cloud_chance(values, known)
    dark = potential_shadow(values[3], values[4], known)
    shadow = matched_shadows(cloud > 0.5, dark & ~water, sun, pixel_m)
    out = np.zeros((4, *known.shape), np.float32)
    out[CLOUD] = cloud
    out[SHADOW] = (1 - cloud) * np.where(shadow, CERTAINTY, (1 - CERTAINTY) / 2)
    out[CLEAR] = 1 - out[CLOUD] - out[SHADOW]
    out[:, ~known] = np.nan
    return out


def cloud_chance(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the chance of cloud, and which pixels are water, `(y, x)`.

    Parameters
    ----------
    values
        Reflectance `(band, y, x)`: blue, green, red, near infrared, 1.6 and 2.2 um.
    """
    blue, green, red, near, short, shorter = values
    ndvi, ndsi = _ratio(near, red), _ratio(green, short)
    mean = (blue + green + red) / 3
    whiteness = np.where(mean > 0, sum(abs(v - mean) for v in (blue, green, red)) / np.maximum(mean, 1e-6), 9)
    haze = blue - 0.5 * red - 0.08
    basic = (shorter > 0.03) & (ndsi < 0.8) & (ndvi < 0.8)
    candidate = basic & (whiteness < 0.7) & (haze > 0) & (near > 0.75 * short)
    water = ((ndvi < 0.01) & (near < 0.11)) | ((ndvi < 0.1) & (near < 0.05))
    clear_land = known & ~candidate & ~water
    spread = 1 - np.maximum(np.maximum(abs(_green(ndvi, near)), abs(ndsi)), whiteness)
    if clear_land.sum() < 0.001 * known.sum() or not clear_land.any():
        low, high, limit = -0.08, 0.0, LAND_OFFSET
    else:
        low, high = (float(q) for q in np.quantile(haze[clear_land], (0.175, 0.825)))
        bright = (haze - (low - 0.04)) / (high - low + 0.08)
        limit = float(np.quantile((bright * np.clip(spread, 0, 1))[clear_land], 0.825)) + LAND_OFFSET
    chance = (haze - (low - 0.04)) / (high - low + 0.08) * np.clip(spread, 0, 1)
    land = candidate & ~water & (chance > limit)
    over_water = candidate & water & (np.minimum(short, 0.11) / 0.11 > 0.5)
    certain = (chance > 0.99) & ~water & basic & (haze > 0)
    rise = 1 / (1 + np.exp(np.clip((limit - chance) / SOFT, -30, 30)))
    found = land | over_water | certain
    soft = np.where(candidate & ~water, np.minimum(rise, 0.49), 0.02)
    return np.where(found, np.maximum(rise, 0.55), soft).astype(np.float32), water


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    total = a + b
    return np.asarray(np.divide(a - b, total, out=np.zeros_like(total), where=total > 0))


def _green(ndvi: np.ndarray, near: np.ndarray) -> np.ndarray:
    """NDVI up to which a pixel with saturated red may be cloud."""
    return np.asarray(np.where((ndvi < 0) & (near > 0.4), 0, ndvi))


def potential_shadow(near: np.ndarray, short: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return dark areas in near infrared and 1.6 um, bool `(y, x)`: those that filling raises by 0.02."""
    if not known.any():
        return known
    raised = [fill(np.where(known, band, np.inf)) - band for band in (near, short)]
    return np.asarray((np.minimum(*raised) > FILLED) & known)


def fill(values: np.ndarray) -> np.ndarray:
    """Raise every basin of an image `(y, x)` to the lowest point of its rim; the border is taken at the
    17.5th percentile (Zhu and Woodcock 2012).

    Examples
    --------
    >>> fill(np.array([[5.0, 5, 5, 5], [5, 1, 5, 5], [5, 5, 5, 5]]))[1, 1]
    np.float64(5.0)
    """
    rim = float(np.quantile(values[np.isfinite(values)], 0.175)) if np.isfinite(values).any() else 0.0
    padded = np.pad(values.astype(np.float64), 1, constant_values=rim)
    out = np.full_like(padded, np.inf)
    out[0], out[-1], out[:, 0], out[:, -1] = padded[0], padded[-1], padded[:, 0], padded[:, -1]
    _flood(padded, out, MOST_PASSES)
    filled = out[1:-1, 1:-1]
    return np.asarray(np.where(np.isfinite(filled), filled, values))


@njit(cache=True, nogil=True)
def _flood(values: np.ndarray, out: np.ndarray, passes: int) -> None:
    height, width = values.shape
    for _ in range(passes):
        changed = False
        for turn in range(2):
            for i in range(1, height - 1):
                y = i if turn == 0 else height - 1 - i
                for j in range(1, width - 1):
                    x = j if turn == 0 else width - 1 - j
                    low = min(out[y - 1, x], out[y + 1, x], out[y, x - 1], out[y, x + 1])
                    low = max(low, values[y, x])
                    if low < out[y, x]:
                        out[y, x] = low
                        changed = True
        if not changed:
            return


def matched_shadows(cloud: np.ndarray, dark: np.ndarray, sun: np.ndarray, pixel_m: float) -> np.ndarray:
    """Return the shadows of clouds, bool `(y, x)`: each cloud thrown from the height at which it lies on most
    dark pixels, where these are at least 30% of the ground it falls on."""
    labels, count = ndimage.label(cloud, np.ones((3, 3)))
    out = np.zeros(cloud.shape, bool)
    height, width = cloud.shape
    shifts = np.unique([np.rint(fall(sun, h, pixel_m)).astype(int) for h in HEIGHTS_M], axis=0)
    for place, number in zip(ndimage.find_objects(labels), range(1, count + 1), strict=True):
        rows, columns = np.nonzero(labels[place] == number)
        if len(rows) < SMALLEST:
            continue
        rows, columns = rows + place[0].start, columns + place[1].start
        best, score = None, SIMILAR
        for down, right in shifts:
            y, x = rows + down, columns + right
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            y, x = y[inside], x[inside]
            outside = ~cloud[y, x]
            total = int(outside.sum())
            if total and dark[y, x][outside].sum() / total > score:
                best, score = (y, x), float(dark[y, x][outside].sum() / total)
        if best is not None:
            out[best] = True
    return np.asarray(out & ~cloud)
