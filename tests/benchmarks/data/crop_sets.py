"""Parcel series with known classes, folds and groups: what the crop benchmark is run on."""

import json
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
import xarray as xr
from sklearn.model_selection import StratifiedKFold

from features.schema import make_series
from models.crops.fitting.options import TrainOptions
from models.folds import plan_folds
from pipelines.inputs.model_series import model_series
from pipelines.workspace import Workspace

NODATA = 65535
LEAST = 10  # points of a class
FOLDS = 5


@dataclass(frozen=True)
class WorkSet:
    """Parcels to type: `y` is learnt from, `truth` scored against, `groups` redrawn for the intervals."""

    name: str
    series: xr.Dataset
    y: np.ndarray
    truth: np.ndarray
    folds: np.ndarray
    groups: np.ndarray
    note: str


def load(name: str, data: Path, run: Path | None) -> WorkSet:
    """Read one set; `run` is the folder of a finished simulated run."""
    if name == "synthetic":
        if run is None:
            raise SystemExit(
                "The set 'synthetic' needs --run DIR, the folder of a run of conf/synthetic.yaml."
            )
        return synthetic(run)
    return {
        "ucr_crop": ucr_crop,
        "france_2022": france,
        "flanders_2021": flanders,
        "east_africa": east_africa,
    }[name](data)


def ucr_crop(data: Path) -> WorkSet:
    """UCR "Crop", training half: 7,200 series of 46 FORMOSAT-2 dates, 24 classes; stratified folds."""
    rows = np.loadtxt(data / "ucr-crop" / "Crop_TRAIN.tsv", delimiter="\t")
    y = np.array([f"class_{int(code):02d}" for code in rows[:, 0]])
    times = np.datetime64("2006-01-05", "ns") + np.arange(46) * np.timedelta64(8, "D")
    series = make_series([f"{i:05d}" for i in range(len(y))], times, ["ndvi"], value=rows[:, 1:, None, None])
    folds = np.empty(len(y), int)
    splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for number, (_, held) in enumerate(splitter.split(rows, y)):
        folds[held] = number
    note = "stratified folds: the set has neither places nor holdings"
    return WorkSet("ucr_crop", series, y, y, folds, np.arange(len(y)), note)


def france(data: Path) -> WorkSet:
    """500 points of the French LPIS 2022 (all in Corsica), 17 monthly composites; blocks."""
    table = _long(data / "lpis-points" / "2022_FRA_LPIS_POLY_110.month.geoparquet")
    return _of_long("france_2022", table, _labels(data), 2154)


def flanders(data: Path) -> WorkSet:
    """100 points of the Flemish LPIS 2021, 16 monthly composites; blocks."""
    table = _long(data / "lpis-points" / "2021_BEL_LPIS-Flanders_POLY_110.month.parquet")
    return _of_long("flanders_2021", table, _labels(data), 31370)


def _labels(data: Path) -> dict[int, str]:
    path = data / "worldcereal-legend" / "crop_type_class_mappings.csv"
    legend = pl.read_csv(path, separator=";", encoding="utf8-lossy", infer_schema=False)
    codes = [int(code.replace("-", "")) for code in legend[legend.columns[0]]]
    return dict(zip(codes, legend["sampling_label"].to_list(), strict=True))


def _long(path: Path) -> pl.DataFrame:
    names = [name for name in pl.read_parquet_schema(path) if name != "geometry"]
    return pl.read_parquet(path, columns=names).sort("sample_id", "timestamp")


def _of_long(name: str, table: pl.DataFrame, labels: dict[int, str], epsg: int) -> WorkSet:
    first = table.unique("sample_id", keep="first", maintain_order=True)
    times = table["timestamp"].unique().sort().to_numpy().astype("datetime64[ns]")
    shape = (first.height, len(times))
    columns = [c for c in table.columns if c.startswith(("S2-", "S1-", "AGERA5-"))]
    raw = {_feature(c): table[c].to_numpy().reshape(shape).astype(float) for c in columns}
    y = np.array([labels.get(code) or "unknown" for code in first["ewoc_code"]])
    return _points(name, first, times, raw, y, epsg)


