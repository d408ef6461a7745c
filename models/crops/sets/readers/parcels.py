"""Means of a patch's images over the parcels in it."""

import numpy as np

RED_OF_CLOUD = 0.25  # red reflectance: T2 of the first test of Sen2Cor's scene classification


def means_of_parcels(stack: np.ndarray, parcel: np.ndarray) -> np.ndarray:
    """Return `(parcel, time, band)` float32 of `stack (time, band, y, x)` over `parcel (y, x)`, 0 outside.

    Parcels are in the order of their numbers; a pixel that is not finite is left out.

    Examples
    --------
    >>> stack = np.array([[[[1.0, 3.0], [5.0, 9.0]]]])
    >>> means_of_parcels(stack, np.array([[7, 7], [0, 8]]))[:, 0, 0]
    array([2., 9.], dtype=float32)
    """
    numbers, place = np.unique(parcel, return_inverse=True)
    place = place.reshape(-1)
    result = np.full((len(numbers), *stack.shape[:2]), np.nan, np.float32)
    for time in range(len(stack)):
        for band in range(stack.shape[1]):
            pixels = np.asarray(stack[time, band], np.float64).reshape(-1)
            known = np.isfinite(pixels)
            total = np.bincount(place, np.where(known, pixels, 0), len(numbers))
            count = np.bincount(place, known, len(numbers))
            result[:, time, band] = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return result[numbers > 0]
