"""What the columns of a parcel file probably are: by their names in many languages, and by their values."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import pandas as pd

from features.declarations.cells.numbers import read_numbers
from features.declarations.cells.text import code_text, text_column
from features.declarations.field_map import HECTARES_PER
from features.declarations.vector_file import FEATURE_ID

# names that agencies give, the more telling first; without accents, capitals and underscores
PARCEL = (
    "parcelid", "idparcel", "inspireid", "refid", "localid", "blockid", "fieldid", "parcel", "schlag", "mark",
    "numero", "^id$", "id$", "^id", "nr$",
)  # fmt: skip
HOLDING = (
    "holding", "farmer", "farm", "betrieb", "bedrijf", "landbouwer", "producer", "applicant", "beneficiary",
    "exploit", "journal", "cvr", "client", "owner", "kmgmid",
)  # fmt: skip
CODE = (
    "cropcode", "gewascode", "gwscod", "productco", "snarcode", "afgkode", "sifrakmrs", "kulturcode",
    "culturecode", "codecultu", "crop", "gewas", "kultur", "cultur", "afgrode", "kmrs", "grodkod", "usocod",
    "produto", "plodina", "kod", "code", "product",
)  # fmt: skip
SECOND = ("cropcode2", "crop2", "second", "gwscodn", "nateelt", "zweit", "cultured2", "efterafgr")
REGION = (
    "region", "nuts", "gemeente", "gemeinde", "municip", "kommun", "bezirk", "county", "prcgem", "obcina",
    "province", "district",
)  # fmt: skip
AID = ("intervention", "aidform", "scheme", "measure", "ecoscheme", "subsidy", "ordning")
YEAR = re.compile(r"(?<!\d)(20[1-9]\d)(?!\d)")
CLOSE = 0.2  # claims are within a fifth of the geometry
MOST_DISTINCT_SHARE = 0.6


@dataclass(frozen=True)
class Guess:
    """What was guessed.

    Attributes
    ----------
    fields
        Value of each key of `declarations.fields`.
    why
        The reason of each of them.
    """

    fields: dict[str, str | list[str]] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)


def guess_fields(
    raw: gpd.GeoDataFrame, area_ha: np.ndarray, known_codes: frozenset[str] = frozenset()
) -> Guess:
    """Guess which column holds what.

    Parameters
    ----------
    raw
        All columns of a parcel file, as `read_vector` returns them.
    area_ha
        Areas of the geometries, hectares, `(n,)`.
    known_codes
        Codes of a code table, by which the crop column is found.
    """
    columns = [str(name) for name in raw.columns if name not in (FEATURE_ID, raw.geometry.name)]
    texts = {name: text_column(raw[name], code_text) for name in columns}
    found = Guess()

    def take(key: str, column: str | list[str] | None, why: str) -> None:
        if column is not None:
            found.fields[key], found.why[key] = column, why

    area, unit = _area(raw, columns, area_ha)
    take("claimed_area", area, "its numbers are the areas of the geometries")
    if area is not None and unit != "ha":
        take("claimed_area_unit", unit, "the unit in which they agree")
    rest = [name for name in columns if name != area]
    if known_codes:
        take("code", *_by_codes(texts, rest, known_codes))
    if "code" not in found.fields:
        varied = sorted(rest, key=lambda name: -texts[name].nunique())  # the main crop before a second
        named = _named(varied, CODE, lambda name: _repeats(texts[name]))
        take("code", named, "its name, and few values that repeat")
    rest = [name for name in rest if name != found.fields.get("code")]
    take("code_second", _named(rest, SECOND, lambda name: _repeats(texts[name])), "its name")
    take("parcel_id", *_identity(texts, rest))
    used = found.fields.get("parcel_id", [])
    rest = [name for name in rest if name not in ([used] if isinstance(used, str) else used)]
    farm = _named(rest, HOLDING, lambda name: _repeats(texts[name], 0.9))
    take("holding", farm, "its name, and values that repeat")
    take("region", _named(rest, REGION, lambda name: _repeats(texts[name])), "its name")
    take("intervention", _named(rest, AID, lambda name: _repeats(texts[name])), "its name")
    return found


def season_in(text: str) -> int | None:
    """Return the year that a file's name holds, the first where it holds several: others are of its export.

    Examples
    --------
    >>> season_in("brpgewaspercelen_definitief_2023.gpkg"), season_in("parcels.gpkg")
    (2023, None)
    """
    years = YEAR.findall(text)
    return int(years[0]) if years else None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("ö", "o").replace("ø", "o").replace("å", "a"))


def _named(columns: list[str], names: tuple[str, ...], fits: Callable[[str], bool]) -> str | None:
    """Return the column with the most telling name, of those whose values fit."""
    ranked = [column for name in names for column in columns if re.search(name, _plain(column))]
    return next((column for column in ranked if fits(column)), None)


def _repeats(texts: pd.Series, most: float = MOST_DISTINCT_SHARE) -> bool:
    filled = texts.dropna()
    return bool(len(filled)) and filled.nunique() <= max(most * len(filled), 1)


def _by_codes(
    texts: Mapping[str, pd.Series], columns: list[str], known: frozenset[str]
) -> tuple[str | None, str]:
    shares = {name: float(texts[name].isin(known).mean()) for name in columns}
    best = max(shares, key=lambda name: shares[name], default=None)
    if best is None or shares[best] < 0.2:
        return None, ""
    return best, f"the code table knows {shares[best]:.0%} of its values"


def _identity(texts: Mapping[str, pd.Series], columns: list[str]) -> tuple[str | list[str] | None, str]:
    """Return the column, or the two, that tell parcels apart; none leaves the feature id."""

    def is_unique(name: str) -> bool:
        return bool(texts[name].notna().all() and texts[name].is_unique)

    named = _named(columns, PARCEL, is_unique)
    if named is not None:
        return named, "its name, and a value of its own for every parcel"
    likely = [name for name in columns if any(re.search(one, _plain(name)) for one in (*PARCEL, *HOLDING))]
    full = [name for name in likely if texts[name].notna().all()]
    for at, one in enumerate(full):
        for other in full[at + 1 :]:
            if not pd.DataFrame({"a": texts[one], "b": texts[other]}).duplicated().any():
                return [one, other], "together they have a value of their own for every parcel"
    return None, ""


def _area(raw: gpd.GeoDataFrame, columns: list[str], area_ha: np.ndarray) -> tuple[str | None, str]:
    """Return the column whose numbers are the geometries' areas in some unit, and the unit."""
    best: tuple[float, str | None, str] = (0.5, None, "ha")
    there = area_ha > 0
    for name in columns:
        for unit, hectares in HECTARES_PER.items():
            numbers = read_numbers(raw[name], unit).values * hectares
            both = there & (numbers > 0)
            share = float((np.abs(numbers[both] / area_ha[both] - 1) < CLOSE).sum() / max(there.sum(), 1))
            if share > best[0]:
                best = (share, name, unit)
    return best[1], best[2]
