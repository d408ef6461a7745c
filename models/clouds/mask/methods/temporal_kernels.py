"""The inner loops of the temporal mask: each pixel's dates against its own clear dates around them."""

import numpy as np

from features.code.jit import njit

WINDOW_DAYS = 45.0  # within which the lowest blue stands for the clear ground, at first
LOOKS = 3  # clear dates on a side whose median is the reference
CLOUD_BLUE = 0.68  # reflectance of cloud in the blue
CLOUD_HAZE = 0.29  # of cloud, blue less half of the red
FIRST_HAZE, FIRST_BLUE = 0.02, 0.015  # above the lowest: not clear, at first
MOST_HAZE = 0.07  # blue less half of the red, above which no ground lies
FALLEN = 0.08  # reflectance by which near infrared may fall under thin cloud
BRIGHTEST = 0.3  # visible reflectance without a blue band, above which no ground lies
NOT_WHITE = 0.02
DARKEST = 0.06  # near-infrared reflectance below which a shadow cannot be told from dark ground
BLOCK = 128  # pixels whose sum fits into a byte
CLEAR_OPACITY, CLEAR_DEPTH = 0.07, 0.2  # up to which a date serves as reference


@njit(cache=True, nogil=True)
def first_guess(
    pixel: np.ndarray, days: np.ndarray, back: bool, blue: bool, ok: np.ndarray
) -> None:  # pragma: no cover
    """Mark the dates of one pixel `(time, band)` that are not brighter than the lowest around them.

    Brighter means in the blue, and in blue less half of the red, which bare soil leaves as it is. Where there
    is no blue, all that is not as bright as cloud will do.
    """
    first = 0
    for t in range(len(days)):
        ok[t] = False
        while days[t] - days[first] > WINDOW_DAYS:
            first += 1
        if not np.isfinite(pixel[t, 0]):
            continue
        low0, low1, low2 = np.inf, np.inf, np.inf
        red0, red1, red2 = np.inf, np.inf, np.inf
        seen = 0
        for other in range(first, len(days)):
            if days[other] - days[t] > WINDOW_DAYS or (back and other > t):
                break
            value, red = pixel[other, 0], pixel[other, 1]
            if not np.isfinite(value):
                continue
            seen += 1
            if value < low0:
                low2, red2, low1, red1, low0, red0 = low1, red1, low0, red0, value, red
            elif value < low1:
                low2, red2, low1, red1 = low1, red1, value, red
            elif value < low2:
                low2, red2 = value, red
        low, low_red = low0, red0
        if seen >= 9:  # the lowest ones may lie in shadow
            low, low_red = low2, red2
        elif seen >= 4:
            low, low_red = low1, red1
        above = pixel[t, 0] - low
        haze = above - 0.5 * (pixel[t, 1] - low_red)
        ok[t] = above < FIRST_BLUE or (haze < FIRST_HAZE if blue else pixel[t, 2] < pixel[t, 0] + NOT_WHITE)
        ok[t] &= plain(pixel, t, blue)


@njit(cache=True, nogil=True)
def plain(pixel: np.ndarray, t: int, blue: bool) -> bool:  # pragma: no cover
    """Say whether some ground has the colour of date `t` of a pixel `(time, band)`."""
    if blue:
        return bool(pixel[t, 0] - 0.5 * pixel[t, 1] < MOST_HAZE)
    return bool(pixel[t, 0] < BRIGHTEST)


@njit(cache=True, nogil=True)
def push(
    pixel: np.ndarray, t: int, last: np.ndarray, found: int, brightest: bool, out: np.ndarray
) -> int:  # pragma: no cover
    """Put a date among the last clear ones `(band, look)` and write the reference of each band.

    It is the median; of near infrared and 1.6 um the highest where asked for: shadows are still among them.
    """
    found = min(found + 1, LOOKS)
    for b in range(pixel.shape[1]):
        newest, middle, oldest = pixel[t, b], last[b, 0], last[b, 1]
        last[b, 0], last[b, 1] = newest, middle
        low, high = min(newest, middle), max(newest, middle)
        if found == 1:
            out[b] = newest
        elif found == 2:
            out[b] = high if brightest and b > 1 else np.float32(0.5) * (low + high)
        elif brightest and b > 1:
            out[b] = max(high, oldest)
        else:
            out[b] = max(low, min(high, oldest))
    return found


@njit(cache=True, nogil=True)
def against(
    pixel: np.ndarray, t: int, reference: np.ndarray, longwave: bool, blue: bool
) -> tuple[float, float]:  # pragma: no cover
    """Return opacity and depth of shadow of date `t` of a pixel `(time, band)` against a reference `(band,)`.

    Bands are blue, red, near infrared and, where there is one, 1.6 um. Where there is no blue, another
    visible band stands in its place, and the near infrared must not have fallen, as it does at harvest.
    """
    above = pixel[t, 0] - reference[0]
    opacity = 1.1 * above / (CLOUD_BLUE - min(reference[0], 0.4))
    if blue:
        opacity = min(opacity, (above - 0.5 * (pixel[t, 1] - reference[1])) / CLOUD_HAZE)
    else:
        rise = pixel[t, 2] - reference[2] + FALLEN
        opacity = min(opacity, rise / (max(CLOUD_BLUE - reference[2], 0.1) + FALLEN))
    near = pixel[t, 2] / max(reference[2], 0.01)
    # what harvest and mowing brighten: the red, and more so 1.6 um
    other = pixel[t, 3] / max(reference[3], 0.01) if longwave else pixel[t, 1] / max(reference[1], 0.01)
    depth = 1 - max(near, other)
    if reference[2] < DARKEST:
        depth = 0.0
    return opacity, depth


