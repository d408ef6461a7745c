"""The record of a run in MLflow: a parent run, and a child run per model; settings, figures, files."""

import fcntl
import json
import logging
import os
import socket
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from features.code.imports import uncollected
from features.errors import ConfigError, CropcheckError
from features.files import fingerprint
from features.storage.listing import MOST, lines_of

SQLITE = "sqlite:///"
SECONDS_FOR_A_LOCK = 3.0  # what another run's single write takes is far less
SECONDS_FOR_A_SERVER = 3.0
HTTP_DEFAULTS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
EXPERIMENT_KIND = "custom_model_development"  # MLflow's view of runs and charts, not that of chat traces
BATCH = 900  # MLflow takes at most 1,000 metrics and 100 parameters a call
LONGEST_KEY = 200  # of the 250 characters that MLflow takes
LONGEST = 6000  # characters of a parameter


@dataclass(frozen=True)
class ModelRecord:
    """What is kept of one model: settings, figures, the files it loads from, and the libraries that do.

    `curves` holds the figures of each pass over the data, where it was trained in passes; `tables` are
    figures by fold or class, columns by name, which would be one chart a row if they were metrics; `seconds`
    is how long it was fitted.
    """

    name: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    files: Iterable[Path] = ()
    libraries: tuple[str, ...] = ()
    curves: Iterable[Mapping[str, float]] = ()
    tables: Mapping[str, Mapping[str, list[Any]]] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class RunRecord:
    """What is kept of a whole run; `source` is the command, `seconds` the time of all its stages."""

    name: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str] = field(default_factory=dict)
    datasets: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    models: tuple[ModelRecord, ...] = ()
    source: str = "cropcheck"
    seconds: float = 0.0


class TrackingError(CropcheckError):
    """An MLflow store that cannot be used now; it never ends a run."""


def store_fault(store: str, artifacts: Path) -> str | None:
    """Return why a store or its folder of artifacts cannot be written now, None where it can.

    A database is asked for the right to write, and given up at once; a server for a connection.

    Raises
    ------
    ConfigError
        Where `store` is no database's or server's address.
    """
    if "://" not in store:
        raise ConfigError(
            f"tracking.store is {store!r}; MLflow needs a database, e.g. sqlite:///mlruns/mlflow.db."
        )
    fault = _database_fault(store) if store.startswith(SQLITE) else _server_fault(store)
    return fault or _folder_fault(artifacts)


def _database_fault(store: str) -> str | None:
    path = Path(store.removeprefix(SQLITE))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=SECONDS_FOR_A_LOCK, isolation_level=None)) as database:
            database.execute("PRAGMA quick_check(1)")
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
    except sqlite3.DatabaseError as error:
        return f"the database {path} cannot be written ({error})"
    except OSError as error:
        return f"the folder {path.parent} cannot be made ({error.strerror})"
    return None


def _server_fault(store: str) -> str | None:
    address = urlsplit(store)
    if address.scheme not in ("http", "https"):
        return None  # another database, which its own library knows
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        with socket.create_connection((address.hostname or "", port), SECONDS_FOR_A_SERVER):
            return None
    except (OSError, ValueError) as error:
        return f"the server {address.hostname}:{address.port or ''} does not answer ({error})"


def _folder_fault(artifacts: Path) -> str | None:
    try:
        artifacts.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=artifacts):
            return None
    except OSError as error:
        return f"the folder {artifacts} cannot be written ({error.strerror})"


