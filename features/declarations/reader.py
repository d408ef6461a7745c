"""A season's crop declarations: from an agency's file to a validated table that accounts for every parcel."""

import logging
import secrets
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import polars as pl
from pydantic import Field

from features.accounting import Tally, tally
from features.declarations.crop_codes import CropTableOptions, read_crop_table
from features.declarations.field_map import HECTARES_PER, FieldOptions, number_column, text_column
from features.declarations.geometry import area_ha, parse_crs, repair, to_metric
from features.declarations.geometry_checks import CheckOptions, check_geometry
from features.declarations.pseudonym import KEY_BYTES, pseudonym
from features.declarations.vector_file import FEATURE_ID, read_vector
from features.errors import DeclarationError
from features.options import Options
from features.schema import DECLARATION_COLUMNS, check_declarations

logger = logging.getLogger(__name__)


class DeclarationOptions(Options):
    """Where the parcels are, what their columns mean, and how their codes map."""

    path: str = Field(
        "", description="GeoPackage, Shapefile, GeoJSON, GML, GeoParquet, or a zip of one of these."
    )
    layer: str | None = Field(None, description="Layer, where the file holds several.")
    member: str | None = Field(None, description="File inside the zip, where it holds several.")
    crs: str | None = Field(None, description="Coordinate system, where the file does not say its own.")
    metric_crs: str | None = Field(
        None, description="Metric CRS to work in; by default the file's own, else UTM."
    )
    most_unpacked_gib: float = Field(16.0, gt=0, description="What a zip may unpack to (GiB).")
    holding_key: Path | None = Field(
        None,
        description="File of the secret that holdings are pseudonymised with: one for all runs of an agency, "
        "so that seasons can be pooled. Made with 32 random bytes, readable by its owner alone, where there "
        "is none. CROPCHECK_HOLDING_KEY in the environment (any text) goes before it. With neither, each run "
        "makes a key of its own, .holding_key in its output folder, and cannot be pooled with another.",
    )
    fields: FieldOptions = Field(FieldOptions(), description="Columns of the file.")
    crops: CropTableOptions = Field(CropTableOptions(), description="Code tables and crop groups.")
    checks: CheckOptions = Field(CheckOptions(), description="Geometry checks.")


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
        Findings of the geometry checks, schema `features.declarations.geometry_checks.CHECKS`.

    Raises
    ------
    DeclarationError
        Where the file cannot be read, lacks a column or a coordinate system, or repeats a parcel id.
    """
    if not options.path:
        raise DeclarationError("No parcel file is named; set `declarations.path`.")
    raw = read_vector(
        options.path, options.fields.columns(), options.layer, options.member, options.most_unpacked_gib
    )
    if raw.empty:
        raise DeclarationError(f"The parcel file {options.path} holds no parcels; check its layer.")
    ids = _parcel_ids(raw, options)
    geometries, faults = repair(_geometries(raw, options))
    declared = _attributes(raw, options, season, key or secrets.token_bytes(KEY_BYTES))
    declared = declared.assign(parcel_id=ids, area_ha=area_ha(geometries))
    declared["reason"] = _reasons(declared, geometries, faults)
    frame = gpd.GeoDataFrame(declared, geometry=geometries)[list(DECLARATION_COLUMNS)]
    checks = check_geometry(ids, geometries, faults, declared["claimed_area_ha"].to_numpy(), options.checks)
    counted = tally("declarations", "parcels", declared["reason"])
    logger.info("%s", counted)
    return check_declarations(frame), counted, checks


def _parcel_ids(raw: gpd.GeoDataFrame, options: DeclarationOptions) -> list[str]:
    ids = text_column(raw[options.fields.parcel_id or FEATURE_ID])
    blank = int(ids.isna().sum())
    if blank:
        raise DeclarationError(
            f"{blank} parcels have no id in {options.fields.parcel_id!r}, "
            f"first in row {int(ids.isna().argmax()) + 1}; fill it, or leave the option out."
        )
    repeated = ids[ids.duplicated()].unique()
    if len(repeated):
        raise DeclarationError(
            f"{len(repeated)} parcel ids of {options.path} repeat, first {list(repeated[:3])}; "
            "name a unique column in `fields.parcel_id`, or dissolve multi-part parcels."
        )
    return list(ids)


def _geometries(raw: gpd.GeoDataFrame, options: DeclarationOptions) -> gpd.GeoSeries:
    """Return the geometry in a metric CRS."""
    series = raw.geometry
    if options.crs is not None:
        series = series.set_crs(parse_crs(options.crs, "crs"), allow_override=True)
    if series.crs is None:
        raise DeclarationError(
            f"{options.path} does not say its coordinate system; set `crs`, for example EPSG:28992."
        )
    if series.crs.is_geographic and _beyond_degrees(series):
        raise DeclarationError(
            f"{options.path} says that it is in degrees ({series.crs.name}), but its coordinates are not; "
            "set `crs` to the system that they are in."
        )
    return to_metric(series, options.metric_crs)


def _beyond_degrees(series: gpd.GeoSeries) -> bool:
    """Say whether most geometries lie outside the globe: metres taken for degrees."""
    bounds = np.abs(series.bounds.dropna().to_numpy())
    return bool(len(bounds)) and float((bounds > (360, 90, 360, 90)).any(axis=1).mean()) > 0.5


def _attributes(raw: gpd.GeoDataFrame, options: DeclarationOptions, season: int, key: bytes) -> pd.DataFrame:
    fields = options.fields
    texts = {
        "holding_id": fields.holding,
        "declared": fields.code,
        "declared_second": fields.code_second,
        "intervention": fields.intervention,
        "region": fields.region,
    }
    frame = pd.DataFrame({ours: _text(raw, theirs) for ours, theirs in texts.items()}, index=raw.index)
    pseudonyms = {holding: pseudonym(holding, key) for holding in frame["holding_id"].dropna().unique()}
    frame["holding_id"] = _look_up(frame["holding_id"], pseudonyms)
    frame["season"] = season
    frame["claimed_area_ha"] = _claimed(raw, fields)
    crops = read_crop_table(options.crops)
    frame["known"] = frame["declared"].isin(crops["code"].to_list())
    for name in ("hcat_code", "crop_class"):
        frame[name] = _look_up(frame["declared"], dict(zip(crops["code"], crops[name], strict=True)))
    return frame


def _text(raw: gpd.GeoDataFrame, name: str | None) -> pd.Series:
    return (
        pd.Series([None] * len(raw), index=raw.index, dtype=object)
        if name is None
        else text_column(raw[name])
    )


def _claimed(raw: gpd.GeoDataFrame, fields: FieldOptions) -> np.ndarray:
    if fields.claimed_area is None:
        return np.full(len(raw), np.nan)
    return number_column(raw[fields.claimed_area]) * HECTARES_PER[fields.claimed_area_unit]


def _look_up(keys: pd.Series, values: dict[str, str]) -> pd.Series:
    """Map text to text; what is unknown becomes None, never NaN."""
    return pd.Series([values.get(key) for key in keys], index=keys.index, dtype=object)


def _reasons(declared: pd.DataFrame, geometries: gpd.GeoSeries, faults: np.ndarray) -> pd.Series:
    """Return why each parcel is set aside, None where it is usable; geometry comes before code."""
    empty = np.asarray(geometries.is_empty)
    reasons = np.select(
        [
            empty & (faults == ""),
            empty,
            declared["declared"].isna(),
            ~declared["known"] | declared["crop_class"].isna(),
        ],
        ["empty_geometry", "invalid_geometry", "no_code", "unmapped_code"],
        default="",
    )
    return pd.Series([reason or None for reason in reasons], index=declared.index, dtype=object)
