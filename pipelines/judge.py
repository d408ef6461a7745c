"""Probabilities become verdicts, and what is known of their error is written down."""

import polars as pl

from features.files import fingerprint, write_json
from features.quality import series_quality
from features.series import read_series
from models.verdict import judge, verdict_tally
from pipelines.config import RunConfig
from pipelines.evaluate import evaluate
from pipelines.read import read_declared, write_table
from pipelines.receipt import code_version, read_receipt
from pipelines.stage import Outcome, Progress, Stage
from pipelines.workspace import Workspace


def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    """Write `verdicts.parquet`, the evaluation tables and `metrics.json`."""
    declared = pl.from_pandas(read_declared(workspace).drop(columns="geometry"))
    quality = series_quality(read_series(workspace.filled))
    verdicts = judge(
        pl.read_parquet(workspace.probabilities),
        declared,
        pl.read_parquet(workspace.parcels),
        quality,
        config.judge,
        model_id=model_id(config, workspace),
        inner=pl.read_parquet(workspace.inner),
    )
    write_table(verdicts, workspace.verdicts)
    write_table(quality, workspace.table("quality"))
    progress(1, 2)
    metrics, tables = evaluate(config, workspace, verdicts)
    for name, table in tables.items():
        write_table(table, workspace.table(name))
    write_json(workspace.metrics, metrics)
    progress(2, 2)
    outputs = [
        workspace.verdicts,
        workspace.metrics,
        *(workspace.table(name) for name in ("quality", *tables)),
    ]
    return Outcome(outputs, [verdict_tally(verdicts)])


def model_id(config: RunConfig, workspace: Workspace) -> str:
    """Return the hash of config, inputs and weights that every verdict carries."""
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
        name: getattr(config, name).model_dump(mode="json") for name in ("folds", "train", "judge", "season")
    }
    known = {
        "config": sections,
        "seed": config.seed,
        "weights": weights,
        "series": series.digest if series else None,
    }
    return fingerprint({**known, "code": code_version(STAGE.rooms)})[:16]


STAGE = Stage("judge", ("features", "models"), ("judge",), ("read", "extract", "fill", "train"), run)
