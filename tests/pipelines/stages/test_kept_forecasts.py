"""Models of forecasts are kept as long as the crop models are, and learn what is usual anew."""

import shutil
from pathlib import Path

import pytest

from features.files import sha256
from pipelines.config import load_config
from pipelines.plan import forecast
from pipelines.record.stage import run_stage
from pipelines.steps.keeping.kept_note import NOTE
from pipelines.workspace import Workspace
from tests.pipelines.conftest import SmallRun
from tests.soak import SETTINGS, TINY


def hashes(workspace: Workspace) -> dict[str, str]:
    made = [workspace.forecast, workspace.anomalies, *workspace.forecast_models.rglob("*.*")]
    return {path.name: sha256(path) for path in made if path.name != NOTE}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "kept"),
    [("train.keep.new_steps=3", True), ("train.keep.models=false", False), ("forecast.rounds=11", False)],
)
def test_they_are_kept_or_fitted_anew(small_run: SmallRun, tmp_path: Path, setting: str, kept: bool) -> None:
    workspace = Workspace(Path(shutil.copytree(small_run.workspace.folder, tmp_path / "run")))
    before = hashes(workspace)
    config = load_config(TINY, [*SETTINGS, setting])
    receipt, ran = run_stage(forecast.stage(config), config, workspace, lambda done, total: None)
    assert (ran, receipt.facts["forecast_kept"]) == (True, kept)
    # on the same looks, models that are kept forecast as when they were fitted
    assert (hashes(workspace) == before) == (not setting.startswith("forecast"))


@pytest.mark.slow
def test_models_that_read_what_the_run_has_not_are_fitted_anew(small_run: SmallRun, tmp_path: Path) -> None:
    """Whether radar is there is known from the images alone: no option says so."""
    workspace = Workspace(Path(shutil.copytree(small_run.workspace.folder, tmp_path / "run")))
    config = load_config(TINY, [*SETTINGS, "train.keep.new_steps=3"])
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patched:
        patched.setattr("models.forecast.history.History.reads_radar", False)
        receipt, _ = run_stage(forecast.stage(config), config, workspace, lambda done, total: None)
    assert receipt.facts["forecast_kept"] is False
