"""Real series with swapped labels, from series to verdicts."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.schema import VERDICTS
from models.crops.fitting.crossfit import cross_fit
from models.crops.fitting.options import TrainOptions
from tests.benchmarks.data.crop_sets import ucr_crop
from tests.benchmarks.verdicts import case_of, judge_series, score, swap_labels


@pytest.mark.realdata
@pytest.mark.slow
def test_7200_series_with_swapped_labels_are_judged_within_the_promise(real_data: Path) -> None:
    work = ucr_crop(real_data)
    values = work.series["value"].values[:, :, 0, 0]
    declared = swap_labels(work.y, values, 0.03, np.random.default_rng(0))
    options = TrainOptions.model_validate({"models": {"forest": {"trees": 60}}, "combination": "mean"})
    fit = cross_fit(work.series, declared.tolist(), work.folds, options)
    verdicts = judge_series(work, declared, fit)
    assert verdicts.schema == VERDICTS
    assert len(verdicts) == 7200
    wrong = pl.DataFrame({"parcel_id": verdicts["parcel_id"], "misdeclared": declared != work.truth})
    groups = wrong.select("parcel_id", group=pl.col("parcel_id"))
    rows = score("ucr_crop", [case_of(verdicts, fit.probabilities, wrong, groups)])
    found = {(row["subject"], row["metric"]): row for row in rows}
    ours = found["cropcheck", "false_alarm_rate"]
    assert ours["low"] <= 0.05
    assert found["cropcheck", "miss_rate"]["value"] < found["top2_rule", "miss_rate"]["value"]
    assert found["cropcheck", "follow_up_fdr_at_0.3"]["low"] <= 0.3
