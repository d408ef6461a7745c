"""A run that starts from tables of series: read, extract and fill; what a table cannot say is null."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.series.parcel_series import read_series
from features.tables.options import TableOptions
from features.tables.reader import read_tables
from pipelines.commands.checks.check import check_inputs
from pipelines.config import RunConfig, load_config
from pipelines.main_job import stages
from pipelines.record.stage import run_stage
from pipelines.workspace import Workspace
from pipelines.yamlfile import parse_yaml
from tests.benchmarks.data.crop_points import both_ways, by_config, differing
from tests.benchmarks.data.crop_sets import load

CONFIG = """
name: points
season: {year: 2024, start: 2024-03-01, end: 2024-10-31}
declarations: {crops: {tables: [codes.csv]}}
series:
  calendar: month
  statistics: [mean]
  tables: [{path: table.parquet, columns: {red: {name: B04, scale: 0.0001}, nir: {name: B08, scale: 0.0001}},
            nodata: [65535], derive: [ndvi], context: {dem: elevation}}]
  labels: {code: crop, longitude: x, latitude: y, holding: farm}
clear: {method: none}
tracking: {enabled: false}
"""
PARCELS = 12


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "codes.csv").write_text("code,name,hcat_code,crop_class\n01,wheat,,wheat\n02,maize,,maize\n")
    table().write_parquet(tmp_path / "table.parquet")
    return tmp_path


def table(**changes: Any) -> pl.DataFrame:
    days = [date(2024, 3, 5) + timedelta(days=30 * step) for step in range(8)]
    rows = [
        {"parcel_id": f"{k:03d}", "date": day, "crop": "01" if k % 2 else "02", "farm": f"f{k // 3}",
         "x": 4.7 + 0.01 * k, "y": 50.9, "dem": 20.0 + k, "red": 500, "nir": 65535 if step == 2 else 4500,
         **changes}
        for k in range(PARCELS)
        for step, day in enumerate(days)
    ]  # fmt: skip
    return pl.DataFrame(rows)


def config_of(folder: Path, *settings: str) -> RunConfig:
    return load_config(folder / "config.yaml", list(settings))


def run(folder: Path, upto: str, *settings: str) -> Workspace:
    config, workspace = config_of(folder, *settings), Workspace(folder / "out")
    for stage in stages(config):
        run_stage(stage, config, workspace, lambda done, total: None)
        if stage.name == upto:
            break
    return workspace


def test_series_are_those_of_the_table(folder: Path) -> None:
    workspace = run(folder, "fill")
    series = read_series(workspace.series)
    assert series.sizes["parcel"] == PARCELS
    ndvi = series["value"].sel(feature="ndvi", statistic="mean").to_numpy()
    np.testing.assert_allclose(ndvi[:, [0, 1, 3, 4]], 0.8, atol=1e-6)
    assert np.isnan(ndvi[:, 2]).all(), "a nodata code is no value"
    assert not series["observed"].sel(feature="ndvi").to_numpy()[:, 2].any()


def test_what_a_table_cannot_say_is_unknown(folder: Path) -> None:
    workspace = run(folder, "fill")
    parcels = pl.read_parquet(workspace.parcels)
    assert parcels["full_pixels"].null_count() == PARCELS
    assert pl.read_parquet(workspace.context)["elevation"].to_list() == [20.0 + k for k in range(PARCELS)]


def test_declarations_stand_in_the_table(folder: Path) -> None:
    import geopandas as gpd

    declared = gpd.read_parquet(run(folder, "read").declarations)
    assert declared["crop_class"].tolist()[:2] == ["maize", "wheat"]
    assert declared["holding_id"].nunique() == 4
    assert declared["area_ha"].round(4).unique().tolist() == [0.01], "a point stands for its pixel"


def test_a_changed_table_is_read_again_and_only_what_follows(folder: Path) -> None:
    run(folder, "fill")
    config, workspace = config_of(folder), Workspace(folder / "out")
    ran = {}
    table(red=600).write_parquet(folder / "table.parquet")
    for stage in stages(config)[:3]:
        _, ran[stage.name] = run_stage(stage, config, workspace, lambda done, total: None)
    assert ran == {"read": True, "extract": True, "fill": True}
    for stage in stages(config)[:3]:
        _, ran[stage.name] = run_stage(stage, config, workspace, lambda done, total: None)
    assert ran == {"read": False, "extract": False, "fill": False}


def test_until_sees_nothing_later(folder: Path) -> None:
    series = read_series(run(folder, "fill", "season.until=2024-06-01").series)
    assert str(series["time"].to_numpy()[-1])[:10] == "2024-06-01"


def test_check_shows_what_it_understood(folder: Path) -> None:
    said = str(check_inputs(config_of(folder), Workspace(folder / "out")))
    assert "Series: 12 of 12 parcels, 8 dates from 2024-03-05 to 2024-10-01, 3 features." in said
    assert "  B08: 84 values on 7 dates, 0.0% missing" in said
    assert "problem" not in said
    assert not (folder / "out").exists(), "check leaves nothing"


def test_check_says_the_same_of_tables_that_it_reads_in_chunks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, workspace = config_of(folder), Workspace(folder / "out")
    whole = str(check_inputs(config, workspace))
    monkeypatch.setattr("features.tables.reader.fitting", lambda *_: 50)  # of 288 values
    lines = [line for line in whole.splitlines() if line.startswith(("Series", "  B0", "  ndvi"))]
    assert len(lines) == 4 and set(lines) <= set(str(check_inputs(config, workspace)).splitlines())


def test_check_names_another_unit_and_ids_that_are_not_declared(folder: Path) -> None:
    table(red=5_000_000).write_parquet(folder / "table.parquet")
    assert "half of the values of B04 lie from 500" in str(
        check_inputs(config_of(folder), Workspace(folder / "out"))
    )


def test_two_codes_of_one_parcel_are_refused(folder: Path) -> None:
    pl.concat([table(), table(crop="01").head(1)]).write_parquet(folder / "table.parquet")
    said = str(check_inputs(config_of(folder), Workspace(folder / "out")))
    assert "1 parcels have several codes or places, first '000'" in said


def test_the_template_of_this_test_is_yaml() -> None:
    assert parse_yaml(CONFIG, "test")["name"] == "points"


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["flanders_2021", "france_2022", "east_africa"])
def test_real_tables_by_a_few_lines(real_data: Path, tmp_path: Path, name: str) -> None:
    """A config reads what the benchmark's own reader reads, but for what no sensor can have measured."""
    work = load(name, real_data, None)
    own, read = both_ways(work, by_config(name, real_data, tmp_path))
    assert {"B02", "B08", "B12", "s0vv_db", "s0vh_db", "weather_t", "ndvi", "ratio_db"} <= set(
        own.series["feature"].values
    )
    ours, theirs = read.series["value"].to_numpy(), own.series["value"].to_numpy()
    known = np.isfinite(ours)
    np.testing.assert_allclose(ours[known], theirs[known], rtol=1e-4, atol=1e-6)
    assert differing(own, read) < 0.01


@pytest.mark.realdata
def test_real_dekads_have_the_dates_that_their_ends_say(real_data: Path) -> None:
    """49 steps of which that of number 0 is empty, from 1 August 2020 to 21 November 2021."""
    path = real_data / "lpis-points" / "prometheo_2021_BE_LPIS-Flanders_10D.parquet"
    ids = pl.read_parquet(path, columns=["sample_id"])["sample_id"].to_list()
    options = TableOptions.model_validate({"path": str(path), "template": "worldcereal_steps"})
    found = read_tables([options], ids, date(2020, 7, 1), date(2021, 12, 31))
    days = found.observations["datetime"].dt.date()
    assert (days.min(), days.max(), days.n_unique()) == (date(2020, 8, 1), date(2021, 11, 21), 48)
    means = found.observations.filter(feature="weather_t").group_by("datetime").agg(pl.col("mean").mean())
    warmest = means.sort("mean")["datetime"][-1]
    assert warmest.date() == date(2020, 8, 1), "the heat of early August 2020"
