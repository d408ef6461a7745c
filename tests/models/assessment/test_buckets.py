"""The draw against QUASSA's and Flanders' own, and on lists that a reader can follow."""

import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.exchange.ranked_list import read_ranked_list
from models.assessment.buckets import DrawRules
from models.assessment.sample import (
    default_targets,
    draw_list,
    holding_list,
    parcel_list,
    three_percent,
)

DATA = Path(os.environ.get("CROPCHECK_DATA", Path(__file__).parents[4] / "shared" / "data"))
CASES = DATA / "iacs-qa"
realdata = pytest.mark.skipif(not CASES.is_dir(), reason="the folder named by CROPCHECK_DATA has no iacs-qa")


def listed(*rows: tuple[str, str, str, int, int]) -> pl.DataFrame:
    """A list of (parcel, holding, group, covered, rank)."""
    return pl.DataFrame(
        rows,
        schema={
            "gsa_par_id": pl.String, "gsa_hol_id": pl.String, "ua_grp_id": pl.String,
            "covered": pl.Int8, "ranking": pl.Int64,
        },
        orient="row",
    )  # fmt: skip


def drawn(table: pl.DataFrame, rules: DrawRules | None = None, **targets: int) -> dict[str, str]:
    """The parcels of each bucket, in order, as one text."""
    rows = draw_list(table, targets, rules or DrawRules()).rows
    return {
        str(name): " ".join(part["gsa_par_id"])
        for (name,), part in rows.group_by("bucket_id", maintain_order=True)
    }


def test_a_holding_brings_three_parcels_when_it_is_met_and_others_one_by_one() -> None:
    table = listed(
        *[(f"a{k}", "A", "x", 1, rank) for k, rank in enumerate((1, 8, 3, 5))], ("b0", "B", "x", 1, 2),
    )  # fmt: skip
    assert drawn(table, x=3) == {"x": "a0 a2 a3"}
    assert drawn(table, x=5) == {"x": "a0 a2 a3 b0 a1"}  # a1 by its own rank, at the end of the list


def test_a_parcel_enters_every_open_bucket_and_a_full_bucket_is_passed_over() -> None:
    table = listed(
        ("a", "A", "x", 1, 1), ("a", "A", "y", 1, 1), ("b", "B", "x", 1, 2), ("c", "C", "y", 1, 3),
        ("b2", "B", "y", 1, 4),
    )  # fmt: skip
    assert drawn(table, x=1, y=3) == {"x": "a", "y": "a c b2"}
    kept = DrawRules(keep_non_contributing=True)
    assert drawn(table, kept, x=1, y=3) == {"x": "a", "y": "a b2 c"}  # b, though of no use, brings B in


def test_the_limit_of_holdings_gives_one_more_holding_to_an_empty_bucket() -> None:
    table = listed(
        ("a", "A", "x", 1, 1), ("b", "B", "x", 1, 2), ("c", "C", "y", 1, 3), ("c2", "C", "y", 1, 5),
        ("d", "D", "y", 1, 4),
    )  # fmt: skip
    sample = draw_list(table, {"x": 2, "y": 3}, DrawRules(most_holdings=1))
    assert sample.rows["gsa_par_id"].to_list() == ["a", "c", "c2"]
    assert sample.short.select("bucket_id", "target", "drawn").rows() == [("x", 2, 1), ("y", 3, 2)]


def test_coverage_is_preferred_or_required() -> None:
    table = listed(("a", "A", "x", 0, 1), ("b", "B", "x", 1, 2), ("b2", "B", "x", 0, 3))
    assert drawn(table, x=3) == {"x": "a b b2"}
    assert drawn(table, DrawRules(covered=2), x=3) == {"x": "b"}
    assert drawn(table, DrawRules(covered=1), x=3) == {
        "x": "b b2 a"
    }  # then holdings in the sample, then others


def test_the_other_lists() -> None:
    table = listed(
        ("a", "A", "x", 1, 1), ("a", "A", "y", 1, 1), ("a2", "A", "y", 1, 9), ("b", "B", "x", 1, 2),
    )  # fmt: skip
    sample = draw_list(table, {"x": 2, "y": 1}, DrawRules())
    assert parcel_list(sample).select("gsa_par_id", "buckets", "bucket_count").rows() == [
        ("a", "[x],[y]", 2), ("b", "[x]", 1),
    ]  # fmt: skip
    whole = holding_list(table, sample, ["y"], DrawRules())
    assert whole.select("gsa_par_id", "ua_grp_id", "selected").rows() == [("a", "y", 1), ("a2", "y", 0)]


