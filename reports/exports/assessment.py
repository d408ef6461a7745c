"""What the quality assessment found, for spreadsheets and for the annual performance report."""

from pathlib import Path

import polars as pl

from features.files import atomic_path
from models.assessment.errors import MEASURES
from reports.exports.neutral import neutral_table
from reports.run import RunTables

WHOLE = "all"
REPORT_MEASURES = ("error", "error_total", "confirmed_wrong", "commission", "omission")


def write_assessment(run: RunTables, folder: Path, design: pl.DataFrame) -> list[Path]:
    """Write the design of the sample, and, where there are field results, the errors that they show.

    Returns
    -------
    list[Path]
        `quality_design.csv`; `assessment.csv`, every measure overall and by stratum; and
        `annual_performance_report.csv`, one row a stratum: what was sampled and visited, and the error by
        parcels, in hectares and as share of area, with 95% intervals.
    """
    written = [_csv(design.drop("holding"), folder / "quality_design.csv")]
    if run.assessment is None or run.field_results is None:
        return written
    table = assessment_table(run.assessment, run.field_results.by_stratum)
    yearly = annual_table(table, run.field_results.design, run.field_results.results, run.season)
    return [
        *written,
        _csv(table, folder / "assessment.csv"),
        _csv(yearly, folder / "annual_performance_report.csv"),
    ]


def assessment_table(overall: pl.DataFrame, by_stratum: pl.DataFrame) -> pl.DataFrame:
    """Return every measure, overall and by stratum, with what it means."""
    whole = overall.select(pl.lit(WHOLE).alias("stratum"), pl.all())
    meaning = pl.col("measure").replace_strict(MEASURES, default="").alias("meaning")
    return pl.concat([whole, by_stratum.select(whole.columns)]).with_columns(meaning)


def annual_table(
    table: pl.DataFrame, design: pl.DataFrame, results: pl.DataFrame, season: int
) -> pl.DataFrame:
    """Return one row a stratum, the whole last: sampled, visited, and the error in the report's units."""
    counted = results.filter("in_sample")
    seen = design.with_columns(visited=pl.col("parcel_id").is_in(counted["parcel_id"].to_list()))
    counts = {
        "parcels_sampled": pl.len(),
        "holdings_sampled": pl.col("holding").n_unique(),
        "parcels_visited": pl.col("visited").sum(),
    }
    strata = seen.group_by("stratum").agg(**counts).sort("stratum")
    once = seen.unique("parcel_id", keep="first").select(pl.lit(WHOLE).alias("stratum"), **counts)
    rows = pl.concat([strata, once], how="vertical_relaxed")
    for measure, unit, name in (
        ("error", "count", "error_share_of_parcels"),
        ("error", "hectares", "error_share_of_area"),
        ("error_total", "total hectares", "error_hectares"),
    ):
        chosen = table.filter((pl.col("measure") == measure) & (pl.col("unit") == unit))
        figures = chosen.select(
            "stratum", pl.col("value").alias(name), pl.col("low").alias(f"{name}_low"),
            pl.col("high").alias(f"{name}_high"),
        )  # fmt: skip
        rows = rows.join(figures, on="stratum", how="left", maintain_order="left")
    return rows.select(pl.lit(season).alias("claim_year"), pl.all())


def _csv(table: pl.DataFrame, path: Path) -> Path:
    with atomic_path(path) as partial:
        neutral_table(table).write_csv(partial, float_precision=6)
    return path
