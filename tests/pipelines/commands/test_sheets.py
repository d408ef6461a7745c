"""Sheets of single parcels of a finished run, written when they are asked for."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from features.errors import StageError
from pipelines.commands.sheets import write_asked
from pipelines.record.audit.verify import verify
from pipelines.workspace import Workspace
from tests.pipelines.conftest import SmallRun


@pytest.mark.slow
def test_a_sheet_that_was_not_on_the_list_is_written_and_known_to_verify(
    small_run: SmallRun, tmp_path: Path
) -> None:
    copy = Workspace(Path(shutil.copytree(small_run.workspace.folder, tmp_path / "run")))
    there = {path.stem for path in copy.reports.glob("parcels/*.html")}
    every = pl.read_parquet(copy.verdicts, glob=False)["parcel_id"].to_list()
    without = [name for name in every if name not in there][:2]
    written = write_asked(small_run.config, copy, without)
    assert sorted(path.stem for path in written) == sorted(without)
    assert verify(copy.folder) == []
    listed = next(copy.reports.glob("parcels/*.html")) if there else written[0]
    again = listed.read_bytes()
    write_asked(small_run.config, copy, [listed.stem])
    assert listed.read_bytes() == again, "as publish writes it"
    written[0].write_text("altered")
    assert verify(copy.folder) == [f"reports/parcels/{written[0].name} differs from the manifest"]


@pytest.mark.slow
def test_a_parcel_of_another_run_is_refused_by_name(small_run: SmallRun) -> None:
    with pytest.raises(StageError, match=r"1 of the parcels asked for are not of this run \(nowhere\)"):
        write_asked(small_run.config, small_run.workspace, ["nowhere"])
