"""The imagery that a cloud mask is fitted on."""

import numpy as np
import polars as pl
import shapely

from features.errors import ImageryError, ModelError
from features.imagery.blocks import Block, cut
from features.imagery.grids import crop
from features.schema import Acquisition, acquisition_rows
from models.clouds.mask.frames import Frames
from models.clouds.mask.reading import MaskGrid, read_frames
from pipelines.config import RunConfig
from pipelines.inputs.pixels.tile_grids import finest_grid
from pipelines.tables import read_declared
from pipelines.workspace import Workspace

FITTING_PX, MOST_BLOCKS = 256, 4
FITTING_BANDS = ("B02", "B03", "B04", "B08", "B8A", "B11", "B12")


def fitting_frames(usable: pl.DataFrame, config: RunConfig, workspace: Workspace) -> list[Frames]:
    """Read a few blocks with parcels over all dates, spread by chance over the tiles."""
    declared = read_declared(workspace)
    shapes = declared.geometry[~declared.geometry.is_empty]
    found: list[tuple[list[Acquisition], MaskGrid, Block]] = []
    for _, rows in usable.group_by("tile", "epsg", maintain_order=True):
        grid = MaskGrid.over(finest_grid(rows))
        tree = shapely.STRtree(shapes.to_crs(grid.grid.crs).to_numpy())
        blocks = cut(grid.grid.shape, FITTING_PX, even=True)
        farmed = [block for block in blocks if len(tree.query(crop(grid.grid, block).extent.geom))]
        found += [(acquisition_rows(rows), grid, block) for block in farmed]
    order = np.random.default_rng(config.seed).permutation(len(found))[:MOST_BLOCKS]
    stacks = []
    for number in sorted(order):
        rows_here, grid, block = found[number]
        failed: dict[str, ImageryError] = {}
        frames, read = read_frames(rows_here, grid, block, FITTING_BANDS, failed, config.imagery.level)
        stacks += [frames] if read else []
    if not stacks:
        raise ModelError("No block of imagery could be read to fit the cloud mask on.", reason="nothing_read")
    return stacks
