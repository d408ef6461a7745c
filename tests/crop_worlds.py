"""Small made-up parcel series whose classes differ in the time of their peak."""

import numpy as np
import xarray as xr

from features.schema import make_series

CLASSES = ("barley", "grass", "maize", "wheat")
PEAKS = {"barley": 0.40, "grass": 0.55, "maize": 0.75, "wheat": 0.48}
FEATURES = ("ndvi", "B04", "s0vh_db_r037")


def crop_world(
    n: int = 160,
    *,
    steps: int = 12,
    noise: float = 0.08,
    missing: float = 0.1,
    seed: int = 0,
    start: str = "2024-03-01",
) -> tuple[xr.Dataset, np.ndarray, np.ndarray]:
    """Return series, classes and folds (four, by holdings of five parcels)."""
    rng = np.random.default_rng(seed)
    y = np.array(CLASSES)[np.arange(n) % len(CLASSES)]
    place = np.linspace(0, 1, steps)
    peak = np.array([PEAKS[name] for name in y]) + rng.normal(0, 0.03, n)
    ndvi = np.exp(-(((place - peak[:, None]) / 0.18) ** 2))
    clean = np.stack([ndvi, 0.3 - 0.25 * ndvi, -22 + 8 * ndvi], axis=-1)
    value = clean * (1 + noise * rng.normal(size=clean.shape))
    value[rng.random((n, steps)) < missing, :2] = np.nan
    times = np.datetime64(start, "ns") + np.arange(steps) * np.timedelta64(10, "D")
    series = make_series([f"{i:06d}" for i in range(n)], times, FEATURES, ("mean",), value[..., None])
    return series, y, (np.arange(n) // 5) % 4
