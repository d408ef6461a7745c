"""Annual crops through their year: leaf growth, flowering, ripening and harvest."""

import numpy as np

from features.simulate.growth.diary import EMERGED, Diary, day_reached, note_bare_soil, note_green_cover
from features.simulate.growth.fieldwork import after_harvest, before_sowing
from features.simulate.land.crops import BROADLEAF, CEREAL, ROW, Annual
from features.simulate.land.states import Fields, States, sigmoid
from features.simulate.land.weather import Season, root_zone_stress, thermal_time

# share of a ripe canopy that is straw-coloured
DEAD_STALKS = {CEREAL: 0.9, BROADLEAF: 0.78, ROW: 0.6}
GRAIN_MAIZE, GRAIN_DELAY = "101", 20.0  # days that grain stands longer than silage


def grow_annual(
    crop: Annual, fields: Fields, season: Season, rng: np.random.Generator
) -> tuple[States, Diary]:
    """Return the daily states of fields of one annual crop, and what was done on them."""
    diary = Diary()
    n, spread = len(fields), season.spread
    stress = root_zone_stress(season.weather, fields.capacity_mm)[:, season.january :]
    ahead = 0.0 if crop.sown_in_autumn else season.days_ahead
    sowing = crop.sowing[0] - ahead + spread * crop.sowing[1] * fields.timing
    clock = _clock(crop, fields, season, sowing)
    drought = stress[:, 90:200].mean(axis=1)
    leaf = crop.leaf[0] + crop.leaf[1] * spread * _lateness(crop, fields, rng)
    ripe_at = crop.yellowing[0] - 160 * drought
    ripe_at += crop.yellowing[1] * spread * (0.6 * fields.earliness + 0.8 * rng.standard_normal(n))
    growth = sigmoid((clock - leaf[:, None]) / crop.leaf[2])
    ripeness = sigmoid((clock - ripe_at[:, None]) / crop.yellowing[2])
    started = (season.day[None, :] >= sowing[:, None]).astype(np.float32)
    gaps = 0.09 + 0.045 * spread * (0.7 * fields.diligence + 0.7 * rng.standard_normal(n))

    states = States.empty(n, season.days)
    states.gap[:] = np.clip(gaps, 0.015, 0.35)[:, None]
    if crop.form == ROW:
        states.gap[:] += 0.3 * (1 - growth) * started
    states.standing_dead[:] = DEAD_STALKS[crop.form] * ripeness**1.5
    states.senescence[:] = np.clip(ripeness * 0.7 + 0.3 * stress * growth, 0, 1)
    _leaves(crop, fields, season, states, growth * started, (1 - 0.5 * ripeness) * started, 1 - 0.4 * drought)
    _colour(crop, fields, season, states, clock, growth, ripeness)
    states.plant_water[:] *= 1 - 0.78 * ripeness
    if not crop.sown_in_autumn:
        up = day_reached(states.leaf_area, EMERGED, sowing + 3)
        diary.note("emergence", up, up >= 0)
    before_sowing(crop, states, sowing, season, rng, diary)
    harvest = _harvest_day(crop, fields, clock, ripe_at, season, rng)
    after_harvest(crop, fields, states, harvest, season, rng, diary)
    note_bare_soil(diary, states)
    note_green_cover(diary, states)
    return states, diary


def _lateness(crop: Annual, fields: Fields, rng: np.random.Generator) -> np.ndarray:
    """Return how late a field's leaves come, in spreads: sowing and variety; over winter, chance besides."""
    if crop.sown_in_autumn:
        return 0.55 * fields.timing + 0.45 * fields.earliness + 0.7 * rng.standard_normal(len(fields))
    return 0.75 * fields.timing + 0.65 * fields.earliness


def _clock(crop: Annual, fields: Fields, season: Season, sowing: np.ndarray) -> np.ndarray:
    """Return thermal time (field, day) from 1 January, or from sowing for spring crops."""
    total = thermal_time(season.weather.t_mean_c, crop.base_c, fields.warming_c)
    start = np.zeros(len(fields)) if crop.sown_in_autumn else sowing
    begun = np.clip(season.january + start.astype(int), 0, season.weather.days - 1)
    return np.asarray(total[:, season.january :] - total[np.arange(len(total)), begun][:, None])


def _leaves(
    crop: Annual,
    fields: Fields,
    season: Season,
    states: States,
    growth: np.ndarray,
    kept: np.ndarray,
    vigour: np.ndarray,
) -> None:
    """Fill leaf area and plant water from growth (field, day), what is kept of leaves, and drought's
    factor.
    """
    spread = season.spread
    highest = np.clip(crop.leaf_area[0] + spread * crop.leaf_area[1] * fields.vigour, 0.9, 7.2) * vigour
    winter = crop.winter_leaf_area * np.clip(1 - 0.035 * spread * crop.sowing[1] * fields.timing, 0.3, 1.9)
    states.leaf_area[:] = (winter[:, None] + (highest - winter)[:, None] * growth) * kept
    states.plant_water[:] = crop.water * (highest / crop.leaf_area[0])[:, None] * growth
    states.plant_water[:] += 0.25 * winter[:, None] * (1 - growth)


def _colour(
    crop: Annual,
    fields: Fields,
    season: Season,
    states: States,
    clock: np.ndarray,
    growth: np.ndarray,
    ripeness: np.ndarray,
) -> None:
    """Fill chlorophyll, leaf angle and flowers."""
    spread = season.spread
    chlorophyll = crop.chlorophyll * np.clip(1 + 0.14 * spread * fields.nitrogen, 0.5, 1.5)
    states.chlorophyll[:] = chlorophyll[:, None] * (0.82 + 0.18 * growth) * (1 - 0.3 * ripeness)
    states.leaf_angle[:] = 40 + (crop.angle + 4 * spread * fields.earliness[:, None] - 40) * growth
    bloom = np.exp(-(((clock - crop.heading - 30 * spread * fields.earliness[:, None]) / 115) ** 2))
    thin = 1 - 0.25 * spread * np.abs(fields.vigour[:, None])
    states.petals[:] = np.clip(crop.petals * bloom * thin, 0, 0.6)


def _harvest_day(
    crop: Annual,
    fields: Fields,
    clock: np.ndarray,
    ripe_at: np.ndarray,
    season: Season,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the day of year of harvest: when ripe and dry for two days, after the contractor has come."""
    n, days = clock.shape
    if crop.removed_day is not None:
        delay = np.where(fields.code == GRAIN_MAIZE, GRAIN_DELAY, 0.0)
        planned = crop.removed_day - season.days_ahead + delay
        own = 0.5 * fields.timing + 0.85 * rng.standard_normal(n)
        return np.asarray(np.round(planned + 11 * season.spread * own))
    reached = clock >= (crop.harvest + ripe_at - crop.yellowing[0])[:, None]
    ripe = np.where(reached.any(axis=1), np.argmax(reached, axis=1), days)
    wait = np.round(rng.exponential(4.5 * season.spread + 0.5, n)).astype(int)
    dry = (season.rain_mm < 1) & (np.roll(season.rain_mm, 1) < 1)
    return np.asarray(next_true(dry)[np.clip(ripe + wait, 0, days - 1)].astype(float))


def next_true(flags: np.ndarray) -> np.ndarray:
    """Return for every position `(n)` the first at or after it that is true, the length where none is.

    Examples
    --------
    >>> next_true(np.array([False, True, False]))
    array([1, 1, 3])
    """
    positions = np.where(flags, np.arange(len(flags)), len(flags))
    return np.asarray(np.minimum.accumulate(positions[::-1])[::-1])
