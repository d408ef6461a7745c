"""Declarations and imagery become observations, work unit by work unit."""

import polars as pl

from features.extraction.extract import extract
from features.extraction.observations import read_observations
from features.workers import Executor, Progress, one_by_one
from pipelines.config import RunConfig
from pipelines.inputs.clear_context import OPTIONS as CONTEXT_OPTIONS
from pipelines.inputs.clear_context import clear_context, context_files, frame_times
from pipelines.inputs.cloud_masks import mask_stamps, masked_extract, with_masks, without_mask
from pipelines.inputs.context_files import region_files
from pipelines.record.inputs import Inputs
from pipelines.record.stage import Outcome, Stage
from pipelines.stages.clear import fitted_remover
from pipelines.tables import read_acquired, read_declared, read_stamps, write_table
from pipelines.workspace import Workspace

WRITTEN = ("parts", "parts.parquet", "set_aside.parquet", "remarks.parquet", "tiles", "coverage")


def stage(config: RunConfig, executor: Executor | None = None) -> Stage:
    """Return the stage; it reads what `clear` fitted where clouds are removed, and may run anywhere."""

    def run_with(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
        try:
            return run(config, workspace, progress, executor or one_by_one)
        finally:
            close = getattr(executor, "close", None)
            if close is not None:  # its processes hold memory that the next stages need
                close()

    outputs: tuple[str, ...] = () if config.clear.mask.as_delivered else ("masks/*",)
    if config.clear.method != "none":
        outputs += ("clear/*", "!clear/example.png")
    inputs = Inputs(
        options=("extract", "clear.mask", *CONTEXT_OPTIONS),
        after={
            **region_files(config, "catalog/*", "*.csv", "*.tif"),
            "read": ("declarations.parquet", "acquisitions.parquet", "assets.parquet"),
            **({"clear": outputs} if outputs else {}),
        },
        files=context_files,
    )
    # units that have ended are kept, so that running again tries those that were set aside and no others
    return Stage("extract", __name__, inputs, run_with, try_again=lambda config, workspace: True)


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
    write_table(dates_of(read_observations(workspace.observations)), workspace.table("dates"))
    outputs = [workspace.parcels, workspace.table("dates")]
    outputs += [workspace.observations / name for name in WRITTEN]
    return Outcome(outputs, [tally], {"buffer": buffer_cost(parcels)})


def dates_of(observations: pl.DataFrame) -> pl.DataFrame:
    """Sum observations up, one row an acquisition: parcels with values, and the mean shares of them that have
    values (`valid_share`, seen or filled) and that were filled (`filled_share`).
    """
    one = observations.group_by("datetime", "sensor", "relative_orbit", "parcel_id").agg(
        pl.col("valid_share").max(), pl.col("filled_share").max()
    )
    seen = pl.col("valid_share").gt(0).sum().cast(pl.Int32).alias("parcels")
    keys = ("datetime", "sensor", "relative_orbit")
    return one.group_by(keys).agg(seen, pl.col("valid_share", "filled_share").mean()).sort(keys)


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
