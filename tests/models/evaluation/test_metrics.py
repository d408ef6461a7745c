"""Figures with their n and interval."""

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as peer

from models.evaluation.metrics import (
    METRICS,
    class_scores,
    confusion,
    confusion_table,
    multiplicities,
    paired_difference,
    ratio,
    resampled_confusions,
    score_model,
    totals,
)
from models.evaluation.verdict_scores import (
    PROMISE_NAMES,
    RATE_NAMES,
    follow_up_scores,
    kept_promises,
    verdict_rates,
)


def made(n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, n)
    predicted = np.where(rng.random(n) < 0.8, truth, rng.integers(0, 3, n))
    return truth, predicted, rng.integers(0, 40, n)


def test_metrics_agree_with_scikit_learn() -> None:
    truth, predicted, _ = made()
    matrix = confusion(truth, predicted, 3)
    expected = {
        "macro_f1": peer.f1_score(truth, predicted, average="macro"),
        "weighted_f1": peer.f1_score(truth, predicted, average="weighted"),
        "accuracy": peer.accuracy_score(truth, predicted),
        "kappa": peer.cohen_kappa_score(truth, predicted),
    }
    assert {name: pytest.approx(float(metric(matrix))) for name, metric in METRICS.items()} == expected


def test_a_replicate_is_the_confusion_of_the_groups_it_drew() -> None:
    truth, predicted, groups = made()
    drawn = multiplicities(groups, np.random.default_rng(1), 5)
    by_hand = confusion(truth, predicted, 3, drawn[2][np.unique(groups, return_inverse=True)[1]])
    np.testing.assert_allclose(resampled_confusions(truth, predicted, groups, 3, drawn)[2], by_hand)


def test_draws_are_those_of_one_call_however_many_are_held_at_a_time() -> None:
    groups = np.arange(7)
    drawn = multiplicities(groups, np.random.default_rng(1), 150)
    assert drawn.tolist() == np.random.default_rng(1).multinomial(7, np.full(7, 1 / 7), size=150).tolist()
    sums = np.array([[1.0, 0], [0, 1], [2, 0], [0, 0], [0, 3], [1, 1], [5, 0]])
    np.testing.assert_array_equal(totals(drawn, sums), drawn @ sums)


def test_scores_carry_n_and_an_interval_that_holds_the_value() -> None:
    truth, predicted, groups = made()
    stated = np.full((len(truth), 3), 0.1)
    stated[np.arange(len(truth)), predicted] = 0.8
    truth[:5] = -1
    for estimate in score_model(stated, truth, groups, np.random.default_rng(0)).values():
        assert estimate.n == 395
        assert estimate.low <= estimate.value <= estimate.high
        assert estimate.high - estimate.low < 0.25


def test_intervals_widen_where_whole_groups_err_together() -> None:
    hits = np.repeat(np.arange(20) % 4 == 0, 20)
    rng = np.random.default_rng(0)
    together = ratio(hits, np.ones(400), np.repeat(np.arange(20), 20), rng)
    alone = ratio(hits, np.ones(400), np.arange(400), rng)
    assert together.high - together.low > 3 * (alone.high - alone.low)


def test_no_hits_still_have_an_upper_bound_and_nothing_at_all_has_none() -> None:
    rng = np.random.default_rng(0)
    none = ratio(np.zeros(50, bool), np.ones(50), np.arange(50), rng)
    assert none.value == 0
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 50))  # Clopper and Pearson's, by hand
    empty = ratio(np.zeros(0, bool), np.zeros(0), np.zeros(0), rng).to_dict()
    assert empty == {"value": None, "low": None, "high": None, "n": 0}


def test_one_error_has_an_upper_bound_too() -> None:
    """One of 50 alone: Clopper and Pearson's interval is [0.0005, 0.106]; the bootstrap's [0, 0.06]."""
    one = ratio(np.arange(50) == 0, np.ones(50), np.arange(50), np.random.default_rng(0))
    assert (one.low, one.high) == (pytest.approx(0.0005, abs=1e-4), pytest.approx(0.106, abs=3e-3))


def test_errors_of_one_holding_are_one_error() -> None:
    """100 listed parcels of 5 holdings, of which one is wholly in order: 20%, of 5 things and not of 100."""
    hits, holdings = np.repeat([True, False, False, False, False], 20), np.repeat(np.arange(5), 20)
    share = ratio(hits, np.ones(100), holdings, np.random.default_rng(0))
    assert share.value == 0.2
    assert share.low < 0.01
    assert share.high > 0.5


@pytest.mark.parametrize("together", [True, False])
def test_intervals_hold_their_level_for_rare_errors(together: bool) -> None:
    """600 draws of 40 holdings of 1 to 10 parcels: 3% of holdings are wrong as a whole, or 3% of parcels."""
    rng, held = np.random.default_rng(0), []
    for _ in range(600):
        holding = np.repeat(np.arange(40), rng.integers(1, 11, 40))
        wrong = (rng.random(40) < 0.03)[holding] if together else rng.random(len(holding)) < 0.03
        share = ratio(wrong, np.ones(len(holding)), holding, rng)
        held.append(share.low <= 0.03 <= share.high)
    assert np.mean(held) > 0.93


