"""The quality assessment on the auditor's page: sample, results, error in hectares, what is open."""

import polars as pl

from models.assessment.errors import MEASURES, field_visits_saved
from reports.embed import clean
from reports.run import RunTables

Row = dict[str, object]
SHOWN = ("error", "confirmed_wrong", "commission", "omission", "false_alarm_rate", "wrong_rate")
THRESHOLDS = ("alpha", "follow_up_rate", "follow_up_rates", "least_probability", "noise_rate")


def assessment_view(run: RunTables) -> Row | None:
    """Return what the section draws; None where no sample was drawn."""
    field = run.field_results
    design = field.design if field is not None else run.quality_design
    if design is None or design.is_empty():
        return None
    results = field.results if field is not None else None
    visited = _ids(results.filter("in_sample")) if results is not None else set()
    conflicts = field.conflicts.rows() if field is not None else []
    return {
        "answer": _figure(run.assessment, "error_total", "total hectares"),
        "share": _figure(run.assessment, "error", "hectares"),
        "strata": (strata := _strata(run, design, visited)),
        "uncovered": [row["name"] for row in strata if visited and not row["visited"]],
        "parcels": design["parcel_id"].n_unique(),
        "holdings": design["holding"].n_unique(),
        "open": design["parcel_id"].n_unique() - len(visited & _ids(design)),
        "measures": _measures(run.assessment),
        "results": _counts(results),
        "conflicts": [(clean(row[0]), clean(row[3])) for row in conflicts],
        "entries": 0 if field is None else field.entries,
        "assisted": None if field is None else _figure(field.assisted, "error", "hectares"),
        "saved": None if field is None else _saved(run, field.assisted),
        "thresholds": [(name, clean(run.rules[name])) for name in THRESHOLDS if name in run.rules],
    }


def _ids(table: pl.DataFrame) -> set[str]:
    return set(table["parcel_id"])


def _figure(table: pl.DataFrame | None, measure: str, unit: str, stratum: str | None = None) -> Row | None:
    if table is None or table.is_empty():
        return None
    rows = table.filter((pl.col("measure") == measure) & (pl.col("unit") == unit))
    if stratum is not None:
        rows = rows.filter(pl.col("stratum") == stratum)
    row = rows.to_dicts()
    return row[0] if row and row[0]["value"] is not None and row[0]["value"] == row[0]["value"] else None


def _strata(run: RunTables, design: pl.DataFrame, visited: set[str]) -> list[Row]:
    by_stratum = run.field_results.by_stratum if run.field_results is not None else None
    rows = design.with_columns(visited=pl.col("parcel_id").is_in(list(visited))).group_by("stratum").agg(
        pl.col("stratum_parcels", "stratum_hectares").first(),
        sampled=pl.len(),
        holdings=pl.col("holding").n_unique(),
        visited=pl.col("visited").sum(),
        least=pl.col("probability").min(),
        most=pl.col("probability").max(),
    )  # fmt: skip
    return [
        {
            **row,
            "name": clean(row["stratum"]),
            "error": _figure(by_stratum, "error", "hectares", row["stratum"]),
            "hectares": _figure(by_stratum, "error_total", "total hectares", row["stratum"]),
        }
        for row in rows.sort("stratum").to_dicts()
    ]


def _measures(table: pl.DataFrame | None) -> list[Row]:
    return [
        {
            "key": name,
            "name": name.replace("_", " "),
            "meaning": MEASURES[name],
            "count": _figure(table, name, "count"),
            "hectares": _figure(table, name, "hectares"),
            "total": _figure(table, f"{name}_total", "total hectares"),
        }
        for name in SHOWN
        if table is not None
    ]


def _counts(results: pl.DataFrame | None) -> Row | None:
    if results is None:
        return None
    said = dict(results["field_result"].value_counts().iter_rows())
    outside = results.filter(~pl.col("in_sample")).height
    return {"correct": said.get("correct", 0), "wrong": said.get("wrong", 0), "outside": outside}


def _saved(run: RunTables, assisted: pl.DataFrame) -> float | None:
    saved = field_visits_saved(run.assessment, assisted) if run.assessment is not None else None
    return saved if saved is not None and saved > 0 else None
