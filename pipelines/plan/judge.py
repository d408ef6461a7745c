"""The stage that turns probabilities into verdicts."""

from pathlib import Path

from features.code.imports import uncollected
from features.files import fingerprint
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.inputs.crop_tables import crop_files
from pipelines.inputs.pixels.context_files import region_files
from pipelines.record.inputs import Inputs, entries
from pipelines.record.stage import Outcome, Stage
from pipelines.steps.evaluation.truth import TRUTH
from pipelines.workspace import Workspace

COMPOSED = ("composition.parquet", "composition_findings.parquet")
RULES = ("schemes", "groups")  # options that name a table of rules


def stage(config: RunConfig) -> Stage:
    """Return the stage."""
    truth = ("declarations.crops",) if config.simulate is not None else ()
    inputs = Inputs(
        options=(
            "seed",
            "season",
            "simulate",
            "judge",
            "events",
            "sample",
            "patches.method",
            "history",
            *truth,
        ),
        after={
            **region_files(config, "crops.csv", TRUTH),
            "read": ("declarations.parquet",),
            "extract": ("parcels.parquet",),
            "fill": ("series.nc", "filled.nc", *(("context.parquet",) if config.history else ())),
            "train": (
                "probabilities.parquet",
                "inner_probabilities.parquet",
                "evaluation/folds.parquet",
                "evaluation/classes.parquet",
                "models/*",
                "!models/*/job.json",
                "!models/fitted/*",
            ),
            **({"compose": COMPOSED} if config.patches.method != "none" else {}),
            "detect": ("event_chances.parquet", "event_looks.parquet", "evaluation/event_labels.parquet"),
        },
        files=_files,
        other=_settled,
    )

    def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
        with uncollected():
            from pipelines.stages import judge
        stands_on = entries("judge", __name__, inputs, config, workspace)
        return judge.run(config, workspace, progress, stands_on)

    return Stage("judge", __name__, inputs, run)


def _files(config: RunConfig, workspace: Workspace) -> dict[str, Path]:
    rules = {f"judge.{name}": Path(getattr(config.judge, name)) for name in RULES}
    truth = crop_files(config, workspace) if config.simulate is not None else {}
    return rules | {"field design": workspace.field_design} | truth


def _settled(config: RunConfig, workspace: Workspace) -> dict[str, str]:
    """Return the hash of the field results that hold now: an entry that was undone changes no verdict."""
    if not workspace.field_journal.is_file() and not workspace.field_results.is_file():
        return {"field results": fingerprint([])}
    from pipelines.inputs.field import settled

    return {"field results": fingerprint(settled(workspace, config.season.until).to_dicts())}
