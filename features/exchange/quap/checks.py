"""First layer of the QUAP checks: columns, types, empty cells, keys, areas, relations between tables.

Rules as the platform has them (ec-jrc/cbm, iacs_qa/data_validation), each finding with ids and cure.
"""

from collections.abc import Mapping

import polars as pl

from features.exchange.quap.findings import FINDINGS, findings
from features.exchange.quap.reader import QuapFile
from features.exchange.quap.tables import AREA, FLAG, LAND_COVER, PARTS, Table

EMPTY_WORDS = ("NA", "Null", "NULL", "Inf", "-Inf", "NaN")
FLAGS = ("0", "1", "true", "false", "t", "f", "0.0", "1.0")
TOLERANCE_HA = 0.001  # 10 square metres, as the platform's second layer has it
DECIMALS = r"^[+-]?\d+(\.\d{1,4}0*)?$"


def check_table(file: QuapFile) -> pl.DataFrame:
    """Check one table alone; schema FINDINGS."""
    table, cells = file.table, file.cells
    missing = [name for name in table.columns if name not in cells.columns]
    found = [file.found]
    found += [findings(table.name, "column_missing", "Add the column.", column=name) for name in missing]
    if table.geometry and file.shapes is None:
        found.append(
            findings(table.name, "geometry_missing", "Add the parcels' geometry.", column="geometry")
        )
    keyed = _keyed(cells, table)
    if cells.is_empty():
        found.append(findings(table.name, "no_rows", "Deliver the table with its rows."))
    found.append(_repeated(keyed, table))
    for name, kind in table.columns.items():
        if name in cells.columns:
            found += [_empty(keyed, table, name), _wrong_type(keyed, table, name, kind)]
    if table.name == "lpis_population":
        found.append(_parts_of_total(keyed, table))
    if table.name == "gsa_ua_claimed" and "claim_area" in cells.columns:
        area = pl.col("claim_area").cast(pl.Float64, strict=False)
        cure = "Claim an area above 0, or take the row out."
        found.append(_of(keyed.filter(area <= 0), table, "claimed_area_not_positive", cure, "claim_area"))
    return pl.concat(found)


def check_relations(files: Mapping[str, QuapFile]) -> pl.DataFrame:
    """Check that what one table names stands in the other; schema FINDINGS."""
    found = [pl.DataFrame(schema=FINDINGS)]
    for file in files.values():
        for name, columns in (file.table.relations or {}).items():
            other = files.get(name)
            if other is None:
                cure = f"Give {name} too: this relation was not checked."
                found.append(findings(file.table.name, "relation_not_checked", cure, column=columns[0]))
                continue
            if any(column not in cells for column in columns for cells in (file.cells, other.cells)):
                continue
            known = other.cells.select(columns).unique()
            lost = _keyed(file.cells, file.table).drop_nulls(columns).join(known, on=columns, how="anti")
            cure = f"Add it to {name}, or take the row out."
            found.append(_of(lost, file.table, f"not_in_{name}", cure, columns[0]))
    claimed, listed = files.get("gsa_ua_claimed"), files.get("interventions")
    if claimed and listed and "ua" in claimed.cells.columns and "ua" in listed.cells.columns:
        unused = _keyed(listed.cells, listed.table).join(
            claimed.cells.select("ua").unique(), on="ua", how="anti"
        )
        cure = "Nobody claimed it: check that it belongs to this year."
        found.append(_of(unused, listed.table, "unit_amount_not_claimed", cure, "ua"))
    return pl.concat(found)


def _keyed(cells: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Add `__id`, the row's key, or its number where the key is not whole."""
    numbered = cells.with_row_index("__row", offset=2)
    row = pl.format("row {}", "__row")
    if any(name not in cells.columns for name in table.key):
        return numbered.with_columns(__id=row)
    return numbered.with_columns(__id=pl.concat_str(*table.key, separator="|").fill_null(row))


def _of(rows: pl.DataFrame, table: Table, check: str, cure: str, column: str | None = None) -> pl.DataFrame:
    details = rows[column] if column else None
    return findings(table.name, check, cure, rows["__id"], details, column)


def _repeated(keyed: pl.DataFrame, table: Table) -> pl.DataFrame:
    if any(name not in keyed.columns for name in table.key):
        return pl.DataFrame(schema=FINDINGS)
    rows = keyed.filter(pl.struct(table.key).is_duplicated())
    return _of(rows.unique("__id", maintain_order=True), table, "key_repeats", "Keep one row a key.")


def _empty(keyed: pl.DataFrame, table: Table, name: str) -> pl.DataFrame:
    if name in table.may_be_empty:
        return pl.DataFrame(schema=FINDINGS)
    rows = keyed.filter(pl.col(name).is_null() | pl.col(name).is_in(EMPTY_WORDS))
    return _of(rows, table, "empty_cell", "Fill it in.", name)


def _wrong_type(keyed: pl.DataFrame, table: Table, name: str, kind: str) -> pl.DataFrame:
    known = keyed.filter(pl.col(name).is_not_null() & ~pl.col(name).is_in(EMPTY_WORDS))
    value = pl.col(name)
    if kind == FLAG:
        rows = known.filter(~value.str.to_lowercase().is_in(FLAGS))
        return _of(rows, table, "not_boolean", "Write 1 or 0, true or false.", name)
    if kind != AREA:
        return pl.DataFrame(schema=FINDINGS)
    number = value.cast(pl.Float64, strict=False)
    comma = known.filter(number.is_null())
    fine = known.filter(number.is_not_null())
    exact = value.str.contains(DECIMALS) | ((number * 10_000 - (number * 10_000).round()).abs() < 1e-6)
    return pl.concat(
        [
            _of(comma, table, "not_a_number", "Write hectares with a decimal point: 1.2345.", name),
            _of(fine.filter(~exact), table, "too_many_decimals", "Round hectares to four decimals.", name),
            _of(fine.filter(number < 0), table, "negative_area", "An area is 0 or more.", name),
        ]
    )


def _parts_of_total(keyed: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Check each land-cover area, and the sum of three, against the total."""
    if "tot_area" not in keyed.columns:
        return pl.DataFrame(schema=FINDINGS)
    parts = [name for name in PARTS if name in keyed.columns]
    table_ = keyed.with_columns(pl.col("tot_area", *parts).cast(pl.Float64, strict=False))
    total = pl.col("tot_area")
    found = []
    for name in parts:
        rows = table_.filter((total > 0) & (pl.col(name) - total > TOLERANCE_HA)).with_columns(
            pl.format("{} of {} ha", name, "tot_area").alias(name)
        )
        found.append(_of(rows, table, "part_above_total", "No part exceeds tot_area.", name))
    if all(name in parts for name in LAND_COVER):
        sum_ = pl.sum_horizontal(LAND_COVER)
        rows = table_.filter((total > 0) & (sum_ - total > TOLERANCE_HA)).with_columns(
            pl.format("{} of {} ha", sum_.round(4), "tot_area").alias("al_area")
        )
        cure = "al_area + pc_area + pg_area is at most tot_area."
        found.append(_of(rows, table, "land_cover_above_total", cure, "al_area"))
    if "na_area" in parts:
        rows = table_.filter((total == 0) & (pl.col("na_area").fill_null(0) <= 0))
        rows = rows.with_columns(pl.col("tot_area").cast(pl.String))
        cure = "tot_area is 0 only where na_area is above 0."
        found.append(_of(rows, table, "total_is_zero", cure, "tot_area"))
    return pl.concat(found) if found else pl.DataFrame(schema=FINDINGS)