def test_a_target_of_zero_leaves_a_bucket_empty_and_one_too_large_takes_all() -> None:
    table = listed(("a", "A", "x", 1, 1), ("b", "B", "y", 1, 2), ("c", "C", "y", 1, 3))
    assert drawn(table, x=0, y=10) == {"y": "b c"}


def expected_files() -> list[Path]:
    return sorted((CASES / "expected").glob("*.csv")) if CASES.is_dir() else []


@pytest.mark.realdata
@realdata
@pytest.mark.parametrize("path", expected_files(), ids=lambda path: path.stem)
def test_quassa_draws_the_same_parcels_in_the_same_order(path: Path) -> None:
    lot, limited, covered, kept = path.stem.split("_")
    table = read_ranked_list(CASES / "lots" / f"{lot}.csv").table
    most = three_percent(table) if limited == "true" else None
    rules = DrawRules(most, covered=int(covered), keep_non_contributing=kept == "1")  # type: ignore[arg-type]
    ours = draw_list(table, default_targets(table), rules).rows
    theirs = pl.read_csv(path, infer_schema=False)
    columns = ["bucket_id", "gsa_par_id", "gsa_hol_id", "ranking", "covered"]
    assert ours.select(pl.col(columns).cast(pl.String)).rows() == theirs.select(columns).rows()
    # the order in which groups of one parcel are added follows QUASSA's sort, which is not stable: the
    # places that a parcel's rows take together are the same
    assert places(ours) == places(theirs)


def places(rows: pl.DataFrame) -> dict[str, list[int]]:
    found = defaultdict(list)
    for parcel, order in rows.select("gsa_par_id", pl.col("order_added").cast(pl.Int64)).iter_rows():
        found[parcel].append(order)
    return {parcel: sorted(orders) for parcel, orders in found.items()}


@pytest.mark.realdata
@realdata
@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("flanders_expected_result", DrawRules(keep_non_contributing=True)),
        ("flanders_expected_result_skip_parcels_0_ua_groups", DrawRules()),
        (
            "flanders_expected_result_capping1",
            DrawRules(1, new_parcels_only=True, keep_non_contributing=True),
        ),
    ],
)
def test_flanders_draws_the_same_parcels(name: str, rules: DrawRules) -> None:
    groups = pl.read_csv(CASES / "flanders_parcels_ua_groups.csv", infer_schema=False, encoding="utf8-lossy")
    ranks = pl.read_csv(CASES / "flanders_parcels_ranking.csv", infer_schema=False)
    table = groups.join(ranks, on="parcel_id", maintain_order="left").select(
        gsa_par_id="parcel_id", gsa_hol_id="holding_id", ua_grp_id="ua_group",
        covered=pl.lit(1, pl.Int8), ranking=pl.col("ranking").cast(pl.Int64),
    )  # fmt: skip
    ours = draw_list(table, dict.fromkeys(table["ua_grp_id"], 4), rules).rows
    theirs = pl.read_csv(CASES / f"{name}.csv", infer_schema=False)
    pairs = theirs.select("bucket", "parcel_id").rows()
    assert sorted(ours.select("bucket_id", "gsa_par_id").rows()) == sorted(pairs)
    if "ranking" in theirs.columns:  # in the order drawn
        for bucket, part in theirs.group_by("bucket", maintain_order=True):
            own = ours.filter(pl.col("bucket_id") == bucket[0])["gsa_par_id"].to_list()
            assert own == part["parcel_id"].to_list()


def test_a_draw_on_many_rows_is_a_matter_of_seconds() -> None:
    rng = np.random.default_rng(0)
    parcels, groups = 30_000, 8
    table = pl.DataFrame(
        {
            "gsa_par_id": np.repeat(np.arange(parcels), groups),
            "gsa_hol_id": np.repeat(rng.integers(0, 4_000, parcels), groups),
            "ua_grp_id": np.tile(np.arange(groups), parcels),
            "covered": np.ones(parcels * groups, np.int8),
            "ranking": np.repeat(rng.permutation(parcels), groups),
        }
    ).with_columns(pl.col("gsa_par_id", "gsa_hol_id", "ua_grp_id").cast(pl.String))
    sample = draw_list(table, default_targets(table), DrawRules())
    assert sample.buckets["drawn"].to_list() == [300] * groups
