"""Where a run's declarations and imagery are, and what box they lie in."""

from typing import TYPE_CHECKING

from features.catalog.options import ImageryOptions
from features.declarations.options import DeclarationOptions
from features.errors import DeclarationError
from pipelines.config import RunConfig
from pipelines.inputs.crop_tables import crop_options
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    import geopandas as gpd

    from features.catalog.place import Bounds


def declaration_options(config: RunConfig, workspace: Workspace) -> DeclarationOptions:
    """Return where the declarations are: a simulated region's lie in the run's own folder."""
    options = config.declarations
    if config.simulate is None:
        if config.series.labels is None:
            return options
        from pipelines.inputs.points import with_points

        return with_points(options, config, workspace)
    path = str(workspace.region / "declarations.gpkg")
    return options.model_copy(update={"path": path, "crops": crop_options(config, workspace)})


def imagery_options(config: RunConfig, workspace: Workspace) -> ImageryOptions:
    """Return where the imagery is: a simulated region's lies in the run's own folder."""
    if config.simulate is None:
        return config.imagery
    return config.imagery.model_copy(update={"catalog": str(workspace.region / "catalog" / "catalog.json")})


def bounds_of(declarations: "gpd.GeoDataFrame") -> "Bounds":
    """Return west, south, east, north of all usable parcels, degrees; west beyond east where they lie on both
    sides of the antimeridian.

    The corners of every parcel's own box count: a straight border of a wide region bulges north or south of
    its ends in degrees.

    Raises
    ------
    DeclarationError
        Where no parcel has a usable geometry.
    """
    import numpy as np
    import pyproj

    from features.catalog.place import bounds_of_points

    usable = declarations[~declarations.geometry.is_empty]
    if usable.empty:
        raise DeclarationError("No parcel has a usable geometry; check the file and its coordinate system.")
    left, bottom, right, top = usable.geometry.bounds.to_numpy().T
    x, y = np.concatenate([left, right, right, left]), np.concatenate([bottom, bottom, top, top])
    to_degrees = pyproj.Transformer.from_crs(usable.crs, 4326, always_xy=True)
    return bounds_of_points(*(np.asarray(axis) for axis in to_degrees.transform(x, y)))
