"""Calibration and conformal p-values: what they promise, on made-up data whose truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import ModelError
from models.probability.calibration import (
    Isotonic,
    Temperature,
    calibrator_from,
    cross_calibrate,
    expected_calibration_error,
    fit_calibrator,
    log_loss,
)
from models.probability.conformal import (
    can_promise,
    class_p_values,
    least_p_values,
    prediction_sets,
    rank_p_values,
)
from models.verdicts.follow_up import follow_up_q


def made(
    seed: int, n: int = 3000, classes: int = 4, sharp: float = 2.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overconfident probabilities, the labels they speak of, and folds."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, classes))
    right = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (right.cumsum(1) > rng.random((n, 1))).argmax(1)
    stated = np.exp(sharp * logits) / np.exp(sharp * logits).sum(1, keepdims=True)
    return stated, labels, rng.integers(0, 5, n)


def test_calibration_undoes_overconfidence() -> None:
    stated, labels, folds = made(0)
    before = expected_calibration_error(stated, labels)
    for name in ("temperature", "isotonic", "choose"):
        calibrated, _ = cross_calibrate(stated, labels, folds, name)
        assert expected_calibration_error(calibrated, labels) < min(0.03, before / 3)
        np.testing.assert_allclose(calibrated.sum(1), 1)
    assert Temperature.fit(stated, labels).temperature == pytest.approx(2, rel=0.1)


def test_a_held_out_label_changes_nothing_in_its_own_fold() -> None:
    stated, labels, folds = made(1, n=600)
    before, _ = cross_calibrate(stated, labels, folds, "choose")
    swapped = labels.copy()
    swapped[7] = (labels[7] + 1) % 4
    after, _ = cross_calibrate(stated, swapped, folds, "choose")
    np.testing.assert_array_equal(before[folds == folds[7]], after[folds == folds[7]])


@pytest.mark.parametrize("name", ["none", "temperature", "isotonic"])
def test_a_calibrator_survives_json(name: str) -> None:
    stated, labels, folds = made(2, n=500)
    fitted = fit_calibrator(name, stated, labels, folds)  # type: ignore[arg-type]
    np.testing.assert_allclose(calibrator_from(fitted.to_dict()).apply(stated), fitted.apply(stated))


def test_an_unknown_calibration_is_refused() -> None:
    with pytest.raises(ModelError, match="'platt'"):
        calibrator_from({"name": "platt"})


def test_isotonic_rules_nothing_out_and_loses_nothing() -> None:
    stated, labels, _ = made(3, n=400)
    calibrated = Isotonic.fit(stated, labels).apply(stated)
    assert calibrated.min() > 0
    assert log_loss(calibrated, labels) < log_loss(stated, labels)


def test_p_value_by_hand() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.7, 0.3]])
    values = class_p_values(scores, np.zeros(4, int), np.array([0, 1, 1, 1]))
    assert values[0, 0] == 1  # above all three of the other fold
    assert values[2, 0] == 1 / 2  # below the only one outside its fold
    assert (values[:, 1] == 1).all()  # nobody is declared so: nothing can be excluded


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.02, 0.05, 0.1, 0.2]))
def test_correct_declarations_are_excluded_no_more_than_promised(seed: int, alpha: float) -> None:
    stated, labels, folds = made(seed, n=4000)
    p_values = class_p_values(stated, labels, folds)
    for number in range(4):
        own = p_values[labels == number, number]
        slack = 4 * np.sqrt(alpha / len(own))  # both samples vary
        assert (own <= alpha).mean() <= alpha + slack
    covered = prediction_sets(p_values, alpha)[np.arange(len(labels)), labels]
    assert covered.mean() >= 1 - alpha - 4 * np.sqrt(alpha / len(labels))


def test_wrong_labels_make_the_promise_safer_and_their_weights_use_it_up() -> None:
    stated, truth, folds = made(5, n=6000)
    rng = np.random.default_rng(5)
    wrong = rng.random(len(truth)) < 0.04
    declared = np.where(wrong, (truth + rng.integers(1, 4, len(truth))) % 4, truth)
    rows = np.arange(len(truth))
    clean = class_p_values(stated, truth, folds)[rows, truth]
    noisy = class_p_values(stated, declared, folds)[rows, declared]
    weighed = class_p_values(stated, declared, folds, 1.0 - wrong)[rows, declared]
    assert (noisy[~wrong] <= 0.05).mean() < 0.8 * (clean[~wrong] <= 0.05).mean()
    assert (noisy[wrong] <= 0.05).mean() > 5 * (noisy[~wrong] <= 0.05).mean()
    assert (weighed[~wrong] <= 0.05).mean() == pytest.approx(0.05, abs=0.005)
    assert (weighed[wrong] <= 0.05).mean() > (noisy[wrong] <= 0.05).mean()


def test_the_least_p_value_leaves_out_the_own_fold_and_follows_the_weights() -> None:
    member, folds = np.array([True, True, True, False]), np.array([0, 0, 1, 2])
    assert least_p_values(member, folds).tolist() == [1 / 2, 1 / 2, 1 / 3, 1 / 4]
    weights = np.array([0.5, 0.25, 1.0, 1.0])
    assert least_p_values(member, folds, weights).tolist() == [1 / 2, 1 / 2, 1 / 1.75, 1 / 2.75]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_the_least_p_value_is_that_of_a_score_below_all_others(seed: int) -> None:
    rng = np.random.default_rng(seed)
    member, folds, weights = rng.random(30) < 0.7, rng.integers(0, 4, 30), rng.random(30)
    scores = rng.random(30)
    least = least_p_values(member, folds, weights)
    for lowest in range(30):
        changed = np.where(np.arange(30) == lowest, -1.0, scores)
        assert rank_p_values(changed, member, folds, weights)[lowest] == pytest.approx(least[lowest])


def test_doubtful_calibration_parcels_promise_less() -> None:
    """24 parcels that are each right with even odds count as 12: no p-value gets down to 1/20."""
    member, folds = np.arange(25) > 0, np.minimum(np.arange(25), 1)
    assert can_promise(least_p_values(member, folds), 0.05)[0]
    assert not can_promise(least_p_values(member, folds, np.full(25, 0.5)), 0.05)[0]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(0.01, 0.9))
def test_the_list_is_the_longest_prefix_within_q(right: list[float], q: float) -> None:
    values = np.array(right)
    listed = follow_up_q(values) <= q
    ranked = np.sort(values)
    means = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    longest = max([0, *(i + 1 for i in range(len(ranked)) if means[i] <= q)])
    ties = longest < len(ranked) and longest > 0 and ranked[longest] == ranked[longest - 1]
    assert ties or listed.sum() == longest
