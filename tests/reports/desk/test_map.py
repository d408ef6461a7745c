"""The desk's map: the run's own image in tiles, the selection's outlines, markers, last year's crop."""

import io
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import rasterio
from PIL import Image
from rasterio.windows import Window

from features.errors import ConfigError
from features.schema import MARKERS
from reports.desk.records.store import Store, local_url
from reports.desk.state import Desk
from reports.options import PublishOptions
from reports.run import RunTables
from reports.sheet.background import TILE, Background, composite
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


def products(folder: Path, month: str, bands: tuple[str, ...] = ("B02", "B03", "B04")) -> Path:
    """A month's composite of 0.1 reflectance in blue, 0.2 in green, and nothing known of one pixel of red."""
    path = folder / "T31" / f"{month}_median" / f"{month}_median_value.tif"
    path.parent.mkdir(parents=True)
    values = np.stack([np.full((20, 30), 1000 * (k + 1), np.int16) for k in range(len(bands))])
    values[-1, 0, 0] = -32768
    with rasterio.open(
        path, "w", driver="GTiff", height=20, width=30, count=len(bands), dtype="int16", nodata=-32768,
        crs="EPSG:32631", transform=rasterio.Affine(10, 0, 500_000, 0, -10, 5_650_000),
    ) as raster:  # fmt: skip
        raster.write(values)
        raster.descriptions, raster.scales = bands, (0.0001,) * len(bands)
    return folder


def test_the_cloud_free_composite_of_the_clearest_scenes_month_is_drawn(
    run: RunTables, tmp_path: Path
) -> None:
    plain = Background(run).image
    assert plain is not None
    near = f"{plain.day.year}-{plain.day.month:02d}"
    folder = products(products(tmp_path, near), "2019-01")
    background = Background(run, folder)
    image = background.image
    assert image is not None
    assert (image.is_composite, image.day) == (True, plain.day.replace(day=1))
    red, green, blue = image.read(Window(0, 0, 30, 20), 1)
    assert np.isnan(red[0, 0])
    assert (red[0, 1], green[0, 0], blue[0, 0]) == pytest.approx((0.3, 0.2, 0.1))
    tile = background.tile(0, 0, 0)
    assert tile is not None
    assert Image.open(io.BytesIO(tile)).size == (30, 20)


def test_the_map_says_which_month_it_shows(run: RunTables, tmp_path: Path) -> None:
    made = Desk(
        run, Store(local_url(tmp_path)), tmp_path, PublishOptions(), (date(2025, 3, 1), date(2025, 10, 31)),
        products=products(tmp_path / "images", "2025-06"),
    )  # fmt: skip
    made.accounts.create("officer", "officer", PASSWORD, by="test")
    assert client_of(made, "officer").get("/map.json").json()["image"]["said"] == (
        "Cloud-free composite, Jun 2025"
    )


def test_a_folder_without_composites_is_said_with_the_cure(tmp_path: Path) -> None:
    products(tmp_path, "2025-06", bands=("B02", "B03"))
    with pytest.raises(ConfigError, match="clear CONFIG --write"):
        composite(tmp_path, None)


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
