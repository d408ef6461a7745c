"""A reviewed sample as people return it: ids, results, crops and dates, read and checked row by row."""

import difflib
import re
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from features.accounting import Tally
from features.errors import CropcheckError
from features.exchange.cells import need_columns, read_cells, unfloat

CORRECT, WRONG = "correct", "wrong"
FIELD_COLUMNS = ("field_result", "field_crop", "field_date", "remark", "evidence")
REVIEWED = pl.Schema(
    {
        "parcel_id": pl.String,
        "season": pl.Int32,
        "declared": pl.String,
        "field_result": pl.String,  # correct or wrong
        "field_crop": pl.String,  # national code found in the field, or null
        "field_date": pl.String,  # day of the visit, YYYY-MM-DD, or null
        "remark": pl.String,
        "evidence": pl.String,  # where photographs or notes lie, or null
    }
)
SHOWN = 10
ID_NAMES = ("parcel_id", "gsa_par_id")
EXCEL_ORIGIN = date(1899, 12, 30)
EXCEL_SERIAL = re.compile(r"^[34]\d{4}(\.0+)?$")
DATE_FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%d.%m.%Y", "%Y/%m/%d")
Fault = tuple[int, str]


class AssessmentError(CropcheckError):
    """Field results that cannot be used."""

    reason = "field_results"


def read_reviewed(path: Path, verdicts: pl.DataFrame) -> tuple[pl.DataFrame, Tally]:
    """Read a sample with its columns filled in.

    Parameters
    ----------
    path
        CSV with `parcel_id` (or `gsa_par_id`), `field_result` (correct, wrong, or empty while not visited)
        and optionally `field_crop` (the national code found), `field_date`, `remark` and `evidence`. A parcel
        that stands in several buckets may have several rows of one result.
    verdicts
        `parcel_id, season, declared` of every parcel of the run.

    Returns
    -------
    pl.DataFrame
        Schema REVIEWED, one row per visited parcel.
    Tally
        Rows in, results out, rows not visited or repeated.

    Raises
    ------
    AssessmentError
        Where ids are unknown, results of one parcel differ, or values are none of those above; the message
        names the rows as a spreadsheet counts them, and nothing is taken.
    """
    table = _columns(path)
    known = verdicts.select("parcel_id", "season", "declared").with_columns(key=_safe(pl.col("parcel_id")))
    keyed = table.with_columns(key=_safe(pl.col("parcel_id")))
    rows = keyed.drop("parcel_id").join(known, on="key", how="left", maintain_order="left", validate="m:1")
    dates = {row: parse_day(text) for row, text in rows.select("row", "field_date").iter_rows() if text}
    faults = [*_unknown(keyed, known), *_differing(rows), *_wrong_values(rows), *_wrong_dates(rows, dates)]
    if faults:
        more = f"\n  and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        shown = "\n  ".join(text for _, text in sorted(faults)[:SHOWN])
        raise AssessmentError(
            f"{len(faults)} rows of {path} cannot be used; nothing was read:\n  {shown}{more}"
        )
    day = pl.col("row").replace_strict(dates, default=None, return_dtype=pl.String)
    visited = rows.filter(pl.col("field_result").is_not_null()).with_columns(field_date=day)
    once = visited.unique("parcel_id", keep="first", maintain_order=True)
    aside = {"not_visited": rows.height - visited.height, "same_parcel_again": visited.height - once.height}
    results = once.select(pl.col(name).cast(kind) for name, kind in REVIEWED.items())
    reasons = {reason: count for reason, count in aside.items() if count}
    return results, Tally("assess", "rows", rows.height, results.height, reasons)


def parse_day(text: str) -> str | None:
    """Return a date as YYYY-MM-DD, or None where it is none or could be two: 05/06/2024.

    Excel's serial numbers are understood.

    Examples
    --------
    >>> [parse_day(text) for text in ("45432", "20.5.2024", "05/06/2024", "25/06/2024")]
    ['2024-05-20', '2024-05-20', None, '2024-06-25']
    """
    if EXCEL_SERIAL.match(text):
        return (EXCEL_ORIGIN + timedelta(days=int(float(text)))).isoformat()
    for shape in DATE_FORMATS:
        if (found := _day(text, shape)) is not None:
            return found
    either = {day for shape in ("%d/%m/%Y", "%m/%d/%Y") if (day := _day(text, shape)) is not None}
    return either.pop() if len(either) == 1 else None


