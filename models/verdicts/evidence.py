"""The input of the decision rule: calibrated probabilities, p-values, prediction sets, mislabel scores."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.special import expit
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from features.declarations.crop_codes import CropGroups
from features.declarations.schemes import Schemes, accepted_classes
from features.errors import StageError
from features.schema import ENSEMBLE
from models.probability.calibration import cross_calibrate, fit_calibrator
from models.probability.conformal import (
    can_promise,
    class_p_values,
    least_p_values,
    prediction_sets,
    rank_p_values,
)
from models.probability.mislabel import CrossFittedMislabel, cross_fit_mislabel
from models.verdicts.options import JudgeOptions

ROWS_TO_CALIBRATE = 10  # least number of inner rows per class
KEYS = ("parcel_id", "model", "fold")
RESOLUTION = 1e-4  # smaller differences of probability carry no information


@dataclass(frozen=True)
class Evidence:
    """What the decision rule reads, one row per parcel that has probabilities."""

    at: np.ndarray  # (parcel,): row in the declarations
    probabilities: np.ndarray  # (parcel, class), calibrated
    classes: np.ndarray  # (class,) names
    declared: np.ndarray  # (parcel,) class index, -1 where the class is not modelled
    fold: np.ndarray  # (parcel,)
    accepted: np.ndarray  # (parcel, class) bool: classes that satisfy the scheme
    p_value: np.ndarray  # (parcel,): of the hypothesis that the scheme's requirement is met
    sets: np.ndarray  # (parcel, class) bool: prediction sets
    typical: np.ndarray  # (parcel,): largest p-value of any class by its own probability: low where none fits
    promised: np.ndarray  # (parcel,) bool: the p-value, with its weights, can get down to alpha
    right: (
        np.ndarray
    )  # (parcel,): probability that the requirement is met; NaN where no model could be fitted

    @property
    def predicted(self) -> np.ndarray:
        """Return `(parcel,)`: the index of the most probable class."""
        return np.asarray(self.probabilities.argmax(1))


def score_parcels(
    probabilities: pl.DataFrame,
    table: pl.DataFrame,
    options: JudgeOptions,
    schemes: Schemes,
    groups: CropGroups,
    *,
    inner: pl.DataFrame | None = None,
) -> Evidence:
    """Compute the evidence on every parcel: calibration, mislabel scores, p-values, prediction sets.

    Parameters
    ----------
    probabilities, inner
        As `models.verdicts.judge.judge` takes them.
    table
        At least `parcel_id, crop_class, intervention`, one row per parcel.

    Raises
    ------
    StageError
        Where the probabilities hold no rows of the ensemble.
    """
    classes = np.array([name for name in probabilities.columns if name not in KEYS], dtype=object)
    rows = ensemble_of(probabilities).join(
        table.with_row_index("at"), on="parcel_id", how="inner", validate="1:1"
    )
    rows = rows.sort("at")
    fold, declared = rows["fold"].to_numpy(), _index_of(rows["crop_class"], classes)
    calibrated = _calibrate(rows, classes, declared, options, None if inner is None else ensemble_of(inner))
    accepted = _accepted(rows, classes, schemes, groups)
    views = _views(calibrated, probabilities, rows, classes)
    with threadpool_limits(1, "blas"):  # sums in one order: the same verdicts on any number of cores
        mislabel = cross_fit_mislabel(views, declared, fold, options.noise_rate)
        p_value, right, least = _required(mislabel, declared, accepted)
        scores, chance = _scores(mislabel, declared)
    own = class_p_values(np.log(calibrated + RESOLUTION), declared, fold, chance)
    return Evidence(
        at=rows["at"].to_numpy(),
        probabilities=calibrated,
        classes=classes,
        declared=declared,
        fold=fold,
        accepted=accepted,
        p_value=p_value,
        sets=prediction_sets(class_p_values(-scores, declared, fold, chance), 1 - options.set_level),
        typical=own.max(1),
        promised=can_promise(least, options.alpha) & (declared >= 0),
        right=right,
    )


def ensemble_of(probabilities: pl.DataFrame) -> pl.DataFrame:
    """Return the ensemble's rows of a probability table, without the column that names the model."""
    if "model" not in probabilities.columns:
        return probabilities
    found = probabilities.filter(pl.col("model") == ENSEMBLE)
    if len(probabilities) and not len(found):
        raise StageError(f"The probabilities hold no model called {ENSEMBLE!r}; run cropcheck train again.")
    return found.drop("model")


