"""Codes that no table knows: on how many parcels, what they may be, and the setting that would map them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import geopandas as gpd
import polars as pl

from features.declarations.cells.text import looks_broken
from features.declarations.crop_codes import column_headings, read_crop_table
from features.declarations.field_map import FieldOptions
from features.declarations.options import CropTableOptions
from features.messages.suggestions import nearest

LISTED = 10
SEPARATORS = (";", "+", "/", "|", ",", "&")
ENCODINGS = ("utf-8", "cp1250", "cp1252", "cp1257", "iso8859-2", "cp852", "cp437")


@dataclass(frozen=True)
class Tables:
    """The code tables as they are looked up: rows, and the options that spell their codes."""

    crops: pl.DataFrame
    options: CropTableOptions

    def known(self, options: CropTableOptions | None = None) -> frozenset[str]:
        """Return the keys of the codes that have a class, as other options would write them."""
        classed = self.crops.filter(pl.col("crop_class").is_not_null())
        return frozenset(map((options or self.options).key, classed["code"]))


def report_unmapped(frame: gpd.GeoDataFrame, crops: CropTableOptions, fields: FieldOptions) -> list[str]:
    """Return lines on the codes that no table knows: settings that would map them, then the commonest.

    Parameters
    ----------
    frame
        Declarations with `declared` and `reason`.

    Returns
    -------
    list of str
        Empty where every code is mapped.
    """
    aside = frame["declared"][(frame["reason"] == "unmapped_code")]
    if aside.empty:
        return []
    counts = {str(code): int(count) for code, count in aside.value_counts().items()}
    tables = Tables(read_crop_table(crops), crops)
    if not crops.tables:
        return ["No code table is named; set `declarations.crops.tables`."]
    classless = {code: count for code, count in counts.items() if code in set(tables.crops["code"])}
    unknown = {code: count for code, count in counts.items() if code not in classless}
    lines = _without_class(classless, tables.crops)
    if unknown:
        lines.append(
            f"{sum(unknown.values())} parcels have {len(unknown)} codes of `{fields.code}` that the code "
            "tables do not know."
        )
        lines += [*advice(unknown, tables, fields), *_listed(unknown, tables.crops)]
    return lines


def _without_class(counts: Mapping[str, int], crops: pl.DataFrame) -> list[str]:
    """Return a line on the codes whose row gives no class, so that nothing can be compared with them."""
    if not counts:
        return []
    names = dict(crops.select("code", "name").iter_rows())
    told = ", ".join(f"{code!r} {names[code] or ''}".rstrip() for code in list(counts)[:LISTED])
    more = f" and {len(counts) - LISTED} more" if len(counts) > LISTED else ""
    return [
        f"{sum(counts.values())} parcels have codes whose row in the code tables gives neither a class nor "
        f"an HCAT3 code of one: {told}{more}."
    ]


def _listed(counts: Mapping[str, int], crops: pl.DataFrame) -> list[str]:
    """Return a line a code with its parcels and the nearest row, the commonest first."""
    rows = {row["code"]: row["name"] or row["crop_class"] or "" for row in crops.iter_rows(named=True)}
    by_text = {**{name: code for code, name in rows.items() if name}, **{code: code for code in rows}}
    lines = []
    for code, count in list(counts.items())[:LISTED]:
        near = nearest(code[:80], by_text)
        hint = f"; nearest row {by_text[near]!r} {rows[by_text[near]]}".rstrip() if near else ""
        lines.append(f"  {code[:80]!r} on {count} parcels{hint}")
    more = len(counts) - LISTED
    return [*lines, f"  and {more} more codes"] if more > 0 else lines


def advice(counts: Mapping[str, int], tables: Tables, fields: FieldOptions) -> list[str]:
    """Return the settings that would map unmapped codes, each with the parcels that it would map."""
    return [line for offer in OFFERS for line in offer(counts, tables, fields)]


def _mapped(counts: Mapping[str, int], is_known: Callable[[str], bool]) -> int:
    return sum(count for code, count in counts.items() if is_known(code))


def _knower(known: frozenset[str], options: CropTableOptions) -> Callable[[str], bool]:
    return lambda code: options.key(code) in known


def _offer_pad(counts: Mapping[str, int], tables: Tables, _: FieldOptions) -> list[str]:
    """Zeros that one side lost: `88` in the file is `088` in the table."""
    widths = {min(len(code), 20) for code in (*tables.crops["code"], *counts)}
    offers = [tables.options.model_copy(update={"pad": width}) for width in sorted(widths)]
    # where two codes of the table would become one, zeros tell them apart
    keeping = [offer for offer in offers if len(tables.known(offer)) == len(tables.known())]
    gains = [_mapped(counts, _knower(tables.known(offer), offer)) for offer in keeping]
    if not any(gains):
        return []
    most = [offer for offer, gain in zip(keeping, gains, strict=True) if gain == max(gains)]
    best = max(most, key=lambda offer: sum(offer.spelled(code) == code for code in tables.crops["code"]))
    example = next(code for code in counts if best.key(code) in tables.known(best))
    return [
        f"Leading zeros differ between the file and the tables ({example!r} is {best.spelled(example)!r} "
        f"there): with `declarations.crops.pad: {best.pad}` {max(gains)} of these parcels are mapped."
    ]


def _offer_case(counts: Mapping[str, int], tables: Tables, _: FieldOptions) -> list[str]:
    loose = tables.options.model_copy(update={"ignore_case": True})
    gained = _mapped(counts, _knower(tables.known(loose), loose))
    how = "with `declarations.crops.ignore_case: true`"
    return [f"Codes differ in capitals: {how} {gained} of these parcels are mapped."] if gained else []


def _offer_signs(counts: Mapping[str, int], tables: Tables, _: FieldOptions) -> list[str]:
    """Dashes and points that one side lost: `1101060000` in the file is `11-01-06-000-0` in the table."""
    loose = tables.options.model_copy(update={"ignore_signs": True})
    gained = _mapped(counts, _knower(tables.known(loose), loose))
    keeps = len(tables.known(loose)) == len(tables.known())  # else signs tell codes apart
    how = "with `declarations.crops.ignore_signs: true`"
    told = f"Codes differ in dashes, points or spaces: {how} {gained} of these parcels are mapped."
    return [told] if gained and keeps else []


def _offer_column(counts: Mapping[str, int], tables: Tables, _: FieldOptions) -> list[str]:
    """The file holds names, or HCAT3 codes, where codes are looked up."""
    headings = column_headings(tables.options.tables[0], tables.options)
    lines = []
    for ours, what in (("name", "names of crops"), ("hcat_code", "HCAT3 codes")):
        texts = frozenset(tables.options.key(text) for text in tables.crops[ours] if text)
        gained = _mapped(counts, _knower(texts, tables.options))
        if gained and ours in headings:
            lines.append(
                f"The file holds {what}: with `declarations.crops.code_column: {headings[ours]}` "
                f"{gained} of these parcels are mapped."
            )
    return lines


def _offer_separator(counts: Mapping[str, int], tables: Tables, fields: FieldOptions) -> list[str]:
    if fields.code_separator is not None:
        return []
    known = tables.known()

    def gained(separator: str) -> int:
        return _mapped(counts, lambda code: separator in code and _first_of(code, separator, tables) in known)

    best = max(SEPARATORS, key=gained)
    told = (
        f"Cells name several crops: with `declarations.fields.code_separator: {best!r}` "
        f"{gained(best)} of these parcels are mapped, by the first."
    )
    return [told] if gained(best) else []


def _first_of(code: str, separator: str, tables: Tables) -> str:
    return tables.options.key(code.split(separator, maxsplit=1)[0])


def _offer_encoding(counts: Mapping[str, int], tables: Tables, _: FieldOptions) -> list[str]:
    """Letters in a wrong encoding: read again in another, the codes are those of the table."""
    broken = looks_broken(counts)
    if broken is None:
        return []
    is_known = _knower(tables.known(), tables.options)
    for encoding in ENCODINGS:
        again = [(_read_again(code, encoding), count) for code, count in counts.items()]
        gained = sum(count for code, count in again if is_known(code))
        if gained:
            return [
                f"Letters were read in a wrong encoding ({broken[0]!r}): with `declarations.encoding: "
                f"{encoding}` {gained} of these parcels are mapped."
            ]
    return []


def _read_again(text: str, encoding: str) -> str:
    for wrong in ("latin-1", "cp1252"):
        try:
            return text.encode(wrong).decode(encoding)
        except UnicodeError:
            continue
    return text


Offer = Callable[[Mapping[str, int], Tables, FieldOptions], Iterable[str]]
OFFERS: tuple[Offer, ...] = (
    _offer_pad,
    _offer_case,
    _offer_signs,
    _offer_column,
    _offer_separator,
    _offer_encoding,
)
