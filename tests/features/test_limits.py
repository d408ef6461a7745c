"""Tables in Parquet that would unpack to more than the config allows are refused before they are read."""

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import ConfigError
from features.limits import refuse_large_tables

MIB = 1 / 1024  # of a GiB


def refuse(*paths: Path, gib: float) -> None:
    refuse_large_tables(paths, gib, "limits.table_gib")


def test_numbers_are_counted_as_they_are_declared(tmp_path: Path) -> None:
    """131,072 numbers of 8 bytes are one MiB, however well they are packed."""
    pl.DataFrame({"x": [0.0] * 131_072}).write_parquet(tmp_path / "a.parquet", compression="zstd")
    assert (tmp_path / "a.parquet").stat().st_size < 5_000
    refuse(tmp_path / "a.parquet", gib=1.01 * MIB)
    with pytest.raises(ConfigError, match=r"a\.parquet unpacks to more than .* raise limits\.table_gib"):
        refuse(tmp_path / "a.parquet", gib=0.99 * MIB)
    with pytest.raises(ConfigError, match=r"a\.parquet"):
        refuse(tmp_path / "a.parquet", tmp_path / "a.parquet", gib=1.5 * MIB)


def test_texts_that_a_dictionary_repeats_are_counted_each_time(tmp_path: Path) -> None:
    """200,000 times a text of 100,000 letters would be 19 GiB; the file has less than one MiB."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 200_000, pa.int32()), pa.array(["x" * 100_000]))
    pq.write_table(pa.table({"id": text}), tmp_path / "bomb.parquet", compression="zstd", store_schema=False)
    assert (tmp_path / "bomb.parquet").stat().st_size < 2**20
    with pytest.raises(ConfigError, match=r"more than 0\.5 GiB"):
        refuse(tmp_path / "bomb.parquet", gib=0.5)


def test_lists_are_counted_by_their_values(tmp_path: Path) -> None:
    pl.DataFrame({"v": [[1.0] * 1024] * 128}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match="unpacks to more"):
        refuse(tmp_path / "a.parquet", gib=0.9 * MIB)
    refuse(tmp_path / "a.parquet", gib=1.1 * MIB)


def test_what_is_no_parquet_is_left_to_its_reader(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    refuse(tmp_path / "a.csv", tmp_path / "gone.parquet", gib=1)
