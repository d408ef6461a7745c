"""The quality sample: parcels drawn at random per intervention, to be visited in the field."""

import numpy as np
import polars as pl
from pydantic import Field

from features.options import Options
from features.schema import check_columns

NO_INTERVENTION = "none"
SAMPLE = pl.Schema(
    {
        "parcel_id": pl.String,
        "stratum": pl.String,  # the intervention, `none` where there is none
        "order": pl.Int32,  # place in the seeded draw of the intervention, from 1
        "stratum_size": pl.Int32,  # parcels of the intervention
        "sample_size": pl.Int32,  # of them drawn
        "declared": pl.String,
        "crop_class": pl.String,
        "region": pl.String,
        "area_ha": pl.Float64,
    }
)


class SampleOptions(Options):
    """How many parcels of each intervention are visited."""

    share: float = Field(0.05, gt=0, le=1, description="Share of the parcels of a small intervention.")
    small_below: int = Field(6_000, ge=1, description="Interventions with fewer parcels are small.")
    large_size: int = Field(300, ge=1, description="Parcels drawn from a large intervention.")
    holdings_share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Visit at most this share of all holdings; the sample may then fall short.",
    )

    def size(self, parcels: int) -> int:
        """Return how many of a stratum's parcels are drawn, rounded up.

        Examples
        --------
        >>> [SampleOptions().size(n) for n in (1, 100, 5_999, 6_000, 90_000)]
        [1, 5, 300, 300, 300]
        """
        return int(np.ceil(round(self.share * parcels, 9))) if parcels < self.small_below else self.large_size


def draw_sample(declarations: pl.DataFrame, options: SampleOptions, seed: int) -> pl.DataFrame:
    """Draw without replacement, with equal chances within each intervention.

    All parcels with a geometry are put in one random order that depends on the seed and on the ids alone;
    each intervention takes its first. With a cap on holdings, a parcel of a further holding is passed over
    once the cap is reached, so that chances are no longer equal: holdings with many parcels gain.

    Parameters
    ----------
    declarations
        DECLARATION_COLUMNS less the geometry.

    Returns
    -------
    pl.DataFrame
        Schema SAMPLE, by stratum and order. Without the verdict: who visits should not know it.
    """
    needed = ("parcel_id", "holding_id", "intervention", "declared", "crop_class", "region", "area_ha")
    check_columns(declarations.columns, needed, "The declarations table")
    table = declarations.select(needed).filter(pl.col("area_ha") > 0).sort("parcel_id")
    table = table.with_columns(stratum=pl.col("intervention").fill_null(NO_INTERVENTION))
    table = table[np.random.default_rng(seed).permutation(table.height)]
    sizes = {name: options.size(count) for name, count in table["stratum"].value_counts().iter_rows()}
    drawn = table.filter(pl.Series(_taken(table, sizes, options.holdings_share), dtype=pl.Boolean))
    count = table["stratum"].value_counts(name="stratum_size")
    return (
        drawn.join(count, on="stratum", maintain_order="left")
        .with_columns(
            order=pl.int_range(1, pl.len() + 1).over("stratum"), sample_size=pl.len().over("stratum")
        )
        .sort("stratum", "order")
        .select(pl.col(name).cast(kind) for name, kind in SAMPLE.items())
    )


def _taken(table: pl.DataFrame, sizes: dict[str, int], holdings_share: float | None) -> list[bool]:
    """Say of each parcel, in the random order, whether it is drawn; a parcel without holding is its own."""
    holdings = table["holding_id"].fill_null(pl.lit("parcel ") + table["parcel_id"]).to_list()
    most = len(holdings) if holdings_share is None else max(1, round(holdings_share * len(set(holdings))))
    visited: set[str] = set()
    left, taken = dict(sizes), []
    for stratum, holding in zip(table["stratum"].to_list(), holdings, strict=True):
        take = left[stratum] > 0 and (holding in visited or len(visited) < most)
        taken.append(take)
        if take:
            left[stratum] -= 1
            visited.add(holding)
    return taken
