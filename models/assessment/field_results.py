"""Field results: the journal they are kept in, what holds of them now, and what they settle."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from features.accounting import Tally
from features.journal.entries import Draft, Entry, Source
from models.assessment.reviewed import CORRECT, WRONG, AssessmentError

RESULTS = pl.Schema(
    {
        "parcel_id": pl.String,
        "season": pl.Int32,
        "declared": pl.String,
        "field_result": pl.String,  # correct or wrong
        "field_crop": pl.String,  # national code found in the field, or null
        "field_date": pl.String,  # YYYY-MM-DD, or null
        "entries": pl.String,  # numbers of the journal's entries that say so
    }
)
CONFLICTS = pl.Schema({"parcel_id": pl.String, "season": pl.Int32, "declared": pl.String, "says": pl.String})
SETTLED = {CORRECT: ("confirmed", "field_correct"), WRONG: ("contradicted", "field_wrong")}
FEWEST_TO_CORRECT = 60  # below it a 95% interval of a 5% rate spans more than 1 to 14%
RESULT, CORRECTION, UNDO = "result", "correction", "undo"
SAID = ("season", "declared", "field_result", "field_crop", "field_date", "remark", "evidence")


@dataclass(frozen=True)
class Present:
    """What a journal says now.

    Attributes
    ----------
    results
        Schema RESULTS, one row per parcel, season and declared code on which all entries agree.
    conflicts
        Schema CONFLICTS: parcels whose entries disagree; they settle nothing until a person resolves them.
    """

    results: pl.DataFrame
    conflicts: pl.DataFrame


def drafts_of(
    reviewed: pl.DataFrame, source: Source, entries: Sequence[Entry], by: str, *, correct: bool = False
) -> tuple[list[Draft], Tally]:
    """Return what a reviewed file adds to the journal.

    A row that the same file already gave, or that the same person already entered and that still holds, adds
    nothing: importing twice changes nothing.

    Parameters
    ----------
    reviewed
        Schema `models.assessment.reviewed.REVIEWED`.
    correct
        Whether a row replaces what the journal says of its parcel; else a row that differs is a conflict.
    """
    holding = active(entries)
    from_file = {
        (entry.subject, _said(entry.content))
        for entry in entries
        if entry.source is not None and entry.source.sha256 == source.sha256
    }
    same_person = {(entry.subject, _said(entry.content)) for entry in holding if entry.by == by}
    before: dict[tuple[str, Any, Any], list[Entry]] = {}
    for entry in holding:
        before.setdefault(_about(entry), []).append(entry)
    drafts = []
    for row in reviewed.iter_rows(named=True):
        content = {name: row[name] for name in SAID}
        if (row["parcel_id"], _said(content)) in from_file | same_person:
            continue
        replaced = before.get((row["parcel_id"], row["season"], row["declared"]), []) if correct else []
        numbers = {"replaces": [entry.number for entry in replaced]} if replaced else {}
        kind = CORRECTION if replaced else RESULT
        drafts.append(Draft(kind, row["parcel_id"], {**content, **numbers}, source))
    known = reviewed.height - len(drafts)
    return drafts, Tally(
        "journal", "results", reviewed.height, len(drafts), {"already_in_journal": known} if known else {}
    )


def undo(entries: Sequence[Entry], number: int) -> Draft:
    """Return the entry that takes entry `number` back; an undo may be undone.

    Raises
    ------
    AssessmentError
        Where there is no such entry, or it no longer holds.
    """
    if not 1 <= number <= len(entries):
        raise AssessmentError(f"There is no entry {number}; `cropcheck assess DIR --list` shows all.")
    if number in _void(entries):
        raise AssessmentError(f"Entry {number} was undone before.")
    return Draft(UNDO, str(number), {})


def active(entries: Sequence[Entry]) -> list[Entry]:
    """Return the results that hold: neither undone nor replaced by a correction that holds."""
    void = _void(entries)
    live = [entry for entry in entries if entry.kind in (RESULT, CORRECTION) and entry.number not in void]
    replaced = {number for entry in live for number in entry.content.get("replaces", ())}
    return [entry for entry in live if entry.number not in replaced]


def _void(entries: Iterable[Entry]) -> set[int]:
    """Return the numbers of entries that a later undo, itself not undone, takes back."""
    void: set[int] = set()
    for entry in reversed(list(entries)):
        if entry.kind == UNDO and entry.number not in void:
            void.add(int(entry.subject))
    return void


def known_by(entries: Sequence[Entry], day: date | None) -> list[Entry]:
    """Return the entries of a journal less results that were not known on a day; all where there is none.

    A result counts from the day of the visit; from the day it was entered where that was not given.
    """
    return [
        entry
        for entry in entries
        if day is None
        or entry.kind == UNDO
        or str(entry.content.get("field_date") or entry.at)[:10] <= day.isoformat()
    ]


def present(entries: Sequence[Entry]) -> Present:
    """Derive what holds now from a journal's entries."""
    about: dict[tuple[str, Any, Any], list[Entry]] = {}
    for entry in active(entries):
        about.setdefault(_about(entry), []).append(entry)
    results, conflicts = [], []
    for (parcel, season, declared), said in sorted(about.items(), key=str):
        if len(_distinct(said, "field_result")) > 1 or len(_distinct(said, "field_crop")) > 1:
            conflicts.append((parcel, season, declared, "; ".join(map(_words, said))))
            continue
        facts = [_distinct(said, name) for name in ("field_result", "field_crop", "field_date")]
        numbers = ", ".join(str(entry.number) for entry in said)
        results.append((parcel, season, declared, *(fact[-1] if fact else None for fact in facts), numbers))
    return Present(
        pl.DataFrame(results, schema=RESULTS, orient="row"),
        pl.DataFrame(conflicts, schema=CONFLICTS, orient="row"),
    )


