"""Series of some parcels at a time are those of all parcels at once, to the bit."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import xarray as xr

from features.errors import StageError
from features.extraction.extract import extract
from features.extraction.observations import read_observations, split_observations
from features.extraction.options import ExtractOptions
from features.files import read_parquet
from features.imagery.masks import MaskOptions
from features.schema import make_series
from features.series.chunks import HeldSeries, StoredSeries, chunks_of, read_chunks, write_chunks
from features.series.gapfill import GapFiller, gapfill_series
from features.series.options import GapfillOptions, SeriesOptions
from features.series.parcel_series import build_series, features_of, read_series, write_series
from tests.small_imagery import SIDE, all_clear, field, optical, parcels, radar, table

SEASON = date(2024, 4, 1), date(2024, 6, 30)
OPTIONS = ExtractOptions(
    optical=("B04",), radar=("s0vv_db",), inner_buffer_m=0.0, mask=MaskOptions(dilation_m=0.0)
)


def random_series(count: int, seed: int = 0) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    times = np.datetime64("2024-04-01", "ns") + np.arange(12) * np.timedelta64(10, "D")
    value = rng.normal(size=(count, 12, 3, 2))
    value[rng.random((count, 12)) < 0.4] = np.nan
    value[:, :, 2] = np.nan  # an orbit that saw nothing
    return make_series([f"{i:03d}" for i in range(count)], times, ["B04", "ndvi", "s0vv_db_r037"],
                       ("mean", "std"), value)  # fmt: skip


def some(series: xr.Dataset, size: int) -> Iterator[xr.Dataset]:
    return (series.isel(parcel=rows) for rows in chunks_of(series.sizes["parcel"], size))


@pytest.mark.parametrize("method", ["none", "linear", "whittaker"])
def test_gaps_are_filled_alike_in_chunks(method: str) -> None:
    series, options = random_series(23), GapfillOptions(method=method)
    filler = GapFiller.learn(options, lambda: some(series, 5))
    parts = xr.concat([filler.fill(chunk) for chunk in some(series, 5)], "parcel")
    xr.testing.assert_identical(parts, gapfill_series(series, options))


@pytest.mark.parametrize("size", [1, 5, 23, 100])
def test_a_series_written_in_chunks_reads_as_if_written_at_once(tmp_path: Path, size: int) -> None:
    series = random_series(23).assign_attrs(calendar="dekad")
    whole = read_series(write_series(series, tmp_path / "whole.nc"))
    xr.testing.assert_identical(read_series(write_chunks(tmp_path / "c.nc", some(series, size), 23)), whole)
    xr.testing.assert_identical(xr.concat(read_chunks(tmp_path / "c.nc", 4), "parcel"), whole)


def test_too_few_parcels_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="was to hold 9 parcels, and 8 came"):
        write_chunks(tmp_path / "c.nc", some(random_series(8), 4), 9)
    assert list(tmp_path.iterdir()) == []


def test_no_parcels_are_an_empty_series(tmp_path: Path) -> None:
    none = random_series(0)
    written = write_chunks(tmp_path / "c.nc", some(none, 5), 0)
    assert read_series(written).sizes["parcel"] == 0
    assert GapFiller.learn(GapfillOptions(), lambda: some(none, 5)).fill(none).sizes["parcel"] == 0


def test_observations_split_by_parcel_give_the_same_series(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    band = rng.integers(1500, 4000, (SIDE, SIDE)).astype(np.uint16)
    power = rng.random((SIDE, SIDE)).astype(np.float32) + 0.01
    rows = [optical(tmp_path / "i", day, {"B04": band + day}, all_clear()) for day in (0, 12, 30)]
    rows += [radar(tmp_path / "i", day, {"vv": power}) for day in (3, 15)]
    own = parcels(*(field(80.0 * k, 300.0, 60.0, 80.0) for k in range(5)))
    extract(table(*rows), own, OPTIONS, tmp_path / "o")
    ids, options = own["parcel_id"].tolist(), SeriesOptions(statistics=("mean",))
    whole = build_series(read_observations(tmp_path / "o"), ids, options, *SEASON)
    chunks = [ids[rows] for rows in chunks_of(len(ids), 2)]
    paths = split_observations(tmp_path / "o", chunks, tmp_path)
    names = features_of(pl.scan_parquet(paths), options)
    parts = [
        build_series(read_parquet(path), chunk, options, *SEASON, names=names)
        for path, chunk in zip(paths, chunks, strict=True)
    ]
    assert int(whole["observed"].sum()) > 0
    xr.testing.assert_identical(xr.concat(parts, "parcel"), whole)


def test_parcels_are_looked_up_on_disk_as_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.series.chunks.PARCELS_PER_CHUNK", 2)
    rng = np.random.default_rng(0)
    series = make_series(
        [f"{k:02d}" for k in range(7)], np.array(["2024-03-01"], "datetime64[ns]"), ["ndvi"], ["mean"]
    )
    series["value"].values[:] = rng.random(series["value"].shape)
    stored, held = StoredSeries(write_series(series, tmp_path / "series.nc")), HeldSeries(series)
    places = np.array([6, 0, 3, 2, 0])
    for rows in (stored, held):
        found = np.empty(5, np.float32)
        for mine, part in rows.of(places):
            found[mine] = part["value"].values[:, 0, 0, 0]
        np.testing.assert_array_equal(found, series["value"].values[places, 0, 0, 0])
        assert rows.parcels.tolist() == series["parcel"].values.tolist()
        assert rows.head.sizes["parcel"] == 0
    assert list(stored.of(np.array([], int))) == []
