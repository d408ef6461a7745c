"""Declarations and catalog become two tables, before any pixel is read."""

import logging
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyproj

from features.catalog.place import Bounds, bounds_of_points
from features.catalog.reader import ImageryOptions, read_acquisitions
from features.declarations.pseudonym import holding_key, key_check
from features.declarations.reader import DeclarationOptions, read_declarations, refuse_if_none_usable
from features.declarations.unmapped import report_unmapped
from features.errors import DeclarationError
from features.files import atomic_path, write_json
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.inputs.model_series import check_holding_keys, source_runs
from pipelines.record.stage import Outcome, Stage
from pipelines.tables import write_table
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)
HOLDING_KEY = ".holding_key"


def stage(simulated: bool) -> Stage:
    """Return the stage; where the region is simulated it follows `synthesise`."""
    return Stage(
        "read", ("features",), ("declarations", "imagery"), ("synthesise",) if simulated else (), run, _inputs
    )


def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    """Write `declarations.parquet`, the geometry checks and `acquisitions.parquet`."""
    options = declaration_options(config, workspace)
    key = holding_key(workspace.folder / HOLDING_KEY, options.holding_key)
    declarations, parcels, checks = read_declarations(options, config.season.year, key)
    refuse_if_none_usable(declarations, options)
    for line in report_unmapped(declarations, options.crops, options.fields):
        log.warning("%s", line)
    progress(1, 2)
    imagery = imagery_options(config, workspace)
    acquisitions, items = read_acquisitions(
        imagery, bounds_of(declarations), config.season.start, config.season.end
    )
    with atomic_path(workspace.declarations) as partial:
        declarations.to_parquet(partial)
    write_json(workspace.holdings, {"key_check": key_check(key)})
    if config.train.transfer.use == "pool":  # refused now, not after hours of extraction
        check_holding_keys(workspace, source_runs(config.train.transfer))
    write_table(checks, workspace.table("geometry_checks"))
    write_table(acquisitions, workspace.acquisitions)
    progress(2, 2)
    outputs = [workspace.declarations, workspace.holdings, workspace.table("geometry_checks")]
    outputs.append(workspace.acquisitions)
    return Outcome(outputs, [parcels, items])


def declaration_options(config: RunConfig, workspace: Workspace) -> DeclarationOptions:
    """Return where the declarations are: a simulated region's lie in the run's own folder."""
    options = config.declarations
    if config.simulate is None:
        return options
    crops = options.crops.model_copy(update={"tables": (workspace.region / "crops.csv",)})
    return options.model_copy(update={"path": str(workspace.region / "declarations.gpkg"), "crops": crops})


def imagery_options(config: RunConfig, workspace: Workspace) -> ImageryOptions:
    """Return where the imagery is: a simulated region's lies in the run's own folder."""
    if config.simulate is None:
        return config.imagery
    return config.imagery.model_copy(update={"catalog": str(workspace.region / "catalog" / "catalog.json")})


def _inputs(config: RunConfig, workspace: Workspace) -> list[Path]:
    crops = config.declarations.crops
    named: list[str | Path] = [config.declarations.path, config.imagery.catalog, *crops.tables, crops.groups]
    return [Path(name) for name in named if name]


def bounds_of(declarations: gpd.GeoDataFrame) -> Bounds:
    """Return west, south, east, north of all usable parcels, degrees; west beyond east where they lie on both
    sides of the antimeridian.

    The corners of every parcel's own box count: a straight border of a wide region bulges north or south of
    its ends in degrees.

    Raises
    ------
    DeclarationError
        Where no parcel has a usable geometry.
    """
    usable = declarations[~declarations.geometry.is_empty]
    if usable.empty:
        raise DeclarationError("No parcel has a usable geometry; check the file and its coordinate system.")
    left, bottom, right, top = usable.geometry.bounds.to_numpy().T
    x, y = np.concatenate([left, right, right, left]), np.concatenate([bottom, bottom, top, top])
    to_degrees = pyproj.Transformer.from_crs(usable.crs, 4326, always_xy=True)
    return bounds_of_points(*(np.asarray(axis) for axis in to_degrees.transform(x, y)))
