"""Scenes whose offset is stated wrongly, and acquisitions whose numbers cannot be."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.extraction import scene_check
from features.extraction.extract import extract, read_set_aside, without_contradictions
from features.extraction.observations import read_observations
from features.extraction.options import ExtractOptions
from features.extraction.scene_check import Sample, sample_unit
from features.extraction.units import Outcome, Unit
from features.imagery.masks import MaskOptions
from tests.small_imagery import (
    SIDE,
    Constant,
    acquisition,
    all_clear,
    asset,
    field,
    optical,
    parcels,
    radar,
    table,
    write_tif,
)

OPTIONS = ExtractOptions(
    optical=("B02",), radar=("s0vh_db",), inner_buffer_m=0.0, mask=MaskOptions(dilation_m=0)
)
FIELDS = parcels(*(field(100 * k, 100 * row, 90, 90) for k in range(5) for row in range(5)))
BLUE = 1400  # digital number of fields, reflectance 0.04


def blue(level: float, seed: int = 0) -> np.ndarray:
    """Fields of many shades about a level, in digital numbers."""
    shade = np.random.default_rng(seed).normal(0, 60, (SIDE, SIDE))
    return np.clip(level + shade, 1, 65535).astype(np.uint16)


def season(folder: Path, levels: list[float], cloud: dict[int, float] | None = None) -> list[dict]:
    rows = []
    for day, level in enumerate(levels):
        classes = all_clear()
        classes[: int(len(classes) * (cloud or {}).get(day, 0))] = 9
        rows.append(optical(folder, 5 * day, {"B02": blue(level, day)}, classes))
    return rows


def aside(rows: list[dict], folder: Path) -> dict[str, str]:
    _, found = without_contradictions(table(*rows), FIELDS, OPTIONS, folder)
    return {outcome.item_id: str(outcome.reason) for outcome in found}


def names(*days: int) -> set[str]:
    return {f"S2_35VLF_{5 * day:03d}" for day in days}


def test_every_second_scene_from_which_the_offset_was_taken_twice(tmp_path: Path) -> None:
    rows = season(tmp_path / "i", [BLUE - 1000 * (day % 2) for day in range(8)])
    assert aside(rows, tmp_path / "o") == dict.fromkeys(names(1, 3, 5, 7), "offset_subtracted_twice")


def test_bright_soil_stays_above_zero_and_is_found_by_the_dates_around(tmp_path: Path) -> None:
    rows = season(tmp_path / "i", [2300 - 1000 * (day == 3) for day in range(7)])
    assert aside(rows, tmp_path / "o") == dict.fromkeys(names(3), "offset_subtracted_twice")


def test_an_offset_that_was_never_subtracted(tmp_path: Path) -> None:
    rows = season(tmp_path / "i", [400 + 1000 * (day in (2, 5)) for day in range(8)])
    for row in rows:
        row["assets"][0]["offset"] = 0.0
    assert aside(rows, tmp_path / "o") == dict.fromkeys(names(2, 5), "offset_not_subtracted")


@pytest.mark.parametrize(
    "levels",
    [
        [1300, 1350, 1400, 1800, 1900, 1900, 1500],  # ploughed: 0.05 in a step
        [1400, 1400, 5000, 5200, 1500, 1400, 1400],  # snow that the mask missed
        [1150, 1120, 1150, 1130, 1150, 1140, 1150],  # dark forest
    ],
)
def test_fields_that_change_are_no_contradiction(tmp_path: Path, levels: list[float]) -> None:
    assert aside(season(tmp_path / "i", levels), tmp_path / "o") == {}


def test_clouds_accuse_no_scene(tmp_path: Path) -> None:
    """A wholly clouded scene of any brightness, and one clear in a corner."""
    rows = season(tmp_path / "i", [BLUE, 1, BLUE, 9000, BLUE, BLUE], cloud={1: 1, 3: 1, 4: 0.9})
    assert aside(rows, tmp_path / "o") == {}


def test_a_run_sets_them_aside_with_the_cure_in_the_files_numbers(tmp_path: Path) -> None:
    rows = season(tmp_path / "i", [BLUE - 1000 * (day == 2) for day in range(6)])
    for remover in (None, Constant()):
        out = tmp_path / str(remover is None)
        _, account = extract(table(*rows), FIELDS, OPTIONS, out, remover=remover)
        assert (account.came_in, account.set_aside) == (6, {"offset_subtracted_twice": 1})
        (lost,) = read_set_aside(out).to_dicts()
        assert f"imagery.offsets: {{{lost['item_id']}: 0}}" in lost["detail"]
        assert read_observations(out)["mean"].min() > 0


def test_the_cure_for_floating_point_reflectance_is_in_reflectance(tmp_path: Path) -> None:
    rows = []
    for day in range(6):
        values = (blue(400 + 1000 * (day == 3), day) / 1e4).astype(np.float32)
        row = optical(tmp_path / "i", 5 * day, {"B02": values}, all_clear())
        row["assets"][0] |= {"scale": 1.0, "offset": 0.0}
        rows.append(row)
    _, (found,) = without_contradictions(table(*rows), FIELDS, OPTIONS, tmp_path / "o")
    assert found.reason == "offset_not_subtracted"
    assert f"{{{found.item_id}: -0.1}}" in found.detail


def test_digital_numbers_called_reflectance_are_refused(tmp_path: Path) -> None:
    rows = season(tmp_path / "i", [BLUE] * 3)
    rows[1]["assets"][0]["scale"] = 1.0
    assert aside(rows, tmp_path / "o") == dict.fromkeys(names(1), "reflectance_out_of_range")


@pytest.mark.parametrize(
    ("unit", "level", "reason"),
    [
        ("db", 0.06, "backscatter_out_of_range"),  # linear power
        ("linear", -14.0, "backscatter_out_of_range"),  # decibels
        ("coherence", 64.0, "coherence_out_of_range"),  # percent
        ("db", -14.0, None),
        ("linear", 0.06, None),
    ],
)
def test_radar_in_another_unit_is_refused(
    tmp_path: Path, unit: str, level: float, reason: str | None
) -> None:
    band = "cohvh" if unit == "coherence" else "vh"
    values = np.random.default_rng(1).normal(level, abs(level) / 20, (SIDE, SIDE)).astype(np.float32)
    held = asset(band, write_tif(tmp_path / "a.tif", values), unit, None)
    row = acquisition("S1_a", 0, "s1", "35VLF", [held])
    options = OPTIONS.model_copy(update={"radar": ("cohvh",) if unit == "coherence" else ("s0vh_db",)})
    _, found = without_contradictions(table(row), FIELDS, options, tmp_path / "o")
    assert [outcome.reason for outcome in found] == ([] if reason is None else [reason])


def test_what_cannot_be_read_is_left_to_extraction_to_say(tmp_path: Path) -> None:
    rows = season(tmp_path / "i", [BLUE] * 3)
    Path(rows[1]["assets"][0]["href"]).write_bytes(b"nothing")
    rows.append(radar(tmp_path / "r", 0, {"vh": np.full((SIDE, SIDE), 0.1, np.float32)}))
    kept, found = without_contradictions(table(*rows), FIELDS, OPTIONS, tmp_path / "o")
    assert (kept.height, found) == (4, [])
    _, account = extract(table(*rows), FIELDS, OPTIONS, tmp_path / "o")
    assert account.set_aside == {"unreadable": 1}
    assert isinstance(kept, pl.DataFrame)


@pytest.mark.parametrize(("last", "is_told"), [(BLUE, True), (BLUE - 1000, False)])
def test_a_season_in_which_nothing_is_dark_is_told_and_not_set_aside(
    last: float, is_told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = season(tmp_path / "i", [BLUE] * 5 + [last])
    for row in rows:  # read with offset 0, though the pixels carry ESA's
        for one in row["assets"]:
            one["offset"] = 0.0
    assert aside(rows, tmp_path / "o") == {}
    assert ("their offset was never subtracted" in caplog.text) == is_told


@pytest.mark.parametrize("remover", [None, Constant()])
def test_one_band_of_another_scale_sets_its_scene_aside(tmp_path: Path, remover: Constant | None) -> None:
    """The infrared of one date is in percent; scenes are compared by their blue, which is right."""
    rows = season(tmp_path / "i", [BLUE] * 3)
    for day, row in enumerate(rows):
        add(row, tmp_path / f"i/infrared_{day}.tif", "B08", 30.0 if day == 1 else 0.3)
    options = OPTIONS.model_copy(update={"optical": ("B02", "B08")})
    _, account = extract(table(*rows), FIELDS, options, tmp_path / "o", remover=remover)
    assert account.set_aside == {"reflectance_out_of_range": 1}
    (said,) = read_set_aside(tmp_path / "o")["detail"]
    assert "25 parcels in B08 is 30 (median, read as reflectance), beyond -0.3 to 1.6" in said


def test_a_band_that_is_filled_but_no_feature_is_looked_at(tmp_path: Path) -> None:
    rows = season(tmp_path / "i", [BLUE] * 3)
    for day, row in enumerate(rows):
        add(row, tmp_path / f"i/infrared_{day}.tif", "B11", 30.0 if day == 1 else 0.3)
    _, plain = extract(table(*rows), FIELDS, OPTIONS, tmp_path / "plain")
    _, filled = extract(table(*rows), FIELDS, OPTIONS, tmp_path / "filled", remover=Constant())
    assert (dict(plain.set_aside), dict(filled.set_aside)) == ({}, {"reflectance_out_of_range": 1})


@pytest.mark.parametrize(
    ("blue", "infrared", "reason"),
    [
        (0.1, 0.1, "other_scale"),  # a scale of 1e-5 for 1e-4
        (10, 3, None),  # snow
        (1, 0.1, None),  # flooded
        (0.3, 0.3, None),  # a shadow that the mask missed
    ],
)
def test_a_scene_of_which_all_bands_are_a_tenth(
    blue: float, infrared: float, reason: str | None, tmp_path: Path
) -> None:
    rows = season(tmp_path / "i", [BLUE] * 5)
    for day, row in enumerate(rows):
        row["assets"] = row["assets"][1:]  # the scene classes
        for band, value, times in (("B02", 0.04, blue), ("B08", 0.3, infrared)):
            add(row, tmp_path / f"i/{band}_{day}.tif", band, value * (times if day == 2 else 1))
    options = OPTIONS.model_copy(update={"optical": ("B02", "B08")})
    _, found = without_contradictions(table(*rows), FIELDS, options, tmp_path / "o")
    assert [outcome.reason for outcome in found] == ([] if reason is None else [reason])


def add(row: dict, path: Path, band: str, reflectance: float) -> None:
    """Give an acquisition one band more, reflectance in floating point."""
    held = asset(band, write_tif(path, np.full((SIDE, SIDE), reflectance, np.float32)))
    row["assets"].append(held | {"scale": 1.0, "offset": 0.0, "nodata": None})


def test_what_was_seen_is_kept_until_the_image_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def counted(unit: Unit, filled: tuple[str, ...]) -> Sample | None:
        looked.append(unit.row["item_id"])
        return sample_unit(unit, filled)

    monkeypatch.setattr(scene_check, "sample_unit", counted)
    rows = season(tmp_path / "i", [2300 - 1000 * (day == 3) for day in range(7)], cloud={5: 1.0})

    def lost() -> list[Outcome]:
        looked.clear()
        return without_contradictions(table(*rows), FIELDS, OPTIONS, tmp_path / "o", stamps={})[1]

    first = lost()
    assert (set(looked), {one.item_id for one in first}) == (names(*range(7)), names(3))
    assert (lost(), looked) == (first, [])  # one that shows nothing included
    rows[1] = season(tmp_path / "later", [0, 2300])[1]
    assert (lost(), looked) == (first, [*names(1)])
    (path,) = (tmp_path / "o" / "samples").glob("s2-*.parquet")
    path.write_bytes(path.read_bytes()[:-9])  # altered: not read
    assert (lost(), set(looked)) == (first, names(*range(7)))
