"""What a ParcelSeries says of itself: how often a parcel was seen, how much of it was filled, how uniform."""

from collections.abc import Callable, Iterable

import numpy as np
import polars as pl
import xarray as xr

QUALITY = pl.Schema(
    {
        "parcel_id": pl.String,
        "n_observations": pl.Int32,  # clear optical dates plus radar dates, each orbit its own
        "filled_share": pl.Float32,  # of steps and features, filled by cloud removal or gap filling, 0 to 1
        "sigma": pl.Float32,  # of filled values, in standard deviations between parcels; mean over all steps
        "ndvi_spread": pl.Float32,  # standard deviation within the parcel, median over observed steps, or NaN
    }
)
PARCELS_ADDED = 512
UNKNOWN = 3.0  # standard deviations between parcels: a value further off says nothing, and no less


def series_quality(series: xr.Dataset, spread_feature: str = "ndvi") -> pl.DataFrame:
    """Summarise each parcel of a filled ParcelSeries `(parcel, time, feature, statistic)`, one row per
    parcel, schema QUALITY.

    Every feature counts alike in `filled_share` and `sigma`; a step that stayed missing counts in neither.
    A sigma counts no more than `UNKNOWN`: one index near a zero of its denominator shall not speak for all.
    Where no step has a value the share and the sigma are NaN.
    """
    return quality_in_chunks(lambda: [series], spread_feature)


def quality_in_chunks(
    chunks: Callable[[], Iterable[xr.Dataset]], spread_feature: str = "ndvi"
) -> pl.DataFrame:
    """As `series_quality`, of a series that comes some parcels at a time; the same to the bit.

    Parameters
    ----------
    chunks
        Gives the parts of the series from its beginning; called twice.
    """
    spread = _between_parcels(map(_mean_statistic, chunks()))
    return pl.concat([_quality(chunk, spread, spread_feature) for chunk in chunks()])


def _quality(series: xr.Dataset, between: np.ndarray, spread_feature: str) -> pl.DataFrame:
    value = _mean_statistic(series)
    known = np.isfinite(value)
    filled = np.where(series["observed"], series["filled_share"], 1.0)
    ratio = np.minimum(series["sigma"].to_numpy() / between, UNKNOWN)
    return pl.DataFrame(
        {
            "parcel_id": series["parcel"].to_numpy().astype(object).tolist(),
            "n_observations": _dates(series).astype(np.int32),
            "filled_share": _mean_where(filled, known).astype(np.float32),
            "sigma": _mean_where(ratio, known).astype(np.float32),
            "ndvi_spread": _spread(series, spread_feature).astype(np.float32),
        },
        schema=QUALITY,
    )


def _mean_statistic(series: xr.Dataset) -> np.ndarray:
    names = list(series["statistic"].to_numpy())
    return series["value"].to_numpy()[..., names.index("mean") if "mean" in names else 0]


def _between_parcels(values: Iterable[np.ndarray]) -> np.ndarray:
    """Standard deviation of each feature between parcels, mean over steps; infinite where unknown or zero.

    `values` come as `(parcel, time, feature)`, some parcels at a time.
    """
    count: np.ndarray | int = 0
    total: np.ndarray | float = 0.0
    squares: np.ndarray | float = 0.0
    for part in values:
        known = np.isfinite(part)
        value = np.where(known, part, 0).astype(float)
        count = count + known.sum(0)
        total, squares = _added(total, value), _added(squares, value**2)
    count = np.maximum(count, 1)
    variance = np.maximum(squares / count - (total / count) ** 2, 0)
    spread = np.sqrt(variance.mean(0))
    return np.where(spread > 0, spread, np.inf)


def _added(total: np.ndarray | float, values: np.ndarray) -> np.ndarray:
    """Return a sum over parcels with more `(parcel, time, feature)` added, one parcel after another: the same
    to the bit however many come at a time."""
    for start in range(0, len(values), PARCELS_ADDED):
        part = values[start : start + PARCELS_ADDED]
        first = np.broadcast_to(total, part.shape[1:])[None]
        total = np.cumsum(np.concatenate([first, part]), axis=0)[-1]
    return np.asarray(total)


def _mean_where(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    total, count = np.where(known, values, 0).sum((1, 2)), known.sum((1, 2))
    return np.asarray(np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0))


def _dates(series: xr.Dataset) -> np.ndarray:
    """Dates on which a parcel was seen: for each sensor and orbit the feature seen most often, summed.

    What no satellite of ours measured (sensor `other`, such as weather in a table of series) does not count.
    """
    counted = series["dates"] if "dates" in series else series["observed"]
    seen = np.where(series["observed"], counted, 0).astype(int).sum(1)
    sources = np.array(
        [name.rsplit("_r", 1)[1] if "_r" in name else "optical" for name in series["feature"].to_numpy()]
    )
    if "sensor" in series.coords:
        sources = np.char.add(series["sensor"].to_numpy().astype(str), sources)
    looked = [source for source in np.unique(sources) if not source.startswith("other")]
    per_source = [seen[:, sources == source].max(1) for source in looked]
    return np.sum(per_source, axis=0) if per_source else np.zeros(series.sizes["parcel"], int)


def _spread(series: xr.Dataset, feature: str) -> np.ndarray:
    missing = np.full(series.sizes["parcel"], np.nan)
    if feature not in series["feature"].to_numpy() or "std" not in series["statistic"].to_numpy():
        return missing
    layer = series.sel(feature=feature)
    spread = np.where(layer["observed"], layer["value"].sel(statistic="std"), np.nan)
    some = np.isfinite(spread).any(1)
    missing[some] = np.nanmedian(spread[some], axis=1)
    return missing
