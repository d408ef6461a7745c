"""Pixels of real cubes, forecast by what other places and earlier years taught, beside a peer's network.

Learned from the flux-tower sites of the years before 2021: nothing of the cubes, nothing of their year. Of
each pixel the first 50 days are known; scored are the clear looks of the 100 days after, on vegetated pixels,
where the peer (Contextformer, with its own training corpus and the weather ahead) forecasts the same day.
"""

from dataclasses import replace
from datetime import date

import numpy as np
import xarray as xr

from models.forecast.forecaster import ALL, Forecaster, fit_forecaster, forecast
from models.forecast.history import History, Looks, no_looks
from models.forecast.learning.samples import Samples, seen_ahead
from models.forecast.options import ForecastOptions
from tests.benchmarks.data.forecast_data import CROPLAND, DATA, GRASSLAND, flux_sites

CUBES = ("pt_29SND", "se_34VCL")
KNOWN_DAYS = 50
YEAR = 2021
COVER = {30: GRASSLAND, 40: CROPLAND}  # classes of ESA WorldCover; pixels of others are of no class
VEGETATED = (10, 20, 30, 40)
FOLDS = 3
CHUNK = 4096  # pixels


def learned_elsewhere(options: ForecastOptions) -> Forecaster:
    """Return a forecaster learned from the flux-tower sites of earlier years.

    A pixel of a cube has no earlier years. So every year of a site is taken for a place of its own: what is
    learned is how a place goes on of which no other year is known.
    """
    sites = flux_sites()
    last = sites.day(date(YEAR, 1, 1))
    known, site = single_years(sites.until(last - 1), YEAR - sites.origin.year)
    samples = seen_ahead(known, np.arange(KNOWN_DAYS, last, 5))
    fold = (np.random.default_rng(1).permutation(len(sites)) % FOLDS)[site]
    return fit_forecaster(known, samples, fold, site, options)


def single_years(sites: History, years: int) -> tuple[History, np.ndarray]:
    """Return every year of every site as a parcel of its own, and the site of each."""
    site = np.repeat(np.arange(len(sites)), years)
    looks = sites.ndvi.take(site)
    own = sites.year_of(looks.day) == np.tile(np.arange(years), len(sites))[looks.rows()]
    ids = tuple(f"{sites.parcel_ids[k]}/{n}" for n, k in enumerate(site))
    single = replace(
        sites, parcel_ids=ids, ndvi=looks.where(own), radar=no_looks(len(ids), 4), crop=sites.crop[site]
    )
    return single, site


def cube(name: str) -> tuple[xr.Dataset, np.ndarray, np.ndarray]:
    """Return a cube, its NDVI `(time, y, x)`, NaN where not clear, and the peer's on the cube's days."""
    found = xr.open_dataset(DATA / "minicubes" / f"cube_{name}.nc")
    peer = xr.open_dataset(DATA / "minicubes" / f"contextformer_{name}.nc")
    red, nir = found["s2_B04"].values, found["s2_B8A"].values
    with np.errstate(invalid="ignore", divide="ignore"):
        ndvi = np.where(nir + red > 0, (nir - red) / (nir + red), np.nan)
    clear = (found["s2_dlmask"].values == 0) & np.isin(found["s2_SCL"].values, (4, 5))
    beside = peer["ndvi_pred"].reindex(time=found["time"]).values
    return found, np.where(clear, ndvi, np.nan).astype(np.float32), beside.astype(np.float32)


def pixels(found: xr.Dataset, ndvi: np.ndarray, classes: tuple[str, ...]) -> History:
    """Return the first days of every pixel as a history: one "parcel" a pixel, row by row."""
    flat = ndvi[:KNOWN_DAYS].reshape(KNOWN_DAYS, -1).T
    seen = np.isfinite(flat)
    first = np.concatenate([[0], np.cumsum(seen.sum(1))]).astype(np.int64)
    start = (found["time"].values[0].astype("datetime64[D]").item() - date(YEAR, 1, 1)).days
    day = (np.nonzero(seen)[1] + start).astype(np.int32)
    number = {cover: classes.index(name) for cover, name in COVER.items() if name in classes}
    cover = found["esawc_lc"].values.ravel()
    crop = np.array([number.get(int(one), -1) if np.isfinite(one) else -1 for one in cover], np.int16)
    ids = tuple(str(k) for k in range(len(flat)))
    looks = Looks(first, day, np.clip(flat[seen], -1, 1))
    return History(ids, date(YEAR, 1, 1), looks, no_looks(len(ids), 4), classes, crop[:, None])


def forecast_cube(fitted: Forecaster, name: str) -> dict[str, np.ndarray]:
    """Return `(look,)` arrays: pixel, horizon, truth, and each method's value, the peer's among them."""
    found, ndvi, peer = cube(name)
    history = pixels(found, ndvi, fitted.classes)
    vegetated = np.isin(found["esawc_lc"].values, VEGETATED) & (np.isfinite(ndvi[:KNOWN_DAYS]).any(0))
    scored = np.isfinite(ndvi) & np.isfinite(peer) & vegetated
    scored[:KNOWN_DAYS] = False
    when, row, column = np.nonzero(scored)
    start = (found["time"].values[0].astype("datetime64[D]").item() - date(YEAR, 1, 1)).days
    pixel = row * ndvi.shape[2] + column
    order = np.argsort(pixel, kind="stable")
    when, pixel = when[order], pixel[order]
    truth = ndvi.reshape(len(ndvi), -1)[when, pixel]
    origin = np.full(len(when), start + KNOWN_DAYS - 1, np.int64)
    samples = Samples(pixel.astype(np.int64), origin, (when + start).astype(np.int64), truth)
    everyone = np.full(len(history), ALL)
    parts = [
        forecast(fitted, history, samples.take(np.flatnonzero(pixel // CHUNK == k)), everyone)
        for k in np.unique(pixel // CHUNK)
    ]
    methods = {
        method: np.concatenate([part.by_method[method] for part in parts]) for method in parts[0].by_method
    }
    return {
        "pixel": pixel, "horizon": samples.target - samples.origin, "truth": truth, **methods,
        "cropcheck": np.concatenate([part.value for part in parts]),
        "contextformer": peer.reshape(len(peer), -1)[when, pixel],
    }  # fmt: skip
