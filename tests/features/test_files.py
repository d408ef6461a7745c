"""Files are whole or absent, also where several threads write the same one."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

from features.errors import StageError
from features.files import atomic_path, read_parquet, write_text


def test_two_writers_of_one_file_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with atomic_path(path) as first, atomic_path(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the inner one ended earlier
    assert list(tmp_path.iterdir()) == [path]


def test_many_threads_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    texts = [str(number) * 1000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_text(path, text), texts * 10))
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["run [1]", "50%*", "what?", "\N{EAR OF RICE} Ähre"])
def test_a_folder_may_be_named_as_a_pattern(name: str, tmp_path: Path) -> None:
    path = tmp_path / name / "table.parquet"
    with atomic_path(path) as partial:
        pl.DataFrame({"a": [1]}).write_parquet(partial)
    assert read_parquet(path)["a"].to_list() == [1]


def test_a_table_that_is_cut_short_is_told_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(StageError, match=r"verdicts\.parquet is no whole Parquet table; if a run wrote it"):
        read_parquet(path)
