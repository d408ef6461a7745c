"""The Commission's ranked list of parcels, and an agency's own targets for its buckets."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from features.exchange.cells import (
    Coded,
    ExchangeError,
    need_columns,
    read_cells,
    read_coded,
    rows_shown,
    unfloat,
)
from features.messages.listed import listed
from features.messages.suggestions import did_you_mean

TEXT = pl.Categorical()  # ids and groups repeat
RANKED = pl.Schema(
    {
        "gsa_par_id": TEXT,
        "gsa_hol_id": TEXT,
        "ua_grp_id": TEXT,  # group of unit amounts: a bucket of the sample
        "covered": pl.Int8(),  # 1 where a very-high-resolution image covers the parcel; null: not stated
        "ranking": pl.Int64(),  # place of the parcel, best first
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
    columns = read_coded(path)
    need_columns(pl.DataFrame(schema=list(columns)), NEEDED, path)
    _no_gaps(columns, path)
    notes: list[str] = []
    ids = {"ua_grp_id": columns["ua_grp_id"]}
    for name in ("gsa_par_id", "gsa_hol_id"):
        texts, floated = unfloat(columns[name].texts)
        ids[name] = columns[name].with_texts(texts)
        if floated:
            notes.append(
                f"{name}: every id ends in .0, which was taken off; leading zeros may be lost, so export the "
                "list with ids as text."
            )
    cells = {name: column.column(name) for name, column in ids.items()}
    cells |= {"ranking": _rank(columns["ranking"], path), "covered": _covered(columns, path, notes)}
    table = pl.DataFrame([cells[name].cast(kind).alias(name) for name, kind in RANKED.items()])
    parcel, holding, group = (ids[name].codes.astype(np.int64) for name in NEEDED[:3])
    whole = table
    if not _all_differ(_pair(parcel if _settles(parcel, holding) else _pair(parcel, holding), group)):
        whole = table.unique(maintain_order=True)
        _no_contradictions(whole, path)
        repeats = table.height - whole.height
        if repeats:
            notes.append(f"{repeats} rows repeat another row and were left out.")
    return RankedList(whole, [*notes, *_rank_notes(table["ranking"].to_numpy(), parcel)])


def _pair(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return a number for each pair of codes, densely."""
    both = one * (int(other.max(initial=0)) + 1) + other
    return np.asarray(np.unique(both, return_inverse=True)[1]) if both.max(initial=0) > 2**24 else both


def _all_differ(codes: np.ndarray) -> bool:
    return bool(np.bincount(codes).max(initial=0) <= 1)


def _settles(codes: np.ndarray, values: np.ndarray) -> bool:
    """Return whether each code has one value in all its rows."""
    last = np.zeros(int(codes.max(initial=0)) + 1, dtype=values.dtype)
    last[codes] = values
    return bool((last[codes] == values).all())


def _rank_notes(ranks: np.ndarray, parcel: np.ndarray) -> list[str]:
    parcels, distinct = int(parcel.max(initial=-1)) + 1, pl.Series(ranks).n_unique()
    one_rank = _settles(parcel, ranks)
    pairs = parcels if one_rank else pl.DataFrame({"parcel": parcel, "rank": ranks}).n_unique()
    notes = []
    if pairs > distinct:
        notes.append(
            f"{parcels} parcels have {distinct} ranks: some ranks are shared, and their parcels are taken "
            "as the file has them."
        )
    if not one_rank:
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
            f"{path} has targets for groups that the list does not have: {listed(unknown)}.{near} "
            f"The list has {listed(groups)}.",
            "unknown_group",
        )
    missing = [name for name in groups if name not in names]
    if missing or len(set(names)) < len(names):
        what = f"no target for {listed(missing)}" if missing else "a group twice"
        raise ExchangeError(f"{path} has {what}; name every group once, with 0 to leave it out.", "targets")
    targets = cells["target"].str.replace(r"\.0+$", "").cast(pl.Int64, strict=False)
    bad = targets.is_null() | (targets.fill_null(0) < 0)
    if bad.any():
        raise ExchangeError(
            f"{path}: the target in {rows_shown(bad.arg_true())} is no whole number from 0.", "targets"
        )
    return dict(zip(names, targets.to_list(), strict=True))


def _no_gaps(columns: dict[str, Coded], path: Path) -> None:
    for name in NEEDED:
        gaps = columns[name].rows(columns[name].texts.is_null())
        if len(gaps):
            raise ExchangeError(f"{path} has no {name} in {rows_shown(gaps)}; fill it in.", "empty_cell")
    if not len(columns[NEEDED[0]].codes):
        raise ExchangeError(f"{path} has a heading but no rows.", "empty")


def _rank(cells: Coded, path: Path) -> pl.Series:
    ranks = cells.texts.str.replace(r"\.0+$", "").cast(pl.Int64, strict=False)
    if ranks.null_count():
        rows = rows_shown(cells.rows(ranks.is_null()))
        raise ExchangeError(f"{path}: the ranking in {rows} is no whole number.", "ranking")
    return pl.Series(ranks.to_numpy()[cells.codes])


def _covered(columns: dict[str, Coded], path: Path, notes: list[str]) -> pl.Series:
    if "covered" not in columns:
        notes.append("The list has no column `covered`: which parcels images cover is not known.")
        rows = len(columns[NEEDED[0]].codes)
        return pl.Series("covered", [None], dtype=pl.Int8).extend_constant(None, rows - 1)
    cells = columns["covered"]
    words = cells.texts.str.to_lowercase()
    known = words.replace_strict({**dict.fromkeys(YES, 1), **dict.fromkeys(NO, 0)}, default=None)
    if known.null_count():
        rows_named = rows_shown(cells.rows(known.is_null()))
        raise ExchangeError(f"{path}: covered in {rows_named} is neither 0 nor 1.", "covered")
    return pl.Series(known.cast(pl.Int8).to_numpy()[cells.codes])


def _no_contradictions(table: pl.DataFrame, path: Path) -> None:
    twice = table.filter(pl.struct("gsa_par_id", "gsa_hol_id", "ua_grp_id").is_duplicated())
    if twice.height:
        shown = ", ".join(map(repr, twice["gsa_par_id"].cast(pl.String).unique(maintain_order=True).head(3)))
        raise ExchangeError(
            f"{path} has rows of one parcel, holding and group with different ranks or coverage, first "
            f"{shown}; keep one of each.",
            "contradiction",
        )
