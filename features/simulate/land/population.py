"""Who farms what: holdings, regions, crops and the properties of every field."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from features.simulate.land.crops import CODES, CROPS
from features.simulate.land.states import Fields
from features.simulate.land.terrain import SOILS, Terrain
from features.simulate.randomness import generator, sample

REGIONS = ("Lowland", "Upland")
PERMANENT = ("grassland_mown", "grassland_grazed")
LIVESTOCK = {
    "grassland_mown": 1.0,
    "grassland_grazed": 1.1,
    "maize": 0.45,
    "triticale": 0.3,
    "winter_rye": 0.2,
}
ROOTS = {
    "sugar_beet": 1.0,
    "potatoes": 1.3,
    "winter_wheat": 0.2,
    "grassland_grazed": -1.0,
    "grassland_mown": -0.6,
}
SOIL_TASTE = {  # log-odds per step from sand to clay
    "winter_rye": -0.7,
    "potatoes": -0.35,
    "maize": -0.2,
    "triticale": -0.35,
    "oats": -0.2,
    "winter_wheat": 0.35,
    "sugar_beet": 0.4,
    "winter_rapeseed": 0.2,
    "winter_barley": 0.1,
    "fallow": -0.3,
    "grassland_grazed": 0.1,
}


@dataclass(frozen=True)
class Population:
    """Arrays (parcel,): holding number, region name, true national code and class; "" where it is not
    monitored.
    """

    holding: np.ndarray
    region: np.ndarray
    code: np.ndarray
    crop: np.ndarray


def settle(
    centres: np.ndarray, elevation: np.ndarray, per_holding: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return holding numbers and region names, `(parcel)`, of parcels at `centres (parcel, 2)`: farms work
    the land around them, with scattered plots.

    Farm sizes are log-normal; a tenth of the parcels is rented from afar.
    """
    rng = generator(seed, "holdings")
    n = len(centres)
    n_holdings = max(round(n / per_holding), 2)
    farms = centres[rng.choice(n, n_holdings, replace=n_holdings > n)]
    reach = np.exp(rng.normal(0, 0.45, n_holdings))
    near = cKDTree(farms)
    k = min(8, n_holdings)
    distance, index = near.query(centres, k=k)
    distance, index = distance.reshape(n, k), index.reshape(n, k)
    score = distance / reach[index] * np.exp(rng.normal(0, 0.35, (n, k)))
    holding = index[np.arange(n), np.argmin(score, axis=1)]
    far = rng.random(n) < 0.1
    holding = np.where(far, index[np.arange(n), rng.integers(0, k, n)], holding)
    split = np.median(elevation)
    farm_height = np.array(
        [elevation[holding == h].mean() if (holding == h).any() else 0 for h in range(n_holdings)]
    )
    return holding, np.array(REGIONS)[(farm_height[holding] > split).astype(int)]


def choose_crops(
    holding: np.ndarray, soil: np.ndarray, seed: int, season: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the true class and national code of every parcel for a season.

    Permanent grass stays where it is; arable crops change with the season, by the holding's kind (livestock,
    roots) and the soil. Shares come out as the table of crops asks, to the parcel.
    """
    lasting, yearly = generator(seed, "grass"), generator(seed, "crops", season)
    n = len(holding)
    kinds = lasting.normal(0, 1, (2, holding.max() + 1))[:, holding]
    names = [crop.name for crop in CROPS]
    appeal = np.stack([_appeal(name, kinds, soil) for name in names], axis=1)
    luck = np.where(
        np.isin(names, PERMANENT)[None, :],
        lasting.gumbel(size=(n, len(names))),
        yearly.gumbel(size=(n, len(names))),
    )
    unmonitored = [code for code in CODES if code.crop is None]
    counts = _whole([crop.share for crop in CROPS] + [code.share for code in unmonitored], n)
    crop, code = np.full(n, "", object), np.full(n, "", object)
    free = np.ones(n, bool)
    other = lasting.permutation(n)
    for entry, count in zip(unmonitored, counts[len(names) :], strict=True):
        rows = other[free[other]][:count]
        code[rows], free[rows] = entry.code, False
    order = sorted(range(len(names)), key=lambda k: (names[k] not in PERMANENT, counts[k]))
    for k in order:
        rows = np.flatnonzero(free)
        best = rows[np.argsort(-(appeal[rows, k] + 0.8 * luck[rows, k]), kind="stable")[: counts[k]]]
        crop[best], free[best] = names[k], False
    for name in names:
        rows = np.flatnonzero(crop == name)
        codes = [entry for entry in CODES if entry.crop == name]
        share = np.array([entry.share for entry in codes])
        code[rows] = yearly.choice([entry.code for entry in codes], len(rows), p=share / share.sum())
    return crop.astype(str), code.astype(str)


def _appeal(name: str, kinds: np.ndarray, soil: np.ndarray) -> np.ndarray:
    """Return how much a parcel asks for a crop, in log-odds."""
    by_holding = LIVESTOCK.get(name, -0.25) * kinds[0] + ROOTS.get(name, 0.0) * kinds[1]
    return np.asarray(by_holding + SOIL_TASTE.get(name, 0.0) * (soil - 2.5))


def _whole(shares: list[float], total: int) -> np.ndarray:
    """Return whole numbers in the shares' proportion that sum to `total` (largest remainders)."""
    exact = np.array(shares) / sum(shares) * total
    counts = np.floor(exact).astype(int)
    counts[np.argsort(-(exact - counts), kind="stable")[: total - counts.sum()]] += 1
    return counts


def make_fields(
    population: Population, centres_px: np.ndarray, terrain: Terrain, seed: int, season: int
) -> Fields:
    """Draw what is fixed about every field: its soil and height, its holding's habits, its own luck.

    `centres_px (field, 2)` are column and row.
    """
    lasting, yearly = generator(seed, "sites"), generator(seed, "management", season)
    n = len(population.holding)
    column, row = centres_px.T
    soil = sample(terrain.soil, row, column)
    height = sample(terrain.elevation, row, column)
    mean_height = float(terrain.elevation.mean())
    own = {
        name: yearly.standard_normal(n) for name in ("timing", "vigour", "nitrogen", "earliness", "diligence")
    }
    habit = {name: lasting.standard_normal(population.holding.max() + 1)[population.holding] for name in own}
    share = {"timing": 0.55, "vigour": 0.4, "nitrogen": 0.5, "earliness": 0.3, "diligence": 0.5}
    effect = {
        name: (np.sqrt(share[name]) * habit[name] + np.sqrt(1 - share[name]) * own[name]).astype(np.float32)
        for name in own
    }
    capacity = np.array([SOILS[k][1] for k in sorted(SOILS)])[soil - 1] * np.exp(lasting.normal(0, 0.18, n))
    bright = np.array([SOILS[k][2] for k in sorted(SOILS)])[soil - 1] * np.exp(lasting.normal(0, 0.12, n))
    warming = -0.0065 * (height - mean_height) + lasting.normal(0, 0.3, n)
    return Fields(
        crop=population.crop,
        code=population.code,
        warming_c=warming.astype(np.float32),
        capacity_mm=capacity.astype(np.float32),
        brightness=bright.astype(np.float32),
        roughness=yearly.standard_normal(n).astype(np.float32),
        scatter=yearly.standard_normal(n).astype(np.float32),
        care=np.full(n, "", object),
        ploughed_up=np.zeros(n, bool),
        **effect,
    )
