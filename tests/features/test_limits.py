"""Tables in Parquet that would unpack to more than the config allows are refused before they are read."""

import gzip
import zlib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.context.weather import read_weather
from features.errors import ConfigError
from features.exchange.cells import ExchangeError, read_cells
from features.limits import refuse_large_tables
from features.tables.files import open_table
from models.events.labels import read_labels
from pipelines.inputs.forecast_history import _table_of

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


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_a_packed_text_table_is_refused_by_every_reader(
    pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """A library would unpack it unasked: three MB of gzip to a GiB of rows."""
    path = tmp_path / "a.csv"
    path.write_bytes(pack(b"parcel_id,event,first,last,date,ndvi,t_min_c,t_max_c,precipitation_mm\n" * 1000))
    day = date(2024, 3, 1)
    for read in (
        lambda: read_weather(path),
        lambda: read_labels(path, ["1"], day, day),
        lambda: open_table(str(path)),
        lambda: _table_of(path),
    ):
        with pytest.raises(ConfigError, match=r"a\.csv is packed; unpack it"):
            read()
    with pytest.raises(ExchangeError, match="Save it as CSV in UTF-8"):
        read_cells(path)


def test_what_is_no_parquet_is_left_to_its_reader(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    refuse(tmp_path / "a.csv", tmp_path / "gone.parquet", gib=1)
