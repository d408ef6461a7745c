"""Boosting over intervals: which of them are worth a look, and how a detector of one kind is fitted."""

from typing import Any

import numpy as np

from models.events.intervals import NAMES, Intervals, find_intervals
from models.events.labels import Labels, targets
from models.events.options import EventOptions
from models.events.series import EventSeries

LONG = 10  # days: nothing is ruled out of a longer gap
MOST_COPIES = 6
MEMBERS = 5  # boosters where labels are few
KEPT_LOOKS = (0.5, 1.0)  # share of looks that a copy keeps
FALLS = ("mowing", "grazing", "harvest", "bare_soil", "ploughing")
LOW = ("bare_soil", "ploughing", "sowing", "emergence")


def worth_a_look(intervals: Intervals, event: str) -> np.ndarray:
    """Return `(interval,)` whether an event of this kind can have happened there at all.

    Cuts, grazing, harvest and tillage leave a field less green or drier; tillage leaves it nearly bare, and
    sowing and emergence begin there. What long gaps or missing looks hide is never ruled out.
    """
    green, wet, after = (
        intervals.features[:, NAMES.index(name)] for name in ("ndvi_change", "ndmi_change", "ndvi_after")
    )
    unknown = ~np.isfinite(after) | (intervals.gap > LONG)
    falls = (green < 0) | (wet < 0) if event in FALLS else np.ones(len(intervals), bool)
    low = np.minimum(after, after - green) < 0.5 if event in LOW else np.ones(len(intervals), bool)
    return np.asarray(unknown | (falls & low))


def learning_sets(series: EventSeries, options: EventOptions) -> list[list[tuple[Intervals, EventSeries]]]:
    """Return what each booster learns from: the labelled parcels' intervals and, where labels are few, those
    of copies with looks left out. There are MEMBERS boosters then, each with copies of its own: one alone
    depends much on what chance leaves out.
    """
    whole = find_intervals(series)
    copies = min(int(options.rows_wanted // max(len(whole), 1)), MOST_COPIES)
    found = []
    for member in range(MEMBERS if copies else 1):
        rng = np.random.default_rng([options.seed + member, 19])
        thinned = [_thinned(series, rng) for _ in range(copies)]
        found.append([(whole, series), *((find_intervals(copy), copy) for copy in thinned)])
    return found


def _thinned(series: EventSeries, rng: np.random.Generator) -> EventSeries:
    """Hide a random share of every parcel's clear looks."""
    kept = rng.uniform(*KEPT_LOOKS, len(series))
    optical = series.optical.copy()
    optical[rng.random(optical.shape[:2]) > kept[:, None]] = np.nan
    return EventSeries(
        series.parcel_ids, series.origin, series.days, optical, series.radar_days, series.orbit,
        series.radar, series.pixels,
    )  # fmt: skip


def binned(sets: list[tuple[Intervals, EventSeries]], options: EventOptions, seed: int) -> Any:
    """Return LightGBM's data set of all intervals that a booster may learn from, its features in bins.

    All kinds and folds share it: sorting every feature into bins takes as long as fitting, and what the bins
    know is how features are distributed, never a label.
    """
    import lightgbm

    features = np.concatenate([intervals.features for intervals, _ in sets])
    settings = parameters(options) | {"seed": seed}
    data = lightgbm.Dataset(features, np.zeros(len(features)), params=settings, free_raw_data=True)
    return data.construct()


def rows_of(
    sets: list[tuple[Intervals, EventSeries]], labels: Labels, event: str, fold: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows of `binned`, targets and folds `(row)` of everything that one kind of event is learned
    from; `fold` is `(parcel)`.
    """
    rows, y, folds = [], [], []
    before = 0
    for intervals, series in sets:
        hit, weight = targets(intervals, series, labels, event)
        chosen = np.flatnonzero((weight > 0) & worth_a_look(intervals, event))
        rows.append(before + chosen)
        y.append(hit[chosen])
        folds.append(fold[intervals.row[chosen]])
        before += len(intervals)
    return np.concatenate(rows), np.concatenate(y), np.concatenate(folds)


def parameters(options: EventOptions) -> dict[str, Any]:
    """Return LightGBM's parameters: a fit takes one thread, and several fits run side by side."""
    return {
        "objective": "binary", "learning_rate": options.learning_rate, "num_leaves": options.leaves,
        "feature_fraction": options.column_share, "bagging_fraction": 0.8, "bagging_freq": 1,
        "min_data_in_leaf": 20, "lambda_l2": 5.0, "max_bin": 63, "num_threads": 1,
        "deterministic": True, "force_col_wise": True, "verbosity": -1,
    }  # fmt: skip


def fit_booster(data: Any, rows: np.ndarray, y: np.ndarray, options: EventOptions, seed: int) -> Any:
    """Fit one booster on rows of `binned` and their targets `(row)`."""
    import lightgbm

    settings = parameters(options) | {"seed": seed}
    own = data.subset(rows.tolist(), params=settings).construct()
    own.set_label(y)
    return lightgbm.train(settings, own, num_boost_round=options.rounds)
