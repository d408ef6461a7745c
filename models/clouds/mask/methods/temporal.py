"""Each date against the clear state of the same pixel on the dates around it.

Cloud brightens the blue more than half as much as the red; bare soil, stubble and straw brighten the red
about twice as much as the blue, so that blue less half of the red tells them apart (the haze-optimised
transform, Zhang et al. 2002). A cloud's shadow darkens near infrared and 1.6 um together, which harvest,
mowing and senescence do not, and lies where the sun throws it off a cloud. Both must differ from the clear
dates before and after; in season only from those before. The comparison in time follows Hagolle et al.
(2010), where each date is compared with the last clear one.
"""

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from features.imagery.masks import grown
from features.imagery.sun import fall
from features.workers import one_ahead, pool_of
from models.clouds.mask.classes import CLEAR, CLOUD, SHADOW, THIN, from_scene_class
from models.clouds.mask.frames import FOR_SNOW, NEAR_INFRARED, Frames, one_hot
from models.clouds.mask.methods.scene_class import CERTAINTY
from models.clouds.mask.methods.temporal_kernels import compare, throw

VISIBLE = ("B02", "B04", "B03", "B05")  # the blue tells best; the next that is there stands in for it
ROUNDS = 3
THREADS = 2
THIN_FROM, THIN_SOFT = 0.085, 0.02  # opacity at which a pixel is more likely thin cloud than clear
CLOUD_FROM, CLOUD_SOFT = 0.5, 0.06
CASTING = 0.3  # opacity that throws a shadow
HEIGHTS_M = (200.0, 10_000.0)
# depth at which shadow is likelier than clear: below a cloud whose shadow fits, below some cloud, elsewhere
MATCHED, POSSIBLE, UNLIKELY = 0.16, 0.3, 0.55
DEPTH_SOFT = 0.04
FITS = 0.35  # share of the thrown cloud that must be dark for its height to be believed
DARK = 0.15
LEAST_THROWN = 12  # pixels of ground under a thrown cloud, to judge its height
REACH = 2  # pixels by which a thrown cloud is widened


class TemporalMask:
    """Comparison in time.

    Attributes
    ----------
    back
        Compare with earlier dates only, as on the day itself.
    """

    name = "temporal"
    margin_px = 48
    needs = (VISIBLE, NEAR_INFRARED)
    uses = (*FOR_SNOW, "B04")

    def __init__(self, back: bool = False) -> None:
        self.back = back

    def chances(self, frames: Frames) -> Iterator[np.ndarray]:
        """Yield each date's chances `(class, y, x)`.

        A pixel without any clear date to compare with has the chances of its delivered scene class, or is
        unknown where there is none.
        """
        opacity, depth = self.differences(frames)

        def one(number: int) -> np.ndarray:
            out = chances_of(opacity[number], depth[number], frames.sun[number], frames.pixel_m)
            alone = np.isnan(opacity[number])
            if frames.scene_class is not None and alone.any():
                classes = from_scene_class(frames.scene_class[number])
                out[:, alone] = one_hot(classes, CERTAINTY)[:, alone]
            return out

        yield from one_ahead(pool_of(THREADS), one, range(len(frames)))

    def differences(self, frames: Frames) -> tuple[np.ndarray, np.ndarray]:
        """Return opacity of cloud and depth of shadow, `(time, y, x)` float32; NaN without a reference."""
        longwave, blue = frames.has("B11"), frames.has("B02")
        bands = [frames.band(*VISIBLE), frames.band("B04", *VISIBLE), frames.band(*NEAR_INFRARED)]
        bands += [frames.band("B11")] if longwave else []
        opacity = np.empty((len(frames), *frames.shape), np.float32)
        depth = np.empty_like(opacity)
        days = frames.days

        def one(row: int) -> None:
            values = np.empty((frames.shape[1], len(frames), len(bands)), np.float32)
            for k, band in enumerate(bands):
                values[:, :, k] = band[:, row].T
            compare(values, days, self.back, longwave, blue, ROUNDS, opacity[:, row], depth[:, row])

        list(pool_of(THREADS).map(one, range(frames.shape[0])))
        return opacity, depth


