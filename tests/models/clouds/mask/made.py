"""Frames small enough to check on paper."""

from typing import Any

import numpy as np

from models.clouds.mask.frames import Frames

BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
# reflectance of these bands
GRASS = (0.03, 0.06, 0.04, 0.40, 0.20, 0.10)
STUBBLE = (0.08, 0.12, 0.18, 0.26, 0.36, 0.28)
CLOUD = (0.62, 0.60, 0.60, 0.60, 0.42, 0.32)
VEIL = (0.15, 0.17, 0.155, 0.44, 0.245, 0.145)  # a fifth of cloud over grass
SHADED = (0.02, 0.04, 0.022, 0.17, 0.07, 0.035)
WATER = (0.05, 0.05, 0.03, 0.02, 0.01, 0.01)
SNOW = (0.80, 0.82, 0.80, 0.75, 0.10, 0.08)
SUN = (45.0, 180.0)  # in the south: shadows fall to the north


def frames(*dates: Any, every_days: int = 5, size: int = 6, **more: Any) -> Frames:
    """One date each, of one colour `(band,)` or of colours `(band, y, x)`."""
    values = [np.array(date, np.float32) for date in dates]
    values = [np.tile(v[:, None, None], (1, size, size)) if v.ndim == 1 else v for v in values]
    start = np.datetime64("2024-05-01T10:30:00")
    times = start + np.arange(len(dates)) * np.timedelta64(every_days, "D")
    return Frames(BANDS, np.stack(values), times, np.tile(SUN, (len(dates), 1)), **more)
