"""Gap filling of real NDVI: hidden values are found again within the error that is stated."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.schema import make_series
from features.series.gapfill import gapfill_series
from features.series.options import GapfillOptions

COLUMNS = {"t": pl.String, "NDVI": pl.Float64, "EVI2": pl.Float64}


def ndvi_of_dekads(path: Path) -> np.ndarray:
    """Mean NDVI `(year, dekad)` of a site, NaN where nothing finite was seen."""
    table = pl.read_csv(path, schema=COLUMNS).with_columns(pl.col("t").str.to_date())
    seen = table.filter(pl.col("NDVI").is_finite() & pl.col("NDVI").is_between(-0.2, 1))
    dekad = (pl.col("t").dt.month() - 1) * 3 + ((pl.col("t").dt.day() - 1) // 10).clip(upper_bound=2)
    means = seen.group_by(pl.col("t").dt.year().alias("year"), dekad.alias("dekad")).agg(
        pl.col("NDVI").mean()
    )
    values = np.full((8, 36), np.nan)
    values[means["year"].to_numpy() - 2017, means["dekad"].to_numpy()] = means["NDVI"].to_numpy()
    return values[np.isfinite(values).sum(1) >= 12]


@pytest.mark.realdata
@pytest.mark.parametrize("method", ["linear", "whittaker"])
def test_hidden_values_lie_within_the_stated_error(real_data: Path, method: str) -> None:
    sites = sorted((real_data / "flux-sites" / "NDVI_EVI2").glob("*.csv"))
    values = np.concatenate([ndvi_of_dekads(path) for path in sites])
    hidden = np.isfinite(values) & (np.random.default_rng(0).random(values.shape) < 0.25)
    left = np.where(hidden, np.nan, values)
    starts = np.array([f"2022-{month:02d}-{day:02d}" for month in range(1, 13) for day in (1, 11, 21)])
    series = make_series(
        [str(i) for i in range(len(values))],
        starts.astype("datetime64[ns]"),
        ["ndvi"],
        value=left[..., None, None],
    )
    filled = gapfill_series(series, GapfillOptions(method=method))
    error = np.abs(filled["value"].values[:, :, 0, 0] - values)[hidden]
    sigma = filled["sigma"].values[:, :, 0][hidden]
    assert error.mean() < 0.07
    assert 0.85 < (error <= 1.645 * sigma).mean() < 0.96
