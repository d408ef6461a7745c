from datetime import date, timedelta
from pathlib import Path

import lightgbm
import numpy as np
import polars as pl
import pytest

from features.errors import ModelError
from models.events.intervals import find_intervals
from models.events.labels import SCHEMA, Labels, read_labels
from models.events.learning.boosting import (
    MEMBERS,
    binned,
    fit_booster,
    learning_sets,
    parameters,
    rows_of,
)
from models.events.learning.chance import best_threshold, fit_chance, kept_above, reported_from, right_events
from models.events.learning.detector import ALL, fit_detector, rule_detector
from models.events.options import EventOptions
from models.events.peaks import find_peaks
from models.events.series import EventSeries, from_observations
from models.events.table import SEEN, detect_events
from tests.models.events.made_series import START, meadows, mowing_labels

QUICK = EventOptions(rounds=20, rows_wanted=0, threads=1)


def made(n: int = 60) -> tuple[list[list[int]], EventSeries, np.ndarray]:
    rng = np.random.default_rng(2)
    cuts = [[int(day) for day in rng.uniform(60, 180, int(k % 3 > 0))] for k in range(n)]
    return cuts, meadows(cuts), np.arange(n) % 4


def fitted(tmp_path: Path) -> tuple:
    cuts, series, fold = made()
    mowing_labels(cuts[:50]).write_csv(tmp_path / "labels.csv")
    labels, _ = read_labels(tmp_path / "labels.csv", series.parcel_ids, START, date(2024, 10, 31))
    return cuts, series, *fit_detector(series, labels, fold, QUICK)


def test_cuts_are_found_with_their_days_on_parcels_without_labels(tmp_path: Path) -> None:
    cuts, series, detector, own = fitted(tmp_path)
    assert (own[50:] == ALL).all() and own[:4].tolist() == [0, 1, 2, 3]
    events = detect_events(detector, series, own).events.filter(pl.col("reason") == SEEN)
    for row in range(50, 60):
        days = events.filter((pl.col("parcel_id") == f"p{row:03d}") & (pl.col("event") == "mowing"))["date"]
        assert len(days) == len(cuts[row])
        assert all(abs(series.day(day) - cut) <= 5 for day, cut in zip(days, cuts[row], strict=True))


def test_an_event_says_between_which_looks_it_fell_and_what_speaks_for_it(tmp_path: Path) -> None:
    _, series, detector, own = fitted(tmp_path)
    event = detect_events(detector, series, own).events.filter(pl.col("reason") == SEEN).row(0, named=True)
    assert (event["latest"] - event["earliest"]).days == event["gap_days"] == 5
    assert event["earliest"] <= event["date"] <= event["latest"]
    assert event["sensors"] == ["s2"] and "NDVI fell from" in event["evidence"]


def test_a_label_says_nothing_of_its_own_parcel(tmp_path: Path) -> None:
    """Swap the labels of one parcel: what its own fold's models say of it stays."""
    cuts, series, fold = made()
    found = []
    for swapped in (cuts, [[], *cuts[1:]], [[150], *cuts[1:]]):
        mowing_labels(swapped).write_csv(tmp_path / "labels.csv")
        labels, _ = read_labels(tmp_path / "labels.csv", series.parcel_ids, START, date(2024, 10, 31))
        detector, own = fit_detector(series, labels, fold, QUICK)
        intervals = find_intervals(series.take(np.array([0])))
        found.append(detector.scores(intervals, "mowing", own[:1]))
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])


def test_chunks_change_nothing(tmp_path: Path) -> None:
    _, series, detector, own = fitted(tmp_path)
    whole = detect_events(detector, series, own)
    detector.options = QUICK.model_copy(update={"chunk": 7})
    parts = detect_events(detector, series, own)
    assert whole.events.equals(parts.events)
    assert whole.chances.sort("parcel_id", "event", "date").equals(
        parts.chances.sort("parcel_id", "event", "date")
    )


def test_labels_of_one_fold_only_are_refused(tmp_path: Path) -> None:
    cuts, series, _ = made()
    mowing_labels(cuts).write_csv(tmp_path / "labels.csv")
    labels, _ = read_labels(tmp_path / "labels.csv", series.parcel_ids, START, date(2024, 10, 31))
    with pytest.raises(ModelError, match="fewer than two folds"):
        fit_detector(series, labels, np.zeros(len(series), int), QUICK)


def test_without_labels_the_rules_decide() -> None:
    series = meadows([[98], []])
    events = detect_events(rule_detector(QUICK), series, np.full(2, ALL)).events
    mown = events.filter((pl.col("event") == "mowing") & (pl.col("reason") == SEEN))
    assert mown["parcel_id"].to_list() == ["p000"]


def test_small_parcels_report_nothing_and_say_so() -> None:
    series = meadows([[98]])
    series.pixels[:] = 2
    events = detect_events(rule_detector(QUICK), series, np.full(1, ALL)).events
    assert set(events["reason"]) == {"few_pixels"}


def test_of_two_close_peaks_the_higher_stands() -> None:
    intervals = find_intervals(meadows([[98]]))
    score = np.zeros(len(intervals))
    score[[10, 11, 20]] = 0.6, 0.9, 0.5
    peaks = find_peaks(intervals, score, apart=15, date_share=0.5)
    assert peaks.interval.tolist() == [11, 20]
    assert peaks.other.tolist() == [0.5, 0.9] and peaks.mass[0] == pytest.approx(1.5)


