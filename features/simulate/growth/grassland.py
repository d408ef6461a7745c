"""Permanent grass and fallow: growth day by day, cuts, grazing, standing dead matter."""

from dataclasses import dataclass

import numpy as np

from features.simulate.growth.diary import EMERGED, Diary, day_reached, note_bare_soil, note_green_cover
from features.simulate.growth.fieldwork import work_soil
from features.simulate.growth.phenology import next_true
from features.simulate.land.care import FALLOW, HAY_MEADOW, LATE_MOWING
from features.simulate.land.crops import Grass
from features.simulate.land.states import Fields, States
from features.simulate.land.weather import Season, root_zone_stress

STUBBLE = 0.75  # leaf area index that a mower leaves
UNEATEN = 0.9  # and that a herd leaves
PASTURE = (95, 305)  # days of year between which animals are out
MOST_CUTS = 6
LATE_FIRST, LATE_SPREAD = 197, 14.0  # day of year of the first cut where late mowing was promised (16 July)
HAY = (167, 262)  # days between which a hay meadow is cut (16 June to 19 September)
FALLOW_REST = (91, 228)  # days between which fallow is left alone (1 April to 15 August)
# of grassland that is ploughed up: spring or late summer, days until it is sown anew, leaf area of seedlings
PLOUGHED_IN, RESOWN_AFTER, SEEDLINGS = ((80, 130), (225, 262)), 6, 0.06
GRAZED = 0.1  # share of growth eaten below which a herd leaves no mark that is called grazing
STAY, NEVER = 6, 400


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
    ploughed: np.ndarray  # day, NEVER where it is not


def grow_grass(use: Grass, fields: Fields, season: Season, rng: np.random.Generator) -> tuple[States, Diary]:
    """Return the daily states of grass, and what was done: logistic growth on warmth, light and water, less
    what is cut or eaten; some is ploughed up and sown anew.
    """
    n = len(fields)
    states = States.empty(n, season.days)
    stress = root_zone_stress(season.weather, fields.capacity_mm)[:, season.january :]
    sward = _sward(use, fields, season, rng)
    leaf = np.clip(0.5 * sward.most * (1 + 0.2 * season.spread * rng.standard_normal(n)), 0.5, 3.0)
    for day in range(season.days):
        grown = leaf + _gain(day, leaf, fields, season, sward, stress[:, day])
        present = _present(sward, day)
        frost = 0.012 * (season.t_min_c[day] < -2)
        lost = (0.16 * sward.grazing * present + frost) * np.maximum(leaf - UNEATEN, 0)
        cut = (sward.cuts == day).any(axis=1)
        leaf = np.where(cut, np.minimum(grown - lost, STUBBLE), grown - lost)
        leaf = np.where((day >= sward.ploughed) & (day < sward.ploughed + RESOWN_AFTER), 0.01, leaf)
        leaf = np.where(day == sward.ploughed + RESOWN_AFTER, SEEDLINGS, leaf)
        states.leaf_area[:, day] = leaf
        states.disturbance[:, day] = np.where(cut, 0.6, 0.06 * present * (sward.grazing > 0.1))
    _look(states, use, fields, season, sward, stress)
    _turn_over(states, sward, season)
    return states, _diary(states, sward, season)


def _present(sward: Sward, day: int) -> np.ndarray:
    """Return whether a herd stands on each field."""
    here = (day + sward.phase) % sward.rotation < STAY
    return np.asarray(here & (PASTURE[0] < day < PASTURE[1]) & (day < sward.ploughed))


def _turn_over(states: States, sward: Sward, season: Season) -> None:
    """Bury what stood on grassland that is ploughed up; the new stand is young and green."""
    gone = season.day[None, :] >= sward.ploughed[:, None]
    for name in ("standing_dead", "senescence"):
        getattr(states, name)[gone] = 0.02
    states.straw[gone] = 0.1
    for day in (sward.ploughed, sward.ploughed + RESOWN_AFTER):
        work_soil(states, day.astype(float), season.day, rough_db=1.7, share=0.95)


