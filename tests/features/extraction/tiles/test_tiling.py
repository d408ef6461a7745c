"""Where parcels are read: slices, strays, overlaps, two zones, bands that cover different ground."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import polars as pl
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from features.extraction.extract import extract
from features.extraction.observations import read_observations
from features.extraction.options import ExtractOptions
from features.extraction.tiles.tiling import View, assign_tiles
from features.imagery.masks import MaskOptions
from tests.small_imagery import LEFT, SIDE, TOP, acquisition, all_clear, asset, field, optical, parcels, table
from tests.small_imagery import write_tif as write

OPTIONS = ExtractOptions(
    optical=("B04", "ndvi"), radar=("s0vv_db",), inner_buffer_m=0.0, mask=MaskOptions(dilation_m=0.0)
)


def flat(value: int, rows: int = SIDE, columns: int = SIDE) -> np.ndarray:
    return np.full((rows, columns), value, np.uint16)


def power(rows: int, columns: int = SIDE, value: float = 0.1) -> np.ndarray:
    return np.full((rows, columns), value, np.float32)


def slice_of(
    folder: Path, name: str, top: float, values: np.ndarray, seconds: float = 0, **where: Any
) -> dict[str, Any]:
    """One radar slice without a tile, `top` metres below the rasters' corner."""
    path = write(folder / f"{name}.tif", values, corner=(LEFT, TOP - top), **where)
    row = acquisition(name, 0, "s1", "untiled", [asset("vv", path, "linear", None)])
    moved = {"datetime": row["datetime"] + timedelta(seconds=seconds), "relative_orbit": 37}
    return row | moved


def seen(folder: Path, feature: str) -> pl.DataFrame:
    return (
        read_observations(folder)
        .filter(pl.col("feature") == feature, pl.col("valid_share") > 0)
        .sort("parcel_id", "datetime")
    )


def test_every_slice_of_a_pass_is_read_where_it_lies(tmp_path: Path) -> None:
    rows = [
        slice_of(tmp_path / "i", "north", 0, power(40, value=0.1)),
        slice_of(tmp_path / "i", "south", 400, power(20, value=0.2), seconds=25),
    ]
    fields = parcels(field(50, 50, 100, 100), field(50, 450, 100, 100), field(50, 350, 100, 100))
    found, account = extract(table(*rows), fields, OPTIONS, tmp_path / "o")
    assert (account.went_out, account.set_aside) == (2, {})
    observed = seen(tmp_path / "o", "s0vv_db")
    assert observed["parcel_id"].to_list() == ["000000", "000001", "000002"], "each once in the pass"
    assert observed["mean"].to_list() == pytest.approx(10 * np.log10([0.1, 0.2, 0.1]), rel=1e-5)
    assert observed["valid_share"].to_list() == [1, 1, 0.5], "the cut parcel is as seen by one slice"
    assert found["full_pixels"].to_list() == [100, 100, 50]


def test_slices_with_other_pixel_corners_and_zones_are_read_too(tmp_path: Path) -> None:
    rows = [slice_of(tmp_path / "i", f"{day}", 0, power(SIDE)) | {"relative_orbit": day} for day in range(3)]
    rows += [slice_of(tmp_path / "i", "off", 3, power(SIDE)) | {"relative_orbit": 3}]
    other = gpd.GeoSeries([shapely.Point(LEFT, TOP)], crs=32635).to_crs(32634).iloc[0]
    path = write(tmp_path / "i/zone.tif", power(200, 200), corner=(other.x - 500, other.y + 500), epsg=32634)
    rows += [acquisition("zone", 0, "s1", "35VLF", [asset("vv", path, "linear", None)])]
    rows[-1] |= {"relative_orbit": 4, "tile": "untiled"}
    _, account = extract(table(*rows), parcels(field(50, 50, 100, 100)), OPTIONS, tmp_path / "o")
    assert (account.went_out, account.set_aside) == (5, {})
    observed = seen(tmp_path / "o", "s0vv_db")
    assert sorted(observed["relative_orbit"]) == [0, 1, 2, 3, 4]
    assert observed["valid_share"].to_list() == pytest.approx([1] * 5, abs=1e-3)


