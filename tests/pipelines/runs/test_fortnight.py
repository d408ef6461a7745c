"""New scenes of a season: models are kept, and a run equals one from nothing with the same models."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.files import read_parquet, sha256
from pipelines.main_job import run_all, stages
from pipelines.record.audit import chain
from pipelines.record.audit.verify import verify
from pipelines.record.receipt import read_receipt
from pipelines.record.stage import plan_stage
from pipelines.workspace import Workspace
from tests.features.catalog.test_reader import write_catalog
from tests.small_region import SmallRegion

pytestmark = pytest.mark.slow
SETTINGS = ("train.keep.most_loss=1", "judge.season_dates=0")
OF_THIS_RUN = ("timing", "changes_verdicts", "changes_acquisitions")
LATER = 2  # dates of each sensor that come in after the first run


class Growing(SmallRegion):
    """The small region, whose catalog grows."""

    def items(self) -> list[dict[str, Any]]:
        codes, rng = self.declare(), np.random.default_rng(2)
        return [self.item(sensor, day, codes, rng) for day in self.days for sensor in self.sensors]

    def publish(self, items: list[dict[str, Any]]) -> None:
        write_catalog(self.folder / "catalog", *items)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Growing, Workspace, dict[str, str]]:
    """A region run before and after its last dates came in, and the hashes of the models before."""
    region = Growing(tmp_path_factory.mktemp("region"))
    items = region.items()
    region.publish(items[: -2 * LATER])
    workspace = region.run(*SETTINGS)
    models = hashes(workspace.models)
    region.publish(items)
    region.run(*SETTINGS)
    return region, workspace, models


def hashes(folder: Path) -> dict[str, str]:
    """Files of the models themselves, and what was measured of them, by SHA-256."""
    files = [*folder.glob("*/fold_*/recipe.json"), *folder.glob("fitted/importance-*.parquet")]
    return {str(path.relative_to(folder)): sha256(path) for path in files}


def said(workspace: Workspace) -> dict[str, Any]:
    receipt = read_receipt(workspace, "train")
    assert receipt is not None
    return dict(receipt.facts["fit"])


def test_models_are_kept_and_the_record_says_which_images_they_do_not_know(
    grown: tuple[Growing, Workspace, dict[str, str]],
) -> None:
    _, workspace, models = grown
    assert hashes(workspace.models) == models
    fit = said(workspace)
    assert (fit["kept"], fit["newer"], fit["until"]) == (True, {"s1": LATER, "s2": LATER}, "2024-09-17")
    assert verify(workspace.folder) == []


def test_the_run_equals_one_from_nothing_with_the_same_models(
    grown: tuple[Growing, Workspace, dict[str, str]], tmp_path: Path
) -> None:
    region, workspace, _ = grown
    fresh = Workspace(tmp_path / "fresh")
    for models in (workspace.models, workspace.forecast_models):
        shutil.copytree(models, fresh.folder / models.name)
    shutil.copy(workspace.folder / ".holding_key", fresh.folder)
    run_all(region.config(*SETTINGS), fresh)
    tables = [*workspace.folder.glob("*.parquet"), *workspace.evaluation.glob("*.parquet")]
    names = sorted(workspace.relative(path) for path in tables if path.stem not in OF_THIS_RUN)
    assert [name for name in names if sha256(fresh.folder / name) != sha256(workspace.folder / name)] == []
    assert said(fresh)["kept"]
    forecasts = read_receipt(fresh, "forecast")
    assert forecasts is not None
    assert forecasts.facts["forecast_kept"]


def test_what_changed_since_the_first_run_is_told(
    grown: tuple[Growing, Workspace, dict[str, str]],
) -> None:
    _, workspace, _ = grown
    images = read_parquet(workspace.table("changes_acquisitions"))
    assert images["change"].to_list() == ["new"] * 2 * LATER
    changed = read_parquet(workspace.table("changes_verdicts")).filter(pl.col("change") == "changed")
    assert set(changed["why"].explode(empty_as_null=False)) <= {"new_dates", "others"}
    assert "were kept" in (workspace.reports / "changes.html").read_text()
    told = [entry for entry in chain.entries(workspace.audit) if entry["event"] == "compare"][-1]["said"]
    assert told[0] == f"new acquisitions: {2 * LATER}"
    manifest = json.loads(workspace.manifest.read_text())
    kept = [name for name in manifest["outputs"] if name.startswith("earlier/")]
    assert len(kept) == 2 * 3 + 1  # parcels, acquisitions and state of two runs, and which they are


def test_nothing_is_done_by_a_third_run(grown: tuple[Growing, Workspace, dict[str, str]]) -> None:
    region, workspace, _ = grown
    config = region.config(*SETTINGS)
    reasons = {stage.name: plan_stage(stage, config, workspace).reasons for stage in stages(config)}
    assert {name: why for name, why in reasons.items() if why} == {}


def test_units_of_images_that_were_there_are_not_extracted_again(
    grown: tuple[Growing, Workspace, dict[str, str]],
) -> None:
    parts = sorted(grown[1].observations.glob("parts/*/*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    written = json.loads((grown[1].receipts / "extract.json").read_text())["outputs"]
    assert len(parts) == sum("/parts/" in name for name in written)
    first = grown[1].models / "lightgbm" / "fold_0" / "recipe.json"
    later = [path for path in parts if path.stat().st_mtime_ns > first.stat().st_mtime_ns]
    assert len(later) == 2 * LATER


def test_models_are_fitted_anew_when_asked(grown: tuple[Growing, Workspace, dict[str, str]]) -> None:
    region, workspace, models = grown
    assert run_all(region.config(*SETTINGS), workspace, retrain=True) == 0
    fit = said(workspace)
    assert (fit["kept"], fit["newer"], fit["until"]) == (False, {"s1": 0, "s2": 0}, "2024-10-17")
    assert hashes(workspace.models) != models
