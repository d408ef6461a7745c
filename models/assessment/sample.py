"""The sample drawn from a ranked list: the rows of each bucket, the other lists, and what stayed short."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.exchange.cells import coded, codes
from models.assessment.buckets import (
    DrawRules,
    RankedRows,
    codes_of_numbers,
    fill_buckets,
    places_by_code,
)

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


def group_sizes(ranked: pl.DataFrame) -> dict[str, int]:
    """Return how many rows each group has, in the order of `groups_of`."""
    found = coded(ranked["ua_grp_id"])
    return dict(zip(found.texts.to_list(), np.bincount(found.codes).tolist(), strict=True))


def default_targets(ranked: pl.DataFrame) -> dict[str, int]:
    """Return the default target of every group."""
    counts = group_sizes(ranked)
    return {name: default_target(count) for name, count in counts.items()}


def three_percent(ranked: pl.DataFrame, share: float = HOLDINGS_SHARE) -> int:
    """Return how many holdings 3% of them are, rounded down."""
    return int(ranked["gsa_hol_id"].n_unique() * share)


def ranked_rows(ranked: pl.DataFrame) -> tuple[np.ndarray, RankedRows]:
    """Return a list's rows by rank, `(row)`, those of one rank as the file has them, and their numbers."""
    order = places_by_code(codes_of_numbers(ranked["ranking"].to_numpy()))
    holding, parcel, group = (codes(ranked[name]) for name in ("gsa_hol_id", "gsa_par_id", "ua_grp_id"))
    covered = (ranked["covered"] == 1).fill_null(False).to_numpy()
    return order, RankedRows(holding, parcel, group, covered).ordered(order)


def draw_list(ranked: pl.DataFrame, targets: Mapping[str, int], rules: DrawRules) -> ListSample:
    """Draw the sample of a ranked list.

    Parameters
    ----------
    ranked
        Schema `features.exchange.ranked_list.RANKED`.
    targets
        By group.
    """
    order, rows = ranked_rows(ranked)
    names = groups_of(ranked)
    taken = fill_buckets(_eligible(rows, rules), np.array([targets[name] for name in names]), rules)
    drawn = _places(rows, rules)[taken]
    return as_sample(ranked[order[drawn]].with_columns(group=rows.group[drawn]), targets, ranked)


def as_sample(drawn: pl.DataFrame, targets: Mapping[str, int], ranked: pl.DataFrame) -> ListSample:
    """Return drawn rows, in the order added and with their `group` as a number, as a sample."""
    ids = pl.col("bucket_id", "gsa_par_id", "gsa_hol_id").cast(pl.String)
    ordered = drawn.with_columns(order_added=pl.int_range(1, pl.len() + 1), bucket_id=pl.col("ua_grp_id"))
    rows = ordered.sort("group", "order_added").select(SAMPLE_COLUMNS).with_columns(ids)
    count = dict(rows["bucket_id"].value_counts().iter_rows())
    totals = group_sizes(ranked)
    buckets = [(name, targets[name], count.get(name, 0), total) for name, total in totals.items()]
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
    listed = listed.with_columns(pl.col("gsa_par_id", "gsa_hol_id", "ua_grp_id").cast(pl.String))
    if rules.covered == 2:
        listed = listed.filter(pl.col("covered") == 1)
    keys = ["ua_grp_id", "gsa_par_id", "gsa_hol_id"]
    marked = sample.rows.select(
        pl.col("bucket_id").alias("ua_grp_id"), *keys[1:], selected=pl.lit(1, pl.Int8)
    )
    return listed.join(marked, on=keys, how="left", maintain_order="left").with_columns(
        pl.col("selected").fill_null(0)
    )
