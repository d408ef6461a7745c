"""Tables of series that others extracted become observations; every value is kept or set aside by reason."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from features.errors import ConfigError
from features.schema import OBSERVATIONS
from features.tables.options import TableOptions
from features.tables.reader import Understood, read_in_chunks, read_tables

START, END = date(2024, 3, 1), date(2024, 10, 31)


def read(options: dict[str, Any], ids: tuple[str, ...] = ("1", "2")) -> Understood:
    return read_tables([TableOptions.model_validate(options)], ids, START, END)


def values(found: Understood) -> dict[tuple[str, str, str], float]:
    rows = found.observations.select("parcel_id", "datetime", "feature", "mean").iter_rows()
    return {(parcel, f"{when:%m-%d}", feature): round(value, 4) for parcel, when, feature, value in rows}


def csv(folder: Path, text: str, name: str = "table.csv") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_long_table(tmp_path: Path) -> None:
    path = csv(tmp_path, "field,day,what,v\n1,2024-05-01,ndvi,0.5\n2,2024-05-11,ndvi,0.7\n")
    found = read({"path": path, "parcel": "field", "date": "day", "feature": "what", "value": "v"})
    assert values(found) == {("1", "05-01", "ndvi"): 0.5, ("2", "05-11", "ndvi"): 0.7}
    assert found.observations.schema == OBSERVATIONS
    assert found.observations["pixel_count"].null_count() == 2, "a table does not say how many pixels it saw"


def test_a_wide_table_with_scaling_and_nodata(tmp_path: Path) -> None:
    path = csv(tmp_path, "parcel_id,date,red,vh\n1,2024-05-01,400,100\n2,2024-05-01,65535,65535\n")
    found = read(
        {
            "path": path,
            "nodata": [65535],
            "columns": {
                "red": {"name": "B04", "scale": 1e-4},
                "vh": {"name": "s0vh_db", "convert": "db_of_amplitude", "offset": -60},
            },
        }
    )
    assert values(found) == {("1", "05-01", "B04"): 0.04, ("1", "05-01", "s0vh_db"): -20}
    assert found.tally.set_aside == {"nodata": 2}
    assert found.observations.sort("feature")["sensor"].to_list() == ["s2", "s1"]


@pytest.mark.parametrize(
    ("header", "pattern", "more", "days"),
    [
        ("ndvi_20240501,ndvi_20240511", "{feature}_{date}", {"date_format": "%Y%m%d"}, ["05-01", "05-11"]),
        (
            "ndvi-ts0-10m,ndvi-ts1-10m",
            "{feature}-ts{step}-{any}",
            {"first": "2024-04-01"},
            ["04-01", "05-01"],
        ),
        ("ndvi.0,ndvi.1", "{feature}.{step}", {"first": "2024-04-21", "step": "dekad"}, ["04-21", "05-01"]),
        ("ndvi.0,ndvi.3", "{feature}.{step}", {"first": "2024-04-30", "step": 5}, ["04-30", "05-15"]),
    ],
)
def test_feature_and_date_in_the_columns_name(
    tmp_path: Path, header: str, pattern: str, more: dict[str, Any], days: list[str]
) -> None:
    path = csv(tmp_path, f"parcel_id,{header}\n1,0.1,0.2\n")
    found = read({"path": path, "date": None, "pattern": pattern, **more})
    assert values(found) == {("1", days[0], "ndvi"): 0.1, ("1", days[1], "ndvi"): 0.2}


def test_step_zero_may_be_each_rows_own(tmp_path: Path) -> None:
    path = csv(tmp_path, "parcel_id,begin,ndvi-1\n1,2024-04-01,0.1\n2,2024-08-11,0.2\n")
    found = read(
        {"path": path, "date": None, "pattern": "{feature}-{step}", "first": "begin", "step": "dekad"}
    )
    assert values(found) == {("1", "04-11", "ndvi"): 0.1, ("2", "08-21", "ndvi"): 0.2}


def test_dekads_cross_the_year() -> None:
    from features.tables.shapes import _stepped  # the arithmetic by itself

    options = TableOptions(
        path="x", date=None, pattern="{feature}{step}", first=date(2023, 12, 21), step="dekad"
    )
    table = pl.DataFrame({"first": [date(2023, 12, 21)] * 3, "step": [0, 1, 37]})
    assert table.select(day=_stepped(options))["day"].to_list() == [
        date(2023, 12, 21), date(2024, 1, 1), date(2025, 1, 1),
    ]  # fmt: skip


def test_a_partitioned_folder_and_a_pattern(tmp_path: Path) -> None:
    table = pl.DataFrame({"parcel_id": ["1"], "date": [date(2024, 5, 1)], "ndvi": [0.5]})
    for year, parcel in ((2023, "1"), (2024, "2")):
        folder = tmp_path / "set" / f"year={year}"
        folder.mkdir(parents=True)
        table.with_columns(parcel_id=pl.lit(parcel)).write_parquet(folder / "part.parquet")
    wide = {"columns": {"ndvi": "ndvi"}}
    assert len(values(read({"path": str(tmp_path / "set"), **wide}))) == 2
    assert len(values(read({"path": str(tmp_path / "set" / "*" / "*.parquet"), **wide}))) == 2


def test_semicolons_decimal_commas_unsorted_dates_and_byte_order_mark(tmp_path: Path) -> None:
    path = csv(tmp_path, "\ufeffparcel_id;date;ndvi\n1;2024-06-01;0,5\n1;2024-05-01;0,25\n")
    found = read({"path": path, "columns": {"ndvi": "ndvi"}})
    assert list(values(found).items()) == [(("1", "05-01", "ndvi"), 0.25), (("1", "06-01", "ndvi"), 0.5)]


def test_leading_zeros_of_ids_are_kept(tmp_path: Path) -> None:
    path = csv(tmp_path, "parcel_id,date,ndvi\n007,2024-05-01,0.5\n")
    assert list(values(read({"path": path, "columns": {"ndvi": "ndvi"}}, ("007",)))) == [
        ("007", "05-01", "ndvi")
    ]


def test_everything_that_does_not_go_in_is_counted(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        "parcel_id,date,cloudy,ndvi\n"
        "1,2024-05-01,0,0.5\n"  # kept
        "1,2024-05-02,1,0.5\n"  # masked
        "9,2024-05-01,0,0.5\n"  # unknown parcel
        "1,2023-05-01,0,0.5\n"  # outside the season
        "1,,0,0.5\n"  # no date
        "1,2024-05-03,0,\n"  # empty
        "1,2024-05-04,0,n/a\n"  # not a number
        "1,2024-05-05,0,1e20\n"  # fill value
        "1,2024-05-06,0,3\n"  # no NDVI
        "1,2024-05-01,0,0.5\n",  # the same once more
    )
    found = read({"path": path, "columns": {"ndvi": "ndvi"}, "keep": {"cloudy": [0]}})
    assert found.tally.set_aside == {
        "masked": 1, "unknown_parcel": 1, "outside_season": 1, "no_date": 1, "empty": 1, "not_a_number": 1,
        "nodata": 1, "impossible": 1, "repeated": 1,
    }  # fmt: skip
    assert (found.tally.came_in, found.tally.went_out) == (10, 1)


@pytest.mark.parametrize(("take", "expected"), [("mean", 0.4), ("first", 0.3), ("last", 0.5)])
def test_values_that_repeat_and_differ_are_a_choice(tmp_path: Path, take: str, expected: float) -> None:
    path = csv(tmp_path, "parcel_id,date,ndvi\n1,2024-05-01,0.3\n1,2024-05-01,0.5\n")
    options = {"path": path, "columns": {"ndvi": "ndvi"}}
    with pytest.raises(ConfigError, match=r"first parcel 1, 2024-05-01, ndvi: 0.3 and 0.5. Say which"):
        read(options)
    assert values(read({**options, "repeated": take})) == {("1", "05-01", "ndvi"): expected}


def both(folder: Path, second: str, **options: Any) -> Understood:
    """Two tables, of one date or of two."""
    tables = [
        csv(folder, "parcel_id,date,B04,B08\n1,2024-05-01,0.1,0.3\n", "first.csv"),
        csv(folder, f"parcel_id,date,B04,B08\n{second}\n", "second.csv"),
    ]
    wide = {"columns": {"B04": "B04", "B08": "B08"}, "derive": ["ndvi"], **options}
    given = [TableOptions.model_validate({"path": path, **wide}) for path in tables]
    return read_tables(given, ("1", "2"), START, END)


def test_a_date_that_stands_in_two_tables_is_one_look(tmp_path: Path) -> None:
    found = both(tmp_path, "1,2024-05-01,0.1,0.3")
    assert found.tally.set_aside == {"repeated": 2}
    assert (found.tally.came_in, found.tally.went_out) == (4, 2)
    assert sorted(found.observations["feature"]) == ["B04", "B08", "ndvi"]
    with pytest.raises(ConfigError, match=r"first.csv, .*second.csv has 1 cells .* B08: 0.3 and 0.4. Say"):
        both(tmp_path, "1,2024-05-01,0.1,0.4")
    taken = values(both(tmp_path, "1,2024-05-01,0.1,0.5", repeated="last"))
    assert taken[("1", "05-01", "B08")] == 0.5


def test_a_column_whose_name_holds_no_day_is_counted_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = csv(tmp_path, "parcel_id,ndvi_20240501,ndvi_20240231,zone_99999999\n1,0.5,0.6,7\n")
    options = {"path": path, "date": None, "pattern": "{feature}_{date}", "date_format": "%Y%m%d"}
    found = read(options)
    assert values(found) == {("1", "05-01", "ndvi"): 0.5}
    assert found.tally.set_aside == {"no_date": 2}
    assert "2 columns" in caplog.text and "first ndvi_20240231" in caplog.text
    with pytest.raises(ConfigError, match=r"3 columns fit .*'ndvi_20240501', but none .* such as 2024-05-31"):
        read({**options, "date_format": None})


@pytest.mark.parametrize("moment", ["2024-05-01", "17145216000000000000"])
def test_what_is_no_number_of_milliseconds_is_named(tmp_path: Path, moment: str) -> None:
    path = csv(tmp_path, f"parcel_id,system:time_start,B4\n1,{moment},400\n")
    with pytest.raises(ConfigError, match=f"'{moment}' in column .* number of milliseconds since 1970"):
        read({"path": path, "template": "earth_engine"})


def test_a_column_of_dates_is_taken_as_such_whatever_the_template_says(tmp_path: Path) -> None:
    table = {"parcel_id": ["1"], "system:time_start": [datetime(2024, 5, 1)], "B4": [400]}
    pl.DataFrame(table).write_parquet(tmp_path / "t.parquet")
    found = read({"path": str(tmp_path / "t.parquet"), "template": "earth_engine"})
    assert values(found) == {("1", "05-01", "B04"): 0.04}


@pytest.mark.parametrize(
    ("column", "number", "feature"), [("red", 4.5, "B04"), ("red", 450, "B04"), ("vv", 0.05, "s0vv_db"),
                                       ("vv", 60, "s0vv_db"), ("n", 70, "ndvi")]
)  # fmt: skip
def test_another_unit_is_refused_with_the_cure(
    tmp_path: Path, column: str, number: float, feature: str
) -> None:
    path = csv(tmp_path, f"parcel_id,date,{column}\n1,2024-05-01,{number}\n1,2024-05-02,{number}\n")
    with pytest.raises(ConfigError, match=f"half of the values of {feature} lie from {number:.4g}.*scale"):
        read({"path": path, "columns": {column: feature}})


def test_indices_are_derived_from_the_tables_bands(tmp_path: Path) -> None:
    path = csv(tmp_path, "parcel_id,date,B04,B08\n1,2024-05-01,0.1,0.3\n2,2024-05-01,0.1,\n")
    options = {"path": path, "columns": {"B04": "B04", "B08": "B08"}, "derive": ["ndvi"]}
    assert values(read(options))[("1", "05-01", "ndvi")] == 0.5
    assert ("2", "05-01", "ndvi") not in values(read(options)), "one band is missing"
    with pytest.raises(ConfigError, match=r"derive names ndre, which needs B05, B8A"):
        read({**options, "derive": ["ndre"]})


def test_context_is_one_number_a_parcel(tmp_path: Path) -> None:
    path = csv(tmp_path, "parcel_id,date,ndvi,dem\n1,2024-05-01,0.5,120\n1,2024-06-01,0.5,120\n")
    found = read({"path": path, "columns": {"ndvi": "ndvi"}, "context": {"dem": "elevation"}})
    assert found.context.rows() == [("1", 120.0), ("2", None)]


def test_context_with_decimal_commas_is_read_and_other_text_refused(tmp_path: Path) -> None:
    rows = "parcel_id;date;ndvi;dem\n1;2024-05-01;0,5;{}\n2;2024-05-01;0,5;NA\n"
    options = {"columns": {"ndvi": "ndvi"}, "context": {"dem": "elevation"}}
    found = read({"path": csv(tmp_path, rows.format("120,5")), **options})
    assert found.context.rows() == [("1", 120.5), ("2", None)]
    with pytest.raises(ConfigError, match=r"context: .* has text for a number in 'dem', such as high"):
        read({"path": csv(tmp_path, rows.format("high")), **options})


def test_errors_name_what_is_wrong(tmp_path: Path) -> None:
    path = csv(tmp_path, "parcelid,date,ndvi\n1,05/31/2024,0.5\n")
    with pytest.raises(ConfigError, match=r"no column 'parcel_id' \(parcel ids\). Did you mean 'parcelid'\?"):
        read({"path": path, "columns": {"ndvi": "ndvi"}})
    with pytest.raises(ConfigError, match=r"'05/31/2024' in column 'date' is not a date .* `date_format`"):
        read({"path": path, "parcel": "parcelid", "columns": {"ndvi": "ndvi"}})
    with pytest.raises(ConfigError, match="no column of values is known"):
        read({"path": path, "parcel": "parcelid", "date_format": "%m/%d/%Y"})
    with pytest.raises(ConfigError, match="names no table"):
        read({"path": str(tmp_path / "absent.parquet"), "columns": {"ndvi": "ndvi"}})
    with pytest.raises(ConfigError, match="No parcel id of the tables is declared"):
        read(
            {"path": path, "parcel": "parcelid", "date_format": "%m/%d/%Y", "columns": {"ndvi": "ndvi"}},
            ("x",),
        )


def test_ids_that_went_through_float64_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    wide = {"path": str(path), "columns": {"ndvi": "ndvi"}}
    table = pl.DataFrame({"parcel_id": [1.0], "date": [datetime(2024, 5, 1)], "ndvi": [0.5]})
    table.write_parquet(path)
    assert list(values(read(wide))) == [("1", "05-01", "ndvi")]
    table.with_columns(parcel_id=pl.lit(1.2345678901234567e17)).write_parquet(path)
    with pytest.raises(ConfigError, match="have lost digits; export the column as text"):
        read(wide)


@pytest.mark.parametrize(
    ("given_options", "message"),
    [
        ({"feature": "what"}, "both keys"),
        ({"pattern": "{feature}"}, "one of {date} and {step}"),
        ({"pattern": "{feature}{step}"}, "needs `first`"),
        ({"date": None}, "name the column of dates"),
    ],
)
def test_options_that_do_not_fit_together(given_options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TableOptions.model_validate({"path": "t.csv", **given_options})


OPENEO = "date,feature_index,avg(B04),avg(B08)\n2024-05-01T00:00:00.000Z,0,400,3000\n"
ENGINE = "system:index,B4,B8,parcel_id,system:time_start,.geo\nx,400,3000,0,1714521600000,\n"
SITS = "sample_id,label,Index,B04,B08\n0,Wheat,2024-05-01,0.04,0.3\n"
WORLDCEREAL = "sample_id,timestamp,S2-L2A-B04,S2-L2A-B08\n0,2024-05-01,400,3000\n"
STEPS = "sample_id,start_date,OPTICAL-B04-ts0-10m,OPTICAL-B08-ts0-10m\n0,2024-05-01,400,3000\n"


@pytest.mark.parametrize(
    ("template", "text"),
    [("openeo", OPENEO), ("earth_engine", ENGINE), ("sits", SITS), ("worldcereal", WORLDCEREAL),
     ("worldcereal_steps", STEPS)],
)  # fmt: skip
def test_what_the_usual_programs_write(tmp_path: Path, template: str, text: str) -> None:
    found = read({"path": csv(tmp_path, text), "template": template}, ("0",))
    assert values(found) == {("0", "05-01", "B04"): 0.04, ("0", "05-01", "B08"): 0.3}


def steps_until(folder: Path, end: str, numbers: str, **options: Any) -> list[str]:
    header = ",".join(f"OPTICAL-B04-ts{step}-10m" for step in range(numbers.count(",") + 1))
    path = csv(folder, f"sample_id,start_date,end_date,{header}\n1,2024-04-01,{end},{numbers}\n")
    return [day for _, day, _ in values(read({"path": path, "template": "worldcereal_steps", **options}))]


def test_steps_end_where_the_table_says(tmp_path: Path) -> None:
    """Four dekads from April on end on 1 May, four months in July: as months, dates would be wrong."""
    dekads, months = ["04-01", "04-11", "04-21", "05-01"], ["04-01", "05-01", "06-01", "07-01"]
    assert steps_until(tmp_path, "2024-05-01", "1,2,3,4") == dekads
    assert steps_until(tmp_path, "2024-05-01", "1,2,3,4", step="dekad") == dekads
    assert steps_until(tmp_path, "2024-07-01", "1,2,3,4") == months
    assert steps_until(tmp_path, "2024-07-31", "1,2,3,4") == months, "a month ends with its last day"
    assert steps_until(tmp_path, "2024-12-24", "1,2,3,4") == months, "where nothing fits, as the config says"
    with pytest.raises(ConfigError, match=r"4 steps of 'month' do not end where .*2024-05-01.*`step: dekad`"):
        steps_until(tmp_path, "2024-05-01", "1,2,3,4", step="month")


def test_steps_are_counted_from_one_where_those_of_nought_hold_nothing(tmp_path: Path) -> None:
    assert steps_until(tmp_path, "2024-04-21", "65535,2,3,4") == ["04-01", "04-11", "04-21"]
    assert steps_until(tmp_path, "2024-05-01", "65535,2,3,4") == ["04-11", "04-21", "05-01"]
    with pytest.raises(ConfigError, match="set `step: dekad` and `first_step: 1`"):
        steps_until(tmp_path, "2024-04-21", "65535,2,3,4", first_step=0)


def test_predictors_of_sits_are_bands_and_steps_in_one_word(tmp_path: Path) -> None:
    header = ",".join(f"{band}{step}" for band in ("B02", "B8A", "NDVI") for step in (1, 2, 11))
    numbers = ",".join(["0.01,0.02,0.11", "0.3,0.4,0.5", "0.6,0.7,0.8"])
    path = csv(tmp_path, f"sample_id,label,{header}\n1,Wheat,{numbers}\n")
    found = values(read({"path": path, "template": "sits_predictors", "first": "2024-05-01", "step": 16}))
    assert found[("1", "05-01", "B02")] == 0.01 and found[("1", "05-17", "B8A")] == 0.4
    assert found[("1", "10-08", "ndvi")] == 0.8 and len(found) == 9
    with pytest.raises(ValidationError, match="needs `first`"):
        read({"path": path, "template": "sits_predictors"})


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.sampled_from("12"), st.integers(1, 28), st.floats(-1, 1, width=32)),
        min_size=1,
        unique_by=lambda row: row[:2],
    )
)
def test_the_three_shapes_say_the_same(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    folder = tmp_path_factory.mktemp("shapes")
    table = pl.DataFrame(
        [(parcel, date(2024, 5, day), value) for parcel, day, value in rows],
        schema={"parcel_id": pl.String, "date": pl.Date, "ndvi": pl.Float64},
        orient="row",
    )
    table.write_parquet(folder / "wide.parquet")
    table.unpivot("ndvi", index=["parcel_id", "date"], variable_name="what", value_name="v").write_parquet(
        folder / "long.parquet"
    )
    table.with_columns(pl.format("ndvi_{}", pl.col("date").cast(pl.String)).alias("name")).pivot(
        "name", index="parcel_id", values="ndvi"
    ).write_parquet(folder / "widest.parquet")
    wide = read({"path": str(folder / "wide.parquet"), "columns": {"ndvi": "ndvi"}})
    long = read({"path": str(folder / "long.parquet"), "feature": "what", "value": "v"})
    widest = read({"path": str(folder / "widest.parquet"), "date": None, "pattern": "{feature}_{date}"})
    assert values(wide) == values(long) == values(widest)


def long_table(folder: Path, parcels: int = 9) -> str:
    lines = [
        f"{parcel},2024-05-{day:02d},{band},{0.1 + 0.01 * parcel:.2f}"
        for day in (21, 1, 11)  # unsorted, and a parcel's rows lie apart
        for band in ("B04", "B08")
        for parcel in range(parcels)
    ]
    return csv(folder, "parcel_id,date,what,v\n" + "\n".join(lines) + "\n")


def test_chunks_give_what_the_whole_table_gives(tmp_path: Path) -> None:
    ids = [str(parcel) for parcel in range(8)]  # the ninth is not declared
    options = TableOptions.model_validate(
        {"path": long_table(tmp_path), "feature": "what", "value": "v", "derive": ["ndvi"]}
    )
    whole = read_tables([options], ids, START, END)
    parts: list[pl.DataFrame] = []
    read = read_in_chunks([options], ids, START, END, parts.append, values_at_once=10)
    assert len(parts) > 1
    seen = [set(part["parcel_id"]) for part in parts]
    assert sum(map(len, seen)) == len(set().union(*seen)) == 8, "no parcel is in two chunks"
    keys = ["datetime", "sensor", "feature", "parcel_id"]
    assert pl.concat(parts).sort(keys).equals(whole.observations)
    assert read.tally == whole.tally
    assert read.tally.set_aside == {"unknown_parcel": 6}
    same = ["feature", "dates", "values", "missing_share"]
    assert read.features.select(same).equals(whole.features.select(same))


@pytest.mark.parametrize("declared", [0, 1, 2])
def test_ids_that_sort_badly_keep_their_own_values_in_chunks(tmp_path: Path, declared: int) -> None:
    """Numbers as text, signs, exponents, capitals, letters beyond ASCII; the table has another order."""
    ids = ["10", "9", "1e3", "01", "Ä", "a", "Z", "-1", "é", "1"]
    path = csv(
        tmp_path,
        "parcel_id,date,what,v\n"
        + "".join(
            f"{name},2024-05-{day:02d},B04,0.{ids.index(name)}\n" for day in (9, 2) for name in sorted(ids)
        ),
    )
    options = TableOptions.model_validate({"path": path, "feature": "what", "value": "v"})
    order = (ids, sorted(ids), sorted(ids, key=str.casefold, reverse=True))[declared]
    parts: list[pl.DataFrame] = []
    read_in_chunks([options], order, START, END, parts.append, values_at_once=4)
    assert len(parts) > 2
    assert [name for part in parts for name in order if name in set(part["parcel_id"])] == order
    found = pl.concat(parts).select("parcel_id", pl.col("mean").cast(pl.Float64).round(4)).unique()
    assert dict(found.iter_rows()) == {name: number / 10 for number, name in enumerate(ids)}


def test_values_that_repeat_are_found_in_chunks_too(tmp_path: Path) -> None:
    path = long_table(tmp_path)
    with Path(path).open("a", encoding="utf-8") as handle:
        handle.write("3,2024-05-01,B04,0.9\n")
    options = TableOptions.model_validate({"path": path, "feature": "what", "value": "v"})
    with pytest.raises(ConfigError, match="several values, first parcel 3"):
        read_in_chunks([options], ["3", "4"], START, END, lambda part: None, values_at_once=10)
