"""Canopy reflectance in the Sentinel-2 bands, looked up in the committed PROSAIL table."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from features.code.jit import njit
from features.schema import OPTICAL_BANDS

TABLE_FILE = Path(__file__).parent / "lookup" / "canopy.npz"
# dry crop residue (straw): typical laboratory spectrum of cereal straw at the bands' centres
# (Nagler et al. 2000, Remote Sensing of Environment 71, 207-215, fig. 2, read off)
STRAW = np.array([0.13, 0.19, 0.25, 0.27, 0.29, 0.31, 0.33, 0.34, 0.38, 0.30], np.float32)
# petals of flowering rapeseed: dark blue, bright green and red (Sulik & Long 2015, Remote Sensing Letters 6)
PETALS = np.array([0.06, 0.28, 0.27, 0.33, 0.42, 0.46, 0.47, 0.48, 0.30, 0.17], np.float32)


@dataclass(frozen=True)
class CanopyTable:
    """Coefficients (node…, 3, band) on five axes, and the two soils of the library."""

    axes: tuple[np.ndarray, ...]
    values: np.ndarray
    dry_soil: np.ndarray
    wet_soil: np.ndarray


@cache
def canopy_table() -> CanopyTable:
    """Read the committed table; bands in the order of OPTICAL_BANDS."""
    with np.load(TABLE_FILE, allow_pickle=False) as file:
        order = [list(file["bands"]).index(band) for band in OPTICAL_BANDS]
        axes = tuple(file[f"axis_{name}"].astype(np.float32) for name in file["axes"])
        return CanopyTable(
            axes, file["table"][..., order].copy(), file["dry_soil"][order], file["wet_soil"][order]
        )


def soil_reflectance(brightness: np.ndarray, wetness: np.ndarray, straw: np.ndarray) -> np.ndarray:
    """Return the ground's reflectance (n, band).

    Parameters
    ----------
    brightness
        Factor on the library's soils, about 0.5 (dark, organic) to 1.3 (pale).
    wetness
        0 (dry) to 1 (wet) surface.
    straw
        Share of the ground covered by crop residue.
    """
    table = canopy_table()
    wet = wetness[:, None]
    bare = brightness[:, None] * ((1 - wet) * table.dry_soil + wet * table.wet_soil)
    litter = straw[:, None]
    return np.asarray((1 - litter) * bare + litter * STRAW * (1 - 0.35 * wet), np.float32)


def canopy_reflectance(
    *,
    leaf_area: np.ndarray,
    chlorophyll: np.ndarray,
    senescence: np.ndarray,
    leaf_angle: np.ndarray,
    sun_zenith: float,
    soil: np.ndarray,
    petals: np.ndarray,
) -> np.ndarray:
    """Return the reflectance (n, band) of canopies (n,) over soils (n, band); `petals` is a cover share."""
    table = canopy_table()
    sun = np.full_like(leaf_area, sun_zenith)
    points = np.stack([leaf_area, chlorophyll, senescence, leaf_angle, sun], axis=1).astype(np.float32)
    flat = table.values.reshape(-1, *table.values.shape[-2:])
    terms = interpolate(points, table.axes, np.array(table.values.shape[:5]), flat)
    reflectance = terms[:, 0] + terms[:, 1] * soil / (1 - terms[:, 2] * soil)
    cover = petals[:, None]
    return np.asarray((1 - cover) * reflectance + cover * PETALS, np.float32)


def interpolate(
    points: np.ndarray, axes: tuple[np.ndarray, ...], sizes: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Interpolate multilinearly at `points (n, axis)`; points beyond an axis take its end."""
    low = np.empty(points.shape, np.int64)
    share = np.empty(points.shape, np.float32)
    for k, axis in enumerate(axes):
        where = np.clip(np.interp(points[:, k], axis, np.arange(len(axis))), 0, len(axis) - 1 - 1e-6)
        low[:, k] = where.astype(np.int64)
        share[:, k] = where - low[:, k]
    return _blend(low, share, sizes, values)


@njit(cache=True, nogil=True)
def _blend(low: np.ndarray, share: np.ndarray, sizes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sum the 2^k corners around every point, weighted."""
    n, k = low.shape
    terms, bands = values.shape[1], values.shape[2]
    out = np.zeros((n, terms, bands), np.float32)
    for i in range(n):
        for corner in range(1 << k):
            weight = np.float32(1.0)
            node = 0
            for axis in range(k):
                bit = (corner >> axis) & 1
                weight *= share[i, axis] if bit else np.float32(1.0) - share[i, axis]
                node = node * sizes[axis] + low[i, axis] + bit
            if weight > 0:
                for term in range(terms):
                    for band in range(bands):
                        out[i, term, band] += weight * values[node, term, band]
    return out
