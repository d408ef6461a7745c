"""Series that forecasts are scored on: real flux-tower sites, and simulated regions over several seasons.

The sites are read from the folder that CROPCHECK_DATA names; nothing of it is kept.
"""

import os
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from features.context.daily import Daily
from features.simulate.land.terrain import SOILS
from features.simulate.options import SimulationOptions
from features.simulate.region.earlier import season_series
from models.forecast.history import History, crops_of, looks_from, no_looks, radar_from, year_starts

DATA = Path(os.environ.get("CROPCHECK_DATA", "../shared/data"))
CROPLAND, GRASSLAND = "LC11", "LC10"


def flux_sites() -> History:
    """Return the 71 sites, NDVI 2017 to 2024; the class is the land cover in the file's name."""
    parts, cover = [], {}
    for path in sorted((DATA / "flux-sites" / "NDVI_EVI2").glob("*.csv")):
        found = re.search(r"31_(.*?)_(LC\d+)", path.name)
        if found is None:
            continue
        site, cover[found[1]] = found[1], found[2]
        parts.append(
            pl.read_csv(path, infer_schema_length=None).select(
                parcel_id=pl.lit(site), date=pl.col("t").str.to_date(),
                ndvi=pl.col("NDVI").cast(pl.Float64, strict=False),
            )
        )  # fmt: skip
    ids, origin = sorted(cover), date(2017, 1, 1)
    looks, _ = looks_from(pl.concat(parts), ids, origin)
    classes = tuple(sorted(set(cover.values())))
    crop = crops_of(dict.fromkeys(range(2017, 2025), cover), ids, classes, 2017, 8)
    return History(tuple(ids), origin, looks, no_looks(len(ids), 4), classes, crop)


@dataclass(frozen=True)
class Regions:
    """Simulated regions side by side: their history, and the holding and region of each parcel."""

    history: History
    holding: np.ndarray
    region: np.ndarray
    clear: pl.DataFrame  # parcel_id, date, ndvi as it was


def regions(seeds: list[int], seasons: list[int], parcels: int) -> Regions:
    """Return several regions over several seasons, with radar, weather, soil and elevation."""
    options = SimulationOptions(n_parcels=parcels)
    origin, years = date(seasons[0], 1, 1), len(seasons)
    ndvi, radar, clear, holding, region, ground = [], [], [], [], [], []
    declared: dict[int, dict[str, str | None]] = {}
    ids: list[str] = []
    days = int(year_starts(origin, years)[-1])
    weather = np.full((len(seeds), days, 2), np.nan, np.float32)
    surface = np.full((len(seeds), days, 2), np.nan, np.float32)
    for place, seed in enumerate(seeds):
        tag = f"{seed}/"
        for season in seasons:
            found = season_series(options, season, seed)
            named = pl.concat_str(pl.lit(tag), pl.col("parcel_id")).alias("parcel_id")
            ndvi.append(found.ndvi.with_columns(named))
            radar.append(found.radar.with_columns(named))
            clear.append(found.clear.with_columns(named))
            of = dict(found.ndvi.with_columns(named).select("parcel_id", "crop_class").unique().iter_rows())
            declared.setdefault(season, {}).update(of)
            _lay_weather(weather[place], found.weather, origin)
            _lay_surface(surface[place], found.weather, origin)
        own = [f"{tag}{number:06d}" for number in range(1, len(found.holding) + 1)]
        ids += own
        holding += [f"{tag}{name}" for name in found.holding]
        region += [place] * len(own)
        ground.append(np.column_stack([found.soil[:, None] == np.array(sorted(SOILS)), found.elevation_m]))
    looks, _ = looks_from(pl.concat(ndvi), ids, origin)
    classes = tuple(sorted({name for of in declared.values() for name in of.values() if name}))
    where = np.array(region)
    daily = Daily(("t_mean_c", "precipitation_mm"), 0, weather, where)
    history = History(
        tuple(ids), origin, looks, radar_from(pl.concat(radar), ids, origin), classes,
        crops_of(declared, ids, classes, origin.year, years),
        (*(f"soil_{kind}" for kind in sorted(SOILS)), "elevation_m"),
        np.concatenate(ground).astype(np.float32),
        weather=daily,
        surface=Daily(("dssf", "et"), 0, surface, where),
    )  # fmt: skip
    return Regions(history, np.unique(holding, return_inverse=True)[1], where, pl.concat(clear))


def _lay_weather(out: np.ndarray, table: pl.DataFrame, origin: date) -> None:
    at = (table["date"] - origin).dt.total_days().to_numpy()
    inside = (at >= 0) & (at < len(out))
    out[at[inside], 0] = ((table["t_min_c"] + table["t_max_c"]) / 2).to_numpy()[inside]
    out[at[inside], 1] = table["precipitation_mm"].to_numpy()[inside]


def _lay_surface(out: np.ndarray, table: pl.DataFrame, origin: date) -> None:
    """Lay out by day what land-surface products would show: shortwave flux and evapotranspiration.

    Makkink: ET = 0.65 s / (s + 0.066) R / 2.45 mm (de Bruin 1987), with s the slope of the saturation vapour
    pressure in kPa per degree (FAO-56, equation 13) and R in MJ m-2; each with 5% of noise of its own.
    """
    at = (table["date"] - origin).dt.total_days().to_numpy()
    inside = (at >= 0) & (at < len(out))
    warm = ((table["t_min_c"] + table["t_max_c"]) / 2).to_numpy()[inside]
    flux = table["radiation_mj"].to_numpy()[inside]
    slope = 4098 * 0.6108 * np.exp(17.27 * warm / (warm + 237.3)) / (warm + 237.3) ** 2
    noise = np.random.default_rng(abs(int(at[0]))).normal(1, 0.05, (2, len(warm)))
    out[at[inside], 0] = flux * noise[0]
    out[at[inside], 1] = 0.65 * slope / (slope + 0.066) * flux / 2.45 * noise[1]
