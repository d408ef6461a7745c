"""Cross-fitting some parcels at a time: the same to the byte for any chunk, any executor, killed or not."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.series.chunks import write_chunks
from features.series.parcel_series import read_series, write_series
from features.workers import one_by_one
from models.crops.fitting import fits, predictions
from models.crops.fitting.crossfit import CrossFit, cross_fit, cross_fit_stored
from models.crops.fitting.options import TrainOptions
from models.crops.inputs.source import SeriesFile, read_rows
from pipelines.executor import InProcesses
from tests.crop_worlds import crop_world

N = 240
HOLDINGS = np.arange(N) // 5
# ltae's sums depend on the size of a batch; extra trees cannot be stored
MODELS = {
    "lightgbm": {"rounds": 4},
    "ltae": {"epochs": 1, "least_updates": 2, "width": 16, "heads": 2, "units": 8},
    "extratrees": {"trees": 4},
}
TREES = {"lightgbm": {"rounds": 4}, "ridge": {}}


def options(models: dict = TREES, **values: object) -> TrainOptions:
    return TrainOptions.model_validate({"models": models, "threads": 2, **values})


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[SeriesFile, list, np.ndarray]:
    series, y, folds = crop_world(n=N)
    value = series["value"].values.copy()
    value[17] = np.nan  # never seen
    series = series.assign(value=(series["value"].dims, value))
    labels = [None if row in (3, 60) else str(name) for row, name in enumerate(y)]
    path = write_series(series, tmp_path_factory.mktemp("series") / "filled.nc")
    return SeriesFile(path), labels, folds


def fitted(stored, folder: Path, chosen: TrainOptions, executor=None) -> CrossFit:
    source, y, folds = stored
    found = cross_fit_stored(source, y, folds, chosen, folder, folder / ".work", executor, holdings=HOLDINGS)
    return found.in_memory()


def same(first: CrossFit, second: CrossFit) -> bool:
    tables = ("probabilities", "inner", "weights", "classes", "suspects")
    digests = [
        {name: {k: model.digest() for k, model in of.items()} for name, of in found.models.items()}
        for found in (first, second)
    ]
    return digests[0] == digests[1] and all(
        getattr(first, name).equals(getattr(second, name)) for name in tables
    )


def test_two_sizes_of_chunks_and_the_whole_in_memory_give_the_same(stored, tmp_path: Path) -> None:
    source, y, folds = stored
    whole = cross_fit(read_series(source.path), y, folds, options(MODELS), holdings=HOLDINGS)
    assert same(whole, fitted(stored, tmp_path / "a", options(MODELS, chunk=100)))
    assert same(whole, fitted(stored, tmp_path / "b", options(MODELS, chunk=37)))
    assert len(whole.probabilities) == 4 * (N - 1)


def test_of_very_many_parcels_the_sample_is_held_and_the_rest_predicted_in_chunks(
    stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, y, folds = stored
    sampled = options(sample={"size": 100, "rare": 10}, chunk=50, labels={"method": "weigh", "rounds": 3})
    whole = cross_fit(read_series(source.path), y, folds, sampled, holdings=HOLDINGS)
    read: list[int] = []
    as_it_is = SeriesFile.read
    monkeypatch.setattr(
        SeriesFile,
        "read",
        lambda self, part: (read.append(min(part.stop, N) - part.start), as_it_is(self, part))[1],
    )
    found = fitted(stored, tmp_path, sampled)
    assert same(whole, found)
    assert max(read) == 50
    assert found.trained_on <= 100


def test_units_on_an_executor_give_the_same(stored, tmp_path: Path) -> None:
    """The executor gets files, not series: what it is given could run in any process."""
    sampled = options(sample={"size": 100, "rare": 10}, chunk=50)
    seen: list[object] = []

    def elsewhere(function, items):
        for item in items:
            seen.append(item)
            yield function(item)

    assert same(fitted(stored, tmp_path / "a", sampled), fitted(stored, tmp_path / "b", sampled, elsewhere))
    assert all(
        isinstance(unit.lesson.sample.source, SeriesFile) for unit in seen if isinstance(unit, fits.FitUnit)
    )
    chunks = [unit for unit in seen if isinstance(unit, predictions.ChunkUnit)]
    assert all(isinstance(unit.source, SeriesFile) for unit in chunks)
    assert len(chunks) == 2 * 5


@pytest.mark.slow
def test_processes_give_the_same_and_fit_again_what_cannot_be_stored(stored, tmp_path: Path) -> None:
    chosen = options(
        {"lightgbm": {"rounds": 4}, "extratrees": {"trees": 4}}, sample={"size": 100, "rare": 10}, chunk=50
    )
    processes = InProcesses(2)
    try:
        there = fitted(stored, tmp_path / "there", chosen, processes)
    finally:
        processes.close()
    assert same(fitted(stored, tmp_path / "here", chosen), there)


def test_tables_of_ones_own_parcels_leave_out_those_of_pooled_runs(stored, tmp_path: Path) -> None:
    source, y, folds = stored
    found = cross_fit_stored(source, y, folds, options(chunk=50), tmp_path, tmp_path / ".work")
    own = np.arange(N) < 30
    ids = [f"{row:06d}" for row in range(30) if row != 17]
    for blocks in (found.probabilities(own, "ridge"), found.inner(own)):
        assert set(pl.concat(blocks)["parcel_id"]) <= set(ids)
    assert pl.concat(found.probabilities(own, "ridge"))["parcel_id"].to_list() == ids
    assert (found.tally(30).came_in, found.tally(30).went_out) == (30, 29)


class Killed(BaseException):
    """The process ends."""


@pytest.mark.parametrize("after", [3, 12, 17])
def test_a_killed_run_goes_on_where_it_was(
    stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Ten fits of two models (four folds, two pairs each makes twelve), then ten chunks."""
    chosen = options(chunk=50)
    done: list[str] = []

    def until_killed(function, items):
        for item in items:
            if len(done) == after:
                raise Killed
            done.append(type(item).__name__)
            yield function(item)

    with pytest.raises(Killed):
        fitted(stored, tmp_path / "killed", chosen, until_killed)
    fit, predicted = fits._fit, predictions._predicted
    again: list[object] = []
    monkeypatch.setattr(fits, "_fit", lambda unit: (again.append(unit.job), fit(unit))[1])
    monkeypatch.setattr(
        predictions, "_predicted", lambda *args: (again.append(args[0].job), predicted(*args))[1]
    )
    resumed = fitted(stored, tmp_path / "killed", chosen, one_by_one)
    fits_done = done.count("FitUnit")
    chunks_done = done.count("ChunkUnit")
    assert len(again) == (12 - fits_done) + (10 - chunks_done) * 6
    assert same(resumed, fitted(stored, tmp_path / "whole", chosen))


