"""Persistence, climatology and damped persistence, on paper."""

import numpy as np
import pytest

from models.forecast.climatology import NODES, REACH, class_curves, spikes
from models.forecast.history import UNKNOWN
from models.forecast.learning.basis import Damped, basis_of, fit_damped
from models.forecast.learning.samples import Samples, clouded, on_days, seen_ahead
from tests.models.forecast.made import history, waves

YEAR = 365


def at(parcel: int, origin: int, target: int, truth: float = np.nan) -> Samples:
    return Samples(*(np.array([x]) for x in (parcel, origin, target)), np.array([truth], np.float32))


def test_persistence_is_the_last_value_by_the_day() -> None:
    known = history({"a": [(10, 0.2), (20, 0.7), (30, 0.9)]})
    basis = basis_of(known, at(0, 25, 60), class_curves(known))
    assert basis.persistence[0] == pytest.approx(0.7)
    assert basis.lead(at(0, 25, 60))[0] == 40


def test_climatology_is_the_mean_of_earlier_years() -> None:
    series = [(100, 0.4), (YEAR + 100, 0.6), (2 * YEAR + 50, 0.1), (2 * YEAR + 100, 0.9)]
    known = history({"a": series}, years=3)
    own = basis_of(known, at(0, 2 * YEAR + 60, 2 * YEAR + 100), class_curves(known.until(2 * YEAR - 1)))
    assert own.climatology[0] == pytest.approx(0.5, abs=0.01)


def test_years_of_another_crop_do_not_count() -> None:
    known = history({"a": [(100, 0.9), (YEAR + 100, 0.3), (2 * YEAR + 1, 0.2)]}, {"a": "rye"}, years=3)
    known.crop[0, 0] = -1
    kept = basis_of(known, at(0, 2 * YEAR + 60, 2 * YEAR + 100), class_curves(known))
    assert kept.weight[0] == pytest.approx(2, abs=0.1)  # a year whose crop is not known counts
    rotated = history(
        {"a": [(100, 0.9), (2 * YEAR + 1, 0.2)], "b": [(100, 0.9)]}, {"a": "rye", "b": "oats"}, 3
    )
    rotated.crop[0, 0] = 0  # the parcel grew oats
    assert basis_of(rotated, at(0, 2 * YEAR + 60, 2 * YEAR + 100), class_curves(rotated)).weight[0] == 0


def test_without_earlier_years_the_class_speaks() -> None:
    series = {f"m{k}": [(100, 0.8)] for k in range(5)} | {f"g{k}": [(100, 0.3)] for k in range(5)}
    crop = {name: "maize" if name[0] == "m" else "grass" for name in series}
    known = history(series | {"new": [(YEAR + 1, 0.5)]}, crop | {"new": "maize"})
    basis = basis_of(known, at(10, YEAR + 2, YEAR + 100), class_curves(known))
    assert basis.climatology[0] == pytest.approx(0.8, abs=0.01)


def test_a_class_curve_leaves_out_the_year_of_the_forecast() -> None:
    known = history({"a": [(100, 0.2), (YEAR + 100, 0.8)], "b": [(YEAR + 1, 0.5)]}, {"a": "rye", "b": "rye"})
    curves = class_curves(known)
    assert basis_of(known, at(1, YEAR + 2, YEAR + 100), curves).climatology[0] == pytest.approx(0.2, abs=0.01)


def test_with_one_season_climatology_falls_back_on_the_last_value() -> None:
    known = history({"a": [(10, 0.4), (100, 0.9)]}, {"a": "rye"}, years=1)
    assert basis_of(known, at(0, 20, 100), class_curves(known)).climatology[0] == pytest.approx(0.4)


def test_a_parcel_never_seen_has_climatology_alone() -> None:
    known = history({"a": [(100, 0.8)], "b": []}, {"a": "rye", "b": "rye"})
    basis = basis_of(known, at(1, YEAR + 2, YEAR + 100), class_curves(known))
    assert basis.persistence[0] == basis.climatology[0] == pytest.approx(0.8, abs=0.01)


