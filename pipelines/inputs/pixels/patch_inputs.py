"""What models of pixels are given: the parcels of each tile with their classes and folds, and its imagery."""

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import polars as pl

from features.declarations.crop_codes import read_crop_table
from features.errors import ConfigError
from features.extraction.extract import read_set_aside
from features.files import atomic_path, fingerprint, read_parquet, sha256
from features.imagery.blocks import Block
from features.messages.listed import listed
from features.schema import OPTICAL_BANDS, acquisition_rows
from models.patches.inputs.composites import edges_of
from models.patches.inputs.labels import UNKNOWN
from models.patches.inputs.samples import LabelledBlock
from models.patches.options import PatchOptions
from models.patches.units import Imagery, blocks_with_parcels, homes, labelled_blocks
from pipelines.config import RunConfig
from pipelines.inputs.crop_tables import crop_options
from pipelines.inputs.pixels.cloud_masks import masked_extract, read_masked
from pipelines.inputs.pixels.tile_grids import finest_grid
from pipelines.tables import read_declared, read_stamps
from pipelines.workspace import Workspace

OUTSIDE, TOO_LARGE = "outside_imagery", "larger_than_block"


@dataclass(frozen=True)
class Tile:
    """One optical tile: its imagery, and where its parcels lie.

    Attributes
    ----------
    parcels
        `parcel_id, area_ha, label, second, fold, home, geometry` in the tile's CRS: numbers of the classes
        declared (-1 where unknown), fold (-1 where it teaches nothing), block that holds its middle.
    file
        The same as GeoParquet.
    key
        Hash of the imagery and parcels.
    """

    name: str
    imagery: Imagery
    parcels: gpd.GeoDataFrame
    file: Path
    key: str


def patch_tiles(config: RunConfig, workspace: Workspace, classes: tuple[str, ...]) -> list[Tile]:
    """Return the optical tiles that hold parcels, and write the parcels of each below `patches/`."""
    parcels, tile_of = parcel_table(config, workspace, classes)
    acquisitions, stamps = usable(config, workspace), read_stamps(workspace)
    _check_bands(config, acquisitions)
    edges = edges_of(config.patches, config.season.start, config.season.until or config.season.end)
    tiles = []
    for (name,), rows in acquisitions.group_by("tile", maintain_order=True):
        mine = parcels[(tile_of == name).to_numpy()]
        if mine.empty:
            continue
        grid = finest_grid(rows)
        bands = tuple(band for band in OPTICAL_BANDS if band in config.patches.bands)
        imagery = Imagery(
            tuple(acquisition_rows(rows)), grid, bands, tuple(edges), masked_extract(config).mask
        )
        moved = mine.to_crs(str(grid.crs)).reset_index(drop=True)
        moved["home"] = homes(moved.geometry.to_numpy(), grid, config.patches.block_px)
        file = workspace.patches / f"parcels_{name}.parquet"
        with atomic_path(file) as partial:
            moved.to_parquet(partial)
        seen = [
            (row["item_id"], sorted((a["band"], stamps.get(a["href"])) for a in row["assets"]))
            for row in imagery.rows
        ]
        key = fingerprint([seen, sha256(file), [str(day) for day in edges], list(bands)])
        tiles.append(Tile(str(name), imagery, moved, file, key))
    return tiles


def _check_bands(config: RunConfig, acquisitions: pl.DataFrame) -> None:
    had = set(acquisitions["assets"].explode().struct.field("band"))
    missing = [band for band in config.patches.bands if band not in had]
    if missing:
        raise ConfigError(
            f"patches.bands names {listed(missing)}, which no optical acquisition has; they have "
            f"{listed([band for band in OPTICAL_BANDS if band in had])}."
        )


def usable(config: RunConfig, workspace: Workspace) -> pl.DataFrame:
    """Return the optical acquisitions that extraction did not set aside."""
    acquisitions = read_masked(config, workspace).filter(pl.col("sensor") == "s2")
    aside = read_set_aside(workspace.observations)["item_id"].to_list()
    return acquisitions.filter(~pl.col("item_id").is_in(aside))


def parcel_table(
    config: RunConfig, workspace: Workspace, classes: tuple[str, ...]
) -> tuple[gpd.GeoDataFrame, pd.Series]:
    """Return the parcels with numbers of their classes and folds, and the tile of each."""
    declared = read_declared(workspace)
    declared = declared[~declared.geometry.is_empty].reset_index(drop=True)
    folds = read_parquet(workspace.table("folds")).select("parcel_id", "fold")
    tiles = read_parquet(workspace.parcels).select("parcel_id", "tile")
    known = pl.DataFrame({"parcel_id": declared["parcel_id"].tolist()})
    known = known.join(folds, on="parcel_id", how="left", maintain_order="left")
    known = known.join(tiles, on="parcel_id", how="left", maintain_order="left")
    number = {name: k for k, name in enumerate(classes)}
    of_code = dict(read_crop_table(crop_options(config, workspace)).select("code", "crop_class").iter_rows())
    second = [of_code.get(code) for code in declared["declared_second"]]
    first = [number.get(name, UNKNOWN) for name in declared["crop_class"]]
    others = [number.get(name or "", UNKNOWN) for name in second]
    table = gpd.GeoDataFrame(
        {
            "parcel_id": declared["parcel_id"],
            "area_ha": declared["area_ha"].astype(float),
            "label": np.array(first, np.int64),
            "second": np.where(np.array(others) == np.array(first), UNKNOWN, np.array(others, np.int64)),
            "fold": known["fold"].fill_null(UNKNOWN).to_numpy().astype(np.int64),
        },
        geometry=declared.geometry.to_numpy(),
        crs=declared.crs,
    )
    return table, known["tile"].to_pandas()


def mapped_classes(workspace: Workspace, least: int) -> tuple[str, ...]:
    """Return the classes with enough parcels, in order."""
    declared = read_declared(workspace)["crop_class"].dropna().value_counts()
    return tuple(sorted(str(name) for name, count in declared.items() if count >= least))


def training_blocks(
    tiles: list[Tile], options: PatchOptions, buffer_m: float, seed: int
) -> list[LabelledBlock]:
    """Read blocks that hold parcels, spread by chance over the tiles."""
    places: list[tuple[int, Block]] = [
        (k, place)
        for k, tile in enumerate(tiles)
        for place in blocks_with_parcels(tile.imagery.grid, tile.parcels, options.block_px)
    ]
    chosen = np.sort(np.random.default_rng([seed, 13]).permutation(len(places))[: options.training_blocks])
    found: list[LabelledBlock] = []
    for k, tile in enumerate(tiles):
        mine = [places[index][1] for index in chosen if places[index][0] == k]
        found += labelled_blocks(tile.imagery, tile.parcels, mine, options, buffer_m)
    return found
