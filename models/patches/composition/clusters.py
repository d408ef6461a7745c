"""Pixels of one class that touch each other."""

import numpy as np
from scipy import ndimage

BY_SIDES = ndimage.generate_binary_structure(2, 1)
BY_CORNERS = ndimage.generate_binary_structure(2, 2)


def cluster_sizes(classes: np.ndarray, neighbours: int) -> tuple[np.ndarray, dict[int, list[int]]]:
    """Find the clusters of each class in `classes (y, x)`; negative where there is no pixel.

    Returns
    -------
    tuple
        `(y, x)`: size of the cluster that a pixel belongs to, 0 outside; and sizes by class, largest first.

    Examples
    --------
    >>> classes = np.array([[0, 0, 1], [0, 1, 1], [1, 0, -1]])
    >>> cluster_sizes(classes, 4)[1]
    {0: [3, 1], 1: [3, 1]}
    >>> cluster_sizes(classes, 8)[1]
    {0: [4], 1: [4]}
    """
    structure = BY_SIDES if neighbours == 4 else BY_CORNERS
    size_at, sizes = np.zeros(classes.shape, np.int64), {}
    for number in np.unique(classes[classes >= 0]):
        labels, count = ndimage.label(classes == number, structure)
        sizes_of = np.bincount(labels.ravel(), minlength=count + 1)
        sizes_of[0] = 0
        size_at += sizes_of[labels]
        sizes[int(number)] = sorted(sizes_of[1:].tolist(), reverse=True)
    return size_at, sizes
