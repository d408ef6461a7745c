"""What is known of a parcel beside its series: soil, elevation, and the weather before each step."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import xarray as xr

from features.errors import ModelError
from features.schema import check_columns
from models.crops.inputs import CONTEXT, DAYS_OF_GRACE, season_days

MOST_CATEGORIES = 20


def with_context(series: xr.Dataset, context: pl.DataFrame, categories: Sequence[str] = ()) -> xr.Dataset:
    """Return the series with a `context (parcel, variable)` beside it.

    Parameters
    ----------
    context
        `parcel_id` and columns of numbers; a parcel without a row has unknown context.
    categories
        Columns that are names or codes, not amounts: each value becomes a column of zeros and ones.

    Raises
    ------
    ModelError
        Where a category has more values than models can use.
    """
    check_columns(context.columns, ["parcel_id", *categories], "The context table")
    ids = pl.DataFrame({"parcel_id": series["parcel"].values.astype(str)})
    table = ids.join(context, on="parcel_id", how="left", validate="1:1", maintain_order="left").drop(
        "parcel_id"
    )
    columns: dict[str, np.ndarray] = {}
    for name in table.columns:
        columns |= (
            _flags(name, table[name])
            if name in categories
            else {name: table[name].cast(pl.Float64).to_numpy()}
        )
    values = np.stack(list(columns.values()), axis=1).astype(np.float32)
    return series.assign({CONTEXT: (("parcel", "variable"), values)}).assign_coords(variable=list(columns))


def _flags(name: str, column: pl.Series) -> dict[str, np.ndarray]:
    values = sorted(column.drop_nulls().unique().to_list())
    if len(values) > MOST_CATEGORIES:
        raise ModelError(
            f"Context {name} has {len(values)} values; group them into {MOST_CATEGORIES} or fewer."
        )
    unknown = column.is_null().to_numpy()
    return {
        f"{name}_{value}": np.where(unknown, np.nan, (column == value).fill_null(False)) for value in values
    }


def with_weather(series: xr.Dataset, weather: pl.DataFrame) -> xr.Dataset:
    """Return the series with the weather before each step as features, the same for all parcels of a region.

    Parameters
    ----------
    weather
        One row a step, in order, of numbers, as `features.context.weather_before` gives; a `date` or
        `datetime` column is left out.

    Raises
    ------
    ModelError
        Where the rows are not as many as the steps.
    """
    amounts = weather.select(pl.selectors.numeric())
    if amounts.height != series.sizes["time"]:
        raise ModelError(
            f"{amounts.height} rows of weather were given for {series.sizes['time']} steps; give one a step."
        )
    n, statistics = series.sizes["parcel"], series["statistic"].values
    step = amounts.to_numpy().astype(np.float32)
    value = np.full((n, *step.shape, len(statistics)), np.nan, np.float32)
    value[..., 0] = step
    flat = np.zeros((n, *step.shape), np.float32)
    names = [f"weather_{name}" for name in amounts.columns]
    axes = ("parcel", "time", "feature")
    extra = xr.Dataset(
        {
            "value": ((*axes, "statistic"), value),
            "observed": (axes, np.isfinite(value[..., 0])),
            "sigma": (axes, flat),
            "filled_share": (axes, flat),
        },
        coords={
            "parcel": series["parcel"],
            "time": series["time"],
            "feature": names,
            "statistic": statistics,
        },
    )
    kept = series.drop_vars([v for v in series.coords if v not in {*axes, "statistic", "variable"}])
    core = kept[["value", "observed", "sigma", "filled_share"]]
    joined = xr.concat([core, extra], dim="feature", join="override", coords="minimal", compat="override")
    return joined.assign({CONTEXT: kept[CONTEXT]}) if CONTEXT in kept else joined


def pool(seasons: Sequence[xr.Dataset]) -> xr.Dataset:
    """Put several seasons' parcels into one series, step by step; the times are those of the first.

    Parcel ids gain the year in which their season ends, so that a parcel of two seasons stays two.

    Raises
    ------
    ModelError
        Where seasons differ in features, statistics or calendar.
    """
    first = seasons[0]
    years = [int(str(s["time"].values[-1].astype("datetime64[Y]"))) for s in seasons]
    parts = []
    for season, year in zip(seasons, years, strict=True):
        _same_calendar(first, season)
        names = [f"{year}:{name}" for name in season["parcel"].values.astype(str)]
        kept = season[[v for v in ("value", "observed", "sigma", "filled_share", CONTEXT) if v in season]]
        parts.append(kept.assign_coords(parcel=np.array(names, object), time=first["time"]))
    return xr.concat(parts, dim="parcel", join="exact", coords="minimal", compat="override")


def _same_calendar(first: xr.Dataset, other: xr.Dataset) -> None:
    for axis in ("feature", "statistic"):
        if list(first[axis].values) != list(other[axis].values):
            raise ModelError(
                f"Seasons differ in {axis}: {list(first[axis].values)} and {list(other[axis].values)}."
            )
    days, others = season_days(first["time"].values), season_days(other["time"].values)
    if len(days) != len(others) or np.abs(days - others).max() > DAYS_OF_GRACE:
        raise ModelError(
            f"Seasons differ in calendar: {len(days)} steps from day {days[0]}, "
            f"{len(others)} from day {others[0]}."
        )
