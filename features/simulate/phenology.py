"""Annual crops through their year: sowing, leaf growth, ripening, harvest and what follows."""

import numpy as np

from features.simulate.crops import BROADLEAF, CEREAL, ROW, Annual
from features.simulate.states import Fields, States, sigmoid
from features.simulate.weather import Weather, root_zone_stress, thermal_time

# share of a ripe canopy that is straw-coloured
DEAD_STALKS = {CEREAL: 0.9, BROADLEAF: 0.78, ROW: 0.6}
LATE = 400.0  # a day of year after the season: never


def grow_annual(crop: Annual, fields: Fields, weather: Weather, january: int, spread: float, rng: np.random.Generator) -> States:  # fmt: skip
    """Return the daily states of fields of one annual crop.

    Parameters
    ----------
    january
        Index of 1 January of the season in the weather.
    spread
        Factor on the between-field differences.
    """
    n, days = len(fields), weather.days - january
    day = np.arange(days, dtype=np.float32)
    stress = root_zone_stress(weather, fields.capacity_mm)[:, january:]
    sowing = crop.sowing[0] + spread * crop.sowing[1] * fields.timing
    clock = _clock(crop, fields, weather, january, sowing)
    late = spread * (0.75 * fields.timing + 0.65 * fields.earliness)
    if crop.sowing[0] < 0:
        late = spread * (0.55 * fields.timing + 0.45 * fields.earliness + 0.7 * rng.standard_normal(n))
    drought = stress[:, 90:200].mean(axis=1)
    leaf = crop.leaf[0] + crop.leaf[1] * late
    ripe_at = crop.yellowing[0] + crop.yellowing[1] * spread * (
        0.6 * fields.earliness + 0.8 * rng.standard_normal(n)
    )
    ripe_at = ripe_at - 160 * drought
    highest = np.clip(crop.leaf_area[0] + spread * crop.leaf_area[1] * fields.vigour, 0.9, 7.2) * (
        1 - 0.4 * drought
    )
    harvest = _harvest_day(crop, fields, clock, ripe_at, weather, january, spread, rng)

    growth = sigmoid((clock - leaf[:, None]) / crop.leaf[2])
    ripeness = sigmoid((clock - ripe_at[:, None]) / crop.yellowing[2])
    started = (day[None, :] >= sowing[:, None]).astype(np.float32)
    winter = crop.winter_leaf_area * np.clip(1 - 0.035 * spread * crop.sowing[1] * fields.timing, 0.3, 1.9)
    leaf_area = winter[:, None] + (highest - winter)[:, None] * growth
    leaf_area *= started * (1 - 0.5 * ripeness)
    bloom = np.exp(-(((clock - crop.heading - 30 * spread * fields.earliness[:, None]) / 115) ** 2))
    chlorophyll = crop.chlorophyll * np.clip(1 + 0.14 * spread * fields.nitrogen, 0.5, 1.5)
    water = crop.water * (highest / crop.leaf_area[0])[:, None] * growth * (1 - 0.78 * ripeness) * started
    gap = np.clip(0.09 + 0.045 * spread * (0.7 * fields.diligence + 0.7 * rng.standard_normal(n)), 0.015, 0.35)
    states = States(
        leaf_area=leaf_area,
        chlorophyll=np.broadcast_to(chlorophyll[:, None], (n, days))
        * (0.82 + 0.18 * growth)
        * (1 - 0.3 * ripeness),
        senescence=np.clip(ripeness * 0.7 + 0.3 * stress * growth, 0, 1),
        leaf_angle=40 + (crop.angle + 4 * spread * fields.earliness[:, None] - 40) * growth,
        petals=(crop.petals * bloom * (1 - 0.25 * spread * np.abs(fields.vigour[:, None]))).clip(0, 0.6),
        straw=np.zeros((n, days), np.float32),
        gap=gap[:, None] + (0.3 * (1 - growth) if crop.form == ROW else 0.0) * started,
        standing_dead=DEAD_STALKS[crop.form] * ripeness**1.5,
        plant_water=water + 0.25 * winter[:, None] * (1 - growth),
        disturbance=np.zeros((n, days), np.float32),
        roughness_db=np.zeros((n, days), np.float32),
    )
    _before(crop, states, sowing, day, rng)
    _after(crop, states, harvest, day, weather, january, rng)
    return _as_float32(states)


def _clock(crop: Annual, fields: Fields, weather: Weather, january: int, sowing: np.ndarray) -> np.ndarray:
    """Return thermal time (field, day) from 1 January, or from sowing for spring crops."""
    total = thermal_time(weather.t_mean_c, crop.base_c, fields.warming_c)
    if crop.sowing[0] < 0:
        return total[:, january:] - total[:, [january]]
    sown = np.clip(january + sowing.astype(int), 0, weather.days - 1)
    return total[:, january:] - total[np.arange(len(total)), sown][:, None]


