"""Reference parcels of the exchange: an agency's layer, and which declared parcel lies in which."""

import geopandas as gpd
import numpy as np
import polars as pl
import shapely

from features.errors import CropcheckError
from features.exchange.cells import ExchangeError
from features.exchange.layers import read_layer_file
from features.exchange.options import LpisOptions
from features.exchange.quap.findings import FINDINGS
from features.exchange.quap.reader import QuapFile
from features.exchange.quap.tables import GSA_LPIS, LPIS
from features.limits import DEFAULT_LIMITS
from features.messages.listed import listed
from features.messages.suggestions import did_you_mean

EQUAL_AREA = 3035  # ETRS89-LAEA


def read_lpis(options: LpisOptions, most_gib: float = DEFAULT_LIMITS.table_gib) -> QuapFile:
    """Read an agency's layer of reference parcels as `lpis_population`.

    A total that the layer does not state is the area of the geometry; other columns that it lacks stay
    empty, for `cropcheck validate` to list: unknown is not zero.

    Raises
    ------
    ExchangeError
        Where the layer cannot be read, has no EPSG code, or lacks the ids or a column that was named.
    """
    frame = _layer(options, most_gib)
    names = {wanted: options.columns.get(wanted, wanted) for wanted in LPIS.columns}
    _check_columns(frame, names, options)
    epsg = frame.crs.to_epsg() if frame.crs is not None else None
    if epsg is None:
        raise ExchangeError(
            f"{options.path} does not say its coordinate system by an EPSG code; export it again with one.",
            "no_epsg",
        )
    cells = {wanted: _texts(frame, name) for wanted, name in names.items()}
    if cells["lpis_code"].null_count() and options.code:
        cells["lpis_code"] = cells["lpis_code"].fill_null(options.code)
    hectares = frame.geometry.to_crs(EQUAL_AREA).area.to_numpy() / 10_000
    cells["tot_area"] = cells["tot_area"].fill_null(pl.Series(hectares).cast(pl.String))
    return QuapFile(
        LPIS, pl.DataFrame(cells), frame.geometry.to_numpy(), int(epsg), pl.DataFrame(schema=FINDINGS)
    )


def relate(declarations: gpd.GeoDataFrame, lpis: QuapFile, least_share: float) -> QuapFile:
    """Return `gsa_lpis_relationship`: the reference parcels that hold a share of each declared one.

    Parameters
    ----------
    declarations
        `parcel_id` and geometry, in a metric system.
    least_share
        Of the declared parcel's area; smaller overlaps are slivers of two drawings of one border.
    """
    assert lpis.shapes is not None
    own = declarations.geometry.to_numpy()
    reference = gpd.GeoSeries(lpis.shapes, crs=lpis.epsg).to_crs(declarations.crs).to_numpy()
    usable = np.flatnonzero(~shapely.is_missing(reference) & shapely.is_valid(reference))
    one, place = shapely.STRtree(reference[usable]).query(own, predicate="intersects")
    other = usable[place]
    shared = shapely.area(shapely.intersection(own[one], reference[other]))
    area = shapely.area(own)[one]
    enough = (shared > 0) & (shared >= least_share * area)
    order = np.lexsort((other[enough], one[enough]))
    rows, blocks = one[enough][order], other[enough][order]
    cells = lpis.cells.select("lpis_code", "lpis_rp_id")[blocks].with_columns(
        gsa_par_id=pl.Series(declarations["parcel_id"].astype(str).to_numpy()[rows], dtype=pl.String)
    )
    return QuapFile(GSA_LPIS, cells, None, None, pl.DataFrame(schema=FINDINGS))


def _layer(options: LpisOptions, most_gib: float) -> gpd.GeoDataFrame:
    try:
        frame = read_layer_file(options.path, options.layer, most_gib)
    except CropcheckError as error:
        raise ExchangeError(f"publish.lpis.path: {error}", "unreadable") from error
    if not isinstance(frame, gpd.GeoDataFrame):
        raise ExchangeError(f"{options.path} has no geometry; name the layer of parcels.", "no_geometry")
    return frame


def _check_columns(frame: gpd.GeoDataFrame, names: dict[str, str], options: LpisOptions) -> None:
    unknown = [name for name in options.columns if name not in LPIS.columns]
    if unknown:
        near = did_you_mean(unknown[0], list(LPIS.columns))
        raise ExchangeError(
            f"publish.lpis.columns: {listed(unknown)} are no columns of the exchange.{near}", "columns"
        )
    needed = {"lpis_rp_id": names["lpis_rp_id"], **options.columns}
    missing = [name for name in needed.values() if name not in frame.columns]
    if missing:
        near = did_you_mean(missing[0], list(frame.columns))
        raise ExchangeError(
            f"{options.path} lacks the columns {listed(missing)}; it has {listed(frame.columns)}.{near} Name "
            "them under publish.lpis.columns.",
            "missing_column",
        )


def _texts(frame: gpd.GeoDataFrame, name: str) -> pl.Series:
    if name not in frame.columns:
        return pl.Series([None] * len(frame), dtype=pl.String)
    column: pl.Series = pl.from_pandas(frame[name])
    return column.cast(pl.String)
