"""Satellite, level and orbit of an item, from what it states."""

from pathlib import Path
from typing import Any

import pytest

from features.catalog.mission import mission_of, relative_orbit
from features.catalog.orbits import settle_radar_orbits
from tests.features.catalog.test_reader import assets_of, optical, radar, read, write_catalog


@pytest.mark.parametrize(
    ("item_id", "collection", "properties"),
    [
        ("LC08_L2SP_199025_20240501_02_T1", None, {}),
        ("a", "landsat-c2-l2", {}),
        ("a", None, {"platform": "landsat-8"}),
        ("a", None, {"constellation": "Landsat", "instruments": ["oli", "tirs"]}),
        ("MOD09GA.A2024122.h18v03.061", None, {}),
        ("a", "modis-09A1-061", {}),
        ("a", None, {"platform": "terra", "instruments": ["modis"]}),
        ("HLS.L30.T31UFS.2024122T104031.v2.0", None, {}),
        ("S3A_SY_2_SYN____20240501T095555", None, {}),
        ("a", None, {"platform": "Sentinel-3A"}),
        ("a", None, {"platform": "EnMAP"}),
    ],
)
def test_other_satellites_are_set_aside(
    item_id: str, collection: str | None, properties: dict[str, Any]
) -> None:
    item = {"id": item_id, "collection": collection, "properties": properties}
    assert mission_of(item, ["B04", "B8A"]) == "other_satellite"


@pytest.mark.parametrize(
    ("item_id", "collection", "properties", "bands"),
    [
        ("S2A_MSIL1C_20240501T105031_N0510_R051_T31UFS_20240501T150000", None, {}, ["B04"]),
        ("a", "sentinel-2-l1c", {"platform": "sentinel-2a"}, ["B04"]),
        ("a", None, {"platform": "sentinel-2a", "processing:level": "L1C"}, ["B04"]),
        ("a", None, {"platform": "sentinel-2a", "s2:product_type": "S2MSI1C"}, ["B04"]),
        ("a", None, {"platform": "sentinel-1a", "sar:product_type": "SLC"}, ["vv"]),
    ],
)
def test_other_levels_are_set_aside(
    item_id: str, collection: str | None, properties: dict[str, Any], bands: list[str]
) -> None:
    item = {"id": item_id, "collection": collection, "properties": properties}
    assert mission_of(item, bands) == "other_level"


@pytest.mark.parametrize(
    ("item_id", "properties", "found"),
    [
        ("S2A_MSIL1C_20240501T105031_N0510_R051_T31UFS_20240501T150000", {}, "s2"),
        ("a", {"platform": "sentinel-2a", "processing:level": "L1C"}, "s2"),
        ("a", {"platform": "sentinel-2a"}, "s2"),  # it says nothing: the config does
        ("S2A_MSIL2A_20240501T105031_N0510_R051_T31UFS_20240501T150000", {}, "other_level"),
        ("S2A_31UFS_20240501_0_L2A", {}, "other_level"),
        ("a", {"platform": "sentinel-2a", "s2:product_type": "S2MSI2A"}, "other_level"),
    ],
)
def test_where_level_1c_is_asked_for_level_2a_is_the_other(
    item_id: str, properties: dict[str, Any], found: str
) -> None:
    mission = mission_of({"id": item_id, "properties": properties}, ["B04"], "L1C")
    assert (mission if isinstance(mission, str) else mission.sensor) == found


@pytest.mark.parametrize(
    ("properties", "bands", "sensor", "platform"),
    [
        ({"platform": "Sentinel-2B", "processing:level": "L2A"}, ["B04"], "s2", "sentinel-2b"),
        ({"platform": "SENTINEL-1A", "constellation": "Sentinel-1"}, ["vv"], "s1", "sentinel-1a"),
        ({"constellation": "sentinel-2", "s2:product_type": "S2MSI2A"}, ["B04"], "s2", None),
        ({"platform": "simulated"}, ["vv"], "s1", "simulated"),
        ({}, ["B04", "scl"], "s2", None),
    ],
)
def test_sentinels_in_every_spelling(
    properties: dict[str, Any], bands: list[str], sensor: str, platform: str | None
) -> None:
    found = mission_of({"id": "a", "properties": properties}, bands)
    assert not isinstance(found, str)
    assert (found.sensor, found.platform) == (sensor, platform)


