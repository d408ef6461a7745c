from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from features.errors import ImageryError
from features.extraction.tiles.tiling import View, assign_tiles
from features.zonal.coverage import coverage_of, read_coverage, write_coverage

GRID = GeoBox((40, 50), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32635")


def fields(*boxes: tuple[float, float, float, float]) -> gpd.GeoSeries:
    shapes = [shapely.box(500_000 + a, 5_000_000 - d, 500_000 + c, 5_000_000 - b) for a, b, c, d in boxes]
    return gpd.GeoSeries(shapes, crs=32635)


def test_coverage_is_the_area_in_pixels_and_types_are_narrow() -> None:
    shapes = fields((5, 5, 105, 85), (0, 0, 10, 10), (470, 370, 530, 420))
    coverage = coverage_of(shapes, ["a", "b", "c"], GRID)
    assert coverage.covered() == pytest.approx([80, 1, 9])
    assert coverage.pixels == pytest.approx([80, 1, 30])
    assert coverage.full_pixels().tolist() == [63, 1, 9]
    assert (coverage.rows.dtype, coverage.lengths.dtype, coverage.weights.dtype) == (
        np.uint8,
        np.uint8,
        np.float32,
    )


def test_cache_is_found_again_by_geometry_and_grid(tmp_path: Path) -> None:
    shapes = fields((5, 5, 105, 85))
    first = coverage_of(shapes, ["a"], GRID, tmp_path)
    (path,) = tmp_path.glob("*.npz")
    stamp = path.stat().st_mtime_ns
    again = coverage_of(shapes, ["a"], GRID, tmp_path)
    assert path.stat().st_mtime_ns == stamp
    assert (again.weights == first.weights).all()
    coverage_of(shapes.translate(1), ["a"], GRID, tmp_path)
    coverage_of(
        shapes, ["a"], GeoBox((40, 50), Affine(10, 0, 500_001, 0, -10, 5_000_000), "EPSG:32635"), tmp_path
    )
    coverage_of(shapes, ["b"], GRID, tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 4


def test_geometries_of_another_system_are_reprojected() -> None:
    shapes = fields((100, 100, 200, 200))
    there = coverage_of(shapes.to_crs(3035), ["a"], GRID)
    assert there.covered() == pytest.approx(coverage_of(shapes, ["a"], GRID).covered(), rel=1e-4)


@pytest.mark.parametrize("affine", [Affine(10, 1, 0, 1, -10, 0), Affine(10, 0, 0, 0, 10, 0)])
def test_rotated_and_flipped_grids_are_refused(affine: Affine) -> None:
    with pytest.raises(ImageryError, match="rotated or flipped"):
        coverage_of(fields((0, 0, 10, 10)), ["a"], GeoBox((5, 5), affine, "EPSG:32635"))


def test_no_parcels_and_empty_ones_are_no_trouble(tmp_path: Path) -> None:
    none = coverage_of(gpd.GeoSeries([], crs=32635), [], GRID)
    assert len(none) == 0
    empty = coverage_of(gpd.GeoSeries([shapely.Polygon(), None], crs=32635), ["a", "b"], GRID)
    assert empty.covered().tolist() == [0, 0]
    again = read_coverage(write_coverage(tmp_path / "c.npz", empty))
    assert again.parcel_ids.tolist() == ["a", "b"]


def test_blocks_touched() -> None:
    coverage = coverage_of(fields((5, 5, 105, 15), (330, 330, 340, 340)), ["a", "b"], GRID)
    assert np.argwhere(coverage.touched((16, 16))).tolist() == [[0, 0], [2, 2]]


def test_each_parcel_is_read_from_one_tile_that_holds_it_whole() -> None:
    west = GeoBox((100, 100), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32635")
    east = GeoBox((100, 100), Affine(10, 0, 500_800, 0, -10, 5_000_000), "EPSG:32635")
    shapes = fields(
        (100, 100, 150, 150),
        (790, 100, 990, 300),
        (860, 100, 990, 200),
        (1700, 100, 1790, 200),
        (5000, 0, 5100, 100),
    )
    tiles = assign_tiles(shapes, {"W": [View(0, west)], "E": [View(0, east)]})
    assert tiles.home.tolist() == ["W", "W", "E", "E", None]
    assert (tiles.read["W"] & tiles.read["E"]).sum() == 0


def test_tiles_of_two_zones_compare_by_their_own_coordinates() -> None:
    here = GeoBox((1000, 1000), Affine(100, 0, 450_000, 0, -100, 5_050_000), "EPSG:32635")
    there = GeoBox((1000, 1000), Affine(100, 0, 850_000, 0, -100, 5_050_000), "EPSG:32634")
    shapes = fields((0, 0, 100, 100), (-40_000, 0, -39_900, 100))
    both = assign_tiles(shapes, {"35TAA": [View(0, here)], "34TZZ": [View(0, there)]})
    assert set(both.home) <= {"35TAA", "34TZZ"}
    assert assign_tiles(shapes, {"35TAA": [View(0, here)]}).home[0] == "35TAA"


def test_a_border_that_crosses_itself_is_repaired() -> None:
    bow = shapely.Polygon([(1, 1), (5, 5), (5, 1), (1, 5)])  # two triangles of 4 each
    grid = GeoBox((6, 6), Affine(1, 0, 0, 0, -1, 6), "EPSG:32635")
    coverage = coverage_of(gpd.GeoSeries([bow, None], crs=32635), ["a", "b"], grid)
    assert coverage.covered().tolist() == [8, 0]
    assert coverage.pixels.tolist() == [8, 0]


def test_a_damaged_cache_is_computed_anew_whichever_byte_was_altered(tmp_path: Path) -> None:
    shapes = fields((5, 5, 105, 85), (0, 0, 10, 10))
    sound = coverage_of(shapes, ["a", "b"], GRID, tmp_path)
    (path,) = tmp_path.glob("*.npz")
    whole = path.read_bytes()
    damages = [whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :] for at in range(0, len(whole), 17)]
    for damage in [*damages, b"", whole[: len(whole) // 2], b"PK"]:
        path.write_bytes(damage)
        found = coverage_of(shapes, ["a", "b"], GRID, tmp_path)
        for name in ("parcel_ids", "runs", "offsets", "rows", "columns", "lengths", "weights", "pixels"):
            assert np.array_equal(getattr(found, name), getattr(sound, name))
