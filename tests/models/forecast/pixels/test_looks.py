"""What pixels go by: their own looks of the season, their parcel's before."""

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import shapely

from features.imagery.blocks import Block
from features.imagery.grids import grid_of
from features.imagery.masks import MaskOptions
from features.schema import ACQUISITIONS, acquisition_rows
from models.forecast.pixels.looks import NO_PARCEL, Imagery, looks_of, owners, pixel_history
from tests.models.forecast.made import history
from tests.small_imagery import LEFT, SIDE, TOP, optical

JUNE_1, JUNE_11 = date(2024, 6, 1), date(2024, 6, 11)


def imagery(folder: Path, *scenes: tuple[int, int, int, np.ndarray], tile: str = "T") -> Imagery:
    """Scenes (day since 1 May, red, infrared as stored, scene classes) on one grid."""
    rows = []
    for number, (day, red, infrared, classes) in enumerate(scenes):
        bands = {
            name: np.full((SIDE, SIDE), value, np.uint16) for name, value in (("B04", red), ("B08", infrared))
        }
        rows.append(optical(folder / str(number), day, bands, classes, tile))
    grid = grid_of(rows[0]["assets"][0]["href"])
    table = pl.DataFrame(rows, schema=ACQUISITIONS)
    return Imagery(tuple(acquisition_rows(table)), grid, MaskOptions())


def test_a_pixel_belongs_to_the_parcel_that_covers_most_of_it_where_parcels_cover_half(
    tmp_path: Path,
) -> None:
    grid = imagery(tmp_path, (31, 2000, 4000, np.full((SIDE, SIDE), 4, np.uint8))).grid
    left = shapely.box(LEFT, TOP - 10, LEFT + 14, TOP)  # one pixel and four tenths of the next
    right = shapely.box(LEFT + 14, TOP - 10, LEFT + 17, TOP)  # three tenths of that
    far = shapely.box(LEFT + 20, TOP - 10, LEFT + 24, TOP)  # four tenths of the third
    assert owners(np.array([left, right, far]), grid)[0, :4].tolist() == [0, 0, NO_PARCEL, NO_PARCEL]


def test_acquisitions_of_one_day_are_averaged_and_hidden_pixels_are_no_look(tmp_path: Path) -> None:
    clear, cloudy = np.full((SIDE, SIDE), 4, np.uint8), np.full((SIDE, SIDE), 4, np.uint8)
    cloudy[:, 30:] = 9
    # reflectance is stored x 1e-4 - 0.1: NDVI 0.5 and 0.6 on one day, 0.5 on the other
    found = imagery(
        tmp_path, (31, 2000, 4000, clear), (31, 2000, 5000, cloudy), (41, 2000, 4000, cloudy)
    ).looks(Block(slice(0, 4), slice(0, SIDE)))
    assert found[0] == [JUNE_1, JUNE_11]
    np.testing.assert_allclose(found[1][:, 0, 0], [0.55, 0.5], atol=1e-6)
    np.testing.assert_allclose(found[1][:, 0, 45], [0.5, np.nan], atol=1e-6)


def test_clouds_beside_a_block_are_grown_into_it(tmp_path: Path) -> None:
    classes = np.full((SIDE, SIDE), 4, np.uint8)
    classes[:, 30:] = 9
    one = imagery(tmp_path, (31, 2000, 4000, classes))
    whole = one.looks(Block(slice(0, 8), slice(0, SIDE)))[1]
    block = one.looks(Block(slice(0, 8), slice(20, 30)))[1]
    np.testing.assert_array_equal(block, whole[:, :, 20:30])
    assert np.isnan(block[0, 0, -2:]).all() and np.isfinite(block[0, 0, :-2]).all(), "two pixels: 20 m"


def test_looks_of_the_season_are_the_pixels_own_and_earlier_ones_its_parcels() -> None:
    parcels = history({"a": [(10, 0.1), (400, 0.9)], "b": [(20, 0.2)]})
    own = looks_of(np.array([395, 405]), np.array([[0.3, np.nan, np.nan], [0.4, 0.5, np.nan]]))
    pixels = pixel_history(parcels, np.array([0, 1, 0]), own, since=390)
    looks = pixels.ndvi
    each = [looks.day[a:b].tolist() for a, b in zip(looks.first[:-1], looks.first[1:], strict=True)]
    assert each == [[10, 395, 405], [20, 405], [10]]
    np.testing.assert_allclose(looks.value, [0.1, 0.3, 0.4, 0.2, 0.5, 0.1])
    assert pixels.parcel_ids == ("a", "b", "a")
