"""The errors of the verdicts, on populations that a reader can count."""

import numpy as np
import polars as pl
import pytest

from models.assessment.errors import _visited, by_stratum, estimate, field_visits_saved
from models.assessment.estimator import Visited, share
from models.assessment.planning import plan_from_rate, plan_from_results, size
from models.assessment.quality_sample import DESIGN
from models.evaluation.metrics import Estimate


def population(verdicts: list[str], areas: list[float]) -> pl.DataFrame:
    ids = [f"{number:05d}" for number in range(len(verdicts))]
    return pl.DataFrame({"parcel_id": ids, "verdict": verdicts, "area_ha": areas})


def design(
    verdicts: pl.DataFrame, stratum: list[str], chance: dict[str, float] | float = 1.0
) -> pl.DataFrame:
    """Every parcel its own holding; chances by stratum."""
    table = verdicts.with_columns(stratum=pl.Series(stratum), holding=pl.col("parcel_id"))
    chances = chance if isinstance(chance, dict) else dict.fromkeys(stratum, chance)
    return table.with_columns(
        probability=pl.col("stratum").replace_strict(chances),
        stratum_parcels=pl.len().over("stratum"),
        stratum_hectares=pl.col("area_ha").sum().over("stratum"),
    ).select(
        pl.col(name if "probability" not in name else "probability").cast(kind).alias(name)
        for name, kind in DESIGN.items()
    )


def results_of(ids: list[str], wrong: list[bool]) -> pl.DataFrame:
    words = ["wrong" if is_wrong else "correct" for is_wrong in wrong]
    return pl.DataFrame({"parcel_id": ids, "field_result": words})


def figure(table: pl.DataFrame, measure: str, unit: str) -> tuple[float, float, float, int]:
    row = table.filter((pl.col("measure") == measure) & (pl.col("unit") == unit))
    return row.select("value", "low", "high", "n").row(0)


def test_figures_that_a_reader_can_check() -> None:
    verdicts = population(["contradicted", "contradicted", "confirmed", "confirmed"], [1, 3, 2, 4])
    results = results_of(verdicts["parcel_id"].to_list(), [True, False, True, False])
    table = estimate(results, verdicts, design(verdicts, ["a"] * 4))
    assert figure(table, "commission", "count")[0] == 0.5  # one of two contradicted is correct
    assert figure(table, "commission", "hectares")[0] == 0.75  # 3 of 4 ha
    assert figure(table, "confirmed_wrong", "hectares")[0] == pytest.approx(1 / 3)  # 2 of 6 ha
    assert figure(table, "omission", "hectares")[0] == pytest.approx(2 / 3)  # 2 of 3 ha
    assert figure(table, "error", "hectares")[0] == 0.5  # 3 and 2 of 10 ha
    assert figure(table, "false_alarm_rate", "count")[0] == 0.5
    assert figure(table, "commission_total", "total hectares")[0] == 3
    assert figure(table, "error_total", "total hectares")[0] == pytest.approx(5)
    assert figure(table, "omission_total", "parcels")[0] == 1
    assert figure(table, "error", "hectares")[1:3] == (0.5, 0.5)  # all were visited: nothing is unknown


def test_a_visited_parcel_stands_for_its_stratum() -> None:
    stratum = ["large"] * 90 + ["small"] * 10
    verdicts = population(["confirmed"] * 100, [1.0] * 100)
    drawn = design(verdicts, stratum, {"large": 2 / 90, "small": 0.2})
    visited = ["00000", "00001", "00090", "00091"]
    table = estimate(results_of(visited, [True, False, False, False]), verdicts, drawn)
    assert figure(table, "wrong_rate", "count")[0] == pytest.approx(0.45)  # half of 90, none of 10
    assert np.isnan(figure(table, "commission", "count")[0])
    strata = by_stratum(results_of(visited, [True, False, False, False]), verdicts, drawn)
    shares = strata.filter((pl.col("measure") == "error") & (pl.col("unit") == "hectares"))
    assert dict(shares.select("stratum", "value").iter_rows()) == {"large": 0.5, "small": 0.0}
    hectares = strata.filter(pl.col("unit") == "total hectares")
    assert dict(hectares.select("stratum", "value").iter_rows()) == {"large": 45.0, "small": 0.0}


def test_a_parcel_that_was_likelier_to_be_drawn_stands_for_fewer() -> None:
    verdicts = population(["confirmed"] * 4, [1.0] * 4)
    drawn = design(verdicts, ["a"] * 4).with_columns(probability=pl.Series([0.5, 0.25, 0.25, 0.25]))
    table = estimate(results_of(["00000", "00001"], [True, False]), verdicts, drawn)
    assert figure(table, "wrong_rate", "count")[0] == pytest.approx(2 / 6)  # 2 wrong beside 4 correct


def test_parcels_outside_the_sample_are_not_counted_and_buckets_may_share_parcels() -> None:
    verdicts = population(["confirmed"] * 3, [1.0, 2.0, 3.0])
    both = pl.concat([design(verdicts, ["x"] * 3)[:2], design(verdicts, ["y"] * 3)[1:2]])
    results = results_of(["00000", "00001", "00002"], [True, False, True])
    table = estimate(results, verdicts, both)
    assert figure(table, "error", "count")[::3] == (0.5, 2)


