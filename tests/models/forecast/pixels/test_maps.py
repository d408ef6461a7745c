"""What is mapped of a run, and which days have intervals."""

from datetime import date
from pathlib import Path

import numpy as np

from models.forecast.intervals import LEVELS, SEASONS, Intervals
from models.forecast.options import ForecastOptions
from models.forecast.pixels.maps import Models, Plan


def plan(intervals: Intervals | None) -> Plan:
    models = Models(Path("models"), ForecastOptions(), "0" * 64, {}, intervals)
    return Plan(models, date(2023, 1, 1), since=400, made_on=500, targets=(505, 590))


def test_a_day_has_intervals_where_its_horizon_was_calibrated() -> None:
    quantile = np.zeros((2, SEASONS + 1, 20, len(LEVELS)))
    quantile[:, :, 10:] = np.nan  # nothing came more than 50 days ahead
    found = plan(Intervals(quantile))
    assert [found.bounded(target) for target in found.targets] == [True, False]
    assert found.when(505) == date(2024, 5, 20)
    assert not any(plan(None).bounded(target) for target in (505, 590))
