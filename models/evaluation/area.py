"""Accuracy and area adjusted for the errors of a map, with their standard errors.

Olofsson et al. 2014, "Good practices for estimating area and assessing accuracy of land change", Remote
Sensing of Environment 148, equations 4 to 11: each predicted class is a stratum whose weight is its share of
the mapped area.
"""

from dataclasses import dataclass

import numpy as np

NORMAL_95 = 1.96


@dataclass(frozen=True)
class AreaAccuracy:
    """Estimates and 95% half widths; arrays are `(class,)`, areas in the unit of the mapped area."""

    overall: float
    overall_half: float
    users: np.ndarray
    users_half: np.ndarray
    producers: np.ndarray
    producers_half: np.ndarray
    area: np.ndarray
    area_half: np.ndarray


def area_accuracy(counts: np.ndarray, mapped: np.ndarray) -> AreaAccuracy:
    """Return the area-adjusted accuracy.

    Parameters
    ----------
    counts
        `(class, class)` samples: rows mapped (predicted), columns reference. A class without samples has no
        accuracy (NaN) and adds no area.
    mapped
        `(class,)` mapped area of each predicted class.

    Examples
    --------
    The example of the paper (section 5.2; areas in pixels of 30 m): deforestation, forest gain, stable
    forest, stable non-forest.

    >>> counts = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
    >>> found = area_accuracy(counts, np.array([200_000, 150_000, 3_200_000, 6_450_000]))
    >>> round(found.overall, 3), round(found.overall_half, 3)
    (0.947, 0.018)
    >>> int(found.area[0].round()), int(found.area_half[0].round(-3))
    (235086, 68000)
    """
    n = counts.sum(1)
    weight = mapped / mapped.sum()
    known = n > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(known[:, None], counts / n[:, None], 0.0)
        users = np.where(known, np.diag(share), np.nan)
        cells = weight[:, None] * share
        reference = cells.sum(0)
        producers = np.where(reference > 0, np.diag(cells) / reference, np.nan)
        spread = np.where(n[:, None] > 1, share * (1 - share) / np.maximum(n - 1, 1)[:, None], 0.0)
        own = np.where(known, np.diag(spread), 0.0)
        of_area = (weight[:, None] ** 2 * spread).sum(0)
        others = (weight**2)[:, None] * spread
        np.fill_diagonal(others, 0.0)
        variance = ((weight * (1 - producers)) ** 2 * own + producers**2 * others.sum(0)) / reference**2
    total = float(mapped.sum())
    return AreaAccuracy(
        overall=float(np.diag(cells).sum()),
        overall_half=float(NORMAL_95 * np.sqrt((weight**2 * own).sum())),
        users=users,
        users_half=NORMAL_95 * np.sqrt(np.diag(spread)),
        producers=producers,
        producers_half=NORMAL_95 * np.sqrt(variance),
        area=total * reference,
        area_half=NORMAL_95 * total * np.sqrt(of_area),
    )