def test_a_stray_scene_takes_no_parcel_from_the_tile_that_sees_it_all_season(tmp_path: Path) -> None:
    bands = {"B04": flat(2000), "B08": flat(4000)}
    season = [optical(tmp_path / "i", day, bands, all_clear()) for day in (0, 10, 20)]
    corner = (LEFT - 300, TOP + 300)
    large = {name: flat(3000, 2 * SIDE, 2 * SIDE) for name in bands}
    classes = np.full((SIDE, SIDE), 4, np.uint8)
    path = tmp_path / "i"
    stray = optical(path, 5, {}, all_clear(), tile="35VLG")
    stray["assets"] = [
        asset("scl", write(path / "stray-scl.tif", classes, 20.0, corner=corner), "class"),
        *(asset(band, write(path / f"x-{band}.tif", held, corner=corner)) for band, held in large.items()),
    ]
    fields = parcels(field(100, 100, 100, 100), field(450, 450, 100, 100), field(620, 0, 50, 50))
    found, _ = extract(table(*season, stray), fields, OPTIONS, tmp_path / "o")
    assert found["tile"].to_list() == ["35VLF", "35VLF", "35VLG"]
    observed = seen(tmp_path / "o", "B04").group_by("parcel_id").len().sort("parcel_id")
    assert observed["len"].to_list() == [4, 4, 1], "on an overlap a parcel is read from either tile"


def test_a_pass_over_two_tiles_counts_once_and_a_gap_in_one_is_filled_from_the_other(tmp_path: Path) -> None:
    bands = {"B04": flat(2000), "B08": flat(4000)}
    rows = [optical(tmp_path / "i", day, bands, all_clear()) for day in (0, 10, 20)]
    for day in (0, 10):  # this tile's file of day 20 is missing, and its times are some seconds later
        row = optical(tmp_path / "i", day, bands, all_clear(), tile="35VLG", corner=(LEFT + 400, TOP))
        rows.append(row | {"datetime": row["datetime"] + timedelta(seconds=9)})
    fields = parcels(field(0, 0, 100, 100), field(450, 0, 100, 100), field(800, 0, 100, 100))
    found, _ = extract(table(*rows), fields, OPTIONS, tmp_path / "o")
    observed = seen(tmp_path / "o", "ndvi").group_by("parcel_id").len().sort("parcel_id")
    assert observed["len"].to_list() == [3, 3, 2]
    assert found["tile"].to_list() == ["35VLF", "35VLF", "35VLG"]
    assert found["full_pixels"].to_list() == [100, 100, 100]


