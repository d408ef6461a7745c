from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.errors import ConfigError
from models.events.intervals import find_intervals
from models.events.labels import Labels, days_of, read_labels, targets
from models.events.learning.chance import right_events
from tests.models.events.made_series import START, meadows

END = date(2024, 10, 31)


def read(tmp_path: Path, text: str) -> tuple[Labels, object]:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return read_labels(path, ["007", "008"], START, END)


def test_a_day_an_interval_and_a_parcel_without_events(tmp_path: Path) -> None:
    labels, tally = read(
        tmp_path,
        "parcel_id,event,date,until\n007,mowing,2024-06-01,\n007,Mowing,2024-08-01,2024-08-09\n008,none,,\n",
    )
    assert labels.watched == ("007", "008") and labels.kinds == ("mowing",)
    assert labels.events["exact"].to_list() == [True, False]
    assert tally.came_in == tally.went_out == 3


@pytest.mark.parametrize("between", [";", "\t"])
def test_a_table_of_another_separator_and_with_blanks_around_ids(tmp_path: Path, between: str) -> None:
    rows = ("parcel_id,event,date", " 007 ,mowing,2024-06-01")
    labels, _ = read(tmp_path, "\n".join(row.replace(",", between) for row in rows))
    assert labels.watched == ("007",)


def test_unknown_parcels_and_other_seasons_are_counted(tmp_path: Path) -> None:
    _, tally = read(
        tmp_path, "parcel_id,event,date\n007,mowing,2024-06-01\n7,mowing,2024-06-01\n008,mowing,2023-06-01\n"
    )
    assert dict(tally.set_aside) == {"unknown_parcel": 1, "out_of_season": 1}


def test_what_is_dated_after_the_day_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    """In season, the rows of later visits do not exist yet; neither do parcels that only they name."""
    known = "parcel_id,event,date,until\n007,mowing,2024-06-01,\n007,grazing,2024-06-10,2024-06-20\n"
    later = "007,mowing,2024-06-15,2024-06-25\n008,mowing,2024-08-01,\n008,none,2024-09-01,\n"
    (tmp_path / "then.csv").write_text(known)
    (tmp_path / "now.csv").write_text(known.replace("06-20", "07-31") + later)
    (then, _), (now, tally) = (
        read_labels(tmp_path / name, ["007", "008"], START, END, date(2024, 6, 20))
        for name in ("then.csv", "now.csv")
    )
    assert now.events.equals(then.events) and (now.watched, now.kinds) == (then.watched, then.kinds)
    assert dict(tally.set_aside) == {"after_until": 3}


def test_a_day_before_the_first_label_knows_none(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("parcel_id,event,date\n007,mowing,2024-06-01\n")
    labels, _ = read_labels(tmp_path / "labels.csv", ["007"], START, END, date(2024, 5, 1))
    assert (len(labels.events), labels.watched, labels.kinds) == (0, (), ())


def test_what_is_said_twice_counts_once(tmp_path: Path) -> None:
    rows = "007,mowing,2024-06-01,\n007,mowing,2024-06-01,\n007,mowing,2024-08-01,\n008,none,,\n008,none,,\n"
    labels, tally = read(tmp_path, f"parcel_id,event,date,until\n{rows}")
    assert dict(tally.set_aside) == {"said_twice": 2}
    assert len(labels.events) == 2 and labels.watched == ("007", "008")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("007,mowin,2024-06-01,", "Did you mean"),
        ("007,,2024-06-01,", "empty"),
        ("007,mowing,1 June,", "no date that can be read"),
        ("007,mowing,,", "no date that can be read"),
        ("007,mowing,2024-06-09,2024-06-01", "end before they begin"),
        ("007,mowing,2024-06-01,soon", "until"),
        ("009,mowing,2024-06-01,", "No row"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, f"parcel_id,event,date,until\n{rows}\n")


def test_a_table_without_rows_a_missing_column_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="have no rows"):
        read(tmp_path, "parcel_id,event,date\n")
    with pytest.raises(ConfigError, match="lack the columns"):
        read(tmp_path, "parcel_id,what\n007,mowing\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_labels(tmp_path / "absent.csv", ["007"], START, END)


def test_a_label_marks_its_interval_and_silences_its_neighbours() -> None:
    series = meadows([[98]])
    intervals = find_intervals(series)
    day = series.when(98)
    events = pl.DataFrame(
        {"parcel_id": ["p000"], "event": ["mowing"], "first": [day], "last": [day], "exact": [True]}
    )
    y, weight = targets(intervals, series, Labels(events, ("p000",), ("mowing",)), "mowing")
    assert intervals.end[y == 1].tolist() == [100]
    assert intervals.end[weight == 0].tolist() == [95, 105]
    assert np.sum(weight) == len(intervals) - 2


def test_soil_is_bare_from_its_first_day_and_a_later_day_of_the_spell_is_no_beginning() -> None:
    series = meadows([[]])
    spell = {"first": [series.when(100)], "last": [series.when(160)], "exact": [False]}
    for event, last in (("bare_soil", 100), ("grazing", 160), ("mowing", 160)):
        events = pl.DataFrame({"parcel_id": ["p000"], "event": [event], **spell})
        expected = days_of(Labels(events, ("p000",), (event,)), event, series)
        assert expected == {"p000": [(100, last)]}
        late = right_events(np.array([130.0]), ["p000"], expected)
        assert late.tolist() == [event != "bare_soil"]
