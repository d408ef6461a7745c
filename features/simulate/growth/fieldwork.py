"""What stands on a field before an annual crop and after it, and the tillage between."""

import numpy as np

from features.simulate.growth.diary import EMERGED, Diary, day_reached
from features.simulate.land.care import CATCH_CROP
from features.simulate.land.crops import CEREAL, ROW, Annual
from features.simulate.land.states import Fields, States, sigmoid
from features.simulate.land.weather import Season

LATE = 400.0  # a day of year after the season: never
BARE, GREEN, STUBBLE = 0, 1, 2  # before: ploughed, a winter cover, weedy stubble
LEFT, COVERED, RESOWN = 0, 1, 2  # after: stubble with volunteers, a sown cover, the next winter crop
# cumulated degrees above 4 C from seed or volunteer to half its cover, and the width of that growth
COVER_WARMTH, COVER_WIDTH = 420.0, 85.0
ROUGHNESS_DAYS = 35.0  # rain smooths worked soil
CATCH_CROP_SOWN = 12.0  # days after harvest, at most, where a catch crop was promised


def before_sowing(
    crop: Annual,
    states: States,
    sowing: np.ndarray,
    season: Season,
    rng: np.random.Generator,
    diary: Diary,
) -> None:
    """Let a spring crop's field pass the winter bare, under green cover or stubble; then the seedbed is
    made. `sowing (field)` is the day of it.
    """
    if crop.sown_in_autumn:
        return
    n = len(sowing)
    kind = rng.choice(3, n, p=(0.3, 0.45, 0.25))
    cover = np.choose(kind, [np.full(n, 0.03), rng.uniform(0.9, 2.8, n), rng.uniform(0.2, 0.8, n)])
    destroyed = sowing - rng.gamma(2.4, 6.0, n)
    weeds = rng.uniform(0.02, 0.28, n)
    before = season.day[None, :] < destroyed[:, None]
    spring = 1 + 0.55 * np.clip((season.day - 60) / 40, 0, 1)
    states.leaf_area[:] += before * cover[:, None] * spring
    states.leaf_area[:] = np.maximum(states.leaf_area, weeds[:, None] * ~before)
    states.plant_water[:] += before * 0.5 * cover[:, None]
    stubble = (kind == STUBBLE)[:, None]
    _paint(states, before, chlorophyll=38.0, senescence=np.where(stubble, 0.3, 0.08), straw=0.3 * stubble)
    work_soil(states, destroyed, season.day, rough_db=1.4, share=0.8)
    work_soil(states, sowing, season.day, rough_db=1.0 if crop.form == ROW else 0.6, share=0.7)
    diary.note("ploughing", destroyed, kind != BARE)
    diary.note("sowing", sowing)


def after_harvest(
    crop: Annual,
    fields: Fields,
    states: States,
    harvest: np.ndarray,
    season: Season,
    rng: np.random.Generator,
    diary: Diary,
) -> None:
    """Clear the field; then come volunteers in the stubble, a sown cover or the next winter crop.

    `harvest (field)` is the day of it. A promised catch crop is a cover that is sown soon; where the promise
    is broken there is none.
    """
    n = len(harvest)
    gone = season.day[None, :] >= harvest[:, None]
    for name in ("leaf_area", "petals", "plant_water", "standing_dead"):
        getattr(states, name)[gone] = 0.0
    litter = rng.uniform(0.1, 0.4, n) if crop.form == ROW else rng.uniform(0.35, 0.8, n)
    kind = rng.choice(3, n, p=(0.4, 0.38, 0.22))
    wait = rng.gamma(3.0, 7.0, n)
    promised = fields.care == CATCH_CROP
    kind = np.where(promised, COVERED, kind)
    wait = np.where(promised, np.minimum(wait, CATCH_CROP_SOWN), wait)
    tilled = np.where(kind == LEFT, LATE, harvest + wait)
    reach = np.choose(kind, [rng.uniform(0.1, 1.3, n), rng.uniform(1.2, 3.2, n), rng.uniform(0.3, 1.2, n)])
    worked = season.day[None, :] >= tilled[:, None]
    warmth = np.cumsum(np.maximum(season.t_mean_c - 4, 0))
    begun = np.interp(np.where(kind == LEFT, harvest, tilled), season.day, warmth, right=1e9)
    grown = reach[:, None] * sigmoid((warmth[None, :] - begun[:, None] - COVER_WARMTH) / COVER_WIDTH)
    regrowth = gone * (grown + rng.uniform(0.02, 0.28, n)[:, None])
    states.leaf_area[:] += regrowth
    states.plant_water[:] += 0.55 * regrowth
    straw = np.where(worked, 0.12, litter[:, None])
    _paint(states, gone, chlorophyll=38.0, senescence=0.06, leaf_angle=48.0, straw=straw)
    disturb(states, harvest, season.day, share=0.85 if crop.form == CEREAL else 0.95)
    if crop.lifted:
        work_soil(states, harvest, season.day, rough_db=1.5, share=0.95)
    work_soil(states, tilled, season.day, rough_db=1.6, share=0.9)
    diary.note("harvest", harvest, harvest < season.days)
    diary.note("ploughing", tilled, kind != LEFT)
    diary.note("sowing", tilled + 1, kind != LEFT)
    up = day_reached(np.where(worked, regrowth, 0), EMERGED + 0.15, tilled + 3)
    diary.note("emergence", up, (kind != LEFT) & (up >= 0))


def _paint(states: States, where: np.ndarray, **values: np.ndarray | float) -> None:
    """Set states (field, day) where a mask is true."""
    for name, value in values.items():
        state = getattr(states, name)
        state[:] = np.where(where, value, state)


def disturb(states: States, when: np.ndarray, day: np.ndarray, share: float) -> None:
    """Record on which of the days `(day)` a share of what scatters was moved, `when (field)`."""
    hit = np.round(when)[:, None] == day[None, :]
    np.maximum(states.disturbance, hit * np.float32(share), out=states.disturbance)


def work_soil(states: States, when: np.ndarray, day: np.ndarray, rough_db: float, share: float) -> None:
    """Roughen the soil on a day, `when (field)` of `day (day)`, which rain smooths again, and move what
    scatters.
    """
    since = day[None, :] - np.round(when)[:, None]
    rough = np.where(since >= 0, rough_db * np.exp(-np.maximum(since, 0) / ROUGHNESS_DAYS), 0)
    np.maximum(states.roughness_db, rough, out=states.roughness_db, casting="same_kind")
    disturb(states, when, day, share)
