"""Real cubes, products and weather indexed into a catalog; skips where the real data are absent."""

from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
import pytest
import rasterio
import xarray as xr

from features.catalog.reader import ImageryOptions, read_acquisitions
from features.context.weather import growing_degree_days, read_weather
from features.extraction.extract import without_contradictions
from features.extraction.options import ExtractOptions
from features.indexing.field_raster import parcels_from_raster
from features.indexing.folder import index_folder
from features.schema import ACQUISITIONS

pytestmark = pytest.mark.realdata
PATCHES = {"00002806639B424A": (2018, 16), "000028085BF08E7E": (2019, 17)}


@pytest.fixture(scope="module", params=PATCHES)
def patch(
    request: pytest.FixtureRequest, real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """One Flanders patch and the catalog of it."""
    source = real_data / "flanders-patches" / request.param
    return source, index_folder(source, tmp_path_factory.mktemp("catalog") / request.param).catalog


def season_of(patch: tuple[Path, Path]) -> tuple[pl.DataFrame, int]:
    source, catalog = patch
    year, _ = PATCHES[source.name]
    table, _ = read_acquisitions(
        ImageryOptions(catalog=str(catalog)), (2.0, 50.0, 4.0, 52.0), date(year, 1, 1), date(year, 11, 30)
    )
    return table, year


def test_every_date_and_band_of_the_season_reads_back_bit_for_bit(patch: tuple[Path, Path]) -> None:
    table, year = season_of(patch)
    cubes = {
        path.name: xr.open_dataset(path, engine="h5netcdf", mask_and_scale=False)
        for path in patch[0].glob("S*.nc")
    }
    compared = 0
    for row in table[::9].iter_rows(named=True):
        for asset in row["assets"]:
            name = asset["band"].upper()
            held = [
                cube
                for cube in cubes.values()
                if name in cube and np.datetime64(row["datetime"]) in cube["timestamp"]
            ]
            finest = max(held, key=lambda cube: cube.sizes["x"])
            with rasterio.open(asset["href"]) as file:
                expected = finest[name].sel(timestamp=np.datetime64(row["datetime"], "ns")).values
                np.testing.assert_array_equal(file.read(1), expected)
                compared += 1
    assert compared > 80
    dates = {
        moment
        for cube in cubes.values()
        for moment in cube["timestamp"].values
        if str(moment)[:4] == str(year)
    }
    last = np.datetime64(f"{year}-12-01")
    options = ImageryOptions(catalog=str(patch[1]))
    _, tally = read_acquisitions(options, (2.0, 50.0, 4.0, 52.0), date(year, 1, 1), date(year, 11, 30))
    assert table.height + tally.set_aside.get("duplicate", 0) == len({m for m in dates if m < last})
    for cube in cubes.values():
        cube.close()


def test_two_radar_orbits_are_told_apart(patch: tuple[Path, Path]) -> None:
    table, _ = season_of(patch)
    radar = table.filter(pl.col("sensor") == "s1")
    assert set(radar["relative_orbit"]) == {901, 902}
    for orbit in (901, 902):
        times = radar.filter(pl.col("relative_orbit") == orbit)["datetime"].sort()
        gaps = times.dt.date().diff().drop_nulls().dt.total_days()
        assert (gaps % 6 == 0).all(), "one orbit comes back every six days"
    assert set(radar["orbit_state"]) == {"ascending"}


def test_values_are_physical(patch: tuple[Path, Path]) -> None:
    table, _ = season_of(patch)
    middles: dict[str, list[float]] = {}
    for row in table[::5].iter_rows(named=True):
        for asset in row["assets"]:
            with rasterio.open(asset["href"]) as file:
                raw = file.read(1)
            middles.setdefault(asset["band"], []).append(
                float(np.median(raw)) * asset["scale"] + asset["offset"]
            )
    assert -14 < np.median(middles["vv"]) < -5
    assert -22 < np.median(middles["vh"]) < -12
    assert 0.1 < np.median(middles["B8A"]) < 0.6
    assert ("B08" in middles) == (patch[0].name == "00002806639B424A"), "one patch has no 10 m bands"


def test_the_offset_of_old_reflectance_is_plausible(patch: tuple[Path, Path], tmp_path: Path) -> None:
    table, _ = season_of(patch)
    optical = table.filter(pl.col("sensor") == "s2")
    if not any(asset["band"] == "B02" for asset in optical["assets"][0]):
        pytest.skip("this patch has no visible band")
    fields = gpd.read_file(patch[1].with_name("parcels.gpkg"))
    options = ExtractOptions(optical=("B02", "B04"))
    _, found = without_contradictions(optical, fields, options, tmp_path / "as-stated")
    assert [outcome.item_id for outcome in found] == []
    rows = optical.to_dicts()
    shifted = [{**row, "assets": [with_offset(asset) for asset in row["assets"]]} for row in rows]
    _, found = without_contradictions(
        pl.DataFrame(shifted, schema=ACQUISITIONS), fields, options, tmp_path / "shifted"
    )
    wrong = [outcome for outcome in found if outcome.reason == "offset_subtracted_twice"]
    assert len(wrong) >= 25, "the clear dates show that subtracting 0.1 would be wrong"


def with_offset(asset: dict) -> dict:
    return {**asset, "offset": -0.1, "assumed": []} if asset["unit"] == "reflectance" else asset


def test_declared_fields_become_parcels(patch: tuple[Path, Path]) -> None:
    source, catalog = patch
    _, count = PATCHES[source.name]
    parcels = gpd.read_file(catalog.with_name("parcels.gpkg"))
    assert len(parcels) == count
    assert parcels["parcel_id"].is_unique
    assert (parcels["pixels"] >= 8).all()
    np.testing.assert_allclose(parcels.area, parcels["pixels"] * 100)
    assert set(parcels["crop_code"]) <= {"1110", "1200", "1910", "2130", "5100", "7900", "9120"}
    raster = next(source.glob("OUTPUT*.nc"))
    large = parcels_from_raster(raster, min_pixels=100)
    assert large["pixels"].to_list() == parcels.loc[parcels["pixels"] >= 100, "pixels"].to_list()


def test_weather_covers_every_day(patch: tuple[Path, Path]) -> None:
    source, catalog = patch
    year, _ = PATCHES[source.name]
    weather = read_weather(catalog.with_name("weather.csv"))
    assert weather.height == 487
    assert weather["date"].diff().drop_nulls().dt.total_days().unique().to_list() == [1]
    season = weather.filter(pl.col("date").is_between(date(year, 3, 1), date(year, 10, 31)))
    assert 2500 < growing_degree_days(season)["gdd"][-1] < 4500
    assert weather.null_count().sum_horizontal().item() == 0


def test_swiss_products_know_their_tile_orbit_and_baseline(real_data: Path, tmp_path: Path) -> None:
    catalog = index_folder(real_data / "wheat-ch", tmp_path / "catalog").catalog
    season = (date(2022, 1, 1), date(2022, 12, 31))
    table, tally = read_acquisitions(ImageryOptions(catalog=str(catalog)), (6.0, 46.0, 10.0, 48.0), *season)
    assert (tally.came_in, tally.went_out) == (51, 48)
    assert tally.set_aside == {"duplicate": 1, "superseded": 2}, "three scenes were processed twice"
    assert set(table["relative_orbit"]) == {65, 108}
    assert {tile[:5] for tile in table["tile"]} == {"32TLT", "32TMT"}
    for row in table.iter_rows(named=True):
        held = {asset["band"]: asset for asset in row["assets"]}
        assert "B08" not in held
        assert (held["B04"]["scale"], held["B04"]["offset"]) == (1, 0)
        with rasterio.open(held["scl"]["href"]) as file:
            assert file.read(1).max() <= 11