def chances_of(opacity: np.ndarray, depth: np.ndarray, sun: np.ndarray, pixel_m: float) -> np.ndarray:
    """Return the chances `(class, y, x)` of one date from opacity and depth of shadow, NaN where unknown."""
    veil, dark = smooth(opacity), smooth(depth)
    cloudy, plain = _rise(veil, THIN_FROM, THIN_SOFT), _rise(-veil, -THIN_FROM, THIN_SOFT)
    opaque = _rise(veil, CLOUD_FROM, CLOUD_SOFT)
    limits = shadow_limits(veil, dark, sun, pixel_m)
    out = np.empty((4, *opacity.shape), np.float32)
    out[CLOUD], out[THIN] = opaque, np.maximum(cloudy - opaque, 0)
    out[SHADOW] = plain * _rise(dark, limits, DEPTH_SOFT)
    out[CLEAR] = plain * _rise(-dark, -limits, DEPTH_SOFT)  # not one less the others: it ranks the worst, too
    out[:, np.isnan(opacity)] = np.nan
    return out


def smooth(values: np.ndarray) -> np.ndarray:
    """Return the mean of the known among 3 x 3 pixels `(…, y, x)`, weighted to the middle; 0 where nothing
    is known.
    """
    known = np.isfinite(values)
    if known.all():
        return _blurred(values)
    total, weight = _blurred(np.where(known, values, 0)), _blurred(known)
    return np.asarray(np.divide(total, weight, out=np.zeros_like(total), where=weight > 0.01))


def _blurred(values: np.ndarray) -> np.ndarray:
    kernel = np.array([0.25, 0.5, 0.25], np.float32)
    down = ndimage.correlate1d(values.astype(np.float32), kernel, 0, mode="nearest")
    return np.asarray(ndimage.correlate1d(down, kernel, 1, mode="nearest"))


def _rise(value: np.ndarray, at: np.ndarray | float, soft: float) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(np.clip((at - value) / soft, -80, 80))), np.float32)


def shadow_limits(veil: np.ndarray, dark: np.ndarray, sun: np.ndarray, pixel_m: float) -> np.ndarray:
    """Return the depth from which a pixel is likelier shadow than clear, `(y, x)`.

    It is low where a cloud's shadow falls from the one height at which it best covers dark pixels, higher
    where some cloud may throw one (clouds beyond the border of the block may, too), and high elsewhere.
    """
    cast = veil > CASTING
    out = np.full(veil.shape, UNLIKELY, np.float32)
    steps = np.array(_steps(sun, pixel_m, max(veil.shape)), np.int64)
    possible = np.zeros(veil.shape, np.uint8)
    clouds, darkened = cast.astype(np.uint8), (dark > DARK).astype(np.uint8)
    total, hit = throw(clouds, darkened, steps[:, 0], steps[:, 1], possible)
    out[possible == 1] = POSSIBLE
    share = np.where(total >= LEAST_THROWN, hit / np.maximum(total, 1), 0)
    best = int(share.argmax())
    if share[best] > FITS:
        thrown = moved(cast, *steps[best].tolist())
        out[grown(thrown, REACH, REACH)] = MATCHED
    return out


def _steps(sun: np.ndarray, pixel_m: float, most: int) -> list[tuple[int, int]]:
    """Return shifts of a shadow, in whole pixels, from the lowest to the highest cloud; finer when near."""
    low, high = (np.array(fall(sun, height, pixel_m)) for height in HEIGHTS_M)
    length = min(float(np.abs(high).max()), float(most))
    count = max(int(length), 1)
    unit = high / max(float(np.abs(high).max()), 1e-6)
    start = max(int(np.abs(low).max()), 1)
    lengths = np.unique(np.round(np.geomspace(start, max(count, start + 1), min(count, 40))).astype(int))
    return list(dict.fromkeys((round(unit[0] * n), round(unit[1] * n)) for n in lengths))


def moved(mask: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return a mask `(y, x)` shifted by whole pixels; False comes in from outside.

    Examples
    --------
    >>> moved(np.array([[True, False, False]]), 0, 1).tolist()
    [[False, True, False]]
    """
    height, width = mask.shape
    out = np.zeros_like(mask)
    if abs(down) >= height or abs(right) >= width:
        return out
    to = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
    of = slice(max(-down, 0), height + min(-down, 0)), slice(max(-right, 0), width + min(-right, 0))
    out[to] = mask[of]
    return out
