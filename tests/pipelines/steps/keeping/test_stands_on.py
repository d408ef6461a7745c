"""What may change while models are kept, and what makes the next run fit them anew."""

import pytest

from pipelines.steps.keeping.stands_on import stands_on_of


@pytest.mark.parametrize(
    "name",
    [
        "output fill filled.nc", "look items", "other field results",
        "option season.until", "file declarations.path", "file declarations.path (parcels.dbf)",
        "file series.tables 3", "file weather", "option limits.table_gib", "option series.chunk_parcels",
        "option events.chunk", "option train.keep.new_steps", "option train.explanation.parcels",
    ],
)  # fmt: skip
def test_what_may_change(name: str) -> None:
    assert stands_on_of({"train": {name: 1}}) == {}


@pytest.mark.parametrize(
    "name",
    [
        "option season.end", "option seed", "option series.min_share", "option train.models.dense.epochs",
        "option declarations.crops.merge_classes.oats", "file declarations.crops.tables 0",
        "file history 2023", "file soil", "file events.labels", "code models", "library lightgbm",
    ],
)  # fmt: skip
def test_what_fits_anew(name: str) -> None:
    assert stands_on_of({"fill": {name: 1}}) == {f"fill: {name}": 1}
