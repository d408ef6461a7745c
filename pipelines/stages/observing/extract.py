"""Declarations and imagery become observations, work unit by work unit."""

from collections.abc import Iterable
from itertools import chain

import polars as pl

from features.extraction.extract import extract
from features.extraction.observations import each_pass
from features.schema import OBSERVATIONS
from features.workers import Executor, Progress, one_by_one
from pipelines.config import RunConfig
from pipelines.inputs.pixels.clear_context import clear_context, frame_times
from pipelines.inputs.pixels.cloud_masks import mask_stamps, masked_extract, with_masks, without_mask
from pipelines.record.stage import Outcome
from pipelines.stages.observing.clear import fitted_remover
from pipelines.tables import read_acquired, read_declared, read_stamps, write_table
from pipelines.workspace import Workspace

WRITTEN = ("parts", "parts.parquet", "set_aside.parquet", "remarks.parquet", "tiles", "coverage", "samples")


def run(
    config: RunConfig, workspace: Workspace, progress: Progress, executor: Executor = one_by_one
) -> Outcome:
    """Write the parts of `observations/`, `parcels.parquet`, and the dates with their clear shares."""
    acquired, context, mask = read_acquired(workspace), clear_context(config, workspace), config.clear.mask
    acquisitions = with_masks(acquired, mask, workspace)
    context.check(frame_times(acquisitions))
    parcels, tally = extract(
        acquisitions,
        read_declared(workspace),
        masked_extract(config),
        workspace.observations,
        remover=fitted_remover(config, workspace),
        progress=progress,
        executor=executor,
        context=context,
        stamps=read_stamps(workspace) | mask_stamps(mask, workspace),
        known_aside=without_mask(mask, workspace),
    )
    write_table(parcels, workspace.parcels)
    write_table(dates_of(each_pass(workspace.observations)), workspace.table("dates"))
    outputs = [workspace.parcels, workspace.table("dates")]
    outputs += [workspace.observations / name for name in WRITTEN]
    return Outcome(outputs, [tally], {"buffer": buffer_cost(parcels)})


def dates_of(passes: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Sum observations up, one row an acquisition: parcels with values, and the mean shares of them that have
    values (`valid_share`, seen or filled) and that were filled (`filled_share`).

    Parameters
    ----------
    passes
        Observations; of one date and parcel, all rows lie in one table.
    """
    keys, shares = ("datetime", "sensor", "relative_orbit"), ("valid_share", "filled_share")
    known = {name: f"{name}_known" for name in shares}
    parts = [
        table.group_by(*keys, "parcel_id")
        .agg(pl.col(shares).max())
        .group_by(keys)
        .agg(
            pl.col("valid_share").gt(0).sum().alias("parcels"),
            pl.col(shares).cast(pl.Float64).sum(),
            *(pl.col(name).count().alias(count) for name, count in known.items()),
        )
        for table in chain([OBSERVATIONS.to_frame()], passes)
    ]
    summed = pl.concat(parts).group_by(keys).agg(pl.col("parcels", *shares, *known.values()).sum())
    means = (
        pl.when(pl.col(count) > 0).then(pl.col(name) / pl.col(count)).cast(pl.Float32).alias(name)
        for name, count in known.items()
    )
    return summed.select(*keys, pl.col("parcels").cast(pl.Int32), *means).sort(keys)


def buffer_cost(parcels: pl.DataFrame) -> dict[str, float]:
    """Return the cost of the inner buffer: parcels and hectares lost whole, share of area lost."""
    gone = parcels.filter(pl.col("buffered_area_ha") <= 0)
    total, kept = (float(parcels[name].to_numpy().sum()) for name in ("area_ha", "buffered_area_ha"))
    return {
        "parcels": float(len(parcels)),
        "parcels_lost": float(len(gone)),
        "hectares": total,
        "hectares_lost_whole": float(gone["area_ha"].sum()),
        "area_share_lost": 1 - kept / total if total else 0.0,
    }
