"""Real parcel outlines in place of simulated ones."""

import numpy as np
import shapely

from features.declarations.vector_file import Request, read_vector
from features.errors import DeclarationError
from features.simulate.grid import PIXEL, Grid

MARGIN = 60.0  # metres of unfarmed land around the parcels
LARGEST = 4000  # pixels along a side


def read_outlines(
    path: str, epsg: int
) -> tuple[Grid, list[shapely.Geometry], list[shapely.Geometry], list[str]]:
    """Read a parcel file's outlines into `epsg` and lay a grid around them; attributes are ignored.

    Raises
    ------
    DeclarationError
        Where the file cannot be read, has no coordinate system, holds no polygons, or spans more than 40 km.
    """
    geometry = read_vector(path, Request(())).geometry
    if geometry.crs is None:
        raise DeclarationError(f"{path} names no coordinate system; write one into the file.")
    polygons = geometry.to_crs(epsg).explode(ignore_index=True)
    polygons = polygons[polygons.geom_type.eq("Polygon") & (polygons.area > 0)]
    if polygons.empty:
        raise DeclarationError(f"{path} holds no polygon to lay a region over; name a layer of parcels.")
    left, bottom, right, top = shapely.box(*polygons.total_bounds).buffer(MARGIN, join_style="mitre").bounds
    step = 2 * PIXEL
    left, top = np.floor(left / step) * step, np.ceil(top / step) * step
    shape = tuple(int(np.ceil(size / step)) * 2 for size in (top - bottom, right - left))
    if max(shape) > LARGEST:
        raise DeclarationError(
            f"{path} spans {max(shape) / 100:.0f} km; cut it to {LARGEST / 100:.0f} km or less."
        )
    return Grid(epsg, left, top, (shape[0], shape[1])), list(shapely.make_valid(polygons.to_numpy())), [], []
