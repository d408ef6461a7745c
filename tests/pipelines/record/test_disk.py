"""What cannot be written is named, with its cure: the run's folder, or that of temporary files."""

import errno
import tempfile
from pathlib import Path

import pytest

from features.errors import StageError
from pipelines.record import disk

FULL = OSError(errno.ENOSPC, "No space left on device")


def said(error: Exception, folder: Path) -> str:
    with pytest.raises(StageError) as raised, disk.writable_or_said(folder, "fill"):
        raise error
    return str(raised.value)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "temporary"
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def test_the_folder_that_the_error_names_is_named(tmp_path: Path, temporary: Path) -> None:
    run = tmp_path / "run"
    named = OSError(errno.ENOSPC, "No space left on device", str(run / "series.nc"))
    assert (
        f"{run}/series.nc cannot be written (No space left on device); free some space, or name another"
        in said(named, run)
    )
    aside = OSError(errno.ENOSPC, "No space left on device", str(temporary / "x"))
    assert "or name another folder in TMPDIR. What is finished is kept" in said(aside, run)


def test_where_the_error_names_none_the_unwritable_one_is_named(tmp_path: Path, temporary: Path) -> None:
    (tmp_path / "file").touch()
    assert "free some space, or name another folder in TMPDIR" not in said(FULL, tmp_path / "file" / "run")
    temporary.touch()  # no folder: nothing can be written there
    assert f"{temporary} cannot be written" in said(FULL, tmp_path / "run")
    temporary.unlink()
    assert f"{tmp_path}/run cannot be written (No space left on device)" in said(FULL, tmp_path / "run")


def test_a_disk_that_takes_no_larger_file_is_told_though_a_small_one_can_be_written(
    tmp_path: Path, temporary: Path
) -> None:
    temporary.mkdir()
    large = OSError(errno.EFBIG, "File too large", str(tmp_path / "run" / "series.nc"))
    assert "series.nc cannot be written (File too large); name a folder on a disk" in said(
        large, tmp_path / "run"
    )


def test_another_error_is_not_said_to_be_the_disks(tmp_path: Path) -> None:
    with pytest.raises(KeyError), disk.writable_or_said(tmp_path, "fill"):
        raise KeyError("x")