def visited(clusters: int, each: int, probability: float) -> Visited:
    n = clusters * each
    ones = np.ones(n)
    return Visited(
        np.zeros(n, int), np.repeat(np.arange(clusters), each), ones * probability, ones * probability, ones
    )


def test_no_error_seen_is_not_no_error() -> None:
    sample = visited(30, 3, 0.05)
    every, none = np.ones(90, bool), np.zeros(90, bool)
    found = share(none, every, sample, np.array([1800.0]), np.ones(90))
    assert (found.value, found.low, found.n) == (0, 0, 90)
    # the exact bound at none of the 30 holdings, each worth a little more as 5% of all were seen
    assert found.high == pytest.approx(1 - 0.025 ** (0.95 / 30))


def test_errors_that_gather_in_holdings_make_the_interval_wider() -> None:
    sample, every = visited(30, 3, 0.05), np.ones(90, bool)
    spread, gathered = np.arange(90) % 15 == 0, np.arange(90) < 6
    wide, narrow = (share(hit, every, sample, np.array([1800.0]), np.ones(90)) for hit in (gathered, spread))
    assert wide.value == narrow.value == pytest.approx(6 / 90)
    assert wide.high - wide.low > 1.2 * (narrow.high - narrow.low)


def test_the_verdicts_of_all_parcels_help_where_errors_follow_them() -> None:
    rng = np.random.default_rng(1)
    n = 4_000
    verdict = np.where(rng.random(n) < 0.1, "contradicted", "confirmed")
    wrong = np.where(verdict == "contradicted", rng.random(n) < 0.7, rng.random(n) < 0.01)
    verdicts = population(verdict.tolist(), rng.lognormal(0, 0.6, n).tolist())
    chosen = np.sort(rng.choice(n, 300, replace=False))
    drawn = design(verdicts, ["a"] * n, 300 / n)
    results = results_of([f"{place:05d}" for place in chosen], wrong[chosen].tolist())
    plain = estimate(results, verdicts, drawn)
    helped = estimate(results, verdicts, drawn, assisted=True)
    truth = wrong.mean()
    assert figure(helped, "wrong_rate", "count")[1] < truth < figure(helped, "wrong_rate", "count")[2]
    saved = field_visits_saved(plain, helped, "wrong_rate")
    assert saved is not None
    assert saved > 0.05


def test_a_narrower_interval_needs_more_visits_and_never_more_than_there_are() -> None:
    assert size(0.05 * 0.95, 10**9, 0.01) == pytest.approx(4 * size(0.05 * 0.95, 10**9, 0.02), rel=0.001)
    assert size(0.25, 50, 0.0001) == 50
    plan = plan_from_rate(0.03, 100_000, 0.005)
    assert plan.holdings == pytest.approx(plan.parcels / 3, abs=1)
    assert "no results yet: 3.0% errors assumed" in plan.basis
    pilot = plan_from_results(Estimate(0.03, 0.01, 0.05, 300), 300, 120, 10**9, 0.02)
    assert pilot.parcels == pytest.approx(1200, abs=2)  # half the width: four times the visits
    assert pilot.holdings == pytest.approx(480, abs=2)


def test_visits_that_are_still_to_come_count_as_not_drawn() -> None:
    """10 of 40 drawn parcels visited tell as much as 10 drawn: no interval is closed before its time."""
    verdicts = population(["confirmed"] * 40, [1.0 + number % 3 for number in range(40)])
    results = results_of([f"{number:05d}" for number in range(10)], [number < 2 for number in range(10)])
    census, quarter = design(verdicts, ["a"] * 40), design(verdicts, ["a"] * 40, 0.25)[:10]
    for assisted in (False, True):
        going_on = estimate(results, verdicts, census, assisted=assisted)
        assert going_on.equals(estimate(results, verdicts, quarter, assisted=assisted))
        low, high = figure(going_on, "error", "hectares")[1:3]
        assert low < 0.1
        assert high > 0.4
    everything = results_of(verdicts["parcel_id"].to_list(), [number < 8 for number in range(40)])
    assert figure(estimate(everything, verdicts, census), "error", "count")[:3] == (0.2, 0.2, 0.2)


def test_half_of_the_holdings_visited_halves_their_chance() -> None:
    """Of 4 drawn holdings with 2 parcels each, 2 were visited, one of them by half."""
    verdicts = population(["confirmed"] * 8, [1.0] * 8)
    drawn = design(verdicts, ["a"] * 8, 0.4).with_columns(
        holding=pl.Series([f"h{number // 2}" for number in range(8)]), holding_probability=pl.lit(0.8)
    )
    visited = _visited(results_of(["00000", "00001", "00002"], [True, False, False]), verdicts, drawn)
    assert visited["probability"].to_list() == pytest.approx([0.4 * 3 / 8] * 3)
    assert visited["holding_probability"].to_list() == pytest.approx([0.8 * 2 / 4] * 3)
