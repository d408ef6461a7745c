"""Monthly composites and NDVI of filled frames, with what is known of their error."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from models.clouds.scoring import ndvi

MEDIAN_ERROR = (
    1.2533141373155001  # sqrt(pi / 2): standard error of a median over that of a mean, normal errors
)


@dataclass(frozen=True)
class Picture:
    """One product: `value` and `sigma (band, y, x)`, and the share that was filled, `(y, x)`, 0 to 1 or
    NaN."""

    name: str
    start: np.datetime64
    end: np.datetime64
    bands: tuple[str, ...]
    value: np.ndarray
    sigma: np.ndarray
    filled: np.ndarray


def pictures(filled: xr.Dataset, clear_share: np.ndarray) -> Iterator[Picture]:
    """Yield each date's image and each month's composites, and the NDVI of each.

    Parameters
    ----------
    filled
        As `Remover.fill` returns it.
    clear_share
        `(time,)`: of the whole tile, so that every block of it takes the same date for the least cloudy.
    """
    for picture in _images(filled, clear_share):
        yield picture
        if (index := ndvi_of(picture)) is not None:
            yield index


def ndvi_of(picture: Picture) -> Picture | None:
    """Return NDVI with sigma by first-order propagation of independent band errors; None without its
    bands."""
    near = next((band for band in ("B08", "B8A") if band in picture.bands), None)
    if near is None or "B04" not in picture.bands:
        return None
    pair = [picture.bands.index(near), picture.bands.index("B04")]
    (nir, red), (nir_sigma, red_sigma) = picture.value[pair], picture.sigma[pair]
    flat = picture.value.reshape(len(picture.bands), -1).T
    value = ndvi(flat, picture.bands).reshape(nir.shape)
    total = np.where(np.isfinite(value), np.square(nir + red), np.nan)
    sigma = 2 * np.hypot(red * nir_sigma, nir * red_sigma) / total
    filled = np.where(np.isfinite(value), picture.filled, np.nan)
    return Picture(
        f"{picture.name}_ndvi", picture.start, picture.end, ("ndvi",), value[None], sigma[None], filled
    )


def _images(filled: xr.Dataset, clear_share: np.ndarray) -> Iterator[Picture]:
    times = filled["time"].values
    bands = tuple(str(band) for band in filled["band"].values)
    values, sigmas = filled["reflectance"].values, filled["sigma"].values
    marks = np.where(np.isfinite(values).all(axis=1), filled["filled"].values.astype(np.float32), np.nan)
    for name, k in zip(date_names(times), range(len(times)), strict=True):
        yield Picture(name, times[k], times[k], bands, values[k], sigmas[k], marks[k])
    months = times.astype("datetime64[M]")
    for month in np.unique(months):
        chosen = np.flatnonzero(months == month)
        span = (times[chosen].min(), times[chosen].max())
        best = chosen[np.argmax(clear_share[chosen])]
        yield Picture(f"{month}_least_cloudy", *span, bands, values[best], sigmas[best], marks[best])
        yield Picture(
            f"{month}_median", *span, bands, *_median(values[chosen], sigmas[chosen], marks[chosen])
        )


def date_names(times: np.ndarray) -> list[str]:
    """Return one name per frame of `times (time,)`: its date, with a letter where a day has several."""
    days = [str(day) for day in times.astype("datetime64[D]")]
    return [
        day if days.count(day) == 1 else f"{day}{chr(97 + days[:k].count(day))}" for k, day in enumerate(days)
    ]


def _median(
    values: np.ndarray, sigmas: np.ndarray, marks: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the median over dates, its standard error from the dates' sigma, and the filled share."""
    known = np.isfinite(marks)
    count = known.sum(axis=0)
    ordered = np.sort(np.where(known[:, None], values, np.inf), axis=0)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(values) - 1)
    pick = [
        np.take_along_axis(ordered, np.broadcast_to(k, ordered.shape[1:])[None], axis=0)[0]
        for k in (low, high)
    ]
    seen = count > 0
    median = np.where(seen, 0.5 * (pick[0] + pick[1]), np.nan)
    variance = np.where(known[:, None], np.square(sigmas), 0).sum(axis=0)
    factor = np.where(count > 2, MEDIAN_ERROR, 1.0)  # of one or two dates the median is the mean
    error = np.divide(factor * np.sqrt(variance), count, out=np.full_like(median, np.nan), where=seen)
    share = np.where(known, marks, 0).sum(axis=0)
    return median, error, np.divide(share, count, out=np.full_like(share, np.nan), where=seen)
