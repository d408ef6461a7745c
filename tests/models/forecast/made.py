"""Histories that a reader can check."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl

from models.forecast.history import RADAR, History, crops_of, looks_from, radar_from

ORIGIN = date(2022, 1, 1)


def table(series: Mapping[str, Sequence[tuple[int, float]]]) -> pl.DataFrame:
    """Return `parcel_id, date, ndvi` of days since ORIGIN."""
    rows = [(name, ORIGIN + timedelta(days=day), value) for name, of in series.items() for day, value in of]
    return pl.DataFrame(
        rows, schema={"parcel_id": pl.String, "date": pl.Date, "ndvi": pl.Float64}, orient="row"
    )


def history(
    series: Mapping[str, Sequence[tuple[int, float]]],
    crop: Mapping[str, str] | None = None,
    years: int = 2,
    radar: pl.DataFrame | None = None,
) -> History:
    ids = tuple(series)
    looks, _ = looks_from(table(series), ids, ORIGIN)
    classes = tuple(sorted(set((crop or {}).values())))
    declared = {ORIGIN.year + k: dict(crop or {}) for k in range(years)}
    schema = {
        "parcel_id": pl.String,
        "date": pl.Date,
        "relative_orbit": pl.Int32,
        **dict.fromkeys(RADAR, pl.Float32),
    }
    passes = radar_from(pl.DataFrame(schema=schema) if radar is None else radar, ids, ORIGIN)
    return History(ids, ORIGIN, looks, passes, classes, crops_of(declared, ids, classes, ORIGIN.year, years))


def waves(parcels: int, years: int = 3, every: int = 5, seed: int = 1, radar: Sequence[int] = ()) -> History:
    """Parcels that green up each year, each with a level and a shift of its own, and noise; a radar saw those
    at `radar` every tenth day.
    """
    rng = np.random.default_rng(seed)
    days = np.arange(0, 365 * years, every)
    series, crop = {}, {}
    for k in range(parcels):
        shift = 25 * (k % 2) + rng.normal(0, 4)
        curve = 0.5 - 0.3 * np.cos(2 * np.pi * (days - shift) / 365.25) + rng.normal(0, 0.02, len(days))
        seen = rng.random(len(days)) < 0.5
        series[f"p{k:03d}"] = list(zip(days[seen].tolist(), curve[seen].tolist(), strict=True))
        crop[f"p{k:03d}"] = ("grass", "maize")[k % 2]
    passes = [
        (f"p{k:03d}", ORIGIN + timedelta(days=day), 37, -11.0, -18.0, 0.4, 0.3)
        for k in radar
        for day in range(0, 365 * years, 10)
    ]
    columns = {"parcel_id": pl.String, "date": pl.Date, "relative_orbit": pl.Int32}
    table = pl.DataFrame(passes, schema={**columns, **dict.fromkeys(RADAR, pl.Float32)}, orient="row")
    return history(series, crop, years, table)
