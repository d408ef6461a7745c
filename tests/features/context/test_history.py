"""What the ground of a parcel was declared as before, joined by overlap."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
import pytest
import shapely

from features.context.history import likeliest_before, parcel_history
from features.context.options import HistoryOptions
from features.errors import ConfigError

CLASSES = {"1": "wheat", "2": "maize"}


@pytest.fixture
def now() -> gpd.GeoDataFrame:
    shapes = [shapely.box(0, 0, 100, 100), shapely.box(100, 0, 200, 100), shapely.box(900, 0, 950, 50)]
    return gpd.GeoDataFrame({"parcel_id": ["a", "b", "c"]}, geometry=shapes, crs=32631)


def earlier(path: Path, codes: list[str], crs: int = 32631) -> HistoryOptions:
    """Last year's parcels: one over the west half of `a`, one over its east half and all of `b`."""
    shapes = [shapely.box(0, 0, 50, 100), shapely.box(50, 0, 200, 100)]
    table = gpd.GeoDataFrame({"crop": codes}, geometry=shapes, crs=32631)
    table.to_crs(crs).to_file(path, driver="GPKG")
    return HistoryOptions(path=path, year=2023)


def test_shares_are_those_of_the_overlap_and_ground_that_nobody_declared_is_unknown(
    now: gpd.GeoDataFrame, tmp_path: Path
) -> None:
    found = parcel_history(now, [earlier(tmp_path / "p.gpkg", ["1", "2"])], 2024, CLASSES.get, "crop")
    assert found.columns == ["parcel_id", "history_1_maize", "history_1_wheat"]
    np.testing.assert_allclose(found["history_1_wheat"][:2], [0.5, 0.0])
    np.testing.assert_allclose(found["history_1_maize"][:2], [0.5, 1.0])
    assert found["history_1_maize"][2] is None
    assert likeliest_before(found).to_list()[1:] == ["maize", None]


def test_codes_that_no_table_knows_leave_their_ground_unknown(now: gpd.GeoDataFrame, tmp_path: Path) -> None:
    found = parcel_history(now, [earlier(tmp_path / "p.gpkg", ["1", "99"])], 2024, CLASSES.get, "crop")
    np.testing.assert_allclose(found["history_1_wheat"][:1], [1.0])  # half of it is known
    assert found["history_1_wheat"][1] is None


def test_another_coordinate_system_is_brought_onto_ours(now: gpd.GeoDataFrame, tmp_path: Path) -> None:
    source = earlier(tmp_path / "p.gpkg", ["1", "2"], crs=4326)
    shifted = now.assign(geometry=now.translate(500_000, 5_600_000)).set_crs(32631, allow_override=True)
    table = gpd.read_file(source.path).to_crs(32631)
    moved = table.assign(geometry=table.translate(500_000, 5_600_000)).set_crs(32631, allow_override=True)
    moved.to_crs(4326).to_file(tmp_path / "q.gpkg", driver="GPKG")
    other = HistoryOptions(path=tmp_path / "q.gpkg", year=2022)
    found = parcel_history(shifted, [other], 2024, CLASSES.get, "crop")
    np.testing.assert_allclose(found["history_2_wheat"][:2], [0.5, 0.0], atol=1e-3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"year": 2024}, "not before the season 2024"),
        ({"code": "nothing"}, "nothing"),
    ],
)
def test_files_that_cannot_be_used_are_refused(
    now: gpd.GeoDataFrame, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    source = earlier(tmp_path / "p.gpkg", ["1", "2"]).model_copy(update=change)
    with pytest.raises(Exception, match=said):
        parcel_history(now, [source], 2024, CLASSES.get, "crop")


def test_a_file_of_other_codes_or_of_another_place_is_refused(now: gpd.GeoDataFrame, tmp_path: Path) -> None:
    source = earlier(tmp_path / "p.gpkg", ["8", "9"])
    with pytest.raises(ConfigError, match="no code of this run's crop tables"):
        parcel_history(now, [source], 2024, CLASSES.get, "crop")
    far = now.assign(geometry=now.translate(50_000, 0))
    with pytest.raises(ConfigError, match="covers no declared parcel"):
        parcel_history(far, [earlier(tmp_path / "q.gpkg", ["1", "2"])], 2024, CLASSES.get, "crop")


def test_a_table_without_history_knows_nothing_of_the_year_before() -> None:
    assert likeliest_before(pl.DataFrame({"parcel_id": ["a"]})).to_list() == [None]
