"""How well predictions agree with declarations, from the stored tables, with intervals."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import shapely

from models.evaluation.metrics import FEW_GROUPS, multiplicities, rare_share, totals
from reports.run import RunTables
from reports.translation import Text

RESAMPLES = 400
FEWEST_GROUPS = 5
BLOCK_M = 2000.0


@dataclass(frozen=True)
class Share:
    """A ratio, its 95% interval (None with too few groups to resample), and of how many parcels it is."""

    name: str
    value: float
    low: float | None
    high: float | None
    n: int
    hectares: float = 0.0


@dataclass(frozen=True)
class Quality:
    """The judged parcels of a run, ready to be counted.

    `table` has `crop_class, predicted, right, top (highest probability)` and the verdict table's columns;
    `groups` says by what intervals are resampled: `holding`, `block` or `none`.
    """

    table: pl.DataFrame
    draws: np.ndarray  # (resamples, groups): how often each group was drawn
    group: np.ndarray  # (parcels,): group of each parcel
    groups: str

    def ratio(self, name: str, upper: np.ndarray, lower: np.ndarray) -> Share:
        """Return sum(upper) / sum(lower), both `(parcel,)`, with its interval by bootstrap over groups.

        Percentile bootstrap over clusters (Davison & Hinkley 1997, section 3.8): parcels of one holding are
        alike, so whole holdings are drawn.
        """
        total = float(lower.sum())
        value = float(upper.sum() / total) if total else float("nan")
        low, high = self._interval(upper, lower) if total and self.groups != "none" else (None, None)
        hectares = self.table["area_ha"].cast(pl.Float64).to_numpy()[lower > 0].sum()
        return Share(name, value, low, high, int((lower > 0).sum()), float(hectares))

    def _interval(self, upper: np.ndarray, lower: np.ndarray) -> tuple[float, float]:
        size = self.draws.shape[1]
        above, below = np.bincount(self.group, upper, size), np.bincount(self.group, lower, size)
        if min((above > 0).sum(), (above < below).sum()) < FEW_GROUPS:
            return rare_share(above, below, lower.sum() ** 2 / (lower**2).sum())
        above, below = totals(self.draws, above), totals(self.draws, below)
        low, high = np.quantile(above[below > 0] / below[below > 0], [0.025, 0.975])
        return float(low), float(high)


def quality_of(run: RunTables) -> Quality:
    """Return the parcels that have a declared class and a prediction."""
    top = pl.col("top3").list.first().struct.field("probability").cast(pl.Float64)
    judged = run.table.with_columns(top=top, right=pl.col("crop_class") == pl.col("predicted"))
    judged = judged.filter(pl.col("crop_class").is_not_null() & pl.col("predicted").is_not_null())
    kind, group = _groups(run, judged)
    size = int(group.max()) + 1 if len(group) else 1
    draws = multiplicities(np.arange(size), np.random.default_rng(0), RESAMPLES)
    return Quality(judged, draws, group, kind if size >= FEWEST_GROUPS else "none")


def _groups(run: RunTables, judged: pl.DataFrame) -> tuple[str, np.ndarray]:
    """Return what whole groups are (`holding`, else spatial `block`) and the group of each judged parcel.

    Holdings are numbered as they appear: their ids are keyed hashes, whose order another key would change.
    """
    if len(judged) and not judged["holding_id"].null_count():
        return "holding", pd.factorize(judged["holding_id"].to_numpy())[0]
    shapes = run.declarations.set_index("parcel_id").geometry.loc[judged["parcel_id"].to_list()]
    points = shapely.centroid(np.asarray(shapes.values, dtype=object))
    blocks = np.column_stack([np.nan_to_num(f(points)) // BLOCK_M for f in (shapely.get_x, shapely.get_y)])
    return "block", np.unique(blocks, axis=0, return_inverse=True)[1].ravel()


def per_class(quality: Quality) -> list[dict[str, Share]]:
    """Return precision, recall and F1 of every class, largest class first."""
    declared, predicted = quality.table["crop_class"].to_numpy(), quality.table["predicted"].to_numpy()
    classes = (
        quality.table["crop_class"]
        .value_counts()
        .sort(["count", "crop_class"], descending=[True, False])["crop_class"]
    )
    rows = []
    for name in [*classes, *sorted(set(predicted) - set(classes))]:
        is_declared, is_predicted = (declared == name).astype(float), (predicted == name).astype(float)
        hit = is_declared * is_predicted
        pairs = {
            "precision": (hit, is_predicted),
            "recall": (hit, is_declared),
            "f1": (2 * hit, is_declared + is_predicted),
        }
        rows.append({measure: quality.ratio(name, *pair) for measure, pair in pairs.items()})
    return rows


def errors_by(quality: Quality, label: np.ndarray) -> list[Share]:
    """Return the share of parcels whose predicted class is not the declared one, by `label (parcel,)`,
    sorted.
    """
    wrong = 1.0 - quality.table["right"].cast(pl.Float64).to_numpy()
    names = sorted({str(name) for name in label})
    return [quality.ratio(name, wrong * (label == name), (label == name).astype(float)) for name in names]


def bins(values: np.ndarray, edges: list[float], number: Callable[[float], str], text: Text) -> np.ndarray:
    """Return `(parcel,)` labels: the bin of each value, in an order that sorts; unknown values have a bin of
    their own.
    """
    names = [f"{k}|{number(a)} – {number(b)}" for k, (a, b) in enumerate(pairwise(edges))]
    names[0] = f"0|{text('level.under', high=number(edges[1]))}"
    names[-1] = f"{len(names) - 1}|{text('level.over', low=number(edges[-2]))}"
    place = np.clip(np.digitize(values, edges) - 1, 0, len(names) - 1)
    return np.where(np.isfinite(values), np.array(names, dtype=object)[place], f"9|{text('page.not_given')}")


def reliability(quality: Quality, count: int = 10) -> list[tuple[float, Share]]:
    """Return (mean of the highest probability, share that was right) in bins of equal width."""
    top = quality.table["top"].to_numpy()
    right = quality.table["right"].cast(pl.Float64).to_numpy()
    place = np.clip((np.nan_to_num(top) * count).astype(int), 0, count - 1)
    found = []
    for k in range(count):
        inside = ((place == k) & np.isfinite(top)).astype(float)
        if inside.sum():
            found.append(
                (float(top[inside > 0].mean()), quality.ratio(f"{k / count:.1f}", right * inside, inside))
            )
    return found


def false_alarm_curve(quality: Quality, rates: tuple[float, ...]) -> list[tuple[float, Share]]:
    """Return, for every promised rate, the share of declarations whose p-value is at or below it."""
    p_value = quality.table["p_value"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    known = np.isfinite(p_value).astype(float)
    return [
        (rate, quality.ratio(f"{rate}", known * (np.nan_to_num(p_value, nan=1) <= rate), known))
        for rate in rates
    ]


def set_coverage(quality: Quality) -> Share:
    """Return the share of parcels whose prediction set holds the declared class."""
    known = quality.table["prediction_set"].is_not_null()
    held = quality.table.select(
        pl.col("crop_class").is_in(pl.col("prediction_set")).fill_null(False)
    ).to_series()
    lower = known.cast(pl.Float64).to_numpy()
    return quality.ratio("coverage", held.cast(pl.Float64).to_numpy() * lower, lower)


def paired(run: RunTables, quality: Quality, against: str) -> list[tuple[Share, Share]]:
    """Return, per model, its accuracy and its difference to the model `against` on the same parcels."""
    if run.probabilities is None:
        return []
    guesses = _guesses(run.probabilities.lazy())
    rights = {
        str(name[0]): _right(part, quality) for name, part in guesses.group_by("model", maintain_order=True)
    }
    best = rights.get(against)
    found = []
    for name, right in rights.items():
        both = np.isfinite(right) if best is None else np.isfinite(right) & np.isfinite(best)
        ones = both.astype(float)
        other = np.nan_to_num(right if best is None else best)
        accuracy = quality.ratio(name, np.nan_to_num(right) * ones, ones)
        found.append((accuracy, quality.ratio(name, (np.nan_to_num(right) - other) * ones, ones)))
    return sorted(found, key=lambda pair: -pair[0].value)


def _guesses(probabilities: pl.LazyFrame) -> pl.DataFrame:
    """Return `parcel_id, model, guess, known`: each model's likeliest class, null where it is silent."""
    keys = ("parcel_id", "model", "fold")
    classes = [name for name in probabilities.collect_schema().names() if name not in keys]
    values = [pl.col(name).fill_nan(-1.0).fill_null(-1.0) for name in classes]
    place = pl.concat_arr(*values).arr.arg_max().cast(pl.Int64)
    guess = place.replace_strict(dict(enumerate(classes)), return_dtype=pl.String)
    known = pl.max_horizontal(*values) >= 0
    return probabilities.select("parcel_id", "model", guess=guess, known=known).collect(engine="streaming")


def _right(guess: pl.DataFrame, quality: Quality) -> np.ndarray:
    """Return 1 where the model's likeliest class is the declared one, 0 where not, NaN where it is silent."""
    joined = quality.table.select("parcel_id", "crop_class").join(
        guess, on="parcel_id", how="left", maintain_order="left"
    )
    right = (joined["guess"] == joined["crop_class"]).cast(pl.Float64).fill_null(np.nan).to_numpy()
    return np.where(joined["known"].fill_null(False).to_numpy(), right, np.nan)
