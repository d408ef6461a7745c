"""Observations to a ParcelSeries: ragged dates onto a calendar, the seen kept apart from the filled."""

import logging
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import xarray as xr

from features.errors import ConfigError, StageError
from features.files import atomic_path, make_room
from features.messages.listed import listed
from features.schema import SERIES_VARIABLES, check_columns, check_series, make_series
from features.series.calendar import Calendar, make_calendar
from features.series.options import SeriesOptions
from features.workers import Progress

log = logging.getLogger(__name__)

KEYS = ("feature", "sensor", "relative_orbit")
CARRIED = ("pixel_count", "valid_share", "filled_share", "sigma")
FEATURES_AT_ONCE = 2  # composed into steps side by side
PARCELS_PER_CHUNK = 512
NEEDED = ("value", "observed")  # a series for models alone has no more
BESIDE_VALUES = 4 << 20  # bytes of a file that are no values: names, attributes, the tree of its chunks


def build_series(
    observations: pl.DataFrame | pl.LazyFrame,
    parcel_ids: Sequence[str],
    options: SeriesOptions,
    start: date,
    end: date,
    *,
    weather: pl.DataFrame | None = None,
    until: date | None = None,
    names: pl.DataFrame | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Bring the observations of a season onto the steps of a calendar.

    A step is `observed` when at least `min_share` of the parcel's pixels were seen on one of its dates; then
    only such dates enter it. Else the dates enter whose pixels were seen or filled to that share: the step
    has a value but is not observed. Where the share is unknown (null: a table that others extracted), a value
    counts as observed. Every relative orbit of a radar feature is a feature of its own, and an
    orbit that never saw a parcel stays missing. A lazy table is read one feature at a time.

    Parameters
    ----------
    observations
        Schema OBSERVATIONS. Parcels not in `parcel_ids` and dates outside the season are left out.
    parcel_ids
        All parcels, in the order of the result; those never observed are rows of missing values.
    weather
        `date, t_min_c, t_max_c`: needed by the thermal calendar; else gives the steps their growing-degree
        days.
    until
        Use nothing later than this day; the calendar then ends with the step in progress.
    names
        Features of the series, as `features_of` finds them in all observations, where these are of some
        parcels only.

    Returns
    -------
    xr.Dataset
        A ParcelSeries with, besides its own variables, `dates` (parcel, time, feature): acquisitions in each
        step; and coordinates `sensor (feature)`, `unit (feature)` and `degree_days (time)`, °C d, where
        weather is known.
    """
    calendar = make_calendar(
        options.calendar,
        start,
        end,
        weather,
        thermal_steps=options.thermal_steps,
        base_temperature_c=options.base_temperature_c,
        until=until,
    )
    last = end if until is None else min(until, end)
    table = observations.lazy()
    check_columns(
        table.collect_schema().names(),
        {*KEYS, *CARRIED, *options.statistics, "parcel_id", "datetime"},
        "The observations table",
    )
    parcels = pl.DataFrame({"parcel_id": list(parcel_ids)}, schema={"parcel_id": pl.String}).with_row_index(
        "parcel"
    )
    table = table.filter(pl.col("datetime").dt.date().is_between(start, last))
    names = features_of(table, options) if names is None else names
    series = _empty(list(parcel_ids), calendar, names, options, last)

    by_feature = _by_feature(table, names, parcels, options)

    def compose(feature: int) -> None:
        _scatter(series, feature, by_feature[feature], calendar, options)

    with ThreadPoolExecutor(FEATURES_AT_ONCE) as pool:
        for done, _ in enumerate(pool.map(compose, range(len(names))), 1):
            if progress is not None:
                progress(done, len(names))
    log.info("series: %d parcels, %d steps, %d features", *series["observed"].shape)
    return series


def last_days(series: xr.Dataset) -> list[date]:
    """Last day that each step of a ParcelSeries may have used, in order.

    The day before the next step; of the last step, the day before the attribute `end`. Where a series that
    others made has none, its last step is taken to be as long as the one before, or one day.
    """
    starts = series["time"].to_numpy().astype("datetime64[D]")
    span = starts[-1] - starts[-2] if len(starts) > 1 else np.timedelta64(1, "D")
    end = np.datetime64(series.attrs["end"], "D") if "end" in series.attrs else starts[-1] + span
    return [edge.astype(date) for edge in np.append(starts[1:], end) - np.timedelta64(1, "D")]


def unit_of(feature: str) -> str:
    """Unit of a feature, read from its name.

    Examples
    --------
    >>> unit_of("s0vh_db_r037"), unit_of("B04"), unit_of("ndvi")
    ('dB', 'reflectance', '1')
    """
    stem = feature.rsplit("_r", 1)[0]
    if stem.endswith("_db"):
        return "dB"
    return "reflectance" if stem[:1] == "B" and stem[1:2].isdigit() else "1"


def features_of(table: pl.LazyFrame, options: SeriesOptions) -> pl.DataFrame:
    """Return one row for each feature of the series: feature, sensor, relative_orbit, name.

    Raises
    ------
    ConfigError
        Where a feature that the options name was never observed.
    """
    orbit = pl.when(pl.col("sensor") == "s1").then(pl.col("relative_orbit"))
    keys = table.select(pl.col("feature", "sensor"), orbit.alias("relative_orbit")).unique()
    if options.features is not None:
        keys = keys.filter(pl.col("feature").is_in(list(options.features)))
    suffix = pl.format("_r{}", pl.col("relative_orbit").cast(pl.String).str.zfill(3)).fill_null("")
    found = (
        keys.with_columns((pl.col("feature") + suffix).alias("name"))
        .sort("sensor", "name", descending=[True, False])
        .collect()
    )
    absent = sorted(set(options.features or ()) - set(found["feature"]))
    if absent:
        have = table.select(pl.col("feature").unique().sort()).collect()["feature"].to_list()
        raise ConfigError(
            f"The season has no observation of {listed(absent)}; it has {listed(have)}. "
            "Change series.features or extract.features."
        )
    if found["name"].is_duplicated().any():
        raise StageError("Two sensors give features of one name; name the features apart in the extraction.")
    return found


def _empty(
    parcel_ids: list[str], calendar: Calendar, names: pl.DataFrame, options: SeriesOptions, last: date
) -> xr.Dataset:
    features = names["name"].to_list()
    series = make_series(parcel_ids, calendar.starts, features, options.statistics)
    series["dates"] = series["observed"].astype(np.uint8)
    coords: dict = {
        "sensor": ("feature", names["sensor"].to_numpy()),
        "unit": ("feature", np.array([unit_of(f) for f in features], object)),
    }
    if calendar.degree_days is not None:
        coords["degree_days"] = ("time", calendar.degree_days)
    end = min(calendar.edges[-1], np.datetime64(last, "ns") + np.timedelta64(1, "D"))  # first day not used
    return series.assign_coords(coords).assign_attrs(calendar=calendar.name, end=str(end)[:10])


def _by_feature(
    table: pl.LazyFrame, names: pl.DataFrame, parcels: pl.DataFrame, options: SeriesOptions
) -> list[pl.DataFrame]:
    """Return the observations of each feature that have enough pixels, with their parcel's index, in a fixed
    order.
    """
    orbit = pl.when(pl.col("sensor") == "s1").then(pl.col("relative_orbit"))
    numbers = names.with_row_index("number").select("number", *KEYS)
    values = [*CARRIED, *options.statistics]
    rows = (
        table.filter(pl.col("valid_share").fill_null(1) >= options.min_share)
        .with_columns(relative_orbit=orbit)
        .join(numbers.lazy(), on=KEYS, nulls_equal=True)
        .join(parcels.lazy(), on="parcel_id")
        .select("number", "parcel", "datetime", *values)
        .sort("number", "parcel", "datetime")
        .collect()
    )
    ends = np.searchsorted(rows["number"].to_numpy(), np.arange(len(names) + 1))
    found = [rows.slice(start, end - start).drop("number") for start, end in pairwise(ends.tolist())]
    return [_in_order(one, values) for one in found]


def _in_order(rows: pl.DataFrame, values: Sequence[str]) -> pl.DataFrame:
    """Return rows sorted by parcel and time; those of one parcel and time by their values."""
    twice = (rows["parcel"] == rows["parcel"].shift(1)) & (rows["datetime"] == rows["datetime"].shift(1))
    return rows.sort("parcel", "datetime", *values) if twice.any() else rows


def _scatter(
    series: xr.Dataset, feature: int, rows: pl.DataFrame, calendar: Calendar, options: SeriesOptions
) -> None:
    """Compose the rows of one feature into its steps, in place."""
    step = calendar.step_of(rows["datetime"].to_numpy())
    share = rows["valid_share"].fill_null(1).to_numpy() - rows["filled_share"].fill_null(0).to_numpy()
    seen = share >= options.min_share - 1e-6
    cell = rows["parcel"].to_numpy().astype(np.int64) * len(calendar) + step
    keep = _entering(cell, step >= 0, seen, share, options.composite)
    cell, seen, rows = cell[keep], seen[keep], rows.filter(keep)
    if not len(cell):
        return
    cells, first = np.unique(cell, return_index=True)
    parcel, step = np.divmod(cells, len(calendar))
    weight = np.maximum(rows["pixel_count"].fill_null(0).to_numpy().astype(float), 1e-6)
    for index, statistic in enumerate(options.statistics):
        values = rows[statistic].cast(pl.Float64).fill_null(np.nan).to_numpy()
        series["value"].values[parcel, step, feature, index] = _compose(
            values, weight, cell, first, options.composite
        )
    series["observed"].values[parcel, step, feature] = seen[first]
    series["dates"].values[parcel, step, feature] = np.minimum(np.diff(np.append(first, len(cell))), 255)
    for name in ("filled_share", "sigma"):
        values = rows[name].cast(pl.Float64).fill_null(0).fill_nan(0).to_numpy()
        series[name].values[parcel, step, feature] = _compose(values, weight, cell, first, "mean")


def _entering(
    cell: np.ndarray, inside: np.ndarray, seen: np.ndarray, share: np.ndarray, composite: str
) -> np.ndarray:
    """Which rows enter their step: the seen ones where there are any, else all; one for `least_cloudy`."""
    if not len(cell):
        return inside
    _, number = np.unique(cell, return_inverse=True)
    any_seen = np.zeros(number.max() + 1, bool)
    any_seen[number[seen & inside]] = True
    keep = inside & (seen | ~any_seen[number])
    if composite != "least_cloudy":
        return keep
    order = np.lexsort((-share, ~keep, number))
    best = order[np.unique(number[order], return_index=True)[1]]
    return keep & np.isin(np.arange(len(cell)), best)


def _compose(
    values: np.ndarray, weight: np.ndarray, cell: np.ndarray, first: np.ndarray, composite: str
) -> np.ndarray:
    """One value for each cell; rows lie sorted by cell, `first` is where each cell begins."""
    if composite == "median":
        return _median(values, cell, first)
    known = np.isfinite(values)
    total = np.add.reduceat(np.where(known, values * weight, 0), first)
    share = np.add.reduceat(np.where(known, weight, 0), first)
    return np.divide(total, share, out=np.full_like(total, np.nan), where=share > 0)


def _median(values: np.ndarray, cell: np.ndarray, first: np.ndarray) -> np.ndarray:
    ordered = values[np.lexsort((values, cell))]
    count = np.add.reduceat(np.isfinite(values).astype(np.int64), first)
    low, high = first + np.maximum(count - 1, 0) // 2, first + count // 2
    high = np.minimum(high, np.append(first[1:], len(values)) - 1)
    return np.where(count > 0, (ordered[low] + ordered[high]) / 2, np.nan)


def write_series(series: xr.Dataset, path: Path) -> Path:
    """Write a ParcelSeries `(parcel, time, feature, statistic)` as one NetCDF-4 file, atomically; equal
    series give equal bytes.
    """
    with atomic_path(path) as partial:
        create_series(series, partial)
    return path


def create_series(series: xr.Dataset, path: Path, grows: bool = False) -> None:
    """Write a ParcelSeries into a new file; where it `grows`, more parcels `(parcel, …)` may follow."""
    check_series(series, [name for name in SERIES_VARIABLES if name in series or name in NEEDED])
    chunks = {
        "parcel": PARCELS_PER_CHUNK if grows else min(PARCELS_PER_CHUNK, max(series.sizes["parcel"], 1))
    }
    encoding = {
        str(name): {
            "zlib": True,
            "complevel": 1,
            "shuffle": True,
            "chunksizes": tuple(
                chunks.get(str(dim), max(size, 1))
                for dim, size in zip(variable.dims, variable.shape, strict=True)
            ),
        }
        for name, variable in series.data_vars.items()
        if variable.size
    }
    make_room(path, series.nbytes + BESIDE_VALUES)
    _create_without_times(path)
    unlimited = ["parcel"] if grows else []
    series.to_netcdf(path, mode="a", engine="h5netcdf", encoding=encoding, unlimited_dims=unlimited)


def _create_without_times(path: Path) -> None:
    """Create an HDF5 file whose root group, unlike h5py's default, does not record when it was made."""
    import h5py

    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    tracked = h5py.h5p.CRT_ORDER_TRACKED | h5py.h5p.CRT_ORDER_INDEXED
    creation.set_link_creation_order(tracked)  # as the netCDF-4 library expects
    creation.set_attr_creation_order(tracked)
    h5py.h5f.create(str(path).encode(), h5py.h5f.ACC_TRUNC, fcpl=creation).close()


def read_series(
    path: Path, parcels: slice | None = None, only: Collection[str] = SERIES_VARIABLES
) -> xr.Dataset:
    """Read a ParcelSeries `(parcel, time, feature, statistic)`, or the `parcels` of it, by position.

    Parameters
    ----------
    only
        Variables that are needed; others of the schema are not read, and what a file has beside the schema
        is read where all of that is.

    Raises
    ------
    StageError
        Where the file is absent or is not a whole ParcelSeries.
    """
    with opened_series(path) as opened:
        left_out = (
            [] if set(only) >= set(SERIES_VARIABLES) else [v for v in opened.data_vars if v not in only]
        )
        part = opened.drop_vars(left_out)
        part = part if parcels is None else part.isel(parcel=parcels)
        return check_series(_plain(part.load()), [name for name in SERIES_VARIABLES if name in only])


def read_names(path: Path) -> np.ndarray:
    """Return the ids `(parcel,)` of a ParcelSeries on disk; nothing else of it is read."""
    with opened_series(path) as opened:
        return np.asarray(opened["parcel"].values.astype(str))


@contextmanager
def opened_series(path: Path) -> Iterator[xr.Dataset]:
    """Yield a ParcelSeries of which nothing is read yet (see `loaded`), without an index: that would read the
    ids of all parcels for some of them.

    Raises
    ------
    StageError
        As `read_series`, also of what is read from it while it is open.
    """
    if not path.is_file():
        raise StageError(
            f"There is no series at {path}; run the stage that writes it first (cropcheck fill)."
        )
    try:
        with xr.open_dataset(path, engine="h5netcdf", cache=False, create_default_indexes=False) as opened:
            yield opened
    except (OSError, ValueError, KeyError) as error:
        raise StageError(
            f"The series at {path} cannot be read ({error}); delete it and run cropcheck fill again."
        ) from error


def loaded(part: xr.Dataset) -> xr.Dataset:
    """Return a part of an opened ParcelSeries, read and checked."""
    return check_series(_plain(part.load()))


def _plain(series: xr.Dataset) -> xr.Dataset:
    """As it was before it was written: no encodings, text as objects, an index along each dimension."""
    coords = {
        name: (
            coord.dims,
            coord.values.astype(object) if coord.dtype.kind in "OUT" else coord.values,
            coord.attrs,
        )
        for name, coord in series.coords.items()
    }
    return series.assign_coords(coords).drop_encoding()
