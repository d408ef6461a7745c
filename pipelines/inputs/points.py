"""Declarations that a table of series holds itself, as a parcel file beside the run's own tables."""

from pathlib import Path

from features.declarations.options import DeclarationOptions
from features.files import atomic_path
from features.tables.files import files_of
from features.tables.labels import COLUMNS, read_points
from pipelines.config import RunConfig
from pipelines.workspace import Workspace


def points_file(workspace: Workspace) -> Path:
    """Return where the parcel file made of a table's points lies."""
    return workspace.observations / "points.parquet"


def write_points(config: RunConfig, workspace: Workspace) -> None:
    """Make the parcel file, where the config's tables hold the declarations."""
    if config.series.labels is None:
        return
    points = read_points(config.series.tables, config.series.labels)
    with atomic_path(points_file(workspace)) as partial:
        points.to_parquet(partial)


def table_files(config: RunConfig) -> dict[str, Path]:
    """Return the files of the config's tables of series, by their role."""
    paths = {file for options in config.series.tables for file in files_of(options.path)}
    return {f"series.tables {number}": path for number, path in enumerate(sorted(paths))}


def with_points(options: DeclarationOptions, config: RunConfig, workspace: Workspace) -> DeclarationOptions:
    """Return the options of declarations, read from that file where there is one to be."""
    labels = config.series.labels
    if labels is None:
        return options
    own = {name: name for name in COLUMNS if getattr(labels, name) is not None}
    fields = options.fields.model_copy(update={"parcel_id": "parcel_id", **own})
    return options.model_copy(update={"path": str(points_file(workspace)), "fields": fields})