def test_a_damaged_prediction_is_made_anew(stored, tmp_path: Path) -> None:
    chosen = options(chunk=50)
    first = fitted(stored, tmp_path, chosen)
    damaged = sorted((tmp_path / ".work" / "predictions").glob("*.npz"))[3]
    damaged.write_bytes(damaged.read_bytes()[:-20])
    assert same(first, fitted(stored, tmp_path, chosen))


@pytest.mark.parametrize("name", ["job.json", "recipe.json", "weights.npz", "booster.txt", "*.npz.json"])
def test_whatever_a_killed_training_left_damaged_is_made_anew(stored, tmp_path: Path, name: str) -> None:
    chosen = options(chunk=50)
    first = fitted(stored, tmp_path, chosen)
    for path in [path for path in tmp_path.rglob(name) if path.is_file()]:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 128
        path.write_bytes(bytes(content))
    assert same(first, fitted(stored, tmp_path, chosen))


def test_rows_are_read_in_order_from_the_chunks_that_hold_them(tmp_path: Path) -> None:
    series, _, _ = crop_world(n=20)
    path = write_chunks(tmp_path / "s.nc", (series.isel(parcel=slice(k, k + 5)) for k in range(0, 20, 5)), 20)
    rows = np.array([0, 3, 4, 11, 19])
    found = read_rows(SeriesFile(path), rows, 20, 5)
    wanted = read_series(path)[["value", "observed"]].isel(parcel=rows)
    assert found.equals(wanted)
    assert found["parcel"].values.tolist() == ["000000", "000003", "000004", "000011", "000019"]
