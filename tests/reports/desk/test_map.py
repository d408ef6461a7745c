"""The desk's map: the run's own image in tiles, the selection's outlines, markers, last year's crop."""

import io
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from features.schema import MARKERS
from reports.desk.records.store import Store, local_url
from reports.desk.state import Desk
from reports.options import PublishOptions
from reports.run import RunTables
from reports.sheet.background import TILE, Background
from tests.mock_run import make_run, write_scenes
from tests.reports.desk.test_app import PASSWORD, client_of

N = 40


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunTables:
    scenes = write_scenes(tmp_path_factory.mktemp("scenes"))
    plain = make_run(N, 4, light=True)
    first = plain.verdicts["parcel_id"][0]
    marker = {
        "parcel_id": first, "requirement": "no ploughing", "state": "not_met", "reason": "forbidden_event",
        "from": date(2025, 3, 1), "to": date(2025, 9, 1), "events": ["ploughing"], "n_observations": 20,
        "p_value": 0.01, "model_id": "m",
    }  # fmt: skip
    known = {name: marker[name] for name in MARKERS.names() if name in marker}
    markers = pl.DataFrame([known], schema_overrides={name: MARKERS[name] for name in known})
    return make_run(
        N, 4, light=True, acquisitions=scenes, markers=markers, previous=make_run(N, 4, light=True)
    )


@pytest.fixture
def desk(run: RunTables, tmp_path: Path) -> Desk:
    store = Store(local_url(tmp_path))
    made = Desk(run, store, tmp_path / "desk", PublishOptions(), (date(2025, 3, 1), date(2025, 10, 31)))
    made.accounts.create("officer", "officer", PASSWORD, by="test")
    return made


def test_tiles_are_cut_from_the_image_and_join_without_a_gap(run: RunTables) -> None:
    background = Background(run)
    facts = background.facts()
    assert facts is not None
    width, height = int(str(facts["width"])), int(str(facts["height"]))
    columns, rows = -(-width // TILE), -(-height // TILE)
    sizes = []
    for row in range(rows):
        for column in range(columns):
            tile = background.tile(0, column, row)
            assert tile is not None
            sizes.append(Image.open(io.BytesIO(tile)).size)
    assert sum(a * b for a, b in sizes) == width * height
    assert background.tile(0, columns, 0) is None
    whole = background.tile(int(str(facts["levels"])), 0, 0)
    assert whole is not None
    assert max(Image.open(io.BytesIO(whole)).size) <= TILE
    assert np.asarray(Image.open(io.BytesIO(whole))).std() > 0


def test_a_run_whose_scenes_are_gone_has_a_map_without_an_image() -> None:
    assert Background(make_run(10, 1, light=True)).facts() is None


def test_the_map_shows_the_selection_and_asks_nobody_else(desk: Desk) -> None:
    client = client_of(desk, "officer")
    everything = client.get("/map.json").json()
    assert sorted(everything["parcels"]["id"]) == sorted(desk.parcels.table["parcel_id"])
    some = client.get("/map.json", params={"verdict": "confirmed"}).json()
    assert set(some["parcels"]["id"]) == set(
        desk.parcels.table.filter(pl.col("verdict") == "confirmed")["parcel_id"]
    )
    tile = client.get("/tile", params={"level": 0, "column": 0, "row": 0})
    assert (tile.status_code, tile.headers["content-type"]) == (200, "image/png")
    for wrong in (
        {"level": 0, "column": 10**5, "row": 0},
        {"level": "x"},
        {"level": -1, "column": 0, "row": 0},
    ):
        assert client.get("/tile", params=wrong).status_code == 404
    page = client.get("/map")
    assert "http" not in page.text.replace("http-equiv", "")
    assert client_of(desk).get("/map.json").url.path == "/login"


def test_the_list_filters_by_requirement_and_state(desk: Desk) -> None:
    first = desk.run.verdicts["parcel_id"][0]
    page = client_of(desk, "officer").get("/", params={"marker": "no ploughing:not_met"}).text
    assert f'data-id="{first}"' in page
    assert page.count("data-id=") == 1
    assert "no ploughing: Not met" in page


def test_a_parcel_shows_its_requirement_and_what_grew_there_last_season(desk: Desk) -> None:
    first = desk.run.verdicts["parcel_id"][0]
    page = client_of(desk, "officer").get("/parcel", params={"id": first}).text
    assert "no ploughing" in page
    known = desk.last_year(first)
    assert known is not None
    assert known["crop"] == desk.parcels.row(first)["crop"]
    assert known["crop"] in page