def _day(text: str, shape: str) -> str | None:
    try:
        return datetime.strptime(text, shape).date().isoformat()
    except ValueError:
        return None


def _columns(path: Path) -> pl.DataFrame:
    cells = read_cells(path)
    name = next((name for name in ID_NAMES if name in cells.columns), "parcel_id")
    need_columns(cells, (name, "field_result"), path)
    ids, _ = unfloat(cells[name])
    table = cells.with_columns(ids.alias("parcel_id")).with_row_index("row", offset=2)
    written = table.filter(pl.any_horizontal(pl.all().exclude("row").is_not_null()))
    optional = [
        pl.col(column) if column in cells.columns else pl.lit(None, pl.String).alias(column)
        for column in FIELD_COLUMNS[1:]
    ]
    result = pl.col("field_result").str.to_lowercase().str.strip_chars()
    return written.select("row", "parcel_id", result, *optional)


def _safe(ids: pl.Expr) -> pl.Expr:
    """Return ids without the apostrophe by which an export neutralises formulas."""
    return ids.str.strip_prefix("'")


def _unknown(keyed: pl.DataFrame, known: pl.DataFrame) -> list[Fault]:
    """Say which rows name no parcel; a number that lost its zeros in a spreadsheet is recognised."""
    ids = set(known["key"].to_list())
    stripped = {name.lstrip("0"): name for name in ids}
    faults = []
    for row, key in keyed.select("row", "key").iter_rows():
        if key is None:
            faults.append((row, f"row {row}: there is no parcel_id"))
        elif key not in ids:
            near = stripped.get(key) or next(iter(difflib.get_close_matches(key, ids, 1, 0.8)), None)
            hint = f"; was {near!r} meant (a spreadsheet drops leading zeros)?" if near else ""
            faults.append((row, f"row {row}: {key!r} is no parcel of this run{hint}"))
    return faults


def _differing(rows: pl.DataFrame) -> list[Fault]:
    said = rows.filter(pl.col("parcel_id").is_not_null() & pl.col("field_result").is_not_null())
    first = said.unique("parcel_id", keep="first", maintain_order=True)
    both = said.join(first, on="parcel_id", suffix="_first", maintain_order="left")
    other = ~pl.col("field_result").eq_missing(pl.col("field_result_first")) | ~pl.col(
        "field_crop"
    ).eq_missing(pl.col("field_crop_first"))
    return [
        (row, f"row {row}: {name!r} stands twice, with another result in row {before}")
        for row, name, before in both.filter(other).select("row", "parcel_id", "row_first").iter_rows()
    ]


def _wrong_values(rows: pl.DataFrame) -> list[Fault]:
    faults = []
    columns = ("row", "field_result", "field_crop", "declared")
    for row, result, crop, declared in rows.select(columns).iter_rows():
        if result not in (None, CORRECT, WRONG):
            text = f"row {row}: field_result {result!r} is neither {CORRECT} nor {WRONG}"
        elif result == CORRECT and crop is not None and crop != declared:
            text = f"row {row}: {CORRECT}, but field_crop {crop!r} is not the declared {declared!r}"
        elif result == WRONG and crop is not None and crop == declared:
            text = f"row {row}: {WRONG}, but field_crop is the declared {declared!r}"
        elif result is None and crop is not None:
            text = f"row {row}: field_crop without a field_result"
        else:
            continue
        faults.append((row, text))
    return faults


def _wrong_dates(rows: pl.DataFrame, dates: dict[int, str | None]) -> list[Fault]:
    texts = dict(rows.select("row", "field_date").iter_rows())
    return [
        (row, f"row {row}: field_date {texts[row]!r} is no date, or could be two; write YYYY-MM-DD")
        for row, day in dates.items()
        if day is None
    ]
