"""A parcel's season against the usual range of its declared and its predicted class."""

from datetime import date

import numpy as np
import xarray as xr
from markupsafe import Markup

from reports.run import RunTables
from reports.svg import Plot, nice_ticks, short
from reports.translation import Text

KINDS = {"ndvi": ("ndvi",), "vh": ("s0vh_db", "s0vh"), "coherence": ("cohvh", "cohvv")}
SHOWN = tuple(base for bases in KINDS.values() for base in bases)
BAND = (0.1, 0.5, 0.9)
FEWEST_OF_CLASS = 5
WIDTH, HEIGHT = 420.0, 118.0


class Season:
    """The filled series of a run, looked up by parcel, and the ranges of its classes.

    Parameters
    ----------
    run
        Its `filled` series gives the values, or `series` where nothing was filled.
    """

    def __init__(self, run: RunTables) -> None:
        self.series = run.filled if run.filled is not None else run.series
        self._ranges: dict[tuple[str, str], np.ndarray] = {}
        if self.series is None:
            return
        self.parcels = {str(name): k for k, name in enumerate(self.series["parcel"].values)}
        self.features = [str(name) for name in self.series["feature"].values]
        self.days = [day.astype("datetime64[D]").astype(date) for day in self.series["time"].values]
        self.value = _main_statistic(self.series)
        self.observed = self.series["observed"].values
        self.classes = self._classes(run)

    def _classes(self, run: RunTables) -> np.ndarray:
        of = dict(run.verdicts.select("parcel_id", "crop_class").iter_rows())
        return np.array([of.get(name) or "" for name in self.parcels], dtype=object)

    def feature_of(self, kind: str, place: int) -> str | None:
        """Return the feature that shows `kind` for a parcel: of several orbits the one that saw it most."""
        for base in KINDS[kind]:
            names = [name for name in self.features if name == base or name.startswith(f"{base}_r")]
            seen = [int(self.observed[place, :, self.features.index(name)].sum()) for name in names]
            if names and max(seen) > 0:
                return names[int(np.argmax(seen))]
        return None

    def seen_ndvi(self, place: int | None) -> list[tuple[date, float]]:
        """Return a parcel's NDVI at the steps in which it was seen."""
        feature = self.feature_of("ndvi", place) if place is not None else None
        if feature is None or place is None:
            return []
        k = self.features.index(feature)
        steps = np.flatnonzero(self.observed[place, :, k] & np.isfinite(self.value[place, :, k]))
        return [(self.days[step], float(self.value[place, step, k])) for step in steps]

    def range_of(self, crop_class: str | None, feature: str) -> np.ndarray | None:
        """Return the 10, 50 and 90% quantiles `(3, time)` of a class's parcels; None with too few of them."""
        key = (crop_class or "", feature)
        if key not in self._ranges:
            members = (
                self.value[self.classes == key[0], :, self.features.index(feature)]
                if key[0]
                else np.empty((0, 0))
            )
            self._ranges[key] = _quantiles(members)
        found = self._ranges[key]
        return found if found.size else None

    def prepare(self) -> "Season":
        """Compute the ranges of all classes at once, so that no reader waits for the first of a class."""
        for crop_class in sorted({*self.classes.tolist()} - {""}) if self.series is not None else ():
            for feature in self.features:
                if any(feature == base or feature.startswith(f"{base}_r") for base in SHOWN):
                    self.range_of(crop_class, feature)
        return self

    def chart(
        self, place: int, feature: str, declared: str | None, predicted: str | None, text: Text
    ) -> Markup:
        """Return the season of one feature: the parcel's points, seen or filled, over the classes' ranges."""
        k = self.features.index(feature)
        y, seen = self.value[place, :, k].astype(float), self.observed[place, :, k]
        bands = [
            (name, band)
            for name, band in (
                ("declared", self.range_of(declared, feature)),
                ("predicted", self.range_of(predicted, feature) if predicted != declared else None),
            )
            if band is not None
        ]
        low, high = _extent([y, *(band for _, band in bands)])
        days = [day.toordinal() for day in self.days]
        label = text(f"chart.{_kind_of(feature)}")
        plot = Plot(
            WIDTH,
            HEIGHT,
            (days[0], max(days[-1], days[0] + 1)),
            (low, high),
            label,
            left=34,
            right=4,
            top=6,
            bottom=17,
        )
        plot.axis_y([(tick, text.written(short(tick))) for tick in nice_ticks(low, high, 4)])
        plot.axis_x(
            [(date(year, month, 1).toordinal(), text(f"month.{month}")) for year, month in _months(self.days)]
        )
        for name, band in bands:
            plot.band(days, band[0], band[2], f"band-{name}")
            plot.line(days, band[0], f"edge-{name}").line(days, band[2], f"edge-{name}")
        plot.line(days, y.tolist(), "own")
        plot.dots(days, np.where(seen, y, np.nan), "dot", 2.7).dots(
            days, np.where(seen, np.nan, y), "ring", 2.5
        )
        return plot.markup()


def _main_statistic(series: xr.Dataset) -> np.ndarray:
    names = [str(name) for name in series["statistic"].values]
    best = next((name for name in ("mean", "median") if name in names), names[0])
    return np.asarray(series["value"].sel(statistic=best).values)


def _quantiles(members: np.ndarray) -> np.ndarray:
    if len(members) < FEWEST_OF_CLASS:
        return np.empty(0)
    known = np.isfinite(members).sum(0)
    ordered = np.sort(np.where(np.isfinite(members), members, np.nan), axis=0)  # unknown ones come last
    place = np.array(BAND)[:, None] * np.maximum(known - 1, 0)
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, np.maximum(known - 1, 0))
    low, high = np.take_along_axis(ordered, below, 0), np.take_along_axis(ordered, above, 0)
    return np.where(known >= FEWEST_OF_CLASS, low + (high - low) * (place - below), np.nan)


def _extent(values: list[np.ndarray]) -> tuple[float, float]:
    known = np.concatenate([np.ravel(part)[np.isfinite(np.ravel(part))] for part in values])
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    room = 0.06 * (high - low or 1.0)
    return low - room, high + room


def _months(days: list[date]) -> list[tuple[int, int]]:
    """Return (year, month) of every month whose first day lies within the days."""
    firsts = {(day.year, day.month) for day in days}
    return sorted(m for m in firsts if days[0] <= date(m[0], m[1], 1) <= days[-1])


def _kind_of(feature: str) -> str:
    return next(
        kind
        for kind, bases in KINDS.items()
        if any(feature == b or feature.startswith(f"{b}_r") for b in bases)
    )
