"""From a ParcelSeries to the arrays that models read, and the refusal of a series that does not fit."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr

from features.errors import ModelError
from features.schema import check_series

DAYS_OF_GRACE = 3  # a leap day and a calendar's rounding move a step by this much between seasons
MOST_STEPS = 4000  # of a season
CONTEXT = "context"  # optional float variable (parcel, context): soil, elevation and the like


@dataclass(frozen=True)
class Layout:
    """What a model was fitted on: names along each axis, and the days of the steps.

    `days` count from 1 January of the year in which the series ends, so that two seasons share them.
    """

    features: tuple[str, ...]
    statistics: tuple[str, ...]
    days: tuple[int, ...]
    context: tuple[str, ...] = ()

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the value channels, feature by feature: `ndvi|mean`."""
        return tuple(f"{feature}|{statistic}" for feature in self.features for statistic in self.statistics)

    def as_json(self) -> dict[str, object]:
        """Return plain lists, for a bundle."""
        return {name: list(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Layout":
        """Rebuild what `as_json` returned.

        Raises
        ------
        ValueError
            Where names are not different texts, or days not whole numbers that do not fall.
        """
        layout = cls(**{name: tuple(items) for name, items in value.items()})
        for names in (layout.features, layout.statistics, layout.context):
            if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
                raise ValueError(f"{names[:3]} are not different names")
        whole = all(type(day) is int for day in layout.days)
        if not whole or list(layout.days) != sorted(layout.days) or not 1 <= len(layout.days) <= MOST_STEPS:
            raise ValueError(f"{layout.days[:3]} are not 1 to {MOST_STEPS} days in order")
        return layout


def season_days(times: np.ndarray) -> np.ndarray:
    """Return `(time,)`: days since 1 January of the last step's year.

    Examples
    --------
    >>> season_days(np.array(["2023-12-31", "2024-01-11"], dtype="datetime64[ns]"))
    array([-1, 10])
    """
    days = np.asarray(times).astype("datetime64[D]")
    new_year = days[-1].astype("datetime64[Y]").astype("datetime64[D]")
    return np.asarray((days - new_year).astype(int))


def layout_of(series: xr.Dataset) -> Layout:
    """Return the layout of a ParcelSeries `(parcel, time, feature, statistic)`.

    Raises
    ------
    ModelError
        Where it has no steps or no features.
    """
    check_series(series, ("value", "observed"))
    if not series.sizes["time"] or not series.sizes["feature"]:
        raise ModelError(f"The series has sizes {dict(series.sizes)}: there is nothing to learn from.")
    return Layout(
        features=tuple(map(str, series["feature"].values)),
        statistics=tuple(map(str, series["statistic"].values)),
        days=tuple(int(day) for day in season_days(series["time"].values)),
        context=tuple(map(str, series[CONTEXT]["variable"].values)) if CONTEXT in series else (),
    )


def conform(series: xr.Dataset, layout: Layout) -> xr.Dataset:
    """Return the series `(parcel, time, feature, statistic)` in the order of `layout`, without the features
    that the model was not fitted on.

    Raises
    ------
    ModelError
        Where a feature, a statistic, a context column or a date that the model was fitted on is missing.
    """
    found = layout_of(series)
    problems = [
        _difference(name, getattr(layout, name), getattr(found, name))
        for name in ("features", "statistics", "context")
    ]
    problems.append(_date_difference(layout.days, found.days))
    if any(problems):
        raise ModelError(
            "The series does not fit the model: "
            + "; ".join(filter(None, problems))
            + ". Build the series with the model's own features and calendar, or fit the model anew."
        )
    chosen = series
    if (found.features, found.statistics) != (layout.features, layout.statistics):
        chosen = series.sel(feature=list(layout.features), statistic=list(layout.statistics))
    if not layout.context:
        return chosen.drop_vars(CONTEXT, errors="ignore")
    return chosen if found.context == layout.context else chosen.sel(variable=list(layout.context))


def _difference(axis: str, expected: tuple[str, ...], found: tuple[str, ...]) -> str:
    missing = [name for name in expected if name not in found]
    if not missing:
        return ""
    unknown = [name for name in found if name not in expected]
    return f"{axis} missing {_some(missing)}, not known to the model {_some(unknown) if unknown else 'none'}"


def _date_difference(expected: tuple[int, ...], found: tuple[int, ...]) -> str:
    if len(expected) != len(found):
        return f"fitted on {len(expected)} dates ({_span(expected)}), given {len(found)} ({_span(found)})"
    shift = np.abs(np.subtract(expected, found)).max()
    if shift > DAYS_OF_GRACE:
        return f"dates differ by up to {shift} days (fitted on {_span(expected)}, given {_span(found)})"
    return ""


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _span(days: tuple[int, ...]) -> str:
    return f"day {days[0]} to {days[-1]} of the year"


def values_of(series: xr.Dataset) -> np.ndarray:
    """Return values `(n, time, channel)` float32, NaN where unknown; channels as in `Layout.channels`.

    They lie in memory in that order; otherwise sums, and so models, would depend on how the series was cut.
    """
    value = series["value"].values.astype(np.float32, order="C")
    value = np.where(np.isfinite(value), value, np.float32(np.nan))
    return value.reshape(*value.shape[:2], -1)


def observed_of(series: xr.Dataset) -> np.ndarray:
    """Return `(n, time, feature)` bool: seen, not filled."""
    return series["observed"].values.astype(bool)


def context_of(series: xr.Dataset) -> np.ndarray:
    """Return context `(n, variable)` float32, NaN where unknown; no columns where there is none."""
    if CONTEXT not in series:
        return np.empty((series.sizes["parcel"], 0), np.float32)
    return series[CONTEXT].values.astype(np.float32)


def seen(series: xr.Dataset) -> np.ndarray:
    """Return `(n,)` bool: whether anything at all is known of the parcel, beside the region's weather."""
    own = [not str(name).startswith("weather_") for name in series["feature"].values]
    return np.asarray(np.isfinite(series["value"].values[:, :, own]).any((1, 2, 3)))


def take(series: xr.Dataset, rows: np.ndarray) -> xr.Dataset:
    """Return the parcels at `rows`, indices `(m,)` or a mask `(parcel,)`, in that order."""
    return series.isel(parcel=np.flatnonzero(rows) if np.asarray(rows).dtype == bool else rows)
