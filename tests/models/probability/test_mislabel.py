"""The chance of a wrong label, learned from false claims, on made-up data whose truth is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.probability.conformal import class_p_values
from models.probability.mislabel import (
    CrossFittedMislabel,
    cross_fit_mislabel,
    fit_mislabel,
    shrunk_rates,
    signals_of,
)
from models.verdicts.follow_up import follow_up_q

CLASSES = 6
OWN = np.arange(CLASSES)


def world(share: float, trees: int | None, n: int = 3000) -> tuple[np.ndarray, ...]:
    """Return views `(1, parcel, class)`, declared, whether wrong, and folds.

    Classes stand on a line, so that neighbours are alike and taken for one another; with `trees` the
    probabilities are the votes of so few, zero for most classes.
    """
    rng = np.random.default_rng(4)
    true = rng.integers(0, CLASSES, n)
    where = true[:, None] + rng.normal(0, 0.35, (n, 1))
    right = np.exp(-((where - OWN) ** 2) / (2 * 0.35**2)) + 1e-12
    right /= right.sum(1, keepdims=True)
    stated = right if trees is None else rng.multinomial(trees, right) / trees
    wrong = rng.random(n) < share
    step = np.where(rng.random(n) < 0.5, 1, -1) * np.where(rng.random(n) < 0.7, 1, 2)
    declared = np.where(wrong, np.clip(true + step, 0, CLASSES - 1), true)
    return stated[None], declared, declared != true, rng.integers(0, 4, n)


def own_scores(views: np.ndarray, declared: np.ndarray, folds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ranking scores and the probability that each declaration is right."""
    mislabel = cross_fit_mislabel(lambda rows: views[:, rows], declared, folds, 0.04)
    scores, odds = mislabel.score(views, folds, declared, declared[:, None] == OWN)
    return scores, 1 / (1 + np.exp(odds))


@pytest.mark.parametrize("trees", [None, 20])
def test_the_list_is_as_wrong_as_it_says_and_the_promise_is_used_up(trees: int | None) -> None:
    views, declared, wrong, folds = world(0.04, trees)
    scores, right = own_scores(views, declared, folds)
    listed = follow_up_q(right) <= 0.2
    assert listed.sum() > wrong.sum() / 4
    assert (~wrong[listed]).mean() == pytest.approx(0.2, abs=0.1)
    assert (1 - right).sum() == pytest.approx(wrong.sum(), rel=0.25)
    claims = np.repeat(-scores[:, None], CLASSES, 1)
    p_value = class_p_values(claims, declared, folds, right)[np.arange(len(declared)), declared]
    assert (p_value[~wrong] <= 0.05).mean() == pytest.approx(0.05, abs=0.015)


def test_where_none_is_wrong_the_assumed_rate_gives_way() -> None:
    views, declared, wrong, folds = world(0, 50)
    _, right = own_scores(views, declared, folds)
    assert not wrong.any()
    assert (1 - right).sum() < 0.02 * len(declared)  # of 4% assumed
    assert (follow_up_q(right) <= 0.1).mean() < 0.01  # odd but right: no series tells them apart


def test_no_vote_for_the_claim_is_no_proof_where_the_votes_are_split() -> None:
    views, declared, *_ = world(0.04, 20)
    mislabel = fit_mislabel(views, declared, 0.04)
    split, sure = np.zeros((2, CLASSES))
    split[:3], sure[0] = [0.4, 0.35, 0.25], 1
    claim = np.full((2, CLASSES), OWN == 3)
    _, scores = mislabel.score(np.stack([split, sure])[None], np.array([3, 3]), claim)
    assert np.isfinite(scores).all()
    assert scores[0] < scores[1]


def test_a_small_region_is_less_sure() -> None:
    views, declared, *_ = world(0.04, None)
    claim = (np.array([0]), OWN[None] == 0)
    sure = np.eye(CLASSES)[None, [2]]
    small, large = (
        fit_mislabel(views[:, :n], declared[:n], 0.04).score(sure, *claim)[1] for n in (400, 3000)
    )
    assert 0 < small[0] < large[0]


def test_labels_of_the_own_fold_change_nothing() -> None:
    views, declared, _, folds = world(0.04, None, n=400)
    swapped = declared.copy()
    swapped[folds == 2] = (declared[folds == 2] + 1) % CLASSES
    rows = np.flatnonzero(folds == 2)
    which, accepted = declared[rows], declared[rows, None] == OWN
    first, second = (
        cross_fit_mislabel(lambda rows: views[:, rows], labels, folds, 0.04).score(
            views[:, rows], folds[rows], which, accepted
        )[1]
        for labels in (declared, swapped)
    )
    np.testing.assert_array_equal(first, second)


def test_where_nothing_can_be_learnt_the_margin_ranks_and_says_so() -> None:
    views, _, _, folds = world(0, None, n=40)
    mislabel = cross_fit_mislabel(lambda rows: views[:, rows], np.zeros(40, int), folds, 0.04)
    assert isinstance(mislabel, CrossFittedMislabel)
    assert not mislabel.known(folds).any()
    scores, odds = mislabel.score(views, folds, np.zeros(40, int), np.tile(OWN == 0, (40, 1)))
    assert np.corrcoef(scores, views[0, :, 0])[0, 1] < 0
    assert (odds == -np.inf).all()


def test_signs_take_all_that_is_accepted_as_one_claim() -> None:
    views = np.array([[[0.3, 0.3, 0.4]], [[0.2, 0.5, 0.3]]])
    usual = np.full((3, 3), 1 / 3)
    alone = signals_of(views, np.array([0]), np.array([[True, False, False]]), usual)
    group = signals_of(views, np.array([0]), np.array([[True, True, False]]), usual)
    assert alone.shape == (1, 11)  # 4 floors, 3 of the rival, 3 of the second view, how usual the rival is
    np.testing.assert_allclose(group[0, 3], -np.log(0.6 + 0.1))
    np.testing.assert_allclose(group[0, 9], -np.log(1.01 - 0.3))
    assert (group[0, :4] < alone[0, :4]).all()


def test_a_class_whose_declarations_are_wrong_more_often_keeps_most_of_its_own_rate() -> None:
    found, parcels = np.array([2.0, 3.0, 1.0, 30.0]), np.array([100.0, 150.0, 50.0, 100.0])
    rates = shrunk_rates(found, parcels)
    assert (rates[:3] > found[:3] / parcels[:3]).all()
    assert 0.25 < rates[3] < 0.30


@given(
    st.lists(st.tuples(st.floats(0, 50), st.integers(0, 500)), min_size=2, max_size=8).filter(
        lambda pairs: sum(count for _, count in pairs) > 0
    )
)
def test_rates_lie_between_a_class_s_own_and_the_common_one(pairs: list[tuple[float, int]]) -> None:
    parcels = np.array([count for _, count in pairs], float)
    found = np.minimum([number for number, _ in pairs], parcels)
    rates, common = shrunk_rates(found, parcels), max(found.sum(), 1e-9) / parcels.sum()
    own = np.divide(found, parcels, out=np.full(len(found), common), where=parcels > 0)
    assert (rates >= np.minimum(own, common) - 1e-12).all()
    assert (rates <= np.maximum(own, common) + 1e-12).all()
