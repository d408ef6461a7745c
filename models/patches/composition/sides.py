"""The two sides of a parcel that look least alike, whatever a model calls them."""

import numpy as np
from scipy import ndimage
from scipy.linalg import eigh
from scipy.spatial import cKDTree

LEAST_NOISE = 1e-6
COMPONENTS = 3  # that sides are told apart by
ROUNDS = 5  # of putting pixels to the nearer side
SMOOTHINGS = 2  # of the line between the sides
NORMAL = 1.4826  # standard deviations in a median absolute deviation of normal values


def two_sides(
    row: np.ndarray, column: np.ndarray, inside: np.ndarray, seen: np.ndarray, least: int
) -> np.ndarray | None:
    """Divide the pixels of a parcel into the two sides that look least alike; None where there are none.

    Values are put into units of their noise, which is that between neighbours; the principal components of
    pixels `inside` are averaged over 3 x 3 pixels, cut where the variance between both sides is largest
    (Otsu 1979), and put to the nearer mean. Other pixels go with the nearest of those.

    Parameters
    ----------
    row, column
        `(pixel,)`: place.
    inside
        `(pixel,)` bool: whole pixels that were seen.
    seen
        `(pixel, value)`: reflectance.
    least
        Pixels of either side.

    Returns
    -------
    np.ndarray or None
        `(pixel,)` bool: which side.

    Examples
    --------
    >>> row, column = (axis.ravel() for axis in np.mgrid[:6, :8])
    >>> noise = np.random.default_rng(0).normal(0, 0.01, (48, 4))
    >>> seen = noise + np.where(column < 3, 0.1, 0.4)[:, None]
    >>> side = two_sides(row, column, np.ones(48, bool), seen, 5)
    >>> bool((side == (column >= 3)).all() or (side == (column < 3)).all())
    True
    """
    if inside.sum() < 2 * least:
        return None
    place = (row - row.min(), column - column.min())
    at = (place[0][inside], place[1][inside])
    shape = (int(place[0].max()) + 1, int(place[1].max()) + 1)
    known = np.zeros(shape, bool)
    known[at] = True
    values = _smoothed(_components(seen[inside].astype(np.float32), at, known), at, known)
    side = _cut(values, least)
    for _ in range(ROUNDS):
        if min(side.sum(), (~side).sum()) < least:
            return None
        near, far = values[~side].mean(axis=0), values[side].mean(axis=0)
        side = ((values - near) ** 2).sum(axis=1) > ((values - far) ** 2).sum(axis=1)
    for _ in range(SMOOTHINGS):
        side = _smoothed(np.where(side, 1.0, -1.0)[:, None].astype(np.float32), at, known)[:, 0] > 0
    if min(side.sum(), (~side).sum()) < least:
        return None
    nearest = cKDTree(np.column_stack(at)).query(np.column_stack(place))[1]
    return np.asarray(side[nearest])


def _components(values: np.ndarray, at: tuple[np.ndarray, ...], known: np.ndarray) -> np.ndarray:
    """Return the first principal components `(pixel, component)` of values in units of their noise."""
    noise = _noise(values, at, known)
    usable = noise > LEAST_NOISE
    if not usable.any():
        return np.zeros((len(values), 1))
    scaled = (values - values.mean(axis=0))[:, usable] / noise[usable]
    last = scaled.shape[1] - 1
    _, vectors = eigh(scaled.T @ scaled, subset_by_index=(max(last + 1 - COMPONENTS, 0), last))
    return np.asarray(scaled @ vectors[:, ::-1])


def _noise(values: np.ndarray, at: tuple[np.ndarray, ...], known: np.ndarray) -> np.ndarray:
    """Return `(value,)`: standard deviation of the noise, from differences between neighbours."""
    index = np.full(known.shape, -1)
    index[at] = np.arange(len(values))
    pairs = [
        (first[both], second[both])
        for first, second in ((index[:, 1:], index[:, :-1]), (index[1:], index[:-1]))
        for both in [(first >= 0) & (second >= 0)]
    ]
    first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
    if not len(first):
        return np.zeros(values.shape[1])
    return np.asarray(NORMAL * np.median(np.abs(values[first] - values[second]), axis=0) / np.sqrt(2))


def _smoothed(values: np.ndarray, at: tuple[np.ndarray, ...], known: np.ndarray) -> np.ndarray:
    """Return values `(pixel, value)` averaged over 3 x 3 known pixels."""
    count = ndimage.uniform_filter(known.astype(float), 3, mode="constant")[at]
    out = np.empty_like(values)
    raster = np.zeros(known.shape)
    for k in range(values.shape[1]):
        raster[at] = values[:, k]
        out[:, k] = ndimage.uniform_filter(raster, 3, mode="constant")[at] / count
    return out


def _cut(values: np.ndarray, least: int) -> np.ndarray:
    """Cut `(pixel, component)` by the first component, at least `least` pixels on either side."""
    first = values[:, 0]
    order, n = np.sort(first), len(first)
    left = np.arange(1, n)
    total = np.cumsum(order)
    apart = total[:-1] / left - (total[-1] - total[:-1]) / (n - left)
    between = apart**2 * left * (n - left)
    between[: least - 1], between[n - least :] = -1, -1
    return np.asarray(first > order[int(between.argmax())])