def listing(entries: Sequence[Entry]) -> list[str]:
    """Return a line for every entry: number, when, who, what, and whether it still holds."""
    void, holding = _void(entries), {entry.number for entry in active(entries)}
    at_odds = set(present(entries).conflicts["parcel_id"])
    lines = []
    for entry in entries:
        if entry.kind == UNDO:
            what, state = f"undoes entry {entry.subject}", "undone" if entry.number in void else ""
        else:
            what = f"parcel {entry.subject} {_words(entry)}"
            gone = "undone" if entry.number in void else "corrected later"
            open_ = "IN CONFLICT" if entry.subject in at_odds else ""
            state = open_ if entry.number in holding else gone
        source = f" from {entry.source.file} ({entry.source.sha256[:12]})" if entry.source else ""
        lines.append(
            f"{entry.number:>5}  {entry.at}  {entry.by}: {what}{source}" + f"  [{state}]" * bool(state)
        )
    return lines


def _about(entry: Entry) -> tuple[str, Any, Any]:
    return entry.subject, entry.content.get("season"), entry.content.get("declared")


def _said(content: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(content.get(name) for name in SAID)


def _distinct(said: Sequence[Entry], name: str) -> list[Any]:
    known = [entry.content.get(name) for entry in said]
    return list(dict.fromkeys(value for value in known if value is not None))


def _words(entry: Entry) -> str:
    crop, day = entry.content.get("field_crop"), entry.content.get("field_date")
    what = f"{entry.content.get('field_result')}{f', found {crop}' if crop else ''}"
    return f"{what}{f', visited {day}' if day else ''} (entry {entry.number}, {entry.by})"


def settle(verdicts: pl.DataFrame, results: pl.DataFrame) -> pl.DataFrame:
    """Give visited parcels the verdict that the field gave; they leave the follow-up list for good.

    A result holds for the season and the declared code that were visited: an amended declaration is judged
    anew, unless it now names the crop that was found.
    """
    seen = results.select("parcel_id", "season", "field_result", "field_crop", visited_code="declared")
    both = verdicts.select("parcel_id", "season", "declared").join(seen, on=["parcel_id", "season"])
    same = pl.col("declared").eq_missing(pl.col("visited_code"))
    amended = pl.col("field_crop").is_not_null() & (pl.col("field_crop") == pl.col("declared"))
    field = pl.when(same).then("field_result").when(amended).then(pl.lit(CORRECT)).otherwise(None)
    held = both.with_columns(field=field, same=same).filter(pl.col("field").is_not_null())
    held = held.sort("same", descending=True).unique("parcel_id", keep="first").select("parcel_id", "field")
    settled = verdicts.join(held, on="parcel_id", how="left", maintain_order="left", validate="1:1")
    known = pl.col("field").is_not_null()
    return settled.with_columns(
        verdict=pl.when(known).then(_settled(0)).otherwise("verdict"),
        reason=pl.when(known).then(_settled(1)).otherwise("reason"),
        q_value=pl.when(known).then(None).otherwise("q_value"),
    ).select(verdicts.columns)


def _settled(place: int) -> pl.Expr:
    return pl.col("field").replace_strict({name: pair[place] for name, pair in SETTLED.items()}, default=None)


def corrected_rates(
    promised: Mapping[str, float], table: pl.DataFrame, fewest: int = FEWEST_TO_CORRECT
) -> dict[str, dict[str, float | int | str]]:
    """Replace promised rates by what the field showed, where it showed enough.

    A promise is kept while fewer than `fewest` results bear on it or the interval still holds it; otherwise
    the estimate takes its place.

    Parameters
    ----------
    promised
        Rates by measure (`false_alarm_rate`, `commission`, `omission`, `wrong_rate`), over counts.
    table
        Schema ASSESSMENT.

    Returns
    -------
    dict
        By measure `promised, value, low, high, n` and `source`: promise or field.
    """
    counts = {row["measure"]: row for row in table.filter(pl.col("unit") == "count").to_dicts()}
    corrected: dict[str, dict[str, float | int | str]] = {}
    for name, rate in promised.items():
        found = counts.get(name)
        if found is None or found["n"] < fewest or found["low"] <= rate <= found["high"]:
            corrected[name] = {
                "promised": rate,
                "value": rate,
                "source": "promise",
                "n": found["n"] if found else 0,
            }
        else:
            figures = {key: found[key] for key in ("value", "low", "high", "n")}
            corrected[name] = {"promised": rate, "source": "field", **figures}
    return corrected
