"""Whole runs on a small region: other seasons, other places, one sensor, no clear sky."""

import json
import threading
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import shapely

from features.errors import ModelError
from features.files import read_parquet
from features.series.parcel_series import read_series
from pipelines.workspace import Workspace
from tests.features.catalog.published_items import OPTICAL as OPTICAL_ITEMS
from tests.features.catalog.published_items import planetary_computer_rtc
from tests.features.catalog.test_published import Server
from tests.small_imagery import write_tif
from tests.small_region import BLOEMFONTEIN, FLANDERS, Place, SmallRegion, optical, radar

PARCELS = 63  # three of which are set aside
OPTICAL = {"B04", "B08", "ndvi"}


def declared(workspace: Workspace, crop_class: str) -> np.ndarray:
    """Return which parcels of the series are declared as a class."""
    table = read_parquet(workspace.declarations, columns=["crop_class"])
    return (table["crop_class"] == crop_class).fill_null(False).to_numpy()


def verdicts_of(workspace: Workspace) -> pl.DataFrame:
    """Return the verdicts, after every account of the run was found to add up."""
    for receipt in (workspace.folder / "receipts").glob("*.json"):
        for tally in json.loads(receipt.read_text())["tallies"]:
            assert tally["came_in"] == tally["went_out"] + sum(tally["set_aside"].values()), receipt.stem
    declared = read_parquet(workspace.declarations, columns=["parcel_id"])
    verdicts = read_parquet(workspace.folder / "verdicts.parquet")
    assert verdicts["parcel_id"].to_list() == declared["parcel_id"].to_list()
    assert len(verdicts) == PARCELS
    return verdicts


def judged(verdicts: pl.DataFrame) -> pl.DataFrame:
    """Return the fields that were seen, after the three odd ones were found to have their reasons."""
    odd = verdicts[:3].select("verdict", "reason").rows()
    assert odd == [
        ("not_monitorable", "no_code"),
        ("not_monitorable", "unmapped_code"),
        ("no_data", "outside_imagery"),
    ]
    return verdicts[3:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "start", "end"),
    [
        pytest.param(FLANDERS, date(2023, 9, 15), date(2024, 7, 15), id="over New Year"),
        pytest.param(BLOEMFONTEIN, date(2023, 10, 1), date(2024, 4, 30), id="in the south, over New Year"),
    ],
)
def test_seasons_and_places(tmp_path: Path, place: Place, start: date, end: date) -> None:
    region = SmallRegion(tmp_path, place, start, end).write()
    dates = len(range(5, (end - start).days, 15))
    workspace = region.run()
    seen = judged(verdicts_of(workspace))
    assert seen["n_observations"].to_list() == [2 * dates] * 60
    assert seen["season"].to_list() == [end.year] * 60
    assert seen["predicted"].to_list() == seen["crop_class"].to_list()  # told apart by when they are green
    assert set(seen["verdict"]) <= {"confirmed", "inconclusive"}
    series = read_series(workspace.series)
    wheat = series["value"].sel(feature="ndvi", statistic="mean").isel(parcel=declared(workspace, "wheat"))
    peak = wheat.mean("parcel").idxmax("time").values.astype("datetime64[D]").item()
    assert abs((peak - start) / (end - start) - 0.35) < 0.08  # as it was drawn


@pytest.mark.slow
@pytest.mark.parametrize(("sensor", "features"), [("s1", {"s0vv_db_r037", "s0vh_db_r037"}), ("s2", OPTICAL)])
def test_one_sensor_alone(tmp_path: Path, sensor: str, features: set[str]) -> None:
    workspace = SmallRegion(tmp_path, sensors=(sensor,)).write().run()
    seen = judged(verdicts_of(workspace))
    assert seen["n_observations"].to_list() == [16] * 60
    assert seen["predicted"].to_list() == seen["crop_class"].to_list()
    assert set(read_series(workspace.series)["feature"].values) == features


@pytest.mark.slow
def test_radar_without_clear_sky(tmp_path: Path) -> None:
    """Cloud removal has nothing to learn from; the sixteen passes of radar decide alone."""
    workspace = SmallRegion(tmp_path, cloudy=True).write().run("clear.method=linear")
    seen = judged(verdicts_of(workspace))
    assert seen["n_observations"].to_list() == [16] * 60
    assert (seen["verdict"] == "confirmed").sum() > 20


@pytest.mark.slow
def test_neither_clear_sky_nor_radar(tmp_path: Path) -> None:
    region = SmallRegion(tmp_path, sensors=("s2",), cloudy=True).write()
    with pytest.raises(ModelError, match=r"No parcel was seen on any date.*Give more dates, radar beside"):
        region.run()


def published(region: SmallRegion) -> list[Callable[[str], dict]]:
    """Write the region's images, and return how public catalogs publish them, in turn."""
    codes, rng, makers = region.declare(), np.random.default_rng(2), []
    for turn, day in enumerate(region.days):
        taken = region.start + timedelta(days=day)
        ndvi = region.ndvi(day, codes, rng)
        bands, power = optical(ndvi), radar(ndvi)
        red, infrared, classes = (bands[key][0] for key in ("red", "nir", "scl"))
        images = {"offset": red, "offset-nir": infrared, "scl": classes, "power": power["vv"][0],
                  "power-vh": power["vh"][0]}  # fmt: skip
        images |= {"plain": red - np.uint16(1000), "plain-nir": infrared - np.uint16(1000)}
        for name, values in images.items():
            path = region.folder / "images" / str(taken) / f"{name}.tif"
            corner, size = (region.place.left, region.place.top), 10.0 * ndvi.shape[0] / values.shape[0]
            write_tif(path, values, size, corner, region.place.epsg)
        makers += [partial(dated, OPTICAL_ITEMS[turn % len(OPTICAL_ITEMS)], "2024-05-01", taken, region)]
        makers += [partial(dated, planetary_computer_rtc, "2024-05-03", taken, region)]
    return makers


def dated(make: Callable, made_for: str, taken: date, region: SmallRegion, base: str) -> dict:
    """Return a published item as of another day, over the region."""
    text = json.dumps(make(f"{base}/{taken}"))
    for old, new in ((made_for, str(taken)), (made_for.replace("-", ""), f"{taken:%Y%m%d}")):
        text = text.replace(old, new)
    box = region.bounds()
    return json.loads(text) | {"bbox": list(box), "geometry": shapely.geometry.mapping(shapely.box(*box))}


@pytest.mark.slow
def test_items_of_five_public_catalogs_make_one_season(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earth Search old and new, Collection 1, Planetary Computer (optical and RTC) and CDSE, over HTTP."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    region = SmallRegion(tmp_path)
    makers = published(region)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, tmp_path / "images", makers))
    threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.01}).start()
    try:
        workspace = region.run(f"imagery.catalog=http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
    seen = judged(verdicts_of(workspace))
    acquired = read_parquet(workspace.acquisitions)
    assert len(acquired) == len(makers) == 2 * len(region.days)
    assert seen["n_observations"].to_list() == [len(makers)] * 60
    assert seen["predicted"].to_list() == seen["crop_class"].to_list()
    series = read_series(workspace.series)["value"].sel(feature="B04", statistic="mean")
    grass = series.isel(parcel=declared(workspace, "grassland")).mean("parcel").dropna("time")
    assert np.abs(grass.values - 0.06).max() < 0.006  # one reflectance, whichever catalog a date is from
