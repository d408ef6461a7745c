"""A season's crop declarations: from an agency's file to a validated table that accounts for every parcel."""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import polars as pl
import pyproj
import shapely

from features.accounting import Tally, tally
from features.declarations.cells.numbers import Numbers, read_numbers
from features.declarations.cells.text import (
    code_text,
    looks_broken,
    refuse_inexact,
    split_codes,
    text_column,
)
from features.declarations.crop_codes import read_crop_table
from features.declarations.field_map import HECTARES_PER
from features.declarations.geometry.checks import check_geometry
from features.declarations.geometry.placement import misplaced, share_on_globe, swapped_axes
from features.declarations.geometry.repair import (
    NO_POLYGON,
    horizontal,
    parse_crs,
    repair,
    surveyed_area_ha,
    to_metric,
)
from features.declarations.identity import parcel_ids
from features.declarations.options import DeclarationOptions
from features.declarations.pseudonym import KEY_BYTES, pseudonym
from features.declarations.unmapped import report_unmapped
from features.declarations.vector_file import Request, read_vector
from features.errors import DeclarationError
from features.messages.listed import listed
from features.schema import DECLARATION_COLUMNS, check_declarations

logger = logging.getLogger(__name__)
# claims that are this many times the geometry, at the median, are in another unit
LARGEST_DEGREES2 = 0.01  # of a parcel, were its coordinates degrees: a square of 10 km
LARGEST_KM2 = 1.0  # of a parcel, were its coordinates kilometres; no parcel has one square metre
OTHER_UNITS = {"ha": {1e4: "m2", 1e2: "are"}, "are": {1e2: "m2", 1e-2: "ha"}, "m2": {1e-4: "ha", 1e-2: "are"}}


@dataclass(frozen=True)
class Shapes:
    """The geometries of a file, repaired: why one was invalid or misplaced, "" elsewhere, and hectares."""

    geometries: gpd.GeoSeries
    faults: np.ndarray
    misplaced: np.ndarray
    area_ha: np.ndarray


def read_declarations(
    options: DeclarationOptions, season: int, key: bytes | None = None
) -> tuple[gpd.GeoDataFrame, Tally, pl.DataFrame]:
    """Read, map and check the declarations of one season.

    Parameters
    ----------
    key
        Secret of the holdings' pseudonyms (see `features.declarations.pseudonym.holding_key`); random where
        omitted, so that two calls then give different pseudonyms.

    Returns
    -------
    gpd.GeoDataFrame
        Columns `DECLARATION_COLUMNS`, one row per row of the file, sorted as the file is.
    Tally
        Parcels in, usable, and set aside by `reason`.
    pl.DataFrame
        Findings of the geometry checks, schema `features.declarations.geometry.checks.CHECKS`.

    Raises
    ------
    DeclarationError
        Where the file cannot be read, lacks columns or a coordinate system, or repeats a parcel id.
    """
    if not options.path:
        raise DeclarationError("No parcel file is named; set `declarations.path`.")
    fields = options.fields.columns()
    request = Request(
        fields, options.layer, options.encoding, options.most_parcels, options.most_unpacked_gib
    )
    raw = read_vector(options.path, request, options.member)
    if raw.empty:
        raise DeclarationError(f"The parcel file {options.path} holds no parcels; check its layer.")
    (ids, unreadable), shapes, claimed, declared = _all_of(
        lambda: parcel_ids(raw, options.fields, options.path),
        lambda: _shapes(raw, options),
        lambda: _claimed(raw, options),
        lambda: _attributes(raw, options, season, key or secrets.token_bytes(KEY_BYTES)),
    )
    declared = declared.assign(parcel_id=ids, area_ha=shapes.area_ha, claimed_area_ha=claimed.values)
    declared["reason"] = _reasons(declared, shapes, unreadable)
    *columns, geometry = DECLARATION_COLUMNS
    columns += ["organic"] if options.fields.organic else []
    frame = gpd.GeoDataFrame(declared, geometry=shapes.geometries)[[*columns, geometry]]
    checks = check_geometry(
        ids, shapes.geometries, shapes.faults, claimed.values, options.checks,
        areas=shapes.area_ha, misplaced=shapes.misplaced, unread=claimed.unread,
    )  # fmt: skip
    _warn(frame, claimed, options)
    counted = tally("declarations", "parcels", declared["reason"])
    logger.info("%s", counted)
    return check_declarations(frame), counted, checks


