"""Files that a config names beside parcels and imagery, by their role."""

from pathlib import Path

from features.context.options import LandSurfaceOptions
from pipelines.config import RunConfig
from pipelines.workspace import Workspace

# options that say which land-surface products are read
SURFACE_OPTIONS = ("rasters", "limits.document_mib", "limits.map_megavalues")


def history_files(config: RunConfig) -> dict[str, Path]:
    """Return the files of earlier seasons and of the weather ahead that the config names, by role."""
    found: dict[str, Path] = {}
    for number, path in enumerate(config.forecast.history):
        if path.is_dir():
            run = Workspace(path)
            found[f"forecast.history {number} observations"] = run.observations
            found[f"forecast.history {number} declarations"] = run.declarations
        else:
            found[f"forecast.history {number}"] = path
    if config.forecast.weather_table is not None:
        found["forecast.weather_table"] = config.forecast.weather_table
    return found


def previous_files(folder: Path) -> dict[str, Path]:
    """Return the files of last season's run that drift is measured against, by their role."""
    run = Workspace(folder)
    read = (run.manifest, run.declarations, run.verdicts, run.parcels, run.series, run.metrics)
    return {f"previous {path.name}": path for path in read}


def surface_files(config: RunConfig) -> dict[str, Path]:
    """Return the files of the land-surface products under `rasters`.

    Raises
    ------
    ConfigError
        Where a folder holds no such product.
    """
    if not any(isinstance(one, LandSurfaceOptions) for one in config.rasters.values()):
        return {}
    from pipelines.inputs.surface_series import files_of_channels

    return files_of_channels(config)
