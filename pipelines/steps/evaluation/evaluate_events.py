"""How good the detected events are: against the hidden truth of a simulated region, else the labels."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from features.files import read_parquet
from models.events.evaluate import SCORES, event_scores
from models.events.kinds import EVENTS as KINDS
from models.events.kinds import KINDS as ALL_KINDS
from models.events.labels import Labels
from pipelines.config import RunConfig
from pipelines.tables import read_declared
from pipelines.workspace import Workspace

GAPS = (12, 24)  # days, the limits of the breakdown by gap
SIZES = (0.5, 1.0, 2.0)  # hectares


def scores_of(
    config: RunConfig,
    workspace: Workspace,
    events: pl.DataFrame,
    parcel_ids: Sequence[str],
    with_radar: np.ndarray,
    labels: Labels | None,
) -> pl.DataFrame:
    """Score against the hidden truth of a simulated region, else against the labels, out of fold.

    Parameters
    ----------
    with_radar
        `(parcel,)` bool: whether radar saw it.
    """
    known, units = _known(config, workspace, parcel_ids, labels)
    if known is None:
        return SCORES.to_frame()
    declared = read_declared(workspace)
    area = dict(zip(declared["parcel_id"], declared["area_ha"], strict=True))
    holding = declared["holding_id"].astype(object).where(declared["holding_id"].notna(), None)
    groups = {
        name: str(owner)
        for name, owner in zip(declared["parcel_id"], holding, strict=True)
        if owner is not None
    }
    levels = {
        "size": {name: _bin(area[name], SIZES, "ha") for name in units},
        "gap": _gaps(events, known),
        "sensor": {
            name: "optics and radar" if radar else "optics alone"
            for name, radar in zip(parcel_ids, with_radar.tolist(), strict=True)
        },
    }
    return event_scores(events, known, units, groups, levels)


def _known(
    config: RunConfig, workspace: Workspace, parcel_ids: Sequence[str], labels: Labels | None
) -> tuple[pl.DataFrame | None, list[str]]:
    truth = workspace.truth_events
    until = config.season.until or config.season.end
    if config.simulate is not None and truth.is_file():
        main = read_parquet(truth).filter(
            (pl.col("share") >= 0.5) & pl.col("event").is_in(KINDS)
            & pl.col("first").is_between(config.season.start, until)
        )  # fmt: skip
        return main, list(parcel_ids)
    if labels is None:
        return None, []
    known = set(labels.watched)
    watched = [name for name in parcel_ids if name in known]
    return dated(labels.events), watched


def dated(events: pl.DataFrame) -> pl.DataFrame:
    """Return labelled events with `first` in the middle of the interval in which each happened; one that
    lasts is dated by its first day.
    """
    lasting = [kind.name for kind in ALL_KINDS if kind.spell]
    middle = pl.col("first") + (pl.col("last") - pl.col("first")) / 2
    return events.with_columns(
        first=pl.when(pl.col("event").is_in(lasting)).then(pl.col("first")).otherwise(middle)
    )


def _gaps(events: pl.DataFrame, known: pl.DataFrame) -> dict[str, str]:
    """Return the longest gap that an event of a parcel fell into, as a bin."""
    longest = events.group_by("parcel_id").agg(pl.col("gap_days").max())
    return {name: _bin(float(gap or 0), GAPS, "days") for name, gap in longest.iter_rows()}


def _bin(value: float, limits: tuple[float, ...], unit: str) -> str:
    """Return the bin of a value, in words.

    Examples
    --------
    >>> _bin(0.2, (0.5, 1.0), "ha"), _bin(0.7, (0.5, 1.0), "ha"), _bin(3.0, (0.5, 1.0), "ha")
    ('up to 0.5 ha', 'up to 1 ha', 'over 1 ha')
    """
    for limit in limits:
        if value <= limit:
            return f"up to {limit:g} {unit}"
    return f"over {limits[-1]:g} {unit}"
