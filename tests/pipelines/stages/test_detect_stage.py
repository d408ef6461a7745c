from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from models.events.learning.detector import ALL
from pipelines.config import load_config
from pipelines.stages.detect import fit
from pipelines.tables import write_table
from pipelines.workspace import Workspace
from tests.models.events.made_series import meadows, mowing_labels

TINY = Path(__file__).parents[3] / "conf" / "tiny.yaml"


def test_labels_of_one_holding_calibrate_markers_but_rules_find_the_events(tmp_path: Path) -> None:
    """A dozen labels of one farmer must not end a run that has hours of work behind it."""
    cuts = [[100]] * 12
    mowing_labels(cuts).write_csv(tmp_path / "labels.csv")
    config = load_config(TINY, [f"events.labels={tmp_path / 'labels.csv'}"])
    workspace = Workspace(tmp_path)
    series = meadows([*cuts, []])
    folds = pl.DataFrame({"parcel_id": series.parcel_ids, "fold": [0] * 12 + [1]})
    write_table(folds, workspace.table("folds"))
    fitted = fit(config, workspace, series.parcel_ids, lambda chosen: series.take(np.flatnonzero(chosen)))
    assert not any(model.learned for model in fitted.detector.kinds.values())
    assert np.all(fitted.fold == ALL)
    assert fitted.labels is not None and len(fitted.labels.watched) == 12
    assert fitted.basis.startswith("rules: 12 labelled parcels lie in fewer than two folds")
    assert fitted.labels.events["first"].unique().to_list() == [date(2024, 6, 9)]
