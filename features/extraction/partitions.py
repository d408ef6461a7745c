"""Parcels by the million: partitioned on disk, read by tile through a spatial index, never all in memory."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pyogrio
import shapely
from odc.geo.geobox import GeoBox

from features.accounting import Tally
from features.declarations.geometry.repair import inner_buffer, repair
from features.errors import DeclarationError, ImageryError
from features.extraction.extract import extract_tiles
from features.extraction.options import ExtractOptions
from features.extraction.tiles.tiling import Assignment, assign_tiles
from features.extraction.work_plan import plan
from features.files import atomic_path, read_parquet
from features.schema import PARCELS
from features.workers import Executor, Progress, one_by_one

ROWS = 65_536  # parcels in a partition file, sorted along a space-filling curve
GROUP = 4_096  # parcels in a row group: the unit that a spatial query reads


def write_partitions(chunks: Iterable[gpd.GeoDataFrame], folder: Path) -> Path:
    """Write parcels as GeoParquet files with a bounding-box column, each sorted along a Hilbert curve.

    Parameters
    ----------
    chunks
        Frames with `parcel_id` and a geometry, all of one CRS; each is held in memory alone.

    Raises
    ------
    DeclarationError
        Where a chunk has no CRS or another one than the first.
    """
    first: Any = None
    for number, chunk in enumerate(chunks):
        first = chunk.crs if number == 0 else first
        if chunk.crs is None or chunk.crs != first:
            raise DeclarationError(
                f"Chunk {number} has the CRS {chunk.crs}, the first {first}; reproject it."
            )
        order = np.argsort(chunk.hilbert_distance().to_numpy(), kind="stable")
        for part, start in enumerate(range(0, len(chunk), ROWS)):
            rows = chunk.iloc[order[start : start + ROWS]]
            with atomic_path(folder / f"{number:05d}-{part:03d}.parquet") as partial:
                rows.to_parquet(partial, write_covering_bbox=True, row_group_size=GROUP, index=False)
    return folder


def crs_of(source: Path) -> object:
    """CRS of a folder of GeoParquet partitions, a GeoParquet file or a GeoPackage."""
    if source.suffix == ".gpkg":
        return pyogrio.read_info(source)["crs"]
    path = sorted(source.glob("*.parquet"))[0] if source.is_dir() else source
    few = pq.ParquetFile(path).iter_batches(batch_size=1, columns=["geometry"])
    del few
    return gpd.read_parquet(path, columns=["geometry"], bbox=(0, 0, 0, 0)).crs


def read_parcels(source: Path, box: tuple[float, float, float, float]) -> gpd.GeoDataFrame:
    """Parcels whose bounding box touches `box` (left, bottom, right, top, in the source's CRS).

    A GeoPackage answers from its R-tree, GeoParquet by skipping row groups whose bounds lie elsewhere.

    Raises
    ------
    DeclarationError
        Where the source holds no partition, or is of another kind.
    """
    if source.suffix == ".gpkg":
        return pyogrio.read_dataframe(source, bbox=box, columns=["parcel_id"])
    paths = sorted(source.glob("*.parquet")) if source.is_dir() else [source]
    if not paths or not all(path.suffix == ".parquet" for path in paths):
        raise DeclarationError(f"{source} holds no GeoParquet partitions; write them with write_partitions.")
    near = [path for path in paths if _touches(path, box)]
    frames = [
        gpd.read_parquet(path, bbox=box, columns=["parcel_id", "geometry"]) for path in near or paths[:1]
    ]
    kept = [frame for frame in frames if len(frame)] or frames[:1]
    return gpd.GeoDataFrame(_concat(kept), crs=frames[0].crs)


def _concat(frames: list[gpd.GeoDataFrame]) -> gpd.GeoDataFrame:
    import pandas as pd

    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def _touches(path: Path, box: tuple[float, float, float, float]) -> bool:
    """Whether a file's bounds, as its GeoParquet metadata states them, touch the box."""
    import json

    said = json.loads(pq.read_metadata(path).metadata[b"geo"])
    bounds = said["columns"][said["primary_column"]].get("bbox")
    if bounds is None:
        return True
    return bool(bounds[0] <= box[2] and bounds[2] >= box[0] and bounds[1] <= box[3] and bounds[3] >= box[1])


def extract_partitioned(
    acquisitions: pl.DataFrame,
    source: Path,
    options: ExtractOptions,
    folder: Path,
    progress: Progress | None = None,
    executor: Executor = one_by_one,
) -> Tally:
    """As `features.extraction.extract.extract`, for parcels on disk: tile by tile, each tile's parcels alone
    in memory.

    Writes `folder/parcels/<tile>.parquet` (`features.schema.PARCELS`) beside the parts. A parcel that no tile
    touches is not read at all.
    """
    work = plan(acquisitions, options)
    own = crs_of(source)

    def tiles() -> Iterator[tuple[str, gpd.GeoDataFrame, gpd.GeoSeries, dict[str, Assignment]]]:
        for tile in sorted({tile for _, tile in work.references}):
            views = {sensor: seen for (sensor, name), seen in work.views.items() if name == tile}
            grids = {view.grid for seen in views.values() for view in seen}
            found = read_parcels(source, _hull(list(grids), own)).reset_index(drop=True)
            found = found.set_geometry(repair(found.geometry)[0])
            buffered = inner_buffer(found.geometry, options.inner_buffer_m).reset_index(drop=True)
            chosen = {}
            for sensor in views:
                whole = assign_tiles(buffered, work.views_of(sensor))
                home = whole.home.copy()
                home[home != tile] = None
                chosen[sensor] = Assignment(home, {tile: whole.read[tile]})
            yield tile, found, buffered, chosen

    return extract_tiles(work, tiles(), options, folder, progress, executor)


def _hull(grids: list[GeoBox], crs: object) -> tuple[float, float, float, float]:
    """Bounds of some grids in another CRS, a little wide."""
    boxes = []
    for grid in grids:
        left, bottom, right, top = grid.boundingbox
        ring = shapely.segmentize(shapely.box(left, bottom, right, top), (right - left) / 20)
        boxes.append(gpd.GeoSeries([ring], crs=str(grid.crs)).to_crs(crs).total_bounds)
    bounds = np.array(boxes)
    low, high = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def read_parcel_tables(folder: Path) -> pl.DataFrame:
    """PARCELS of every tile that `extract_partitioned` wrote, one row a parcel and tile that it is read
    from."""
    paths = sorted((folder / "parcels").glob("*.parquet"))
    if not paths:
        raise ImageryError(f"{folder} holds no parcels; run extract_partitioned first.")
    return read_parquet(paths).select(PARCELS.names())
