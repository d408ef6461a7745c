"""What fitted models say of parcels that they did not see: one work unit a model and chunk of parcels."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from features.code.version import code_version
from features.files import atomic_path, fingerprint, sha256, write_json
from models.crops.fitting.fits import FitUnit, Job, model_of
from models.crops.fitting.task import Task, on_classes
from models.crops.inputs.arrays import take
from models.crops.inputs.source import InMemory, SeriesSource

CODE = "models.crops.fitting.predictions"
NOT_KNOWN = -2  # in place of the fold
CHUNKS_HELD = 2  # the units of the models of one chunk follow one another


@dataclass(frozen=True, eq=False)
class ChunkUnit:
    """Parcels that one model predicts, by each of its fits.

    Attributes
    ----------
    parcels
        Positions in the source.
    folds
        `(parcel,)`; NOT_KNOWN where nothing is known of a parcel, which is then not predicted.
    path
        File that is written: `rows_<i>` and `probabilities_<i>` of the i-th fit.
    key
        Hash of all that the result depends on.
    """

    source: SeriesSource
    parcels: slice
    folds: np.ndarray
    fits: tuple[FitUnit, ...]
    classes: tuple[str, ...]
    path: Path
    key: str

    @property
    def note(self) -> Path:
        """File whose presence means that the unit has ended."""
        return self.path.with_suffix(".json")


class Predictions:
    """All predictions of a task, on disk: read for one chunk of parcels and one fit at a time.

    Parameters
    ----------
    units
        As `units_of` gives them; they have to have run.
    """

    def __init__(self, units: Iterable[ChunkUnit]) -> None:
        self._of = {
            (unit.parcels.start, fit.job): (unit, number)
            for unit in units
            for number, fit in enumerate(unit.fits)
        }

    def of(self, start: int, job: Job) -> np.ndarray:
        """Return `(parcel, class)` of the chunk that begins at `start`; NaN where the fit saw the parcel, or
        it was not predicted.
        """
        unit, number = self._of[start, job]
        full = np.full((len(unit.folds), len(unit.classes)), np.nan)
        with np.load(unit.path, allow_pickle=False) as held:
            full[held[f"rows_{number}"]] = held[f"probabilities_{number}"]
        return full


def units_of(task: Task, fits: list[FitUnit], folder: Path) -> list[ChunkUnit]:
    """Return one unit a chunk and model, the models of a chunk one after another."""
    names = list(dict.fromkeys(fit.name for fit in fits))
    units = []
    for parcels, digest in zip(task.chunks, task.looked.digests, strict=True):
        folds = np.where(task.looked.known[parcels], task.folds[parcels], NOT_KNOWN).astype(np.int32)
        for number, name in enumerate(names):
            own = tuple(fit.to_predict() for fit in fits if fit.name == name)
            key = fingerprint(
                [
                    code_version(CODE),
                    digest,
                    folds.tolist(),
                    task.classes,
                    *((fit.key, fit.held) for fit in own),
                ]
            )
            path = folder / f"{parcels.start:09d}_{number}.npz"
            units.append(ChunkUnit(task.source, parcels, folds, own, task.classes, path, key))
    return units


def run_chunk(unit: ChunkUnit) -> list[tuple[Job, float]]:
    """Predict a chunk by one model's fits, unless that is done; return the seconds that each took."""
    before = _resumed(unit)
    if before is not None:
        return list(zip((fit.job for fit in unit.fits), before, strict=True))
    arrays: dict[str, Any] = {}
    seconds = []
    series = _read(unit)
    for number, fit in enumerate(unit.fits):
        started = time.perf_counter()
        rows = np.flatnonzero(np.isin(unit.folds, (*fit.held, *((-1,) if len(fit.held) == 1 else ()))))
        arrays[f"rows_{number}"] = rows.astype(np.int32)
        arrays[f"probabilities_{number}"] = _predicted(fit, series, rows, unit.classes)
        seconds.append(time.perf_counter() - started)
    with atomic_path(unit.path) as partial:
        np.savez(partial, **arrays)
    write_json(unit.note, {"key": unit.key, "sha256": sha256(unit.path), "seconds": seconds})
    return list(zip((fit.job for fit in unit.fits), seconds, strict=True))


def _predicted(fit: FitUnit, series: xr.Dataset, rows: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """Return `(row, class)`. Networks are given batches of one size, filled up with the same parcels: sums of
    other sizes of batch differ in the last digit, and a result must not depend on the chunk.
    """
    if not len(rows):
        return np.empty((0, len(classes)))
    model = model_of(fit)
    filled = np.resize(rows, -(-len(rows) // model.batch) * model.batch)
    found = model.predict_proba(take(series, filled))[: len(rows)]
    return on_classes(found, model.classes_, classes)


def _read(unit: ChunkUnit) -> xr.Dataset:
    if isinstance(unit.source, InMemory):
        return unit.source.read(unit.parcels)
    return _from_files(unit.source, unit.parcels.start, unit.parcels.stop)


@lru_cache(maxsize=CHUNKS_HELD)
def _from_files(source: SeriesSource, start: int, stop: int) -> xr.Dataset:
    return source.read(slice(start, stop))


def let_go() -> None:
    """Free the chunks that this process holds."""
    _from_files.cache_clear()


def _resumed(unit: ChunkUnit) -> list[float] | None:
    """Return the seconds of a unit that an earlier call finished on the same inputs, if there is one."""
    try:
        noted: dict[str, Any] = json.loads(unit.note.read_text(encoding="utf-8"))
        whole = noted["key"] == unit.key and noted["sha256"] == sha256(unit.path)
        return [float(value) for value in noted["seconds"]] if whole else None
    except (OSError, ValueError, KeyError, TypeError):  # none, or damaged: it is predicted anew
        return None
