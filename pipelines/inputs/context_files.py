"""Where the daily weather and the maps of soil and elevation lie: a simulated region brings its own."""

from pathlib import Path
from typing import Literal

from pipelines.config import RunConfig
from pipelines.workspace import Workspace

NAMES = {"weather": "weather.csv", "soil": "soil.tif", "elevation": "elevation.tif"}


def context_file(
    config: RunConfig, workspace: Workspace, name: Literal["weather", "soil", "elevation"]
) -> Path | None:
    """Return a simulated region's own file where it has been made, else what the config names, if anything.

    The config's file need not exist.
    """
    made = workspace.region / NAMES[name]
    if config.simulate is not None and made.is_file():
        return made
    named: Path | None = getattr(config, name)
    return named