def _harvest_day(
    crop: Annual, fields: Fields, clock: np.ndarray, ripe_at: np.ndarray, weather: Weather, january: int,
    spread: float, rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Return the day of year of harvest: when ripe and dry for two days, after the contractor has come."""
    n, days = clock.shape
    if crop.removed_day is not None:
        grain = np.where(fields.code == "101", 20, 0)
        return np.round(
            crop.removed_day + grain + 11 * spread * (0.5 * fields.timing + 0.85 * rng.standard_normal(n))
        )
    due = crop.harvest + (ripe_at - crop.yellowing[0])
    ripe = np.argmax(clock >= due[:, None], axis=1) + np.where((clock >= due[:, None]).any(axis=1), 0, days)
    wait = np.round(rng.exponential(4.5 * spread + 0.5, n)).astype(int)
    rain = weather.precipitation_mm[january:]
    dry = (rain < 1) & (np.roll(rain, 1) < 1)
    next_dry = np.minimum.accumulate(np.where(dry, np.arange(days), days)[::-1])[::-1]
    return next_dry[np.clip(ripe + wait, 0, days - 1)].astype(float)


def _before(
    crop: Annual, states: States, sowing: np.ndarray, day: np.ndarray, rng: np.random.Generator
) -> None:
    """Winter before a spring crop: ploughed and bare, a green cover, or weedy stubble; then the seedbed."""
    n = len(sowing)
    if crop.sowing[0] < 0:
        return
    kind = rng.choice(3, n, p=(0.3, 0.45, 0.25))
    cover = np.where(kind == 1, rng.uniform(0.9, 2.8, n), np.where(kind == 2, rng.uniform(0.2, 0.8, n), 0.03))
    destroyed = sowing - rng.gamma(2.4, 6.0, n)
    weeds = rng.uniform(0.02, 0.28, n)
    before = (day[None, :] < destroyed[:, None]).astype(np.float32)
    spring = 1 + 0.55 * np.clip((day - 60) / 40, 0, 1)
    states.leaf_area[:] += before * cover[:, None] * spring
    states.leaf_area[:] = np.maximum(states.leaf_area, weeds[:, None] * (before == 0))
    states.chlorophyll[:] = np.where(before > 0, 38.0, states.chlorophyll)
    states.senescence[:] = np.where(before > 0, np.where(kind == 2, 0.3, 0.08)[:, None], states.senescence)
    states.plant_water[:] += before * 0.5 * cover[:, None]
    states.straw[:] += before * np.where(kind == 2, 0.3, 0.0)[:, None]
    _work_soil(states, destroyed, day, 1.6, 0.8)
    _work_soil(states, sowing, day, 0.6 if crop.form != ROW else 1.0, 0.7)


def _after(
    crop: Annual, states: States, harvest: np.ndarray, day: np.ndarray, weather: Weather, january: int,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """After harvest: stubble with volunteers, a sown cover, or the next winter crop."""
    n = len(harvest)
    gone = day[None, :] >= harvest[:, None]
    for name in ("leaf_area", "petals", "plant_water", "standing_dead"):
        getattr(states, name)[gone] *= 0.0
    litter = rng.uniform(0.35, 0.8, n) if crop.form != ROW else rng.uniform(0.1, 0.4, n)
    kind = rng.choice(3, n, p=(0.4, 0.38, 0.22))
    tilled = np.where(kind == 0, LATE, harvest + rng.gamma(3.0, 7.0, n))
    worked = day[None, :] >= tilled[:, None]
    states.straw[:] = np.where(gone, np.where(worked, 0.12, litter[:, None]), states.straw)
    warm = np.cumsum(np.maximum(weather.t_mean_c[january:] - 4, 0))
    since = np.interp(np.where(kind == 0, harvest, tilled), day, warm, right=1e9)
    reach = np.where(kind == 0, rng.uniform(0.1, 1.3, n), np.where(kind == 1, rng.uniform(1.2, 3.2, n), rng.uniform(0.3, 1.2, n)))  # fmt: skip
    weeds = rng.uniform(0.02, 0.28, n)[:, None] * gone
    regrowth = weeds + reach[:, None] * sigmoid((warm[None, :] - since[:, None] - 420) / 85) * gone
    states.leaf_area[:] += regrowth
    states.plant_water[:] += 0.55 * regrowth
    states.chlorophyll[:] = np.where(gone, 38.0, states.chlorophyll)
    states.senescence[:] = np.where(gone, 0.06, states.senescence)
    states.leaf_angle[:] = np.where(gone, 48.0, states.leaf_angle)
    _disturb(states, harvest, day, 0.85 if crop.form == CEREAL else 0.95)
    if (
        crop.removed_day is not None and crop.form == ROW and crop.base_c == 3
    ):  # lifted roots leave broken soil
        _work_soil(states, harvest, day, 1.5, 0.95)
    _work_soil(states, tilled, day, 1.6, 0.9)


def _disturb(states: States, when: np.ndarray, day: np.ndarray, share: float) -> None:
    """Record on which day a share of what scatters was moved."""
    hit = np.round(when)[:, None] == day[None, :]
    np.maximum(states.disturbance, hit * np.float32(share), out=states.disturbance)


def _work_soil(states: States, when: np.ndarray, day: np.ndarray, rough_db: float, share: float) -> None:
    """Roughen the soil on a day; rain smooths it over about five weeks."""
    since = day[None, :] - np.round(when)[:, None]
    rough = np.where(since >= 0, rough_db * np.exp(-np.maximum(since, 0) / 35), 0)
    states.roughness_db[:] = np.maximum(states.roughness_db, rough)
    _disturb(states, when, day, share)


def _as_float32(states: States) -> States:
    return States(**{name: np.ascontiguousarray(value, np.float32) for name, value in vars(states).items()})