def test_damping_halves_the_departure_in_its_half_life() -> None:
    known = history({"a": [(100, 0.4), (150, 0.4), (YEAR + 100, 0.8)]})
    samples = at(0, YEAR + 110, YEAR + 150)
    basis = basis_of(known, samples, class_curves(known.until(YEAR - 1)))
    half = Damped(1.0, 50 / np.log(2))
    assert half.forecast(basis, basis.lead(samples))[0] == pytest.approx(0.6, abs=0.01)


def test_what_stays_is_learned() -> None:
    known = waves(10)
    samples = seen_ahead(known, np.arange(400, 1000, 10))
    fitted = fit_damped(samples, basis_of(known, samples, class_curves(known)))
    assert 0 <= fitted.share <= 1
    assert fitted.days > 0


def test_a_missed_cloud_is_a_spike_and_a_cut_is_none() -> None:
    looks = history({"a": [(0, 0.8), (5, 0.3), (10, 0.8), (20, 0.8), (25, 0.3), (30, 0.35), (90, 0.1)]}).ndvi
    assert spikes(looks).tolist() == [False, True, False, False, False, False, False]


def test_a_time_of_year_that_nobody_ever_saw_has_no_curve() -> None:
    curves = class_curves(history({"a": [(100, 0.4)]}, {"a": "rye"}, years=1))
    known = np.isfinite(curves.mean[-1])
    days = np.arange(NODES) * 365.25 / NODES
    assert (known == (np.abs(days - np.floor(100 / 5.0034) * 5.0034) <= REACH)).all()


def test_nobody_has_declared_yet_what_grows_next_year() -> None:
    # in January maize lies bare (0.2) and all crops are 0.4; nobody knows what parcel b will grow next
    series = {"a": [(15, 0.6), (200, 0.2), (YEAR + 200, 0.2)], "b": [(15, 0.2), (YEAR + 200, 0.5)]}
    known = history(series, {"a": "barley", "b": "maize"}, years=2)
    curves = class_curves(known)
    next_january = basis_of(known, at(1, YEAR + 350, 2 * YEAR + 15), curves)
    assert known.crop_on(np.array([0, 0]), np.array([YEAR, 2 * YEAR])).tolist() == [0, UNKNOWN]
    alike = (0.4 + 0.2) / 2  # of all crops, and its own look
    assert next_january.climatology[0] == pytest.approx(0.75 * 0.2 + 0.25 * alike, abs=0.02)


def test_what_stands_at_the_end_of_the_year_stands_there_after_it() -> None:
    bare = {f"m{k}": [(340, 0.2), (360, 0.2), (15, 0.3), (45, 0.4), (YEAR + 300, 0.2)] for k in range(3)}
    green = {f"w{k}": [(340, 0.8), (360, 0.8), (15, 0.7), (45, 0.6), (YEAR + 300, 0.8)] for k in range(3)}
    crop = {name: "maize" if name[0] == "m" else "wheat" for name in bare | green}
    known = history(bare | green, crop, years=2)
    days = 2 * YEAR + np.arange(-20, 60, 5)
    samples = on_days(np.arange(6), YEAR + 305, days)
    usual = basis_of(known, samples, class_curves(known)).climatology.reshape(6, -1)
    assert (np.abs(np.diff(usual, axis=1)) < 0.08).all()  # nowhere a jump
    assert usual[0, 3] == pytest.approx(0.2, abs=0.05) and usual[3, 3] == pytest.approx(0.8, abs=0.05)


def test_a_made_up_cloud_hides_the_looks_of_the_last_days_only() -> None:
    known = history({"a": [(100, 0.2), (150, 0.9), (160, 0.8)], "b": [(150, 0.5), (160, 0.5)]})
    samples = Samples(np.array([0, 1]), np.array([150, 150]), np.array([160, 160]), np.zeros(2, np.float32))
    hidden = clouded(known, samples, 1.0, np.random.default_rng(1))
    basis = basis_of(known, hidden, class_curves(known))
    assert basis.persistence == pytest.approx([0.2, 0.5])  # of the other parcel nothing would be left
    assert basis.lead(hidden).tolist() == [60, 10]
    assert clouded(known, samples, 0.0, np.random.default_rng(1)).looked.tolist() == [150, 150]
