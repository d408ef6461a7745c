"""The auditor's page says what the error is in hectares, how sure, and from which sample; the exports too."""

from dataclasses import replace
from pathlib import Path

import polars as pl

from models.assessment.errors import by_stratum, estimate
from models.assessment.options import SampleOptions
from models.assessment.quality_sample import draw_sample
from reports.exports.assessment import write_assessment
from reports.options import PublishOptions
from reports.pages.auditor import write_auditor
from reports.pages.sections.assessment import assessment_view
from reports.run import FieldTables, RunTables
from tests.mock_run import make_run

RUN = make_run(120)


def assessed(every: int, visited: int, conflict: bool = False) -> RunTables:
    """The made-up run with a sample, of which every so many results are wrong."""
    declared = pl.from_pandas(RUN.declarations.drop(columns="geometry"))
    declared = declared.with_columns(pl.col(pl.Null).cast(pl.String))
    drawn = draw_sample(declared, SampleOptions(share=0.5), 1)
    wrong = pl.int_range(pl.len()) % every == 0
    results = drawn.sample.head(visited).select(
        "parcel_id",
        field_result=pl.when(wrong).then(pl.lit("wrong")).otherwise(pl.lit("correct")),
        in_sample=pl.lit(True),
    )
    said = [("7", 2024, "1", "wrong (entry 1, anna); correct (entry 3, <b>)")] if conflict else []
    conflicts = pl.DataFrame(said, schema=["parcel_id", "season", "declared", "says"], orient="row")
    tables = RUN.verdicts, drawn.design
    field = FieldTables(
        results, conflicts, by_stratum(results, *tables), estimate(results, *tables, assisted=True),
        drawn.design, visited,
    )  # fmt: skip
    return replace(
        RUN, quality_design=drawn.design, assessment=estimate(results, *tables), field_results=field
    )


def page(run: RunTables, folder: Path) -> str:
    return write_auditor(run, folder, PublishOptions()).read_text(encoding="utf-8")


def test_the_page_answers_and_follows_the_stored_tables(tmp_path: Path) -> None:
    few, many = assessed(20, 60), assessed(3, 60)
    texts = [page(run, tmp_path) for run in (few, many)]
    for run, text in zip((few, many), texts, strict=True):
        view = assessment_view(run)
        assert view is not None
        assert f"<b>{view['answer']['value']:.1f} ha were decided wrongly" in text
        assert f"{view['parcels'] - 60} sampled parcels not visited" in text
    assert texts[0] != texts[1]


def test_what_is_not_known_or_disputed_is_said(tmp_path: Path) -> None:
    run = assessed(5, 50, conflict=True)
    text = page(run, tmp_path)
    assert "1 with results that disagree" in text
    assert "correct (entry 3, &lt;b&gt;)" in text
    waiting = replace(run, assessment=None, field_results=None)
    assert "there are no field results (cropcheck assess)" in page(waiting, tmp_path)
    assert "No quality sample was drawn" in page(replace(waiting, quality_design=None), tmp_path)


def test_the_annual_table_has_a_row_a_stratum_and_one_for_the_whole(tmp_path: Path) -> None:
    run = assessed(5, 60)
    assert run.quality_design is not None
    written = write_assessment(run, tmp_path, run.quality_design)
    assert [path.name for path in written] == [
        "quality_design.csv", "assessment.csv", "annual_performance_report.csv",
    ]  # fmt: skip
    assert "holding" not in pl.read_csv(written[0]).columns  # holdings stay out of exports
    table = pl.read_csv(written[2])
    assert table["stratum"].to_list()[-1] == "all"
    whole = table.row(-1, named=True)
    assert whole["parcels_visited"] == 60
    assert whole["error_hectares_low"] < whole["error_hectares"] < whole["error_hectares_high"]
