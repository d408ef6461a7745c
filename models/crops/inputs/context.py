"""Series put beside what else is known: the weather before each step, and other seasons' parcels."""

from collections.abc import Mapping

import numpy as np
import polars as pl
import xarray as xr

from features.errors import ModelError
from features.messages.listed import listed
from models.crops.inputs.arrays import CONTEXT, DAYS_OF_GRACE, season_days


def with_weather(series: xr.Dataset, weather: pl.DataFrame) -> xr.Dataset:
    """Return the series `(parcel, time, feature, statistic)` with the weather before each step as further
    features, the same for all parcels.

    Parameters
    ----------
    weather
        One row a step, in order, of `weather_…` numbers, as `features.context.parcels.weather_before` gives.

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
            "feature": amounts.columns,
            "statistic": statistics,
        },
    )
    kept = series.drop_vars([v for v in series.coords if v not in {*axes, "statistic", "variable"}])
    core = kept[[name for name in extra.data_vars if name in kept]]
    extra = extra[list(core.data_vars)]
    joined = xr.concat([core, extra], dim="feature", join="override", coords="minimal", compat="override")
    return joined.assign({CONTEXT: kept[CONTEXT]}) if CONTEXT in kept else joined


def pooled_id(label: str, parcel_id: str) -> str:
    """Return the id of another run's parcel among one's own.

    Examples
    --------
    >>> pooled_id("region_2023", "17")
    'region_2023/17'
    """
    return f"{label}/{parcel_id}"


def pool(own: xr.Dataset, others: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Append the parcels of other runs to one's own series `(parcel, time, feature, statistic)`; the times
    are one's own.

    Their ids gain the name they are given under (`region_2023/17`), so that a parcel of two seasons stays
    two. A context variable that one of them lacks is unknown there.

    Raises
    ------
    ModelError
        Where they differ in features, statistics or calendar.
    """
    parts = [_core(own)]
    for label, other in others.items():
        _same_calendar(own, other, label)
        names = [pooled_id(label, name) for name in other["parcel"].values.astype(str)]
        parts.append(_core(other).assign_coords(parcel=np.array(names, object), time=own["time"]))
    known = [part["variable"].values.tolist() for part in parts if CONTEXT in part]
    variables = list(dict.fromkeys(str(name) for names in known for name in names))
    if variables:
        parts = [_with_variables(part, variables) for part in parts]
    return xr.concat(parts, dim="parcel", join="exact", coords="minimal", compat="override")


def _core(series: xr.Dataset) -> xr.Dataset:
    return series[[v for v in ("value", "observed", "sigma", "filled_share", CONTEXT) if v in series]]


def _with_variables(series: xr.Dataset, variables: list[str]) -> xr.Dataset:
    if CONTEXT in series:
        return series.reindex(variable=variables)
    unknown = np.full((series.sizes["parcel"], len(variables)), np.nan, np.float32)
    return series.assign({CONTEXT: (("parcel", "variable"), unknown)}).assign_coords(variable=variables)


def _same_calendar(first: xr.Dataset, other: xr.Dataset, label: str) -> None:
    for axis in ("feature", "statistic"):
        if list(first[axis].values) != list(other[axis].values):
            raise ModelError(
                f"{label} differs from this run in {axis}: {listed(other[axis].values)} where "
                f"{listed(first[axis].values)} are needed."
            )
    days, others = season_days(first["time"].values), season_days(other["time"].values)
    if len(days) != len(others) or np.abs(days - others).max() > DAYS_OF_GRACE:
        raise ModelError(
            f"{label} differs from this run in calendar: {len(others)} steps from day {others[0]}, where "
            f"{len(days)} from day {days[0]} are needed."
        )