@njit(cache=True, nogil=True)
def compare(  # noqa: PLR0912
    values: np.ndarray,
    days: np.ndarray,
    back: bool,
    longwave: bool,
    blue: bool,
    rounds: int,
    opacity: np.ndarray,
    depth: np.ndarray,
) -> None:  # pragma: no cover
    """Compare every date of every pixel of a row with its clear dates before and after it.

    Parameters
    ----------
    values
        `(x, time, band)` float32: blue (or, without `blue`, another visible band), red (or that band again),
        near infrared, 1.6 um (where `longwave`). A date is unknown where one of them is not finite; its first
        band is made NaN.
    opacity, depth
        `(time, x)` float32, written: of cloud, and of shadow; NaN where there is no reference. A date must
        differ from both sides alike: a harvest differs from one only.
    """
    columns, dates, bands = values.shape
    ok = np.empty(dates, np.bool_)
    last, reference = np.empty((bands, LOOKS - 1), np.float32), np.empty(bands, np.float32)
    o, d = np.empty(dates, np.float32), np.empty(dates, np.float32)
    for x in range(columns):
        pixel = values[x]
        for t in range(dates):
            for b in range(bands):
                if not np.isfinite(pixel[t, b]):
                    pixel[t, 0] = np.nan
        first_guess(pixel, days, back, blue, ok)
        for step in range(rounds):
            brightest = step == 0 and rounds > 1
            found = 0
            for t in range(dates):
                o[t], d[t] = np.nan, np.nan
                if not np.isfinite(pixel[t, 0]):
                    continue
                if found:
                    o[t], d[t] = against(pixel, t, reference, longwave, blue)
                if ok[t]:
                    found = push(pixel, t, last, found, brightest, reference)
            found = 0
            for t in range(dates - 1, -1, -1):
                if back:
                    break
                if not np.isfinite(pixel[t, 0]):
                    continue
                if found:
                    more, deeper = against(pixel, t, reference, longwave, blue)
                    o[t] = more if np.isnan(o[t]) else min(o[t], more)
                    d[t] = deeper if np.isnan(d[t]) else min(d[t], deeper)
                if ok[t]:
                    found = push(pixel, t, last, found, brightest, reference)
            changed = brightest
            for t in range(dates if step + 1 < rounds else 0):
                if np.isfinite(o[t]):
                    now = o[t] < CLEAR_OPACITY and d[t] < CLEAR_DEPTH and plain(pixel, t, blue)
                    changed |= now != ok[t]
                    ok[t] = now
            if not changed:
                break  # another round would find the same
        for t in range(dates):
            opacity[t, x] = o[t]
            depth[t, x] = d[t]


@njit(cache=True, nogil=True)
def throw(
    cast: np.ndarray, dark: np.ndarray, downs: np.ndarray, rights: np.ndarray, possible: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:  # pragma: no cover
    """Throw a cloud mask `(y, x)` by each of some shifts; return thrown pixels and dark ones among them.

    Masks are uint8, 0 or 1. `possible` is set wherever some shift throws a cloud, or may throw one from
    beyond the border.
    """
    height, width = cast.shape
    total, hit = np.zeros(len(downs), np.int64), np.zeros(len(downs), np.int64)
    first, last = _spans(cast)
    for k in range(len(downs)):
        down, right = downs[k], rights[k]
        left, end = min(max(right, 0), width), max(min(width + right, width), 0)
        for y in range(height):
            if y - down < 0 or y - down >= height or left >= end:
                possible[y] = 1
                continue
            possible[y, :left] = 1
            possible[y, end:] = 1
            start, stop = max(left, first[y - down] + right), min(end, last[y - down] + right)
            if start >= stop:
                continue
            thrown, here = cast[y - down, start - right : stop - right], slice(start, stop)
            new, hits = _thrown(thrown, cast[y, here], dark[y, here], possible[y, here])
            total[k] += new
            hit[k] += hits
    return total, hit


@njit(cache=True, nogil=True)
def _spans(cast: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # pragma: no cover
    """Return the first column of each row's clouds and the one after the last; both 0 where there is none."""
    height, width = cast.shape
    first, last = np.zeros(height, np.int64), np.zeros(height, np.int64)
    for y in range(height):
        start, stop = 0, width
        while start < stop and cast[y, start] == 0:
            start += 1
        while stop > start and cast[y, stop - 1] == 0:
            stop -= 1
        if start < stop:
            first[y], last[y] = start, stop
    return first, last


@njit(cache=True, nogil=True)
def _thrown(
    thrown: np.ndarray, cast: np.ndarray, dark: np.ndarray, possible: np.ndarray
) -> tuple[np.int64, np.int64]:  # pragma: no cover
    """One row of it: no branch, so that the processor takes many pixels at a time."""
    new, hits = np.int64(0), np.int64(0)
    for start in range(0, len(thrown), BLOCK):
        some, dim = np.uint8(0), np.uint8(0)
        for x in range(start, min(start + BLOCK, len(thrown))):
            possible[x] |= thrown[x]
            ground = thrown[x] & (cast[x] ^ np.uint8(1))
            some = np.uint8(some + ground)
            dim = np.uint8(dim + (ground & dark[x]))
        new, hits = new + np.int64(some), hits + np.int64(dim)
    return new, hits
