"""Real grassland with dated cuts, read from the folder that CROPCHECK_DATA names; nothing of it is kept.

`mowing-sk` (Opravil 2025): a unit is a plot and year, `PLOT@YEAR`, its days counted from 1 January, as if of
one plain year. Its test files carry the answers in columns, which are never read. Training dates are mostly
those of the first image after the cut. Plots without a row are unlabelled. `salms-mowing` are the JRC's ten
parcels.
"""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from models.events.series import EventSeries, from_observations

DATA = Path(os.environ.get("CROPCHECK_DATA", "../shared/data"))
PLAIN_YEAR = date(2021, 1, 1)
BANDS = {
    "blue": "B02", "green": "B03", "red": "B04", "re1": "B05", "re2": "B06", "re3": "B07", "nir": "B08",
    "swir1": "B11", "swir2": "B12",
}  # fmt: skip
NEAR_METRES = 100.0  # plots closer than this are one group
LEAP_DAY = 59
SALMS_CLEAR = 0.8  # share of a parcel's pixels that its scene classes call vegetation or soil


@dataclass(frozen=True)
class Grassland:
    """Series of units, their events (unit, event, day from 1 January), and which units are labelled.

    `group` is that of each unit, for folds and intervals.
    """

    series: EventSeries
    events: list[tuple[str, str, int]]
    labelled: frozenset[str]
    group: dict[str, int]

    def looks(self, unit: str) -> list[int]:
        """Return the days of a unit's clear looks."""
        row = self.series.parcel_ids.index(unit)
        return self.series.days[np.isfinite(self.series.optical[row, :, 0])].tolist()


def read_training() -> Grassland:
    """Read the training part of mowing-sk: Sentinel-2 series, dated cuts, plots known to be unmown."""
    folder = DATA / "mowing-sk" / "train"
    table = _series(sorted((folder / "S2").glob("*.csv")), "PLOTID")
    layer = gpd.read_file(folder / "GMI_Long.gpkg")
    events, labelled = [], set()
    for kind, plot, day, year in zip(
        layer["type"], layer["PLOTID"], layer["date"], layer["year"], strict=True
    ):
        labelled.add(f"{plot}@{year}")
        if kind == "k":
            events.append((f"{plot}@{day.year}", "mowing", _day(day)))
    centres = layer.drop_duplicates("PLOTID").to_crs(3035)
    group = _groups(centres["PLOTID"].tolist(), centres.geometry)
    return _grassland(table, events, labelled, group)


def read_test() -> Grassland:
    """Read the test part: of its files only the bands, the mask and the date."""
    folder = DATA / "mowing-sk" / "test"
    table = _series(sorted((folder / "SK_poly").glob("*.csv")), "plotID")
    layer = gpd.read_file(folder / "SK_long.gpkg")
    names = {"k": "mowing", "p": "grazing"}
    events = [
        (f"{plot}@{day.year}", names[kind], _day(day))
        for kind, plot, day in zip(layer["type"], layer["plotID"], layer["date"], strict=True)
    ]
    centres = layer.drop_duplicates("plotID")
    group = _groups(centres["plotID"].tolist(), centres.geometry)
    return _grassland(table, events, None, group)


def read_salms() -> Grassland:
    """Read the JRC's ten parcels: NDVI of clear dates in 2020, as its own weekly signals are made.

    The set's red and near infrared are brighter than what its NDVI was computed of, as without a correction
    of the atmosphere; they are left alone.
    """
    folder = DATA / "salms-mowing"
    parts = []
    for number in range(1, 11):
        table = pl.read_csv(folder / "tsdir" / f"{number}_s2_idx_ts.csv", infer_schema_length=None)
        clear = (pl.col("hist.4") + pl.col("hist.5")) / pl.col("count")
        kept = table.filter((clear >= SALMS_CLEAR) & (pl.col("band") == "NDVI"))
        day = pl.col("date").cast(pl.String).str.slice(0, 10).str.replace_all("-", "").str.slice(0, 8)
        parts.append(
            kept.select(
                parcel_id=pl.lit(str(number)),
                date=day.str.to_date("%Y%m%d"),
                feature=pl.lit("ndvi"),
                mean=pl.col("MEAN").cast(pl.Float64),
            )
        )
    with (folder / "gtdir" / "FOIinfo.csv").open(encoding="utf-8") as file:
        events = [
            (
                row["ID"],
                "mowing",
                (datetime.strptime(row["Event_date"], "%d/%m/%Y").date() - date(2020, 1, 1)).days,
            )
            for row in csv.DictReader(file)
        ]
    ids = [str(number) for number in range(1, 11)]
    series = from_observations(_observations(pl.concat(parts)), ids, date(2020, 1, 1))
    return Grassland(series, events, frozenset(ids), {name: k for k, name in enumerate(ids)})


