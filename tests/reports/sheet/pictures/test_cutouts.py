"""Raw pixels of many windows of one image."""

import logging
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from features.imagery.blocks import Block
from features.schema import Asset
from reports.sheet.pictures import cutouts as module
from reports.sheet.pictures.cutouts import _groups, cutouts

WHOLE = Affine(10, 0, 0, 0, -10, 1000)
GRID = GeoBox((100, 100), WHOLE, "EPSG:32631")


def block(row: int, column: int, height: int, width: int) -> Block:
    return Block(slice(row, row + height), slice(column, column + width))


def write(path: Path, values: np.ndarray, transform: Affine) -> Asset:
    height, width = values.shape
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "crs": "EPSG:32631", "transform": transform}
    with rasterio.open(path, "w", height=height, width=width, **profile) as out:
        out.write(values, 1)
    return {"href": str(path)}  # type: ignore[typeddict-item]


def test_a_band_that_covers_other_ground_is_placed_by_where_it_lies(tmp_path: Path) -> None:
    """A window of 4 x 4 pixels; the band begins 2 pixels further right: what it lacks is nodata."""
    for factor, columns in ((1, 2), (2, 1)):
        values = np.arange(1, 101, dtype=np.uint16).reshape(10, 10)[: 10 // factor, : 10 // factor]
        step = WHOLE @ Affine.translation(2, 0) @ Affine.scale(factor)
        found = cutouts(write(tmp_path / f"{factor}.tif", values, step), GRID, [block(2, 0, 4, 4)])
        expected = values[2 // factor : 6 // factor, :columns].repeat(factor, 0).repeat(factor, 1)
        assert found is not None
        assert found[0].tolist() == np.hstack([np.zeros((4, 2), int), expected]).tolist()


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("call", [0, 10**6])  # each window by itself, or all at once
def test_windows_read_at_once_are_those_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: int, call: int
) -> None:
    monkeypatch.setattr(module, "CALL", call)
    coarse = np.arange(1, 1 + (90 // factor) ** 2, dtype=np.uint16).reshape(90 // factor, -1)
    fine = np.zeros((100, 100), int)
    fine[:90, :90] = coarse.repeat(factor, 0).repeat(factor, 1)
    blocks = [block(0, 0, 7, 5), block(31, 64, 20, 3), block(80, 77, 19, 23), block(33, 61, 2, 9)]
    assert len(list(_groups(blocks))) == (1 if call else 4)
    found = cutouts(write(tmp_path / "band.tif", coarse, WHOLE @ Affine.scale(factor)), GRID, blocks)
    assert found is not None
    for window, raw in zip(blocks, found, strict=True):
        assert raw.tolist() == fine[window.slices].tolist()


def test_windows_far_apart_are_read_by_themselves() -> None:
    near, far = [block(0, 40 * k, 40, 40) for k in range(3)], block(5000, 5000, 40, 40)
    assert list(_groups([*near, far])) == [(block(0, 0, 40, 120), [0, 1, 2]), (far, [3])]


def test_a_file_that_cannot_be_read_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lost: Asset = {"href": str(tmp_path / "lost.tif")}  # type: ignore[typeddict-item]
    with caplog.at_level(logging.WARNING):
        assert cutouts(lost, GRID, [block(0, 0, 4, 4), block(9, 9, 4, 4)]) is None
    assert len(caplog.messages) == 1 and "lost.tif does not exist" in caplog.messages[0]
