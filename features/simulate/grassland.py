"""Permanent grass and fallow: growth day by day, cuts, grazing, standing dead matter."""

import numpy as np

from features.simulate.crops import Grass
from features.simulate.states import Fields, States
from features.simulate.weather import Weather, root_zone_stress

STUBBLE = 0.75  # leaf area index that a mower leaves


def grow_grass(
    use: Grass, fields: Fields, weather: Weather, january: int, spread: float, rng: np.random.Generator
) -> States:
    """Return the daily states of grass: logistic growth on warmth, light and water, less what is cut or eaten."""
    n, days = len(fields), weather.days - january
    states = States.empty(n, days)
    stress = root_zone_stress(weather, fields.capacity_mm)[:, january:]
    cuts = _cut_days(use, fields, weather, january, spread, rng)
    most = np.clip(use.leaf_area[0] + spread * use.leaf_area[1] * fields.vigour, 0.7, 6.5)
    dead_share = np.clip(use.dead_share * (1 + 0.6 * spread * rng.standard_normal(n)), 0.02, 0.8)
    grazing = use.grazing * np.clip(1 + 0.5 * spread * rng.standard_normal(n), 0.1, 1.9)
    rotation, phase = rng.uniform(18, 45, n), rng.uniform(0, 45, n)  # days between the herd's visits
    leaf = np.clip(0.5 * most * (1 + 0.2 * spread * rng.standard_normal(n)), 0.5, 3.0)
    for i in range(days):
        warm = np.clip((weather.t_mean_c[january + i] + fields.warming_c - 3.5) / 10, 0, 1.15)
        light = min(weather.radiation_mj[january + i] / 14, 1.1)
        gain = (
            (0.085 + 0.012 * fields.nitrogen)
            * warm
            * light
            * (1 - 0.85 * stress[:, i])
            * leaf
            * (1 - leaf / most)
        )
        present = ((i + phase) % rotation < 6) & (i > 95) & (i < 305)
        eaten = 0.16 * grazing * np.maximum(leaf - 0.9, 0) * present
        frost = 0.012 * np.maximum(leaf - 0.9, 0) * (weather.t_min_c[january + i] < -2)
        leaf = leaf + gain - eaten - frost
        cut = (cuts == i).any(axis=1)
        leaf = np.where(cut, np.minimum(leaf, STUBBLE), leaf)
        states.leaf_area[:, i] = leaf
        states.disturbance[:, i] = np.where(cut, 0.6, 0.06 * present * (grazing > 0.1))
    _look(states, use, fields, stress, dead_share, cuts, spread)
    return states


def _cut_days(
    use: Grass, fields: Fields, weather: Weather, january: int, spread: float, rng: np.random.Generator
) -> np.ndarray:
    """Return days of cuts (field, cut), -1 where there is none; hay is cut on dry days, holdings cut early or late."""
    n = len(fields)
    number = np.clip(np.round(use.cuts[0] + spread * use.cuts[1] * rng.standard_normal(n)), 0, 6).astype(int)
    first = use.first_cut[0] + spread * use.first_cut[1] * (
        0.6 * fields.timing + 0.8 * rng.standard_normal(n)
    )
    first = first + 6 * np.clip(3.2 - number, -2, 2)
    gap = np.clip(200 / np.maximum(number, 1), 34, 80)
    planned = first[:, None] + np.arange(6)[None, :] * gap[:, None] + rng.normal(0, 5, (n, 6))
    rain = weather.precipitation_mm[january:]
    dry = (rain < 1.5) & (np.roll(rain, -1) < 2.5)
    next_dry = np.minimum.accumulate(np.where(dry, np.arange(len(rain)), len(rain))[::-1])[::-1]
    days = next_dry[np.clip(np.round(planned), 0, len(rain) - 1).astype(int)]
    wanted = (np.arange(6)[None, :] < number[:, None]) & (planned < 300)
    return np.asarray(np.where(wanted, days, -1))


def _look(
    states: States, use: Grass, fields: Fields, stress: np.ndarray, dead_share: np.ndarray, cuts: np.ndarray,
    spread: float,
) -> None:  # fmt: skip
    """Fill what follows from leaf area: colour, dead matter, water."""
    n, days = states.leaf_area.shape
    day = np.arange(days)
    ripening = np.clip((day - 150) / 60, 0, 1) * np.clip((330 - day) / 60, 0.3, 1)
    last_cut = np.full((n, days), -60)
    for k in range(cuts.shape[1]):
        after = (cuts[:, [k]] >= 0) & (day[None, :] >= cuts[:, [k]])
        last_cut = np.where(after, cuts[:, [k]], last_cut)
    old = np.clip((day[None, :] - last_cut) / 55, 0, 1)
    fresh = np.exp(-np.maximum(day[None, :] - last_cut, 0) / 6) * (last_cut >= 0)
    chlorophyll = use.chlorophyll * np.clip(1 + 0.13 * spread * fields.nitrogen, 0.5, 1.5)
    states.chlorophyll[:] = chlorophyll[:, None] * (1 - 0.2 * fresh)
    dead = np.clip(dead_share[:, None] * (0.2 + 0.5 * ripening * old) + 0.16 * stress + 0.14 * fresh, 0, 0.8)
    states.standing_dead[:] = dead
    states.senescence[:] = np.clip(0.04 + 0.25 * stress + 0.3 * dead, 0, 0.8)
    states.gap[:] = np.clip(0.07 + 0.04 * spread * fields.diligence[:, None] + 0.12 * dead, 0.01, 0.4)
    states.leaf_angle[:] = 52 + 5 * fields.earliness[:, None]
    states.straw[:] = np.clip(0.25 + 0.35 * dead_share[:, None] + 0.15 * fresh, 0, 0.8)
    states.plant_water[:] = 0.7 * states.leaf_area * (1 - 0.4 * dead)
    states.roughness_db[:] = 0.3 * np.clip(fields.roughness[:, None], -1.5, 1.5)
