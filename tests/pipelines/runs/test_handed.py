"""A stage opens what it declares and what it wrote itself, and no other file of a run or beside it."""

import shutil
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from features.files import read_parquet
from features.journal.entries import Draft
from features.workers import Progress
from models.assessment.field_results import RESULT
from pipelines.config import RunConfig, load_config
from pipelines.inputs.field import field_journal
from pipelines.record.inputs import Inputs
from pipelines.record.stage import Outcome, Stage
from pipelines.workspace import Workspace
from tests.pipelines.conftest import SmallRun
from tests.soak import SETTINGS, TINY
from tests.watching.undeclared import opened, undeclared

BRIEF_UNET = ("clear.method=unet", "clear.epochs=1", "clear.windows=4", "clear.members=1", "clear.width=8")


@pytest.mark.slow
def test_stages_of_a_simulated_region(small_run: SmallRun) -> None:
    assert small_run.undeclared == {}


@pytest.mark.slow
def test_stages_that_read_files_of_an_agency_and_other_runs(small_run: SmallRun, tmp_path: Path) -> None:
    other = small_run.workspace.folder
    data = shutil.copytree(other / "region", tmp_path / "data")
    config = agency(data, other, f"train.transfer.runs=['{other}']", f"forecast.history=['{other}']")
    run = Workspace(tmp_path / "run")
    parcel = read_parquet(other / "verdicts.parquet")["parcel_id"][0]
    field_journal(run).append([Draft(RESULT, parcel, {"field_result": "wrong"})], "inspector")
    assert undeclared(config, run, data, other) == {}
    taken = ("train.transfer.use=load", f"events.from_run={other}", f"forecast.from_run={other}")
    vectors = tmp_path / "data" / "vectors_2024.csv"
    ids = read_parquet(other / "declarations.parquet")["parcel_id"]
    pl.DataFrame({"parcel_id": ids, "v0": range(len(ids))}).write_csv(vectors)
    beside = (
        f"embeddings={{path: {vectors}, year: 2024}}",
        "train.context=[soil, elevation]",
        "clear.mask.method=temporal",
    )
    config = agency(data, other, f"train.transfer.runs=['{other}']", *taken, *beside)
    assert undeclared(config, run, data, other) == {}


def agency(data: Path, other: Path, *settings: str) -> RunConfig:
    """The tiny config, reading a region's files, and an earlier run, as an agency's."""
    for name in ("schemes.yaml", "crop_groups.csv"):
        shutil.copy(TINY.parent / name, data / name)
    text = TINY.read_text()
    (data / "agency.yaml").write_text(text[: text.index("simulate:")] + text[text.index("declarations:") :])
    kept = [setting for setting in SETTINGS if not setting.startswith("simulate")]
    files = (
        f"declarations.path={data}/declarations.gpkg", f"declarations.crops.tables=[{data}/crops.csv]",
        f"declarations.crops.groups={data}/crop_groups.csv", f"judge.groups={data}/crop_groups.csv",
        f"judge.schemes={data}/schemes.yaml", f"imagery.catalog={data}/catalog/catalog.json",
        f"weather={data}/weather.csv", f"soil={data}/soil.tif", f"elevation={data}/elevation.tif",
        f"events.labels={data}/field_records.csv", f"declarations.holding_key={other}/.holding_key",
        f"previous={other}", "clear.context=[weather, soil]",
    )  # fmt: skip
    return load_config(data / "agency.yaml", [*kept, *files, *BRIEF_UNET, *settings])


def test_a_file_that_is_not_declared_is_found(tmp_path: Path) -> None:
    workspace, config = Workspace(tmp_path / "run"), load_config(TINY)
    workspace.folder.mkdir()
    for name in ("a.parquet", "b.parquet"):
        pl.DataFrame({"x": [1]}).write_parquet(workspace.folder / name)

    def reads(name: str, config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
        read_parquet(workspace.folder / name)
        return Outcome([])

    files = Inputs(files=lambda config, workspace: {"a": workspace.folder / "a.parquet"})
    for name, found in (("a.parquet", set()), ("b.parquet", {workspace.folder / "b.parquet"})):
        stage = Stage(f"of {name}", "features.files", files, partial(reads, name))
        assert opened(stage, config, workspace, ()) == found


@pytest.mark.slow
def test_stages_that_start_from_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.pipelines.stages.observing import test_tabulate as tables

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tables, "PARCELS", 36)
    (tmp_path / "config.yaml").write_text(tables.CONFIG, encoding="utf-8")
    (tmp_path / "codes.csv").write_text("code,name,hcat_code,crop_class\n01,wheat,,wheat\n02,maize,,maize\n")
    tables.table().write_parquet(tmp_path / "table.parquet")
    brief = ("train.models={lightgbm: {rounds: 5}}", "train.least_parcels=2", "folds.count=2")
    config = load_config(tmp_path / "config.yaml", list(brief))
    assert undeclared(config, Workspace(tmp_path / "out"), tmp_path) == {}