def _diary(states: States, sward: Sward, season: Season) -> Diary:
    """Note cuts, grazing spells, and what is done to grassland that is ploughed up."""
    diary = Diary()
    for cut in sward.cuts.T:
        diary.note("mowing", cut, (cut >= 0) & (cut < season.days))
    herd = np.stack([_present(sward, day) for day in range(season.days)], axis=1)
    herd &= (sward.grazing > GRAZED)[:, None] & (states.leaf_area > UNEATEN + 0.1)
    edges = np.diff(np.pad(herd, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, begin = np.nonzero(edges == 1)
    _, end = np.nonzero(edges == -1)
    diary.rows.append(row)
    diary.names.append("grazing")
    diary.first.append(begin.astype(float))
    diary.last.append(end.astype(float) - 1)
    turned = sward.ploughed < season.days
    diary.note("ploughing", sward.ploughed, turned)
    diary.note("sowing", sward.ploughed + RESOWN_AFTER, turned)
    up = day_reached(states.leaf_area, EMERGED, sward.ploughed + RESOWN_AFTER)
    diary.note("emergence", up, turned & (up >= 0))
    note_bare_soil(diary, states)
    note_green_cover(diary, states)
    return diary


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
    most = np.clip(use.leaf_area[0] + spread * use.leaf_area[1] * fields.vigour, 0.7, 6.5)
    cuts = _kept(_cut_days(use, fields, season, rng), fields, season)
    ploughed = _ploughing_days(fields)
    cuts[np.abs(cuts - ploughed[:, None] - 30) < 45] = -1  # neither just before nor while it comes up again
    return Sward(
        most=most,
        cuts=cuts,
        ploughed=ploughed,
        dead_share=np.clip(use.dead_share * (1 + 0.6 * spread * rng.standard_normal(n)), 0.02, 0.8),
        grazing=use.grazing * np.clip(1 + 0.5 * spread * rng.standard_normal(n), 0.1, 1.9),
        rotation=rng.uniform(18, 45, n),
        phase=rng.uniform(0, 45, n),
    )


def _ploughing_days(fields: Fields) -> np.ndarray:
    """Return the day on which each field is ploughed up; most never are."""
    spring = fields.earliness < 0.3
    low, high = (np.where(spring, PLOUGHED_IN[0][k], PLOUGHED_IN[1][k]) for k in (0, 1))
    day = low + (high - low) * np.clip(0.5 + 0.3 * fields.timing, 0, 1)
    return np.where(fields.ploughed_up, np.round(day), NEVER).astype(int)


def _kept(cuts: np.ndarray, fields: Fields, season: Season) -> np.ndarray:
    """Move cuts to where a promise that is kept has them."""
    cuts, days = cuts.copy(), season.days
    dry = next_true(season.rain_mm < 1.5)
    late = np.flatnonzero(fields.care == LATE_MOWING)
    first = LATE_FIRST + LATE_SPREAD * np.abs(fields.timing[late])
    for row, day in zip(late, first, strict=True):
        kept = np.sort(cuts[row][cuts[row] >= 0])[:2]
        moved = day + np.concatenate([[0], np.cumsum(np.maximum(np.diff(kept), 40))])[: len(kept)]
        moved = dry[np.clip(np.round(moved), 0, days - 1).astype(int)]
        cuts[row] = -1
        cuts[row, : len(moved)] = np.where(moved < 300, moved, -1)
    for row in np.flatnonzero(fields.care == HAY_MEADOW):
        if not ((cuts[row] >= HAY[0]) & (cuts[row] <= HAY[1])).any():
            middle = HAY[0] + 8 + 10 * abs(float(fields.timing[row]))
            cuts[row, 0] = dry[int(np.clip(middle, 0, days - 1))]
    for row in np.flatnonzero(fields.care == FALLOW):
        early = (cuts[row] >= FALLOW_REST[0] - 2) & (cuts[row] <= FALLOW_REST[1])
        cuts[row][early] = FALLOW_REST[1] + 3 + (10 * np.abs(fields.timing[row])).astype(int)
    return cuts


def _cut_days(use: Grass, fields: Fields, season: Season, rng: np.random.Generator) -> np.ndarray:
    """Return days of cuts; hay is cut on dry days, holdings cut early or late, often or seldom."""
    n, spread = len(fields), season.spread
    number = np.round(use.cuts[0] + spread * use.cuts[1] * rng.standard_normal(n)).clip(0, MOST_CUTS)
    own = 0.6 * fields.timing + 0.8 * rng.standard_normal(n)
    usual = use.first_cut[0] - season.days_ahead
    first = usual + spread * use.first_cut[1] * own + 6 * np.clip(3.2 - number, -2, 2)
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
