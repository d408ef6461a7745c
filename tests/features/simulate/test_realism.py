"""Does the simulated region look like real ones? Decided against real fields before any classifier is scored.

The comparison is between a class's median over simulated fields, month by month, and the range that real
points of the same class span in that month (5th to 95th percentile). Only classes with ten real points or
more count.
"""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio

from features.simulate.grid import sun_position
from features.simulate.options import SimulationOptions
from features.simulate.region.world import World, make_world
from features.simulate.sensors.optical import field_palette
from features.simulate.sensors.radar import Pass, backscatter

MONTHS = range(3, 11)
NODATA = 65535
MAIZE, GRASSLAND = 1101060000, 2001020000  # WorldCereal legend, version 2
SIMULATED = {MAIZE: ("maize",), GRASSLAND: ("grassland_mown", "grassland_grazed")}
SEASONS = ((2021, 1), (2022, 1), (2021, 2), (2022, 3))


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    return [make_world(SimulationOptions(n_parcels=500), season, seed) for season, seed in SEASONS]


def days_of(month: int) -> Iterator[int]:
    """Every fifth day of a month, as day of year from 0."""
    first = date(2021, month, 1)
    return (((first + timedelta(days=k)) - date(2021, 1, 1)).days for k in range(1, 29, 5))


def simulated_ndvi(world: World, classes: tuple[str, ...], day: int) -> np.ndarray:
    zenith, _ = sun_position(50.9, date(2021, 1, 1) + timedelta(days=day))
    wetness = float(world.wetness[world.january + day])
    rho = field_palette(world.states, day, world.fields.brightness, wetness, zenith).base
    red, nir = rho[np.isin(world.fields.crop, classes)][:, [2, 6]].T
    return (nir - red) / (nir + red)


def simulated_vh_db(world: World, classes: tuple[str, ...], day: int) -> np.ndarray:
    at = Pass(incidence=38.0, day=day, previous_day=max(day - 6, 0))
    power = backscatter(world.states, world.fields, at, float(world.wetness[world.january + day]))
    return 10 * np.log10(power[np.isin(world.fields.crop, classes), 1])


def monthly_median(signal: object, worlds: list[World], classes: tuple[str, ...], month: int) -> float:
    """Median over fields and days, then over seasons."""
    of_seasons = [
        np.median(np.concatenate([signal(world, classes, day) for day in days_of(month)])) for world in worlds
    ]
    return float(np.median(of_seasons))


@pytest.fixture(scope="module")
def flanders(real_data: Path) -> pd.DataFrame:
    """Monthly NDVI and VH (dB) of declared-crop points in Flanders, 2021."""
    points = pd.read_parquet(real_data / "lpis-points" / "2021_BEL_LPIS-Flanders_POLY_110.month.parquet")
    points = points.replace(NODATA, np.nan)
    red, nir = points["S2-L2A-B04"], points["S2-L2A-B08"]
    when = pd.to_datetime(points["timestamp"])
    table = pd.DataFrame(
        {
            "code": points["ewoc_code"],
            "point": points["sample_id"],
            "month": when.dt.month,
            "ndvi": (nir - red) / (nir + red),
            "vh_db": 20 * np.log10(points["S1-SIGMA0-VH"]) - 83,
        }
    )
    return table[when.dt.year == 2021]


@pytest.mark.realdata
@pytest.mark.parametrize("code", [MAIZE, GRASSLAND])
@pytest.mark.parametrize(("name", "signal"), [("ndvi", simulated_ndvi), ("vh_db", simulated_vh_db)])
def test_monthly_medians_lie_within_the_range_of_real_fields(
    flanders: pd.DataFrame, worlds: list[World], code: int, name: str, signal: object
) -> None:
    real = flanders[flanders["code"] == code]
    assert real["point"].nunique() >= 10
    outside = {}
    for month in MONTHS:
        low, high = np.nanpercentile(real.loc[real["month"] == month, name], (5, 95))
        median = monthly_median(signal, worlds, SIMULATED[code], month)
        if not low <= median <= high:
            outside[month] = (round(low, 2), round(median, 2), round(high, 2))
    assert outside == {}, f"{name} of {SIMULATED[code]}: month -> (real low, simulated median, real high)"


