"""Folders that fill up, move or are in use: a sentence with the cure, and nothing that has ended is lost."""

import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from features.errors import StageError
from pipelines.main_job import run_one, stages
from pipelines.record.audit.verify import examine
from pipelines.record.lock import locked
from pipelines.record.stage import plan_stage, run_stage
from pipelines.workspace import Workspace
from tests.pipelines.conftest import SmallRun

A_LITTLE = 1500  # bytes that a file may have where the disk is full: less than any table


@contextmanager
def full_disk() -> Iterator[None]:
    """Let every write fail, of whatever library, that makes a file longer than a little."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (A_LITTLE, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def quiet(done: int, total: int) -> None:
    pass


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_stage_is_a_sentence_and_the_run_goes_on_where_it_stopped(
    small_run: SmallRun, tmp_path: Path
) -> None:
    config, workspace = small_run.config, Workspace(tmp_path / "run")
    for stage in stages(config):
        finished = files_of(workspace.folder)
        with full_disk(), pytest.raises(StageError) as said:
            run_stage(stage, config, workspace, quiet)
        assert f"{stage.name} could not go on: {workspace.folder} cannot be written" in str(said.value)
        assert "run the same command again" in str(said.value)
        assert not (workspace.receipts / f"{stage.name}.json").exists()
        assert finished.items() <= files_of(workspace.folder).items()
        run_stage(stage, config, workspace, quiet)
    for name in ("verdicts.parquet", "forecast.parquet"):
        assert (workspace.folder / name).read_bytes() == (small_run.workspace.folder / name).read_bytes()
    assert examine(workspace.folder).faults == []


def files_of(folder: Path) -> dict[str, bytes]:
    """What finished stages left: all files but the log, which grows."""
    found = (path for path in folder.rglob("*") if path.is_file() and "audit" not in path.name)
    return {str(path): path.read_bytes() for path in found}


@pytest.mark.slow
def test_a_folder_that_was_moved_is_finished_and_holds(
    small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = Workspace(Path(shutil.copytree(small_run.workspace.folder, tmp_path / "else where" / "run")))
    away = small_run.workspace.folder.with_name("away")
    small_run.workspace.folder.rename(away)  # nothing may lean on where it was
    try:
        monkeypatch.chdir(tmp_path)
        config = small_run.config
        reasons = {stage.name: plan_stage(stage, config, moved).reasons for stage in stages(config)}
        assert not any(reasons.values()), reasons
        assert (examine(moved.folder).faults, examine(moved.folder).not_here) == ([], [])
    finally:
        away.rename(small_run.workspace.folder)


def test_a_second_run_in_a_folder_is_refused(small_run: SmallRun) -> None:
    with (
        locked(small_run.workspace.folder, "run"),
        pytest.raises(StageError, match="in use by `cropcheck run`"),
    ):
        run_one("judge", small_run.config, small_run.workspace)


@pytest.mark.slow
def test_the_dates_of_files_do_not_count(small_run: SmallRun, tmp_path: Path) -> None:
    """A clock set back, a copy that kept no dates, an archive that was unpacked."""
    copy = Workspace(Path(shutil.copytree(small_run.workspace.folder, tmp_path / "run")))
    for number, path in enumerate(sorted(copy.folder.rglob("*"))):
        os.utime(path, (1e9 - number, 1e9 - number))
    config = small_run.config
    assert not any(plan_stage(stage, config, copy).reasons for stage in stages(config))
    assert examine(copy.folder).faults == []
