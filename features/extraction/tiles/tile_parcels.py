"""The parcels of a tile: written once for its units, covered ahead of them, and what is left of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
from odc.geo.geobox import GeoBox

from features.errors import CropcheckError, ImageryError
from features.extraction.options import ExtractOptions
from features.extraction.tiles.tiling import Assignment, View, assign_tiles
from features.extraction.units import tile_coverage
from features.files import atomic_path, fingerprint, is_vouched, vouch
from features.imagery.scenes import scene_of
from features.messages.listed import listed
from features.schema import PARCELS, Acquisition
from features.workers import Executor
from features.zonal.coverage import coverage_key


@dataclass(frozen=True)
class TileJob:
    """Coverage to be computed ahead of a tile's units."""

    sensor: str
    tile: str
    parcels: Path
    grids: tuple[GeoBox, ...]  # the finest first
    cache: Path


def check_overlap(
    tiles: Mapping[str, Assignment],
    declarations: gpd.GeoDataFrame,
    references: Mapping[tuple[str, str], GeoBox],
) -> None:
    """Raise an ImageryError where no parcel lies on any tile."""
    if not any((chosen.home != None).any() for chosen in tiles.values()):  # noqa: E711 - elementwise
        names = sorted({tile for _, tile in references})
        raise ImageryError(
            f"None of {len(declarations)} parcels lies on the imagery (tiles {listed(names[:5])}); "
            "check the CRS of the declarations and the region of the catalog."
        )


def write_tiles(
    folder: Path,
    references: Mapping[tuple[str, str], GeoBox],
    buffered: gpd.GeoSeries,
    ids: np.ndarray,
    tiles: Mapping[str, Assignment],
) -> dict[tuple[str, str], Path]:
    """Write each tile's parcels in its CRS, under a name that says what is in it; tiles without any are
    left out. `ids (parcel)` are those of `buffered`.
    """
    files = {}
    for (sensor, tile), grid in references.items():
        chosen = tiles[sensor].read[tile]
        if not chosen.any():
            continue
        shapes = buffered[chosen].to_crs(str(grid.crs))
        order = np.argsort(
            -shapes.bounds["maxy"].fillna(0).to_numpy(), kind="stable"
        )  # as the raster's rows come
        shapes, names = shapes.iloc[order], ids[chosen][order]
        key = coverage_key(np.asarray(shapes.array, dtype=object), names, grid)[:16]
        path = files[sensor, tile] = folder / "tiles" / f"{sensor}-{safe_name(tile)}-{key}.parquet"
        if not is_vouched(path):
            with atomic_path(path) as partial:
                frame = gpd.GeoDataFrame({"parcel_id": names}, geometry=shapes.to_numpy(), crs=shapes.crs)
                frame.to_parquet(partial)
            vouch(path)
    return files


def run_tile(job: TileJob) -> tuple[str, pl.DataFrame]:
    """Compute and cache coverage; return the sensor, and the tile's parcels with their full and covered
    pixels on the finest grid."""
    finest = tile_coverage(job.parcels, job.grids[0], job.cache)
    for grid in job.grids[1:]:
        tile_coverage(job.parcels, grid, job.cache)
    pixels = {"full_pixels": finest.full_pixels(), "covered": finest.covered()}
    found = pl.DataFrame({"parcel_id": finest.parcel_ids, **pixels})
    return job.sensor, found.with_columns(tile=pl.lit(job.tile))


def cover_tiles(
    rows: Sequence[Acquisition],
    headers: Mapping[str, GeoBox],
    files: Mapping[tuple[str, str], Path],
    options: ExtractOptions,
    folder: Path,
    executor: Executor,
) -> dict[str, pl.DataFrame]:
    """Coverage of every tile's grids ahead of its units; by sensor, the full and covered pixels
    of each tile's parcels.

    Where the acquisitions of a tile have grids of their own, as slices have, a parcel's full pixels are those
    of the grid that holds most of it.
    """
    jobs: dict[tuple[str, str, GeoBox], TileJob] = {}
    for row in rows:
        key = (row["sensor"], row["tile"], headers[row["item_id"]])
        if key in jobs:
            continue
        try:
            scene = scene_of(row, options.features_of(row["sensor"]))
        except CropcheckError:
            continue
        targets = {scene.target(name).factor: scene.target(name).grid for name in scene.features}
        grids = tuple(targets[factor] for factor in sorted(targets))
        jobs[key] = TileJob(*key[:2], files[key[:2]], grids, folder / "coverage")
    found: dict[str, list[pl.DataFrame]] = {}
    for sensor, table in executor(run_tile, jobs.values()):
        found.setdefault(sensor, []).append(table)
    return {
        sensor: pl.concat(tables).group_by("tile", "parcel_id").agg(pl.col("full_pixels", "covered").max())
        for sensor, tables in found.items()
    }


def parcel_table(
    declarations: gpd.GeoDataFrame,
    buffered: gpd.GeoSeries,
    tiles: Mapping[str, Assignment],
    pixels: Mapping[str, pl.DataFrame],
    views: Mapping[str, Mapping[str, Sequence[View]]] | None = None,
) -> pl.DataFrame:
    """What geometry and grid leave of every parcel; by Sentinel-2's tiles, else by Sentinel-1's.

    The tile is null where the parcel lies wholly outside the imagery. A parcel of which the buffer leaves
    nothing is placed by its own geometry, where the `views` of each sensor's tiles are given.
    """
    area = np.nan_to_num(declarations.geometry.area.to_numpy()) / 1e4
    kept = np.nan_to_num(buffered.area.to_numpy()) / 1e4
    loss = 1 - np.divide(kept, area, out=np.zeros(len(area)), where=area > 0)
    keys, kinds = ["tile", "parcel_id"], {"full_pixels": pl.Int64, "covered": pl.Float64}
    empty = pl.DataFrame(schema={"tile": pl.String, "parcel_id": pl.String, **kinds})
    ids = pl.DataFrame({"parcel_id": declarations["parcel_id"].to_numpy()})
    tile, full = np.full(len(area), None, dtype=object), np.zeros(len(area), np.int64)
    for sensor in (name for name in ("s2", "s1") if name in tiles):
        home = ids.with_columns(pl.Series("tile", tiles[sensor].home.tolist(), pl.String))
        held = home.join(pixels.get(sensor, empty), on=keys, how="left", maintain_order="left")
        new = (held["covered"].fill_null(0) > 0).to_numpy() & (tile == None)  # noqa: E711 - elementwise
        tile[new] = tiles[sensor].home[new]
        full[new] = held["full_pixels"].fill_null(0).to_numpy()[new]
        gone = np.flatnonzero((kept == 0) & (area > 0) & (tile == None))  # noqa: E711 - elementwise
        if views and len(gone):
            tile[gone] = assign_tiles(declarations.geometry.iloc[gone], views[sensor]).home
    columns = {"area_ha": area, "buffered_area_ha": kept, "full_pixels": full, "buffer_loss": loss}
    table = ids.with_columns(pl.Series("tile", tile.tolist(), pl.String), **columns)
    return table.select(pl.col(name).cast(kind) for name, kind in PARCELS.items())


def safe_name(name: str) -> str:
    """A name fit for a file; where it had to be altered, it ends in a few digits of its hash, so that two do
    not become one.

    Examples
    --------
    >>> safe_name("31UFS"), safe_name("a/b"), safe_name("a:b")
    ('31UFS', 'a_b-f5effa31', 'a_b-8cc85723')
    """
    plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:120]
    return plain if plain == name else f"{plain}-{fingerprint(name)[:8]}"
