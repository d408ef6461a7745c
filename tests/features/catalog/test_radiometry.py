"""The reflectance offset: what each catalog states, rightly and wrongly, and what the pixels say."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import rasterio
from affine import Affine

from features.catalog.radiometry import (
    Scaling,
    baseline_of,
    baseline_rank,
    check_offset,
    decide_reflectance,
    stated_scaling,
)
from features.imagery.offset_check import check_offsets
from features.schema import ACQUISITIONS

STATED = {"raster:bands": [{"nodata": 0, "data_type": "uint16", "scale": 0.0001, "offset": -0.1}]}
CDSE = {"raster:scale": 0.0001, "raster:offset": -0.1, "nodata": 0, "data_type": "uint16"}
FLAG = "earthsearch:boa_offset_applied"


def item(item_id: str = "scene", **properties: Any) -> dict[str, Any]:
    return {"id": item_id, "properties": properties}


# Vegetation in the red band, reflectance 0.02 to 0.08, as digital numbers with and without ESA's offset.
SUBTRACTED = np.random.default_rng(5).integers(200, 800, 4000)
CARRYING = SUBTRACTED + 1000

OLD, FIRST, NEW, NEWEST = (
    {"s2:processing_baseline": baseline} for baseline in ("02.14", "04.00", "05.00", "05.11")
)
GONE_TWICE, STILL_THERE = "offset_subtracted_twice", "offset_not_subtracted"
# item, asset, offset decided, its basis, the pixels that this catalog really serves, what they say of it
Fixture = tuple[dict[str, Any], dict[str, Any], float, str, np.ndarray, str | None]
FIXTURES: dict[str, Fixture] = {
    "Earth Search, flag true, yet an offset stated": (
        item(**{FLAG: True}, **NEWEST), STATED, 0.0, "flag", SUBTRACTED, None,
    ),
    "Earth Search, flag false and the offset still in the pixels": (
        item(**{FLAG: False}, **FIRST), STATED, -0.1, "stated", CARRYING, None,
    ),
    "Earth Search, flag false but the offset is gone": (
        item("S2B_33UXP_20250302_0_L2A", **{FLAG: False}, **NEWEST), STATED, -0.1, "stated",
        SUBTRACTED, GONE_TWICE,
    ),
    "Earth Search, flag true but the offset is still there": (
        item(**{FLAG: True}, **FIRST), STATED, 0.0, "flag", CARRYING, STILL_THERE,
    ),
    "Collection 1: a scene of 2018 reprocessed with baseline 05.00": (
        item(datetime="2018-06-01T10:50:31Z", **NEW), STATED, -0.1, "stated", CARRYING, None,
    ),
    "Planetary Computer states nothing but the baseline": (
        item("S2A_MSIL2A_20220610T101611_R065_T32TMT_20220610T181610", **FIRST), {}, -0.1,
        "baseline", CARRYING, None,
    ),
    "CDSE states the offset on the asset and the baseline as a version": (
        item(**{"processing:version": "05.11"}), CDSE, -0.1, "stated", CARRYING, None,
    ),
    "an old baseline has no offset, whatever is stated": (
        item(**OLD), STATED, 0.0, "baseline", SUBTRACTED, None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIXTURES)
def test_the_offset_of_each_catalog(name: str) -> None:
    scene, asset, offset, basis, _, _ = FIXTURES[name]
    assert decide_reflectance(scene, asset) == Scaling(1e-4, offset, basis)


@pytest.mark.parametrize("name", FIXTURES)
def test_pixels_confirm_or_contradict_the_decision(name: str) -> None:
    scene, asset, _, _, digital_numbers, finding = FIXTURES[name]
    decided = decide_reflectance(scene, asset)
    assert decided is not None
    with_gaps = np.concatenate([digital_numbers, np.zeros(2000, int)])
    assert check_offset(with_gaps, decided, nodata=0) == finding


def test_no_data_counts_neither_as_dark_nor_as_negative() -> None:
    assert check_offset(np.zeros(5000), Scaling(1e-4, -0.1, "stated")) is None
    assert check_offset(np.full(50, 300), Scaling(1e-4, -0.1, "stated")) is None, "too few pixels to tell"


def test_the_configuration_wins_over_everything() -> None:
    scene = item(**{FLAG: True, "s2:processing_baseline": "05.09"})
    assert decide_reflectance(scene, STATED, override=-1000) == Scaling(1e-4, -0.1, "configuration")
    assert decide_reflectance(item(), {}, override=0) == Scaling(1e-4, 0.0, "configuration")


def test_nothing_known_is_no_guess() -> None:
    assert decide_reflectance(item(), {}) is None
    assert decide_reflectance(item(), {"raster:scale": 1e-4}) is None


def test_reflectance_in_floating_point_needs_no_offset() -> None:
    asset = {"bands": [{"data_type": "float32", "nodata": "nan"}]}
    assert decide_reflectance(item(**{"s2:processing_baseline": "04.00"}), asset) == Scaling(
        1.0, 0.0, "float"
    )


def test_baselines_made_elsewhere_carry_the_offset_but_rank_last() -> None:
    scene = item("S2A_MSIL2A_20220620T102041_N9999_R065_T32TMT_20221231T122258")
    assert decide_reflectance(scene, {}) == Scaling(1e-4, -0.1, "baseline")
    assert sorted(["99.99", "05.10", "04.00", None], key=baseline_rank)[-1] == "05.10"


@pytest.mark.parametrize(
    ("properties", "baseline"),
    [
        ({"s2:processing_baseline": "05.09"}, "05.09"),
        ({"s2:processing_baseline": "5.9"}, "05.90"),
        ({"s2:processing_baseline": 4.0}, "04.00"),
        ({"s2:product_uri": "S2B_MSIL2A_20180501T104021_N0500_R008_T31UDS_20230801T000000.SAFE"}, "05.00"),
        ({"processing:version": "Sen2Cor"}, None),
        ({}, None),
    ],
)
def test_baselines_as_the_catalogs_write_them(properties: dict[str, Any], baseline: str | None) -> None:
    assert baseline_of(item(**properties)) == baseline


def test_scales_are_found_wherever_an_asset_states_them() -> None:
    assert stated_scaling({"bands": [{"raster:scale": 2.0, "raster:offset": 1}]}) == (2.0, 1.0)
    assert stated_scaling({"bands": "odd", "raster:scale": "0.1"}) == (None, None)


def acquisitions_of(folder: Path, offsets: dict[str, float]) -> pl.DataFrame:
    """One clear scene a name, its pixels already without ESA's offset, and what its catalog says."""
    rows = []
    for day, (name, offset) in enumerate(offsets.items(), start=1):
        path = folder / f"{name}.tif"
        grid = {"transform": Affine(10, 0, 500_000, 0, -10, 5_600_000), "crs": "EPSG:32631", "nodata": 0}
        with rasterio.open(
            path, "w", driver="GTiff", count=1, height=50, width=80, dtype="uint16", **grid
        ) as out:
            out.write(SUBTRACTED.reshape(1, 50, 80).astype(np.uint16))
        asset = {
            "band": "B04",
            "href": str(path),
            "scale": 1e-4,
            "offset": offset,
            "nodata": 0.0,
            "unit": "reflectance",
        }
        rows.append({"item_id": name, "datetime": datetime(2024, 5, day), "sensor": "s2", "assets": [asset]})
    return pl.DataFrame(rows, schema=ACQUISITIONS)


def test_scenes_of_a_season_are_looked_at(tmp_path: Path) -> None:
    table = acquisitions_of(tmp_path, {"right": 0.0, "wrong": -0.1, "cut": 0.0})
    (tmp_path / "cut.tif").write_bytes((tmp_path / "cut.tif").read_bytes()[:200])
    found = dict(check_offsets(table, limit=0).iter_rows())
    assert found == {"right": None, "wrong": "offset_subtracted_twice", "cut": "unreadable"}
    assert check_offsets(table, limit=2)["item_id"].to_list() == ["right", "cut"]
    assert check_offsets(table.clear()).is_empty()
