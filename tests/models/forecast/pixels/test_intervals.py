"""Intervals of pixels: calibrated on pixels, and absent where too few tell."""

from dataclasses import replace

import numpy as np
import pytest

from models.forecast.forecaster import ALL, Forecaster, fit_forecaster, forecast
from models.forecast.history import History, Looks
from models.forecast.learning.samples import seen_ahead
from models.forecast.options import ForecastOptions
from models.forecast.pixels.intervals import calibrated
from tests.models.forecast.made import waves

OPTIONS = ForecastOptions(methods=("damped",), most_samples=3000, threads=1)
NOISE = 0.15  # of a pixel beside its parcel
SEASON = (365, 730)


@pytest.fixture(scope="module")
def parcels() -> History:
    return waves(24, years=2)


@pytest.fixture(scope="module")
def forecaster(parcels: History) -> Forecaster:
    group = np.arange(len(parcels))
    return fit_forecaster(parcels, seen_ahead(parcels, np.arange(200, 600, 10)), group % 2, group, OPTIONS)


def noisy(parcels: History, owner: np.ndarray, seed: int) -> History:
    """Pixels that scatter around their parcels."""
    pixels = parcels.take(owner)
    looks, rng = pixels.ndvi, np.random.default_rng(seed)
    value = (looks.value + rng.normal(0, NOISE, len(looks))).clip(-1, 1).astype(np.float32)
    return replace(pixels, ndvi=Looks(looks.first, looks.day, value))


def test_intervals_of_pixels_hold_on_other_pixels_where_those_of_parcels_do_not(
    parcels: History, forecaster: Forecaster
) -> None:
    owner = np.repeat(np.arange(24), 6)
    pixels = noisy(parcels, owner, 1)
    fold = owner % 2
    intervals, scores = calibrated(forecaster, pixels, fold, owner, SEASON)
    assert intervals is not None
    others = noisy(parcels, owner, 2).until(SEASON[1])
    samples = seen_ahead(others, np.arange(400, 680, 20))
    found = forecast(forecaster, others, samples, np.full(len(owner), ALL))
    bounds = intervals.of(found.value, found.size, *found.cells)

    def cover(low: np.ndarray, high: np.ndarray) -> float:
        return float(((samples.truth >= low) & (samples.truth <= high)).mean())

    # with 24 groups the level is raised for their number, as for parcels
    assert cover(bounds[:, 0], bounds[:, 3]) > 0.9
    assert cover(found.bounds[:, 0], found.bounds[:, 3]) < 0.6
    held = dict(scores.filter(horizon_days=50, method="combined").select("metric", "value").iter_rows())
    assert held["coverage_90"] > 0.88


def test_no_intervals_where_the_pixels_are_of_too_few_holdings(
    parcels: History, forecaster: Forecaster
) -> None:
    owner = np.repeat(np.arange(4), 20)
    intervals, scores = calibrated(forecaster, noisy(parcels, owner, 1), owner % 2, owner, SEASON)
    assert intervals is None
    assert "rmse" in set(scores["metric"]) and "coverage_90" not in set(scores["metric"])


def test_no_intervals_further_ahead_than_any_look_came(parcels: History, forecaster: Forecaster) -> None:
    owner = np.repeat(np.arange(24), 6)
    intervals, _ = calibrated(forecaster, noisy(parcels, owner, 1), owner % 2, owner, (365, 420))
    assert intervals is not None
    known = np.isfinite(intervals.quantile).any((0, 1, 3))
    assert known[0] and not known[10:].any(), "horizons of up to 35 days came"


def test_nothing_after_the_day_of_the_forecast_is_read(parcels: History, forecaster: Forecaster) -> None:
    owner = np.repeat(np.arange(24), 6)
    pixels = noisy(parcels, owner, 1)
    looks = pixels.ndvi
    later = np.where(looks.day > 600, 0.0, looks.value).astype(np.float32)
    changed = replace(pixels, ndvi=Looks(looks.first, looks.day, later))
    two = [calibrated(forecaster, some, owner % 2, owner, (365, 600))[1] for some in (pixels, changed)]
    assert two[0].equals(two[1])