def test_the_follow_up_list_is_scored_by_holding() -> None:
    n = 100
    names, holdings = [f"{i}" for i in range(n)], np.repeat(np.arange(5), 20)
    table = pl.DataFrame({"parcel_id": names, "q_value": 0.1})
    wrong = pl.DataFrame({"parcel_id": names, "misdeclared": holdings > 0})
    groups = pl.DataFrame({"parcel_id": names, "group": holdings})
    found = follow_up_scores(table, wrong, groups, np.random.default_rng(0), (0.05, 0.2))
    rows = {(row["q"], row["metric"]): row for row in found.iter_rows(named=True)}
    share = rows[0.2, "false_discovery_rate"]
    assert (share["value"], share["n"]) == (0.2, 100)
    assert share["low"] < 0.01
    assert share["high"] > 0.5
    assert rows[0.2, "recall"]["value"] == 1
    assert rows[0.2, "recall"]["low"] < 0.5  # 4 holdings, all found
    assert rows[0.05, "false_discovery_rate"]["n"] == 0


def test_a_better_model_differs_by_more_than_nothing() -> None:
    truth, worse, groups = made()
    difference = paired_difference(truth, worse, truth, groups, np.random.default_rng(0))
    assert difference.low > 0
    assert paired_difference(worse, worse, truth, groups, np.random.default_rng(0)).value == 0


def test_class_scores_and_confusion_by_hectares() -> None:
    truth, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    table = class_scores(truth, predicted, np.arange(4), ["a", "b"], np.random.default_rng(0))
    found = {
        (row["crop_class"], row["metric"]): (row["value"], row["n"]) for row in table.iter_rows(named=True)
    }
    assert found["a", "recall"] == (0.5, 2)
    assert found["b", "precision"] == (pytest.approx(2 / 3), 2)
    area = confusion_table(truth, predicted, np.array([1.0, 2.0, 3.0, 4.0]), ["a", "b"])
    assert area.filter(pl.col("truth") == "a")["hectares"].to_list() == [1, 2]
    assert area["parcels"].sum() == 4


def verdicts() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    names = [f"{i}" for i in range(10)]
    said = ["contradicted"] * 3 + ["confirmed"] * 5 + ["inconclusive", "not_monitorable"]
    table = pl.DataFrame(
        {"parcel_id": names, "verdict": said, "area_ha": [1.0] * 9 + [11.0], "n_observations": 30}
    )
    wrong = pl.DataFrame(
        {"parcel_id": names, "misdeclared": [True, True, False, True, *[False] * 4, True, True]}
    )
    return table, wrong, pl.DataFrame({"parcel_id": names, "group": range(10)})


def test_rates_by_hand() -> None:
    rates = verdict_rates(*verdicts(), np.random.default_rng(0))
    found = {(row["metric"], row["unit"]): (row["value"], row["n"]) for row in rates.iter_rows(named=True)}
    assert found["false_alarm_rate", "count"] == (1 / 5, 5)
    assert found["miss_rate", "count"] == (
        1 / 2,
        4,
    )  # two found; one passed, one inconclusive; one not judged
    assert found["passed_rate", "count"] == (1 / 4, 4)
    assert found["false_discovery_rate", "hectares"] == (pytest.approx(1 / 3), 3)
    assert found["decided_rate", "hectares"] == (pytest.approx(8 / 20), 10)
    assert set(rates["metric"]) == set(RATE_NAMES)


def test_rates_break_down_by_size() -> None:
    rates = verdict_rates(*verdicts(), np.random.default_rng(0), by="size_bin")
    assert set(rates["level"]) == {"1 to 2", "5 and over"}
    assert rates.filter((pl.col("metric") == "decided_rate") & (pl.col("unit") == "count"))["n"].sum() == 10


def test_promises_are_counted_over_correct_declarations_only() -> None:
    names = [f"{i}" for i in range(40)]
    columns = {
        "crop_class": ["a", "b"] * 20,
        "p_value": [0.01, 0.02] + [0.5] * 38,
        "prediction_set": [["a"]] * 40,
        "q_value": [0.01] * 4 + [None] * 36,
        "verdict": ["contradicted"] * 2 + ["confirmed"] * 38,
        "area_ha": 1.0,
        "n_observations": 30,
    }
    table = pl.DataFrame({"parcel_id": names, **columns})
    wrong = pl.DataFrame({"parcel_id": names, "misdeclared": [True] + [False] * 39})
    groups = pl.DataFrame({"parcel_id": names, "group": range(40)})
    promised = {"p_value": 0.05, "prediction_set": 0.9, "false_alarm_rate": 0.05, "follow_up": 0.1}
    rng = np.random.default_rng(0)
    found = kept_promises(table, wrong, groups, rng, promised=promised, by=("crop_class", "size_bin"))
    rows = {(row["promise"], row["level"]): (row["value"], row["n"]) for row in found.iter_rows(named=True)}
    assert {row["promise"] for row in found.iter_rows(named=True)} == set(PROMISE_NAMES)
    assert rows["p_value", "all"] == rows["false_alarm_rate", "1 to 2"] == (1 / 39, 39)
    assert rows["follow_up", "all"] == (3 / 4, 4)
    assert rows["prediction_set", "a"] == (1, 19)
    assert rows["prediction_set", "b"] == (0, 20)
