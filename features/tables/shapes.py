"""The three shapes of a table of series, each brought to one row a value."""

import logging
import re
from collections.abc import Sequence
from datetime import date

import polars as pl

from features.errors import ConfigError
from features.tables.files import id_text, need
from features.tables.options import TableOptions

log = logging.getLogger(__name__)
DEKADS_A_YEAR = 36
ROWS_OF_STEPS = 1000  # whose first and last dates are looked at
LATEST_MS = 1e14  # milliseconds since 1970 up to the year 5138: what is beyond counts something else


def long_form(table: pl.LazyFrame, options: TableOptions) -> pl.LazyFrame:
    """Return `parcel_id, datetime, column, raw (Float64), kept (bool)`, one row a value.

    Raises
    ------
    ConfigError
        Where a column that the options name is missing, or dates cannot be read.
    """
    names = table.collect_schema().names()
    parcel = id_text(table, need(names, options.parcel, "parcel ids")).alias("parcel_id")
    kept = _kept(names, options)
    if options.shape == "long":
        assert options.feature is not None and options.value is not None and options.date is not None
        return table.select(
            parcel,
            moments(table, need(names, options.date, "dates"), options.date_format).alias("datetime"),
            pl.col(need(names, options.feature, "feature names")).cast(pl.String).alias("column"),
            number_of(table, need(names, options.value, "values")).alias("raw"),
            kept.alias("kept"),
        )
    if options.shape == "wide":
        assert options.date is not None
        when = moments(table, need(names, options.date, "dates"), options.date_format).alias("datetime")
        columns = wanted_columns(names, options)
        rows = table.select(
            parcel, when, kept.alias("kept"), *(number_of(table, name).alias(name) for name in columns)
        )
        index = ["parcel_id", "datetime", "kept"]
        return rows.unpivot(columns, index=index, variable_name="column", value_name="raw").select(
            "parcel_id", "datetime", "column", "raw", "kept"
        )
    return _widest(table, names, parcel, kept, options)


def wanted_columns(names: Sequence[str], options: TableOptions) -> list[str]:
    """Return the columns of a wide table that hold values.

    Raises
    ------
    ConfigError
        Where none is named or found; without a template every named one must be there.
    """
    found = [name for name in options.columns if name in names]
    if options.template is None:
        for name in options.columns:
            need(list(names), name, "series.tables.columns")
    if not found:
        raise ConfigError(
            "series.tables: no column of values is known; name them under `columns` "
            f"(the table has {', '.join(list(names)[:40])}), or give `feature` and `value` of a long table."
        )
    return found


def _widest(
    table: pl.LazyFrame, names: list[str], parcel: pl.Expr, kept: pl.Expr, options: TableOptions
) -> pl.LazyFrame:
    found = matched(names, options)
    rows = table.select(
        parcel,
        kept.alias("kept"),
        _first(table, names, options).alias("first"),
        *(number_of(table, name).alias(name) for name in found),
    )
    tall = rows.unpivot(
        list(found), index=["parcel_id", "kept", "first"], variable_name="name", value_name="raw"
    )
    parts = {
        name: (feature, when if isinstance(when, date) else None, when if isinstance(when, int) else None)
        for name, (feature, when) in found.items()
    }
    key = pl.LazyFrame(
        [(name, *part) for name, part in parts.items()],
        schema={"name": pl.String, "column": pl.String, "day": pl.Date, "step": pl.Int64},
        orient="row",
    )
    moment = pl.coalesce("day", _stepped(options))
    return tall.join(key, on="name", how="left").select(
        "parcel_id", moment.cast(pl.Datetime("us")).alias("datetime"), "column", "raw", "kept"
    )


def _first(table: pl.LazyFrame, names: list[str], options: TableOptions) -> pl.Expr:
    if options.first is None or isinstance(options.first, date):
        return pl.lit(options.first, dtype=pl.Date)
    return moments(table, need(names, options.first, "first date"), options.date_format).dt.date()


