"""How far to believe the chances of pixels: a temperature a fold, learned on the other folds' declarations.

The pixels of a field are much alike, so that a model is surer of them than of fields that it has not seen;
by how much differs between methods, and with what they learned from. Log-odds that composition compares with
its thresholds mean the same for every method once chances are as often right as they say.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from models.patches.boosting import drawn_pixels
from models.patches.inputs.labels import UNKNOWN
from models.patches.inputs.samples import LabelledBlock
from models.probability.calibration import Temperature

PIXELS = 30  # of a parcel, at most
Told = tuple[np.ndarray, np.ndarray, np.ndarray]


def told(
    blocks: Sequence[LabelledBlock],
    chances: Callable[[LabelledBlock, np.ndarray], np.ndarray],
    fold: int,
    seed: int,
) -> Told:
    """Return what a model without `fold` says of declared pixels of that fold: chances `(pixel, class)`, the
    class declared `(pixel,)`, and weights `(pixel,)` by which every parcel of a block counts alike. Classes
    that no other fold has are left out: how sure a model is of those that it knows does not follow from them.

    Parameters
    ----------
    chances
        From a block and the pixels wanted `(y, x)` bool to chances `(class, y, x)`.
    """
    rng = np.random.default_rng([seed, 29])
    taught = [block.labels.without(fold)[block.composites.known] for block in blocks]
    learned = np.unique(np.concatenate(taught))
    parts = []
    for block in blocks:
        own = block.composites.known & (block.labels.fold == fold) & np.isin(block.labels.label, learned)
        chosen = drawn_pixels(np.where(own, block.labels.label, UNKNOWN), block.labels.parcel, PIXELS, rng)
        found = chances(block, chosen)[:, chosen].T
        _, parcel, count = np.unique(block.labels.parcel[chosen], return_inverse=True, return_counts=True)
        parts.append((found, block.labels.label[chosen].astype(np.int64), 1 / count[parcel]))
    return (
        np.concatenate([found for found, _, _ in parts]),
        np.concatenate([label for _, label, _ in parts]),
        np.concatenate([weight for _, _, weight in parts]),
    )


def learn_temperatures(by_fold: Mapping[int, Told]) -> dict[int, float]:
    """Return a temperature for each fold, fitted on what was `told` of all others; 1 where there are none.

    Examples
    --------
    >>> sure = np.tile([[0.99, 0.01], [0.01, 0.99]], (50, 1))
    >>> right = (sure, np.tile([0, 1], 50), np.ones(100))
    >>> wrong = (sure, np.tile([0, 0], 50), np.ones(100))
    >>> found = learn_temperatures({0: right, 1: wrong})
    >>> found[0] > 10, found[1] < 1  # each by the other: half of fold 1 is wrong
    (True, True)
    """
    found = {}
    for fold in by_fold:
        others = [one for number, one in by_fold.items() if number != fold and len(one[1])]
        if not others:
            found[fold] = 1.0
            continue
        chances, label, weight = (np.concatenate(part) for part in zip(*others, strict=True))
        found[fold] = Temperature.fit(chances, label, weight).temperature
    return found


def tempered(chances: np.ndarray, temperature: float) -> np.ndarray:
    """Return chances `(class, y, x)` of a temperature, above 1 less sure; NaN stays.

    Examples
    --------
    >>> tempered(np.array([[[0.8, np.nan]], [[0.2, np.nan]]]), 2.0).round(3).tolist()
    [[[0.667, nan]], [[0.333, nan]]]
    """
    known = np.isfinite(chances).all(axis=0)
    out = np.full_like(chances, np.nan)
    out[:, known] = Temperature(temperature).apply(chances[:, known].T).T
    return out
