"""The run's record in MLflow: said before hours of work where it cannot be kept, never the end of a run."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from features.files import read_parquet, write_json
from features.schema import ENSEMBLE
from features.storage.listing import laid_out, read_back
from models.clouds.removal.options import LEARNED
from models.crops.estimators.by_name import estimator_type, libraries_of
from models.registry import ModelRecord, RunRecord, Tracker, store_fault
from pipelines.config import RunConfig
from pipelines.record.audit.manifest import git_commit
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)
# what is still to be recorded; hidden, as it is no result of the run
WAITING = ".mlflow_waiting.json"
WAITING_INPUTS = ".mlflow_waiting.inputs.sha256"


@dataclass(frozen=True)
class Tracked:
    """A run that is being recorded: nothing where tracking is off or the record waits."""

    tracker: Tracker | None = None
    ids: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scores:
    """Figures of the models by class and fold, and how long their fits took."""

    by_class: pl.DataFrame
    by_fold: pl.DataFrame
    timing: pl.DataFrame

    def tables(self, model: str) -> dict[str, dict[str, list[Any]]]:
        """Return a model's tables, columns by name."""
        chosen = {"by_class": self.by_class, "by_fold": self.by_fold}
        return {
            name: table.filter(pl.col("model") == model).drop("model").to_dict(as_series=False)
            for name, table in chosen.items()
        }

    def seconds(self, model: str | None = None) -> float:
        """Return the seconds of fitting one model in all folds, or all models."""
        rows = self.timing if model is None else self.timing.filter(pl.col("model") == model)
        return float(rows["fit_seconds"].sum() or 0)


def warn_if_unusable(config: RunConfig) -> str | None:
    """Return what to say, before any work, of a store that cannot be written now; None where it can.

    Raises
    ------
    ConfigError
        Where the config names no store that MLflow can use.
    """
    if not config.tracking.enabled:
        return None
    fault = store_fault(config.tracking.store, config.tracking.artifacts)
    if fault is None:
        return None
    return (
        f"MLflow's record cannot be kept now: {fault}. The run goes on without it; its record waits, and the "
        "same command writes it when the store can be used. To keep none, set tracking.enabled=false."
    )


@contextmanager
def connecting(config: RunConfig) -> Iterator["Future[Tracker] | None"]:
    """Connect to the store beside other work: its libraries take a second or two to load. Nothing where
    tracking is off.
    """
    if not config.tracking.enabled:
        yield None
        return
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(Tracker, *_store(config))


def _store(config: RunConfig) -> tuple[str, Path, str]:
    return config.tracking.store, config.tracking.artifacts, config.tracking.experiment


def begin(
    config: RunConfig, workspace: Workspace, inputs: dict[str, str], tracker: "Future[Tracker] | None"
) -> Tracked:
    """Open the run in MLflow; where that fails, its record waits for a later run of the same command.

    Parameters
    ----------
    tracker
        Of `connecting`.
    """
    if tracker is None:
        return Tracked()
    try:
        return _opened(config, workspace, inputs, tracker.result)
    except Exception as error:  # of a library on another program's database: never the end of a run
        _wait(workspace, inputs, error)
        return Tracked()


def end(tracked: Tracked, workspace: Workspace, seal: str) -> None:
    """Add the pages, the manifest and its hash, and close the run; where that fails, its record waits."""
    if tracked.tracker is None:
        return
    try:
        _close(tracked.tracker, tracked.ids, workspace, seal)
    except Exception as error:
        _wait(workspace, tracked.inputs, error, list(tracked.ids.values()))


def _close(tracker: Tracker, ids: dict[str, str], workspace: Workspace, seal: str) -> None:
    pages = sorted(path for path in workspace.reports.glob("*") if path.is_file())
    tracker.close(ids["run"], [*pages, workspace.manifest, workspace.metrics], {"manifest_sha256": seal})


def record_waiting(config: RunConfig, workspace: Workspace, seal: str) -> bool:
    """Write a record that waits; return whether one was written."""
    waiting = workspace.folder / WAITING
    if not config.tracking.enabled or not waiting.is_file():
        return False
    try:
        said = json.loads(waiting.read_text(encoding="utf-8"))
        earlier = said.get("unfinished", [])
        inputs = read_back(said["inputs"], workspace.folder)
        tracked = _opened(config, workspace, inputs, lambda: Tracker(*_store(config)))
        assert tracked.tracker is not None
        write_json(waiting, {**said, "unfinished": [*earlier, *tracked.ids.values()]})
        _close(tracked.tracker, tracked.ids, workspace, seal)
        tracked.tracker.discard(earlier)
    except Exception as error:
        log.warning("MLflow's record still waits: %s", _short(error))
        return False
    waiting.unlink()
    (workspace.folder / WAITING_INPUTS).unlink(missing_ok=True)
    return True


