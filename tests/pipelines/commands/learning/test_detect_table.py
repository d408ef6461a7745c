from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from features.errors import ConfigError
from features.schema import EVENTS
from models.events.table import SEEN
from pipelines.commands.learning.detect import detect_in_table
from tests.models.events.made_series import DAYS, START, ndvi_of


def table_of(path: Path, cuts: dict[str, list[int]]) -> Path:
    rows = [
        (parcel, START + timedelta(days=int(day)), float(green), 0.3 - 0.15 * float(green))
        for parcel, mown in cuts.items()
        for day, green in zip(DAYS, ndvi_of(mown), strict=True)
    ]
    pl.DataFrame(rows, schema=["parcel_id", "date", "ndvi", "B11"], orient="row").write_csv(path)
    return path


def test_a_table_of_series_gives_its_events(tmp_path: Path) -> None:
    table = table_of(tmp_path / "series.csv", {"001": [98], "002": []})
    said = detect_in_table(table, tmp_path / "events.parquet", None, None)
    events = pl.read_parquet(tmp_path / "events.parquet")
    assert events.schema == EVENTS and "of 2 parcels" in said and "not calibrated" in said
    mown = events.filter((pl.col("event") == "mowing") & (pl.col("reason") == SEEN))
    assert mown["parcel_id"].to_list() == ["001"]
    assert abs((mown["date"][0] - START).days - 98) <= 3


def test_a_table_without_a_feature_and_another_ending_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "series.csv"
    path.write_text("parcel_id,date,greenness\n001,2024-06-01,0.8\n")
    with pytest.raises(ConfigError, match="called as a feature"):
        detect_in_table(path, tmp_path / "events.parquet", None, None)
    with pytest.raises(ConfigError, match=r"\.parquet or \.csv"):
        detect_in_table(path, tmp_path / "events.txt", None, None)


def test_a_template_that_is_none_and_the_table_itself_are_refused(tmp_path: Path) -> None:
    table = table_of(tmp_path / "series.csv", {"001": []})
    whole = table.read_text()
    with pytest.raises(ConfigError, match=r"--template openoe is none\. Did you mean 'openeo'\?"):
        detect_in_table(table, tmp_path / "events.parquet", None, "openoe")
    with pytest.raises(ConfigError, match="would overwrite"):
        detect_in_table(table, table, None, None)
    assert table.read_text() == whole


def test_a_table_that_unpacks_to_more_than_is_allowed_is_refused_before_it_is_read(tmp_path: Path) -> None:
    table = tmp_path / "series.parquet"
    pl.DataFrame({"parcel_id": ["001"] * 200_000, "date": [START] * 200_000, "ndvi": 0.5}).write_parquet(
        table
    )
    with pytest.raises(
        ConfigError, match=r"series\.parquet unpacks to more than 0\.001 GiB; raise --most-gib"
    ):
        detect_in_table(table, tmp_path / "events.parquet", None, None, most_gib=0.001)
