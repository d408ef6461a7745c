"""The stored evaluation tables that the pages draw, by name, and the columns they need."""

import polars as pl

from features.schema import check_columns
from reports.run import RunTables

# further columns are shown where a table is printed whole
TABLES = {
    "in_season": ("until", "metric", "value", "low", "high", "n"),  # models.verdicts.in_season.CURVE
    "decidable": ("crop_class", "until"),  # models.verdicts.in_season.DECIDABLE
    "tuning": ("number", "state", "value"),  # trials of models.tuning.search, with a column an option
    "tuning_importance": ("option", "share"),
    "suspects": ("parcel_id", "crop_class", "suggested", "weight"),  # models.crops.fitting.labels.SUSPECTS
    "model_differences": ("model", "against", "metric", "value", "low", "high", "n"),
    "class_scores": ("model", "crop_class", "metric", "value", "low", "high", "n"),
    "verdict_rates": ("by", "level", "metric", "unit", "value", "low", "high", "n"),
    "confusion": ("truth", "predicted", "parcels", "hectares"),
    "event_scores": ("event", "by", "level", "metric", "value", "low", "high", "n"),
    "marker_rates": ("requirement", "metric", "promised", "value", "low", "high", "n"),
    "mixed_pairs": ("true_share", "found_share", "flagged"),  # models.patches.composition.tables.PAIRS
    "composition_scores": ("by", "metric", "value", "low", "high", "n"),
    "ablation": ("subject", "metric", "value"),  # also low, high, n
}


def stored(run: RunTables, name: str) -> pl.DataFrame | None:
    """Return a stored evaluation table, or None where the run has none or an empty one.

    Raises
    ------
    SchemaError
        Where the table lacks a column that is drawn.
    """
    table = run.evaluation.get(name)
    if table is None or not len(table):
        return None
    check_columns(table.columns, TABLES[name], f"The evaluation table {name}")
    return table