@pytest.fixture(scope="module")
def swiss_wheat(real_data: Path) -> dict[date, float]:
    """Median NDVI of Swiss winter wheat by day, 2022: pixels that are plainly vegetation or soil, both
    sites.
    """
    values: dict[date, list[np.ndarray]] = {}
    for file in sorted((real_data / "wheat-ch" / "s2_chips").glob("*/*.tif")):
        found = re.search(r"_(2022)(\d\d)(\d\d)T", file.name)
        assert found is not None
        with rasterio.open(file) as chip:
            bands = dict(zip(chip.descriptions, chip.read(), strict=True))
        red, nir = bands["B04"], bands["B8A"]
        plain = np.isin(bands["SCL"], (4, 5)) & (red > 0) & (nir > 0)
        if plain.sum() >= 500:
            day = date(*map(int, found.groups()))
            values.setdefault(day, []).append(((nir - red) / np.where(plain, nir + red, 1))[plain])
    return {day: float(np.median(np.concatenate(parts))) for day, parts in values.items()}


def crossing(days: np.ndarray, values: np.ndarray, level: float, rising: bool) -> float:
    """First day on which a curve passes a level upwards (or, after its peak, downwards)."""
    if rising:
        return float(days[np.argmax(values >= level)])
    peak = int(np.argmax(values))
    return float(days[peak + np.argmax(values[peak:] < level)])


@pytest.mark.realdata
def test_wheat_greens_and_ripens_when_real_wheat_does(
    swiss_wheat: dict[date, float], worlds: list[World]
) -> None:
    """Spring: day when NDVI passes 0.6; ripening: day when it falls below 0.5. Years and sites differ by
    two weeks.
    """
    real_days = np.array([day.timetuple().tm_yday for day in sorted(swiss_wheat)])
    real = np.array([swiss_wheat[day] for day in sorted(swiss_wheat)])
    days = np.arange(60, 220, 3)
    for rising, level in ((True, 0.6), (False, 0.5)):
        expected = crossing(real_days, real, level, rising)
        found = [
            crossing(
                days,
                np.array([np.median(simulated_ndvi(w, ("winter_wheat",), int(d))) for d in days]),
                level,
                rising,
            )
            for w in worlds
        ]
        assert abs(np.median(found) - expected) <= 16, (rising, expected, found)


# Median VH of winter wheat, dB, at three stages, and how far published curves differ from each other:
# levels of the curves in Veloso et al. 2017 (Remote Sensing of Environment 199), Vreugdenhil et al. 2018
# (Remote Sensing 10, 1396) and Nasrallah et al. 2019 (Remote Sensing 11, 2228), recalled to about a
# decibel, not digitised: bright in tillering, darkest at heading, bright again when ripe. The only real
# wheat at hand, two Flemish points of 2021, is 0 to 3 dB brighter; two fields decide nothing.
WHEAT_VH_DB = {
    "tillering, mid March": (74, -18.0, 2.0),
    "heading, late May": (145, -20.5, 1.8),
    "ripe, late July": (205, -17.8, 1.8),
}


@pytest.mark.parametrize("stage", WHEAT_VH_DB)
def test_wheat_vh_follows_published_curves(worlds: list[World], stage: str) -> None:
    day, published_db, tolerance_db = WHEAT_VH_DB[stage]
    median = np.median(
        [
            np.median(simulated_vh_db(w, ("winter_wheat",), d))
            for w in worlds
            for d in range(day - 8, day + 9, 4)
        ]
    )
    assert abs(median - published_db) <= tolerance_db


def test_wheat_vh_is_darkest_at_heading_and_rapeseed_brightest_in_pod(worlds: list[World]) -> None:
    may = range(130, 155, 6)
    wheat = np.median([np.median(simulated_vh_db(w, ("winter_wheat",), d)) for w in worlds for d in may])
    rapeseed = np.median(
        [np.median(simulated_vh_db(w, ("winter_rapeseed",), d)) for w in worlds for d in may]
    )
    assert rapeseed - wheat > 4
