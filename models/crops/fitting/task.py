"""The data that the fits of a cross-fitting share: parcels, classes, folds, and what is learned from."""

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import xarray as xr

from features.errors import ModelError
from features.files import fingerprint
from features.series.chunks import chunks_of, write_chunks
from models.crops.fitting.bundle import Bundle
from models.crops.fitting.kept import Fit
from models.crops.fitting.options import TrainOptions
from models.crops.fitting.sample import draw, sample_weights
from models.crops.inputs.arrays import CONTEXT, seen, take
from models.crops.inputs.source import MODELLED, InMemory, SeriesFile, SeriesSource, read_rows, rows_by_chunk

AXES = ("time", "feature", "statistic")
_held: dict[str, xr.Dataset] = {}  # the sample that this process has read from files last
_reading = threading.Lock()


@dataclass(frozen=True)
class Looked:
    """What is learned from reading all series once.

    Attributes
    ----------
    known
        `(n,)` bool: whether anything is known of the parcel.
    observed
        Whether anything at all was seen, and not filled.
    steps
        `(time,)` bool: the steps on which any parcel was observed.
    digests
        Hash of the series of each chunk of parcels.
    """

    known: np.ndarray
    observed: bool
    steps: np.ndarray
    digests: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Sample:
    """The parcels that models learn from, `m` of them.

    Attributes
    ----------
    source, total
        What holds them, perhaps among others, and how many those are.
    rows
        `(m,)` their positions there, rising.
    digest
        Hash of their series.
    at_once
        Parcels that are read together.
    """

    source: SeriesSource
    total: int
    rows: np.ndarray
    digest: str
    at_once: int

    def take(self, chosen: np.ndarray) -> xr.Dataset:
        """Return some of them, `chosen (k,)` of the `m`; a process reads the whole sample once."""
        if isinstance(self.source, InMemory):
            return take(self.source.series, self.rows[chosen])
        with _reading:
            if self.digest not in _held:
                _held.clear()
                _held[self.digest] = read_rows(self.source, self.rows, self.total, self.at_once)
            return take(_held[self.digest], chosen)


@dataclass(frozen=True)
class Task:
    """The data that all jobs share: parcels, their classes and folds, and which may be trained on.

    Attributes
    ----------
    source, names
        Series of all `n` parcels, and their ids `(n,)`.
    looked
        What reading all of them told.
    y, folds
        `(n,)` classes, "" where there is none to train on; and folds, -1 where the parcel is not trained on.
    learned
        `(m,)` rows of the parcels that models learn from, rising.
    weight
        `(m,)` what each of those counts.
    sampled
        Whether they are fewer than have a class.
    sample
        Their series.
    digest
        Hash of all that fits depend on, but for each model's own options.
    start
        Models of another run, to judge with or to train further.
    kept
        What models of this run were fitted on before that now only predict.
    suspects
        By the folds left out: what label cleaning saw of the parcels that are then learned from.
    """

    source: SeriesSource
    names: np.ndarray
    looked: Looked
    y: np.ndarray
    folds: np.ndarray
    options: TrainOptions
    classes: tuple[str, ...]
    learned: np.ndarray
    weight: np.ndarray
    sampled: bool
    sample: Sample
    digest: str
    start: Bundle | None = None
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

    @property
    def chunks(self) -> list[slice]:
        """The parcels that are read and predicted together."""
        return chunks_of(len(self.y), self.options.chunk)

    def chosen(self, held: Sequence[int]) -> np.ndarray:
        """Return `(k,)` which of the `m` parcels a job without the folds `held` learns from."""
        return np.flatnonzero(~np.isin(self.folds[self.learned], held))


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


def known_classes(
    y: np.ndarray, folds: np.ndarray, known: Sequence[str], least: int = 0, learns: bool = False
) -> pl.DataFrame:
    """Return one row per class, declared in `y (n,)` or known to models that are there: whether those models
    know it, or learn it now.

    Classes that they do not know have the reason for which they could not be trained on now, by `least`
    parcels, where there is one.

    Parameters
    ----------
    learns
        Whether the models learn the classes that can be trained on now.
    """
    declared = class_table(y, folds, least)
    absent = [name for name in known if name not in set(declared["crop_class"])]
    added = declared.clear(len(absent)).with_columns(
        pl.Series("crop_class", absent, pl.String), parcels=pl.lit(0, pl.Int32), folds=pl.lit(0, pl.Int32)
    )
    trained = pl.col("crop_class").is_in(list(known)) | (pl.col("trained") & learns)
    unknown = (
        pl.coalesce("reason", pl.lit("unknown_to_the_models")) if least else pl.lit("unknown_to_the_models")
    )
    every = pl.concat([declared, added.with_columns(trained=pl.lit(False))])
    return every.with_columns(trained=trained, reason=pl.when(~trained).then(unknown)).sort("crop_class")


def look(source: SeriesSource, total: int, at_once: int) -> Looked:
    """Read all series once, `at_once` parcels at a time."""
    known, digests, observed = [], [], False
    steps = np.zeros(source.read(slice(0, 0)).sizes["time"], bool)
    for part in chunks_of(total, at_once):
        series = source.read(part)
        known.append(seen(series))
        seen_then = series["observed"].values
        observed = observed or bool(seen_then[known[-1]].any())
        steps |= seen_then.any((0, 2))
        digests.append(_Digest(series).update(series).hexdigest())
    return Looked(np.concatenate(known), observed, steps, tuple(digests))


