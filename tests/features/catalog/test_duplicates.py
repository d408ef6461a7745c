"""One acquisition listed twice is read once; two are never taken for one."""

from pathlib import Path
from typing import Any

import pytest

from tests.features.catalog.test_reader import assets_of, optical, radar, read, write_catalog

WEST, SOUTH, EAST, NORTH = 4.05, 50.05, 4.15, 50.15


def polygon(*points: tuple[float, float]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[*map(list, points), list(points[0])]]}


WHOLE = polygon((WEST, SOUTH), (EAST, SOUTH), (EAST, NORTH), (WEST, NORTH))
BELOW = polygon((WEST, SOUTH), (EAST, SOUTH), (EAST, NORTH))  # the two halves of the box along its diagonal
ABOVE = polygon((WEST, SOUTH), (EAST, NORTH), (WEST, NORTH))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("10:50:31.100Z", "10:50:31.900Z"),
        ("10:50:30.990Z", "10:50:31.010Z"),
        ("10:50:29Z", "10:50:31Z"),
        ("10:50:31Z", "10:50:44Z"),  # datatake and granule of one scene
    ],
)
def test_a_reprocessed_scene_replaces_the_older_one(old: str, new: str, tmp_path: Path) -> None:
    first = optical("first", datetime=f"2024-05-01T{old}", **{"s2:processing_baseline": "05.00"})
    second = optical("a-second", datetime=f"2024-05-01T{new}", **{"s2:processing_baseline": "05.10"})
    for geometry in (None, WHOLE):
        items = [{**item, "geometry": geometry} for item in (first, second)]
        table, tally = read(write_catalog(tmp_path, *items))
        assert table["item_id"].to_list() == ["a-second"]
        assert tally.set_aside == {"superseded": 1}


def test_twins_of_one_baseline_are_counted_once(tmp_path: Path) -> None:
    twins = [
        {**optical(f"twin-{k}", datetime=f"2024-05-01T10:50:{second}Z"), "geometry": WHOLE}
        for k, second in enumerate(("30.990", "31.010"))
    ]
    table, tally = read(write_catalog(tmp_path, *twins))
    assert (table["item_id"].to_list(), tally.set_aside) == (["twin-1"], {"duplicate": 1})


def test_footprints_that_differ_by_a_hundred_metres_are_one(tmp_path: Path) -> None:
    wide = [WEST - 0.0015, SOUTH, EAST, NORTH]
    first = {**optical("first", **{"s2:processing_baseline": "05.00"}), "bbox": wide}
    table, tally = read(write_catalog(tmp_path, first, optical("second")))
    assert (table["item_id"].to_list(), tally.set_aside) == (["second"], {"superseded": 1})


def test_complementary_halves_of_one_box_are_both_kept(tmp_path: Path) -> None:
    halves = [{**optical(name), "geometry": shape} for name, shape in (("below", BELOW), ("above", ABOVE))]
    table, tally = read(write_catalog(tmp_path, *halves))
    assert (sorted(table["item_id"]), tally.set_aside) == (["above", "below"], {})
    assert all(text.startswith("POLYGON") for text in table["footprint"])


def test_parts_whose_footprints_are_unknown_are_told_by_their_datastrip(tmp_path: Path) -> None:
    name = "S2A_OPER_MSI_L2A_DS_2APS_20240501T150000_S20240501T10{}_N05.10"
    halves = [optical(f"part-{k}", **{"s2:datastrip_id": name.format(start)}) for k, start in
              enumerate(("4031", "4512"))]  # fmt: skip
    assert read(write_catalog(tmp_path, *halves))[0].height == 2
    twins = [optical(f"twin-{k}", **{"s2:datastrip_id": name.format(start)}) for k, start in
             enumerate(("4031", "4032"))]  # fmt: skip
    assert read(write_catalog(tmp_path, *twins))[1].set_aside == {"duplicate": 1}


def test_parts_of_which_nothing_tells_are_both_kept(tmp_path: Path) -> None:
    parts = []
    for name in ("a", "b"):
        part = optical(name)
        part["assets"] = {key: {**a, "href": f"./{name}-{key}.tif"} for key, a in part["assets"].items()}
        parts.append(part)
    table, tally = read(write_catalog(tmp_path, *parts))
    assert (table.height, tally.set_aside) == (2, {}), "each parcel is then counted where it is seen best"


