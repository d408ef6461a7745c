"""Where the tables of crop codes lie: a simulated region brings its own."""

from pathlib import Path

from features.declarations.options import CropTableOptions
from pipelines.config import RunConfig
from pipelines.workspace import Workspace


def crop_options(config: RunConfig, workspace: Workspace) -> CropTableOptions:
    """Return where the crop tables are: a simulated region brings its own."""
    crops = config.declarations.crops
    if config.simulate is None:
        return crops
    return crops.model_copy(update={"tables": (workspace.region / "crops.csv",)})


def crop_files(config: RunConfig, workspace: Workspace) -> dict[str, Path]:
    """Return the crop tables and groups by their role."""
    crops = crop_options(config, workspace)
    named = {f"declarations.crops.tables {number}": Path(path) for number, path in enumerate(crops.tables)}
    return named | ({"declarations.crops.groups": Path(crops.groups)} if crops.groups else {})
