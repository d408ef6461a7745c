"""What a simulated region brings with it, and where a real one has its weather, soil and elevation."""

from pathlib import Path
from typing import Literal

from pipelines.config import RunConfig
from pipelines.workspace import Workspace

Named = Literal["weather", "soil", "elevation"]
NAMES: dict[Named, str] = {"weather": "weather.csv", "soil": "soil.tif", "elevation": "elevation.tif"}


def context_file(config: RunConfig, workspace: Workspace, name: Named) -> Path | None:
    """Return a simulated region's own file where it has been made, else what the config names, if anything.

    The config's file need not exist.
    """
    made = workspace.region / NAMES[name]
    if config.simulate is not None and made.is_file():
        return made
    named: Path | None = getattr(config, name)
    return named


def region_files(config: RunConfig, *patterns: str) -> dict[str, tuple[str, ...]]:
    """Return which files of a simulated region a stage reads; nothing where the region is real."""
    simulated = config.simulate is not None
    return {"synthesise": tuple(f"region/{pattern}" for pattern in patterns)} if simulated else {}