def test_what_an_item_states_wins_over_the_name_of_its_collection() -> None:
    item = {"id": "a", "collection": "landsat-and-sentinel", "properties": {"platform": "sentinel-2a"}}
    found = mission_of(item, ["B04"])
    assert not isinstance(found, str)
    assert found.sensor == "s2"


@pytest.mark.parametrize(
    ("platform", "absolute", "relative"),
    [
        ("sentinel-1a", 18302, 30),  # both products of relative orbit 30, step.esa.int topic 7042
        ("sentinel-1b", 7231, 30),
        ("sentinel-1c", 1681, 110),  # scottstanie/sentineleof, test_s1c
        ("sentinel-1c", 8018, 147),
        ("sentinel-1c", 8019, 46),
        ("sentinel-1d", 2389, 73),  # isce-framework/s1-reader, pull request 151
        ("sentinel-1a", 73, 1),
        ("sentinel-1a", 72, 175),
        ("sentinel-2a", 100, None),
    ],
)
def test_the_relative_orbit_follows_from_the_absolute_one(
    platform: str, absolute: int, relative: int | None
) -> None:
    assert relative_orbit(platform, absolute) == relative


def test_the_absolute_orbit_may_stand_in_the_name_of_the_product_only(tmp_path: Path) -> None:
    name = "S1B_IW_GRDH_1SDV_20170903T175659_20170903T175724_007231_00CBEF_874B"
    item = radar(name, **{"sat:relative_orbit": None, "platform": None})
    table, _ = read(write_catalog(tmp_path, item))
    assert (table["relative_orbit"].item(), table["platform"].item()) == (30, "sentinel-1b")


def test_radar_without_any_orbit_is_kept_apart_by_direction_and_time_of_day(tmp_path: Path) -> None:
    passes = (("ascending", "17:32:10"), ("ascending", "17:40:20"), ("descending", "05:50:00"))
    items = [
        radar(
            f"{state}-{day}-{time[:5]}",
            datetime=f"2024-05-{day:02d}T{time}Z",
            **{"sat:orbit_state": state.upper(), "sat:relative_orbit": None},
        )
        for day in (1, 13)
        for state, time in passes
    ]
    table, _ = read(write_catalog(tmp_path, *items))
    found = table.group_by("orbit_state", table["datetime"].dt.minute(), "relative_orbit").len()
    assert sorted(found.select("orbit_state", "relative_orbit", "len").rows()) == [
        ("ascending", 901, 2), ("ascending", 902, 2), ("descending", 931, 2),
    ]  # fmt: skip


def test_composites_dated_by_day_only_are_kept_apart_by_direction(tmp_path: Path) -> None:
    states = ("ascending", "descending")
    items = [
        radar(
            state, datetime="2024-05-06T00:00:00Z", **{"sat:orbit_state": state, "sat:relative_orbit": None}
        )
        for state in states
    ]
    table, tally = read(write_catalog(tmp_path, *items))
    assert table.select("orbit_state", "relative_orbit").rows() == [("ascending", 901), ("descending", 931)]
    assert not tally.set_aside


def orbit_of(item_id: str = "a", assets: dict[str, Any] | None = None, **properties: Any) -> Any:
    found = mission_of({"id": item_id, "properties": properties, "assets": assets or {}}, ["vv"])
    assert not isinstance(found, str)
    return found.orbit_state, found.relative_orbit


@pytest.mark.parametrize(
    ("said", "state"),
    [("ascending", "ascending"), ("DESCENDING", "descending"), ("asc", "ascending"), ("Desc", "descending"),
     ("A", "ascending"), ("d", "descending"), (" ascending ", "ascending"), ("geostationary", None),
     (1, None)],
)  # fmt: skip
def test_directions_as_they_are_written(said: Any, state: str | None) -> None:
    assert orbit_of(**{"sat:orbit_state": said}) == (state, None)