@contextmanager
def _one_at_a_time(store: str) -> Iterator[None]:
    """Let one process at a time make a new database: two that make its tables at once both fail."""
    if not store.startswith(SQLITE):
        yield
        return
    path = Path(store.removeprefix(SQLITE))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Tracker:
    """A run in an MLflow store, opened before its pages are made and closed with its files.

    Parameters
    ----------
    store
        `sqlite:///path`; a plain folder is refused, as MLflow 3 does.
    artifacts
        Folder of the experiment's artifacts.

    Raises
    ------
    ConfigError
        Where the store is a plain folder.
    TrackingError
        Where it cannot be written now.
    """

    def __init__(self, store: str, artifacts: Path, experiment: str) -> None:
        fault = store_fault(store, artifacts)
        if fault:
            raise TrackingError(f"MLflow's store cannot be used: {fault}.", reason="tracking")
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        for name, value in HTTP_DEFAULTS.items():
            os.environ.setdefault(name, value)
        with uncollected():
            from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):  # after the import, which sets its own levels
            logging.getLogger(name).setLevel(logging.ERROR)
        with _one_at_a_time(store):
            with uncollected():  # its database's libraries are imported here
                self._client = MlflowClient(tracking_uri=store)
            found = self._client.get_experiment_by_name(experiment)
            location = artifacts.resolve().as_uri()
            self._experiment = (
                found.experiment_id
                if found
                else self._client.create_experiment(experiment, artifact_location=location)
            )
            self._client.set_experiment_tag(self._experiment, "mlflow.experimentKind", EXPERIMENT_KIND)
        self._ends: dict[str, int] = {}

    def open(self, record: RunRecord) -> dict[str, str]:
        """Record all but the files; return run ids by name: `run` for the parent, else the model's."""
        source = {"mlflow.source.name": record.source, "mlflow.source.type": "JOB"}
        commit = record.tags.get("git_commit")
        source |= {"mlflow.source.git.commit": commit} if commit and commit != "none" else {}
        parent = self._start(
            record.name, record.parameters, record.metrics, {**record.tags, **source}, record.seconds
        )
        self._log_dataset(parent, record)
        if len(record.datasets) > MOST:
            self._client.log_text(parent, "".join(lines_of(record.datasets)), "datasets.sha256")
        else:
            self._client.log_dict(parent, dict(record.datasets), "datasets.json")
        for name, text in record.texts.items():
            self._client.log_text(parent, text, name)
        digests = {"datasets": fingerprint(dict(record.datasets))}
        self._client.log_batch(parent, params=_parameters(digests))
        ids = {"run": parent}
        for model in record.models:
            child = self._start(
                f"{record.name}: {model.name}",
                model.parameters,
                model.metrics,
                {"mlflow.parentRunId": parent, **source},
                model.seconds,
            )
            self._log_dataset(child, record)
            for name, table in model.tables.items():
                self._client.log_table(child, dict(table), f"{name}.json")
            self._log_files(child, model.files, "model")
            self._log_metrics(
                child, [m for step, row in enumerate(model.curves) for m in _metrics(row, step)]
            )
            needed = "".join(f"{line}\n" for line in requirements(model.libraries))
            self._client.log_text(child, needed, "model/requirements.txt")
            self._client.set_terminated(child, end_time=self._ends.get(child))
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
        self._client.set_terminated(run_id, end_time=self._ends.get(run_id))

    def discard(self, run_ids: Iterable[str]) -> None:
        """Delete runs that were begun and never finished."""
        for run_id in run_ids:
            self._client.delete_run(run_id)

    def _log_dataset(self, run_id: str, record: RunRecord) -> None:
        """Name what was read, by the hash of all its hashes."""
        from mlflow.entities import Dataset, DatasetInput

        digest = fingerprint(dict(record.datasets))[:36]
        source = json.dumps({"uri": record.source})
        profile = json.dumps({"files": len(record.datasets)})
        named = Dataset(record.name, digest, "local", source, profile=profile)
        self._client.log_inputs(run_id, datasets=[DatasetInput(named)])

    def _start(
        self,
        name: str,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        seconds: float = 0.0,
    ) -> str:
        """Start a run that lasted `seconds` until now: its duration is that of the work."""
        now = int(1000 * time.time())
        begun = now - round(1000 * seconds)
        run = self._client.create_run(self._experiment, begun, run_name=name, tags=dict(tags))
        run_id = str(run.info.run_id)
        if seconds:
            self._ends[run_id] = now
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
    """Return a name that MLflow takes: letters, digits and `_-. `, at most 200, and no path.

    A name that had to be altered ends in a few digits of its hash, so that two do not become one.

    Examples
    --------
    >>> _key("recall.oats"), _key("recall.a // b"), len(_key("recall." + "x" * 300))
    ('recall.oats', 'recall.a __ b-6c8087', 200)
    """
    plain = "".join(letter if letter.isalnum() or letter in "_-. " else "_" for letter in name).strip(" .")
    if plain == name and len(name) <= LONGEST_KEY:
        return name
    return f"{plain[: LONGEST_KEY - 7]}-{fingerprint(name)[:6]}"
