"""The follow-up list: the parcels that a person should check, the most likely errors first."""

import polars as pl

from reports.embed import file_name
from reports.options import PublishOptions
from reports.run import RunTables

# how the reasons of parcels begin that a field visit settled (models.assessment.field_results.SETTLED)
SETTLED = "field_"


def candidates(run: RunTables, options: PublishOptions) -> pl.DataFrame:
    """Return every parcel that can come on the list, in its order, with its `sheet` file name or null.

    Parcels whose stored `q_value` is at most `options.list_rate_limit`, and all contradicted ones but those
    that a field visit settled. The rate chosen on the page cuts the list by `q_value` alone.
    """
    flagged = (pl.col("verdict") == "contradicted") & ~pl.col("reason").str.starts_with(SETTLED)
    listed = (pl.col("q_value") <= options.list_rate_limit) | flagged
    rows = run.table.filter(listed.fill_null(False)).sort(
        ["q_value", "probability", "parcel_id"], nulls_last=True, maintain_order=True
    )
    sheets = [file_name(parcel_id) for parcel_id in rows["parcel_id"].head(options.max_sheets)]
    return rows.with_columns(sheet=pl.Series(sheets + [None] * (len(rows) - len(sheets)), dtype=pl.String))
