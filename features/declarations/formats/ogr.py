"""Layers that GDAL opens: by one named driver, exact in every integer and text."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyogrio
import pyogrio.errors
from pyproj.exceptions import CRSError

from features.declarations.formats.request import FORMATS, Request, told_plainly
from features.errors import DeclarationError
from features.messages.listed import listed
from features.messages.suggestions import did_you_mean

logger = logging.getLogger(__name__)

# integers stay integers beside nulls: as float64 they lose digits above 2**53
EXACT = {"integer_object_nulls": True}
GEOMETRY_TYPE_WITHOUT = "None"


def read_layer(
    path: Path, request: Request, driver: str, layers: list[str] | None = None, **options: str
) -> gpd.GeoDataFrame:
    """Read the wanted columns of one layer, its feature ids and its geometry.

    Parameters
    ----------
    driver
        GDAL's driver; a file that another one opens is refused.
    layers
        The layers that may be read; all with geometry where omitted.
    options
        The driver's open options.
    """
    with told_plainly(path), _systems_told(path), _warnings_logged(path):
        layer = choose_layer(path, request.layer, layers)
        info = pyogrio.read_info(path, layer=layer, force_feature_count=True, **options)
        if info["driver"] != driver:
            raise DeclarationError(
                f"{path.name} is opened by {info['driver']}, not {driver}; give {FORMATS}."
            )
        request.allow(int(info["features"]), path)
        columns = request.found_in(map(str, info["fields"]), path, info["fid_column"] or None)
        frame = _decoded(_read(path, layer, columns, options), columns)
        return request.with_feature_ids(frame.reset_index(drop=True), frame.index.astype(str).tolist())


def _read(path: Path, layer: str, columns: list[str], options: Mapping[str, str]) -> gpd.GeoDataFrame:
    shared: dict[str, Any] = {"layer": layer, "fid_as_index": True, **options}
    arrow = {"use_arrow": True, "datetime_as_string": True, "arrow_to_pandas_kwargs": EXACT}
    try:
        return pyogrio.read_dataframe(path, columns=columns, on_invalid="fix", **arrow, **shared)
    except NotImplementedError:  # arcs, which become chords here
        shapes = pyogrio.read_dataframe(path, columns=[], on_invalid="fix", **shared)
        table = pyogrio.read_dataframe(path, columns=columns, read_geometry=False, **arrow, **shared)
        return shapes.join(table, validate="1:1")[[*columns, shapes.geometry.name]]


def _decoded(frame: gpd.GeoDataFrame, columns: list[str]) -> gpd.GeoDataFrame:
    """Return the frame with its texts decoded: what is no UTF-8 fails here, not where it is first used."""
    texts = [name for name in columns if isinstance(frame[name].dtype, pd.StringDtype)]
    return frame.assign(**{name: frame[name].astype(object) for name in texts})


def choose_layer(path: Path, layer: str | None, layers: list[str] | None = None) -> str:
    """Return the one layer with geometry, or the one that the config names."""
    names = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    names = [name for name in names if layers is None or name in layers]
    if layer is not None and layer not in names:
        raise DeclarationError(
            f"{path.name} has no layer {layer!r}.{did_you_mean(layer, names)} It has {listed(names)}."
        )
    if layer is None and len(names) != 1:
        raise DeclarationError(
            f"{path.name} has {len(names)} layers with geometry; set `layer` to one of {listed(names)}."
        )
    return layer or names[0]


@contextmanager
def _systems_told(path: Path) -> Iterator[None]:
    """Say of a coordinate system that cannot be parsed where it stands."""
    try:
        yield
    except (CRSError, pyogrio.errors.CRSError) as error:
        projection = path.with_suffix(".prj")
        cure = f"remove {projection.name} and set `crs`" if projection.is_file() else "export it again"
        raise DeclarationError(
            f"The coordinate system of {path} cannot be understood ({error}); {cure}."
        ) from error


@contextmanager
def _warnings_logged(path: Path) -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in sorted({str(warning.message) for warning in caught}):
        logger.warning("%s: %s", path.name, warning)


@contextmanager
def gdal_settings(settings: Mapping[str, str]) -> Iterator[None]:
    """Set GDAL's options for the time of a block."""
    before = {name: pyogrio.get_gdal_config_option(name) for name in settings}
    pyogrio.set_gdal_config_options(dict(settings))
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)