def _index_of(names: pl.Series, classes: np.ndarray) -> np.ndarray:
    number = {name: index for index, name in enumerate(classes)}
    return np.array([number.get(name, -1) for name in names.to_list()], dtype=int)


def _calibrate(
    rows: pl.DataFrame,
    classes: np.ndarray,
    declared: np.ndarray,
    options: JudgeOptions,
    inner: pl.DataFrame | None,
) -> np.ndarray:
    """Calibrate each fold on its inner rows, or on the other folds where these are too few."""
    raw, fold = rows.select(classes.tolist()).to_numpy(), rows["fold"].to_numpy()
    if inner is None or not len(inner):
        return cross_calibrate(raw, declared, fold, options.calibration)[0]
    learn = inner.join(rows.select("parcel_id", "crop_class", own="fold"), on="parcel_id", how="inner")
    labels, held = _index_of(learn["crop_class"], classes), learn["fold"].to_numpy()
    values, own = learn.select(classes.tolist()).to_numpy(), learn["own"].to_numpy()
    calibrated = raw.astype(float)
    for number in np.unique(fold):
        use, mine = (held == number) & (labels >= 0), fold == number
        if use.sum() >= ROWS_TO_CALIBRATE * len(classes):
            fitted = fit_calibrator(options.calibration, values[use], labels[use], own[use])
        else:
            others = ~mine & (fold >= 0) & (declared >= 0)
            fitted = fit_calibrator(options.calibration, raw[others], declared[others], fold[others])
        calibrated[mine] = fitted.apply(raw[mine])
    return calibrated


def _views(
    calibrated: np.ndarray, probabilities: pl.DataFrame, rows: pl.DataFrame, classes: np.ndarray
) -> np.ndarray:
    """Return the calibrated ensemble and, where it has several, each model's own probabilities."""
    views = [calibrated]
    names = [] if "model" not in probabilities.columns else probabilities["model"].unique().sort().to_list()
    models = [name for name in names if name != ENSEMBLE]
    for name in models if len(models) > 1 else []:
        own = probabilities.filter(pl.col("model") == name).select("parcel_id", *classes)
        joined = rows.select("parcel_id").join(
            own, on="parcel_id", how="left", maintain_order="left", validate="1:1"
        )
        views.append(joined.select(classes.tolist()).fill_null(1 / len(classes)).to_numpy())
    return np.stack(views)


def _accepted(rows: pl.DataFrame, classes: np.ndarray, schemes: Schemes, groups: CropGroups) -> np.ndarray:
    accepted = np.zeros((len(rows), len(classes)), bool)
    known: dict[tuple[str, str], np.ndarray] = {}
    for index, (name, intervention) in enumerate(rows.select("crop_class", "intervention").iter_rows()):
        if name is not None:
            key = (schemes.rule_of(intervention), name)
            if key not in known:
                known[key] = np.isin(classes, list(accepted_classes(key[0], name, classes, groups)))
            accepted[index] = known[key]
    return accepted


def _required(
    mislabel: CrossFittedMislabel, declared: np.ndarray, accepted: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Return p-value and probability that any accepted class meets the requirement, and the least p-value
    there could be, `(parcel,)` each."""
    p_value, right, least = np.full((3, len(declared)), np.nan)
    for number in np.unique(declared[declared >= 0]):
        member = np.flatnonzero(declared == number)
        for allowed in np.unique(accepted[member], axis=0):
            mine = (accepted[member] == allowed).all(1)
            claims = np.broadcast_to(allowed, accepted[member].shape)
            scores, odds = mislabel.score(member, declared[member], claims)
            chance = expit(-odds)
            folds, calibrates = mislabel.folds[member], mislabel.folds[member] >= 0
            p_value[member[mine]] = rank_p_values(-scores, calibrates, folds, chance)[mine]
            least[member[mine]] = least_p_values(calibrates, folds, chance)[mine]
            right[member[mine]] = np.where(mislabel.known[member], chance, np.nan)[mine]
    return p_value, right, least


def _scores(mislabel: CrossFittedMislabel, declared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mislabel scores `(parcel, class)`, and `(parcel,)` the chance that a declaration is right."""
    classes = mislabel.views.shape[2]
    rows, scores = np.arange(len(declared)), np.empty((len(declared), classes))
    for number in range(classes):
        which = np.full(len(rows), number)
        scores[:, number], _ = mislabel.score(rows, which, np.arange(classes) == which[:, None])
    own = np.maximum(declared, 0)
    _, odds = mislabel.score(rows, own, np.arange(classes) == own[:, None])
    return scores, expit(-odds)
