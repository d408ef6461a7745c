"""Which windows of the imagery would teach most if a person labelled them.

Scored by how much the masks disagree and how unsure they are; chosen one after another so that dates, land
cover and classes differ (farthest-point sampling weighted by the score; Sener and Savarese 2018 choose by
distance alone, uncertainty sampling by score alone).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.clouds.mask.classes import UNKNOWN
from models.clouds.mask.frames import Frames
from models.clouds.mask.network.inputs import bands_of

MOST_UNKNOWN = 0.2  # share of a window
NEAREST = 0.05  # of a distance: what is like a chosen window counts this little


@dataclass(frozen=True)
class Window:
    """A square of one date.

    Attributes
    ----------
    stack
        Which of the stacks it lies in.
    score
        0 to 2: share of pixels on which the masks disagree, and mean entropy of the last mask's chances.
    look
        What it shows, `(feature,)`: season, colours, shares of the classes.
    """

    stack: int
    date: int
    top: int
    left: int
    side: int
    score: float
    look: np.ndarray

    @property
    def slices(self) -> tuple[slice, slice]:
        """Return rows and columns."""
        return slice(self.top, self.top + self.side), slice(self.left, self.left + self.side)


def candidates(
    stack: int, frames: Frames, answers: Sequence[np.ndarray], side: int, step: int | None = None
) -> list[Window]:
    """Return the windows of a stack of which enough is known.

    Parameters
    ----------
    answers
        Chances `(time, class, y, x)` of each mask; the last is the one to be taught.
    """
    height, width = frames.shape
    side = min(side, height, width)
    classes = [np.where(np.isnan(a[:, 0]), UNKNOWN, np.nan_to_num(a).argmax(axis=1)) for a in answers]
    known = np.all([c != UNKNOWN for c in classes], axis=0)
    differ = np.zeros(known.shape)
    for k, one in enumerate(classes):
        for other in classes[k + 1 :]:
            differ = np.maximum(differ, one != other)
    last = np.nan_to_num(answers[-1])
    unsure = -(last * np.log(np.maximum(last, 1e-6))).sum(axis=1) / np.log(4)
    values = bands_of(frames)[:, :4]
    found = []
    for date in range(len(frames)):
        for top in range(0, height - side + 1, step or side):
            for left in range(0, width - side + 1, step or side):
                here = (date, slice(top, top + side), slice(left, left + side))
                if known[here].mean() < 1 - MOST_UNKNOWN:
                    continue
                score = float(differ[here][known[here]].mean() + unsure[here][known[here]].mean())
                part = values[date, :, here[1], here[2]]
                look = _look(part, classes[-1][here], float(frames.days[date]))
                found.append(Window(stack, date, top, left, side, score, look))
    return found


def _look(values: np.ndarray, classes: np.ndarray, day: float) -> np.ndarray:
    roots = np.sqrt(np.clip(np.nan_to_num(values), 0, 1)).reshape(len(values), -1)
    shares = [(classes == number).mean() for number in range(4)]
    angle = 2 * np.pi * day / 365.25
    season = [np.sin(angle), np.cos(angle)]
    return np.concatenate([season, 3 * roots.mean(axis=1), 3 * roots.std(axis=1), shares]).astype(np.float64)


def choose(
    windows: Sequence[Window], count: int, rng: np.random.Generator, labelled: Sequence[Window] = ()
) -> list[Window]:
    """Choose windows one after another: high score, and unlike those chosen before.

    Of one date at most twice its even share is taken while others are left.

    Parameters
    ----------
    labelled
        Windows that have their labels already: what is like them is not chosen again.
    """
    if not windows or count < 1:
        return []
    looks = np.stack([window.look for window in (*windows, *labelled)])
    looks = (looks - looks.mean(axis=0)) / np.maximum(looks.std(axis=0), 1e-6)
    looks, known = looks[: len(windows)], looks[len(windows) :]
    scores = np.array([window.score for window in windows]) + 1e-6 * rng.random(len(windows))
    dates = np.array([window.date for window in windows])
    most = max(1, -(-2 * count // len(np.unique(dates))))
    distance = np.full(len(windows), np.inf)
    for one in known:
        distance = np.minimum(distance, np.linalg.norm(looks - one, axis=1))
    free = np.ones(len(windows), bool)
    taken: list[int] = []
    while len(taken) < min(count, len(windows)):
        first = not taken and not labelled
        far = np.ones(len(windows)) if first else distance / max(float(distance[free].max()), 1e-9)
        used, often = np.unique(dates[taken], return_counts=True)
        open_dates = free & ~np.isin(dates, used[often >= most])
        value = np.where(open_dates if open_dates.any() else free, scores * np.maximum(far, NEAREST), -np.inf)
        best = int(value.argmax())
        taken.append(best)
        free[best] = False
        distance = np.minimum(distance, np.linalg.norm(looks - looks[best], axis=1))
    return [windows[k] for k in taken]
