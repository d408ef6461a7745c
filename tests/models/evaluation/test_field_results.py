from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.evaluation.field_results import (
    ASSESSMENT,
    RESULTS,
    AssessmentError,
    assess,
    corrected_rates,
    estimate,
    read_results,
    settle,
    weighted_share,
)
from models.evaluation.quality_sample import SampleOptions, draw_sample
from reports.exports.tables import write_sample
from tests.mock_run import make_run

RUN = make_run(300)
DECLARED = pl.from_pandas(RUN.declarations.drop(columns="geometry"))
DECLARED = DECLARED.with_columns(pl.col(pl.Null).cast(pl.String))
SAMPLE = draw_sample(DECLARED, SampleOptions(share=0.2), 1)


def reviewed(folder: Path, **columns: list[str | None]) -> Path:
    path = folder / "reviewed.csv"
    pl.DataFrame(columns).write_csv(path)
    return path


def test_a_sample_goes_out_empty_and_comes_back(tmp_path: Path) -> None:
    path = write_sample(SAMPLE, tmp_path / "sample.csv")
    with pytest.raises(AssessmentError, match="has no field result yet"):
        assess(path, RUN.verdicts, SAMPLE)
    filled = pl.read_csv(path, infer_schema=False).with_columns(field_result=pl.lit("Correct"))
    filled[:10].write_csv(path, separator=";", include_bom=True)
    found = assess(path, RUN.verdicts, SAMPLE)
    assert found.results.schema == RESULTS
    assert found.results["parcel_id"].to_list() == SAMPLE["parcel_id"][:10].to_list()
    assert found.table.schema == ASSESSMENT
    wrong = found.table.filter((pl.col("measure") == "wrong_rate") & (pl.col("unit") == "count"))
    assert wrong.select("value", "low", "n").row(0) == (0, 0, 10)
    assert set(found.by_intervention["stratum"]) == set(SAMPLE["stratum"])
    visited = found.by_intervention.filter((pl.col("measure") == "wrong_rate") & (pl.col("unit") == "count"))
    assert visited["n"].sum() == 10


def test_what_is_not_visited_is_counted_and_empty_rows_are_nothing(tmp_path: Path) -> None:
    ids = [*SAMPLE["parcel_id"][:3], None]
    path = reviewed(tmp_path, parcel_id=ids, field_result=["wrong", None, "correct", None])
    results, counted = read_results(path, RUN.verdicts, SAMPLE)
    assert results["field_result"].to_list() == ["wrong", "correct"]
    assert str(counted) == "assess: 3 rows in, 2 out, 1 set aside (not_visited 1)"


def test_faulty_rows_are_named_as_a_spreadsheet_counts_them(tmp_path: Path) -> None:
    first, second, third = SAMPLE["parcel_id"][:3]
    declared = dict(RUN.verdicts.select("parcel_id", "declared").iter_rows())
    ids = ["nobody", first, first, second, third, third.lstrip("0"), None, "zzz"]
    results = ["correct", "wrong", "wrong", "yes", "wrong", "correct", "wrong", None]
    crops = [None, None, None, None, declared[third], None, None, None]
    with pytest.raises(AssessmentError) as caught:
        read_results(
            reviewed(tmp_path, parcel_id=ids, field_result=results, field_crop=crops), RUN.verdicts, SAMPLE
        )
    said = str(caught.value)
    assert "7 rows of" in said
    assert "nothing was read" in said
    assert "row 2: 'nobody' is no parcel of this run" in said
    assert f"row 4: {first!r} stands twice" in said
    assert "row 5: field_result 'yes' is neither correct nor wrong" in said
    assert "row 6: wrong, but field_crop is the declared" in said
    assert (
        f"row 7: {third.lstrip('0')!r} is no parcel of this run; was {third!r} meant (a spreadsheet drops"
        in said
    )
    assert "row 8: there is no parcel_id" in said


def test_a_file_without_its_columns_says_which(tmp_path: Path) -> None:
    with pytest.raises(AssessmentError, match=r"lacks the columns \['field_result'\]"):
        read_results(reviewed(tmp_path, parcel_id=["1"]), RUN.verdicts, SAMPLE)


