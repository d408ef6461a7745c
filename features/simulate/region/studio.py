"""What every scene is rendered from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.simulate.options import SimulationOptions
from features.simulate.randomness import generator
from features.simulate.region.cog import write_cog
from features.simulate.region.schedule import Scene
from features.simulate.region.world import Canvas, World


@dataclass(frozen=True)
class Studio:
    """The region, its pixel grids and where its files go."""

    world: World
    canvas: Canvas
    options: SimulationOptions
    season: int
    seed: int
    folder: Path

    def place(self, scene: Scene) -> Path:
        """Return the folder of a scene's files."""
        return (self.folder / "catalog" / scene.item_path).parent

    def chance(self, scene: Scene) -> np.random.Generator:
        """Return the generator of a scene: its own, whatever is rendered before or beside it."""
        return generator(self.seed, "scene", self.season, scene.item_id)

    def write(self, path: Path, values: np.ndarray, nodata: float | None) -> None:
        """Write a raster `(y, x)` on the region's grid."""
        write_cog(path, values, self.world.grid.transform, self.world.grid.epsg, nodata)
