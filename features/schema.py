"""Names, units, dimensions and ranges of everything that crosses a boundary, and the checks of them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict, cast

import numpy as np
import polars as pl

from features.errors import CropcheckError

if TYPE_CHECKING:  # every room needs the names, few need these libraries, whose import takes a second
    import geopandas as gpd
    import xarray as xr

STATISTICS = ("mean", "std", "min", "max", "p25", "median", "p75")
SERIES_DIMS = ("parcel", "time", "feature", "statistic")
SERIES_VARIABLES = ("value", "observed", "sigma", "filled_share")
STACK_DIMS = ("time", "band", "y", "x")

Row = dict[str, Any]  # of a table, column to value, as `DataFrame.iter_rows(named=True)` gives it
ENSEMBLE = "ensemble"  # the combined model, in the column `model` of tables of probabilities and scores

SENSORS = ("s1", "s2")
OPTICAL_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
ATMOSPHERE_BANDS = ("B01", "B09", "B10")  # of 60 m, of level 1C: some cloud masks need them
RADAR_BANDS = ("vv", "vh", "cohvv", "cohvh")
SCENE_CLASS = "scl"

DECLARATION_COLUMNS = {
    "parcel_id": "string, unique, leading zeros kept",
    "holding_id": "string, pseudonymised at the door; null where the source has none",
    "season": "integer year",
    "declared": "string, national code of the main crop",
    "declared_second": "string or null, national code of the second crop",
    "hcat_code": "string or null, ten digits",
    "crop_class": "string or null, the run's modelling class; null where the code is unmapped",
    "intervention": "string or null",
    "region": "string or null",
    "area_ha": "float, hectares of the geometry: in the agency's own metric CRS, else geodesic",
    "claimed_area_ha": "float or NaN, hectares as declared",
    "reason": "string or null: why the parcel was set aside (see DECLARATION_REASONS), null where usable",
    "geometry": "(multi)polygon in a metric CRS; empty where misplaced or beyond repair",
}
DECLARATION_REASONS = (
    "unreadable_id",
    "misplaced",
    "empty_geometry",
    "invalid_geometry",
    "no_code",
    "unmapped_code",
)


def _schema(columns: Mapping[str, Any]) -> pl.Schema:
    return pl.Schema(columns)


ASSET = pl.Struct(
    {
        "band": pl.String,  # our name: B02 ... B12, B8A, scl, vv, vh, cohvv, cohvh
        "href": pl.String,
        "scale": pl.Float64,  # physical = raw * scale + offset
        "offset": pl.Float64,
        "nodata": pl.Float64,  # null: no nodata value
        "unit": pl.String,  # reflectance, class, linear, db, coherence; unknown: the file must say
        # of nodata, scale, offset those the item is silent on; offset_unit: the offset was configured in
        # stored numbers and converted by an assumed scale; offset_unknown: the file must say
        "assumed": pl.List(pl.String),
        "version": pl.String,  # what the item states of the content: a checksum, else when it was updated
    }
)
ACQUISITIONS = _schema(
    {
        "item_id": pl.String,
        "datetime": pl.Datetime("us"),  # UTC
        "sensor": pl.String,  # one of SENSORS
        "orbit_state": pl.String,  # ascending, descending or null
        "relative_orbit": pl.Int32,
        "platform": pl.String,
        "processing_baseline": pl.String,
        "tile": pl.String,  # MGRS tile, grid code or name of the place; the work unit is tile x acquisition
        "epsg": pl.Int32,
        "footprint": pl.String,  # WKT in degrees of what was seen; null where the item states none
        "assets": pl.List(ASSET),
    }
)


class Asset(TypedDict, total=False):
    """One band of an acquisition, as `ASSET`."""

    band: str
    href: str
    scale: float
    offset: float
    nodata: float | None
    unit: str
    assumed: list[str] | None
    version: str | None


class Acquisition(TypedDict):
    """One row of the acquisitions table, as `ACQUISITIONS`."""

    item_id: str
    datetime: datetime
    sensor: str
    orbit_state: str | None
    relative_orbit: int | None
    platform: str | None
    processing_baseline: str | None
    tile: str
    epsg: int | None
    footprint: str | None
    assets: list[Asset]


def acquisition_rows(acquisitions: pl.DataFrame) -> list[Acquisition]:
    """The rows of an acquisitions table."""
    return cast(list[Acquisition], acquisitions.to_dicts())


def assets_by_band(row: Acquisition) -> dict[str, Asset]:
    """The assets of one row of the acquisitions table, by band."""
    return {asset["band"]: asset for asset in row["assets"]}


OBSERVATIONS = _schema(
    {
        "parcel_id": pl.String,
        "datetime": pl.Datetime("us"),
        "sensor": pl.String,
        "relative_orbit": pl.Int32,
        "feature": pl.String,  # ndvi, B04, s0vh_db ...: without the orbit, which has its own column
        **dict.fromkeys(STATISTICS, pl.Float32()),
        "pixel_count": pl.Float32,  # sum of coverage of unmasked pixels
        "valid_share": pl.Float32,  # of the parcel's coverage, seen or filled, 0 to 1
        "filled_share": pl.Float32,  # of the parcel's coverage, filled by cloud removal, 0 to 1
        "sigma": pl.Float32,  # standard error that filling adds to the mean, in its unit; 0 where seen
    }
)
VERDICTS_OF = ("confirmed", "contradicted", "inconclusive", "not_monitorable", "no_data")
VERDICTS = _schema(
    {
        "parcel_id": pl.String,
        "season": pl.Int32,
        "declared": pl.String,  # national code
        "crop_class": pl.String,  # the declared class
        "predicted": pl.String,  # class of highest probability
        "probability": pl.Float32,  # of the declared class, calibrated, out of fold
        "top3": pl.List(pl.Struct({"crop_class": pl.String, "probability": pl.Float32})),
        "prediction_set": pl.List(pl.String),
        "p_value": pl.Float32,
        "q_value": pl.Float32,
        "verdict": pl.String,  # one of VERDICTS_OF
        "reason": pl.String,  # a reason code of models.verdicts.rule
        "n_observations": pl.Int32,  # clear optical dates plus radar dates, as the series saw them
        "filled_share": pl.Float32,
        "sigma": pl.Float32,
        "area_ha": pl.Float32,
        "fold": pl.Int32,
        "model_id": pl.String,
    }
)
EVENTS_OF = ("mowing", "grazing", "bare_soil", "ploughing", "sowing", "emergence", "harvest")
EVENTS = _schema(
    {
        "parcel_id": pl.String,
        "event": pl.String,  # one of EVENTS_OF
        "earliest": pl.Date,  # the event happened after the look on this day ...
        "latest": pl.Date,  # ... and by the look on this one
        "date": pl.Date,  # the likeliest
        "probability": pl.Float32,  # that it happened within 12 days of the date; calibrated where learned
        "sensors": pl.List(pl.String),  # of SENSORS, those that speak for it
        "gap_days": pl.Int32,  # between the two clear looks around it
        "evidence": pl.String,  # in plain words
        "reason": pl.String,  # "seen", or why it is not reported: a code of models.events.table
    }
)
FORECAST = _schema(
    {
        "parcel_id": pl.String,
        "made_on": pl.Date,  # what was known by the end of this day
        "date": pl.Date,  # the day ahead
        "ndvi": pl.Float32,
        "low_90": pl.Float32,
        "low_50": pl.Float32,
        "high_50": pl.Float32,
        "high_90": pl.Float32,
        "last_seen": pl.Date,  # the last clear look it starts from; null where there is none
        "weather_ahead": pl.String,  # none, climatology, table or measured: claims of their own
    }
)
MARKER_STATES = ("met", "not_met", "open", "inconclusive", "not_monitorable", "no_data")
MARKERS = _schema(
    {
        "parcel_id": pl.String,
        "requirement": pl.String,  # its name in the scheme
        "state": pl.String,  # one of MARKER_STATES
        "reason": pl.String,  # a code of models.verdicts.markers
        "from": pl.Date,  # the window, as resolved for the season and parcel
        "to": pl.Date,
        "events": pl.List(pl.String),  # what counted, "mowing 2024-06-12"
        "n_observations": pl.Int32,  # clear optical looks and radar passes within the window
        "p_value": pl.Float32,  # that the requirement is kept; null where no labels calibrate it
        "model_id": pl.String,
    }
)
COMPOSITION = _schema(
    {
        "parcel_id": pl.String,
        "crop_class": pl.String,
        "area_ha": pl.Float64,  # share of the parcel's area
        "share": pl.Float64,  # of the parcel's area that was seen, borders counting less; sums to one
        "pixels": pl.Int32,
        "clusters": pl.Int32,  # that are large enough to count
        "largest_cluster": pl.Int32,  # pixels; 0 where none counts
    }
)
# one row per parcel: what geometry and grid leave of it
PARCELS = _schema(
    {
        "parcel_id": pl.String,
        "tile": pl.String,
        "area_ha": pl.Float64,
        "buffered_area_ha": pl.Float64,
        "full_pixels": pl.Int32,  # coverage >= 0.999 after the buffer
        "buffer_loss": pl.Float32,  # share of the parcel's pixels lost to the buffer, 0 to 1
    }
)
# importance of a (feature, time) group; crop_class "all" for overall
IMPORTANCE = _schema(
    {
        "method": pl.String,  # shap, permutation, impurity
        "model": pl.String,
        "crop_class": pl.String,
        "feature": pl.String,
        "time": pl.Date,
        "value": pl.Float64,
        "n": pl.Int32,
    }
)
# signed contribution of a (feature, time) group to one class's score of one parcel
CONTRIBUTIONS = _schema(
    {
        "parcel_id": pl.String,
        "model": pl.String,
        "crop_class": pl.String,
        "feature": pl.String,
        "time": pl.Date,
        "contribution": pl.Float32,
    }
)
# Tables of probabilities have a column a class, beside these; `all` stands for every class.
RESERVED_CLASSES = frozenset(
    ("all", "at", "code", "group", "guess", "held_out", "known", "own", "reference", "true_class"),
).union(DECLARATION_COLUMNS, VERDICTS, PARCELS, IMPORTANCE, CONTRIBUTIONS, OBSERVATIONS)


class SchemaError(CropcheckError):
    """A table or tensor that is not what the next room expects."""


def check_columns(found: Iterable[str], expected: Iterable[str], what: str) -> None:
    """Raise a SchemaError that shows the difference when a column is missing."""
    missing = sorted(set(expected) - set(found))
    if missing:
        raise SchemaError(
            f"{what} lacks the columns {', '.join(missing)}; it has {', '.join(sorted(found))}. "
            "Run the stage before again."
        )


def check_table(table: pl.DataFrame, schema: pl.Schema, what: str) -> pl.DataFrame:
    """Return `table` with exactly the schema's columns, in its order and types.

    Raises
    ------
    SchemaError
        Where a column is missing or cannot take the type.
    """
    check_columns(table.columns, schema.names(), what)
    try:
        return table.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
    except pl.exceptions.PolarsError as error:
        raise SchemaError(f"{what} has a column of the wrong type: {error}") from error


def check_declarations(declarations: "gpd.GeoDataFrame") -> "gpd.GeoDataFrame":
    """Return the declarations if their columns, ids and CRS are as the schema says."""
    check_columns(declarations.columns, DECLARATION_COLUMNS, "The declarations table")
    repeated = declarations["parcel_id"][declarations["parcel_id"].duplicated()]
    if len(repeated):
        raise SchemaError(
            f"{len(repeated)} parcel ids repeat, first {', '.join(repeated[:3])}; make them unique."
        )
    if declarations.crs is None or declarations.crs.is_geographic:
        raise SchemaError("The declarations have no metric CRS; reproject them before passing them on.")
    return declarations


def make_series(
    parcel_ids: Sequence[str],
    times: np.ndarray,
    features: Sequence[str],
    statistics: Sequence[str] = ("mean",),
    value: np.ndarray | None = None,
    observed: np.ndarray | None = None,
) -> "xr.Dataset":
    """Assemble a ParcelSeries.

    Parameters
    ----------
    times
        `datetime64[ns]`, the start of each step.
    features
        Names with the orbit where there is one: `ndvi`, `s0vh_db_r037`.
    value, observed
        `(parcel, time, feature, statistic)` and `(parcel, time, feature)`; all missing when omitted.

    Returns
    -------
    xr.Dataset
        float32 `value` (parcel, time, feature, statistic), NaN where unknown; bool `observed`, float32
        `sigma` and `filled_share` (parcel, time, feature).
    """
    import xarray as xr

    shape = (len(parcel_ids), len(times), len(features))
    value = np.full((*shape, len(statistics)), np.nan, np.float32) if value is None else value
    observed = np.isfinite(value).any(-1) if observed is None else observed
    axes = SERIES_DIMS[:3]
    return xr.Dataset(
        {
            "value": (SERIES_DIMS, value.astype(np.float32, copy=False)),
            "observed": (axes, observed.astype(bool)),
            "sigma": (axes, np.zeros(shape, np.float32)),
            "filled_share": (axes, np.zeros(shape, np.float32)),
        },
        coords={
            "parcel": np.asarray(parcel_ids, dtype=object),
            "time": np.asarray(times, dtype="datetime64[ns]"),
            "feature": np.asarray(features, dtype=object),
            "statistic": np.asarray(statistics, dtype=object),
        },
    )


def check_series(series: "xr.Dataset", names: Sequence[str] = SERIES_VARIABLES) -> "xr.Dataset":
    """Return the ParcelSeries if its variables, or those named, and their dimensions are as the schema
    says.
    """
    for name in names:
        dims = SERIES_DIMS if name == "value" else SERIES_DIMS[:3]
        if name not in series or series[name].dims != dims:
            found = series[name].dims if name in series else "nothing"
            raise SchemaError(f"A ParcelSeries holds {name} {dims}; here is {found}.")
    return series


def check_stack(stack: "xr.Dataset") -> "xr.Dataset":
    """Return the pixel stack if it holds `reflectance (time, band, y, x)` and `scene_class (time, y, x)`.

    `backscatter (radar_time, polarisation, y, x)` in dB is optional: its dates are its own.
    """
    if "reflectance" not in stack or stack["reflectance"].dims != STACK_DIMS:
        raise SchemaError(f"A pixel stack holds reflectance {STACK_DIMS}; here are {dict(stack.sizes)}.")
    return stack
