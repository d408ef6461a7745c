"""A parcel's season against the usual range of its declared and its predicted class."""

from collections.abc import Iterable
from datetime import date
from functools import cached_property

import numpy as np
import xarray as xr
from markupsafe import Markup

from features.series.chunks import rows_of
from reports.run import RunTables
from reports.svg import Plot, nice_ticks, short
from reports.translation import Text

KINDS = {"ndvi": ("ndvi",), "vh": ("s0vh_db", "s0vh"), "coherence": ("cohvh", "cohvv")}
SHOWN = tuple(base for bases in KINDS.values() for base in bases)
BAND = (0.1, 0.5, 0.9)
FEWEST_OF_CLASS = 5
RANGE_PARCELS = 1000  # of a class: its quantiles are then known to about one percentage point
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
        self._own: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        if self.series is None:
            return
        self._rows = rows_of(self.series)
        head = self._rows.head
        self.parcels = {str(name): k for k, name in enumerate(self._rows.parcels)}
        self.features = [str(name) for name in head["feature"].values]
        self.days = [day.astype("datetime64[D]").astype(date) for day in head["time"].values]
        self.classes = self._classes(run)

    def _classes(self, run: RunTables) -> np.ndarray:
        of = dict(run.verdicts.select("parcel_id", "crop_class").iter_rows())
        return np.array([of.get(name) or "" for name in self.parcels], dtype=object)

    @cached_property
    def _members(self) -> dict[str, np.ndarray]:
        """Values `(parcel, time, feature)` of every class's parcels; of a large class, RANGE_PARCELS of them,
        evenly taken."""
        places = {name: np.flatnonzero(self.classes == name) for name in np.unique(self.classes) if name}
        taken = {name: where[:: -(-len(where) // RANGE_PARCELS)] for name, where in places.items()}
        every = np.concatenate([np.empty(0, int), *taken.values()])
        values, _ = self._read(every)
        ends = np.cumsum([len(where) for where in taken.values()])
        return dict(zip(taken, np.split(values, ends[:-1]), strict=True)) if taken else {}

    def _read(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return values and whether they were observed, `(parcel, time, feature)` each."""
        shape = (len(places), len(self.days), len(self.features))
        values, observed = np.empty(shape, np.float32), np.empty(shape, bool)
        for mine, part in self._rows.of(places):
            values[mine], observed[mine] = _main_statistic(part), part["observed"].values
        return values, observed

    def fetch(self, names: Iterable[str]) -> "Season":
        """Read some parcels at once, so that each is at hand when it is drawn."""
        if self.series is not None:
            places = np.array([self.parcels[name] for name in names if name in self.parcels], int)
            values, observed = self._read(places)
            self._own |= dict(zip(places.tolist(), zip(values, observed, strict=True), strict=True))
        return self

    def own(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a parcel's values and whether they were observed, `(time, feature)` each."""
        if place in self._own:
            return self._own[place]
        values, observed = self._read(np.array([place]))
        return values[0], observed[0]

    def feature_of(self, kind: str, place: int) -> str | None:
        """Return the feature that shows `kind` for a parcel: of several orbits the one that saw it most."""
        _, observed = self.own(place)
        for base in KINDS[kind]:
            names = [name for name in self.features if name == base or name.startswith(f"{base}_r")]
            seen = [int(observed[:, self.features.index(name)].sum()) for name in names]
            if names and max(seen) > 0:
                return names[int(np.argmax(seen))]
        return None

    def seen_ndvi(self, place: int | None) -> list[tuple[date, float]]:
        """Return a parcel's NDVI at the steps in which it was seen."""
        feature = self.feature_of("ndvi", place) if place is not None else None
        if feature is None or place is None:
            return []
        k = self.features.index(feature)
        value, observed = (each[:, k] for each in self.own(place))
        steps = np.flatnonzero(observed & np.isfinite(value))
        return [(self.days[step], float(value[step])) for step in steps]

    def range_of(self, crop_class: str | None, feature: str) -> np.ndarray | None:
        """Return the 10, 50 and 90% quantiles `(3, time)` of a class's parcels; None with too few of them."""
        key = (crop_class or "", feature)
        if key not in self._ranges:
            members = self._members.get(key[0]) if key[0] else None
            k = self.features.index(feature)
            self._ranges[key] = _quantiles(np.empty((0, 0)) if members is None else members[:, :, k])
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
        value, observed = self.own(place)
        y, seen = value[:, k].astype(float), observed[:, k]
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
