"""Rasters written block by block: a block is computed once, and overviews are means of what is known."""

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from features.imagery.rasters.drafts import keep_block, open_draft, write_cog

GRID = GeoBox((1024, 1024), Affine(10, 0, 500000, 0, -10, 5600000), "EPSG:32631")


def test_a_block_is_computed_once_and_again_where_it_is_damaged(tmp_path: Path) -> None:
    path, asked = tmp_path / "000000.npy", []

    def computed() -> np.ndarray:
        asked.append(1)
        return np.array([[1, 2], [3, 4]], np.int16)

    assert keep_block(path, computed) == path
    keep_block(path, computed)
    assert len(asked) == 1
    path.write_bytes(path.read_bytes()[:-1])
    keep_block(path, computed)
    assert len(asked) == 2
    assert np.load(path, allow_pickle=False).tolist() == [[1, 2], [3, 4]]


def test_an_overview_is_the_mean_of_the_known_pixels(tmp_path: Path) -> None:
    draft, target = tmp_path / "work" / "draft.tif", tmp_path / "out" / "map.tif"
    with open_draft(draft, GRID, 1, "int16", -1) as raster:
        values = np.zeros((1024, 1024), np.int16)
        values[:, 1::2] = 100  # every second column: the mean is 50
        values[:512:2] = -1  # every second row of the upper half unknown: the mean stays
        for top in (0, 512):
            raster.write(values[None, top : top + 512], window=Window(0, top, 1024, 512))
    write_cog(draft, target)
    with rasterio.open(target, overview_level=0) as raster:
        assert raster.shape == (512, 512)
        assert np.unique(raster.read(1)).tolist() == [50]
    assert [path.name for path in target.parent.iterdir()] == ["map.tif"]
