"""GeoParquet: columns as they are stored, whatever pandas noted about an index."""

import json
from pathlib import Path

import geopandas as gpd

from features.declarations.formats.request import Request, told_plainly
from features.errors import DeclarationError

ROWS_AT_ONCE = 4096
# the index that pandas notes stays a column, and integers stay integers beside nulls
AS_STORED = {"ignore_metadata": True, "integer_object_nulls": True}


def read_geoparquet(path: Path, request: Request) -> gpd.GeoDataFrame:
    """Read a GeoParquet file (version 1.0 or 1.1)."""
    from pyarrow import parquet

    with told_plainly(path):
        file = parquet.ParquetFile(path)
        geometry = _geometry_column(file.schema_arrow.metadata or {}, file.schema_arrow.names, path)
        request.allow(file.metadata.num_rows, path)
        columns = request.found_in([name for name in file.schema_arrow.names if name != geometry], path)
        size = 0
        for batch in file.iter_batches(
            ROWS_AT_ONCE, columns=[*columns, geometry]
        ):  # a dictionary can explode
            size += batch.nbytes
            request.allow_bytes(size, path)
        frame = gpd.read_parquet(path, columns=[*columns, geometry], to_pandas_kwargs=AS_STORED)
        frame = frame.reset_index(drop=True)
        return request.with_feature_ids(frame, [str(number) for number in range(len(frame))])


def _geometry_column(metadata: dict[bytes, bytes], names: list[str], path: Path) -> str:
    if b"geo" not in metadata:
        raise DeclarationError(f"{path.name} is Parquet without geometry metadata; export it as GeoParquet.")
    try:
        geo: object = json.loads(metadata[b"geo"])
    except ValueError as error:
        raise DeclarationError(
            f"The geometry metadata of {path.name} is no JSON; export it again."
        ) from error
    named = geo.get("primary_column") if isinstance(geo, dict) else None
    columns = geo.get("columns") if isinstance(geo, dict) else None
    if (
        not isinstance(named, str)
        or named not in names
        or not isinstance(columns, dict)
        or named not in columns
    ):
        raise DeclarationError(
            f"The geometry metadata of {path.name} names no geometry column of the file; export it again."
        )
    return str(named)
