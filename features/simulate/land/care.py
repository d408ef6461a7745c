"""What holders promise under a scheme beside their crop, and who keeps it."""

import numpy as np

from features.simulate.land.crops import code_of
from features.simulate.land.population import Population
from features.simulate.randomness import generator

LATE_MOWING, HAY_MEADOW, CATCH_CROP = "ECO_late_mowing", "ECO_hay_meadow", "ECO_catch_crop"
PLOUGHING_BAN, FALLOW = "ECO_grassland", "ECO_fallow"
# intervention: share of the eligible declarations that claim it
CLAIMED = {LATE_MOWING: 0.28, HAY_MEADOW: 0.28, CATCH_CROP: 0.16}
BEFORE_CATCH_CROP = ("winter_wheat", "winter_barley", "winter_rye", "triticale")
# share of claims whose promise is broken: of the order of what area monitoring reports find for such
# interventions, a few per cent; assumed, not measured
BROKEN = {LATE_MOWING: 0.08, HAY_MEADOW: 0.08, CATCH_CROP: 0.1, FALLOW: 0.12, PLOUGHING_BAN: 0.04}
PLOUGHED_ANYWAY = 0.02  # share of grassland without such a claim that is ploughed up and sown anew


def claim_care(declared: np.ndarray, intervention: np.ndarray, seed: int, season: int) -> np.ndarray:
    """Return each parcel's intervention: some grassland and cereal parcels claim one that asks for care.

    Parameters
    ----------
    declared, intervention
        `(parcel,)` declared national codes and the intervention that goes with the crop.
    """
    luck = generator(seed, "care", season).random(len(declared))
    crop = np.array([code_of(str(code)).crop or "" for code in declared])
    grass, cereal = crop == "grassland_mown", np.isin(crop, BEFORE_CATCH_CROP)
    late, hay = CLAIMED[LATE_MOWING], CLAIMED[LATE_MOWING] + CLAIMED[HAY_MEADOW]
    claimed = intervention.astype(object)
    claimed[grass & (luck < late)] = LATE_MOWING
    claimed[grass & (luck >= late) & (luck < hay)] = HAY_MEADOW
    claimed[cereal & (luck < CLAIMED[CATCH_CROP])] = CATCH_CROP
    return claimed.astype(str)


def keep_promises(
    population: Population, intervention: np.ndarray, seed: int, season: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what every parcel's holder takes care of, "" for nothing, and whose grassland is ploughed up:
    both `(parcel)`, as `intervention` is.

    A broken promise is a parcel that claims and is used as if it did not.
    """
    rng = generator(seed, "promises", season)
    luck, other = rng.random(len(intervention)), rng.random(len(intervention))
    broken = luck < np.array([BROKEN.get(str(name), 0.0) for name in intervention])
    care = np.where(np.isin(intervention, (LATE_MOWING, HAY_MEADOW, CATCH_CROP, FALLOW)), intervention, "")
    grass = np.isin(population.crop, ("grassland_mown", "grassland_grazed"))
    bound = intervention == PLOUGHING_BAN
    return np.where(broken, "", care), grass & np.where(bound, broken, other < PLOUGHED_ANYWAY)