def test_the_promised_share_counts_one_wrong_event_more() -> None:
    chance = np.linspace(0.9, 0.1, 9)
    right = np.array([True] * 8 + [False])
    assert reported_from(chance, right, 0.2) == pytest.approx(0.1)  # (1 + 1) / 10
    assert reported_from(chance, right, 0.15) == pytest.approx(0.2)  # 1 / 9
    assert reported_from(chance, right, 0.05) > 1  # no eight events can promise a twentieth


def test_the_threshold_is_that_of_the_best_f1_not_a_lucky_one() -> None:
    # from 0.44 to 0.6 both cuts and nothing else; beyond, one is lost
    assert best_threshold(np.array([0.9, 0.6, 0.42]), np.array([True, True, False]), 2) in (0.5, 0.52, 0.54)
    # one threshold alone is a little better than a wide range: the range is taken
    chance = np.r_[np.full(10, 0.9), 0.75, np.full(10, 0.31)]
    right = np.r_[np.full(10, True), True, np.full(10, False)]
    assert 0.4 < best_threshold(chance, right, 11) < 0.7


def test_few_labels_are_learned_from_by_several_boosters_and_many_by_one() -> None:
    _, series, _ = made(12)
    for wanted, members in ((0, 1), (1000, MEMBERS)):
        sets = learning_sets(series, EventOptions(rows_wanted=wanted))
        assert len(sets) == members
        assert len({one[-1][0].features.tobytes() for one in sets}) == members, "copies of their own"


def test_a_booster_of_every_row_is_the_one_lightgbm_fits_on_the_features_themselves() -> None:
    _, series, _ = made(12)
    sets = learning_sets(series, EventOptions(rows_wanted=1000))[0]
    features = np.concatenate([intervals.features for intervals, _ in sets])
    y = (features[:, 0] > np.nanmedian(features[:, 0])).astype(float)
    ours = fit_booster(binned(sets, QUICK, 3), np.arange(len(features)), y, QUICK, 3)
    settings = parameters(QUICK) | {"seed": 3}
    plain = lightgbm.train(settings, lightgbm.Dataset(features, y, params=settings), QUICK.rounds)
    assert ours.num_trees() == 20
    assert np.array_equal(ours.predict(features), plain.predict(features))


def test_the_rows_of_a_copy_stand_after_those_before_it() -> None:
    series = meadows([[98], []])
    events = pl.DataFrame([("p000", "mowing", *[START + timedelta(98)] * 2, True)], SCHEMA, orient="row")
    labels = Labels(events, series.parcel_ids, ("mowing",))
    whole = find_intervals(series)
    rows, y, fold = rows_of([(whole, series)] * 2, labels, "mowing", np.array([5, 6]))
    (held,) = np.flatnonzero((whole.row == 0) & (whole.start < 98) & (whole.end >= 98))
    assert rows[y > 0].tolist() == [held, len(whole) + held]
    assert fold[y > 0].tolist() == [5, 5]


def test_threads_change_nothing(tmp_path: Path) -> None:
    cuts, series, fold = made()
    mowing_labels(cuts[:50]).write_csv(tmp_path / "labels.csv")
    labels, _ = read_labels(tmp_path / "labels.csv", series.parcel_ids, START, date(2024, 10, 31))
    one, three = (fit_detector(series, labels, fold, QUICK.model_copy(update={"threads": n})) for n in (1, 3))
    found, again = detect_events(one[0], series, one[1]), detect_events(three[0], series, three[1])
    assert found.chances.equals(again.chances) and found.events.equals(again.events)


def test_of_grazed_parcels_at_most_so_many_are_called_mown() -> None:
    wrong = np.r_[np.linspace(0.95, 0.5, 10), np.zeros(89)]  # 99 grazed parcels, ten with a cut that was none
    limit = kept_above(wrong, 0.05)
    assert (wrong >= limit).sum() == 4  # (4 + 1) / (99 + 1)
    assert kept_above(np.zeros(99), 0.05) < 0.01, "no parcel is called mown: nothing is held back"


def test_a_reference_is_used_once() -> None:
    assert right_events(np.array([10.0, 15.0]), ["a", "a"], {"a": [(12, 12)]}).tolist() == [True, False]


def test_chances_are_calibrated_where_there_is_enough_to_learn_from() -> None:
    rng = np.random.default_rng(3)
    inputs = np.column_stack([rng.normal(0, 2, 4000), rng.normal(size=(4000, 4))])
    right = rng.random(4000) < 1 / (1 + np.exp(-0.5 * inputs[:, 0]))
    chance = fit_chance(inputs, right, 0.1).of(inputs)
    for low in (0.2, 0.4, 0.6):
        some = (chance >= low) & (chance < low + 0.2)
        assert right[some].mean() == pytest.approx(chance[some].mean(), abs=0.06)


def test_filled_and_half_hidden_dates_do_not_count_as_looks() -> None:
    rows = {
        "parcel_id": ["a"] * 3, "datetime": [START] * 3, "sensor": ["s2"] * 3, "relative_orbit": [51] * 3,
        "feature": ["ndvi"] * 3, "mean": [0.8, 0.7, 0.6], "std": [0.02] * 3, "pixel_count": [9.0] * 3,
        "valid_share": [1.0, 1.0, 0.4], "filled_share": [0.0, 0.8, 0.0],
    }  # fmt: skip
    table = pl.DataFrame(rows).with_columns(
        datetime=pl.Series([date(2024, 6, day) for day in (1, 6, 11)]).cast(pl.Datetime("us"))
    )
    series = from_observations(table, ["a", "b"], START)
    assert series.days.tolist() == [series.day(date(2024, 6, 1))]
    assert np.isnan(series.optical[1]).all() and series.pixels[0] == 9
