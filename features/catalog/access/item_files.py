"""Files that hold STAC: JSON as people write it, lists and lines of items, stac-geoparquet."""

import gzip
import io
import json
import zlib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from features.errors import CatalogError
from features.limits import DEFAULT_LIMITS, MIB, LimitOptions

ROWS_AT_ONCE = 256  # of a Parquet file
GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
# Byte order marks, the longer before those that they begin with.
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
# Columns of stac-geoparquet that stand beside an item's properties.
_OWN = ("type", "stac_version", "stac_extensions", "id", "collection", "geometry", "bbox", "links", "assets")


def parse_stac(content: bytes, location: str, limits: LimitOptions = DEFAULT_LIMITS) -> dict[str, Any]:
    """Return the STAC object in a file's bytes.

    Takes JSON in UTF-8, or any encoding that a byte order mark names, also packed with gzip; a list of items
    or one item a line become an item collection, as does stac-geoparquet.

    Raises
    ------
    CatalogError
        Where it is none of these.
    """
    most = limits.document_mib * MIB
    if content.startswith(GZIP):
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
                content = packed.read(most + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise CatalogError(
                f"{location} is packed with gzip but damaged ({error}); fetch it again."
            ) from error
    if len(content) > most:
        raise CatalogError(_too_large(location, limits))
    if content.startswith(PARQUET):
        return _parse_parquet(content, location, limits)
    value = _parse_json(_decoded(content, location), location)
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        return {"type": "FeatureCollection", "features": value}
    if not isinstance(value, dict):
        raise CatalogError(
            f"{location} is JSON but no object; name a STAC catalog, API, or file of items in "
            "imagery.catalog."
        )
    return value


def _decoded(content: bytes, location: str) -> str:
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise CatalogError(
            f"{location} is no text in {encoding} ({error.reason}); name a STAC catalog, API, or file of "
            "items in imagery.catalog."
        ) from error


def _parse_json(text: str, location: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and lines[0].lstrip().startswith("{"):
            try:
                return [json.loads(line) for line in lines]
            except (ValueError, RecursionError):
                pass
        raise CatalogError(
            f"{location} is not JSON ({error}); name a STAC catalog, API, or file of items (JSON, one item a "
            "line, stac-geoparquet) in imagery.catalog."
        ) from error


def _too_large(location: str, limits: LimitOptions) -> str:
    return (
        f"{location} unpacks to more than {limits.document_mib} MiB; split it into several files, or raise "
        "limits.document_mib."
    )


def _parse_parquet(content: bytes, location: str, limits: LimitOptions) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = _bounded_table(pq.ParquetFile(pa.BufferReader(content)), location, limits)
    except (pa.ArrowException, OSError) as error:
        raise CatalogError(f"{location} cannot be read as Parquet ({error}); fetch it again.") from error
    lacking = sorted({"id", "assets", "geometry"} - set(table.column_names))
    if lacking:
        raise CatalogError(
            f"{location} is Parquet but no stac-geoparquet: it lacks {', '.join(lacking)}; write it with "
            "stac-geoparquet or rustac."
        )
    return {"type": "FeatureCollection", "features": [_item(row) for row in table.to_pylist()]}


def _bounded_table(file: Any, location: str, limits: LimitOptions) -> Any:
    """Read a table part by part, and no further than it may unpack to: a dictionary can explode."""
    import pyarrow as pa

    parts, size = [], 0
    for batch in file.iter_batches(ROWS_AT_ONCE):
        parts.append(batch)
        size += batch.nbytes
        if size > limits.document_mib * MIB:
            raise CatalogError(_too_large(location, limits))
    return pa.Table.from_batches(parts, file.schema_arrow)


def _item(row: Mapping[str, Any]) -> dict[str, Any]:
    """One row as an item: what is null in a column shared by all items was not stated by this one."""
    plain = _plain(row)
    nested = plain.pop("properties", None)
    properties = {name: value for name, value in plain.items() if name not in _OWN}
    box = plain.get("bbox")
    return {
        **{name: plain[name] for name in _OWN if name in plain},
        "type": "Feature",
        "geometry": _geometry(row.get("geometry")),
        "bbox": _flat(box) if isinstance(box, Mapping) else box,
        "properties": {**properties, **(nested if isinstance(nested, Mapping) else {})},
    }


def _flat(box: Mapping[str, float]) -> list[float] | None:
    found = [box.get(name) for name in ("xmin", "ymin", "xmax", "ymax")]
    return [float(value) for value in found if value is not None] if None not in found else None


def _geometry(value: Any) -> Any:
    import shapely

    if isinstance(value, bytes):
        try:
            return shapely.geometry.mapping(shapely.from_wkb(value))
        except shapely.errors.ShapelyError:
            return None
    return value


def _plain(value: Any) -> Any:
    """Values of Parquet as those of JSON; nulls inside objects are left out."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items() if part is not None}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(part) for part in value]
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return None if isinstance(value, bytes) else value
