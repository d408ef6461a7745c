"""Which parcels the in-season curve of a large region rests on."""

import polars as pl

from pipelines.steps.evaluation.in_season import drawn_parcels

FOLDS = pl.DataFrame(
    {"parcel_id": [f"{k:02d}" for k in range(12)], "group": [0, 0, 0, 1, 1, 1, 2, 2, 2, -1, -1, -1]}
)


def test_a_small_region_is_taken_whole() -> None:
    assert drawn_parcels(FOLDS, 12, seed=1) is None


def test_holdings_are_drawn_whole_and_a_parcel_of_none_stands_alone() -> None:
    for seed in range(20):
        drawn = set(drawn_parcels(FOLDS, 5, seed).tolist())
        assert len(drawn) >= 5
        for first in (0, 3, 6):
            assert len(drawn & {f"{k:02d}" for k in range(first, first + 3)}) in (0, 3)
    assert drawn_parcels(FOLDS, 5, 1).tolist() == drawn_parcels(FOLDS, 5, 1).tolist()