def settled(table: pl.LazyFrame, options: TableOptions) -> TableOptions:
    """Return the options with the step, and the number of the step that `first` is the date of, by which the
    last one holds the day that the column `last` names, where the config leaves them open.

    Steps are counted from 1 where those of number 0 hold nothing.

    Raises
    ------
    ConfigError
        Where the config's step ends elsewhere in every row, and another does not: dates would be wrong.
    """
    names = table.collect_schema().names()
    if options.shape != "widest" or options.last not in names:
        return options
    steps = {name: when for name, (_, when) in matched(names, options).items() if isinstance(when, int)}
    if not steps:
        return options
    last = moments(table, str(options.last), options.date_format).dt.date().alias("last")
    number = pl.lit(max(steps.values())).alias("step")
    rows = table.select(_first(table, names, options).alias("first"), last, number).drop_nulls().unique()
    known = rows.sort("first", "last").head(ROWS_OF_STEPS).collect()
    starts = [0, 1] if _are_empty(table, [name for name in steps if steps[name] == 0], options) else [0]
    possible = [
        options.model_copy(update={"step": step, "first_step": start})
        for step in dict.fromkeys((options.step, "month", "dekad"))
        for start in dict.fromkeys((options.first_step, *starts))
    ]
    fits = [_fit(known, one) for one in possible]
    best = possible[fits.index(max(fits))]
    if fits[0] > 0 or max(fits) <= 0.5:
        return options
    if any(
        name in options.model_fields_set and getattr(best, name) != getattr(options, name)
        for name in ("step", "first_step")
    ):
        raise ConfigError(
            f"series.tables: {len(set(steps.values()))} steps of {options.step!r} do not end where "
            f"{options.last!r} says ({known['last'][0]}); set `step: {best.step}` and "
            f"`first_step: {best.first_step}`, with which they do."
        )
    log.info("%s is read by steps of %s, %s of which is the first.", options.path, best.step, best.first_step)
    return best


def _fit(rows: pl.DataFrame, options: TableOptions) -> float:
    """Share of rows `first, last, step` whose last step holds the day `last`."""
    if not rows.height:
        return 0.0
    dated = rows.with_columns(begin=_stepped(options)).with_columns(pl.col("step") + 1)
    return float(dated.select(pl.col("last").is_between("begin", _stepped(options), "left").mean()).item())


def _are_empty(table: pl.LazyFrame, names: list[str], options: TableOptions) -> bool:
    """Say whether columns hold no number anywhere; not of none at all."""
    if not names:
        return False
    numbers = [number_of(table, name) for name in names]
    known = [
        (number.is_finite() & ~number.is_in(list(options.nodata))).fill_null(False) for number in numbers
    ]
    held = table.select(pl.any_horizontal(known).any()).collect(engine="streaming")
    return not held.item()


def matched(names: Sequence[str], options: TableOptions) -> dict[str, tuple[str, date | int | None]]:
    """Return column -> (feature, date or step) of the columns' names that fit `options.pattern`; None where
    what stands in a date's place is none.

    Examples
    --------
    >>> options = TableOptions(path="t.csv", date=None, pattern="{feature}_{date}", date_format="%Y%m%d")
    >>> matched(["id", "ndvi_20240501"], options)
    {'ndvi_20240501': ('ndvi', datetime.date(2024, 5, 1))}
    """
    assert options.pattern is not None
    known = "|".join(map(re.escape, sorted(options.columns, key=len, reverse=True)))
    groups = {
        "feature": rf"(?P<feature>{known or '.+?'})",
        "date": r"(?P<date>\d[\d\-_T:]*)",
        "step": r"(?P<step>\d+)",
    }
    parts = re.split(r"\{(\w+)\}", options.pattern)
    regex = "".join(groups.get(part, ".*") if i % 2 else re.escape(part) for i, part in enumerate(parts))
    found: dict[str, tuple[str, date | int | None]] = {}
    for name in names:
        hit = re.fullmatch(regex, name)
        if hit is None:
            continue
        if "step" in hit.groupdict():
            found[name] = (hit["feature"], int(hit["step"]))
        else:
            found[name] = (hit["feature"], _day_of(hit["date"], options.date_format))
    if not found:
        raise ConfigError(
            f"series.tables: no column's name fits {options.pattern!r}"
            f"{' with a feature of `columns`' if options.columns else ''}; the table has "
            f"{', '.join(list(names)[:30])}."
        )
    if all(when is None for _, when in found.values()):
        raise ConfigError(
            f"series.tables: the names of {len(found)} columns fit {options.pattern!r}, first "
            f"{next(iter(found))!r}, but none holds {_said(options.date_format)}; give `date_format`."
        )
    return found


