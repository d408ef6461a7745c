"""Tables of parcels, written some rows at a time, so that no copy of a whole region is held."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import polars as pl
import pyarrow as pa
import shapely
from geopandas.io.arrow import _geopandas_to_arrow
from pyarrow import parquet

ROWS = 20_000  # of a part, and of a row group


def slices(total: int) -> Iterator[slice]:
    """Yield slices of ROWS at most; one, empty, where there is nothing."""
    for start in range(0, max(total, 1), ROWS):
        yield slice(start, min(start + ROWS, total))


def write_geoparquet(
    parts: Iterable[gpd.GeoDataFrame], path: Path, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write GeoParquet with a row group a part, each row with its bounding box, so that a reader who asks for
    a place opens only the groups that lie there.

    Parameters
    ----------
    parts
        One at least, alike in columns and types, neighbours together.
    metadata
        Further JSON by name, for the file's own metadata.
    """
    rest = iter(parts)
    first = _arrow(next(rest))
    schema = first.schema.with_metadata({b"pandas": first.schema.metadata[b"pandas"]})  # the columns' types
    boxes, kinds = [], set[str]()
    with closing(parquet.ParquetWriter(path, schema, compression="zstd")) as writer:
        geo: dict[str, Any] = {}
        for table in chain([first], map(_arrow, rest)):
            geo = geo or json.loads(table.schema.metadata[b"geo"])
            said = json.loads(table.schema.metadata[b"geo"])["columns"]["geometry"]
            boxes.append(said.get("bbox"))
            kinds |= set(said["geometry_types"])
            writer.write_table(table.cast(schema), row_group_size=ROWS)
        column = geo["columns"]["geometry"]
        column["geometry_types"] = sorted(kinds)
        column.pop("bbox", None)
        if (box := _around(boxes)) is not None:
            column["bbox"] = box
        texts = {"geo": geo, **(metadata or {})}
        writer.add_key_value_metadata(
            {name: json.dumps(value, sort_keys=True) for name, value in texts.items()}
        )


def _arrow(part: gpd.GeoDataFrame) -> pa.Table:
    return _geopandas_to_arrow(part, index=False, write_covering_bbox=True)


def _around(boxes: list[list[float] | None]) -> list[float] | None:
    known = np.array([box for box in boxes if box is not None and np.isfinite(box).all()])
    if not len(known):
        return None
    return [*known[:, :2].min(0).tolist(), *known[:, 2:].max(0).tolist()]


def write_csv(parts: Iterable[pl.DataFrame], path: Path, *, separator: str = ",", digits: int) -> None:
    """Write a table that comes some rows at a time."""
    with path.open("wb") as file:
        for number, part in enumerate(parts):
            part.write_csv(file, include_header=number == 0, separator=separator, float_precision=digits)


def by_place(frame: gpd.GeoDataFrame) -> np.ndarray:
    """Return the order `(row,)` along Hilbert's curve through the centres; those without a shape come last.

    Examples
    --------
    >>> points = gpd.points_from_xy([9, 0, 8, 1], [9, 0, 9, 0])
    >>> by_place(gpd.GeoDataFrame(geometry=points)).tolist()
    [1, 3, 2, 0]
    """
    shapes = frame.geometry.to_numpy()
    there = np.flatnonzero(~(shapely.is_missing(shapes) | shapely.is_empty(shapes)))
    nowhere = np.setdiff1d(np.arange(len(frame)), there)
    if not len(there):
        return nowhere
    along = frame.geometry.iloc[there].hilbert_distance().to_numpy()
    return np.concatenate([there[np.argsort(along, kind="stable")], nowhere])
