"""What changed since the last run of the same folder, and what the next run is to be compared with."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from features.files import fingerprint, read_parquet, vouched_path, write_json
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.record.stage import Outcome
from pipelines.steps.changes import (
    ACQUISITION_CHANGES,
    GONE,
    JUDGED,
    NEW,
    SEEN,
    VERDICT_CHANGES,
    changed_acquisitions,
    changed_verdicts,
)
from pipelines.steps.compared_runs import IMAGES, INDEX, PARCELS, STATE, model_of, rules_of, runs_of
from pipelines.tables import read_acquired, read_stamps, write_table, write_vouched
from pipelines.workspace import Workspace

LOST = "what the run before left to compare with is missing or was altered: nothing is compared"
OF_IMAGES = {
    "new": "new acquisitions",
    "late": "acquisitions that came late, after later ones had been used",
    "reprocessed": "acquisitions that were processed again and replace the earlier ones",
    "renewed": "acquisitions with other files than before, which replace the earlier ones",
    "gone": "acquisitions that are no longer in the catalog",
}
OF_PARCELS = {"changed": "verdicts that changed", "new": "new parcels", "gone": "parcels that are gone"}


def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    """Write `changes_verdicts` and `changes_acquisitions`, and keep what the next run is compared with."""
    runs = runs_of(workspace)
    kept = _keep(workspace, runs.present)
    verdicts, images = VERDICT_CHANGES.to_frame(), ACQUISITION_CHANGES.to_frame()
    facts: dict[str, Any] = {}
    if runs.before is not None:
        old, new = (workspace.earlier / name for name in (runs.before, runs.present))
        was, now = (json.loads((of / STATE).read_text(encoding="utf-8")) for of in (old, new))
        images = changed_acquisitions(read_parquet(old / IMAGES), read_parquet(new / IMAGES))
        verdicts = changed_verdicts(
            read_parquet(old / PARCELS),
            read_parquet(new / PARCELS),
            model=was["model"] != now["model"],
            rules=was["rules"] != now["rules"],
        )
        facts["since"] = {
            "made": was["made"],
            "model_changed": was["model"] != now["model"],
            "rules_changed": was["rules"] != now["rules"],
        }
        facts["said"] = sentences(images, verdicts)
        kept += [old / name for name in (PARCELS, IMAGES, STATE)]
    elif runs.lost:
        facts["said"] = [LOST]
    index = _write_json(workspace.earlier / INDEX, {"before": runs.before, "present": runs.present})
    tables = {"changes_verdicts": verdicts, "changes_acquisitions": images}
    written = [write_table(table, workspace.table(name)) for name, table in tables.items()]
    progress(1, 1)
    return Outcome([*written, *kept, index], [], facts)


def _keep(workspace: Workspace, name: str) -> list[Path]:
    """Keep of this run what the next one is compared with."""
    there = workspace.earlier / name
    stamps = read_stamps(workspace)
    acquired = read_acquired(workspace)
    of_files = [
        fingerprint(sorted(stamps.get(asset["href"], "") for asset in assets or ()))[:16]
        for assets in acquired["assets"].to_list()
    ]
    images = acquired.with_columns(pl.Series("stamp", of_files, pl.String)).select(SEEN)
    state = {"made": _made(workspace), "model": model_of(workspace), "rules": rules_of(workspace)}
    return [
        write_vouched(read_parquet(workspace.verdicts, columns=list(JUDGED)), there / PARCELS),
        write_vouched(images, there / IMAGES),
        _write_json(there / STATE, state),
    ]


def _write_json(path: Path, content: dict[str, Any]) -> Path:
    with vouched_path(path) as partial:
        write_json(partial, content)
    return path


def _made(workspace: Workspace) -> str:
    """Return the day on which the verdicts were written."""
    return f"{datetime.fromtimestamp(workspace.verdicts.stat().st_mtime, UTC):%Y-%m-%d}"


def sentences(images: pl.DataFrame, verdicts: pl.DataFrame) -> list[str]:
    """Return what the run and its log say of the changes."""
    named = images.filter(~pl.col("change").is_in([NEW, GONE])).to_dicts()
    found = _counted(images, OF_IMAGES)
    found += [f"{row['item_id']}: {_of(row)}" for row in named]
    found += _counted(verdicts, OF_PARCELS)
    return found or ["nothing changed since the last run"]


def _counted(changes: pl.DataFrame, words: Mapping[str, str]) -> list[str]:
    counts = dict(changes["change"].value_counts().iter_rows())
    return [f"{said}: {counts[kind]}" for kind, said in words.items() if counts.get(kind)]


def _of(row: dict[str, object]) -> str:
    when = f"{row['sensor']} of {row['datetime']:%Y-%m-%d}"
    if row["change"] == "late":
        return f"{when} came late"
    if row["change"] == "renewed":
        return f"{when} has other files than before"
    return (
        f"{when}, baseline {row['baseline'] or 'unknown'}, replaces {row['replaces']}, "
        f"baseline {row['baseline_before'] or 'unknown'}"
    )
