"""The JRC's example of mowing: its weekly signals, made again from the same series."""

import csv
from collections import defaultdict
from datetime import date, datetime, timedelta

import numpy as np
import pytest

from tests.benchmarks.data.mowing_data import DATA, read_salms

FOLDER = DATA / "salms-mowing"
MIDDLE = 8  # the week of the event, of 15


@pytest.mark.realdata
@pytest.mark.skipif(not FOLDER.is_dir(), reason="the folder named by CROPCHECK_DATA has no salms-mowing")
def test_weekly_signals_of_ndvi_are_those_of_the_example() -> None:
    series = read_salms().series
    expected = {}
    with (FOLDER / "signals" / "NDVI.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            day = datetime.strptime(row["EVENT_DATE"], "%d/%m/%Y").date()
            expected[row["ID"], day, int(row["WEEK"])] = float(row["MEAN"])
    weekly = defaultdict(list)
    for parcel, event in {(parcel, event) for parcel, event, _ in expected}:
        values = series.optical[series.parcel_ids.index(parcel), :, 0]
        for day, value in zip(series.days, values, strict=True):
            week = iso_week(series.origin + timedelta(days=int(day))) - iso_week(event) + MIDDLE
            if np.isfinite(value):
                weekly[parcel, event, week].append(value)
    differences = np.array([np.mean(weekly[key]) - value for key, value in expected.items()])
    assert len(differences) == 159
    assert (np.abs(differences) < 1e-4).sum() >= 158  # one week takes another of its two dates


def iso_week(day: date) -> int:
    return day.isocalendar()[1]
