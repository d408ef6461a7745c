"""From one run to the next: scenes that are new, late or replaced, verdicts, and what was new for them."""

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipelines.stages.compare import sentences
from pipelines.steps.changes import SEEN, VERDICT_CHANGES, changed_acquisitions, changed_verdicts

NOON = datetime(2024, 6, 12, 10, 40)


def scene(name: str, days: float = 0, baseline: str = "05.10", **other: Any) -> dict[str, Any]:
    """An optical scene so many days after the twelfth of June."""
    row = {
        "item_id": name, "sensor": "s2", "tile": "31UFS", "datetime": NOON + timedelta(days=days),
        "platform": "sentinel-2a", "relative_orbit": 8, "processing_baseline": baseline, "stamp": "a",
    }  # fmt: skip
    return {**row, **other}


def scenes(*rows: dict[str, Any]) -> pl.DataFrame:
    schema = dict.fromkeys(SEEN, pl.String()) | {"datetime": pl.Datetime("us"), "relative_orbit": pl.Int32()}
    return pl.DataFrame(list(rows), schema=schema)


BEFORE = scenes(scene("first", -10), scene("last"))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ((scene("first", -10), scene("last")), []),
        ((scene("first", -10), scene("last"), scene("next", 5)), [("next", "new", None)]),
        ((scene("first", -10), scene("last"), scene("between", -5)), [("between", "late", None)]),
        ((scene("first", -10), scene("last"), scene("other", -5, tile="31UFT")), [("other", "new", None)]),
        ((scene("first", -10), scene("again", 0.001, "05.11")), [("again", "reprocessed", "last")]),
        ((scene("first", -10, "05.11"), scene("last")), [("first", "reprocessed", "first")]),
        ((scene("first", -10, stamp="b"), scene("last")), [("first", "renewed", "first")]),
        ((scene("first", -10),), [("last", "gone", None)]),
        ((scene("first", -10), scene("b", 0, platform="sentinel-2b")),
         [("b", "new", None), ("last", "gone", None)]),
    ],
)  # fmt: skip
def test_a_scene(now: tuple[dict[str, Any], ...], expected: list[tuple[str, str, str | None]]) -> None:
    found = changed_acquisitions(BEFORE, scenes(*now))
    assert found.select("item_id", "change", "replaces").rows() == expected


def test_late_and_reprocessed_scenes_are_named() -> None:
    images = changed_acquisitions(
        BEFORE, scenes(scene("again", -10, "05.11"), scene("last"), scene("late", -5))
    )
    assert sentences(images, VERDICT_CHANGES.to_frame()) == [
        "acquisitions that came late, after later ones had been used: 1",
        "acquisitions that were processed again and replace the earlier ones: 1",
        "again: s2 of 2024-06-02, baseline 05.11, replaces first, baseline 05.10",
        "late: s2 of 2024-06-07 came late",
    ]


def judged(*rows: tuple[str, str, str, str, int]) -> pl.DataFrame:
    """Parcels with declared code, verdict, reason and dates seen."""
    names = ("parcel_id", "declared", "verdict", "reason", "n_observations")
    table = pl.DataFrame(rows, schema=names, orient="row")
    return table.with_columns(predicted=pl.lit("maize"), area_ha=pl.lit(2.0, pl.Float32))


WAS = judged(("a", "1", "inconclusive", "several_classes", 20))


@pytest.mark.parametrize(
    ("now", "kinds", "why"),
    [
        (("a", "1", "inconclusive", "several_classes", 22), {}, None),
        (("a", "1", "confirmed", "fits", 22), {}, ["new_dates"]),
        (("a", "2", "confirmed", "fits", 20), {}, ["declaration"]),
        (("a", "1", "confirmed", "field_correct", 20), {}, ["field_result"]),
        (("a", "1", "confirmed", "fits", 22), {"model": True}, ["new_dates", "model"]),
        (("a", "1", "confirmed", "fits", 20), {"rules": True}, ["rules"]),
        (("a", "1", "confirmed", "fits", 20), {}, ["others"]),
    ],
)
def test_what_was_new_for_a_parcel_whose_verdict_changed(
    now: tuple[str, str, str, str, int], kinds: dict[str, bool], why: list[str] | None
) -> None:
    found = changed_verdicts(WAS, judged(now), **kinds)
    assert found["why"].to_list() == ([] if why is None else [why])


def test_parcels_that_are_new_and_gone() -> None:
    found = changed_verdicts(WAS, judged(("b", "1", "confirmed", "fits", 20)))
    assert found.select("parcel_id", "change", "before", "now").rows() == [
        ("a", "gone", "inconclusive", None), ("b", "new", None, "confirmed"),
    ]  # fmt: skip
