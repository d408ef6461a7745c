from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.quality_sample import SAMPLE, SampleOptions, draw_sample


def declared(n: int, interventions: int = 3, per_holding: int = 5) -> pl.DataFrame:
    names = [f"I{k}" for k in range(interventions - 1)] + [None]
    return pl.DataFrame(
        {
            "parcel_id": [f"{i:05d}" for i in range(n)],
            "holding_id": [f"h{i // per_holding}" if i % 7 else None for i in range(n)],
            "intervention": [names[i % interventions] for i in range(n)],
            "declared": ["001"] * n,
            "crop_class": ["maize"] * n,
            "region": [None] * n,
            "area_ha": [1.0 + i % 3 for i in range(n)],
        },
        schema_overrides={"intervention": pl.String, "region": pl.String},
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 400), st.integers(1, 4), st.integers(0, 2**32))
def test_each_intervention_gives_its_share_and_no_parcel_twice(n: int, interventions: int, seed: int) -> None:
    table = declared(n, interventions)
    sample = draw_sample(table, SampleOptions(), seed)
    assert sample.schema == SAMPLE
    assert sample["parcel_id"].is_unique().all()
    sizes = Counter(name or "none" for name in table["intervention"])
    for (stratum,), rows in sample.group_by("stratum"):
        wanted = -(-sizes[str(stratum)] // 20)
        assert rows.height == wanted == rows["sample_size"][0]
        assert rows["order"].to_list() == list(range(1, wanted + 1))
        assert set(rows["stratum_size"]) == {sizes[str(stratum)]}


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_the_file() -> None:
    table = declared(500)
    once = draw_sample(table, SampleOptions(), 7)
    assert draw_sample(table[::-1], SampleOptions(), 7).equals(once)
    assert not draw_sample(table, SampleOptions(), 8).equals(once)


def test_every_parcel_has_the_same_chance() -> None:
    table = declared(40, 1)
    drawn = Counter[str]()
    for seed in range(600):
        drawn.update(draw_sample(table, SampleOptions(share=0.25), seed)["parcel_id"])
    counts = np.array([drawn[name] for name in table["parcel_id"]])
    # 600 draws of a quarter: 150 expected, standard deviation 10.6
    assert counts.min() > 105
    assert counts.max() < 195


def test_a_cap_on_holdings_is_kept() -> None:
    table = declared(300).with_columns(holding_id=pl.Series([f"h{i // 5}" for i in range(300)]))
    sample = draw_sample(table, SampleOptions(share=0.5, holdings_share=0.1), 1)
    visited = sample.join(table.select("parcel_id", "holding_id"), on="parcel_id")["holding_id"].n_unique()
    assert visited == 6
    assert sample.height < 150
    assert (sample["sample_size"] == sample.select(pl.len().over("stratum")).to_series()).all()


def test_every_option_changes_the_sample_and_empty_geometry_is_not_drawn() -> None:
    table = declared(500)
    once = draw_sample(table, SampleOptions(), 1)
    for changed in ({"share": 0.1}, {"small_below": 10}, {"holdings_share": 0.01}):
        assert not draw_sample(table, SampleOptions.model_validate(changed), 1).equals(once)
    large = SampleOptions(small_below=10, large_size=4)
    assert draw_sample(table, large, 1).height == 12
    assert draw_sample(table.with_columns(area_ha=pl.lit(0.0)), large, 1).is_empty()
    with pytest.raises(ValueError, match="greater than 0"):
        SampleOptions(share=0)
