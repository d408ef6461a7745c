from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
import pytest
import shapely

from features.errors import DeclarationError
from features.extraction.extract import extract
from features.extraction.observations import read_observations
from features.extraction.options import ExtractOptions
from features.extraction.partitions import (
    extract_partitioned,
    read_parcel_tables,
    read_parcels,
    write_partitions,
)
from tests.small_imagery import SIDE, all_clear, optical, table

OPTIONS = ExtractOptions(optical=("B04", "ndvi"), radar=(), inner_buffer_m=0.0)


def region(folder: Path) -> tuple[pl.DataFrame, gpd.GeoDataFrame]:
    """Two tiles that overlap by half, and parcels over both."""
    rng = np.random.default_rng(1)
    wide = rng.integers(1200, 6000, (SIDE, SIDE + SIDE // 2)).astype(np.uint16)
    rows = []
    for tile, first in (("35VLF", 0), ("35VMF", SIDE // 2)):
        bands = {name: np.ascontiguousarray(wide[:, first : first + SIDE]) for name in ("B04", "B08")}
        corner = (500_000.0 + first * 10, 5_000_000.0)
        rows.append(optical(folder, 0, bands, all_clear(), tile=tile, corner=corner))
    shapes = [
        shapely.box(x, 4_999_990 - y - 30, x + 40, 4_999_990 - y)
        for x in range(500_005, 500_850, 50)
        for y in range(0, 500, 60)
    ]
    return table(*rows), gpd.GeoDataFrame(
        {"parcel_id": [f"{i:04d}" for i in range(len(shapes))]}, geometry=shapes, crs=32635
    )


def test_partitions_answer_by_box_and_keep_every_parcel(tmp_path: Path) -> None:
    _, fields = region(tmp_path / "i")
    write_partitions((fields.iloc[k::3] for k in range(3)), tmp_path / "p")
    fields.to_file(tmp_path / "p.gpkg")
    box = (500_100.0, 4_999_700.0, 500_300.0, 4_999_900.0)
    expected = set(fields[fields.intersects(shapely.box(*box))]["parcel_id"])
    for source in (tmp_path / "p", tmp_path / "p.gpkg"):
        assert set(read_parcels(source, box)["parcel_id"]) == expected
        assert len(read_parcels(source, (0, 0, 1e7, 1e7))) == len(fields)
        assert len(read_parcels(source, (0.0, 0.0, 1.0, 1.0))) == 0


def test_tile_by_tile_from_disk_equals_all_at_once_and_counts_overlaps_once(tmp_path: Path) -> None:
    rows, fields = region(tmp_path / "i")
    parcels, account = extract(rows, fields, OPTIONS, tmp_path / "whole")
    write_partitions((fields.iloc[k::2] for k in range(2)), tmp_path / "p")
    assert extract_partitioned(rows, tmp_path / "p", OPTIONS, tmp_path / "tiled") == account
    whole, tiled = (
        read_observations(tmp_path / name).sort("parcel_id", "feature") for name in ("whole", "tiled")
    )
    assert whole.equals(tiled)
    assert whole.height == 2 * len(fields)
    assert parcels["tile"].n_unique() == 2
    assert read_parcel_tables(tmp_path / "tiled").sort("parcel_id").equals(parcels.sort("parcel_id"))


def test_partitions_of_two_systems_or_none_are_refused(tmp_path: Path) -> None:
    _, fields = region(tmp_path / "i")
    with pytest.raises(DeclarationError, match="reproject it"):
        write_partitions([fields, fields.to_crs(3035)], tmp_path / "p")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DeclarationError, match="no GeoParquet partitions"):
        read_parcels(tmp_path / "empty", (0, 0, 1, 1))
