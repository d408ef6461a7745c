"""Models of events are kept as long as the crop models and the labels are."""

import shutil
from pathlib import Path

import pytest

from features.files import sha256
from pipelines.config import load_config
from pipelines.plan import detect
from pipelines.record.stage import run_stage
from pipelines.steps.keeping.kept_note import NOTE, Note, may_keep
from pipelines.workspace import Workspace
from tests.pipelines.conftest import SmallRun
from tests.soak import SETTINGS, TINY


def hashes(workspace: Workspace) -> dict[str, str]:
    made = [workspace.events, workspace.event_chances, *workspace.event_models.rglob("*.*")]
    return {workspace.relative(path): sha256(path) for path in made}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "kept"),
    [("train.keep.new_steps=3", True), ("train.keep.models=false", False), ("events.min_share=0.4", False)],
)
def test_they_are_kept_or_fitted_anew(small_run: SmallRun, tmp_path: Path, setting: str, kept: bool) -> None:
    workspace = Workspace(Path(shutil.copytree(small_run.workspace.folder, tmp_path / "run")))
    before = hashes(workspace)
    config = load_config(TINY, [*SETTINGS, setting])
    receipt, ran = run_stage(detect.stage(config), config, workspace, lambda done, total: None)
    assert (ran, receipt.facts["events_kept"]) == (True, kept)
    if not setting.startswith("events"):  # fitted on the same, they are the same
        assert {name: digest for name, digest in hashes(workspace).items() if NOTE not in name} == {
            name: digest for name, digest in before.items() if NOTE not in name
        }


def test_models_that_are_not_those_of_the_note_are_not_kept(tmp_path: Path) -> None:
    stands_on = {"detect: option seed": 1}
    (tmp_path / "events.json").write_text("one")
    assert not may_keep(tmp_path, stands_on), "nothing is noted"
    Note.now(tmp_path, stands_on).write(tmp_path)
    assert may_keep(tmp_path, stands_on)
    assert not may_keep(tmp_path, None)
    assert not may_keep(tmp_path, {"detect: option seed": 2})
    (tmp_path / "events.json").write_text("another")
    assert not may_keep(tmp_path, stands_on)
