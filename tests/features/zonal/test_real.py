from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from features.imagery.masks import MaskOptions, clear_mask
from features.imagery.windows import read_window
from features.zonal.coverage import coverage_of
from features.zonal.engine import zonal

pytestmark = pytest.mark.realdata
FLAT = "EPSG:3857"  # the fixtures' own systems are local; only the plane matters


def case(folder: Path, raster: str, layer: str) -> tuple[np.ndarray, GeoBox, gpd.GeoSeries, float | None]:
    with rasterio.open(folder / raster) as source:
        grid = GeoBox(source.shape, source.transform, FLAT)
        nodata = source.nodata
    shapes = gpd.read_file(folder / layer).geometry.set_crs(FLAT, allow_override=True)
    return read_window(str(folder / raster)), grid, shapes, nodata


@pytest.fixture
def peer(real_data: Path) -> Path:
    return real_data / "rasterstats-tests" / "tests" / "data"


def test_peer_counts_and_means(peer: Path) -> None:
    """rasterstats counts 75 and 50 pixel centres and a mean of 14.66; exact coverage lies close by."""
    block, grid, shapes, nodata = case(peer, "slope.tif", "polygons.shp")
    values, counts = zonal(block, coverage_of(shapes, ["a", "b"], grid), ["mean", "median"], nodata=nodata)
    assert counts == pytest.approx(shapes.area.to_numpy() / grid.affine.a**2, rel=1e-6)
    assert counts == pytest.approx([75, 50], rel=0.05)
    assert values[0, 0] == pytest.approx(14.66, rel=0.04)


def test_values_equal_exactextract_on_the_fixture(peer: Path) -> None:
    from exactextract import exact_extract

    block, grid, shapes, nodata = case(peer, "slope.tif", "multipolygons.shp")
    found = exact_extract(
        rasterio.open(peer / "slope.tif"),
        gpd.GeoDataFrame(geometry=shapes.set_crs(rasterio.open(peer / "slope.tif").crs, allow_override=True)),
        ["mean", "stdev", "min", "max", "count", "median"],
    )[0]["properties"]
    values, counts = zonal(
        block, coverage_of(shapes, ["a"], grid), ["mean", "std", "min", "max", "median"], nodata=nodata
    )
    expected = [found[name] for name in ("mean", "stdev", "min", "max", "median")]
    assert values[0].tolist() == pytest.approx(expected, rel=1e-6)
    assert counts[0] == pytest.approx(found["count"], rel=1e-6)


def test_all_nodata_gives_count_zero(peer: Path) -> None:
    block, grid, shapes, nodata = case(peer, "all_nodata.tif", "polygons.shp")
    values, counts = zonal(block, coverage_of(shapes, ["a", "b"], grid), ["mean", "max"], nodata=nodata)
    assert counts.tolist() == [0, 0]
    assert np.isnan(values).all()


def test_no_and_partial_overlap(peer: Path) -> None:
    block, grid, shapes, nodata = case(peer, "slope.tif", "polygons_no_overlap.shp")
    _, counts = zonal(block, coverage_of(shapes, list("abcdefghi"), grid), ["mean"], nodata=nodata)
    left, bottom, right, top = grid.boundingbox
    inside = shapes.intersection(shapely.box(left, bottom, right, top)).area.to_numpy() / grid.affine.a**2
    assert (counts[inside == 0] == 0).all()
    block, grid, shapes, nodata = case(peer, "slope.tif", "polygons_partial_overlap.shp")
    coverage = coverage_of(shapes, list("abcdefghi"), grid)
    inside = shapes.intersection(shapely.box(left, bottom, right, top)).area.to_numpy() / grid.affine.a**2
    assert coverage.covered() == pytest.approx(inside, rel=1e-5, abs=1e-5)
    assert coverage.pixels == pytest.approx(shapes.area.to_numpy() / grid.affine.a**2)


def test_fills_of_1e20_in_a_scene_classification_are_not_clear(real_data: Path) -> None:
    """The Swiss chips hold 1e20 where the classification has no data; a chip's bands are float32."""
    found = 0
    for path in sorted((real_data / "wheat-ch" / "s2_chips").rglob("*.tif")):
        with rasterio.open(path) as source:
            classes = source.read(source.count).astype(np.float32)
            band = source.read(1)
            grid = GeoBox(source.shape, Affine(*source.transform[:6]), source.crs.to_string())
        huge = ~(np.abs(classes) < 1e19)
        clear = clear_mask(classes, MaskOptions(dilation_m=0), (10, 10))
        assert not clear[huge].any()
        found += int(huge.sum())
        left, bottom, right, top = grid.boundingbox
        whole = gpd.GeoSeries([shapely.box(left, bottom, right, top)], crs=str(grid.crs))
        coverage = coverage_of(whole, ["a"], grid)
        values, counts = zonal(band, coverage, ["mean", "max"], clear=clear)
        usable = clear & np.isfinite(band) & (np.abs(band) < 1e20)
        assert counts[0] == pytest.approx(usable.sum(), rel=1e-5, abs=1e-6)
        assert counts[0] == 0 or values[0, 1] == band[usable].max()
    assert found > 0
