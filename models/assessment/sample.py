"""The sample drawn from a ranked list: the rows of each bucket, the other lists, and what stayed short."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.exchange.cells import codes
from models.assessment.buckets import DrawRules, RankedRows, fill_buckets

SMALL_BELOW, SMALL_SHARE, LARGE = 6_000, 0.05, 300
HOLDINGS_SHARE = 0.03
SAMPLE_COLUMNS = ("bucket_id", "gsa_par_id", "gsa_hol_id", "ranking", "covered", "order_added")


@dataclass(frozen=True)
class ListSample:
    """A sample of a ranked list.

    Attributes
    ----------
    rows
        Columns SAMPLE_COLUMNS, by bucket and then by order.
    buckets
        `bucket_id, target, drawn, total` (rows of the group in the list).
    """

    rows: pl.DataFrame
    buckets: pl.DataFrame

    @property
    def short(self) -> pl.DataFrame:
        """The buckets with fewer parcels than their target."""
        return self.buckets.filter(pl.col("drawn") < pl.col("target"))


def default_target(rows: int) -> int:
    """Return the target of a group: 5% of a lot of up to 6,000 rows, at least 1; else 300.

    Half numbers are rounded to the even one, as QUASSA v2.10 rounds.

    Examples
    --------
    >>> [default_target(n) for n in (4, 50, 70, 1_014, 6_000, 90_000)]
    [1, 2, 4, 51, 300, 300]
    """
    return LARGE if rows > SMALL_BELOW else max(1, round(rows * SMALL_SHARE))


def groups_of(ranked: pl.DataFrame) -> list[str]:
    """Return the groups of a list in the order in which they first stand in it."""
    return ranked["ua_grp_id"].unique(maintain_order=True).to_list()


def default_targets(ranked: pl.DataFrame) -> dict[str, int]:
    """Return the default target of every group."""
    counts = dict(ranked["ua_grp_id"].value_counts().iter_rows())
    return {name: default_target(counts[name]) for name in groups_of(ranked)}


def three_percent(ranked: pl.DataFrame, share: float = HOLDINGS_SHARE) -> int:
    """Return how many holdings 3% of them are, rounded down."""
    return int(ranked["gsa_hol_id"].n_unique() * share)


def ranked_rows(ranked: pl.DataFrame) -> tuple[pl.DataFrame, RankedRows]:
    """Return the list by rank, rows of one rank as the file has them, and its numbers."""
    names = {"holding": "gsa_hol_id", "parcel": "gsa_par_id", "group": "ua_grp_id"}
    numbered = [pl.Series(code, codes(ranked[name])) for code, name in names.items()]
    table = ranked.with_columns(numbered).sort("ranking", maintain_order=True)
    holding, parcel, group = (table[name].to_numpy() for name in names)
    return table, RankedRows(holding, parcel, group, (table["covered"] == 1).fill_null(False).to_numpy())


def draw_list(ranked: pl.DataFrame, targets: Mapping[str, int], rules: DrawRules) -> ListSample:
    """Draw the sample of a ranked list.

    Parameters
    ----------
    ranked
        Schema `features.exchange.ranked_list.RANKED`.
    targets
        By group.
    """
    table, rows = ranked_rows(ranked)
    names = groups_of(ranked)
    taken = fill_buckets(_eligible(rows, rules), np.array([targets[name] for name in names]), rules)
    return as_sample(table[_places(rows, rules)[taken]], names, targets, ranked)


def as_sample(
    drawn: pl.DataFrame, names: Sequence[str], targets: Mapping[str, int], ranked: pl.DataFrame
) -> ListSample:
    """Return drawn rows, in the order added, as a sample."""
    ordered = drawn.with_columns(order_added=pl.int_range(1, pl.len() + 1), bucket_id=pl.col("ua_grp_id"))
    rows = ordered.sort("group", "order_added").select(SAMPLE_COLUMNS)
    total = dict(ranked["ua_grp_id"].value_counts().iter_rows())
    count = dict(rows["bucket_id"].value_counts().iter_rows())
    buckets = [(name, targets[name], count.get(name, 0), total[name]) for name in names]
    schema = {"bucket_id": pl.String, "target": pl.Int64, "drawn": pl.Int64, "total": pl.Int64}
    return ListSample(rows, pl.DataFrame(buckets, schema=schema, orient="row"))


def _places(rows: RankedRows, rules: DrawRules) -> np.ndarray:
    """Return which rows take part: with covered 2, the covered ones only."""
    return np.flatnonzero(rows.covered) if rules.covered == 2 else np.arange(len(rows.group))


def _eligible(rows: RankedRows, rules: DrawRules) -> RankedRows:
    return rows.ordered(_places(rows, rules))


def parcel_list(sample: ListSample) -> pl.DataFrame:
    """Return each drawn parcel once: its holding, rank, coverage, and the buckets that it is in."""
    return (
        sample.rows.group_by("gsa_par_id", maintain_order=True)
        .agg(
            pl.col("gsa_hol_id", "ranking", "covered").last(),
            buckets=pl.format("[{}]", pl.col("bucket_id").unique().sort()).str.join(","),
            bucket_count=pl.col("bucket_id").n_unique(),
        )
        .select("gsa_par_id", "gsa_hol_id", "ranking", "covered", "buckets", "bucket_count")
    )


def holding_list(
    ranked: pl.DataFrame, sample: ListSample, groups: Sequence[str], rules: DrawRules
) -> pl.DataFrame:
    """Return every parcel of the holding-level groups of holdings drawn for one of them; `selected` 1 or 0.

    An intervention at the level of the holding is checked on all its parcels there, not on the drawn ones.
    """
    drawn = sample.rows.filter(pl.col("bucket_id").is_in(list(groups)))
    met = pl.col("gsa_hol_id").is_in(drawn["gsa_hol_id"].unique().to_list())
    listed = ranked.filter(met & pl.col("ua_grp_id").is_in(list(groups)))
    if rules.covered == 2:
        listed = listed.filter(pl.col("covered") == 1)
    keys = ["ua_grp_id", "gsa_par_id", "gsa_hol_id"]
    marked = sample.rows.select(
        pl.col("bucket_id").alias("ua_grp_id"), *keys[1:], selected=pl.lit(1, pl.Int8)
    )
    return listed.join(marked, on=keys, how="left", maintain_order="left").with_columns(
        pl.col("selected").fill_null(0)
    )
