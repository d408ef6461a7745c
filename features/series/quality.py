"""What a ParcelSeries says of itself: how often a parcel was seen, how much of it was filled, how uniform."""

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
UNKNOWN = 3.0  # standard deviations between parcels: a value further off says nothing, and no less


def series_quality(series: xr.Dataset, spread_feature: str = "ndvi") -> pl.DataFrame:
    """Summarise each parcel of a filled ParcelSeries `(parcel, time, feature, statistic)`, one row per
    parcel, schema QUALITY.

    Every feature counts alike in `filled_share` and `sigma`; a step that stayed missing counts in neither.
    A sigma counts no more than `UNKNOWN`: one index near a zero of its denominator shall not speak for all.
    Where no step has a value the share and the sigma are NaN.
    """
    value = _mean_statistic(series)
    known = np.isfinite(value)
    filled = np.where(series["observed"], series["filled_share"], 1.0)
    ratio = np.minimum(series["sigma"].to_numpy() / _between_parcels(value), UNKNOWN)
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


def _between_parcels(value: np.ndarray) -> np.ndarray:
    """Standard deviation of each feature between parcels, mean over steps; infinite where unknown or zero."""
    known = np.isfinite(value)
    count = np.maximum(known.sum(0), 1)
    values = np.where(known, value, 0).astype(float)
    variance = np.maximum((values**2).sum(0) / count - (values.sum(0) / count) ** 2, 0)
    spread = np.sqrt(variance.mean(0))
    return np.where(spread > 0, spread, np.inf)


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
