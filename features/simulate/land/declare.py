"""What farmers declare: mostly what they grow, now and then something else."""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from scipy.spatial import cKDTree

from features.simulate.land.crops import CODES, INTERVENTIONS, code_of
from features.simulate.land.population import Population
from features.simulate.randomness import generator

# how wrong declarations come about, and how often
CAUSES = {"similar_crop": 0.42, "aid": 0.22, "fallow_as_crop": 0.12, "neighbours": 0.24}
SIMILAR = {
    "winter_wheat": ("triticale", "winter_barley", "winter_rye"),
    "winter_barley": ("winter_wheat", "triticale", "spring_barley"),
    "winter_rye": ("triticale", "winter_wheat"),
    "triticale": ("winter_wheat", "winter_rye"),
    "spring_barley": ("oats", "winter_barley"),
    "oats": ("spring_barley",),
    "winter_rapeseed": ("winter_wheat", "peas_beans"),
    "maize": ("sunflower", "sugar_beet"),
    "sugar_beet": ("potatoes", "maize"),
    "potatoes": ("sugar_beet", "maize"),
    "peas_beans": ("spring_barley", "potatoes"),
    "sunflower": ("maize",),
    "grassland_mown": ("grassland_grazed", "fallow"),
    "grassland_grazed": ("grassland_mown", "fallow"),
    "fallow": ("grassland_grazed", "grassland_mown"),
}
AIDED = ("peas_beans", "sugar_beet", "potatoes", "fallow", "oats")
NEGLECTED = ("winter_wheat", "spring_barley", "grassland_mown", "maize")


@dataclass(frozen=True)
class Declared:
    """Arrays (parcel,): the declared code, whether it is wrong, and the intervention claimed."""

    code: np.ndarray
    wrong: np.ndarray
    intervention: np.ndarray


def declare(population: Population, centres: np.ndarray, share: float, seed: int, season: int) -> Declared:
    """Declare every parcel, one row per field; exactly round(share * parcels) declarations name another
    class. `centres (parcel, 2)` are x, y.
    """
    rng = generator(seed, "declare", season)
    code = population.code.copy()
    wrong = np.zeros(len(code), bool)
    quota = round(share * len(code))
    counts = {cause: int(part * quota) for cause, part in CAUSES.items()}
    _swap_neighbours(population, centres, counts["neighbours"] // 2, code, wrong, rng)
    _redeclare("fallow_as_crop", counts["fallow_as_crop"], population, code, wrong, rng)
    _redeclare("aid", counts["aid"], population, code, wrong, rng)
    _redeclare("similar_crop", quota - int(wrong.sum()), population, code, wrong, rng)
    return Declared(code, wrong, _interventions(code, rng))


def _swap_neighbours(
    population: Population,
    centres: np.ndarray,
    pairs: int,
    code: np.ndarray,
    wrong: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Exchange the declarations of adjacent parcels of one holding that grow different classes."""
    near = cKDTree(centres).query(centres, k=min(7, len(centres)))[1][:, 1:]
    for i in rng.permutation(len(code)):
        if pairs <= 0:
            return
        same = near[i][population.holding[near[i]] == population.holding[i]]
        for j in same:
            differ = population.crop[i] != population.crop[j] and population.crop[i] and population.crop[j]
            if differ and not wrong[i] and not wrong[j]:
                code[i], code[j] = code[j], code[i]
                wrong[i] = wrong[j] = True
                pairs -= 1
                break


def _redeclare(
    cause: str,
    count: int,
    population: Population,
    code: np.ndarray,
    wrong: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Change the declaration of `count` parcels for one cause (fewer where the cause finds no more
    parcels).
    """
    for i in rng.permutation(len(code)):
        if count <= 0:
            return
        instead = [name for name in _pretexts(cause, str(population.crop[i])) if name != population.crop[i]]
        if instead and not wrong[i]:
            code[i] = _pick_code(instead[int(rng.integers(len(instead)))], rng)
            wrong[i] = True
            count -= 1


def _pretexts(cause: str, grown: str) -> tuple[str, ...]:
    """Return the classes that would be declared for what grows; none where the cause does not apply."""
    if not grown:
        return ()
    if cause == "similar_crop":
        return SIMILAR[grown]
    if cause == "aid":
        return AIDED if grown not in ("fallow", "grassland_mown", "grassland_grazed") else ()
    return NEGLECTED if grown == "fallow" else ()


def _pick_code(crop: str, rng: np.random.Generator) -> str:
    """Return one of the class's codes, by their shares."""
    codes = [entry for entry in CODES if entry.crop == crop]
    share = np.array([entry.share for entry in codes])
    return str(rng.choice([entry.code for entry in codes], p=share / share.sum()))


def _interventions(code: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return what each parcel claims: the basic payment, or what its declared crop is eligible for."""
    claimed = []
    for one, luck in zip(code, rng.random(len(code)), strict=True):
        eligible = INTERVENTIONS.get(code_of(str(one)).crop or "", ("BISS",))
        claimed.append(eligible[0] if luck < 0.75 else eligible[-1])
    return np.array(claimed)


def pseudonyms(holding: np.ndarray, seed: int) -> np.ndarray:
    """Return ids `(n)` from which the holdings `(n)` cannot be recognised."""
    return np.array([blake2b(f"{seed}/{number}".encode(), digest_size=6).hexdigest() for number in holding])
