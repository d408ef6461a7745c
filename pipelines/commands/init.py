"""A first config, written from a parcel file's own columns."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyproj

from features.declarations.cells.text import looks_broken, text_column
from features.declarations.crop_codes import read_crop_table
from features.declarations.geometry.repair import horizontal, repair, surveyed_area_ha
from features.declarations.guess import Guess, guess_fields, season_in
from features.declarations.options import CropTableOptions
from features.declarations.vector_file import Request, read_vector
from features.errors import CropcheckError, DeclarationError
from features.files import write_text
from pipelines.yamlfile import parse_yaml

KEYS = (
    "parcel_id",
    "holding",
    "code",
    "code_second",
    "intervention",
    "region",
    "claimed_area",
    "claimed_area_unit",
)
NOT_FOUND = {
    "parcel_id": "no column tells parcels apart: the layer's feature id serves",
    "holding": "none found: folds go by spatial block",
    "code": "none found: name the column of the crop codes",
    "claimed_area": "none found",
}
GUESSED_YEAR = 2024


@dataclass(frozen=True)
class Draft:
    """A config as text, and what to tell its writer."""

    text: str
    said: list[str]


@dataclass(frozen=True)
class Source:
    """A parcel file, the layer or member of it, and the table of its codes where one is at hand."""

    path: str
    layer: str | None = None
    member: str | None = None
    codes: Path | None = None


def write_config(source: Source, to: Path | None = None) -> str:
    """Write a config for a parcel file; return what was guessed and what is left to fill in.

    Raises
    ------
    CropcheckError
        Where the file cannot be read, or the config exists already.
    """
    name = _name_of(source.path)
    path = to or Path(f"{name}.yaml")
    if path.exists():
        raise CropcheckError(f"{path} exists already; name another file with --out.")
    drafted = draft(source, name)
    write_text(path, drafted.text)
    return "\n".join([f"Wrote {path}.", *drafted.said, f"Then: cropcheck check {path} --only declarations"])


def draft(source: Source, name: str) -> Draft:
    """Return the config of a parcel file, each guess with its reason."""
    raw = read_vector(source.path, Request(None, source.layer), source.member)
    if raw.empty:
        raise DeclarationError(f"The parcel file {source.path} holds no parcels; check its layer.")
    tables = CropTableOptions(tables=(source.codes,) if source.codes else ())
    area_ha, place = _areas(raw, source.path)
    found = guess_fields(raw, area_ha, frozenset(read_crop_table(tables)["code"]))
    year = season_in(Path(source.path).name)
    text = _text(source, name, found, year or GUESSED_YEAR, needs_crs=place is None)
    parse_yaml(text, "the drafted config")
    return Draft(text, _said(raw, found, year, source.codes, place))


def _areas(raw: gpd.GeoDataFrame, parcels: str) -> tuple[np.ndarray, str | None]:
    """Return hectares and the name of the CRS; nothing is known of areas where the file names none."""
    if raw.crs is None:
        return np.zeros(len(raw)), None
    series = raw.geometry.set_crs(horizontal(pyproj.CRS(raw.crs), parcels), allow_override=True)
    return surveyed_area_ha(repair(series)[0], series.crs), str(series.crs.name)


def _text(source: Source, name: str, found: Guess, year: int, needs_crs: bool) -> str:
    lines = [
        f"# Written by `cropcheck init {Path(source.path).name}`; every key is in conf/REFERENCE.md.",
        f"name: {name}", "",
        "season:", f"  year: {year}", f"  start: {year}-01-01", f"  end: {year}-10-31", "",
        "declarations:", f"  path: {_quoted(source.path)}",
    ]  # fmt: skip
    lines += [f"  layer: {_quoted(source.layer)}"] if source.layer else []
    lines += [f"  member: {_quoted(source.member)}"] if source.member else []
    lines += ["  crs: null  # the file names none: write it, for example EPSG:28992"] if needs_crs else []
    lines.append("  fields:")
    for key in KEYS:
        if key in found.fields:
            lines.append(f"    {key}: {_value(found.fields[key])}  # {found.why[key]}")
        elif key in NOT_FOUND:
            lines.append(f"    # {key}:  # {NOT_FOUND[key]}")
    missing = "[national_codes.csv]  # code, name, hcat_code; see conf/agencies"
    tables = f"[{_quoted(str(source.codes))}]" if source.codes else missing
    lines += [
        "  crops:", f"    tables: {tables}", "", "imagery:",
        "  catalog: earth_search  # or planetary_computer, cdse, an API's address, a catalog on disk",
        "  max_cloud_cover: 90",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _said(
    raw: gpd.GeoDataFrame, found: Guess, year: int | None, codes: Path | None, place: str | None
) -> list[str]:
    told = [f"{len(raw)} parcels, {'in ' + place if place else 'without a coordinate system: set `crs`'}."]
    told += [f"Guessed {key}: {_value(value)} ({found.why[key]})." for key, value in found.fields.items()]
    told += [f"Not guessed {key}: {why}." for key, why in NOT_FOUND.items() if key not in found.fields]
    told.append(f"Season {year}, from the file's name." if year else f"Season {GUESSED_YEAR}: please check.")
    if codes is None:
        told.append("Name the table of your crop codes in `declarations.crops.tables`.")
    columns = [raw[name] for name in raw.columns if name != raw.geometry.name]
    broken = looks_broken(text for column in columns for text in text_column(column).dropna().unique())
    return [*told, f"Letters look wrong ({broken[0]!r}); see `declarations.encoding`."] if broken else told


def _name_of(parcels: str) -> str:
    stem = re.sub(r"[^A-Za-z0-9]+", "_", Path(parcels).name.split(".")[0])
    return stem.strip("_")[:40] or "region"


def _value(value: str | list[str]) -> str:
    return _quoted(value) if isinstance(value, str) else f"[{', '.join(map(_quoted, value))}]"


def _quoted(text: str) -> str:
    """Return a text as YAML reads it back: bare where it is plain, else in double quotes."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_./-]*", text) and text not in ("null", "true", "false")
    return text if plain else json.dumps(text, ensure_ascii=False)