@pytest.mark.parametrize(
    "properties",
    [
        {"sat:orbit_state": "ascending", "sat:relative_orbit": "037"},
        {"orbitProperties_pass": "ASCENDING", "relativeOrbitNumber_start": 37.0},  # Earth Engine
        {"orbitDirection": "ASCENDING", "relativeOrbitNumber": 37},  # Copernicus hubs
        {"flightDirection": "ASCENDING", "pathNumber": 37},  # Alaska Satellite Facility
        {"orbitdirection": "ASC", "orbitNumber": 52_609, "platform": "Sentinel-1A"},
        {"sat:orbit_state": "asc", "sat:relative_orbit": 0, "sat:absolute_orbit": 52_609, "platform": "S1A"},
        {"sat:orbit_state": "asc", "sat:relative_orbit": 52_609, "absolute_orbit": 52_609, "platform": "s1a"},
    ],
)  # fmt: skip
def test_orbits_under_the_names_of_other_catalogs(properties: dict[str, Any]) -> None:
    assert orbit_of(**properties) == ("ascending", 37)


def test_an_orbit_may_stand_at_the_assets() -> None:
    stated = {"sat:orbit_state": "descending", "sat:relative_orbit": 37}
    assert orbit_of(assets={"vv": stated, "vh": stated, "preview": {}}) == ("descending", 37)
    other = {"sat:orbit_state": "descending", "sat:relative_orbit": 139}
    assert orbit_of(assets={"vv": stated, "vh": other}) == ("descending", None), (
        "assets of two orbits say neither"
    )
    assert orbit_of(assets={"vv": other}, **stated) == ("descending", 37), "the item counts first"


@pytest.mark.parametrize(
    ("name", "orbit"),
    [
        ("S1A_IW_GRDH_1SDV_20240304T173210_20240304T173235_052839_066514_1A2B", 92),
        ("s1a_iw_grdh_1sdv_20240304t173210_20240304t173235_052839_066514_1a2b", 92),
        ("S1A_IW_GRDH_1SDV_20240304T173210_20240304T173235_052839_0664B3_rtc", 92),
        ("s1a-iw-grd-vv-20240304t173210-20240304t173235-052839-066514-001", 92),
        ("S1A_IW_GRDH_1SDV_20240304T173210_20240304T173235_052839_vv", 92),
        ("S1A_IW_NRB__1SDV_20220721T051222_044194_05465E_33TUF_4810", 22),
        ("OPERA_L2_RTC-S1_T037-078083-IW2_20240304T173210Z_20240305T010101Z_S1A_30_v1.0", 37),
        ("S1A_IW_20240304T173210_DVP_RTC20_G_gpuned_AB12", None),
        ("S1A_IW_20240304T173210_173235_sigma0", None),
    ],
)
def test_orbits_in_the_names_of_products(name: str, orbit: int | None) -> None:
    """Sentinel-1A: (52839 - 73) mod 175 + 1 = 92; (44194 - 73) mod 175 + 1 = 22."""
    assert orbit_of(name) == (None, orbit)


def passing(day: int, time: str = "17:32:10", **stated: Any) -> dict[str, Any]:
    said = {"sat:relative_orbit": None, "sat:orbit_state": "ascending", "platform": "sentinel-1a", **stated}
    return radar(f"{day}-{time}-{len(stated)}", datetime=f"2024-05-{day:02d}T{time}Z", **said)


def test_radar_without_an_orbit_takes_that_of_the_passes_at_the_same_time_of_day(tmp_path: Path) -> None:
    items = [
        passing(1, **{"sat:relative_orbit": 37}),
        passing(13, "17:32:11"),
        passing(25, "17:32:12", **{"sat:orbit_state": None}),
        passing(2, "17:40:20"),
        passing(3, "05:50:00", **{"sat:orbit_state": "descending"}),
    ]
    table, _ = read(write_catalog(tmp_path, *items))
    assert table.select("orbit_state", "relative_orbit").rows() == [
        ("ascending", 37), ("ascending", 901), ("descending", 931), ("ascending", 37), ("ascending", 37),
    ]  # fmt: skip