def test_one_id_in_two_collections_is_two_acquisitions(tmp_path: Path) -> None:
    s2 = optical("acq-001")
    s1 = radar("acq-001")
    options = write_catalog(tmp_path, s2, {**s1, "id": "other"})
    path = tmp_path / "items" / "other" / "item.json"
    path.write_text(path.read_text().replace('"other"', '"acq-001"'))
    table, tally = read(options)
    assert sorted(table["item_id"]) == ["sentinel-1/acq-001", "sentinel-2-l2a/acq-001"]
    assert (tally.came_in, tally.went_out) == (2, 2)


def test_backscatter_and_coherence_of_one_pass_in_two_items_complete_each_other(tmp_path: Path) -> None:
    backscatter, coherence = radar("backscatter"), radar("coherence")
    backscatter["assets"].pop("coherence_vv")
    coherence["assets"] = {"coherence_vv": coherence["assets"]["coherence_vv"]}
    table, tally = read(write_catalog(tmp_path, backscatter, coherence))
    assert [list(assets_of(table, k)) for k in range(table.height)] == [["vv", "vh", "cohvv"]]
    assert (tally.came_in, tally.went_out) == (2, 2)


def only(item: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {**item, "id": f"{item['id']}_{keys[0]}", "assets": {key: item["assets"][key] for key in keys}}


def test_a_catalog_with_one_item_a_file_is_read_as_one_with_one_item_a_scene(tmp_path: Path) -> None:
    whole = [optical(), radar(), radar("next", datetime="2024-05-15T17:32:10Z")]
    parts = [only(item, key) for item in whole for key in item["assets"] if key != "thumbnail"]
    table, tally = read(write_catalog(tmp_path / "parts", *parts))
    same, _ = read(write_catalog(tmp_path / "whole", *whole))
    assert [list(assets_of(table, k)) for k in range(3)] == [list(assets_of(same, k)) for k in range(3)]
    assert tally.came_in == tally.went_out == len(parts)


def test_bands_of_another_ground_satellite_or_baseline_are_not_joined(tmp_path: Path) -> None:
    vv, vh = only(radar(), "vv"), only(radar(), "vh")
    for name, other in {
        "ground": {**vh, "bbox": [4.0, 50.0, 4.15, 50.15]},
        "satellite": {**vh, "properties": {**vh["properties"], "platform": "sentinel-1c"}},
        "moment": {**vh, "properties": {**vh["properties"], "datetime": "2024-05-03T17:32:35Z"}},
    }.items():
        assert read(write_catalog(tmp_path / name, vv, other))[0].height == 2, name


def test_scene_classes_without_their_scene_are_set_aside(tmp_path: Path) -> None:
    later = optical("later", datetime="2024-05-11T10:50:31Z")
    table, tally = read(write_catalog(tmp_path, optical(), only(later, "scl")))
    assert (table.height, tally.set_aside) == (1, {"no_known_band": 1})


def test_slices_of_one_pass_and_two_satellites_are_no_duplicates(tmp_path: Path) -> None:
    north = {**radar("north"), "bbox": [4.0, 50.1, 4.2, 50.2]}
    south = {**radar("south", datetime="2024-05-03T17:32:35Z"), "bbox": [4.0, 50.0, 4.2, 50.11]}
    other = {**radar("other", platform="sentinel-1c"), "bbox": north["bbox"]}
    assert read(write_catalog(tmp_path, north, south, other))[0].height == 3


def test_the_same_item_linked_twice_is_counted_once(tmp_path: Path) -> None:
    options = write_catalog(tmp_path, optical())
    import json

    items = {"type": "FeatureCollection", "features": [optical(), optical()]}
    (tmp_path / "items.json").write_text(json.dumps(items))
    table, tally = read(options.model_copy(update={"catalog": str(tmp_path / "items.json")}))
    assert (table.height, tally.set_aside) == (1, {"duplicate": 1})


def test_bands_that_name_one_file_are_set_aside(tmp_path: Path) -> None:
    """Of a file of several bands the first would be read for each: red as near infrared."""
    stacked = optical("stacked")
    stacked["assets"]["nir"]["href"] = stacked["assets"]["red"]["href"]
    table, tally = read(write_catalog(tmp_path, stacked, optical("later", datetime="2024-05-11T10:50:31Z")))
    assert (table["item_id"].to_list(), tally.set_aside) == (["later"], {"several_bands": 1})
