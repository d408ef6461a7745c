"""Items that say too little of their numbers: their files are asked, and the rest is set aside by reason."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from features.accounting import Tally
from features.errors import ImageryError
from features.extraction.extract import extract, without_contradictions
from features.extraction.observations import read_observations
from features.extraction.options import ExtractOptions
from tests.small_imagery import SIDE, all_clear, field, optical, parcels, radar, table

OPTIONS = ExtractOptions(optical=("B04",), radar=("s0vv_db", "cohvv"), inner_buffer_m=0.0)
FIELDS = parcels(field(100, 100, 100, 100))
UNKNOWN = {"offset": 0.0, "assumed": ["nodata", "scale", "offset", "offset_unknown"]}


def red(folder: Path, day: int, **tags: Any) -> dict[str, Any]:
    """An acquisition of reflectance 0.2 whose item says nothing of the offset, and whose file has `tags`."""
    row = optical(folder, day, {"B04": np.full((SIDE, SIDE), 3000, np.uint16)}, all_clear())
    row["assets"][0] |= UNKNOWN
    with rasterio.open(row["assets"][0]["href"], "r+") as raster:
        for name, value in tags.items():
            setattr(raster, name, value)
    return row


def test_the_file_is_asked_and_the_acquisition_counted(tmp_path: Path) -> None:
    told = red(tmp_path, 0, scales=(0.0001,), offsets=(-0.1,))
    rows = table(told, red(tmp_path, 5))
    _, account = extract(rows, FIELDS, OPTIONS, tmp_path / "o")
    assert account == Tally("extract", "acquisitions", 2, 1, {"unknown_offset": 1})
    assert read_observations(tmp_path / "o")["mean"].to_list() == [pytest.approx(0.2)]
    kept, aside = without_contradictions(rows, FIELDS, OPTIONS, tmp_path / "p")
    assert kept["item_id"].to_list() == [told["item_id"]]
    assert [outcome.reason for outcome in aside] == ["unknown_offset"]


def test_where_no_file_says_it_either_the_sentence_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ImageryError, match=r"unknown_offset.*imagery\.default_offset"):
        extract(table(red(tmp_path, 0)), FIELDS, OPTIONS, tmp_path / "o")


def test_backscatter_without_a_unit_leaves_the_coherence_beside_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flat = np.full((SIDE, SIDE), 0.5, np.float32)
    row = radar(tmp_path, 0, {"vv": flat, "cohvv": flat})
    for asset, unit in zip(row["assets"], ("unknown", "coherence"), strict=True):
        asset["unit"] = unit
    _, account = extract(table(row), FIELDS, OPTIONS, tmp_path / "o")
    assert account.went_out == 1
    assert read_observations(tmp_path / "o")["feature"].to_list() == ["cohvv"]
    assert "vv (unknown_radar_unit) is left out of 1 acquisitions" in caplog.text