def east_africa(data: Path) -> WorkSet:
    """500 field-survey points in Uganda, South Sudan and beyond, 2017, 12 monthly composites; blocks."""
    table = pl.read_parquet(data / "lpis-points" / "test_public_extractions.parquet").sort("sample_id")
    times = np.datetime64("2016-12", "M") + np.arange(12)
    bases = sorted({c.split("-ts")[0] for c in table.columns if "-ts" in c})
    raw = {}
    for base in bases:
        steps = sorted((c for c in table.columns if c.startswith(f"{base}-ts")), key=_step)
        raw[_feature(base)] = table.select(steps).to_numpy().astype(float)
    renamed = table.rename({"DEM-alt-20m": "elevation", "DEM-slo-20m": "slope"})
    y = table["balancing_class"].to_numpy().astype(str)
    return _points("east_africa", renamed, times.astype("datetime64[ns]"), raw, y, 32636)


def _step(column: str) -> int:
    return int(column.split("-ts")[1].split("-", maxsplit=1)[0])


def _feature(column: str) -> str:
    name = (
        column.removeprefix("S2-L2A-")
        .removeprefix("OPTICAL-")
        .removeprefix("S1-SIGMA0-")
        .removeprefix("SAR-")
    )
    known = {
        "VH": "s0vh_db",
        "VV": "s0vv_db",
        "AGERA5-PRECIP": "weather_precipitation",
        "AGERA5-TMEAN": "weather_t",
    }
    meteo = {"METEO-temperature_mean": "weather_t", "METEO-precipitation_flux": "weather_precipitation"}
    return (known | meteo).get(name, name)


def _points(
    name: str, points: pl.DataFrame, times: np.ndarray, raw: dict[str, np.ndarray], y: np.ndarray, epsg: int
) -> WorkSet:
    physical = {feature: _physical(feature, block) for feature, block in raw.items()}
    physical |= _indices(physical)
    counts = dict(zip(*np.unique(y, return_counts=True), strict=True))
    usable = np.array([counts[label] >= LEAST and label != "unknown" for label in y])
    value = np.stack(list(physical.values()), axis=-1)[usable][..., None]
    kept = points.filter(pl.Series(usable))
    series = make_series(kept["sample_id"].to_list(), times, list(physical), value=value)
    context = np.where(
        kept.select("elevation", "slope").to_numpy() == NODATA, np.nan, kept.select("elevation", "slope")
    )
    series["context"] = (("parcel", "variable"), context.astype(np.float32))
    series = series.assign_coords(variable=["elevation", "slope"])
    where = gpd.GeoDataFrame(
        {"parcel_id": kept["sample_id"].to_list(), "crop_class": y[usable]},
        geometry=gpd.points_from_xy(kept["lon"], kept["lat"], crs=4326),
    ).to_crs(epsg)
    where["holding_id"] = None
    plan = plan_folds(where, FOLDS, 0, "block")
    where_from = f"{plan.by} folds, blocks of {plan.block_metres:.0f} m, {plan.n_groups} groups"
    note = f"{where_from}; classes of {LEAST} points or more"
    return WorkSet(name, series, y[usable], y[usable], plan.fold, plan.group, note)


def _physical(feature: str, raw: np.ndarray) -> np.ndarray:
    known = np.where(raw == NODATA, np.nan, raw)
    if feature.startswith("s0"):
        return 20 * np.log10(np.where(known > 0, known, np.nan)) - 83
    return known * 1e-4 if feature.startswith("B") else known / 100


def _indices(block: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    def normalised(a: str, b: str) -> np.ndarray:
        total = block[a] + block[b]
        return np.divide(block[a] - block[b], total, out=np.full_like(total, np.nan), where=total > 0)

    ratio = {"ratio_db": block["s0vh_db"] - block["s0vv_db"]}
    return {
        "ndvi": normalised("B08", "B04"),
        "ndmi": normalised("B08", "B11"),
        "ndre": normalised("B08", "B05"),
    } | ratio


def synthetic(run: Path) -> WorkSet:
    """A finished run of the simulated region: declared classes learnt from, the hidden truth scored."""
    series = model_series(TrainOptions(), Workspace(run))
    where = gpd.read_parquet(run / "declarations.parquet").set_index("parcel_id", drop=False)
    where = where.loc[series["parcel"].values.astype(str)].reset_index(drop=True)
    truth = pl.read_parquet(next((run / "region").rglob("truth.parquet")))
    of = dict(zip(truth["parcel_id"], truth["true_class"], strict=True))
    plan = plan_folds(where, FOLDS, 0)
    y = where["crop_class"].fillna("").to_numpy().astype(str)
    known = np.array([of[name] or "" for name in where["parcel_id"]])
    seasons = json.dumps(sorted({int(s) for s in where["season"]}))
    note = f"{plan.by} folds; declared classes learnt from, true ones scored; season {seasons}"
    return WorkSet("synthetic", series, y, known, plan.fold, plan.group, note)
