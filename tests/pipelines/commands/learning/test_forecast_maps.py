"""NDVI maps of days ahead of a finished run: pixels, their intervals, and what cannot be mapped."""

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import polars as pl
import pystac
import pytest
import rasterio
from rasterio.features import rasterize
from typer.testing import CliRunner

from features.errors import ConfigError, CropcheckError, StageError
from features.files import read_parquet
from features.workers import one_by_one
from pipelines.cli.learning import commands
from pipelines.commands.learning.forecast import days_in
from pipelines.commands.learning.forecast_maps import write_forecast_maps
from pipelines.workspace import Workspace
from tests.pipelines.conftest import SmallRun
from tests.soak import TINY

DAYS = [date(2024, 9, 5), date(2024, 9, 30)]


def quiet(done: int, total: int) -> None:
    assert 0 <= done <= total


@pytest.fixture(autouse=True, scope="module")
def few_groups() -> Iterator[None]:
    """The small region has too few holdings and blocks to calibrate by."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.forecast.pixels.intervals.LEAST_GROUPS", 2)
        yield


@pytest.fixture(scope="module")
def mapped(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("maps")
    return folder, write_forecast_maps(small_run.config, small_run.workspace, DAYS, folder, quiet)


def test_maps_have_no_intervals_where_too_few_holdings_tell(
    small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.forecast.pixels.intervals.LEAST_GROUPS", 8)
    said = write_forecast_maps(small_run.config, small_run.workspace, DAYS[:1], tmp_path, quiet)
    assert "No intervals on 2024-09-05: too few looks" in said
    assert set(items(tmp_path)["2024-09-05"].assets) == {"value", "age"}


def items(folder: Path) -> dict[str, pystac.Item]:
    catalog = pystac.Catalog.from_file(str(folder / "catalog.json"))
    return {str(item.properties["datetime"])[:10]: item for item in catalog.get_items()}


def layers(item: pystac.Item, kind: str) -> tuple[np.ndarray, np.ndarray, Any]:
    with rasterio.open(item.assets[kind].get_absolute_href()) as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        return raster.read(masked=True).filled(0) * 1e-4, raster.read_masks() > 0, raster.profile


def test_each_day_is_an_item_with_the_day_it_was_made_on(mapped: tuple[Path, str]) -> None:
    found = items(mapped[0])
    assert set(found) == {"2024-09-05", "2024-09-30"}
    own = found["2024-09-30"].properties
    assert own["forecast:reference_datetime"] == "2024-08-31T23:59:59Z"
    assert own["forecast:horizon"] == "P30D"
    assert set(found["2024-09-30"].assets) == {"value", "interval", "age"}
    assert not (mapped[0] / ".writing").exists()


def test_a_parcels_pixels_agree_with_its_forecast(small_run: SmallRun, mapped: tuple[Path, str]) -> None:
    value, known, profile = layers(items(mapped[0])["2024-09-05"], "value")
    table = read_parquet(small_run.workspace.forecast).filter(pl.col("date") == DAYS[0])
    of = dict(table.select("parcel_id", "ndvi").iter_rows())
    declared = gpd.read_parquet(small_run.workspace.declarations).to_crs(profile["crs"])
    shapes = [(shape.buffer(-10), k) for k, shape in enumerate(declared.geometry, start=1)]
    place = rasterize(
        [one for one in shapes if not one[0].is_empty], value[0].shape, transform=profile["transform"]
    )
    pairs = [
        (value[0][place == k].mean(), of[name])
        for k, name in enumerate(declared["parcel_id"], start=1)
        if (place == k).sum() >= 8 and of[name] is not None
    ]
    assert len(pairs) > 20
    pixels, parcels = np.array(pairs).T
    assert np.abs(pixels - parcels).mean() < 0.05 and np.corrcoef(pixels, parcels)[0, 1] > 0.9
    fields = rasterize(list(declared.geometry.buffer(15)), place.shape, transform=profile["transform"])
    assert not known[0][fields == 0].any()


def test_intervals_lie_in_order_around_the_value(mapped: tuple[Path, str]) -> None:
    item = items(mapped[0])["2024-09-05"]
    value, known, _ = layers(item, "value")
    bounds, bounded, _ = layers(item, "interval")
    assert [band["name"] for band in item.assets["interval"].extra_fields["bands"]] == [
        "low_90", "low_50", "high_50", "high_90"
    ]  # fmt: skip
    assert bounded[0].any() and (bounded == known).all()
    assert (np.diff(bounds[:, known[0]], axis=0) >= 0).all()
    inside = (bounds[0] <= value[0]) & (value[0] <= bounds[3])
    assert inside[known[0]].mean() > 0.95


def test_what_is_printed_and_written_says_how_good_pixels_were(mapped: tuple[Path, str]) -> None:
    folder, said = mapped
    assert said.startswith(f"2 maps of NDVI, forecast on 2024-08-31: {folder / 'catalog.json'}")
    assert "RMSE" in said
    rows = list(csv.DictReader((folder / "scores.csv").read_text().splitlines()))
    assert {"rmse", "coverage_90"} <= {row["metric"] for row in rows if row["method"] == "combined"}
    assert all(int(row["n"]) > 0 for row in rows)


def test_maps_that_were_stopped_go_on_and_end_alike(
    small_run: SmallRun, mapped: tuple[Path, str], tmp_path: Path
) -> None:
    made: list[Path] = []
    before: list[int] = []

    def stopped(function: Any, units: Iterable[Any]) -> Iterator[Any]:
        first = next(iter(units))
        made.append(function(first))
        before.append(first.file.stat().st_mtime_ns)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_forecast_maps(small_run.config, small_run.workspace, DAYS, tmp_path, quiet, stopped)
    assert not (tmp_path / "catalog.json").exists() and made[0].is_file()
    kept = made[0]

    def looking(function: Any, units: Iterable[Any]) -> Iterator[Any]:
        yield from one_by_one(function, units)
        assert kept.stat().st_mtime_ns == before[0]

    write_forecast_maps(small_run.config, small_run.workspace, DAYS, tmp_path, quiet, looking)
    for item in ("value", "interval", "age"):
        one, two = (layers(items(folder)["2024-09-30"], item)[0] for folder in (mapped[0], tmp_path))
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    "day", [date(2024, 8, 31), date(2024, 5, 1), date(2024, 8, 31) + timedelta(days=101)]
)
def test_days_that_do_not_lie_ahead_are_refused(small_run: SmallRun, day: date, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"--maps: {day} cannot be mapped from 2024-08-31"):
        write_forecast_maps(small_run.config, small_run.workspace, [day], tmp_path, quiet)


def without(small_run: SmallRun, folder: Path, name: str) -> Workspace:
    """A copy of the run that lacks a file or folder."""
    copied = Workspace(folder / "copy")
    copied.folder.mkdir()
    for path in small_run.workspace.folder.iterdir():
        if path.name not in (name, ".lock"):
            (copied.folder / path.name).symlink_to(path)
    return copied


def test_models_that_are_younger_than_the_manifest_are_taken(small_run: SmallRun, tmp_path: Path) -> None:
    copied = without(small_run, tmp_path, "manifest.json")
    copied.manifest.write_text(json.dumps({"outputs": {"forecast_models/forecast.json": "0" * 64}}))
    said = write_forecast_maps(small_run.config, copied, DAYS[:1], tmp_path / "maps", quiet)
    assert said.startswith("1 maps of NDVI, forecast on")


def test_a_run_without_forecast_models_is_refused(small_run: SmallRun, tmp_path: Path) -> None:
    copied = without(small_run, tmp_path, "forecast_models")
    with pytest.raises(StageError, match="holds no forecast models"):
        write_forecast_maps(small_run.config, copied, DAYS, tmp_path / "maps", quiet)


def test_days_are_read_in_order_and_what_is_none_is_named() -> None:
    assert days_in("2024-08-31, 2024-08-01,2024-08-31") == [date(2024, 8, 1), date(2024, 8, 31)]
    with pytest.raises(CropcheckError, match="'tomorrow' is no day"):
        days_in("tomorrow")


@pytest.mark.parametrize("given", [["--maps", "2024-08-01"], ["--write", "maps"]])
def test_days_and_folder_belong_together(given: list[str]) -> None:
    found = CliRunner().invoke(commands, ["forecast", str(TINY), *given])
    assert isinstance(found.exception, CropcheckError)
    assert "with --maps, and the folder" in str(found.exception)
