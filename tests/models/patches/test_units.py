"""A work unit reads imagery, and composes the parcels whose middle lies in its block."""

import geopandas as gpd
import numpy as np
import polars as pl
import pytest
import shapely

from features.files import read_parquet
from features.imagery.blocks import Block
from models.patches.crossfit import cross_fit
from models.patches.units import Imagery, ParcelUnit, homes, labelled_blocks, place_of, run_unit
from tests.models.patches.imagery import CLASSES, OPTIONS, field, make_imagery, make_parcels
from tests.small_imagery import LEFT, SIDE, TOP


@pytest.fixture(scope="module")
def imagery(tmp_path_factory: pytest.TempPathFactory) -> Imagery:
    return make_imagery(tmp_path_factory.mktemp("imagery"))


@pytest.fixture(scope="module")
def parcels(imagery: Imagery) -> gpd.GeoDataFrame:
    return make_parcels(imagery)


@pytest.fixture(scope="module")
def unit(imagery: Imagery, parcels: gpd.GeoDataFrame, tmp_path_factory: pytest.TempPathFactory) -> ParcelUnit:
    folder = tmp_path_factory.mktemp("run")
    blocks = labelled_blocks(imagery, parcels, [Block(slice(0, SIDE), slice(0, SIDE))], OPTIONS, 5.0)
    models = cross_fit(blocks, CLASSES, [0, 1], OPTIONS, 1, folder / "models")
    parcels.to_parquet(folder / "parcels.parquet")
    place = place_of(parcels.geometry.to_numpy(), imagery.grid, models.margin_px)
    return ParcelUnit(imagery, folder / "parcels.parquet", 0, place, models, OPTIONS, 5.0, folder / "parts")


def test_an_outline_over_two_fields_is_found_to_grow_two_crops(unit: ParcelUnit) -> None:
    run_unit(unit)
    findings = read_parquet(unit.table("findings"))
    assert findings.filter("more_than_one_crop")["parcel_id"].to_list() == ["both"]
    composed = read_parquet(unit.table("composition")).filter(pl.col("parcel_id") == "both")
    assert composed["crop_class"].to_list() == ["maize", "wheat"] or composed["share"].min() > 0.45
    assert composed["area_ha"].sum() == pytest.approx(5.8)
    whole = read_parquet(unit.table("composition")).filter(pl.col("parcel_id") == "a")
    assert whole["share"].to_list() == [1.0]


def test_neighbours_of_one_fold_make_mixed_parcels_of_known_shares(unit: ParcelUnit) -> None:
    run_unit(unit)
    pairs = read_parquet(unit.table("pairs"))
    assert pairs.select("first", "second").rows() == [("a", "b"), ("c", "d")], "b and c lie in two folds"
    assert pairs["flagged"].all() and pairs["true_share"].to_list() == [0.5, 0.5]
    assert (pairs["found_share"] - 0.5).abs().max() < 0.05


def test_the_picture_holds_the_pixels_of_what_was_found(unit: ParcelUnit) -> None:
    run_unit(unit)
    pixels = read_parquet(unit.table("pictures"))
    assert set(pixels["parcel_id"]) == {"both"} and len(pixels) == 20 * (SIDE - 2)
    east = pixels.filter(pl.col("x") > LEFT + 10 * 51)
    assert (east["crop_class"] == "wheat").mean() > 0.95


def test_a_unit_that_was_run_is_not_run_again_but_a_damaged_table_is_made_anew(unit: ParcelUnit) -> None:
    run_unit(unit)
    path = unit.table("findings")
    before = path.stat().st_mtime_ns
    run_unit(unit)
    assert path.stat().st_mtime_ns == before
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    run_unit(unit)
    assert path.read_bytes() == whole


def test_a_parcel_belongs_to_the_block_of_its_middle_and_one_longer_than_a_block_to_none(
    imagery: Imagery,
) -> None:
    shapes = np.array([field(0, 10), field(40, 60), shapely.box(0, 0, 10, 10)])
    assert homes(shapes, imagery.grid, 30).tolist() == [-1, -1, -1], "58 pixels tall, or far away"
    small = np.array([shapely.box(LEFT + 350, TOP - 100, LEFT + 450, TOP - 50)])
    assert homes(small, imagery.grid, 30).tolist() == [1]