def test_bands_that_cover_different_ground_are_each_read_where_they_lie(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    red = rng.integers(1200, 6000, (SIDE, SIDE)).astype(np.uint16)
    nir = rng.integers(1200, 6000, (SIDE, SIDE)).astype(np.uint16)
    row = optical(tmp_path / "i", 0, {"B04": red}, all_clear())
    cut = write(tmp_path / "i/nir.tif", np.ascontiguousarray(nir[20:, 10:]), corner=(LEFT + 100, TOP - 200))
    wide = write(
        tmp_path / "i/wide.tif", np.pad(nir, 10, constant_values=2000), corner=(LEFT - 100, TOP + 100)
    )
    fields = parcels(field(150, 250, 100, 100), field(0, 0, 80, 80), field(50, 250, 100, 100))
    options = OPTIONS.model_copy(update={"optical": ("B04", "B08", "ndvi")})
    physical = [values.astype(float) * 1e-4 - 0.1 for values in (red, nir)]
    for name, path in (("cut", cut), ("wide", wide)):
        held = {**row, "assets": [*row["assets"], asset("B08", path)]}
        extract(table(held), fields, options, tmp_path / name)
        inner = (slice(25, 35), slice(15, 25))
        observed = seen(tmp_path / name, "ndvi").filter(pl.col("parcel_id") == "000000")
        expected = (physical[1][inner] - physical[0][inner]) / (physical[1][inner] + physical[0][inner])
        assert observed["mean"].item() == pytest.approx(expected.mean(), rel=1e-5), name
        assert observed["valid_share"].item() == 1
        alone = seen(tmp_path / name, "B08").filter(pl.col("parcel_id") == "000000")
        assert alone["mean"].item() == pytest.approx(physical[1][inner].mean(), rel=1e-5), name
        assert seen(tmp_path / name, "B04").height == 3
    assert seen(tmp_path / "cut", "ndvi")["valid_share"].to_list() == [1, 0.5], "half of it has no B08"
    assert seen(tmp_path / "wide", "ndvi")["valid_share"].to_list() == [1, 1, 1]


def test_a_classification_smaller_than_the_bands_hides_what_it_does_not_cover(tmp_path: Path) -> None:
    row = optical(tmp_path / "i", 0, {"B04": flat(2000), "B08": flat(4000)}, all_clear())
    small = write(tmp_path / "i/small.tif", np.full((15, 30), 4, np.uint8), 20.0)
    row["assets"] = [a for a in row["assets"] if a["band"] != "scl"] + [asset("scl", small, "class")]
    fields = parcels(field(0, 0, 100, 100), field(0, 250, 100, 100), field(0, 400, 100, 100))
    for side in (2048, 32):
        options = OPTIONS.model_copy(update={"block_px": side})
        extract(table(row), fields, options, tmp_path / f"{side}")
        assert seen(tmp_path / f"{side}", "B04")["valid_share"].to_list() == [1, 0.5]


def test_composites_without_a_classification_are_read_where_the_config_says_so(tmp_path: Path) -> None:
    red = flat(2000)
    red[:5, :10] = 0  # what clouds hid all week is nodata
    row = optical(tmp_path / "i", 0, {"B04": red, "B08": flat(4000)}, all_clear())
    row["assets"] = [a for a in row["assets"] if a["band"] != "scl"]
    fields = parcels(field(0, 0, 100, 100))
    _, account = extract(table(row), fields, OPTIONS, tmp_path / "refused")
    assert account.set_aside == {"no_scene_class": 1}
    options = OPTIONS.model_copy(update={"mask": MaskOptions(without_classes="clear")})
    _, account = extract(table(row), fields, options, tmp_path / "o")
    assert account.went_out == 1
    observed = seen(tmp_path / "o", "B04")
    assert (observed["mean"].item(), observed["valid_share"].item()) == (pytest.approx(0.1), 0.5)


GRID = GeoBox((100, 100), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32635")


@given(
    st.lists(
        st.lists(st.integers(0, 8), min_size=1, max_size=6), min_size=1, max_size=4
    ),
    st.integers(0, 90),
)  # fmt: skip
def test_every_pass_that_holds_a_parcel_is_read_and_no_tile_without_need(
    passes: list[list[int]], place: int
) -> None:
    tiles = {f"T{k}": [View(number, GRID) for number in numbers] for k, numbers in enumerate(passes)}
    box = shapely.box(500_000 + place * 10, 4_999_900, 500_050 + place * 10, 4_999_950)
    found = assign_tiles(gpd.GeoSeries([box], crs=32635), tiles)
    read = [name for name, chosen in found.read.items() if chosen[0]]
    covered = {view.number for name in read for view in tiles[name]}
    assert covered == {number for numbers in passes for number in numbers}
    assert found.home[0] in read
    assert len(tiles[found.home[0]]) and len(read) <= len(covered)


def test_a_footprint_says_what_a_tile_did_not_see() -> None:
    whole = gpd.GeoSeries([GRID.extent.geom], crs=32635).to_crs(4326).iloc[0]
    west, south, east, north = whole.bounds
    half = shapely.box(west, south, (west + east) / 2, north)
    shape = gpd.GeoSeries([shapely.box(500_900, 4_999_900, 500_950, 4_999_950)], crs=32635)  # in the east
    tiles = {"A": [View(0, GRID, half), View(1, GRID, half)], "B": [View(0, GRID, whole)]}
    found = assign_tiles(shape, tiles)
    assert (found.home[0], found.read["A"][0]) == ("B", False)