def _series(files: Sequence[Path], plot: str) -> pl.DataFrame:
    """Return clear looks in long form; -9999 and other impossible reflectances are unseen."""
    parts = []
    for file in files:
        table = pl.read_csv(file, infer_schema_length=None, columns=[plot, "Date", "mask", *BANDS])
        parts.append(
            table.with_columns(pl.col("mask", *BANDS).cast(pl.Float64), plot=pl.col(plot).cast(pl.String))
        )
    day = pl.col("Date").str.to_date()
    year, number = day.dt.year(), day.dt.ordinal_day() - 1
    leap = day.dt.is_leap_year() & (number > LEAP_DAY)
    return (
        pl.concat([part.select("plot", "Date", "mask", *BANDS) for part in parts])
        .filter(pl.col("mask") == 1)
        .rename(BANDS)
        .with_columns(
            parcel_id=pl.col("plot") + "@" + year.cast(pl.String),
            date=pl.lit(PLAIN_YEAR) + pl.duration(days=number - leap.cast(pl.Int32)),
        )
        .unpivot(
            list(BANDS.values()), index=["parcel_id", "date"], variable_name="feature", value_name="mean"
        )
        .filter(pl.col("mean").is_between(-0.2, 2))
    )


def _observations(long: pl.DataFrame) -> pl.DataFrame:
    unknown = [
        pl.lit(None, pl.Float32).alias(name) for name in ("std", "pixel_count", "valid_share", "filled_share")
    ]
    return long.with_columns(
        unknown, datetime=pl.col("date").cast(pl.Datetime("us")), sensor=pl.lit("s2"),
        relative_orbit=pl.lit(None, pl.Int32),
    )  # fmt: skip


def _grassland(
    table: pl.DataFrame, events: list[tuple[str, str, int]], labelled: set[str] | None, group: dict[str, int]
) -> Grassland:
    ids = table["parcel_id"].unique(maintain_order=True).to_list()
    series = from_observations(_observations(table), ids, PLAIN_YEAR)
    known = frozenset(ids if labelled is None else set(ids) & labelled)
    plots = [name.split("@")[0] for name in ids]
    first = max(group.values()) + 1
    more = {plot: first + k for k, plot in enumerate(sorted(set(plots) - set(group)))}
    every = {**group, **more}
    return Grassland(
        series, events, known, {name: every[plot] for name, plot in zip(ids, plots, strict=True)}
    )


def _groups(plots: Sequence[str], points: gpd.GeoSeries) -> dict[str, int]:
    """Return the group of each plot: those that lie near one another are one."""
    known = ~(points.is_empty | points.isna()).to_numpy()
    plots = [plot for plot, where in zip(plots, known, strict=True) if where]
    places = np.column_stack([points[known].x, points[known].y])
    pairs = np.array(sorted(cKDTree(places).query_pairs(NEAR_METRES))).reshape(-1, 2)
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(places), len(places)))
    label = connected_components(links, directed=False)[1]
    return {plot: int(number) for plot, number in zip(plots, label, strict=True)}


def _day(day: datetime) -> int:
    """Return days from 1 January, as if the year were plain."""
    number = day.timetuple().tm_yday - 1
    leap = (date(day.year, 12, 31) - date(day.year, 1, 1)) == timedelta(days=365)
    return number - int(leap and number > LEAP_DAY)
