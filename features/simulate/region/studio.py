"""What every scene is rendered from."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from features.simulate.options import SimulationOptions
from features.simulate.randomness import generator
from features.simulate.region.cog import write_cog
from features.simulate.region.schedule import Scene
from features.simulate.region.world import Canvas, World

HELD = 2  # images of a scene that wait to be written: more would be held in memory


@dataclass(frozen=True)
class Studio:
    """The region, its pixel grids and where its files go.

    Attributes
    ----------
    writers
        Threads that write, so that rendering does not wait for the disk; where there are none, it does.
    """

    world: World
    canvas: Canvas
    options: SimulationOptions
    season: int
    seed: int
    folder: Path
    writers: ThreadPoolExecutor | None = None
    _writing: list[Future[Path]] = field(default_factory=list)

    def for_one_scene(self) -> "Studio":
        """Return the same studio, which knows what it wrote of one scene."""
        return replace(self, _writing=[])

    def place(self, scene: Scene) -> Path:
        """Return the folder of a scene's files."""
        return (self.folder / "catalog" / scene.item_path).parent

    def chance(self, scene: Scene) -> np.random.Generator:
        """Return the generator of a scene: its own, whatever is rendered before or beside it."""
        return generator(self.seed, "scene", self.season, scene.item_id)

    def write(self, path: Path, values: np.ndarray, nodata: float | None) -> None:
        """Write a raster `(y, x)` on the region's grid; it is whole after `wait`. The values are kept as they
        are until then.
        """
        grid = self.world.grid
        if self.writers is None:
            write_cog(path, values, grid.transform, grid.epsg, nodata)
        else:
            if len(self._writing) == HELD:
                self._writing.pop(0).result()
            written = self.writers.submit(write_cog, path, values, grid.transform, grid.epsg, nodata)
            self._writing.append(written)

    def wait(self) -> None:
        """Return when all that was to be written is; raise what kept it from being so."""
        for written in self._writing:
            written.result()
