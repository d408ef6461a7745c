"""Public sets are read from their published formats; gaps are masks, classes meet in HCAT, all is counted."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from features.declarations.crop_codes import read_crop_groups
from features.errors import ConfigError
from features.limits import LimitOptions
from features.series.calendar import make_calendar
from models.crops.sets.by_name import reader_of
from models.crops.sets.gather import Gathered, gather
from models.crops.sets.options import SetOptions
from tests.models.crops.sets import made_sets

MONTHS = make_calendar("month", date(2024, 3, 1), date(2024, 10, 31))
FEATURES = ("B04", "B08", "ndvi", "s0vv_db")


def gathered(name: str, folder: Path, per_class: int | None = None) -> Gathered:
    sets = [SetOptions.model_validate({"name": name, "path": folder, "per_class": per_class})]
    return gather(sets, read_crop_groups().class_of, MONTHS, FEATURES, 2024, seed=0)


def value(found: Gathered, crop: str, feature: str) -> np.ndarray:
    """Values of the first sample of a class on the eight months."""
    row = found.classes.index(crop)
    return found.series["value"].sel(feature=feature, statistic="mean").to_numpy()[row]


def known(values: np.ndarray) -> dict[int, float]:
    """Month -> value, where one is known."""
    return {int(k) + 3: round(float(values[k]), 4) for k in np.flatnonzero(np.isfinite(values))}


def test_timesen2crop(tmp_path: Path) -> None:
    found = gathered("timesen2crop", made_sets.timesen2crop(tmp_path))
    assert sorted(set(found.classes)) == ["maize", "winter_wheat"]
    assert known(value(found, "winter_wheat", "B04")) == {4: 0.05, 6: 0.05}, "the cloudy May is a gap"
    assert list(found.series["feature"].values) == ["B04"], "no radar, no B08: left out, not zero"
    assert set(found.groups) == {"timesen2crop/33UVP", "timesen2crop/33TWN"}
    assert found.tallies[0].set_aside == {"no_equal_in_hcat": 4}


def test_eurocropsml(tmp_path: Path) -> None:
    found = gathered("eurocropsml", made_sets.eurocropsml(tmp_path))
    assert sorted(found.classes) == ["maize", "winter_wheat"]
    assert known(value(found, "maize", "B08")) == {4: 0.1, 6: 0.1}, "padding is a gap"
    assert known(value(found, "maize", "ndvi")) == {4: 0.0, 6: 0.0}
    assert found.tallies[0].set_aside == {"no_equal_in_hcat": 1}


def test_breizhcrops(tmp_path: Path) -> None:
    found = gathered("breizhcrops", made_sets.breizhcrops(tmp_path))
    assert sorted(found.classes) == ["maize", "maize", "winter_wheat", "winter_wheat"]
    assert known(value(found, "maize", "B04")) == {4: 0.1}, "QA60 and CLD are masks"
    assert set(found.groups) == {"breizhcrops/frh01", "breizhcrops/frh02"}
    assert found.tallies[0].set_aside == {"unknown_class": 2}


def test_pastis_with_radar(tmp_path: Path) -> None:
    found = gathered("pastis", made_sets.pastis(tmp_path))
    assert sorted(found.classes) == ["maize", "winter_wheat"]
    assert known(value(found, "winter_wheat", "B04")) == {4: 0.05}, "bright red is cloud"
    assert known(value(found, "maize", "B04")) == {4: 0.1, 5: 0.1}
    assert known(value(found, "maize", "s0vv_db")) == {4: -12.0}


def test_cropharvest(tmp_path: Path) -> None:
    found = gathered("cropharvest", made_sets.cropharvest(tmp_path))
    assert found.classes == ["maize"]
    red = known(value(found, "maize", "B04"))
    assert set(red.values()) == {0.1}
    assert 6 not in red, "the fifth step (June) saw nothing"
    assert set(known(value(found, "maize", "s0vv_db")).values()) == {-10.0}
    assert found.tallies[0].set_aside == {"no_equal_in_hcat": 1, "unknown_class": 1}


def test_sen4agrinet(tmp_path: Path) -> None:
    found = gathered("sen4agrinet", made_sets.sen4agrinet(tmp_path))
    assert found.classes == ["winter_wheat"]
    assert known(value(found, "winter_wheat", "B04")) == {4: 0.1}
    assert found.tallies[0].set_aside == {"unknown_class": 1}


def test_two_sets_share_classes_and_what_one_lacks_is_unknown(tmp_path: Path) -> None:
    sets = [
        SetOptions(name="timesen2crop", path=made_sets.timesen2crop(tmp_path / "a"), per_class=1),
        SetOptions(name="pastis", path=made_sets.pastis(tmp_path / "b"), per_class=None),
    ]
    found = gather(sets, read_crop_groups().class_of, MONTHS, FEATURES, 2024, seed=0)
    austrian = [group.startswith("timesen2crop") for group in found.groups]
    radar = found.series["value"].sel(feature="s0vv_db").to_numpy()
    assert np.isnan(radar[austrian]).all()
    assert not found.series["observed"].sel(feature="s0vv_db").to_numpy()[austrian].any()
    assert np.isfinite(radar[~np.array(austrian)]).any()
    assert found.tallies[0].set_aside == {"beyond_per_class": 6, "no_equal_in_hcat": 4}
    assert [of["title"] for of in found.about] == ["TimeSen2Crop", "PASTIS / PASTIS-R"]
    assert all(of["licence"] and of["citation"] for of in found.about)


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("eurocropsml", lambda folder: made_sets.eurocropsml(folder, bands=12), "12 bands"),
        ("cropharvest", lambda folder: made_sets.cropharvest(folder, (12, 21)), r"\(12, 21\)"),
        ("sen4agrinet", lambda folder: made_sets.sen4agrinet(folder, "30.01"), "version 30.01"),
        ("timesen2crop", lambda folder: made_sets.timesen2crop(folder, bands=12), "13 columns"),
        ("breizhcrops", lambda folder: made_sets.breizhcrops(folder, columns=20), r"shape \(2, 20\)"),
        ("pastis", lambda folder: made_sets.pastis(folder, bands=13), r"shape \(2, 13, 4, 4\)"),
    ],
)
def test_another_version_is_refused(
    tmp_path: Path, name: str, make: Callable[[Path], Path], said: str
) -> None:
    with pytest.raises(ConfigError, match=f"{said}.*another version"):
        gathered(name, make(tmp_path))


@pytest.mark.parametrize(
    "name", ["timesen2crop", "eurocropsml", "breizhcrops", "pastis", "cropharvest", "sen4agrinet"]
)
def test_a_set_that_is_still_packed_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "data.zip").write_bytes(b"PK")
    with pytest.raises(ConfigError, match=r"lacks .*unpack data\.zip"):
        gathered(name, tmp_path)


def without(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def one_patch_more(folder: Path) -> None:
    path = folder / "metadata.geojson"
    listed = json.loads(path.read_text())
    of = listed["features"][0]["properties"]
    listed["features"].append({"properties": of | {"ID_PATCH": 10001}})
    path.write_text(json.dumps(listed))


def one_label_more(folder: Path) -> None:
    path = folder / "labels.geojson"
    listed = json.loads(path.read_text())
    listed["features"].append({"properties": {**listed["features"][0]["properties"], "index": 7}})
    path.write_text(json.dumps(listed))


def cut_short(folder: Path) -> None:
    whole = (folder / "2020_31TCG_patch_14_14.nc").read_bytes()
    (folder / "2020_31TCG_patch_14_15.nc").write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("name", "take_away", "counted"),
    [
        ("timesen2crop", without("TimeSen2Crop/33TWN/dates.csv"), {"missing_file": 6, "no_equal_in_hcat": 2}),
        ("eurocropsml", lambda folder: (folder / "EE001_17_3301010101.npz").rename(folder / "17.npz"),
         {"unknown_name": 1, "no_equal_in_hcat": 1}),
        ("breizhcrops", without("2017/L2A/frh02/csv/1.csv"), {"missing_file": 1, "unknown_class": 2}),
        ("pastis", one_patch_more, {"missing_file": 1, "no_equal_in_hcat": 0}),
        ("cropharvest", one_label_more, {"missing_file": 1, "no_equal_in_hcat": 1, "unknown_class": 1}),
        ("sen4agrinet", cut_short, {"broken_file": 1, "unknown_class": 1}),
    ],
)  # fmt: skip
def test_of_a_set_that_is_half_unpacked_what_is_missing_is_counted(
    tmp_path: Path, name: str, take_away: Callable[[Path], None], counted: dict[str, int]
) -> None:
    folder = getattr(made_sets, name)(tmp_path)
    take_away(folder)
    tally = gathered(name, folder).tallies[0]
    assert tally.set_aside == {reason: count for reason, count in counted.items() if count}
    assert tally.came_in == tally.went_out + sum(counted.values())


def test_an_index_without_its_columns_is_of_another_version(tmp_path: Path) -> None:
    folder = made_sets.breizhcrops(tmp_path)
    path = folder / "2017/L1C/frh01.csv"
    path.write_text(path.read_text().replace("CODE_CULTU", "code_group"))
    with pytest.raises(ConfigError, match=r"frh01\.csv of BreizhCrops lacks .*another version.*CODE_CULTU"):
        gathered("breizhcrops", folder)


def test_a_class_that_a_newer_version_adds_is_counted(tmp_path: Path) -> None:
    folder = made_sets.timesen2crop(tmp_path / "a")
    (folder / "TimeSen2Crop/33UVP/12").rename(folder / "TimeSen2Crop/33UVP/16")
    assert gathered("timesen2crop", folder).tallies[0].set_aside == {
        "no_equal_in_hcat": 4,
        "unknown_class": 2,
    }
    folder = made_sets.pastis(tmp_path / "b")
    target = np.load(folder / "ANNOTATIONS/TARGET_10000.npy")
    np.save(folder / "ANNOTATIONS/TARGET_10000.npy", np.where(target == 3, 20, target))
    assert gathered("pastis", folder).tallies[0].set_aside == {"unknown_class": 1}


def test_a_file_that_is_cut_short_is_set_aside(tmp_path: Path) -> None:
    folder = made_sets.eurocropsml(tmp_path)
    path = folder / "EE001_17_3301010101.npz"
    path.write_bytes(path.read_bytes()[:200])
    assert gathered("eurocropsml", folder).tallies[0].set_aside == {"broken_file": 1, "no_equal_in_hcat": 1}


def test_an_array_of_python_objects_is_not_unpickled(tmp_path: Path) -> None:
    folder = made_sets.eurocropsml(tmp_path)
    data = np.array([{"a": 1}], dtype=object)
    np.savez(folder / "EE001_18_3301010101.npz", data=data, dates=data, center=data)
    assert gathered("eurocropsml", folder).tallies[0].set_aside["broken_file"] == 1


@pytest.mark.parametrize(
    ("name", "make", "reasons"),
    [
        ("timesen2crop", made_sets.timesen2crop, {"too_large": 8, "no_equal_in_hcat": 4}),
        ("eurocropsml", made_sets.eurocropsml, {"too_large": 2, "no_equal_in_hcat": 1}),
        ("breizhcrops", made_sets.breizhcrops, {"too_large": 4, "unknown_class": 2}),
        ("pastis", made_sets.pastis, {"too_large": 1}),
        ("cropharvest", made_sets.cropharvest, {"too_large": 1, "no_equal_in_hcat": 1, "unknown_class": 1}),
        ("sen4agrinet", made_sets.sen4agrinet, {"too_large": 1}),
    ],
)
def test_what_declares_more_than_the_limit_is_set_aside_unread(
    tmp_path: Path, name: str, make: Callable[[Path], Path], reasons: dict[str, int]
) -> None:
    sets = [SetOptions.model_validate({"name": name, "path": make(tmp_path), "per_class": None})]
    few = LimitOptions(set_megavalues=20e-6)
    assert gather(sets, read_crop_groups().class_of, MONTHS, FEATURES, 2024, 0).tallies[0].went_out > 0
    with pytest.raises(ConfigError, match="no sample can be used") as refused:
        gather(sets, read_crop_groups().class_of, MONTHS, FEATURES, 2024, 0, few)
    for reason, count in reasons.items():
        assert f"{reason} {count}" in str(refused.value)


def test_every_hcat_code_has_a_class() -> None:
    groups = read_crop_groups()
    for name in ("timesen2crop", "breizhcrops", "pastis", "cropharvest", "sen4agrinet"):
        codes = {code for code in reader_of(name).HCAT.values() if code}  # type: ignore[arg-type]
        assert all(groups.class_of(code) not in (None, "other_land") for code in codes), name
