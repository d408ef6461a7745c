"""GeoJSON: properties as they are, no type guessed."""

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely

from features.declarations.formats.dbf import named_encoding
from features.declarations.formats.request import Request, told_plainly
from features.declarations.geometry.repair import parse_crs
from features.errors import DeclarationError

ID_MEMBER = "id"


def read_geojson(path: Path, request: Request) -> gpd.GeoDataFrame:
    """Read GeoJSON (RFC 7946, and the older `crs` member) without guessing types."""
    with told_plainly(path):
        root = _parsed(path, request.encoding)
    features = _features(root, path)
    request.allow(len(features), path)
    properties = [feature.get("properties") or {} for feature in features]
    names = sorted({name for row in properties for name in row})
    columns = request.found_in(names, path, ID_MEMBER)
    with told_plainly(path):
        texts = [_geometry_text(feature.get("geometry")) for feature in features]
        shapes = shapely.from_geojson(np.array(texts, dtype=object), on_invalid="ignore")
    data: dict[str, Any] = {
        name: pd.Series([row.get(name) for row in properties], dtype=object) for name in columns
    }
    frame = gpd.GeoDataFrame(data, geometry=shapes, crs=_crs(root, path), index=range(len(features)))
    ids = [feature.get(ID_MEMBER, number) for number, feature in enumerate(features)]
    return request.with_feature_ids(frame, [one if isinstance(one, str) else json.dumps(one) for one in ids])


def _parsed(path: Path, encoding: str | None) -> Any:
    content = path.read_bytes()
    try:
        return json.loads(
            content.decode(named_encoding(encoding, "declarations.encoding")) if encoding else content
        )
    except UnicodeDecodeError as error:
        raise DeclarationError(
            f"{path.name} is not in {error.encoding} ({error.reason} at byte {error.start}); set "
            "`declarations.encoding`."
        ) from error
    except (ValueError, RecursionError) as error:
        if _one_a_line(content):
            raise DeclarationError(
                f"{path.name} holds one feature a line; write them as one feature collection: "
                f"ogr2ogr {path.stem}.gpkg {path.name}"
            ) from error
        told = "it nests too deep" if isinstance(error, RecursionError) else str(error)
        raise DeclarationError(
            f"{path.name} is no GeoJSON feature collection: {told}. Export it again."
        ) from error


def _one_a_line(content: bytes) -> bool:
    """Say whether the first line is a feature of its own (GeoJSON text sequences, RFC 8142, and the like)."""
    first = content.lstrip(b"\x1e\xef\xbb\xbf \r\n").partition(b"\n")[0]
    try:
        found = json.loads(first)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("type") == "Feature"


def _features(root: Any, path: Path) -> list[dict[str, Any]]:
    """Return the features of a collection, or of one feature alone."""
    kind = root.get("type") if isinstance(root, dict) else None
    features = [root] if kind == "Feature" else root.get("features") if isinstance(root, dict) else None
    if isinstance(root, dict) and kind is None and "geometryType" in root:
        raise DeclarationError(f"{path.name} is Esri JSON; export it as GeoJSON (of a service: f=geojson).")
    if not isinstance(features, list):
        raise DeclarationError(f"{path.name} is no GeoJSON feature collection; export it again.")
    wrong = [number for number, feature in enumerate(features) if not _is_feature(feature)]
    if wrong:
        raise DeclarationError(
            f"{path.name} is no GeoJSON feature collection: {len(wrong)} of its {len(features)} features are "
            f"none, first number {wrong[0]}; export it again."
        )
    return features


def _is_feature(feature: Any) -> bool:
    return isinstance(feature, dict) and isinstance(feature.get("properties") or {}, dict)


def _geometry_text(geometry: Any) -> str | None:
    """Return a geometry as JSON; what is none becomes a point without a place, which is no polygon."""
    if geometry is None:
        return None
    return json.dumps(geometry) if isinstance(geometry, dict) else '{"type": "Point", "coordinates": []}'


def _crs(root: dict[str, Any], path: Path) -> pyproj.CRS:
    member = root.get("crs") or {}
    properties = member.get("properties", {}) if isinstance(member, dict) else None
    if not isinstance(properties, dict):
        raise DeclarationError(f"{path.name} has a `crs` that is none of GeoJSON's; remove or mend it.")
    return parse_crs(str(properties.get("name") or "OGC:CRS84"), f"{path.name}: crs")
