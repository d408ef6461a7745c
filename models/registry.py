"""What MLflow is told of a run: one parent, a child a model; settings, digests, figures and files."""

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.errors import ConfigError
from features.files import fingerprint

BATCH = 900  # MLflow takes at most 1,000 metrics and 100 parameters a call
LONGEST = 6000  # characters of a parameter


@dataclass(frozen=True)
class ModelRecord:
    """What is kept of one model: settings, figures, the files it loads from, and the libraries that do.

    `curves` holds the figures of each pass over the data, where it was trained in passes.
    """

    name: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    files: Iterable[Path] = ()
    libraries: tuple[str, ...] = ()
    curves: Iterable[Mapping[str, float]] = ()


@dataclass(frozen=True)
class RunRecord:
    """What is kept of a whole run."""

    name: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str] = field(default_factory=dict)
    datasets: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    models: tuple[ModelRecord, ...] = ()


class Tracker:
    """A run in an MLflow store, opened before its pages are made and closed with its files.

    Parameters
    ----------
    store
        `sqlite:///path`; a plain folder is refused, as MLflow 3 does.
    artifacts
        Folder of the experiment's artifacts.
    """

    def __init__(self, store: str, artifacts: Path, experiment: str) -> None:
        if "://" not in store:
            raise ConfigError(
                f"tracking.store is {store!r}; MLflow needs a database, e.g. sqlite:///mlruns/mlflow.db."
            )
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):  # after the import, which sets its own levels
            logging.getLogger(name).setLevel(logging.ERROR)

        if store.startswith("sqlite:///"):
            Path(store.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(tracking_uri=store)
        found = self._client.get_experiment_by_name(experiment)
        self._experiment = (
            found.experiment_id
            if found
            else self._client.create_experiment(experiment, artifact_location=artifacts.resolve().as_uri())
        )

    def open(self, record: RunRecord) -> dict[str, str]:
        """Record all but the files; return run ids by name: `run` for the parent, else the model's."""
        parent = self._start(record.name, record.parameters, record.metrics, record.tags)
        self._client.log_dict(parent, dict(record.datasets), "datasets.json")
        for name, text in record.texts.items():
            self._client.log_text(parent, text, name)
        digests = {"datasets": fingerprint(dict(record.datasets))}
        self._client.log_batch(parent, params=_parameters(digests))
        ids = {"run": parent}
        for model in record.models:
            child = self._start(model.name, model.parameters, model.metrics, {"mlflow.parentRunId": parent})
            self._log_files(child, model.files, "model")
            self._log_metrics(
                child, [m for step, row in enumerate(model.curves) for m in _metrics(row, step)]
            )
            needed = "".join(f"{line}\n" for line in requirements(model.libraries))
            self._client.log_text(child, needed, "model/requirements.txt")
            self._client.set_terminated(child)
            ids[model.name] = child
        return ids

    def begin(self, name: str, parameters: Mapping[str, Any]) -> str:
        """Start a run that children will belong to; return its id."""
        return self._start(name, parameters, {}, {})

    def trial(self, parent: str, trial: Mapping[str, Any]) -> None:
        """Record one trial of a search: `number, state, value, options`."""
        value = trial.get("value")
        metrics = {} if value is None else {"value": float(value)}
        tags = {"mlflow.parentRunId": parent, "state": str(trial.get("state"))}
        child = self._start(f"trial {trial['number']}", trial.get("options", {}), metrics, tags)
        self._client.set_terminated(child)

    def close(self, run_id: str, files: Iterable[Path], tags: Mapping[str, str]) -> None:
        """Add the run's files and last tags, and end it."""
        self._log_files(run_id, files, "reports")
        for name, value in tags.items():
            self._client.set_tag(run_id, name, value)
        self._client.set_terminated(run_id)

    def _start(
        self, name: str, parameters: Mapping[str, Any], metrics: Mapping[str, float], tags: Mapping[str, str]
    ) -> str:
        run = self._client.create_run(self._experiment, run_name=name, tags=dict(tags))
        run_id = str(run.info.run_id)
        entries = _parameters(parameters)
        for start in range(0, len(entries), 90):
            self._client.log_batch(run_id, params=entries[start : start + 90])
        self._log_metrics(run_id, _metrics(metrics))
        return run_id

    def _log_metrics(self, run_id: str, figures: list[Any]) -> None:
        for start in range(0, len(figures), BATCH):
            self._client.log_batch(run_id, metrics=figures[start : start + BATCH])

    def _log_files(self, run_id: str, files: Iterable[Path], folder: str) -> None:
        for file in files:
            log = self._client.log_artifacts if file.is_dir() else self._client.log_artifact
            log(run_id, str(file), f"{folder}/{file.name}" if file.is_dir() else folder)


def requirements(libraries: Iterable[str]) -> list[str]:
    """Return the pinned libraries that a model's files are loaded with."""
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("numpy", "xarray", *libraries)]


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to dotted names.

    Examples
    --------
    >>> flatten({"fill": {"method": "linear"}, "seed": 1})
    {'fill.method': 'linear', 'seed': 1}
    """
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        nested = isinstance(value, Mapping) and value
        flat.update(flatten(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value})
    return flat


def _parameters(parameters: Mapping[str, Any]) -> list[Any]:
    from mlflow.entities import Param

    return [Param(_key(name), str(value)[:LONGEST]) for name, value in flatten(parameters).items()]


def _metrics(metrics: Mapping[str, float], step: int = 0) -> list[Any]:
    from mlflow.entities import Metric

    return [Metric(_key(name), float(value), 0, step) for name, value in metrics.items() if value is not None]


def _key(name: str) -> str:
    """Return a name MLflow takes: letters, digits and `_-. /`."""
    return "".join(letter if letter.isalnum() or letter in "_-. /" else "_" for letter in name)
