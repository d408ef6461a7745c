"""Pictures of filling: what was hidden is grey before, and in colour after."""

from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.image import imread

from models.clouds.methods import build
from models.clouds.pictures import GAP_PX, HIDDEN, ZOOM, before_after, half_clear_frames, write_png


def test_a_hidden_pixel_is_grey_before_and_coloured_after(tmp_path: Path) -> None:
    clear = np.ones((3, 2, 2), bool)
    clear[1, 0, 0] = False
    stack = xr.Dataset(
        {
            "reflectance": (("time", "band", "y", "x"), np.full((3, 3, 2, 2), 0.3, np.float32)),
            "clear": (("time", "y", "x"), clear),
        },
        coords={
            "time": np.array(["2023-05-01", "2023-05-06", "2023-05-11"], "datetime64[ns]"),
            "band": ["B02", "B03", "B04"],
        },
    )
    filled = build("closest").fill(stack)
    assert half_clear_frames(stack, 1) == [1]
    picture = before_after(stack, filled, [1])
    assert picture.shape == (2, 2 + GAP_PX + 2, 3)
    np.testing.assert_array_equal(picture[0, 0], HIDDEN)
    np.testing.assert_array_equal(picture[0, 2 + GAP_PX], [255, 255, 255])  # 0.3 is drawn white
    drawn = imread(write_png(picture, tmp_path / "example.png"))
    assert drawn.shape[:2] == (2 * ZOOM, (4 + GAP_PX) * ZOOM)