def test_radar_dated_by_day_only_takes_no_other_orbit(tmp_path: Path) -> None:
    items = [passing(1, "00:00:00", **{"sat:relative_orbit": 37}), passing(13, "00:00:00")]
    table, _ = read(write_catalog(tmp_path, *items))
    assert table["relative_orbit"].to_list() == [37, 901]


def test_a_stated_orbit_wins_over_one_that_another_satellites_absolute_orbit_gives(tmp_path: Path) -> None:
    moved = {"sat:absolute_orbit": 500, "platform": "sentinel-1d"}
    items = [passing(1, **{"sat:relative_orbit": 37}), passing(7, **moved), passing(19, **moved)]
    table, _ = read(write_catalog(tmp_path, *items))
    assert table["relative_orbit"].to_list() == [37, 37, 37]


def test_radar_of_which_nothing_is_known_keeps_no_orbit() -> None:
    from datetime import datetime

    row = {"sensor": "s1", "relative_orbit": None, "orbit_state": None, "datetime": datetime(2024, 5, 1)}
    assert settle_radar_orbits([row]) == [(None, None)]


def test_satellites_of_one_track_share_its_number_though_one_was_moved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def taken(day: int, platform: str, absolute: int, time: str = "17:32:10") -> dict[str, Any]:
        stated = {"sat:relative_orbit": None, "sat:absolute_orbit": absolute, "platform": platform}
        return radar(f"{platform}-{day}-{time}", datetime=f"2024-05-{day:02d}T{time}Z", **stated)

    items = [taken(1, "sentinel-1a", 109), taken(13, "sentinel-1a", 109 + 175), taken(7, "sentinel-1d", 500)]
    table, _ = read(write_catalog(tmp_path, *items))
    assert table["relative_orbit"].to_list() == [37, 37, 37]
    assert "those that follow from absolute orbits are taken as 37" in caplog.text
    two = [taken(1, "sentinel-1a", 109), taken(2, "sentinel-1a", 124, "17:34:10")]
    table, _ = read(write_catalog(tmp_path / "two", *two))
    assert table["relative_orbit"].to_list() == [37, 52], "one satellite does not contradict itself"


def test_an_items_other_satellite_takes_nothing_from_a_catalog_of_several(tmp_path: Path) -> None:
    landsat = optical("LC08_L2SP_199025_20240501_02_T1", platform="landsat-8", **{"grid:code": None})
    level1 = optical("S2A_x", **{"processing:level": "L1C"})
    table, tally = read(write_catalog(tmp_path, optical(), landsat, level1))
    assert tally.set_aside == {"other_satellite": 1, "other_level": 1}
    assert (table["tile"].to_list(), list(assets_of(table))) == (
        ["31UFS"], ["B02", "B04", "B08", "B8A", "scl"],
    )  # fmt: skip


def test_bands_of_60_m_are_read_of_level_1c_only(tmp_path: Path) -> None:
    both = [optical("a", **{"processing:level": "L1C"}), optical("b", **{"processing:level": "L2A"})]
    for item in both:
        del item["assets"]["scl"]
        for key in ("coastal", "nir09", "B10"):
            item["assets"][key] = {"href": f"./{key}.tif", "nodata": 0, "data_type": "uint16"}
    options = write_catalog(tmp_path, *both)
    table, tally = read(options.model_copy(update={"level": "L1C"}))
    assert (table["item_id"].to_list(), tally.set_aside) == (["a"], {"other_level": 1})
    assert list(assets_of(table)) == ["B02", "B04", "B08", "B8A", "B01", "B09", "B10"]
    assert assets_of(table)["B10"]["offset"] == assets_of(table)["B02"]["offset"] == -0.1
    assert list(assets_of(read(options)[0])) == ["B02", "B04", "B08", "B8A"]
