"""The desk over a finished run: its tables read once, its database opened, its pages served."""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from features.errors import ConfigError, StageError
from pipelines.config import RunConfig
from pipelines.stages.gather import gather
from pipelines.workspace import Workspace
from reports.desk.app import application
from reports.desk.records.store import open_store
from reports.desk.state import Desk

LOOPBACK = "127.0.0.1"


def open_desk(
    folder: Path,
    database: str | None = None,
    language: str | None = None,
    proxy_header: str = "",
    letter: Path | None = None,
) -> Desk:
    """Open the desk of a run's folder.

    Raises
    ------
    StageError
        Where the folder holds no finished run, or the database cannot be opened.
    ConfigError
        Where the template of letters does not exist.
    """
    config, workspace = finished_run(folder), Workspace(folder)
    if letter is not None and not letter.is_file():
        raise ConfigError(f"--letter {letter} does not exist; name a file with the text of a letter.")
    options = config.publish if language is None else config.publish.model_copy(update={"language": language})
    tables = gather(config, workspace, [], {})
    season = (config.season.start, config.season.end)
    store = open_store(folder, database, schema_of(config))
    return Desk(tables, store, folder / "desk", options, season, proxy_header=proxy_header, letter=letter)


def finished_run(folder: Path) -> RunConfig:
    """Return the config of the run that a folder holds, from its manifest."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise StageError(f"{folder} has no manifest.json; run `cropcheck run CONFIG` to its end first.")
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return RunConfig.model_validate(content["config"])
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise StageError(
            f"{path} is damaged or of another version; run `cropcheck run CONFIG` again."
        ) from error


def schema_of(config: RunConfig) -> str:
    """Return the schema of PostgreSQL of a run's desk: one a season, the same for a run made anew."""
    name = re.sub(r"[^a-z0-9]+", "_", config.name.lower()).strip("_")
    return f"cropcheck_desk_{name[:30]}_{config.season.end.year}"


def serve(desk: Desk, host: str, port: int, names: list[str]) -> None:
    """Serve the desk until it is stopped; the address, and a first administrator's password, are printed."""
    import uvicorn

    password = desk.accounts.first()
    if password is not None:
        print(desk.text("desk.first_password", password=password), flush=True)
    found = desk.store.faults()
    if found:
        print(desk.text("desk.broken", faults="; ".join(found[:3])), flush=True)
    print(f"http://{'localhost' if host == LOOPBACK else host}:{port}/", flush=True)
    uvicorn.run(
        application(desk, [*names, host]), host=host, port=port, log_level="warning", access_log=False,
        server_header=False, date_header=True, proxy_headers=False,
    )  # fmt: skip
