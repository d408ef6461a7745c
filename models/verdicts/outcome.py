"""A parcel's outcome: the verdict on its crop and its markers, joined by the scheme."""

import polars as pl

OUTCOMES = pl.Schema(
    {
        "parcel_id": pl.String,
        "outcome": pl.String,  # as a verdict: confirmed, contradicted, inconclusive, not_monitorable, no_data
        "rests_on": pl.String,  # crop, or the requirement that decides
        "reason": pl.String,
    }
)
# the first that holds decides
ORDER = ("contradicted", "inconclusive", "not_monitorable", "no_data", "confirmed")
OF_STATE = {
    "not_met": "contradicted",
    "open": "inconclusive",
    "inconclusive": "inconclusive",
    "not_monitorable": "not_monitorable",
    "no_data": "no_data",
    "met": "confirmed",
}


def join_outcomes(verdicts: pl.DataFrame, markers: pl.DataFrame) -> pl.DataFrame:
    """Return one outcome a parcel.

    A parcel is contradicted where its crop or any requirement is, and confirmed where all are; in between,
    what decides is the crop before a requirement. The verdict itself stays as it is: its promise is of the
    crop.
    """
    crop = verdicts.select("parcel_id", outcome="verdict", rests_on=pl.lit("crop"), reason="reason")
    marks = markers.select(
        "parcel_id",
        outcome=pl.col("state").replace_strict(OF_STATE, return_dtype=pl.String),
        rests_on="requirement",
        reason="reason",
    )
    rank = pl.col("outcome").replace_strict({name: k for k, name in enumerate(ORDER)}, return_dtype=pl.Int32)
    both = pl.concat([crop, marks]).with_columns(rank=rank)
    first = both.sort("rank", maintain_order=True).unique("parcel_id", keep="first", maintain_order=True)
    joined = verdicts.select("parcel_id").join(first, on="parcel_id", how="left", maintain_order="left")
    return joined.select(*OUTCOMES).cast(OUTCOMES)