def _all_of(*steps: Callable[[], Any]) -> list[Any]:
    """Return what the steps return; raise one DeclarationError that tells what is wrong with all of them."""
    results, told = [], []
    for step in steps:
        try:
            results.append(step())
        except DeclarationError as error:
            told.append(str(error))
    if told:
        raise DeclarationError("\n".join(told))
    return results


def refuse_if_none_usable(
    frame: gpd.GeoDataFrame, options: DeclarationOptions, checks: pl.DataFrame | None = None
) -> None:
    """Raise a DeclarationError where no parcel can be checked, before any pixel is read.

    The message counts the reasons, and lists the codes that no table knows and geometries that are no areas.
    """
    if frame["reason"].isna().any():
        return
    counts = ", ".join(f"{reason} {count}" for reason, count in frame["reason"].value_counts().items())
    told = report_unmapped(frame, options.crops, options.fields)
    details = [] if checks is None else checks["detail"].drop_nulls().unique().sort().to_list()
    kinds = [detail for detail in details if detail.endswith(NO_POLYGON)]
    if kinds:
        told = [*told, f"{'; '.join(kinds)}: name the layer or file that holds the parcels' areas."]
    if (frame["reason"] == "no_code").any():
        told = [*told, f"The column `{options.fields.code}` is empty; name another in `fields.code`."]
    raise DeclarationError(
        "\n".join([f"None of the {len(frame)} parcels of {options.path} can be checked ({counts}).", *told])
    )


def _shapes(raw: gpd.GeoDataFrame, options: DeclarationOptions) -> Shapes:
    """Return the geometry in a metric CRS; what is misplaced is emptied, so that it widens nothing."""
    series = _located(raw.geometry, options)
    why = misplaced(series, options.checks.farthest_km)
    if (why != "").any():
        series = series.where(why == "", shapely.Polygon())
    geometries, faults = repair(to_metric(series, options.metric_crs))
    return Shapes(geometries, faults, why, surveyed_area_ha(geometries, series.crs))


def _located(series: gpd.GeoSeries, options: DeclarationOptions) -> gpd.GeoSeries:
    """Return the geometry with a horizontal CRS that has a place on the globe."""
    if options.crs is not None:
        series = series.set_crs(parse_crs(options.crs, "crs"), allow_override=True)
    if series.crs is None:
        raise DeclarationError(
            f"{options.path} does not say its coordinate system; set `crs`, for example EPSG:28992."
        )
    series = series.set_crs(horizontal(pyproj.CRS(series.crs), options.path), allow_override=True)
    if options.swap_axes:
        series = series.transform(lambda points: points[:, ::-1])
    if series.crs.is_geographic and _beyond_degrees(series):
        raise DeclarationError(
            f"{options.path} says that it is in degrees ({series.crs.name}), but its coordinates are not; "
            "set `crs` to the system that they are in."
        )
    if series.crs.is_projected:
        _refuse_other_unit(series, options.path)
    _refuse_swapped(series, options.path)
    _refuse_nowhere(series, options.path)
    return series


def _refuse_swapped(series: gpd.GeoSeries, path: str) -> None:
    """Raise a DeclarationError where x and y are surely swapped; log where they may be."""
    found = swapped_axes(series)
    if found is None:
        return
    told = f"The axes of {path} look swapped: {found.detail}"
    if found.is_sure:
        raise DeclarationError(f"{told} Set `declarations.swap_axes: true`, or write the file again.")
    logger.warning("%s If so, set `declarations.swap_axes: true`.", told)


def _beyond_degrees(series: gpd.GeoSeries) -> bool:
    """Say whether most geometries lie outside the globe: metres taken for degrees."""
    bounds = np.abs(series.bounds.dropna().to_numpy())
    return bool(len(bounds)) and float((bounds > (360, 90, 360, 90)).any(axis=1).mean()) > 0.5


