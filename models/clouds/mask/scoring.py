"""How good a mask is: against a known truth, against another mask, and without either, by how smooth the
series of what it calls clear are."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.clouds.mask.classes import CLEAR, CLOUD, NAMES, SHADOW, THIN, UNKNOWN

# of a simulated sky: what is neither clear nor of a class, at rims, is not scored
CLEAR_OPACITY, THIN_OPACITY, CLOUD_OPACITY = 0.04, 0.1, 0.5
CLEAR_SHADE, SHADOW_SHADE = 0.1, 0.25
LONGEST_GAP_DAYS = 12.0


def truth_of(opacity: np.ndarray, shade: np.ndarray) -> np.ndarray:
    """Return the true class of every pixel of a simulated sky, uint8 of the shape of `opacity`; 255 at the
    rims between classes.

    Cloud hides at least half of the ground, semi-transparent cloud a tenth; a shadow takes at least a quarter
    of the direct light.

    Examples
    --------
    >>> truth_of(np.array([0, 0.07, 0.2, 0.8, 0, 0]), np.array([0, 0, 0, 0, 0.5, 0.15])).tolist()
    [0, 255, 2, 3, 1, 255]
    """
    out = np.full(opacity.shape, UNKNOWN, np.uint8)
    out[(opacity < CLEAR_OPACITY) & (shade < CLEAR_SHADE)] = CLEAR
    out[(opacity < THIN_OPACITY) & (shade >= SHADOW_SHADE)] = SHADOW
    out[(opacity >= THIN_OPACITY) & (opacity < CLOUD_OPACITY)] = THIN
    out[opacity >= CLOUD_OPACITY] = CLOUD
    return out


def by_class(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return recall, balanced accuracy and F1 of every class, over pixels that both, of one shape, know; NaN
    where the truth has none of a class.

    Examples
    --------
    >>> scores = by_class(np.array([0, 0, 3, 3]), np.array([0, 3, 3, 3]))
    >>> round(scores["recall_cloud"], 3), round(scores["balanced_accuracy_clear"], 3)
    (0.667, 0.833)
    """
    both = (found < 4) & (truth < 4)
    f, t = found[both], truth[both]
    out: dict[str, float] = {}
    for number, name in enumerate(NAMES):
        hit = int(((f == number) & (t == number)).sum())
        wanted, named, others = int((t == number).sum()), int((f == number).sum()), int((t != number).sum())
        recall = hit / wanted if wanted else np.nan
        right = 1 - (named - hit) / others if others else np.nan
        out[f"recall_{name}"] = recall
        out[f"balanced_accuracy_{name}"] = (recall + right) / 2
        out[f"f1_{name}"] = 2 * hit / (wanted + named) if wanted else np.nan
    return out


def missed_and_lost(kept: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the share of bad pixels that are kept and of clear pixels that are not.

    Parameters
    ----------
    kept
        bool, of the shape of `truth`: what the mask calls clear; unknown pixels are not.
    """
    bad, clear = (truth > CLEAR) & (truth < 4), truth == CLEAR
    return float(kept[bad].mean()) if bad.any() else np.nan, float((~kept[clear]).mean())


def kept_at(chance_bad: np.ndarray, scored: np.ndarray, share: float) -> np.ndarray:
    """Return which pixels, bool of the shape of `chance_bad`, are kept when `share` of the scored ones are:
    those with the lowest chance.

    Where many have the chance at the border, the first of them are taken in a fixed shuffled order.
    """
    rank = np.where(np.isnan(chance_bad), np.inf, chance_bad)
    values = rank[scored]
    count = round(share * values.size)
    order = np.random.default_rng(0).permutation(values.size)
    first = order[np.argsort(values[order], kind="stable")[:count]]
    chosen = np.zeros(values.size, bool)
    chosen[first] = np.isfinite(values[first])
    out = np.zeros(chance_bad.shape, bool)
    out[scored] = chosen
    return out


@dataclass(frozen=True)
class Smoothness:
    """Sum and number of second differences, by area: `(area,)`."""

    total: np.ndarray
    count: np.ndarray

    @property
    def mean(self) -> float:
        """Return the mean over all areas."""
        return float(self.total.sum() / max(self.count.sum(), 1))


def smoothness(values: np.ndarray, days: np.ndarray, kept: np.ndarray, areas: np.ndarray) -> Smoothness:
    """Return the mean absolute distance of a value from the line between the kept ones before and after it.

    Only where both lie less than 12 days away. It is label-free: a mask that keeps cloud or shadow makes
    series rough (the temporal-smoothness index of time-series products; Vermote et al. 2009).

    Parameters
    ----------
    values
        `(time, y, x)`, NaN where unknown.
    kept
        bool `(time, y, x)`.
    areas
        int `(y, x)`: which area a pixel belongs to, from 0; -1 for none.
    """
    number = int(areas.max()) + 1
    total, count = np.zeros(number), np.zeros(number, np.int64)
    seen = kept & np.isfinite(values)
    index = np.where(seen, np.arange(len(days))[:, None, None], -1)
    before = np.full_like(index, -1)
    before[1:] = np.maximum.accumulate(index, axis=0)[:-1]
    ahead = np.where(seen, np.arange(len(days))[:, None, None], len(days))
    after = np.full_like(ahead, len(days))
    after[:-1] = np.minimum.accumulate(ahead[::-1], axis=0)[::-1][1:]
    for t in range(1, len(days) - 1):
        y, x = np.nonzero(seen[t] & (before[t] >= 0) & (after[t] < len(days)) & (areas >= 0))
        b, a = before[t][y, x], after[t][y, x]
        near = (days[t] - days[b] < LONGEST_GAP_DAYS) & (days[a] - days[t] < LONGEST_GAP_DAYS)
        y, x, b, a = y[near], x[near], b[near], a[near]
        weight = (days[t] - days[b]) / (days[a] - days[b])
        line = (1 - weight) * values[b, y, x] + weight * values[a, y, x]
        distance = np.abs(values[t, y, x] - line)
        total += np.bincount(areas[y, x], distance, number)
        count += np.bincount(areas[y, x], minlength=number)
    return Smoothness(total, count)


def interval(
    first: Smoothness, second: Smoothness, rng: np.random.Generator, draws: int = 1000
) -> tuple[float, float, float]:
    """Return the difference of two means and its 95% interval, drawn over areas."""
    picks = rng.integers(0, len(first.total), (draws, len(first.total)))
    means = [s.total[picks].sum(axis=1) / np.maximum(s.count[picks].sum(axis=1), 1) for s in (first, second)]
    low, high = np.quantile(means[0] - means[1], (0.025, 0.975))
    return first.mean - second.mean, float(low), float(high)


def agreement(found: np.ndarray, other: np.ndarray) -> Mapping[str, float]:
    """Return the share of pixels on which two masks of one shape agree, in all and by class of the other."""
    both = (found < 4) & (other < 4)
    f, o = found[both], other[both]
    out = {"agreement": float((f == o).mean())}
    out["agreement_clear_or_not"] = float(((f == CLEAR) == (o == CLEAR)).mean())
    for number, name in enumerate(NAMES):
        if (o == number).any():
            out[f"agreement_{name}"] = float((f[o == number] == number).mean())
    return out
