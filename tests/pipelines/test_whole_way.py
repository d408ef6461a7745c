"""Whole runs on a small region: other seasons, other places, one sensor, no clear sky."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.errors import ModelError
from features.files import read_parquet
from features.series.parcel_series import read_series
from pipelines.workspace import Workspace
from tests.small_region import BLOEMFONTEIN, FLANDERS, Place, SmallRegion

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