def make_task(
    source: SeriesSource,
    looked: Looked,
    y: np.ndarray,
    folds: np.ndarray,
    options: TrainOptions,
    table: pl.DataFrame,
    start: Bundle | None = None,
    holdings: np.ndarray | None = None,
    file: Path | None = None,
    kept: Fit | None = None,
) -> Task:
    """Return the task of the parcels that can be trained on, from `y` and `folds`, `(n,)` each.

    Parameters
    ----------
    file
        Where a sample of very many parcels is written, for other processes to read; None where it is held.
    kept
        What the models were fitted on, where they are kept and none is trained.
    holdings
        `(n,)` numbers: what a sample of the parcels draws whole (see `sample.draw`); each parcel alone where
        None.

    Raises
    ------
    ModelError
        Where nothing was seen, or fewer than two classes or two folds are left.
    """
    classes = tuple(table.filter("trained")["crop_class"].to_list())
    folds = np.where(looked.known & np.isin(y, classes), folds, -1)
    y = np.where(folds >= 0, y, "")
    fitted = kept is None and (start is None or options.transfer.use != "load")
    _refuse_too_little(looked, sorted({*y.tolist()} - {""}) if fitted else classes, folds, table)
    weight = _weights(y, looked.known, holdings, options)
    learned = np.flatnonzero(folds >= 0 if weight is None else (folds >= 0) & (weight > 0))
    sample = make_sample(source, learned, len(y), options, file)
    parts: list[object] = [sample.digest, y[learned].tolist(), folds[learned].tolist(), classes]
    parts += [options.balance.model_dump(), options.labels.model_dump()]
    if start is not None:
        parts += [start.digest, options.transfer.model_dump(mode="json", exclude={"runs"})]
    if weight is not None:
        parts.append(hashlib.sha256(weight[learned].tobytes()).hexdigest())
    return Task(
        source=source,
        names=source.names(),
        looked=looked,
        y=y,
        folds=folds,
        options=options,
        classes=classes,
        learned=learned,
        weight=np.ones(len(learned)) if weight is None else weight[learned],
        sampled=weight is not None,
        sample=sample,
        digest=fingerprint(parts),
        start=start,
        kept=kept,
    )


def make_sample(
    source: SeriesSource, rows: np.ndarray, total: int, options: TrainOptions, file: Path | None = None
) -> Sample:
    """Return the parcels at `rows (m,)`, rising, of the `total` of a source as a sample.

    Of very many they are read once: into memory, or into a `file`.
    """
    if total > options.sample.size and not isinstance(source, InMemory):
        if file is None:
            source = InMemory(read_rows(source, rows, total, options.chunk))
        else:
            write_chunks(file, rows_by_chunk(source, rows, total, options.chunk), len(rows))
            source = SeriesFile(file)
        total, rows = len(rows), np.arange(len(rows))
    digest = _Digest(source.read(slice(0, 0)))
    for part in rows_by_chunk(source, rows, total, options.chunk):
        digest.update(part)
    return Sample(source, total, rows, digest.hexdigest(), options.chunk)


def _refuse_too_little(
    looked: Looked, classes: Sequence[str], folds: np.ndarray, table: pl.DataFrame
) -> None:
    if not looked.observed:
        raise ModelError(
            "No parcel was seen on any date: every pixel over them was hidden by cloud, shadow or the mask, "
            "or no image covers them. Give more dates, radar beside optical images, or another "
            "`extract.mask`.",
            reason="nothing_seen",
        )
    used = np.unique(folds[folds >= 0])
    if len(classes) < 2 or len(used) < 2:
        why = ", ".join(
            f"{row['crop_class']}: {row['reason']}" for row in table.rows(named=True) if row["reason"]
        )
        only = f"all parcels are of {classes[0]}" if classes else "no parcel has a class"
        raise ModelError(
            f"Training needs two classes and two folds; {len(classes)} classes in "
            f"{len(used)} folds are "
            f"left ({why or only}). Give more parcels, coarser classes "
            "or a lower least_parcels."
        )


def _weights(
    y: np.ndarray, known: np.ndarray, holdings: np.ndarray | None, options: TrainOptions
) -> np.ndarray | None:
    """Return `(n,)` what each parcel counts in training; None where all are trained on and count alike."""
    if (y != "").sum() <= options.sample.size:
        return None
    labels = y[known]
    owners = np.arange(len(labels)) if holdings is None else holdings[known]
    weight = np.zeros(len(y))
    weight[known] = sample_weights(labels, draw(labels, owners, options.sample, options.seed))
    return weight


class _Digest:
    """A hash of series that come some parcels at a time; it does not depend on how many."""

    def __init__(self, first: xr.Dataset) -> None:
        self._axes = [[str(v) for v in first[axis].values] for axis in AXES]
        self._names = hashlib.sha256()
        self._values = {name: hashlib.sha256() for name in MODELLED if name in first}
        if CONTEXT in first:
            self._axes.append([str(v) for v in first[CONTEXT]["variable"].values])

    def update(self, part: xr.Dataset) -> "_Digest":
        self._names.update("\n".join(map(str, part["parcel"].values)).encode() + b"\n")
        for name, digest in self._values.items():
            digest.update(np.ascontiguousarray(part[name].values).data)
        return self

    def hexdigest(self) -> str:
        parts = [self._names, *self._values.values()]
        return fingerprint([self._axes, *(digest.hexdigest() for digest in parts)])


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


def on_classes(probabilities: np.ndarray, found: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return `(n, len(classes))`: the columns of `probabilities (n, k)` in the order of `classes`; a class
    that the model was not trained on has probability 0.
    """
    full = np.zeros((len(probabilities), len(classes)))
    full[:, np.searchsorted(classes, found)] = probabilities
    return full