def undated(names: Sequence[str], options: TableOptions) -> list[str]:
    """Return the columns whose names fit `options.pattern` but hold no day of any calendar, such as
    `ndvi_20240231`; their values are counted as having no date.
    """
    if options.shape != "widest":
        return []
    return [name for name, (_, when) in matched(names, options).items() if when is None]


def _day_of(text: str, form: str | None) -> date | None:
    parsed = pl.Series([text]).str.to_date(form or "%Y-%m-%d", strict=False)
    day = parsed[0]
    return day if isinstance(day, date) else None


def _stepped(options: TableOptions) -> pl.Expr:
    """The date of a step, counted from `first`."""
    first, step = pl.col("first"), pl.col("step") - options.first_step
    if options.step == "month":
        return first.dt.offset_by(pl.format("{}mo", step))
    if options.step == "dekad":
        number = (
            first.dt.year().cast(pl.Int64) * DEKADS_A_YEAR
            + (first.dt.month().cast(pl.Int64) - 1) * 3
            + ((first.dt.day().cast(pl.Int64) - 1) // 10).clip(0, 2)
            + step
        )
        within = number % DEKADS_A_YEAR
        return pl.date(number // DEKADS_A_YEAR, within // 3 + 1, within % 3 * 10 + 1)
    return first.dt.offset_by(pl.format("{}d", step * options.step))


def moments(table: pl.LazyFrame, column: str, form: str | None) -> pl.Expr:
    """Return an expression for dates and times, UTC, microseconds; text that is no date gives a ConfigError.

    Raises
    ------
    ConfigError
        Naming the first text that is not a date of that form.
    """
    kind = table.collect_schema()[column]
    raw = pl.col(column)
    if isinstance(kind, pl.Datetime):
        plain = raw.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if kind.time_zone else raw
        return plain.cast(pl.Datetime("us"))
    if kind == pl.Date:
        return raw.cast(pl.Datetime("us"))
    text = raw.cast(pl.String).str.strip_chars()
    if form == "ms":
        number = text.cast(pl.Float64, strict=False)
        number = pl.when(number.abs() < LATEST_MS).then(number).cast(pl.Int64, strict=False)
        parsed = pl.from_epoch(number, time_unit="ms").cast(pl.Datetime("us"))
    elif form is not None:
        parsed = pl.coalesce(
            text.str.to_datetime(form, strict=False, time_unit="us"),
            text.str.to_date(form, strict=False).cast(pl.Datetime("us")),
        )
    else:
        head = text.str.extract(r"^(\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)?)", 1)
        parsed = pl.coalesce(
            head.str.replace(" ", "T").str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False, time_unit="us"),
            head.str.replace(" ", "T").str.to_datetime("%Y-%m-%dT%H:%M", strict=False, time_unit="us"),
            head.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")),
        )
    wrong = table.filter(text.is_not_null() & parsed.is_null()).select(text.alias("text")).head(1).collect()
    if wrong.height:
        raise ConfigError(
            f"series.tables: {wrong['text'][0]!r} in column {column!r} is not {_said(form)}; give "
            "`date_format`."
        )
    return parsed


def _said(form: str | None) -> str:
    if form == "ms":
        return "a number of milliseconds since 1970"
    return f"a date of the form {form}" if form else "a date such as 2024-05-31"


def number_of(table: pl.LazyFrame, column: str) -> pl.Expr:
    """Return a column's numbers as Float64: NaN where text is no number, null where a cell is empty; "0,53"
    is 0.53.
    """
    if table.collect_schema()[column] != pl.String:
        return pl.col(column).cast(pl.Float64)
    text = pl.col(column).str.strip_chars()
    number = text.str.replace(r"^(-?\d*),(\d+)$", "${1}.${2}").cast(pl.Float64, strict=False)
    return pl.when(text.is_null() | (text == "")).then(None).otherwise(number.fill_null(float("nan")))


def _kept(names: list[str], options: TableOptions) -> pl.Expr:
    counts = pl.lit(True)
    for column, values in options.keep.items():
        text = pl.col(need(names, column, "series.tables.keep")).cast(pl.String).str.strip_chars()
        counts &= text.is_in([_as_text(value) for value in values]).fill_null(False)
    return counts


def _as_text(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
