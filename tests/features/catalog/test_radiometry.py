"""The reflectance offset: what each catalog states, rightly and wrongly, and what the pixels say."""

from typing import Any

import numpy as np
import pytest

from features.catalog.radiometry import (
    Scaling,
    baseline_of,
    baseline_rank,
    decide_reflectance,
    stated_scaling,
)
from features.errors import ConfigError

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


def test_an_offset_of_digital_numbers_is_refused_for_floating_point_reflectance() -> None:
    chip = {"bands": [{"data_type": "float32"}]}
    with pytest.raises(ConfigError, match=r"would change by -1000\. .*0 or -0\.1\."):
        decide_reflectance(item(), chip, override=-1000)
    assert decide_reflectance(item(), chip, override=-0.1) == Scaling(1.0, -0.1, "configuration")


@pytest.mark.parametrize(
    ("stated", "baseline"),
    [("05.10", "05.10"), (5.1, "05.10"), ("N0510", "05.10"), ("0400", "04.00"), ("2024", None), (5, None)],
)
def test_baselines_as_catalogs_write_them(stated: object, baseline: str | None) -> None:
    assert baseline_of({"id": "x", "properties": {"s2:processing_baseline": stated}}) == baseline
