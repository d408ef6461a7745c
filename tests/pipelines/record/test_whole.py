"""What a run left is held against its receipts by whoever reads it later: commands, and other runs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from features.errors import StageError
from features.files import read_parquet
from pipelines.commands.desk import open_desk
from pipelines.commands.export import export_run
from pipelines.commands.quality.assess import assess_run
from pipelines.commands.sheets import write_asked
from pipelines.config import RunConfig
from pipelines.inputs.forecast_history import _table_of
from pipelines.plan import compare, detect
from pipelines.record.stage import run_stage
from pipelines.stages.compare import LOST, _write_json
from pipelines.steps.gather import _previous
from pipelines.workspace import Workspace
from tests.pipelines.conftest import SmallRun


@pytest.fixture
def copied(small_run: SmallRun, tmp_path: Path) -> Workspace:
    there = tmp_path / "run"
    shutil.copytree(small_run.workspace.folder, there, ignore=shutil.ignore_patterns("catalog"))
    return Workspace(there)


def altered(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    return path


def sheet(config: RunConfig, run: Workspace) -> object:
    return write_asked(config, run, read_parquet(run.parcels)["parcel_id"].to_list()[:1])


READERS: dict[str, tuple[str, Callable[[RunConfig, Workspace], object]]] = {
    "export": (
        "verdicts.parquet",
        lambda config, run: export_run(run.folder, "postgresql://x@127.0.0.1:1/y"),
    ),
    "desk": ("evaluation/confusion.parquet", lambda config, run: open_desk(run.folder)),
    "publish --sheets": ("forecast.parquet", sheet),
    "assess": (
        "evaluation/imagery_verdicts.parquet",
        lambda config, run: assess_run(run.folder, run.metrics),
    ),
    "previous": (
        "parcels.parquet",
        lambda config, run: _previous(config.model_copy(update={"previous": run.folder})),
    ),
    "forecast.history": ("declarations.parquet", lambda config, run: _table_of(run.folder)),
}


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_what_was_altered_is_named_and_not_used(reader: str, small_run: SmallRun, copied: Workspace) -> None:
    name, read = READERS[reader]
    altered(copied.folder / name)
    with pytest.raises(StageError, match=f"{name} in .* changed since .*{reader}.* does not use"):
        read(small_run.config, copied)


@pytest.mark.slow
def test_what_was_reported_before_is_refused_where_it_was_altered(
    small_run: SmallRun, copied: Workspace
) -> None:
    (copied.receipts / "detect.json").unlink()
    altered(copied.event_journal)
    with pytest.raises(StageError, match=r"event_journal\.parquet was altered since it was written.*backup"):
        run_stage(detect.stage(small_run.config), small_run.config, copied, lambda done, total: None)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["parcels.parquet", "acquisitions.parquet", "state.json", "index.json"])
def test_an_altered_earlier_run_is_not_compared_with_and_said(
    name: str, small_run: SmallRun, copied: Workspace
) -> None:
    config, stage = small_run.config, compare.stage(small_run.config)
    for state in copied.earlier.glob("*/state.json"):  # as if the run before were the one before that
        shutil.copytree(state.parent, copied.earlier / "0000000000000000")
    index = copied.earlier / "index.json"
    run = _write_json(index, {"before": None, "present": "0000000000000000"})
    (copied.receipts / "compare.json").unlink()
    whole, _ = run_stage(stage, config, copied, lambda done, total: None)
    assert "since" in whole.facts
    (copied.receipts / "compare.json").unlink()
    altered(run if name == "index.json" else copied.earlier / "0000000000000000" / name)
    without, _ = run_stage(stage, config, copied, lambda done, total: None)
    assert (without.facts.get("said"), "since" in without.facts) == ([LOST], False)


@pytest.mark.slow
def test_errors_of_the_verdicts_that_were_altered_are_derived_anew(
    small_run: SmallRun, copied: Workspace, tmp_path: Path
) -> None:
    sample = read_parquet(copied.sample).select("parcel_id").with_columns(field_result=pl.lit("correct"))
    sample.write_csv(tmp_path / "visited.csv")
    assess_run(copied.folder, tmp_path / "visited.csv", by="a visitor")
    whole = copied.assessment.read_bytes()
    altered(copied.assessment)
    write_asked(small_run.config, copied, [])
    assert copied.assessment.read_bytes() == whole
    altered(copied.field_design)
    with pytest.raises(StageError, match=r"design\.parquet was altered.*--sample-design"):
        write_asked(small_run.config, copied, [])
