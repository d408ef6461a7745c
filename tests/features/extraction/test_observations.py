from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.errors import StageError
from features.extraction.extract import extract
from features.extraction.observations import make_part, read_observations
from features.extraction.options import ExtractOptions
from features.schema import OBSERVATIONS
from tests.small_imagery import SIDE, all_clear, field, optical, parcels, table

OPTIONS = ExtractOptions(optical=("B04",), radar=(), inner_buffer_m=0.0)


def test_parts_have_the_schema_and_unknown_is_null() -> None:
    values = {"ndvi": np.array([[0.5, 0.1], [np.nan, np.nan]])}
    one = {"ndvi": np.array([3.0, 0.0])}
    part = make_part(
        np.array(["01", "02"], object), datetime(2024, 5, 1), "s2", None, values, ("mean", "std"), one, one
    )
    assert part.schema == OBSERVATIONS
    assert part["mean"].to_list() == [0.5, None]
    assert part["median"].null_count() == 2
    assert part["parcel_id"].to_list() == ["01", "02"]


def test_two_halves_of_one_second_are_resolved_by_who_saw_more(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(1200, 6000, (SIDE, SIDE)).astype(np.uint16)
    halves = []
    for k, kept in enumerate((slice(0, SIDE // 2), slice(SIDE // 2, SIDE))):
        half = np.zeros_like(values)
        half[:, kept] = values[:, kept]
        row = optical(tmp_path / f"i{k}", 0, {"B04": half}, all_clear())
        halves.append(row | {"item_id": f"half_{k}"})
    fields = parcels(field(0, 0, 100, 100), field(400, 0, 100, 100), field(250, 0, 150, 100))
    extract(table(*halves), fields, OPTIONS, tmp_path / "o")
    found = read_observations(tmp_path / "o").sort("parcel_id")
    assert found.height == 3
    assert found["valid_share"].to_list() == [1, 1, pytest.approx(2 / 3)]


def test_features_can_be_chosen_and_an_empty_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="run the extract stage first"):
        read_observations(tmp_path)
    values = np.full((SIDE, SIDE), 3000, np.uint16)
    row = optical(tmp_path / "i", 0, {"B04": values, "B08": values}, all_clear())
    options = OPTIONS.model_copy(update={"optical": ("B04", "ndvi")})
    extract(table(row), parcels(field(0, 0, 100, 100)), options, tmp_path / "o")
    found = read_observations(tmp_path / "o", ["ndvi"])
    assert found.select(pl.col("feature").unique()).item() == "ndvi"
    assert found["mean"].item() == 0
