"""Probabilities become verdicts, and what is known of their error is written down."""

from pathlib import Path
from typing import Any

import polars as pl

from features.files import code_version, fingerprint, sha256, write_json
from features.series.parcel_series import read_series
from features.series.quality import series_quality
from features.workers import Progress
from models.assessment.field_results import corrected_rates, settle
from models.assessment.quality_sample import draw_sample
from models.verdicts.judge import judge, verdict_tally
from models.verdicts.options import JudgeOptions
from pipelines.config import RunConfig
from pipelines.inputs.field import derive, field_journal, settled, wrong_rates
from pipelines.record.receipt import read_receipt
from pipelines.record.stage import Outcome, Stage
from pipelines.stages.evaluate import evaluate
from pipelines.stages.in_season import in_season
from pipelines.tables import read_declared, write_table
from pipelines.workspace import Workspace

RULES = ("schemes", "groups")  # options that name a table of rules
LYING: dict[str, Any] = {"judge": set(RULES), "train": {"transfer": {"runs"}}}  # where files lie


def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    """Write `verdicts.parquet`, the evaluation tables and `metrics.json`."""
    declared = pl.from_pandas(read_declared(workspace).drop(columns="geometry"))
    quality = series_quality(read_series(workspace.filled))
    options = corrected(config.judge, wrong_rates(workspace, declared))
    judged = judge(
        pl.read_parquet(workspace.probabilities),
        declared,
        pl.read_parquet(workspace.parcels),
        quality,
        options,
        model_id=model_id(config, workspace),
        inner=pl.read_parquet(workspace.inner),
    )
    verdicts = judged.verdicts
    write_table(verdicts, workspace.imagery_verdicts)
    drawn = draw_sample(declared, config.sample, config.seed)
    write_table(drawn.sample, workspace.sample)
    write_table(drawn.design, workspace.design)
    entries = field_journal(workspace).entries()
    if entries:
        verdicts = settle(verdicts, derive(workspace, entries).results)
    write_table(verdicts, workspace.verdicts)
    write_table(quality, workspace.table("quality"))
    progress(1, 3)
    metrics, tables = evaluate(config, workspace, judged.verdicts, judged.calibrated, verdicts)
    progress(2, 3)
    tables |= in_season(config, workspace)
    for name, table in tables.items():
        write_table(table, workspace.table(name))
    write_json(workspace.metrics, metrics)
    progress(3, 3)
    outputs = [
        workspace.verdicts,
        workspace.metrics,
        *(workspace.table(name) for name in ("quality", *tables)),
    ]
    return Outcome(outputs, [verdict_tally(verdicts)])


def model_id(config: RunConfig, workspace: Workspace) -> str:
    """Return the hash of config, inputs and weights that every verdict carries.

    Tables of rules, and other runs, count by their content: where they lie changes nothing.
    """
    trained = read_receipt(workspace, "train")
    weights = (
        {
            name: digest
            for name, digest in trained.outputs.items()
            if name.startswith("models/") and not name.endswith("job.json")
        }
        if trained
        else {}
    )
    series = read_receipt(workspace, "fill")
    sections = {
        name: getattr(config, name).model_dump(mode="json", exclude=LYING.get(name))
        for name in ("folds", "train", "judge", "season")
    }
    known = {
        "config": sections,
        "rules": [sha256(getattr(config.judge, name)) for name in RULES],
        "seed": config.seed,
        "field": settled(workspace).to_dicts(),
        "weights": weights,
        "series": series.digest if series else None,
    }
    return fingerprint({**known, "code": code_version(STAGE.rooms)})[:16]


def corrected(options: JudgeOptions, found: pl.DataFrame) -> JudgeOptions:
    """Return the options with the share of wrong declarations as the field found it, if it found enough."""
    rates = corrected_rates({"wrong_rate": options.noise_rate}, found)
    return options.model_copy(update={"noise_rate": float(rates["wrong_rate"]["value"])})


def _field(config: RunConfig, workspace: Workspace) -> list[Path]:
    """The rules, and the journal of field results with the design of the sample that was visited."""
    rules = [getattr(config.judge, name) for name in RULES]
    return [workspace.field_journal, workspace.field_design, *rules]


STAGE = Stage(
    "judge", ("features", "models"), ("judge", "sample"), ("read", "extract", "fill", "train"), run, _field
)