def _refuse_other_unit(series: gpd.GeoSeries, path: str) -> None:
    """Raise a DeclarationError where coordinates of a system of metres are none, so that areas vanish."""
    areas = series.area[series.area > 0]
    if areas.empty or float(areas.median()) >= LARGEST_KM2:
        return
    told = f"{path} says that it is in {series.crs.name}, but its coordinates "
    within = bool((np.abs(series.bounds.dropna().to_numpy()) <= (360, 90, 360, 90)).all())
    if within and float(areas.median()) < LARGEST_DEGREES2:
        raise DeclarationError(
            f"{told}look like degrees; set `crs` to the system that they are in, such as EPSG:4326."
        )
    if not within:
        raise DeclarationError(f"{told}look like kilometres; export it again in metres.")


def _refuse_nowhere(series: gpd.GeoSeries, path: str) -> None:
    """Raise a DeclarationError where most geometries lie nowhere on the globe."""
    if share_on_globe(series) > 0.5:
        return
    west, south, *_ = series.bounds.dropna().to_numpy()[0]
    raise DeclarationError(
        f"{path} says that it is in {series.crs.name}, but its coordinates lie nowhere in it, such as "
        f"{west:.0f}, {south:.0f}: they may be in another unit, or begin with the number of their zone (as "
        "in EPSG:4647); set `crs` to the system that they are in, or export it again."
    )


def _attributes(raw: gpd.GeoDataFrame, options: DeclarationOptions, season: int, key: bytes) -> pd.DataFrame:
    fields = options.fields
    texts = {"holding_id": fields.holding, "intervention": fields.intervention, "region": fields.region}
    texts |= {"organic": fields.organic} if fields.organic else {}
    for name in (fields.holding, fields.code, fields.code_second):
        if name is not None:
            refuse_inexact(raw[name], name, options.path)
    frame = pd.DataFrame({ours: _text(raw, theirs) for ours, theirs in texts.items()}, index=raw.index)
    pseudonyms = {holding: pseudonym(holding, key) for holding in frame["holding_id"].dropna().unique()}
    frame["holding_id"] = _look_up(frame["holding_id"], pseudonyms)
    frame["season"] = season
    frame["declared"], frame["declared_second"] = _codes(raw, options)
    crops = read_crop_table(options.crops)
    rows = {options.crops.key(row["code"]): row for row in crops.iter_rows(named=True)}
    codes = [None if code is None else rows.get(options.crops.key(code)) for code in frame["declared"]]
    frame["known"] = [row is not None for row in codes]
    as_in_table = [row["code"] if row else code for code, row in zip(frame["declared"], codes, strict=True)]
    frame["declared"] = _objects(as_in_table, raw.index)
    for name in ("hcat_code", "crop_class"):
        frame[name] = _objects([row[name] if row else None for row in codes], raw.index)
    frame["declared_second"] = _second(frame["declared_second"], options, frozenset(rows))
    return frame


def _codes(raw: gpd.GeoDataFrame, options: DeclarationOptions) -> tuple[pd.Series, pd.Series]:
    """Return the codes of the main and the second crop, which a cell of several crops may name."""
    fields = options.fields
    first, in_same_cell, more = split_codes(raw[fields.code], fields.code_separator)
    second = in_same_cell if fields.code_second is None else text_column(raw[fields.code_second], code_text)
    if more:
        logger.warning("%d cells of %s name a third crop, which is left out.", more, fields.code)
    spelled = {
        code: options.crops.spelled(code) for codes in (first, second) for code in codes.dropna().unique()
    }
    return _look_up(first, spelled), _look_up(second, spelled)


def _second(codes: pd.Series, options: DeclarationOptions, known: frozenset[str]) -> pd.Series:
    """Return the second crop, None where its code stands for none; say how many no table knows."""
    crops = options.crops
    none = None if crops.second_none is None else {crops.key(text) for text in crops.second_none}

    def stands_for_none(code: str) -> bool:
        key = crops.key(code)
        return key in none if none is not None else key not in known and not code.strip("0-–.")

    kept = [None if code is None or stands_for_none(code) else str(code) for code in codes]
    unknown = [code for code in kept if code is not None and crops.key(code) not in known]
    if unknown:
        logger.warning(
            "%d second crops have codes that the code tables do not know, such as %s.",
            len(unknown), list(dict.fromkeys(unknown))[:3],
        )  # fmt: skip
    return _objects(kept, codes.index)


