"""Parcels that leave their interval for long."""

import numpy as np

from models.forecast.anomaly import longest_runs
from models.forecast.learning.samples import Samples


def test_a_run_is_on_one_side_and_of_one_forecast() -> None:
    parcel = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    origin = np.array([5, 5, 5, 5, 9, 5, 5, 5])
    samples = Samples(parcel, origin, np.arange(8), np.zeros(8, np.float32))
    side = np.array([-1, -1, -1, 0, -1, 1, 1, -1])
    assert longest_runs(samples, side, 3) == [(0, 2)]
    assert longest_runs(samples, side, 2) == [(0, 2), (5, 6)]
    assert longest_runs(samples, np.zeros(8, int), 1) == []
