"""Products: right place, right numbers, each with its sigma and mask, readable through their catalog."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from features.errors import ModelError
from features.imagery.blocks import Block
from models.clouds.composites import pictures
from models.clouds.products import ProductWriter, write_catalog

GRID = GeoBox((40, 60), Affine(10, 0, 501360, 0, -10, 5629680), "EPSG:32631")


@pytest.fixture
def filled() -> xr.Dataset:
    """Three dates, two in May: red 0.1, near infrared 0.2, 0.3, 0.5; the second date is filled, sigma
    0.01."""
    shape = (3, 2, 40, 60)
    value = np.full(shape, 0.1, np.float32)
    value[:, 1] = np.array([0.2, 0.3, 0.5])[:, None, None]
    sigma, marks = np.zeros(shape, np.float32), np.zeros((3, 40, 60), bool)
    sigma[1], marks[1] = 0.01, True
    value[:, :, 0, 0], sigma[:, :, 0, 0], marks[:, 0, 0] = np.nan, np.nan, False
    dims = ("time", "band", "y", "x")
    times = np.array(["2023-05-02T10:00", "2023-05-20T10:00", "2023-06-01T10:00"], "datetime64[ns]")
    return xr.Dataset(
        {"reflectance": (dims, value), "sigma": (dims, sigma), "filled": (("time", "y", "x"), marks)},
        coords={"time": times, "band": ["B04", "B08"]},
    )


def write(folder: Path, filled: xr.Dataset) -> Path:
    writer = ProductWriter(folder, "31UDS", GRID, np.array([0.9, 0.0, 0.5]))
    for columns in (slice(0, 32), slice(32, 60)):
        writer.add(Block(slice(0, 40), columns), filled.isel(x=columns))
    return write_catalog(folder, writer.close(), "test")


def test_every_date_and_month_is_written_where_it_lies(tmp_path: Path, filled: xr.Dataset) -> None:
    catalog = json.loads(write(tmp_path, filled).read_text())
    hrefs = [link["href"] for link in catalog["links"] if link["rel"] == "item"]
    assert len(hrefs) == 2 * (3 + 2 * 2)  # dates, two composites of two months; each with its NDVI
    assert not (tmp_path / ".writing").exists()
    for href in hrefs:
        item = json.loads((tmp_path / href).read_text())
        for asset in item["assets"].values():
            with rasterio.open((tmp_path / href).parent / asset["href"]) as raster:
                assert raster.crs.to_epsg() == 32631
                assert raster.transform == GRID.affine
                assert raster.shape == (40, 60)
                assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert item["bbox"][0] == pytest.approx(3.019, abs=0.01)


def test_a_grid_without_a_coordinate_system_is_refused_before_anything_is_written(
    tmp_path: Path, filled: xr.Dataset
) -> None:
    nowhere = GeoBox(GRID.shape, GRID.affine, None)
    writer = ProductWriter(tmp_path, "31UDS", nowhere, np.array([0.9, 0.0, 0.5]))
    with pytest.raises(ModelError, match="31UDS has no coordinate system"):
        writer.add(Block(slice(0, 40), slice(0, 60)), filled)
    assert list(tmp_path.iterdir()) == []


def test_values_come_back_within_half_a_step_and_what_is_unknown_stays_so(
    tmp_path: Path, filled: xr.Dataset
) -> None:
    write(tmp_path, filled)
    with rasterio.open(tmp_path / "31UDS" / "2023-05-20" / "2023-05-20_value.tif") as raster:
        values = raster.read(masked=True)
        assert raster.descriptions == ("B04", "B08")
        assert values[1, 5, 40] * raster.scales[1] == pytest.approx(0.3, abs=5e-5)
        assert values.mask[:, 0, 0].all()
        assert values.mask.sum() == 2
    with rasterio.open(tmp_path / "31UDS" / "2023-05-20" / "2023-05-20_filled.tif") as raster:
        assert raster.read(1)[5, 5] == 100
        assert raster.read(1)[0, 0] == 255


def test_composites_and_ndvi_are_what_paper_and_pencil_give(filled: xr.Dataset) -> None:
    found = {picture.name: picture for picture in pictures(filled, np.array([0.9, 0.0, 0.5]))}
    median = found["2023-05_median"]
    assert median.value[1, 3, 3] == pytest.approx(0.25)
    assert median.sigma[1, 3, 3] == pytest.approx(0.005)  # half of 0.01: the mean of a seen and a filled date
    assert median.filled[3, 3] == 0.5
    assert found["2023-05_least_cloudy"].value[1, 3, 3] == pytest.approx(0.2)
    index = found["2023-05-20_ndvi"]
    assert index.value[0, 3, 3] == pytest.approx(0.5)
    assert index.sigma[0, 3, 3] == pytest.approx(2 * np.hypot(0.1 * 0.01, 0.3 * 0.01) / 0.16)
    assert np.isnan(index.value[0, 0, 0])
    assert np.isnan(median.value[:, 0, 0]).all()


def test_a_block_that_does_not_fit_its_place_is_an_error(tmp_path: Path, filled: xr.Dataset) -> None:
    writer = ProductWriter(tmp_path, "31UDS", GRID, np.array([0.9, 0.0, 0.5]))
    with pytest.raises(ModelError, match="does not fit its place"):
        writer.add(Block(slice(0, 40), slice(0, 32)), filled)