def _text(raw: gpd.GeoDataFrame, name: str | None) -> pd.Series:
    return (
        pd.Series([None] * len(raw), index=raw.index, dtype=object)
        if name is None
        else text_column(raw[name])
    )


def _claimed(raw: gpd.GeoDataFrame, options: DeclarationOptions) -> Numbers:
    """Return the claimed areas in hectares; refuse a column of which nothing is a number."""
    fields = options.fields
    if fields.claimed_area is None:
        return Numbers(np.full(len(raw), np.nan), np.full(len(raw), "", dtype=object))
    read = read_numbers(raw[fields.claimed_area], fields.claimed_area_unit)
    unread = read.unread[read.unread != ""]
    if len(unread) and np.isnan(read.values).all():
        raise DeclarationError(
            f"No cell of the column {fields.claimed_area!r} is a number, the first are {listed(unread[:3])}; "
            "name another in `fields.claimed_area`, or leave it out."
        )
    return Numbers(read.values * HECTARES_PER[fields.claimed_area_unit], read.unread)


def _look_up(keys: pd.Series, values: dict[str, str]) -> pd.Series:
    """Map text to text; what is unknown becomes None, never NaN."""
    return _objects([values.get(key) for key in keys], keys.index)


def _objects(values: list[str | None], index: pd.Index) -> pd.Series:
    return pd.Series(values, index=index, dtype=object)


def _reasons(declared: pd.DataFrame, shapes: Shapes, unreadable: np.ndarray) -> pd.Series:
    """Return why each parcel is set aside, None where it is usable; a code is asked for last."""
    empty = np.asarray(shapes.geometries.is_empty)
    reasons = np.select(
        [
            unreadable,
            shapes.misplaced != "",
            empty & (shapes.faults == ""),
            empty,
            declared["declared"].isna(),
            ~declared["known"] | declared["crop_class"].isna(),
        ],
        ["unreadable_id", "misplaced", "empty_geometry", "invalid_geometry", "no_code", "unmapped_code"],
        default="",
    )
    return pd.Series([reason or None for reason in reasons], index=declared.index, dtype=object)


def _warn(frame: gpd.GeoDataFrame, claimed: Numbers, options: DeclarationOptions) -> None:
    """Say what was read but looks wrong: claims that are no numbers or in another unit, broken letters."""
    fields = options.fields
    unread = claimed.unread[claimed.unread != ""]
    if len(unread):
        logger.warning(
            "%d claimed areas of the column %s are no numbers, such as %s; they are taken as not claimed.",
            len(unread), fields.claimed_area, list(unread[:3]),
        )  # fmt: skip
    other = _other_unit(claimed.values, frame["area_ha"].to_numpy(), fields.claimed_area_unit)
    if other:
        logger.warning(
            "Claimed areas look as if they were in %s, not %s; see `fields.claimed_area_unit`.",
            other, fields.claimed_area_unit,
        )  # fmt: skip
    broken = looks_broken(
        text for name in ("declared", "region", "intervention") for text in frame[name].dropna().unique()
    )
    if broken:
        guess = f", which may be {broken[1]!r}" if broken[1] else ""
        logger.warning(
            "Letters of %s look as if they were read in a wrong encoding, such as %r%s; see "
            "`declarations.encoding`.", options.path, broken[0], guess,
        )  # fmt: skip


def _other_unit(claimed_ha: np.ndarray, area: np.ndarray, unit: str) -> str | None:
    """Return the unit that claims seem to be in: at the median 100 or 10,000 times the geometry, or parts."""
    both = (claimed_ha > 0) & (area > 0)
    if not both.any():
        return None
    times = float(np.median(claimed_ha[both] / area[both]))
    return next((name for factor, name in OTHER_UNITS[unit].items() if factor / 2 < times < factor * 2), None)
