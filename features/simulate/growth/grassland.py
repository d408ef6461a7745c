"""Permanent grass and fallow: growth day by day, cuts, grazing, standing dead matter."""

from dataclasses import dataclass

import numpy as np

from features.simulate.growth.phenology import next_true
from features.simulate.land.crops import Grass
from features.simulate.land.states import Fields, States
from features.simulate.land.weather import Season, root_zone_stress

STUBBLE = 0.75  # leaf area index that a mower leaves
UNEATEN = 0.9  # and that a herd leaves
PASTURE = (95, 305)  # days of year between which animals are out
MOST_CUTS = 6


@dataclass(frozen=True)
class Sward:
    """How every field is used in a season, arrays (field,); `cuts` (field, cut) are days of year, -1 for
    none.

    A herd stays six days and comes back after `rotation` days.
    """

    most: np.ndarray  # leaf area index that growth tends to
    dead_share: np.ndarray
    grazing: np.ndarray
    rotation: np.ndarray
    phase: np.ndarray
    cuts: np.ndarray


def grow_grass(use: Grass, fields: Fields, season: Season, rng: np.random.Generator) -> States:
    """Return the daily states of grass: logistic growth on warmth, light and water, less what is cut or
    eaten.
    """
    n = len(fields)
    states = States.empty(n, season.days)
    stress = root_zone_stress(season.weather, fields.capacity_mm)[:, season.january :]
    sward = _sward(use, fields, season, rng)
    leaf = np.clip(0.5 * sward.most * (1 + 0.2 * season.spread * rng.standard_normal(n)), 0.5, 3.0)
    for day in range(season.days):
        grown = leaf + _gain(day, leaf, fields, season, sward, stress[:, day])
        present = ((day + sward.phase) % sward.rotation < 6) & (PASTURE[0] < day < PASTURE[1])
        frost = 0.012 * (season.t_min_c[day] < -2)
        lost = (0.16 * sward.grazing * present + frost) * np.maximum(leaf - UNEATEN, 0)
        cut = (sward.cuts == day).any(axis=1)
        leaf = np.where(cut, np.minimum(grown - lost, STUBBLE), grown - lost)
        states.leaf_area[:, day] = leaf
        states.disturbance[:, day] = np.where(cut, 0.6, 0.06 * present * (sward.grazing > 0.1))
    _look(states, use, fields, season, sward, stress)
    return states


def _gain(
    day: int, leaf: np.ndarray, fields: Fields, season: Season, sward: Sward, stress: np.ndarray
) -> np.ndarray:
    """Return a day's growth in leaf area index."""
    warm = np.clip((season.t_mean_c[day] + fields.warming_c - 3.5) / 10, 0, 1.15)
    light = min(season.radiation_mj[day] / 14, 1.1)
    rate = (0.085 + 0.012 * fields.nitrogen) * warm * light * (1 - 0.85 * stress)
    return np.asarray(rate * leaf * (1 - leaf / sward.most))


def _sward(use: Grass, fields: Fields, season: Season, rng: np.random.Generator) -> Sward:
    n, spread = len(fields), season.spread
    return Sward(
        most=np.clip(use.leaf_area[0] + spread * use.leaf_area[1] * fields.vigour, 0.7, 6.5),
        cuts=_cut_days(use, fields, season, rng),
        dead_share=np.clip(use.dead_share * (1 + 0.6 * spread * rng.standard_normal(n)), 0.02, 0.8),
        grazing=use.grazing * np.clip(1 + 0.5 * spread * rng.standard_normal(n), 0.1, 1.9),
        rotation=rng.uniform(18, 45, n),
        phase=rng.uniform(0, 45, n),
    )


def _cut_days(use: Grass, fields: Fields, season: Season, rng: np.random.Generator) -> np.ndarray:
    """Return days of cuts; hay is cut on dry days, holdings cut early or late, often or seldom."""
    n, spread = len(fields), season.spread
    number = np.round(use.cuts[0] + spread * use.cuts[1] * rng.standard_normal(n)).clip(0, MOST_CUTS)
    own = 0.6 * fields.timing + 0.8 * rng.standard_normal(n)
    first = use.first_cut[0] + spread * use.first_cut[1] * own + 6 * np.clip(3.2 - number, -2, 2)
    gap = np.clip(200 / np.maximum(number, 1), 34, 80)
    order = np.arange(MOST_CUTS)[None, :]
    planned = first[:, None] + order * gap[:, None] + rng.normal(0, 5, (n, MOST_CUTS))
    dry = (season.rain_mm < 1.5) & (np.roll(season.rain_mm, -1) < 2.5)
    days = next_true(dry)[np.clip(np.round(planned), 0, season.days - 1).astype(int)]
    return np.asarray(np.where((order < number[:, None]) & (planned < 300), days, -1))


def _look(
    states: States, use: Grass, fields: Fields, season: Season, sward: Sward, stress: np.ndarray
) -> None:
    """Fill what follows from leaf area and the time since the last cut: colour, dead matter, water."""
    day = season.day[None, :]
    done = np.where(
        (sward.cuts[:, :, None] >= 0) & (sward.cuts[:, :, None] <= day[:, None, :]),
        sward.cuts[:, :, None],
        -60,
    )
    since = day - done.max(axis=1)
    ripening = np.clip((day - 150) / 60, 0, 1) * np.clip((330 - day) / 60, 0.3, 1)
    fresh = np.where(since < day + 60, np.exp(-since / 6), 0)
    old = np.clip(since / 55, 0, 1)
    dead_share = sward.dead_share[:, None]
    dead = np.clip(dead_share * (0.2 + 0.5 * ripening * old) + 0.16 * stress + 0.14 * fresh, 0, 0.8)
    chlorophyll = use.chlorophyll * np.clip(1 + 0.13 * season.spread * fields.nitrogen, 0.5, 1.5)
    states.chlorophyll[:] = chlorophyll[:, None] * (1 - 0.2 * fresh)
    states.standing_dead[:] = dead
    states.senescence[:] = np.clip(0.04 + 0.25 * stress + 0.3 * dead, 0, 0.8)
    states.gap[:] = np.clip(0.07 + 0.04 * season.spread * fields.diligence[:, None] + 0.12 * dead, 0.01, 0.4)
    states.leaf_angle[:] = 52 + 5 * fields.earliness[:, None]
    states.straw[:] = np.clip(0.25 + 0.35 * dead_share + 0.15 * fresh, 0, 0.8)
    states.plant_water[:] = 0.7 * states.leaf_area * (1 - 0.4 * dead)
    states.roughness_db[:] = 0.3 * np.clip(fields.roughness[:, None], -1.5, 1.5)
