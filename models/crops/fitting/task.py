"""The data that the fits of a cross-fitting share: parcels, classes, folds, and the training parcels."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import xarray as xr

from features.errors import ModelError
from features.files import fingerprint
from models.crops.fitting.bundle import Bundle
from models.crops.fitting.kept import Fit
from models.crops.fitting.options import TrainOptions
from models.crops.fitting.sample import draw, sample_weights
from models.crops.inputs.arrays import CONTEXT, take
from models.crops.inputs.imbalance import Training


@dataclass(frozen=True)
class Task:
    """The data that all jobs share: parcels, their classes and folds, and which may be trained on.

    `weight` is what each parcel counts in training: 0 for those that are not of the sample, None for a sample
    of all, in which each counts alike. `kept` is what models of this run were fitted on before that now only
    predict.
    """

    series: xr.Dataset
    y: np.ndarray  # (n,) str; "" where there is none to train on
    folds: np.ndarray  # (n,) int; -1 where the parcel is not trained on
    options: TrainOptions
    classes: tuple[str, ...]
    digest: str
    start: Bundle | None = None  # models of another run, to judge with or to train further
    weight: np.ndarray | None = None  # (n,) float
    kept: Fit | None = None
    suspects: dict[tuple[int, ...], pl.DataFrame] = field(default_factory=dict)

    @property
    def loads(self) -> bool:
        """Whether models are taken as they are, and none is trained."""
        return self.start is not None and self.options.transfer.use == "load"

    @property
    def fold_numbers(self) -> list[int]:
        """The folds in use."""
        return [int(k) for k in np.unique(self.folds) if k >= 0]

    def rows_of(self, held: Sequence[int]) -> np.ndarray:
        """Return `(m,)` indices of the parcels that a job without the folds `held` was not trained on."""
        return np.flatnonzero(np.isin(self.folds, [*held, -1]))

    def training_rows(self, held: Sequence[int]) -> np.ndarray:
        """Return `(m,)` indices of the parcels that a job without the folds `held` is trained on."""
        may = (self.folds >= 0) & ~np.isin(self.folds, held)
        return np.flatnonzero(may if self.weight is None else may & (self.weight > 0))


def class_table(y: np.ndarray, folds: np.ndarray, least: int) -> pl.DataFrame:
    """Return one row per class of `y (n,)`: whether it can be trained on (enough parcels, in more than one of
    the `folds (n,)`), and why not.
    """
    rows = []
    for name in sorted(set(y.tolist()) - {""}):
        member = (y == name) & (folds >= 0)
        count, spread = int(member.sum()), len(np.unique(folds[member]))
        reason = "too_few_parcels" if count < least else "in_one_fold_only" if spread < 2 else None
        rows.append((name, count, spread, reason is None, reason))
    schema = {
        "crop_class": pl.String,
        "parcels": pl.Int32,
        "folds": pl.Int32,
        "trained": pl.Boolean,
        "reason": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def known_classes(y: np.ndarray, folds: np.ndarray, known: Sequence[str]) -> pl.DataFrame:
    """Return one row per class, declared in `y (n,)` or known to another run's models: whether those models
    know it.
    """
    declared = class_table(y, folds, 0)
    absent = [name for name in known if name not in set(declared["crop_class"])]
    added = declared.clear(len(absent)).with_columns(
        pl.Series("crop_class", absent, pl.String), parcels=pl.lit(0, pl.Int32), folds=pl.lit(0, pl.Int32)
    )
    in_models = pl.col("crop_class").is_in(list(known))
    reason = pl.when(~in_models).then(pl.lit("unknown_to_the_models"))
    return pl.concat([declared, added]).with_columns(trained=in_models, reason=reason).sort("crop_class")


def make_task(
    series: xr.Dataset,
    y: np.ndarray,
    folds: np.ndarray,
    options: TrainOptions,
    table: pl.DataFrame,
    start: Bundle | None = None,
    holdings: np.ndarray | None = None,
    kept: Fit | None = None,
) -> Task:
    """Return the task of the parcels that can be trained on, from `y` and `folds`, `(n,)` each.

    Parameters
    ----------
    holdings
        `(n,)` numbers: what a sample of the parcels draws whole (see `sample.draw`); each parcel alone where
        None.
    kept
        What the models were fitted on, where they are kept and none is trained.

    Raises
    ------
    ModelError
        Where nothing was seen, or fewer than two classes or two folds are left.
    """
    classes = tuple(table.filter("trained")["crop_class"].to_list())
    folds = np.where(np.isin(y, classes), folds, -1)
    labels = np.where(folds >= 0, y, "")
    weight = _weights(labels, holdings, options)
    digest = _digest(series, y, folds, options, start, weight)
    task = Task(series, labels, folds, options, classes, digest, start, weight, kept)
    if not series["observed"].values.any():
        raise ModelError(
            "No parcel was seen on any date: every pixel over them was hidden by cloud, shadow or the mask, "
            "or no image covers them. Give more dates, radar beside optical images, or another "
            "`extract.mask`.",
            reason="nothing_seen",
        )
    if len(classes) < 2 or len(task.fold_numbers) < 2:
        why = ", ".join(
            f"{row['crop_class']}: {row['reason']}" for row in table.rows(named=True) if row["reason"]
        )
        only = f"all parcels are of {classes[0]}" if classes else "no parcel has a class"
        raise ModelError(
            f"Training needs two classes and two folds; {len(classes)} classes in "
            f"{len(task.fold_numbers)} folds are "
            f"left ({why or only}). Give more parcels, coarser classes "
            "or a lower least_parcels."
        )
    return task


def _weights(labels: np.ndarray, holdings: np.ndarray | None, options: TrainOptions) -> np.ndarray | None:
    """Return what each parcel counts in training; None where all are trained on and count alike."""
    if (labels != "").sum() <= options.sample.size:
        return None
    drawn = draw(
        labels, np.arange(len(labels)) if holdings is None else holdings, options.sample, options.seed
    )
    return sample_weights(labels, drawn)


def _digest(
    series: xr.Dataset,
    y: np.ndarray,
    folds: np.ndarray,
    options: TrainOptions,
    start: Bundle | None,
    weight: np.ndarray | None,
) -> str:
    names = [name for name in ("value", "observed", CONTEXT) if name in series]
    parts = [
        fingerprint([str(v) for v in series[axis].values])
        for axis in ("parcel", "time", "feature", "statistic")
    ]
    parts += [
        hashlib.sha256(np.ascontiguousarray(series[name].values).tobytes()).hexdigest() for name in names
    ]
    chosen: list[object] = [options.balance.model_dump(), options.labels.model_dump()]
    if start is not None:
        chosen += [start.digest, options.transfer.model_dump(mode="json", exclude={"runs"})]
    if weight is not None:
        chosen.append(hashlib.sha256(weight.tobytes()).hexdigest())
    return fingerprint([*parts, y.tolist(), folds.tolist(), *chosen])


def held_sets(task: Task) -> list[tuple[int, ...]]:
    """Return the folds that each job leaves out: single folds, and pairs where the ensemble's weights are
    learned.

    The weights for fold k are learned on the predictions for its partner fold by a model trained on neither:
    three extra fits for five folds.
    """
    numbers = task.fold_numbers
    singles: list[tuple[int, ...]] = [(k,) for k in numbers]
    return singles + sorted(set(partners(task).values()))


def partners(task: Task) -> dict[int, tuple[int, int]]:
    """Return for each fold the pair it is left out with; empty where no weights are learned."""
    numbers = task.fold_numbers
    learns = task.options.combination == "learnt" and not task.loads
    if not learns or len(task.options.models) < 2 or len(numbers) < 3:
        return {}
    found = {}
    for first, second in zip(numbers[::2], numbers[1::2], strict=False):
        found[first] = found[second] = (first, second)
    if len(numbers) % 2:
        found[numbers[-1]] = (numbers[0], numbers[-1])
    return found


def training_of(task: Task, held: Sequence[int]) -> Training:
    """Return the training parcels of a job without the folds `held`."""
    rows = task.training_rows(held)
    suspects = task.suspects.get(tuple(held))
    weight = np.ones(len(rows)) if task.weight is None else task.weight[rows]
    weight = weight if suspects is None else weight * suspects["weight"].to_numpy()
    return Training(take(task.series, rows), task.y[rows], weight)


def on_classes(probabilities: np.ndarray, found: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return `(n, len(classes))`: the columns of `probabilities (n, k)` in the order of `classes`; a class
    that the model was not trained on has probability 0.
    """
    full = np.zeros((len(probabilities), len(classes)))
    full[:, np.searchsorted(classes, found)] = probabilities
    return full
