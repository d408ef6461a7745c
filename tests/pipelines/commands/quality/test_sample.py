"""`cropcheck sample` from a list: what is read is not overwritten, and files are written all or none."""

import errno
from pathlib import Path

import pytest
from typer.testing import CliRunner

import features.files
from features.errors import ConfigError
from pipelines.cli.quality import commands
from pipelines.commands.quality.sample import SampleRequest, sample_from_list, sample_from_run
from tests.pipelines.conftest import SmallRun
from tests.soak import TINY

LIST = "gsa_par_id,gsa_hol_id,ua_grp_id,covered,ranking\n007,A,x,1,1\n008,A,x,0,2\n009,B,y,1,3\n"
FILES = ["sample.csv", "sample_design.csv", "sample_parcels.csv", "sample_summary.txt"]


@pytest.fixture
def ranked(tmp_path: Path) -> Path:
    path = tmp_path / "list.csv"
    path.write_text(LIST)
    return path


def made(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_sample_has_its_files_beside_it(ranked: Path, tmp_path: Path) -> None:
    out = tmp_path / "drawn" / "sample.csv"
    assert "2 rows drawn into 2 buckets" in sample_from_list(ranked, out, SampleRequest())
    assert made(out.parent) == FILES
    assert out.read_text().splitlines()[1:] == ["x,007,A,1,1,1", "y,009,B,3,1,2"]


@pytest.mark.parametrize("beside", ["", "_parcels", "_holdings", "_design"])
def test_what_is_read_is_not_overwritten(ranked: Path, tmp_path: Path, beside: str) -> None:
    source = ranked.rename(tmp_path / f"lot{beside}.csv")
    with pytest.raises(ConfigError, match="would overwrite"):
        sample_from_list(source, tmp_path / "lot.csv", SampleRequest())
    assert source.read_text() == LIST
    targets = tmp_path / "targets.csv"
    targets.write_text("ua_grp_id,target\nx,1\ny,1\n")
    with pytest.raises(ConfigError, match="would overwrite"):
        sample_from_list(source, targets, SampleRequest(targets=targets))


def test_a_folder_is_no_file(ranked: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a folder; name a file in it"):
        sample_from_list(ranked, tmp_path, SampleRequest())
    assert made(tmp_path) == ["list.csv"]


def test_a_folder_is_told_before_a_configs_declarations_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(commands, ["sample", str(TINY), "--out", str(tmp_path)])
    assert "is a folder; name a file in it" in str(found.exception)
    assert made(tmp_path) == []


@pytest.mark.parametrize("full_at", [1, 3, 4])
def test_a_full_disk_leaves_the_older_sample_whole(
    ranked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_at: int
) -> None:
    out = tmp_path / "drawn" / "sample.csv"
    sample_from_list(ranked, out, SampleRequest())
    before = {path.name: path.read_bytes() for path in out.parent.iterdir()}
    ranked.write_text(LIST.replace("007", "001"))
    opened = []

    def partial_of(path: Path) -> Path:
        opened.append(path)
        if len(opened) == full_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        return path.with_name(f".{path.name}.partial")

    monkeypatch.setattr(features.files, "partial_of", partial_of)
    with pytest.raises(OSError, match="No space left"):
        sample_from_list(ranked, out, SampleRequest())
    assert {path.name: path.read_bytes() for path in out.parent.iterdir()} == before


def test_a_sample_is_a_csv_and_no_table_of_the_run(small_run: SmallRun, tmp_path: Path) -> None:
    workspace = small_run.workspace
    with pytest.raises(ConfigError, match=r"does not end in \.csv"):
        sample_from_run(small_run.config, workspace, workspace.verdicts, SampleRequest())
    with pytest.raises(ConfigError, match="would overwrite"):
        sample_from_run(small_run.config, workspace, workspace.folder / "verdicts.csv", SampleRequest())
    said = sample_from_run(small_run.config, workspace, tmp_path / "sample.csv", SampleRequest())
    assert "rows drawn" in said
