"""Probabilities become verdicts, and the error rates are evaluated."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import polars as pl
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from features.files import fingerprint, read_parquet, scan_parquet, write_json
from features.series.chunks import read_chunks
from features.series.quality import quality_in_chunks
from features.workers import Progress
from models.assessment.field_results import corrected_rates, settle
from models.assessment.quality_sample import draw_sample
from models.verdicts.judge import judge, verdict_tally
from models.verdicts.options import JudgeOptions
from pipelines.config import RunConfig
from pipelines.inputs.field import derive, entries_until, wrong_rates
from pipelines.record.inputs import Entries
from pipelines.record.stage import Outcome
from pipelines.steps.evaluation.evaluate import evaluate
from pipelines.steps.evaluation.in_season import in_season
from pipelines.steps.mark import mark
from pipelines.tables import read_facts, write_table
from pipelines.workspace import Workspace

DECLARED = "output read declarations.parquet"


def composed(config: RunConfig) -> bool:
    """Return whether pixels were looked at before."""
    return config.patches.method != "none"


def run(config: RunConfig, workspace: Workspace, progress: Progress, stands_on: Entries) -> Outcome:
    """Write `verdicts.parquet`, the evaluation tables and `metrics.json`.

    Parameters
    ----------
    stands_on
        What the stage stands on, name to value: `model_id` is made of it.
    """
    declared = read_facts(workspace)
    quality = quality_in_chunks(lambda: read_chunks(workspace.filled))
    options = corrected(config.judge, wrong_rates(workspace, declared, config.season.until))
    made_by = model_id(stands_on, declared)
    judged = judge(
        scan_parquet(workspace.probabilities),
        declared,
        read_parquet(workspace.parcels),
        quality,
        options,
        model_id=made_by,
        inner=scan_parquet(workspace.inner),
        composed=read_parquet(workspace.composition_findings) if composed(config) else None,
    )
    verdicts = judged.verdicts
    # the curve stands alone: it needs no verdict; more threads of linear algebra would wait for one another
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(1) as pool:
        season = pool.submit(in_season, config, workspace)
        write_table(verdicts, workspace.imagery_verdicts)
        drawn = draw_sample(declared, config.sample, config.seed)
        write_table(drawn.sample, workspace.sample)
        write_table(drawn.design, workspace.design)
        entries = entries_until(workspace, config.season.until)
        if workspace.field_journal.is_file():
            verdicts = settle(verdicts, derive(workspace, entries).results)
        write_table(verdicts, workspace.verdicts)
        write_table(quality, workspace.table("quality"))
        marked = mark(config, workspace, declared, verdicts, made_by)
        progress(1, 3)
        metrics, tables = evaluate(config, workspace, judged.verdicts, judged.calibrated, verdicts)
        progress(2, 3)
        tables |= season.result()
    for name, table in tables.items():
        write_table(table, workspace.table(name))
    write_json(workspace.metrics, metrics)
    progress(3, 3)
    outputs = [
        workspace.verdicts,
        workspace.imagery_verdicts,
        workspace.sample,
        workspace.design,
        workspace.metrics,
        *(workspace.table(name) for name in ("quality", *tables)),
        *marked,
    ]
    return Outcome(outputs, [verdict_tally(verdicts)])


def model_id(stands_on: Entries, declared: pl.DataFrame) -> str:
    """Return the hash that every verdict carries: of all that this stage stands on, weights included.

    Where files lie and how many cores work is no part of that. Of the declarations all columns count but the
    pseudonyms of holdings, which have another key in every run.
    """
    declarations = hashlib.sha256(declared.drop("holding_id").write_csv().encode()).hexdigest()
    return fingerprint({**stands_on, DECLARED: declarations})[:16]


def corrected(options: JudgeOptions, found: pl.DataFrame) -> JudgeOptions:
    """Return the options with the share of wrong declarations as the field found it, if it found enough."""
    rates = corrected_rates({"wrong_rate": options.noise_rate}, found)
    return options.model_copy(update={"noise_rate": float(rates["wrong_rate"]["value"])})
