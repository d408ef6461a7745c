"""Items as public catalogs publish them, from a STAC API on loopback to observations of parcels."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import polars as pl
import pytest
import shapely

from features.catalog.reader import ImageryOptions, read_acquisitions
from features.errors import CatalogError
from features.extraction.extract import extract
from features.extraction.observations import read_observations
from features.extraction.options import ExtractOptions
from tests.features.catalog.published_items import IN_RADAR_GEOMETRY, OPTICAL, planetary_computer_rtc
from tests.small_imagery import write_tif

SEASON = (date(2024, 3, 1), date(2024, 10, 31))
CORNER = (621_000.0, 5_641_000.0)
SIDE = 40
OPTIONS = ExtractOptions(optical=("B04", "ndvi"), radar=("s0vv_db",), inner_buffer_m=0)
API = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]

FIELD = shapely.box(CORNER[0] + 100, CORNER[1] - 200, CORNER[0] + 200, CORNER[1] - 100)
PARCELS = gpd.GeoDataFrame({"parcel_id": ["1"]}, geometry=[FIELD], crs=32631)
BOUNDS = tuple(map(float, PARCELS.to_crs(4326).total_bounds))


class Server(BaseHTTPRequestHandler):
    """A STAC API whose search answers with some items, and the files that they name, by range."""

    def __init__(self, folder: Path, items: list[Callable[[str], dict]], *rest: Any) -> None:
        self.folder, self.items = folder, items
        super().__init__(*rest)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/")
        host = f"http://127.0.0.1:{self.server.server_address[1]}"
        if path == "search":
            items = [make(f"{host}/files") for make in self.items]
            self.send_json({"type": "FeatureCollection", "features": items, "links": []})
        elif path.startswith("files/"):
            self.send_file(self.folder / path.removeprefix("files/"))
        else:
            search = {"rel": "search", "href": f"{host}/search", "type": "application/geo+json"}
            links = [{**search, "method": "POST"}, {"rel": "root", "href": host, "type": "application/json"}]
            about = {"type": "Catalog", "id": "api", "stac_version": "1.0.0", "description": ""}
            self.send_json({**about, "conformsTo": API, "links": links})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_HEAD(self) -> None:
        self.do_GET()

    def send_json(self, body: dict) -> None:
        self.answer(200, json.dumps(body).encode(), {"Content-Type": "application/geo+json"})

    def send_file(self, path: Path) -> None:
        if not path.is_file():
            self.answer(404, b"", {})
            return
        content = path.read_bytes()
        asked = self.headers.get("Range")
        if not asked:
            self.answer(200, content, {"Accept-Ranges": "bytes"})
            return
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last or len(content) - 1), len(content) - 1)
        self.answer(206, content[start : stop + 1], {"Content-Range": f"bytes {start}-{stop}/{len(content)}"})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files in which red is 0.1 and near infrared 0.3, with and without ESA's offset; radar of -10 dB."""
    found = tmp_path_factory.mktemp("files")
    numbers = {"plain": 1000, "plain-nir": 3000, "offset": 2000, "offset-nir": 4000}
    for name, number in numbers.items():
        write_tif(found / f"{name}.tif", np.full((SIDE, SIDE), number, np.uint16), corner=CORNER, epsg=32631)
    classes = np.full((SIDE // 2, SIDE // 2), 4, np.uint8)
    write_tif(found / "scl.tif", classes, 20.0, corner=CORNER, epsg=32631)
    power = np.full((SIDE, SIDE), 0.1, np.float32)
    for name in ("power", "power-vh"):
        write_tif(found / f"{name}.tif", power, corner=CORNER, epsg=32631, nodata=-32768)
    return found


@pytest.fixture
def serve(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ImageryOptions]]:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    running: list[ThreadingHTTPServer] = []

    def start(*items: Callable[[str], dict]) -> ImageryOptions:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, folder, list(items)))
        threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.01}).start()
        running.append(server)
        return ImageryOptions(catalog=f"http://127.0.0.1:{server.server_port}")

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def observed(options: ImageryOptions, out: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Acquisitions, and what the parcel's rows of all features are."""
    table, _ = read_acquisitions(options, BOUNDS, *SEASON)
    extract(table, PARCELS, OPTIONS, out)
    return table, read_observations(out)


@pytest.mark.parametrize("make", OPTICAL, ids=lambda make: make.__name__)
def test_optical_items_of_each_catalog_give_the_same_reflectance(
    make: Callable, serve: Callable, tmp_path: Path
) -> None:
    table, found = observed(serve(make), tmp_path)
    row = table.row(0, named=True)
    assert (row["sensor"], row["tile"], row["platform"]) == ("s2", "31UFS", "sentinel-2a")
    assert (row["processing_baseline"], row["epsg"]) == ("05.10", 32631)
    assert row["relative_orbit"] == 8
    values = dict(zip(found["feature"], found["mean"], strict=True))
    assert values == {"B04": pytest.approx(0.1, abs=1e-6), "ndvi": pytest.approx(0.5, abs=1e-6)}


def test_planetary_computers_radar_gives_decibels_of_its_orbit(serve: Callable, tmp_path: Path) -> None:
    table, found = observed(serve(planetary_computer_rtc), tmp_path)
    row = table.row(0, named=True)
    assert (row["sensor"], row["tile"], row["orbit_state"]) == ("s1", "untiled", "ascending")
    assert (row["relative_orbit"], row["platform"]) == (87, "sentinel-1a")
    assert found["mean"].to_list() == [pytest.approx(-10, abs=1e-5)]
    assert found["relative_orbit"].to_list() == [87]


@pytest.mark.parametrize("make", IN_RADAR_GEOMETRY, ids=lambda make: make.__name__)
def test_radar_in_its_own_geometry_is_set_aside_with_the_cure(make: Callable, serve: Callable) -> None:
    with pytest.raises(CatalogError, match=r"not_geocoded.*projected to the ground"):
        read_acquisitions(serve(make), BOUNDS, *SEASON)


def test_one_scene_in_two_collections_of_one_catalog_counts_once(serve: Callable, tmp_path: Path) -> None:
    plain, collection_1 = OPTICAL[:2]
    table, tally = read_acquisitions(serve(plain, collection_1), BOUNDS, *SEASON)
    assert (table.height, tally.set_aside) == (1, {"duplicate": 1})
