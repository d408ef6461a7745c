"""What a run would make of tables of series: parcels, dates, features, what is missing, and their ranges."""

import geopandas as gpd

from features.tables.reader import Understood, read_tables
from pipelines.config import RunConfig
from pipelines.inputs.bounded_tables import refuse_large_series


def understood(config: RunConfig, declarations: gpd.GeoDataFrame) -> tuple[list[str], int, int]:
    """Return a line for the account and one for each feature; how many dates and features there are.

    Raises
    ------
    ConfigError
        Where a run could not read the tables.
    """
    refuse_large_series(config)
    season = config.season
    last = min(season.end, season.until or season.end)
    usable = declarations[declarations["reason"].isna()]["parcel_id"].tolist()
    found = read_tables(config.series.tables, usable, season.start, last)
    lines = [str(found.tally), _overview(found, len(usable)), *_features(found)]
    return lines, found.observations["datetime"].dt.date().n_unique(), found.features.height


def _overview(found: Understood, parcels: int) -> str:
    days = found.observations["datetime"].dt.date()
    seen = found.observations["parcel_id"].n_unique()
    return (
        f"Series: {seen} of {parcels} parcels, {days.n_unique()} dates from {days.min()!s} "
        f"to {days.max()!s}, "
        f"{found.features.height} features."
    )


def _features(found: Understood) -> list[str]:
    return [  # low and high are the 1st and 99th percentiles
        f"  {feature}: {values} values on {dates} dates, {missing:.1%} missing, "
        f"98% within {low:.4g} and {high:.4g}"
        for feature, dates, values, missing, low, high in found.features.iter_rows()
    ]
