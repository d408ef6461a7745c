"""Items in the files that people have instead of a catalog."""

import gzip
import json
from pathlib import Path

import pytest
import rustac

from features.catalog.reader import ImageryOptions, read_acquisitions
from features.errors import CatalogError
from features.limits import LimitOptions
from tests.features.catalog.test_reader import BOUNDS, SEASON, assets_of, optical, radar, read


def items() -> list[dict]:
    ring = [[4.05, 50.05], [4.15, 50.05], [4.15, 50.15], [4.05, 50.15], [4.05, 50.05]]
    return [{**item, "geometry": {"type": "Polygon", "coordinates": [ring]}} for item in (optical(), radar())]


def encoded() -> dict[str, bytes]:
    text = [json.dumps(item) for item in items()]
    collection = json.dumps({"type": "FeatureCollection", "features": items()})
    return {
        "lines.ndjson": "\n".join(text).encode(),
        "lines-with-gaps.jsonl": ("\r\n\r\n".join(text) + "\n").encode(),
        "list.json": f"[{','.join(text)}]".encode(),
        "packed.json.gz": gzip.compress(collection.encode()),
        "packed-without-its-ending.json": gzip.compress(collection.encode()),
        "marked.json": collection.encode("utf-8-sig"),
        "wide.json": collection.encode("utf-16"),
        "wider.json": collection.encode("utf-32"),
    }


@pytest.mark.parametrize("name", encoded())
def test_items_in_any_file_are_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(encoded()[name])
    table, tally = read(ImageryOptions(catalog=str(tmp_path / name)))
    assert (table["sensor"].to_list(), tally.came_in) == (["s2", "s1"], 2)


async def _write(path: Path) -> None:
    await rustac.write(str(path), items())


def test_stac_geoparquet_reads_as_the_items_it_was_written_from(tmp_path: Path) -> None:
    import asyncio

    asyncio.run(_write(tmp_path / "items.parquet"))
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items()}))
    table, _ = read(ImageryOptions(catalog=str(tmp_path / "items.parquet")))
    expected, _ = read(ImageryOptions(catalog=str(tmp_path / "items.json")))
    assert table.drop("assets").equals(expected.drop("assets"))
    for row in (0, 1):
        assert assets_of(table, row) == assets_of(expected, row)


def test_a_folder_is_read_by_its_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "items.ndjson").write_bytes(encoded()["lines.ndjson"])
    assert read(ImageryOptions(catalog=str(tmp_path)))[0].height == 2
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read(ImageryOptions(catalog="~/items.ndjson"))[0].height == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PAR1" + bytes(range(256)), "cannot be read as Parquet"),
        (gzip.compress(b"{}", mtime=0)[:-6], "packed with gzip but damaged"),
        (b"\xff\xfe{\x00}", "no text in utf-16"),
        (b"\x80\x81\x82", "no text in utf-8"),
        (b'{"type": "Feature"}\nno more', "is not JSON"),
        (b"", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"1" * 10_000, "is not JSON"),
        (b'{"a": ' + b"1" * 10_000 + b"}\n{}", "is not JSON"),
    ],
)
def test_what_is_no_stac_is_refused_in_a_sentence(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CatalogError, match=message):
        read(ImageryOptions(catalog=str(tmp_path / "x")))


def test_parquet_of_something_else_says_what_it_lacks(tmp_path: Path) -> None:
    import polars as pl

    pl.DataFrame({"id": ["a"]}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(CatalogError, match="it lacks assets, geometry"):
        read(ImageryOptions(catalog=str(tmp_path / "x.parquet")))


def read_within(mib: int, path: Path) -> None:
    read_acquisitions(ImageryOptions(catalog=str(path)), BOUNDS, *SEASON, LimitOptions(document_mib=mib))


def test_a_table_that_unpacks_to_much_is_refused_while_it_is_read(tmp_path: Path) -> None:
    """A dictionary says a long text once, and repeats it by number: 200 KiB become 20 GiB."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = 200_000
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * 100_000]))
    table = pa.table({"id": text, "assets": text, "geometry": text})
    pq.write_table(table, tmp_path / "bomb.parquet", compression="zstd", store_schema=False)
    assert (tmp_path / "bomb.parquet").stat().st_size < 2**20
    with pytest.raises(CatalogError, match=r"unpacks to more than 64 MiB.*raise limits\.document_mib"):
        read_within(64, tmp_path / "bomb.parquet")


def test_a_packed_file_that_unpacks_to_much_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(b" " * 10_000_000))
    with pytest.raises(CatalogError, match=r"unpacks to more than 1 MiB.*raise limits\.document_mib"):
        read_within(1, tmp_path / "bomb.json.gz")
