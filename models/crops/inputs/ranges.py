"""How the values of each feature are spread, so that a model is not given another unit than it learned."""

from collections.abc import Mapping, Sequence

import numpy as np

from features.errors import ModelError
from models.crops.inputs.source import SeriesSource

QUANTILES = (0.01, 0.25, 0.75, 0.99)
PARTS, PARCELS_IN_PART = 8, 128  # that are looked at, spread over all
SPREADS = 30.0  # times that the middle half may be wider or narrower: climates differ by less, units by more
Range = Sequence[float]  # the four percentiles


def ranges_of(source: SeriesSource) -> dict[str, Range]:
    """Return the 1st, 25th, 75th and 99th percentile of every feature's mean, over parcels here and there;
    features of which nothing is known are left out.
    """
    total = len(source.names())
    starts = np.unique(np.linspace(0, max(total - PARCELS_IN_PART, 0), PARTS).astype(int))
    parts = [source.read(slice(start, min(start + PARCELS_IN_PART, total))) for start in starts.tolist()]
    statistics = parts[0]["statistic"].values.tolist()
    mean = statistics.index("mean") if "mean" in statistics else 0
    found: dict[str, Range] = {}
    for place, name in enumerate(parts[0]["feature"].values.tolist()):
        values = np.concatenate([part["value"].values[:, :, place, mean].ravel() for part in parts])
        known = values[np.isfinite(values)]
        if len(known):
            found[str(name)] = [float(f"{number:.6g}") for number in np.quantile(known, QUANTILES)]
    return found


def refuse_other_units(here: Mapping[str, Range], there: Mapping[str, Range], models: object) -> None:
    """Raise a ModelError where a feature cannot be in the unit that models learned it in.

    Parameters
    ----------
    here, there
        Ranges of the series that is to be read, and of those that were learned from.
    models
        What they are called in the message.
    """
    for name, own in here.items():
        if name in there and _differ(own, there[name]):
            raise ModelError(
                f"Half of the values of {name} lie from {own[1]:g} to {own[2]:g} here, and from "
                f"{there[name][1]:g} to {there[name][2]:g} in what {models} learned from: "
                "it is in another unit. Bring it into theirs (`scale`, `convert` and `offset` under "
                "series.tables), or train anew without train.transfer.",
                reason="other_unit",
            )


def _differ(one: Range, other: Range) -> bool:
    """Whether the middle half of one lies far outside the other, or is of quite another width.

    Examples
    --------
    >>> celsius, kelvin = (-5, 8, 18, 27), (268, 281, 291, 300)
    >>> _differ(kelvin, celsius), _differ((0.1, 0.2, 0.6, 0.9), (10, 20, 60, 90))
    (True, True)
    >>> _differ((20, 24, 26, 30), celsius), _differ((0, 0, 1, 9), (0, 0, 0, 0))  # a hot country; a flag
    (False, False)
    """
    low, high = other[0], other[3]
    if low == high:
        return False
    if one[1] > high + (high - low) or one[2] < low - (high - low):
        return True
    spreads = one[2] - one[1], other[2] - other[1]
    return min(spreads) > 0 and max(spreads) / min(spreads) > SPREADS
