"""The rule of bounded memory: what parcels have by date, class or model is held some parcels at a time.

What may be held for every parcel is its own row in narrow tables, its outline and its verdict. These tests
watch the pieces that would hold most, by what Python and NumPy allocate, and the peak of whole stages, each
in a process of its own; `python -m tests.memory_by_stage` does so for all stages of larger regions.
"""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.declarations.crop_codes import CropGroups
from features.declarations.schemes import Schemes
from features.schema import make_series
from features.series.chunks import read_chunks
from features.series.parcel_series import write_series
from features.series.quality import quality_in_chunks
from models.verdicts.evidence import Scoring
from models.verdicts.options import JudgeOptions
from tests.memory_by_stage import BYTES_A_PARCEL, grown


def peak(work: Callable[[], object]) -> int:
    """Return the most bytes that Python and NumPy held at a time beyond what they held before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_parcels_are_scored_without_all_probabilities_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four models, 60 classes: 1,920 bytes a parcel as numbers; what is kept of each is less than half."""
    for name in ("MOST_PARCELS", "MOST_CLAIMS"):
        monkeypatch.setattr(f"models.probability.mislabel.{name}", 200)
    monkeypatch.setattr("models.probability.calibration.ROWS", 200)
    classes = [f"crop_{k:02d}" for k in range(60)]

    def scored(count: int) -> int:
        rng = np.random.default_rng(0)
        ids = pl.Series("parcel_id", [f"{k:06d}" for k in range(count)])
        crop = rng.integers(0, 60, count)
        tables = []
        for model in ("ensemble", "one", "three", "two"):
            values = rng.random((count, 60))
            values[np.arange(count), crop] += 20
            shares = pl.DataFrame(values / values.sum(1, keepdims=True), schema=classes)
            fold = pl.Series("fold", np.arange(count) % 2)
            tables.append(shares.insert_column(0, ids).with_columns(fold, model=pl.lit(model)))
        path = tmp_path / f"{count}.parquet"
        pl.concat(tables).write_parquet(path)
        del tables
        table = pl.DataFrame({"parcel_id": ids, "crop_class": [classes[k] for k in crop]})
        table = table.with_columns(intervention=pl.lit(None, pl.String))

        def work() -> None:
            rules = Schemes(), CropGroups({}, {}, frozenset(classes))
            options = JudgeOptions(calibration="temperature")
            scoring = Scoring(pl.scan_parquet(path), table, options, *rules, per_chunk=100)
            for rows in scoring.chunks():
                scoring.evidence(rows)

        return peak(work)

    few, many = scored(300), scored(1_200)
    assert (many - few) / 900 < 900


def test_a_series_is_summed_up_without_all_of_it_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """36 steps and 10 features: 4,680 bytes a parcel in the file; what is kept of each is a row of five."""
    for room in ("features.series.chunks", "features.series.parcel_series"):
        monkeypatch.setattr(f"{room}.PARCELS_PER_CHUNK", 64)
    monkeypatch.setattr("features.series.chunks.PACKS_READ", 1)
    steps = np.datetime64("2024-03-01", "ns") + np.arange(36) * np.timedelta64(7, "D")

    def summed(count: int) -> int:
        series = make_series(
            [f"{k:06d}" for k in range(count)], steps, [f"f{k}" for k in range(10)], ["mean"]
        )
        series["value"].values[:] = np.random.default_rng(0).random(series["value"].shape)
        path = write_series(series, tmp_path / f"{count}.nc")
        del series
        return peak(lambda: quality_in_chunks(lambda: read_chunks(path)))

    few, many = summed(128), summed(640)
    assert (many - few) / 512 < 500


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_stages_hold_a_chunk_of_a_region_whatever_its_size(tmp_path: Path) -> None:
    """With little memory allowed, chunks are of 500 parcels; observations of all would add 80 kB a parcel.

    Extraction keeps a sample of up to four million values, which regions as small as these do not fill.
    """
    each = grown(tmp_path, 1_000, 3_000, ("extract", "fill", "train"))
    too_much = {name: more for name, more in each.items() if name != "extract" and more > BYTES_A_PARCEL}
    assert too_much == {}, each
