"""How early in the season the crops of a run can be classified, and its declarations decided."""

import numpy as np
import polars as pl

from features.files import read_parquet
from features.series.parcel_series import read_series
from models.evaluation.metrics import standing_alone
from models.verdicts.in_season import dates_of, discriminate, season_curve
from pipelines.config import RunConfig
from pipelines.steps.evaluate import read_truth
from pipelines.tables import read_declared
from pipelines.workspace import Workspace


def in_season(config: RunConfig, workspace: Workspace) -> dict[str, pl.DataFrame]:
    """Return the tables `in_season` and `decidable`; none where the config asks for no dates.

    Scored against the hidden truth of a simulated region, else against the declarations.
    """
    if config.judge.season_dates == 0:
        return {}
    series = read_series(workspace.series)
    declared = pl.from_pandas(read_declared(workspace).drop(columns="geometry"))
    folds = read_parquet(workspace.table("folds"))
    modelled = read_parquet(workspace.table("classes")).filter("trained")["crop_class"].to_list()
    key = pl.DataFrame({"parcel_id": series["parcel"].to_numpy().astype(str).tolist()})
    for table in (declared.select("parcel_id", "crop_class"), folds):
        key = key.join(table, on="parcel_id", how="left", maintain_order="left", validate="1:1")
    truth = read_truth(config, workspace)
    known = "crop_class"
    if truth is not None:
        key = key.join(truth, on="parcel_id", how="left", maintain_order="left", validate="1:1")
        known = "true_class"
    code = {name: index for index, name in enumerate(modelled)}
    codes = {
        name: np.array([code.get(value, -1) for value in key[name].to_list()], dtype=int)
        for name in {"crop_class", known}
    }
    fold = key["fold"].fill_null(-1).to_numpy()
    steps = series.sizes["time"]
    every = max(-(-steps // config.judge.season_dates), 1)
    curve, decidable = season_curve(
        series.load(),
        dates_of(series, every=every, first=min(every, steps)),
        lambda cut: discriminate(cut, codes["crop_class"], fold, len(modelled)),
        truth=codes[known],
        declared=codes["crop_class"],
        folds=fold,
        groups=standing_alone(key["group"].fill_null(-1).to_numpy()),
        classes=modelled,
        options=config.judge,
        rng=np.random.default_rng(config.seed),
    )
    return {"in_season": curve, "decidable": decidable}
