"""Farmers who change their rotation, and how often they are flagged."""

import numpy as np
import polars as pl

from models.evaluation.rotation import flags_by_rotation, rotation_of


def test_a_crop_that_rarely_follows_another_is_a_change_and_an_unknown_year_is_none() -> None:
    crop = pl.Series(["wheat"] * 9 + ["maize"] + ["maize"] * 9 + ["wheat", None])
    before = pl.Series(["beet"] * 10 + ["maize"] * 9 + [None, "beet"], dtype=pl.String)
    found = rotation_of(crop, before)
    assert found.to_list() == ["usual"] * 9 + ["changed"] + ["usual"] * 9 + ["unknown", "unknown"]


def test_rates_are_counted_by_rotation_and_false_alarms_among_the_correct_only() -> None:
    ids = [str(k) for k in range(6)]
    verdicts = pl.DataFrame(
        {
            "parcel_id": ids,
            "verdict": ["contradicted", "contradicted", "confirmed", "confirmed"] + ["no_data"] * 2,
        }
    )
    rotation = pl.DataFrame(
        {"parcel_id": ids, "rotation": ["changed", "usual", "changed", "usual", "usual", "unknown"],
         "group": range(6), "misdeclared": [False, True, False, False, False, False]}
    )  # fmt: skip
    table = flags_by_rotation(verdicts, rotation, np.random.default_rng(0))
    found = {
        (row["rotation"], row["metric"]): (row["value"], row["n"]) for row in table.iter_rows(named=True)
    }
    assert found["changed", "contradicted"] == (0.5, 2)
    assert found["usual", "contradicted"] == (1 / 3, 3)
    assert found["usual", "false_alarm_rate"] == (0.0, 2)
    assert found["unknown", "contradicted"] == (0.0, 1)
