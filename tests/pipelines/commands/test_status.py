"""Which stages are fresh, which will run, and why; and that saying so loads nothing that computes."""

from pathlib import Path

import pytest

from features.files import write_text
from features.workers import Progress
from pipelines.commands.status import status_of
from pipelines.config import RunConfig, load_config
from pipelines.record.inputs import Inputs
from pipelines.record.stage import Outcome, Stage, run_stage
from pipelines.workspace import Workspace
from tests.watching.loaded import HEAVY, loaded_by, loaded_by_command

TINY = Path(__file__).parents[3] / "conf" / "tiny.yaml"


def writer(name: str, after: tuple[str, ...] = ()) -> Stage:
    """A stage that writes one file of its own name, and reads those of the stages before."""

    def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
        return Outcome([write_text(workspace.folder / f"{name}.txt", name)])

    return Stage(name, "features.files", Inputs(after=dict.fromkeys(after, ("*.txt",))), run)


STAGES = [writer("read"), writer("fill", ("read",)), writer("judge", ("read", "fill"))]


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A folder in which three stages have ended."""
    monkeypatch.setattr("pipelines.commands.status.stages", lambda config: STAGES)
    workspace = Workspace(tmp_path / "run")
    for stage in STAGES:
        run_stage(stage, load_config(TINY), workspace, lambda done, total: None)
    return workspace


def said(workspace: Workspace) -> list[str]:
    return [line.strip() for line in status_of(load_config(TINY), workspace).splitlines()]


def cut(workspace: Workspace, stage: str) -> None:
    receipt = workspace.receipts / f"{stage}.json"
    receipt.write_text(receipt.read_text()[:40])


def test_what_has_ended_is_fresh(finished: Workspace) -> None:
    assert said(finished) == ["read        fresh", "fill        fresh", "judge       fresh"]


def test_the_fault_of_a_cut_receipt_is_shown_and_the_stages_after_it_wait(finished: Workspace) -> None:
    cut(finished, "read")
    first, why, *others = said(finished)
    assert first == "read        will run"
    assert why.startswith("its receipt read.json cannot be read")
    waiting = "it waits for read"
    assert others == ["fill        will run", waiting, "judge       will run", waiting]


def test_each_of_several_cut_receipts_is_named(finished: Workspace) -> None:
    cut(finished, "read")
    cut(finished, "fill")
    lines = said(finished)
    assert [line.split()[2] for line in lines if line.startswith("its receipt")] == ["read.json", "fill.json"]
    assert lines[4:] == ["it waits for read", "judge       will run", "it waits for read, fill"]


def test_the_version_loads_no_library_but_that_of_the_command_line() -> None:
    assert not loaded_by_command("--version") & {*HEAVY, "numpy", "polars", "pandas", "pydantic"}


def test_status_loads_nothing_that_reads_imagery_or_fits_models(tmp_path: Path) -> None:
    """Their import takes five times as long as saying what will run."""
    loaded = loaded_by_command("status", str(TINY), "--out", str(tmp_path / "run"))
    assert "pipelines.plan.train" in loaded
    assert not loaded & {*HEAVY, "pandas", "geopandas", "shapely", "pyogrio", "pyarrow", "pipelines.stages"}


def test_looking_at_the_catalog_again_reads_no_parcel() -> None:
    """Where the parcels lie stands in the receipt of `read`."""
    loaded = loaded_by("import sys, pipelines.steps.catalog_state")
    assert not loaded & {*HEAVY, "pandas", "geopandas", "pyogrio", "pyarrow", "pipelines.stages"} - {
        "requests"
    }


def test_what_a_run_imports_before_its_first_stage_is_as_light() -> None:
    loaded = loaded_by("import sys, pipelines.main_job, pipelines.executor")
    assert not loaded & {*HEAVY, "pandas", "geopandas", "shapely", "pyogrio", "pyarrow", "pipelines.stages"}
