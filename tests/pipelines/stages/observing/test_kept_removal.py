"""A cloud-removal model is kept while images come in, as long as its options are as they were."""

import shutil
from pathlib import Path

import pytest

from features.files import sha256
from pipelines.config import load_config
from pipelines.main_job import forget_models
from pipelines.plan.observing import clear
from pipelines.record.stage import run_stage
from pipelines.stages.observing import clear as work
from pipelines.workspace import Workspace
from tests.pipelines.conftest import SmallRun
from tests.soak import SETTINGS, TINY


@pytest.mark.slow
def test_it_is_kept_until_its_options_change_or_it_is_asked_for(
    small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(Path(shutil.copytree(small_run.workspace.folder, tmp_path / "run")))
    model, fits = sha256(workspace.cloud_model / "model.json"), []
    fit = work._fit
    monkeypatch.setattr(work, "_fit", lambda *given: fits.append(1) or fit(*given))

    def run(*settings: str) -> int:
        config = load_config(TINY, [*SETTINGS, *settings])
        run_stage(clear.stage(config), config, workspace, lambda done, total: None)
        return len(fits)

    assert run() == 0, "nothing changed: the stage does not run"
    assert run("train.keep.new_steps=3") == 0, "the stage runs, and keeps the model"
    assert sha256(workspace.cloud_model / "model.json") == model
    forget_models(workspace, wanted=True)
    assert run() == 1
    assert sha256(workspace.cloud_model / "model.json") == model, "fitted on the same, it is the same"
    assert run("clear.method=mosaic") == 2
    assert run("clear.method=mosaic", "season.until=2024-08-20") == 3, "later days are not in the model"
