"""Which windows are chosen for labelling."""

import numpy as np

from models.clouds.mask.frames import one_hot
from models.clouds.mask.labels.windows import Window, candidates, choose
from tests.models.clouds.mask.made import GRASS, frames


def window(date: int, score: float, look: tuple[float, ...]) -> Window:
    return Window(0, date, 0, 0, 8, score, np.array(look))


def chosen(windows: list[Window], count: int) -> list[int]:
    found = choose(windows, count, np.random.default_rng(0))
    return [next(k for k, one in enumerate(windows) if one is window) for window in found]


def test_a_second_window_like_the_first_comes_after_one_unlike_it() -> None:
    same = [window(k, 1.0 - 0.01 * k, (0.0, 0.0)) for k in range(3)]
    assert chosen([*same, window(3, 0.6, (1.0, 1.0))], 2) == [0, 3]


def test_not_all_windows_are_of_one_date() -> None:
    one_date = [window(0, 2.0, (float(k), 0.0)) for k in range(6)]
    others = [window(k, 0.1, (0.0, float(k))) for k in range(1, 4)]
    found = chosen([*one_date, *others], 4)
    assert sum(k < 6 for k in found) == 2  # twice its even share of 4 windows on 4 dates


def test_no_more_than_there_are() -> None:
    assert sorted(chosen([window(0, 1.0, (0.0,)), window(0, 2.0, (1.0,))], 9)) == [0, 1]
    assert choose([], 3, np.random.default_rng(0)) == []


def test_disagreement_and_doubt_raise_the_score() -> None:
    made = frames(GRASS, GRASS, size=16)
    first = np.zeros((2, 16, 16), np.uint8)
    second = first.copy()
    second[0, :8, :8] = 3  # the masks disagree in one window of the first date
    answers = [np.stack([one_hot(c, 0.97) for c in classes]) for classes in (first, second)]
    found = candidates(0, made, answers, side=8)
    best = max(found, key=lambda one: one.score)
    assert (len(found), best.date, best.top, best.left) == (8, 0, 0, 0)


def test_windows_of_which_little_is_known_are_left_out() -> None:
    made = frames(GRASS, size=8)
    unknown = np.zeros((1, 8, 8), np.uint8)
    unknown[0, :3] = 255
    assert candidates(0, made, [np.stack([one_hot(c, 0.9) for c in unknown])], side=8) == []


def test_what_is_like_a_labelled_window_is_not_chosen_again() -> None:
    first, again, other = window(0, 1, (0, 0)), window(1, 1, (0, 0)), window(2, 1, (1, 1))
    assert choose([again, other], 1, np.random.default_rng(0), [first]) == [other]
