"""What a run would make of tables of series: parcels, dates, features, what is missing, and their ranges."""

from collections.abc import Sequence
from datetime import date

import geopandas as gpd
import polars as pl

from features.tables.reader import Read, read_in_chunks
from pipelines.config import RunConfig
from pipelines.inputs.bounded_tables import refuse_large_series


def understood(config: RunConfig, declarations: gpd.GeoDataFrame) -> tuple[list[str], int, int]:
    """Return a line for the account and one for each feature; how many dates and features there are. Memory
    holds a chunk of the parcels at a time.

    Raises
    ------
    ConfigError
        Where a run could not read the tables.
    """
    refuse_large_series(config)
    season = config.season
    last = min(season.end, season.until or season.end)
    usable = declarations[declarations["reason"].isna()]["parcel_id"].tolist()
    days: set[date] = set()
    seen: list[int] = []  # parcels of each chunk; none is in two

    def look(observations: pl.DataFrame) -> None:
        days.update(observations["datetime"].dt.date().unique())
        seen.append(observations["parcel_id"].n_unique())

    found = read_in_chunks(config.series.tables, usable, season.start, last, look)
    overview = _overview(sum(seen), len(usable), sorted(days), found.features.height)
    return [str(found.tally), overview, *_features(found)], len(days), found.features.height


def _overview(seen: int, parcels: int, days: Sequence[date], features: int) -> str:
    return (
        f"Series: {seen} of {parcels} parcels, {len(days)} dates from {days[0]!s} to {days[-1]!s}, "
        f"{features} features."
    )


def _features(found: Read) -> list[str]:
    return [  # low and high are the 1st and 99th percentiles
        f"  {feature}: {values} values on {dates} dates, {missing:.1%} missing, "
        f"98% within {low:.4g} and {high:.4g}"
        for feature, dates, values, missing, low, high in found.features.iter_rows()
    ]
