"""Our own draw: its sizes, its cap on holdings, and the chances that it says each parcel had."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.assessment.options import SampleOptions
from models.assessment.quality_sample import DESIGN, SAMPLE, draw_sample


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


@settings(max_examples=10)
@given(st.integers(1, 120), st.integers(1, 4), st.integers(0, 2**32))
def test_each_intervention_gives_its_share_and_no_parcel_twice(n: int, interventions: int, seed: int) -> None:
    table = declared(n, interventions)
    drawn = draw_sample(table, SampleOptions(), seed)
    sample, design = drawn.sample, drawn.design
    assert (sample.schema, design.schema) == (SAMPLE, DESIGN)
    assert sample["parcel_id"].is_unique().all()
    assert design["parcel_id"].to_list() == sample["parcel_id"].to_list()
    assert design["probability"].is_between(0, 1, closed="right").all()
    sizes = Counter(name or "none" for name in table["intervention"])
    for (stratum,), rows in sample.group_by("stratum"):
        wanted = -(-sizes[str(stratum)] // 20)
        assert rows.height == wanted == rows["sample_size"][0]
        assert rows["order"].to_list() == list(range(1, wanted + 1))
        assert set(rows["stratum_size"]) == {sizes[str(stratum)]}


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_the_file() -> None:
    table = declared(500)
    once = draw_sample(table, SampleOptions(), 7)
    again = draw_sample(table[::-1], SampleOptions(), 7)
    assert again.sample.equals(once.sample)
    assert again.design.equals(once.design)
    assert not draw_sample(table, SampleOptions(), 8).sample.equals(once.sample)


def test_chances_are_as_the_design_says() -> None:
    holdings = [*(f"single{k}" for k in range(30)), *["large"] * 10]
    table = declared(40, 1).with_columns(holding_id=pl.Series(holdings))
    options, draws = SampleOptions(share=0.25), 60
    drawn, said = Counter[str](), dict[str, float]()
    for seed in range(draws):
        found = draw_sample(table, options, seed).design
        drawn.update(found["parcel_id"])
        said |= dict(found.select("parcel_id", "probability").iter_rows())
    # a parcel of the large holding is met through any of the ten, and shares three places with them
    for group in (table["parcel_id"][:30], table["parcel_id"][30:]):
        counted = np.mean([drawn[name] / draws for name in group])
        assert np.mean([said[name] for name in group]) == pytest.approx(counted, abs=0.03)


def test_all_are_drawn_with_certainty_where_all_are_wanted() -> None:
    design = draw_sample(declared(30), SampleOptions(share=1), 1).design
    assert design.height == 30
    assert design.select("probability", "parcel_probability", "holding_probability").min().row(0) == (1, 1, 1)


def test_a_cap_on_holdings_is_kept() -> None:
    table = declared(300).with_columns(holding_id=pl.Series([f"h{i // 5}" for i in range(300)]))
    sample = draw_sample(table, SampleOptions(share=0.5, holdings_share=0.1), 1).sample
    visited = sample.join(table.select("parcel_id", "holding_id"), on="parcel_id")["holding_id"].n_unique()
    assert visited == 6
    assert sample.height < 150
    assert (sample["sample_size"] == sample.select(pl.len().over("stratum")).to_series()).all()


def test_every_option_changes_the_sample_and_empty_geometry_is_not_drawn() -> None:
    table = declared(500)
    once = draw_sample(table, SampleOptions(), 1).sample
    for changed in ({"share": 0.1}, {"small_below": 10}, {"holdings_share": 0.01}, {"per_holding": 1}):
        assert not draw_sample(table, SampleOptions.model_validate(changed), 1).sample.equals(once)
    large = SampleOptions(small_below=10, large_size=4)
    assert draw_sample(table, large, 1).sample.height == 12
    assert draw_sample(table.with_columns(area_ha=pl.lit(0.0)), large, 1).sample.is_empty()
    with pytest.raises(ValueError, match="greater than 0"):
        SampleOptions(share=0)
