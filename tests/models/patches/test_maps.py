"""Crop maps: blocks blended without seams, COGs with a STAC item that programs read, resumed after a stop."""

from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio

from features.imagery.blocks import Block
from models.patches.crossfit import WHOLE, FoldModels, cross_fit
from models.patches.maps import OVERLAP, assemble, blended, finish, map_units, ramp, run_map_unit
from models.patches.units import Imagery, labelled_blocks
from tests.models.patches.imagery import CLASSES, OPTIONS, make_imagery, make_parcels
from tests.small_imagery import SIDE

EVERYTHING = Block(slice(0, SIDE), slice(0, SIDE))
TIMES = ("2024-03-01T00:00:00Z", "2024-10-31T23:59:59Z")


@pytest.fixture(scope="module")
def imagery(tmp_path_factory: pytest.TempPathFactory) -> Imagery:
    return make_imagery(tmp_path_factory.mktemp("imagery"), hidden=6)


@pytest.fixture(scope="module")
def models(imagery: Imagery, tmp_path_factory: pytest.TempPathFactory) -> FoldModels:
    blocks = labelled_blocks(imagery, make_parcels(imagery), [EVERYTHING], OPTIONS, 5.0)
    return cross_fit(blocks, CLASSES, [WHOLE], OPTIONS, 1, tmp_path_factory.mktemp("models"))


def test_the_weights_of_two_neighbours_sum_to_one_everywhere() -> None:
    left, right = slice(0, 100), slice(100, 200)
    total = np.zeros(200)
    for inner in (left, right):
        outer = slice(max(inner.start - OVERLAP, 0), min(inner.stop + OVERLAP, 200))
        whole = slice(outer.start, outer.stop)
        total[whole] += ramp(whole, inner)
    np.testing.assert_allclose(total, 1)


def test_a_map_in_blocks_is_the_map_of_the_whole_tile(
    imagery: Imagery, models: FoldModels, tmp_path: Path
) -> None:
    units = map_units(imagery, models, 25, tmp_path)
    assert len(units) == 9
    for unit in units:
        run_map_unit(unit)
    whole = models.model(WHOLE).chances(imagery.composites(EVERYTHING))
    for unit in units:
        found = blended(unit.place, units, len(CLASSES))
        np.testing.assert_allclose(found, whole[:, *unit.place.slices], atol=0.5 / 200 + 1e-6)


def test_a_catalog_names_classes_and_chances_and_gives_unknown_pixels_no_class(
    imagery: Imagery, models: FoldModels, tmp_path: Path
) -> None:
    units = map_units(imagery, models, 30, tmp_path / ".writing" / "T")
    for unit in units:
        run_map_unit(unit)
    item = assemble("T", units, CLASSES, TIMES, tmp_path)
    catalog = pystac.Catalog.from_file(str(finish(tmp_path, [item], "a map", tmp_path / ".writing")))
    (found,) = catalog.get_items()
    names = found.assets["classes"].extra_fields["bands"][0]["classification:classes"]
    assert [entry["name"] for entry in names] == ["unknown", *CLASSES]
    with rasterio.open(found.assets["classes"].get_absolute_href()) as raster:
        crops = raster.read(1)
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG" and raster.nodata == 0
    with rasterio.open(found.assets["chances"].get_absolute_href()) as raster:
        chances = raster.read()
        assert raster.descriptions == CLASSES
    assert (crops[:6] == 0).all() and (chances[:, :6] == 255).all(), "under cloud on every date"
    truth = np.broadcast_to((np.arange(SIDE) // 10) % 2 + 1, (SIDE, SIDE))
    assert (crops[6:] == truth[6:]).mean() > 0.97
    assert np.abs(chances[:, 6:].astype(int).sum(axis=0) - 100).max() <= 1
    assert not (tmp_path / ".writing").exists()


def test_a_map_that_was_stopped_goes_on_with_the_blocks_that_are_missing(
    imagery: Imagery, models: FoldModels, tmp_path: Path
) -> None:
    units = map_units(imagery, models, 30, tmp_path)
    run_map_unit(units[0])
    before = units[0].file.stat().st_mtime_ns
    units[1].file.write_bytes(b"half a block")  # killed while writing, without its hash
    for unit in units:
        run_map_unit(unit)
    assert units[0].file.stat().st_mtime_ns == before
    assert np.load(units[1].file).shape == (2, *units[1].wide.shape)
