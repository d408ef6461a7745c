"""What boosting reads of a parcel's radar, by hand."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from models.forecast.climatology import class_curves
from models.forecast.learning.basis import basis_of
from models.forecast.learning.radar import LEVELS, STILLNESS, radar_stage
from models.forecast.learning.samples import Samples
from tests.models.forecast.made import ORIGIN, history

# day, VV and VH in dB, coherence: a field that is harvested on day 130 and lies still from then on
PASSES = [
    (90, -11.0, -17.0, 0.2),
    (125, -12.0, -18.0, 0.3),
    (137, -10.0, -20.0, 0.8),
    (149, -12.0, -22.0, 0.6),
]


def stage(origin: int) -> dict[str, float]:
    rows = [("a", ORIGIN + timedelta(days=day), 37, vv, vh, still, None) for day, vv, vh, still in PASSES]
    names = ("parcel_id", "date", "relative_orbit", "s0vv_db", "s0vh_db", "cohvv", "cohvh")
    passes = pl.DataFrame(rows, schema=list(names), orient="row").cast({"cohvh": pl.Float32})
    known = history({"a": [(120, 0.8)]}, radar=passes)
    samples = Samples(*(np.array([k]) for k in (0, origin, origin + 5)), np.zeros(1, np.float32))
    found = radar_stage(known, samples, basis_of(known, samples, class_curves(known)))
    return dict(zip((*LEVELS, *STILLNESS), found[0].tolist(), strict=True))


def test_levels_are_means_of_the_last_days_and_coherence_its_highest() -> None:
    found = stage(150)
    assert [found["vv_now"], found["vh_now"]] == pytest.approx([-11.0, -21.0])
    assert found["coherence_highest_since"] == found["coherence_highest_60"] == pytest.approx(0.8)
    assert found["days_since_coherent"] == 13


def test_what_comes_after_the_day_is_not_known() -> None:
    found = stage(130)
    assert [found["vv_now"], found["vh_now"]] == pytest.approx([-12.0, -18.0])
    assert found["coherence_highest_since"] == pytest.approx(0.3)


def test_without_a_pass_nothing_is_said() -> None:
    assert np.isnan(list(stage(80).values())).all()
