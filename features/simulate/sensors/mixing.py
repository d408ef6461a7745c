"""Which fields a pixel sees: outlines drawn finely, then blurred by the sensor's point spread."""

from dataclasses import dataclass

import numpy as np
from affine import Affine
from rasterio.features import rasterize

from features.code.jit import njit

FINE = 5  # fine cells along a pixel's side
KEPT = 4  # labels kept per pixel; what is left over goes to the strongest


@dataclass(frozen=True)
class Mixture:
    """The labels a pixel sees, (y, x, KEPT) int32, strongest first, and their shares, float32, summing to
    one.
    """

    label: np.ndarray
    share: np.ndarray


def draw_labels(shapes: list[tuple[object, int]], transform: Affine, shape: tuple[int, int]) -> np.ndarray:
    """Return labels on the fine grid, (y * FINE, x * FINE) int32; 0 where no shape lies."""
    fine = Affine(transform.a / FINE, 0, transform.c, 0, transform.e / FINE, transform.f)
    return np.asarray(rasterize(shapes, (shape[0] * FINE, shape[1] * FINE), 0, transform=fine, dtype="int32"))


def mixtures(fine: np.ndarray, cells: int, spread_cells: float) -> Mixture:
    """Return what every pixel `(y, x)` of `cells` fine cells a side receives through a Gaussian point spread.

    Parameters
    ----------
    spread_cells
        Standard deviation of the point spread in fine cells. Sentinel-2's modulation transfer at the Nyquist
        frequency, 0.15 to 0.3 (ESA data quality reports), is that of a Gaussian of about 0.35 pixels on top
        of the pixel's own square.
    """
    reach = int(np.ceil(2 * spread_cells))
    at = np.arange(-reach, cells + reach) - (cells - 1) / 2
    edges = np.clip(np.abs(at) - cells / 2 + 0.5, 0, None)
    weight = np.exp(-0.5 * (edges / spread_cells) ** 2).astype(np.float32)
    label, share = _gather(fine, cells, reach, weight / weight.sum())
    return Mixture(label, share)


@njit(cache=True, nogil=True)
def _gather(fine: np.ndarray, cells: int, reach: int, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = fine.shape[0] // cells, fine.shape[1] // cells
    label = np.zeros((rows, columns, KEPT), np.int32)
    share = np.zeros((rows, columns, KEPT), np.float32)
    found = np.empty(64, np.int32)
    amount = np.empty(64, np.float32)
    for row in range(rows):
        for column in range(columns):
            n = 0
            for i in range(len(weight)):
                y = min(max(row * cells + i - reach, 0), fine.shape[0] - 1)
                for j in range(len(weight)):
                    x = min(max(column * cells + j - reach, 0), fine.shape[1] - 1)
                    here = fine[y, x]
                    k = 0
                    while k < n and found[k] != here:
                        k += 1
                    if k == n and n < 64:
                        found[n], amount[n] = here, 0.0
                        n += 1
                    amount[min(k, 63)] += weight[i] * weight[j]
            rest = np.float32(1.0)
            for slot in range(min(KEPT, n)):
                best = 0
                for k in range(n):
                    if amount[k] > amount[best]:
                        best = k
                label[row, column, slot] = found[best]
                share[row, column, slot] = amount[best]
                rest -= amount[best]
                amount[best] = -1.0
            share[row, column, 0] += rest
    return label, share
