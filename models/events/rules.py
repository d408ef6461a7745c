"""Events by rules: what a drop, a rise or bare soil says on its own, as a score from 0 to 1.

The baseline of every benchmark, and what a run without labels goes by.
"""

import numpy as np

from models.events.intervals import NAMES, Intervals
from models.events.kinds import kind_of
from models.events.peaks import log_odds

FALL, DEEP = 0.12, 0.35  # drops of NDVI from which one is a cut at all, and surely one
DRIED = -0.06  # change of NDMI: what a cut leaves is drier; a thin cloud or a shadow is not
BARE_NDVI, STUBBLE_NDVI, GREEN_NDVI = 0.30, 0.25, 0.5
COHERENCE = 7.5  # what a rise of coherence by 1 adds to the log-odds of an event in a step of a long gap
# cuts, harvest and tillage leave a surface that holds still; what comes up moves
RISES = {"mowing": 1, "harvest": 1, "bare_soil": 1, "ploughing": 1, "sowing": 1, "emergence": -1}
SURE = 0.9


def rule_scores(intervals: Intervals, event: str) -> np.ndarray:
    """Return `(interval,)` how strongly the rule of an event holds; 0.5 is its threshold.

    Of the steps of one gap between two looks, one alone has a score: what the looks show is one event.
    """
    of = _Columns(intervals)
    score = np.nan_to_num(RULES[event](of), nan=0.0)
    steps = np.flatnonzero((of["length"] < of["gap"]) & (score > 0))
    rise = np.nan_to_num(of["cohvv_change"][steps])
    score[steps] = 1 / (1 + np.exp(-log_odds(score[steps]) - COHERENCE * RISES.get(event, 0) * rise))
    score[steps[~_likeliest(intervals, of, steps, score[steps], kind_of(event).date_share)]] = 0
    return np.asarray(score)


def _likeliest(
    intervals: Intervals, of: "_Columns", steps: np.ndarray, score: np.ndarray, date_share: float
) -> np.ndarray:
    """Return `(step,)` which has the highest score of its gap: coherence tells; where it says nothing, the
    step that lies at `date_share` of the gap.
    """
    offset = np.nan_to_num(of["offset"][steps])
    away = np.abs(offset + of["length"][steps] / 2 - date_share * of["gap"][steps])
    begins = np.stack([intervals.row[steps], intervals.start[steps] - offset])
    gap = np.unique(begins, axis=1, return_inverse=True)[1].ravel()
    order = np.lexsort((away, -score.round(6), gap))
    first = np.zeros(len(steps), bool)
    first[order[np.unique(gap[order], return_index=True)[1]]] = True
    return first


class _Columns:
    """The intervals' features by name."""

    def __init__(self, intervals: Intervals) -> None:
        self.intervals = intervals

    def __getitem__(self, name: str) -> np.ndarray:
        return np.asarray(self.intervals.features[:, NAMES.index(name)], float)


def _ramp(value: np.ndarray, threshold: float, sure: float) -> np.ndarray:
    """Return 0.5 at the threshold, SURE where it is surely passed, in a line between and beyond."""
    return np.clip(0.5 + (SURE - 0.5) * (value - threshold) / (sure - threshold), 0, 1)


def _mowing(of: _Columns) -> np.ndarray:
    """A fall of greenness between two looks, with drying, of a canopy that was green before, was not bare in
    the 60 days before, and does not end in bare soil or stubble within 20 days.
    """
    fall, before = -of["ndvi_change"], of["ndvi_after"] - of["ndvi_change"]
    lowest = of["ndvi_after"] + of["ndvi_highest_60_before"] - of["ndvi_range_60_before"]
    left = of["ndvi_after"] + of["ndvi_lowest_20_after"]
    meadow = (before > GREEN_NDVI) & (lowest > BARE_NDVI) & (left > STUBBLE_NDVI)
    seen = _ramp(fall, FALL, DEEP) * (meadow & ~(of["ndmi_change"] > DRIED))  # NDMI may not be measured
    dip = (of["ndvi_dip"] < -0.15) & (of["days_after_2"] <= 6) & (of["ndvi_change_of_two"] > -0.06)
    return np.asarray(np.where(dip, 0.3 * seen, seen))


def _harvest(of: _Columns) -> np.ndarray:
    """Greenness or dry matter is gone and does not come back soon: the run of a fall that ends low."""
    fallen = _ramp(of["ndvi_highest_60_before"], 0.3, 0.55) * (of["ndvi_after"] < 0.35)
    bright = of["ndti_change"] < 0.0
    return fallen * np.where(bright, 1.0, 0.8) * (of["ndvi_before_2"] > 0.25)


def _bare(of: _Columns) -> np.ndarray:
    """The first look at soil: little green, and no straw in the short-wave bands."""
    first = of["ndvi_after"] - of["ndvi_change"] > BARE_NDVI
    return np.asarray(_ramp(BARE_NDVI - of["ndvi_after"], 0.0, 0.12) * first * (of["ndti_after"] < 0.2))


def _ploughing(of: _Columns) -> np.ndarray:
    """Green or stubble turns to bare soil."""
    turned = _ramp(-of["ndti_change"], 0.03, 0.1)
    return np.asarray(turned * (of["ndvi_after"] < BARE_NDVI) * (of["ndvi_after"] - of["ndvi_change"] > 0.2))


def _emergence(of: _Columns) -> np.ndarray:
    """Greenness rises through the level of bare soil."""
    before = of["ndvi_after"] - of["ndvi_change"]
    return np.asarray(
        _ramp(of["ndvi_after"] - before, 0.05, 0.25) * (before < BARE_NDVI) * (of["ndvi_after"] >= 0.25)
    )


def _sowing(of: _Columns) -> np.ndarray:
    """Bare at both looks, and green within 40 days."""
    before = of["ndvi_after"] - of["ndvi_change"]
    bare = (before < BARE_NDVI) & (of["ndvi_after"] < BARE_NDVI)
    return np.asarray(_ramp(of["ndvi_highest_40_after"], 0.15, 0.5) * bare)


def _grazing(of: _Columns) -> np.ndarray:
    """A slow fall that is too small for a cut, of grass that stays green.

    Listed in doubt, never reported: in simulated regions six of seven such falls are something else.
    """
    fall = -of["ndvi_change_of_two"]
    seen = 0.6 * _ramp(fall, 0.03, 0.1) * (fall < FALL) * (of["ndvi_after"] > GREEN_NDVI)
    return np.asarray(np.minimum(seen, 0.49))


RULES = {
    "mowing": _mowing,
    "harvest": _harvest,
    "bare_soil": _bare,
    "ploughing": _ploughing,
    "emergence": _emergence,
    "sowing": _sowing,
    "grazing": _grazing,
}
