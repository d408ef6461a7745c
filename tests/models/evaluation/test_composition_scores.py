"""Compositions against the truth, on parcels that can be counted by hand."""

import numpy as np
import polars as pl

from models.evaluation.composition_scores import score_composition, true_shares
from models.patches.composition.tables import FINDINGS

CLASSES = {"1": "wheat", "2": "maize"}
# a: 60% wheat, 40% maize, found so; b: uniform, flagged; c: 35% unsown, missed; d: mixed, too small
TRUTH = pl.DataFrame(
    [
        ("a", "crop", "1", 1.2, 0.6), ("a", "crop", "2", 0.8, 0.4),
        ("b", "crop", "1", 2.0, 1.0),
        ("c", "crop", "1", 1.2, 0.6), ("c", "unsown", None, 0.7, 0.35), ("c", "beyond", None, 0.1, 0.05),
        ("d", "crop", "1", 0.3, 0.5), ("d", "crop", "2", 0.3, 0.5),
    ],
    schema=["parcel_id", "kind", "true_code", "area_ha", "share"], orient="row",
)  # fmt: skip
ROWS = [("a", 200, True, 0.7, 0.5, 0.9), ("b", 200, True, 0.5, 0.2, 0.8), ("c", 200, False, 0.0, 0.0, 0.2),
        ("d", 60, False, 0.0, 0.0, 0.1)]  # fmt: skip
KEYS = ("parcel_id", "pixels", "heterogeneous", "not_declared_ha", "low_ha", "high_ha")
RANDOM = np.random.default_rng(0)


def scores() -> dict[tuple[str, str], tuple[float, int]]:
    findings = pl.DataFrame([dict(zip(KEYS, row, strict=True)) for row in ROWS], schema=FINDINGS)
    composition = pl.DataFrame(
        {"parcel_id": ["a", "a"], "crop_class": ["wheat", "maize"], "area_ha": [1.3, 0.7]}
    )
    declared = pl.DataFrame(
        {"parcel_id": list("abcd"), "crop_class": ["wheat"] * 4, "second_class": [None] * 4,
         "group": [0, 1, 2, 3], "by_spread": [False, False, True, False]},
        schema_overrides={"second_class": pl.String},
    )  # fmt: skip
    table = score_composition(composition, findings, true_shares(TRUTH, CLASSES), declared, RANDOM)
    return {(row["by"], row["metric"]): (row["value"], row["n"]) for row in table.iter_rows(named=True)}


def test_true_shares_leave_out_what_lies_beyond_fields() -> None:
    covers = true_shares(TRUTH, CLASSES)
    assert covers.filter(pl.col("parcel_id") == "c")["cover"].to_list() == ["unsown", "wheat"]


def test_recall_and_precision_count_parcels_of_100_pixels_and_more() -> None:
    found = scores()
    assert found["composition", "mixed_parcel_recall"] == (0.5, 2)
    assert found["composition", "mixed_parcel_precision"] == (0.5, 2)
    assert found["spread", "mixed_parcel_recall"] == (0.5, 2)
    assert found["spread", "mixed_parcel_precision"] == (1.0, 1)


def test_hectares_are_scored_on_all_parcels_and_the_lesser_crop_on_mixed_ones() -> None:
    found = scores()
    value, n = found["composition", "area_error_ha"]
    assert (round(value, 6), n) == (round((0.1 + 0.5 + 0.7 + 0.3) / 4, 6), 4)
    assert found["composition", "interval_holds"] == (0.25, 4), "0.8 lies in 0.5 to 0.9, the others outside"
    assert found["composition", "lesser_area_within_20_percent"] == (1.0, 1), "0.7 for 0.8 hectares"
