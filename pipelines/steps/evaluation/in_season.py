"""How early in the season the crops of a run can be classified, and its declarations decided."""

import numpy as np
import polars as pl
import xarray as xr

from features.files import read_parquet
from features.series.chunks import read_chunks
from models.evaluation.metrics import standing_alone
from models.verdicts.in_season import dates_of, discriminate, season_curve
from pipelines.config import RunConfig
from pipelines.steps.evaluation.evaluate import read_truth
from pipelines.tables import read_facts
from pipelines.workspace import Workspace


def in_season(config: RunConfig, workspace: Workspace) -> dict[str, pl.DataFrame]:
    """Return the tables `in_season` and `decidable`; none where the config asks for no dates.

    Scored against the hidden truth of a simulated region, else against the declarations; of a region with
    more parcels than `judge.season_parcels`, on whole holdings drawn at random.
    """
    if config.judge.season_dates == 0:
        return {}
    declared, folds = read_facts(workspace), read_parquet(workspace.table("folds"))
    series = _drawn(workspace, folds, config)
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
        series,
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


def _drawn(workspace: Workspace, folds: pl.DataFrame, config: RunConfig) -> xr.Dataset:
    """Return the series of all parcels, or of `judge.season_parcels` of them."""
    names = drawn_parcels(folds, config.judge.season_parcels, config.seed)
    parts = [
        chunk if names is None else chunk.isel(parcel=np.isin(chunk["parcel"].to_numpy().astype(str), names))
        for chunk in read_chunks(workspace.series)
    ]
    if len(parts) == 1:
        return parts[0]
    return xr.concat(parts, dim="parcel", join="exact", coords="minimal", compat="override")


def drawn_parcels(folds: pl.DataFrame, most: int, seed: int) -> np.ndarray | None:
    """Return the ids `(n)` of at least `most` parcels, of holdings drawn at random; None where there are no
    more.

    Parameters
    ----------
    folds
        `parcel_id, group`; a negative group is none, and its parcel stands alone.
    """
    if len(folds) <= most:
        return None
    group = standing_alone(folds["group"].to_numpy())
    _, place, size = np.unique(group, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(size))
    taken = order[: int(np.searchsorted(np.cumsum(size[order]), most)) + 1]
    return folds["parcel_id"].to_numpy()[np.isin(place, taken)].astype(str)
