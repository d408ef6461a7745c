"""Which options and files say what cloud removal reads beside the imagery."""

from pathlib import Path

from models.clouds.removal.options import LEARNED
from pipelines.config import RunConfig
from pipelines.workspace import Workspace

CONTEXT_OPTIONS = (
    "clear.method",
    "clear.context",
    "simulate",
    "season.until",
    "soil",
    "elevation",
    "weather",
    "rasters",
    "limits.document_mib",
    "limits.map_megavalues",
)


def channel_files(config: RunConfig, workspace: Workspace) -> dict[str, Path]:
    """Return every file that cloud removal reads beside the imagery, by its role.

    Raises
    ------
    ConfigError
        Where a file is missing, or a folder's files have no dates.
    """
    if config.clear.method not in LEARNED or not config.clear.context:
        return {}
    from pipelines.inputs.pixels.clear_context import context_files

    return context_files(config, workspace)
