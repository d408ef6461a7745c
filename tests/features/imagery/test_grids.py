"""Coordinate systems that rasters come in, and how large their pixels are on the ground."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS
from pyproj.crs import CompoundCRS, VerticalCRS

from features.errors import ImageryError
from features.imagery.grids import grid_of, pixel_metres
from tests.small_imagery import write_tif

LOCAL = 'LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'


def with_crs(path: Path, crs: object) -> str:
    return str(write_tif(path, np.ones((20, 20), np.uint16), crs=crs))


def test_of_a_compound_system_the_horizontal_part_counts(tmp_path: Path) -> None:
    both = CompoundCRS("UTM 35 N and heights", [CRS.from_epsg(32635), VerticalCRS.from_epsg(5773)])
    found = grid_of(with_crs(tmp_path / "a.tif", rasterio.CRS.from_wkt(both.to_wkt())))
    assert str(found.crs) == "EPSG:32635"


@pytest.mark.parametrize("crs", [LOCAL, None], ids=["local", "none"])
def test_systems_that_parcels_cannot_be_laid_on_are_refused(tmp_path: Path, crs: str | None) -> None:
    made = with_crs(tmp_path / "a.tif", None if crs is None else rasterio.CRS.from_wkt(crs))
    with pytest.raises(ImageryError, match=r"local or vertical|no coordinate system") as refusal:
        grid_of(made)
    assert refusal.value.reason == "no_crs"


@pytest.mark.parametrize(
    ("crs", "affine", "metres"),
    [
        ("EPSG:32635", Affine(10, 0, 5e5, 0, -10, 5e6), (10, 10)),
        ("EPSG:4326", Affine(0.001, 0, 5, 0, -0.001, 60), (111.4, 55.8)),
        ("EPSG:4807", Affine(0.001, 0, 0, 0, -0.001, 50), (100.0, 70.96)),  # grads: 50 are 45 degrees
        ("EPSG:2225", Affine(30, 0, 6e6, 0, -30, 2e6), (9.144, 9.144)),  # US survey feet
    ],
)
def test_pixels_are_measured_in_metres_whatever_the_unit(
    crs: str, affine: Affine, metres: tuple[float, float]
) -> None:
    found = pixel_metres(GeoBox((10, 10), affine, crs))
    assert found == pytest.approx(metres, rel=2e-3)


def test_metres_called_degrees_are_refused() -> None:
    with pytest.raises(ImageryError, match="not on Earth"):
        pixel_metres(GeoBox((10, 10), Affine(10, 0, 5e5, 0, -10, 5e6), "EPSG:4326"))
