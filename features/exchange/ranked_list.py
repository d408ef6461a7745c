"""The Commission's ranked list of parcels, and an agency's own targets for its buckets."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from features.exchange.cells import ExchangeError, codes, need_columns, read_cells, rows_shown, unfloat
from features.suggestions import did_you_mean

RANKED = pl.Schema(
    {
        "gsa_par_id": pl.String,
        "gsa_hol_id": pl.String,
        "ua_grp_id": pl.String,  # group of unit amounts: a bucket of the sample
        "covered": pl.Int8,  # 1 where a very-high-resolution image covers the parcel; null: not stated
        "ranking": pl.Int64,  # place of the parcel, best first
    }
)
NEEDED = ("gsa_par_id", "gsa_hol_id", "ua_grp_id", "ranking")
YES, NO = ("1", "1.0", "true", "t", "yes"), ("0", "0.0", "false", "f", "no")


@dataclass(frozen=True)
class RankedList:
    """A ranked list as read.

    Attributes
    ----------
    table
        Schema RANKED, in the order of the file.
    notes
        What was put right or is doubtful, a sentence each.
    """

    table: pl.DataFrame
    notes: list[str]


def read_ranked_list(path: Path) -> RankedList:
    """Read a ranked list, one row a parcel and group.

    Raises
    ------
    ExchangeError
        Where a column is missing, a cell is empty or no number, or rows of one parcel and group differ.
    """
    cells = read_cells(path)
    need_columns(cells, NEEDED, path)
    _no_gaps(cells, path)
    notes: list[str] = []
    columns = {"ua_grp_id": cells["ua_grp_id"]}
    for name in ("gsa_par_id", "gsa_hol_id"):
        columns[name], floated = unfloat(cells[name])
        if floated:
            notes.append(
                f"{name}: every id ends in .0, which was taken off; leading zeros may be lost, so export the "
                "list with ids as text."
            )
    columns["ranking"], columns["covered"] = _rank(cells, path), _covered(cells, path, notes)
    table = pl.DataFrame([columns[name].cast(kind).alias(name) for name, kind in RANKED.items()])
    parcel, holding, group = (codes(table[name]).astype(np.int64) for name in NEEDED[:3])
    key = _pair(_pair(parcel, holding), group)
    whole = table
    if _distinct(key) < table.height:
        whole = table.unique(maintain_order=True)
        _no_contradictions(whole, path)
        notes.append(f"{table.height - whole.height} rows repeat another row and were left out.")
    return RankedList(whole, [*notes, *_rank_notes(table["ranking"].to_numpy(), parcel)])


def _pair(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return a number for each pair of codes, densely."""
    both = one * (int(other.max(initial=0)) + 1) + other
    return np.asarray(np.unique(both, return_inverse=True)[1]) if both.max(initial=0) > 2**40 else both


def _distinct(values: np.ndarray) -> int:
    return pl.Series(values).n_unique()


def _rank_notes(ranks: np.ndarray, parcel: np.ndarray) -> list[str]:
    parcels, distinct = _distinct(parcel), _distinct(ranks)
    pairs = pl.DataFrame({"parcel": parcel, "rank": ranks}).n_unique()
    notes = []
    if pairs > distinct:
        notes.append(
            f"{parcels} parcels have {distinct} ranks: some ranks are shared, and their parcels are taken "
            "as the file has them."
        )
    if pairs > parcels:
        notes.append("Some parcels have several ranks; each row is taken at its own.")
    return notes


def read_targets(path: Path, groups: list[str]) -> dict[str, int]:
    """Read `ua_grp_id, target`: how many parcels each bucket takes; 0 leaves a bucket empty.

    Raises
    ------
    ExchangeError
        Where a group is unknown, missing or named twice, or a target is no whole number.
    """
    cells = read_cells(path)
    need_columns(cells, ("ua_grp_id", "target"), path)
    cells = cells.filter(pl.any_horizontal(pl.all().is_not_null()))
    names = cells["ua_grp_id"].to_list()
    unknown = [name for name in names if name not in groups]
    if unknown:
        near = did_you_mean(str(unknown[0]), groups)
        raise ExchangeError(
            f"{path} has targets for groups that the list does not have: {unknown}.{near} "
            f"The list has {groups}.",
            "unknown_group",
        )
    missing = [name for name in groups if name not in names]
    if missing or len(set(names)) < len(names):
        what = f"no target for {missing}" if missing else "a group twice"
        raise ExchangeError(f"{path} has {what}; name every group once, with 0 to leave it out.", "targets")
    targets = cells["target"].str.replace(r"\.0+$", "").cast(pl.Int64, strict=False)
    bad = targets.is_null() | (targets.fill_null(0) < 0)
    if bad.any():
        raise ExchangeError(
            f"{path}: the target in {rows_shown(bad.arg_true())} is no whole number from 0.", "targets"
        )
    return dict(zip(names, targets.to_list(), strict=True))


def _no_gaps(cells: pl.DataFrame, path: Path) -> None:
    for name in NEEDED:
        gaps = cells[name].is_null().arg_true()
        if len(gaps):
            raise ExchangeError(f"{path} has no {name} in {rows_shown(gaps)}; fill it in.", "empty_cell")
    if cells.is_empty():
        raise ExchangeError(f"{path} has a heading but no rows.", "empty")


def _rank(cells: pl.DataFrame, path: Path) -> pl.Series:
    ranks = cells["ranking"].str.replace(r"\.0+$", "").cast(pl.Int64, strict=False)
    if ranks.null_count():
        rows = rows_shown(ranks.is_null().arg_true())
        raise ExchangeError(f"{path}: the ranking in {rows} is no whole number.", "ranking")
    return ranks


def _covered(cells: pl.DataFrame, path: Path, notes: list[str]) -> pl.Series:
    if "covered" not in cells.columns:
        notes.append("The list has no column `covered`: which parcels images cover is not known.")
        return pl.Series("covered", [None], dtype=pl.Int8).extend_constant(None, cells.height - 1)
    words = cells["covered"].str.to_lowercase()
    codes = words.replace_strict({**dict.fromkeys(YES, 1), **dict.fromkeys(NO, 0)}, default=None)
    if codes.null_count():
        rows = rows_shown(codes.is_null().arg_true())
        raise ExchangeError(f"{path}: covered in {rows} is neither 0 nor 1.", "covered")
    return codes.cast(pl.Int8)


def _no_contradictions(table: pl.DataFrame, path: Path) -> None:
    twice = table.filter(pl.struct("gsa_par_id", "gsa_hol_id", "ua_grp_id").is_duplicated())
    if twice.height:
        shown = ", ".join(map(repr, twice["gsa_par_id"].unique(maintain_order=True).head(3)))
        raise ExchangeError(
            f"{path} has rows of one parcel, holding and group with different ranks or coverage, first "
            f"{shown}; keep one of each.",
            "contradiction",
        )