def population(
    verdicts: list[str], areas: list[float], stratum: list[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    ids = [f"{number:05d}" for number in range(len(verdicts))]
    table = pl.DataFrame({"parcel_id": ids, "verdict": verdicts, "area_ha": areas, "stratum": stratum})
    return table, table.with_columns(stratum_size=pl.len().over("stratum"))


def results_of(ids: list[str], wrong: list[bool]) -> pl.DataFrame:
    return pl.DataFrame(
        {"parcel_id": ids, "field_result": ["wrong" if is_wrong else "correct" for is_wrong in wrong]}
    ).with_columns(in_sample=True)


def figure(table: pl.DataFrame, measure: str, unit: str) -> tuple[float, float, float, int]:
    row = table.filter((pl.col("measure") == measure) & (pl.col("unit") == unit))
    return row.select("value", "low", "high", "n").row(0)


def test_figures_that_a_reader_can_check() -> None:
    verdicts, sample = population(
        ["contradicted", "contradicted", "confirmed", "confirmed"], [1, 3, 2, 4], ["a"] * 4
    )
    table = estimate(
        results_of(["00000", "00001", "00002", "00003"], [True, False, True, False]), verdicts, sample
    )
    assert figure(table, "commission", "count")[0] == 0.5  # one of two contradicted is correct
    assert figure(table, "commission", "hectares")[0] == 0.75  # 3 of 4 ha
    assert figure(table, "omission", "count")[0] == 0.5  # one of two wrong ones passed
    assert figure(table, "omission", "hectares")[0] == pytest.approx(2 / 3)
    assert figure(table, "false_alarm_rate", "count")[0] == 0.5
    assert figure(table, "commission_total", "total hectares")[0] == 3
    assert figure(table, "omission_total", "parcels")[0] == 1


def test_a_visited_parcel_stands_for_its_intervention() -> None:
    stratum = ["large"] * 90 + ["small"] * 10
    verdicts, sample = population(["confirmed"] * 100, [1.0] * 100, stratum)
    visited = ["00000", "00001", "00090", "00091"]
    table = estimate(results_of(visited, [True, False, False, False]), verdicts, sample)
    assert figure(table, "wrong_rate", "count")[0] == pytest.approx(0.45)  # half of 90, none of 10
    assert np.isnan(figure(table, "commission", "count")[0])


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    n = 1500
    wrong = rng.random(n) < 0.06
    area = rng.lognormal(0, 0.8, n)
    flagged = np.where(wrong, rng.random(n) < 0.7, rng.random(n) < 0.04)
    stratum = np.where(np.arange(n) < 1000, "a", "b")
    verdicts, sample = population(
        list(np.where(flagged, "contradicted", "confirmed")), list(area), list(stratum)
    )
    truth = {
        ("commission", "count"): (~wrong & flagged).sum() / flagged.sum(),
        ("commission", "hectares"): area[~wrong & flagged].sum() / area[flagged].sum(),
        ("omission", "count"): (wrong & ~flagged).sum() / wrong.sum(),
        ("omission", "hectares"): area[wrong & ~flagged].sum() / area[wrong].sum(),
        ("false_alarm_rate", "count"): (~wrong & flagged).sum() / (~wrong).sum(),
        ("omission_total", "total hectares"): area[wrong & ~flagged].sum(),
    }
    held = dict.fromkeys(truth, 0)
    repeats = 150
    for _ in range(repeats):
        drawn = np.sort(np.r_[rng.choice(1000, 200, False), 1000 + rng.choice(500, 60, False)])
        table = estimate(results_of([f"{i:05d}" for i in drawn], list(wrong[drawn])), verdicts, sample)
        for key, value in truth.items():
            _, low, high, _ = figure(table, *key)
            held[key] += low <= value <= high
    assert {key: count / repeats for key, count in held.items() if count / repeats < 0.91} == {}


def test_no_error_seen_is_not_no_error() -> None:
    table = pl.DataFrame({"stratum": ["a"] * 60, "stratum_size": [1200] * 60})
    none = weighted_share(np.zeros(60, bool), np.ones(60, bool), np.ones(60), table)
    assert (none.value, none.low, none.n) == (0, 0, 60)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 60))  # Clopper and Pearson at zero of sixty


def results(parcel: int, result: str, crop: str | None = None, season: int = RUN.season) -> pl.DataFrame:
    row = RUN.verdicts.row(parcel, named=True)
    values = [row["parcel_id"], season, row["declared"], result, crop, True]
    return pl.DataFrame([values], schema=RESULTS, orient="row")


def test_a_settled_parcel_does_not_come_back_as_a_doubt() -> None:
    right, wrong = settle(RUN.verdicts, results(0, "correct")), settle(RUN.verdicts, results(0, "wrong"))
    assert right.row(0, named=True)["verdict"] == "confirmed"
    assert wrong.select("verdict", "reason", "q_value").row(0) == ("contradicted", "field_wrong", None)
    assert right[1:].equals(RUN.verdicts[1:])
    assert right.schema == RUN.verdicts.schema


def test_a_result_holds_for_what_was_visited() -> None:
    assert settle(RUN.verdicts, results(0, "wrong", season=1999)).equals(RUN.verdicts)
    amended = RUN.verdicts.with_columns(declared=pl.lit("777"))
    assert settle(amended, results(0, "wrong", crop="555")).equals(amended)
    assert settle(amended, results(0, "wrong", crop="777")).row(0, named=True)["reason"] == "field_correct"


def test_promises_are_corrected_by_enough_results() -> None:
    rows = [
        ("false_alarm_rate", "count", 0.12, 0.08, 0.17, 200),
        ("commission", "count", 0.5, 0.3, 0.7, 25),
        ("wrong_rate", "count", 0.03, 0.01, 0.06, 200),
    ]
    table = pl.DataFrame(rows, schema=ASSESSMENT, orient="row")
    promised = {"false_alarm_rate": 0.05, "commission": 0.1, "wrong_rate": 0.03, "omission": 0.2}
    corrected = corrected_rates(promised, table)
    assert {name: (row["value"], row["source"]) for name, row in corrected.items()} == {
        "false_alarm_rate": (0.12, "field"),
        "commission": (0.1, "promise"),
        "wrong_rate": (0.03, "promise"),
        "omission": (0.2, "promise"),
    }
    assert corrected_rates(promised, table, fewest=20)["commission"]["source"] == "field"
