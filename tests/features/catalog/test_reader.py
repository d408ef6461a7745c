"""A static catalog to the acquisitions table: names, scales, reasons, duplicates, errors."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.catalog.reader import ImageryOptions, RadarOptions, read_acquisitions
from features.errors import CatalogError
from features.schema import ACQUISITIONS

BOUNDS = (4.0, 50.0, 4.2, 50.2)
SEASON = (date(2024, 3, 1), date(2024, 10, 31))


def optical(item_id: str = "S2A_31UFS_20240501_0_L2A", **properties: Any) -> dict[str, Any]:
    keys = {"blue": "B02", "red": "B04", "nir": "B08", "nir08": "B8A", "scl": "SCL"}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": item_id,
        "collection": "sentinel-2-l2a",
        "bbox": [4.05, 50.05, 4.15, 50.15],
        "geometry": None,
        "links": [],
        "properties": {
            "datetime": "2024-05-01T10:50:31.024Z",
            "platform": "sentinel-2a",
            "s2:processing_baseline": "05.10",
            "grid:code": "MGRS-31UFS",
            "proj:code": "EPSG:32631",
            "sat:orbit_state": "descending",
            "sat:relative_orbit": 51,
            **properties,
        },
        "assets": {
            **{
                key: {"href": f"./{name}.tif", "nodata": 0, "data_type": "uint16"}
                for key, name in keys.items()
            },
            "thumbnail": {"href": "./preview.jpg"},
        },
    }


def radar(item_id: str = "S1A_20240503_037", unit: str | None = "dB", **properties: Any) -> dict[str, Any]:
    band = {
        "href": "./vv.tif",
        "raster:bands": [{"scale": 0.01, "offset": 0, "nodata": -32768, "unit": unit}],
    }
    return {
        **optical(item_id),
        "collection": "sentinel-1",
        "properties": {
            "datetime": "2024-05-03T17:32:10Z",
            "platform": "sentinel-1a",
            "sat:orbit_state": "ascending",
            "sat:relative_orbit": 37,
            "proj:epsg": 32631,
            **properties,
        },
        "assets": {
            "vv": band,
            "vh": {**band, "href": "./vh.tif"},
            "coherence_vv": {"href": "./cohvv.tif", "raster:scale": 0.005},
        },
    }


def write_catalog(folder: Path, *items: dict[str, Any]) -> ImageryOptions:
    links = []
    for item in items:
        path = folder / "items" / f"{item['id']}" / "item.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(item))
        links.append({"rel": "item", "href": f"./items/{item['id']}/item.json"})
    catalog = {"type": "Catalog", "id": "test", "stac_version": "1.1.0", "description": "", "links": links}
    (folder / "catalog.json").write_text(json.dumps(catalog))
    return ImageryOptions(catalog=str(folder / "catalog.json"))


def read(options: ImageryOptions) -> tuple[pl.DataFrame, Any]:
    return read_acquisitions(options, BOUNDS, *SEASON)


def assets_of(table: pl.DataFrame, row: int = 0) -> dict[str, dict[str, Any]]:
    return {asset["band"]: asset for asset in table["assets"][row].to_list()}


def test_two_items_become_two_rows_with_our_names_and_resolved_scales(tmp_path: Path) -> None:
    table, tally = read(write_catalog(tmp_path, optical(), radar()))
    assert table.schema == ACQUISITIONS
    assert table["sensor"].to_list() == ["s2", "s1"]
    assert table["tile"].to_list() == ["31UFS", "untiled"]
    assert table["epsg"].to_list() == [32631, 32631]
    assert table["relative_orbit"].to_list() == [51, 37]
    assert (tally.came_in, tally.went_out) == (2, 2)
    s2, s1 = assets_of(table, 0), assets_of(table, 1)
    assert list(s2) == ["B02", "B04", "B08", "B8A", "scl"]
    assert (s2["B04"]["scale"], s2["B04"]["offset"], s2["B04"]["nodata"]) == (1e-4, -0.1, 0)
    assert s2["B04"]["href"] == str(tmp_path / "items/S2A_31UFS_20240501_0_L2A/B04.tif")
    assert (s2["scl"]["scale"], s2["scl"]["offset"], s2["scl"]["unit"]) == (1, 0, "class")
    assert (s1["vv"]["scale"], s1["vv"]["nodata"], s1["vv"]["unit"]) == (0.01, -32768, "db")
    assert (s1["cohvv"]["scale"], s1["cohvv"]["nodata"], s1["cohvv"]["unit"]) == (0.005, None, "coherence")


@pytest.mark.parametrize(
    ("key", "band"),
    [
        ("B04_10m", "B04"), ("B8A_20m", "B8A"), ("B04", "B04"), ("B8", "B08"),
        ("rededge1", "B05"), ("rededge2", "B06"), ("rededge3", "B07"), ("swir16", "B11"), ("swir22", "B12"),
        ("nir", "B08"), ("nir08", "B8A"), ("VV", "vv"), ("green", "B03"),
    ],
)  # fmt: skip
def test_band_names_of_the_three_public_catalogs(key: str, band: str, tmp_path: Path) -> None:
    item = radar() if band == "vv" else optical()
    item["assets"] = {key: {"href": "./x.tif", "unit": "linear"}}
    table, _ = read(write_catalog(tmp_path, item))
    assert list(assets_of(table)) == [band]


def test_of_several_resolutions_the_finest_is_read(tmp_path: Path) -> None:
    item = optical()
    item["assets"] = {f"B04_{metres}m": {"href": f"./{metres}.tif"} for metres in (60, 10, 20)}
    table, _ = read(write_catalog(tmp_path, item))
    assert Path(assets_of(table)["B04"]["href"]).name == "10.tif"


def test_own_band_names_win(tmp_path: Path) -> None:
    item = optical()
    item["assets"] = {"rot": {"href": "./r.tif"}, "nir": {"href": "./narrow.tif"}}
    options = write_catalog(tmp_path, item).model_copy(update={"bands": {"rot": "B04", "nir": "B8A"}})
    table, _ = read(options)
    assert list(assets_of(table)) == ["B04", "B8A"]


def test_every_item_set_aside_has_its_reason(tmp_path: Path) -> None:
    early = optical("early", datetime="2023-05-01T10:00:00Z")
    undated = optical("undated", datetime=None)
    far = {**optical("far"), "bbox": [10, 50, 11, 51]}
    cloudy = optical("cloudy", **{"eo:cloud_cover": 99.0})
    bare = {**optical("bare"), "assets": {}}
    hrefless = {**optical("hrefless"), "assets": {"red": {"title": "no link"}}}
    options = write_catalog(tmp_path, optical(), early, undated, far, cloudy, bare, hrefless)
    table, tally = read(options.model_copy(update={"max_cloud_cover": 90.0}))
    assert table.height == 1
    assert tally.set_aside == {
        "outside_season": 1, "no_datetime": 1, "outside_region": 1, "too_cloudy": 1, "no_known_band": 1,
        "no_href": 1,
    }  # fmt: skip


def test_what_an_item_does_not_say_of_its_numbers_is_left_to_the_file(tmp_path: Path) -> None:
    silent, blind = radar("silent", unit=None), optical("blind")
    blind["properties"].pop("s2:processing_baseline")
    table, _ = read(write_catalog(tmp_path, silent, blind))
    held = {row["item_id"]: {a["band"]: a for a in row["assets"]} for row in table.iter_rows(named=True)}
    assert held["silent"]["vv"]["unit"] == "unknown"
    assert {"offset", "offset_unknown"} <= set(held["blind"]["B04"]["assumed"])


def test_the_last_day_of_the_season_belongs_to_it(tmp_path: Path) -> None:
    table, _ = read(write_catalog(tmp_path, optical(datetime="2024-10-31T23:59:59Z")))
    assert table.height == 1


def test_times_are_utc_whatever_their_zone(tmp_path: Path) -> None:
    table, _ = read(write_catalog(tmp_path, optical(datetime="2024-05-01T12:50:31+02:00")))
    assert str(table["datetime"][0]) == "2024-05-01 10:50:31"


def test_of_reprocessed_duplicates_the_newest_baseline_wins(tmp_path: Path) -> None:
    old = optical("S2A_31UFS_20240501_0_L2A", **{"s2:processing_baseline": "05.00"})
    new = optical("S2A_31UFS_20240501_1_L2A", **{"s2:processing_baseline": "05.10"})
    other_tile = optical("S2A_31UGS_20240501_0_L2A", **{"grid:code": "MGRS-31UGS"})
    placeholder = optical("S2A_x", **{"s2:processing_baseline": "99.99"})
    table, tally = read(write_catalog(tmp_path, new, old, other_tile, placeholder))
    assert table["item_id"].to_list() == ["S2A_31UFS_20240501_1_L2A", "S2A_31UGS_20240501_0_L2A"]
    assert tally.set_aside == {"superseded": 2}


def test_two_halves_of_a_tile_are_no_duplicates(tmp_path: Path) -> None:
    west, east = optical("a"), {**optical("b"), "bbox": [4.12, 50.05, 4.3, 50.15]}
    table, _ = read(write_catalog(tmp_path, west, east))
    assert table.height == 2


def test_radar_products_are_chosen_and_never_mixed(tmp_path: Path) -> None:
    sigma, gamma = (
        radar("sigma", quantity="sigma0"),
        radar("gamma", quantity="gamma0", datetime="2024-05-09T17:32:10Z"),
    )
    options = write_catalog(tmp_path, sigma, gamma)
    with pytest.raises(CatalogError, match=r"mixes radar products: quantity gamma0, sigma0"):
        read(options)
    table, _ = read(options.model_copy(update={"radar": RadarOptions(quantity="gamma0")}))
    assert [list(assets_of(table, row)) for row in (0, 1)] == [["cohvv"], ["vv", "vh", "cohvv"]]


def test_coherence_of_another_interval_is_left_out(tmp_path: Path) -> None:
    options = write_catalog(tmp_path, radar(coherence_days=12))
    table, _ = read(options.model_copy(update={"radar": RadarOptions(coherence_days=6)}))
    assert list(assets_of(table)) == ["vv", "vh"]


def test_unit_and_scale_of_radar_may_come_from_the_configuration(tmp_path: Path) -> None:
    options = write_catalog(tmp_path, radar(unit=None))
    chosen = RadarOptions(unit="linear", scale=1e-3, offset=-1.0)
    table, _ = read(options.model_copy(update={"radar": chosen}))
    vv = assets_of(table)["vv"]
    assert (vv["unit"], vv["scale"], vv["offset"]) == ("linear", 1e-3, -1.0)


def test_planetary_computers_radar_is_known_to_be_linear_gamma0(tmp_path: Path) -> None:
    item = {**radar(unit=None), "collection": "sentinel-1-rtc"}
    table, _ = read(write_catalog(tmp_path, item))
    assert assets_of(table)["vv"]["unit"] == "linear"


def test_a_season_without_imagery_says_what_was_asked_and_what_is_there(tmp_path: Path) -> None:
    options = write_catalog(tmp_path, optical(datetime="2022-05-01T10:00:00Z"))
    with pytest.raises(CatalogError) as refusal:
        read(options.model_copy(update={"collections": ("sentinel-2-l2a",)}))
    for part in (
        "collections sentinel-2-l2a, ",
        "2024-03-01 to 2024-10-31",
        "(4.0, 50.0, 4.2, 50.2)",
        "holds 1 items",
        "2022-05-01",
    ):
        assert part in str(refusal.value)


def test_boxes_with_latitude_first_are_noticed(tmp_path: Path) -> None:
    turned = {**optical(), "bbox": [50.05, 4.05, 50.15, 4.15]}
    with pytest.raises(CatalogError, match=r"would hold the region with latitude and longitude swapped"):
        read(write_catalog(tmp_path, turned))


def test_bands_are_known_by_what_assets_say_where_no_key_is(tmp_path: Path) -> None:
    item = optical()
    named = {
        "B04": {"eo:bands": [{"name": "B04"}]},
        "B08": {"bands": [{"name": "x", "eo:common_name": "nir"}]},
    }
    item["assets"] = {
        f"asset{number}": {"href": f"./{band}.tif", "nodata": 0, "data_type": "uint16", **said}
        for number, (band, said) in enumerate(named.items())
    }
    item["assets"]["visual"] = {"href": "./v.tif", "bands": [{"name": "red"}, {"name": "green"}]}
    table, _ = read(write_catalog(tmp_path, item))
    assert sorted(assets_of(table)) == ["B04", "B08"]


def test_collections_restrict_a_static_catalog(tmp_path: Path) -> None:
    options = write_catalog(tmp_path, optical(), radar())
    table, tally = read(options.model_copy(update={"collections": ("sentinel-1",)}))
    assert (table["sensor"].to_list(), tally.came_in) == (["s1"], 1)


def test_an_item_collection_and_a_folder_are_catalogs_too(tmp_path: Path) -> None:
    collection = tmp_path / "items.json"
    collection.write_text(json.dumps({"type": "FeatureCollection", "features": [optical()]}))
    assert read(ImageryOptions(catalog=str(collection)))[0].height == 1
    write_catalog(tmp_path, radar())
    assert read(ImageryOptions(catalog=str(tmp_path)))[0].height == 1


def test_nested_catalogs_that_link_in_a_circle_end(tmp_path: Path) -> None:
    options = write_catalog(tmp_path, optical())
    root = json.loads((tmp_path / "catalog.json").read_text())
    child = {**root, "id": "child", "links": [{"rel": "child", "href": "./catalog.json"}, *root["links"]]}
    (tmp_path / "child.json").write_text(json.dumps(child))
    (tmp_path / "catalog.json").write_text(
        json.dumps({**root, "links": [{"rel": "child", "href": "./child.json"}]})
    )
    assert read(options)[0].height == 1


def test_a_circle_of_folders_ends_though_every_round_has_another_name(tmp_path: Path) -> None:
    options = write_catalog(tmp_path, optical())
    root = json.loads((tmp_path / "catalog.json").read_text())
    for name in "abc":
        (tmp_path / name).symlink_to(tmp_path)
    around = [{"rel": "child", "href": f"./{name}/catalog.json"} for name in "abc"]
    (tmp_path / "catalog.json").write_text(json.dumps({**root, "links": [*around, *root["links"]]}))
    assert read(options)[0].height == 1


def _damage(path: Path, how: str) -> None:
    whole = path.read_text()
    if how == "absent":
        path.unlink()
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_text({"empty": "", "cut": whole[:100], "a list": "[5]", "no STAC": '{"a": 1}'}[how])


@pytest.mark.parametrize("how", ["absent", "a folder", "empty", "cut", "a list", "no STAC"])
def test_a_broken_link_is_set_aside_and_tried_again(
    how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = write_catalog(tmp_path, optical(), radar())
    path = tmp_path / "items" / radar()["id"] / "item.json"
    whole = path.read_text()
    _damage(path, how)
    table, tally = read(options)
    assert (table["sensor"].to_list(), tally.came_in, tally.set_aside) == (["s2"], 2, {"broken_link": 1})
    assert str(path) in caplog.text
    if path.is_dir():
        path.rmdir()
    path.write_text(whole)
    assert read(options)[0]["sensor"].to_list() == ["s2", "s1"]


def test_a_catalog_with_nothing_but_broken_links_says_so(tmp_path: Path) -> None:
    options = write_catalog(tmp_path, optical())
    (tmp_path / "items" / optical()["id"] / "item.json").unlink()
    with pytest.raises(CatalogError, match=r"Set aside: 1 broken_link\. To mend it: copy or fetch"):
        read(options)


def test_a_broken_collection_leaves_the_others(tmp_path: Path) -> None:
    write_catalog(tmp_path / "whole", optical())
    links = [{"rel": "child", "href": f"./{name}/catalog.json"} for name in ("whole", "gone")]
    root = {"type": "Catalog", "id": "x", "stac_version": "1.1.0", "description": "", "links": links}
    (tmp_path / "catalog.json").write_text(json.dumps(root))
    table, tally = read(ImageryOptions(catalog=str(tmp_path)))
    assert (table.height, tally.set_aside) == (1, {"broken_link": 1})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<html>", "is not JSON"),
        ("[1, 2]", "is JSON but no object"),
        ('{"type": "Topology"}', "no STAC catalog, collection or item"),
        (
            '{"type": "Catalog", "links": [{"rel": "item", "href": "./gone.json"}]}',
            r"holds no item at all\. Set aside: 1 broken_link",
        ),
        ('{"type": "Catalog", "links": []}', "holds no item at all"),
    ],
)
def test_a_catalog_that_is_none(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "catalog.json").write_text(content)
    with pytest.raises(CatalogError, match=message):
        read(ImageryOptions(catalog=str(tmp_path)))


def test_a_missing_catalog_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"nowhere/catalog.json; check imagery.catalog"):
        read(ImageryOptions(catalog=str(tmp_path / "nowhere" / "catalog.json")))


@pytest.mark.parametrize(
    ("href", "allowed"),
    [
        ("https://example.org/B04.tif", "allow_remote"),
        ("s3://eodata/B04.jp2", "allow_object_storage"),
        ("/vsis3/eodata/B04.jp2", "allow_object_storage"),
        ("/vsizip/evil.zip/B04.tif", None),
        ("/vsicurl/http://localhost/B04.tif", None),
        ("ftp://example.org/B04.tif", None),
        ("gs://bucket/B04.tif", None),
    ],
)
def test_links_out_of_a_local_catalog_need_permission(href: str, allowed: str | None, tmp_path: Path) -> None:
    item = optical()
    item["assets"] = {"red": {"href": href}}
    options = write_catalog(tmp_path, item)
    with pytest.raises(CatalogError, match="refused_href"):
        read(options)
    if allowed:
        table, _ = read(options.model_copy(update={allowed: True}))
        assert assets_of(table)["B04"]["href"] == href.replace("s3://", "/vsis3/")


def test_a_list_of_items_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "items.json").write_text('{"type": "FeatureCollection", "features": [7]}')
    with pytest.raises(CatalogError, match=r"Set aside: 1 broken_link"):
        read(ImageryOptions(catalog=str(tmp_path / "items.json")))


def test_items_without_id_or_with_odd_assets_are_set_aside(tmp_path: Path) -> None:
    nameless = {**optical("x"), "id": None}
    listed = {**optical("listed"), "assets": ["red.tif"]}
    collection = {"type": "FeatureCollection", "features": [optical(), nameless, listed]}
    (tmp_path / "items.json").write_text(json.dumps(collection))
    _, tally = read(ImageryOptions(catalog=str(tmp_path / "items.json")))
    assert tally.set_aside == {"no_id": 1, "no_known_band": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "\ud800"}, {"id": "a\0b"}, {"collection": "\ud800"},
        {"properties": optical()["properties"] | {"grid:code": "MGRS-\ud800"}},
    ],
)  # fmt: skip
def test_texts_that_no_file_can_hold_are_set_aside(changes: dict[str, Any], tmp_path: Path) -> None:
    features = [optical("good"), optical() | changes]
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    table, tally = read(ImageryOptions(catalog=str(tmp_path / "items.json")))
    assert (table["item_id"].to_list(), tally.set_aside) == (["good"], {"unreadable_text": 1})
    table.write_parquet(tmp_path / "table.parquet")


def test_the_orbit_may_stand_in_the_product_name_only(tmp_path: Path) -> None:
    uri = "S2A_MSIL2A_20240501T105031_N0510_R051_T31UFS_20240501T150000.SAFE"
    item = optical(**{"sat:relative_orbit": None, "s2:product_uri": uri})
    table, _ = read(write_catalog(tmp_path, item))
    assert table["relative_orbit"].to_list() == [51]


def test_the_offset_of_an_item_may_come_from_the_configuration(tmp_path: Path) -> None:
    first, second = optical("first"), optical("second", datetime="2024-05-11T10:50:31Z")
    options = write_catalog(tmp_path, first, second).model_copy(update={"offsets": {"first": 0.0}})
    table, _ = read(options)
    assert [assets_of(table, row)["B04"]["offset"] for row in (0, 1)] == [0.0, -0.1]


def test_bands_that_cannot_be_used_are_counted_with_the_cure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    items = [
        optical(f"S2A_31UFS_2024050{day}_0_L2A", datetime=f"2024-05-0{day}T10:50:31Z") for day in (1, 2, 3)
    ]
    items[0]["assets"]["nir"]["href"] = "s3://bucket/nir.tif"
    del items[1]["assets"]["nir"]["href"]
    table, tally = read(write_catalog(tmp_path, *items))
    assert (tally.came_in, tally.went_out) == (3, 3)
    assert ["B08" in assets_of(table, row) for row in range(3)] == [False, False, True]
    assert "B08 of 1 acquisitions is left out (refused_href): allow its links with" in caplog.text
    assert (
        "B08 of 1 acquisitions is left out (no_href): mend the items whose assets have no href."
        in caplog.text
    )


@pytest.mark.parametrize(
    "written", ["2024-05-01t10:50:31z", "2024-05-01T12:50:31+02:00", " 2024-05-01T10:50:31Z"]
)
def test_moments_as_rfc_3339_lets_them_be_written(written: str, tmp_path: Path) -> None:
    table, _ = read(write_catalog(tmp_path, optical(datetime=written)))
    assert str(table["datetime"][0]) == "2024-05-01 10:50:31"


def test_assets_named_by_files_and_by_their_bands_are_found_together(tmp_path: Path) -> None:
    item = optical()
    assets = item["assets"]
    item["assets"] = {
        "B04.tif": assets["red"],
        "band8": assets["nir"] | {"eo:bands": [{"name": "B08"}]},
        "classes": assets["scl"] | {"bands": [{"name": "SCL"}]},
    }
    table, _ = read(write_catalog(tmp_path, item))
    assert set(assets_of(table)) == {"B04", "B08", "scl"}


@pytest.mark.parametrize("written", ["./my%20red.tif", ".\\my red.tif", "my red.tif"])
def test_local_links_as_addresses_and_windows_write_them(written: str, tmp_path: Path) -> None:
    item = optical()
    item["assets"]["red"]["href"] = written
    options = write_catalog(tmp_path, item)
    (tmp_path / "items" / item["id"] / "my red.tif").write_bytes(b"")
    table, _ = read(options)
    assert Path(assets_of(table)["B04"]["href"]).is_file()
