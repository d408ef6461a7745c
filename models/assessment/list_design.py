"""The design of a sample drawn from a ranked list, so that its field results can be turned into shares."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from models.assessment.buckets import DrawRules
from models.assessment.inclusion import inclusion
from models.assessment.quality_sample import DESIGN
from models.assessment.sample import ListSample, groups_of, ranked_rows

MOST_ROWS = 300_000  # above it the design is made only where asked for: it repeats the draw


def list_design(
    ranked: pl.DataFrame,
    sample: ListSample,
    targets: Mapping[str, int],
    rules: DrawRules,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Return the design of a list's sample, schema DESIGN; hectares of the buckets are not known from a list.

    The Commission's ranking is taken to be a random order of the parcels.
    """
    keys = ["ua_grp_id", "gsa_par_id", "gsa_hol_id"]
    order, rows = ranked_rows(ranked)
    part = rows.covered if rules.covered == 2 else np.ones(len(order), bool)
    rows = rows.ordered(np.flatnonzero(part))
    table = ranked.select(pl.all().gather(order[part])).with_columns(pl.col(keys).cast(pl.String))
    names = groups_of(ranked)
    quota = np.array([targets[name] for name in names], dtype=np.int64)
    drawn = sample.rows.select(pl.col("bucket_id").alias("ua_grp_id"), *keys[1:], "order_added")
    marked = table.with_row_index("row").join(drawn, on=keys).sort("order_added")
    taken = marked["row"].to_numpy().astype(np.int64)
    chances = inclusion(rows, quota, rules, rng, drawn=taken)
    sizes = table["ua_grp_id"].value_counts(name="stratum_parcels")
    return (
        marked.join(sizes, on="ua_grp_id", maintain_order="left")
        .select(
            parcel_id="gsa_par_id",
            stratum="ua_grp_id",
            holding="gsa_hol_id",
            probability=pl.Series(chances.row[taken]),
            parcel_probability=pl.Series(chances.parcel[taken]),
            holding_probability=pl.Series(chances.holding[taken]),
            stratum_parcels="stratum_parcels",
            stratum_hectares=pl.lit(None, pl.Float64),
        )
        .select(pl.col(name).cast(kind) for name, kind in DESIGN.items())
    )