def _wait(
    workspace: Workspace, inputs: dict[str, str], error: Exception, unfinished: Sequence[str] = ()
) -> None:
    """Note that a record waits; `unfinished` are runs in the store that it will replace."""
    listed = laid_out(inputs, workspace.folder / WAITING_INPUTS)
    said = {"inputs": listed, "why": _short(error), "unfinished": list(unfinished)}
    write_json(workspace.folder / WAITING, said)
    log.warning("MLflow's record waits (%s); run the same command again to write it.", _short(error))


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _opened(
    config: RunConfig, workspace: Workspace, inputs: dict[str, str], connect: Callable[[], Tracker]
) -> Tracked:
    tracker = connect()
    metrics = json.loads(workspace.metrics.read_text(encoding="utf-8"))
    settings = config.model_dump(mode="json")
    scores = read_parquet(workspace.table("class_scores"))
    folds = read_parquet(workspace.table("fold_scores"))
    tables = Scores(scores, folds, read_parquet(workspace.table("timing")))
    models = [_model_record(name, config, workspace, metrics, tables) for name in metrics["models"]]
    record = RunRecord(
        name=f"{config.name} {config.season.year}",
        parameters=settings,
        metrics={**_figures(metrics["models"][ENSEMBLE]), **_rates(metrics["verdicts"])},
        tags={"git_commit": git_commit() or "none", "season": str(config.season.year)},
        datasets=inputs,
        texts={"config.json": json.dumps(settings, indent=1, sort_keys=True)},
        models=(*models, *_cloud_records(config, workspace)),
        source=f"cropcheck run {config.name}",
        seconds=_seconds(workspace),
    )
    return Tracked(tracker, tracker.open(record), inputs)


def _model_record(
    name: str,
    config: RunConfig,
    workspace: Workspace,
    metrics: dict[str, Any],
    scores: Scores,
) -> ModelRecord:
    """What is kept of one model; the combined model's settings are the weights of its members."""
    figures, tables = _figures(metrics["models"][name]), scores.tables(name)
    if name == ENSEMBLE:
        weights = read_parquet(workspace.table("ensemble_weights")).group_by("model", maintain_order=True)
        shares = {f"weight.{row[0]}": row[1] for row in weights.agg(pl.col("weight").mean()).iter_rows()}
        return ModelRecord("combined", shares, figures, tables=tables, seconds=scores.seconds())
    from pipelines.inputs.model_series import starting_bundle

    start = starting_bundle(config.train.transfer)
    settings = dict((start.models if start else config.train.models)[name])
    estimator = str(settings.pop("model", name))
    resolved = estimator_type(estimator).options_type.model_validate(settings).model_dump(mode="json")
    return ModelRecord(
        name,
        {"model": estimator, **resolved},
        figures,
        [workspace.models / name],
        libraries_of(estimator),
        tables=tables,
        seconds=scores.seconds(name),
    )


def _seconds(workspace: Workspace) -> float:
    """Return how long the finished stages of a run took."""
    receipts = sorted(workspace.receipts.glob("*.json"))
    return sum(float(json.loads(path.read_text(encoding="utf-8")).get("seconds", 0)) for path in receipts)


def _cloud_records(config: RunConfig, workspace: Workspace) -> list[ModelRecord]:
    """What is kept of cloud removal, with its example picture; nothing where none was fitted."""
    folder = workspace.cloud_model
    if config.clear.method == "none" or not (folder / "model.json").is_file():
        return []
    members = json.loads((folder / "model.json").read_text(encoding="utf-8")).get("members", [])
    epochs = members[0]["history"] if members else []
    learned = ("keras", "tensorflow") if config.clear.method in LEARNED else ()
    settings = config.clear.model_dump(mode="json")
    last = epochs[-1] if epochs else {}
    return [ModelRecord(f"clear {config.clear.method}", settings, last, [folder], learned, epochs)]


def _figures(estimates: dict[str, Any]) -> dict[str, float]:
    return {name: estimate["value"] for name, estimate in estimates.items() if estimate["value"] is not None}


def _rates(verdicts: dict[str, Any]) -> dict[str, float]:
    units = {name: rate["count"] for name, rate in verdicts.items() if "count" in rate}
    return _figures(units)
