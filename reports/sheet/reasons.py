"""The (feature, date) groups that contributed most for a parcel, in words and as a small chart."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from markupsafe import Markup

from reports.run import RunTables
from reports.sheet.season import Season
from reports.svg import Plot
from reports.translation import Text
from reports.words import feature_words, step_words

MOST = 5


@dataclass(frozen=True)
class Weight:
    """One group: how far it pushes towards the predicted class (positive) or the declared one (negative)."""

    feature: str
    day: date | None
    push: float


@dataclass(frozen=True)
class Crop:
    """A declared crop: its modelling class, and the name to print."""

    crop_class: str | None
    name: str


class Weights(Mapping[str, list[Weight]]):
    """The groups of parcels, by size of their push; a parcel's are laid out when they are asked for.

    Parameters
    ----------
    pushes
        `parcel_id, feature, time, push`, the rows of a parcel together, in their order.
    """

    def __init__(self, pushes: pl.DataFrame | None) -> None:
        self._spans: dict[str, tuple[int, int]] = {}
        if pushes is not None:
            self._pushes = pushes.select("feature", "time", "push")
            runs = pushes["parcel_id"].rle().struct.unnest()
            starts = runs["len"].cum_sum() - runs["len"]
            spans = zip(starts, runs["len"], strict=True)
            self._spans = dict(zip(runs["value"], spans, strict=True))

    def of(self, parcel_id: str) -> Iterator[Weight]:
        """Yield a parcel's groups, the largest push first; none where it has none."""
        span = self._spans.get(parcel_id)
        rows = self._pushes.slice(*span).iter_rows() if span else ()
        return (Weight(*row) for row in rows)

    def __getitem__(self, parcel_id: str) -> list[Weight]:
        if parcel_id not in self._spans:
            raise KeyError(parcel_id)
        return list(self.of(parcel_id))

    def __iter__(self) -> Iterator[str]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)


def weights_of(run: RunTables, parcel_ids: Collection[str] | None = None) -> Weights:
    """Return the groups of these parcels, or of all, by size of their push: to the predicted class less to
    the declared one.
    """
    if run.contributions is None:
        return Weights(None)
    verdicts = run.verdicts
    if parcel_ids is not None:
        verdicts = verdicts.filter(pl.col("parcel_id").is_in(list(parcel_ids)))
    classes = verdicts.select("parcel_id", declared="crop_class", predicted="predicted")
    rows = run.contributions.lazy().join(classes.lazy(), on="parcel_id", how="inner").collect()
    sign = (pl.col("crop_class") == pl.col("predicted")).cast(pl.Float64) - (
        (pl.col("crop_class") == pl.col("declared")) & (pl.col("declared") != pl.col("predicted"))
    ).cast(pl.Float64)
    pushes = rows.group_by("parcel_id", "feature", "time", maintain_order=True).agg(
        push=(sign * pl.col("contribution")).sum()
    )
    pushes = pushes.sort(
        [pl.col("parcel_id"), pl.col("push").abs(), pl.col("feature"), pl.col("time")],
        descending=[False, True, False, False],
    )
    return Weights(pushes.select("parcel_id", "feature", "time", "push"))


def in_words(weight: Weight, season: Season, place: int | None, crop: Crop, text: Text) -> tuple[str, str]:
    """Return what a group is (`Greenness (NDVI), 11–20 May`) and how the parcel differs there from its crop.

    Parameters
    ----------
    place
        The parcel's place in the series; None where it has none.
    """
    name = feature_words(weight.feature, text)
    if weight.day is None:
        return name, ""
    days = step_words(weight.day, _following(season, weight.day), text)
    return text("sheet.group", feature=name, days=days), _against_usual(weight, season, place, crop, text)


def _following(season: Season, day: date) -> date | None:
    later = [other for other in (season.days if season.series is not None else []) if other > day]
    return later[0] if later else None


def _against_usual(weight: Weight, season: Season, place: int | None, crop: Crop, text: Text) -> str:
    if (
        place is None
        or season.series is None
        or weight.feature not in season.features
        or weight.day not in season.days
    ):
        return ""
    k, step = season.features.index(weight.feature), season.days.index(weight.day)
    values, observed = season.own(place)
    usual, value = season.range_of(crop.crop_class, weight.feature), values[step, k]
    if usual is None or not np.isfinite(value) or not np.isfinite(usual[:, step]).all():
        return ""
    where = "lower" if value < usual[0, step] else "higher" if value > usual[2, step] else "usual"
    seen = "" if observed[step, k] else f" ({text('sheet.filled')})"
    return text(f"sheet.{where}", crop=crop.name) + seen


def bars(weights: list[Weight], text: Text) -> list[Markup]:
    """Return a bar a push: to the right for the predicted class, to the left for the declared one."""
    most = max((abs(weight.push) for weight in weights), default=1.0) or 1.0
    return [_bar(weight.push / most, text) for weight in weights]


def _bar(push: float, text: Text) -> Markup:
    title = text("sheet.towards_likely" if push > 0 else "sheet.towards_declared")
    plot = Plot(84, 14, (-1, 1), (-1, 1), title, left=1, right=1, top=0, bottom=0)
    plot.box(min(0, push), max(0, push), -0.55, 0.55, "bar-predicted" if push > 0 else "bar-declared")
    return plot.line([0, 0], [-1, 1], "axis").markup()
