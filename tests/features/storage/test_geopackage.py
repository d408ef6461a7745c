"""A GeoPackage is whole, or an error says why not."""

import errno
import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import pytest
from shapely.geometry import Point, box

from features.files import atomic_path
from features.storage import geopackage
from features.storage.geopackage import IncompleteFileError, write_geopackage, write_geopackage_parts

FRAME = gpd.GeoDataFrame({"id": ["a", "b"]}, geometry=[box(0, 0, 1, 1), Point()], crs=3035)
WRITE = gpd.GeoDataFrame.to_file


def spoiled(statement: str) -> Any:
    """GDAL as it is on a full disk: something of the file is missing, and no error is raised."""

    def to_file(frame: gpd.GeoDataFrame, path: Path, **options: Any) -> None:
        WRITE(frame, path, **options)
        with sqlite3.connect(path) as database:
            for name in ("insert", "delete", "update"):
                database.create_function(name, -1, lambda *_: None)
            database.execute(statement)

    return to_file


def test_a_layer_is_written_and_read_back(tmp_path: Path) -> None:
    write_geopackage(FRAME, tmp_path / "x.gpkg", "parcels")
    assert gpd.read_file(tmp_path / "x.gpkg")["id"].to_list() == ["a", "b"]


@pytest.mark.parametrize(
    "statement",
    ["DROP TABLE rtree_parcels_geom", "DELETE FROM gpkg_contents", "DELETE FROM gpkg_geometry_columns"],
)
def test_what_the_library_dropped_in_silence_is_an_error(
    statement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.gpkg"
    path.write_text("what stood before")
    monkeypatch.setattr(gpd.GeoDataFrame, "to_file", spoiled(statement))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(OSError, match="No space left") as caught, atomic_path(path) as partial:
        write_geopackage(FRAME, partial, "parcels")
    assert caught.value.errno == errno.ENOSPC
    assert path.read_text() == "what stood before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.gpkg"]


def test_a_disk_with_room_is_not_called_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpd.GeoDataFrame, "to_file", spoiled("DROP TABLE rtree_parcels_geom"))
    with pytest.raises(IncompleteFileError, match=r"written 3 times \(no such table: rtree_parcels_geom\)"):
        write_geopackage(FRAME, tmp_path / "x.gpkg", "parcels")


def test_a_layer_that_is_not_whole_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The library loses its index now and then while a machine is busy."""
    once = iter([spoiled("DELETE FROM gpkg_contents")])

    def to_file(frame: gpd.GeoDataFrame, path: Path, **options: Any) -> None:
        next(once, WRITE)(frame, path, **options)

    monkeypatch.setattr(gpd.GeoDataFrame, "to_file", to_file)
    write_geopackage(FRAME, tmp_path / "x.gpkg", "parcels")
    assert gpd.read_file(tmp_path / "x.gpkg")["id"].to_list() == ["a", "b"]
    assert "parcels is not whole (the layer is not listed); it is written again" in caplog.text


def test_parts_that_are_written_again_are_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = iter(["the index is not whole"])
    monkeypatch.setattr(geopackage, "_fault", lambda *_: next(faults, None))
    parts = [FRAME[:1], FRAME[:1].assign(id="c")]
    write_geopackage_parts(lambda: iter(parts), tmp_path / "x.gpkg", "parcels")
    assert gpd.read_file(tmp_path / "x.gpkg")["id"].to_list() == ["a", "c"]
