"""Other runs that something is taken over from, and whether their holdings have this run's pseudonyms."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from features.declarations.pseudonym import KEY_VARIABLE
from features.errors import StageError
from features.files import read_parquet
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    from models.crops.fitting.options import TransferOptions


def source_runs(transfer: "TransferOptions") -> dict[str, Workspace]:
    """Return the runs that something is taken over from, by a label: the folder's name where it is alone."""
    names = [run.name for run in transfer.runs]
    return {
        run.name if names.count(run.name) == 1 else run.as_posix(): Workspace(run) for run in transfer.runs
    }


def holding_checks(transfer: "TransferOptions") -> dict[str, Path]:
    """Return the files that `check_holding_keys` reads of pooled runs, by their role."""
    runs = source_runs(transfer).values() if transfer.use == "pool" else ()
    return {
        f"train.transfer.runs {number} {path.stem}": path
        for number, run in enumerate(runs)
        for path in (run.holdings, run.declarations)
    }


def check_holding_keys(workspace: Workspace, sources: Mapping[str, Workspace]) -> None:
    """Raise a StageError where two runs pseudonymised holdings with different keys, or one does not say.

    A holding of both seasons would then have two names, and could be on both sides of a fold.
    """
    checks = {
        label: _key_check(run)
        for label, run in {"this run": workspace, **sources}.items()
        if run.declarations.is_file() and _has_holdings(run)
    }
    if len(checks) < 2 or (len(set(checks.values())) == 1 and None not in checks.values()):
        return
    named = ", ".join(f"{label} has {check or 'none'}" for label, check in checks.items())
    raise StageError(
        f"The holdings of the pooled runs have pseudonyms of different keys (check values: {named}), so a "
        "holding of two seasons cannot be kept on one side of a fold. Give all runs one key in "
        f"declarations.holding_key or {KEY_VARIABLE}, and run those that had another again."
    )


def same_holding_key(first: Workspace, second: Workspace) -> bool:
    """Return whether two runs are known to have given holdings the same pseudonyms."""
    check = _key_check(first)
    return check is not None and check == _key_check(second)


def _has_holdings(run: Workspace) -> bool:
    return bool(read_parquet(run.declarations, columns=["holding_id"])["holding_id"].is_not_null().any())


def _key_check(run: Workspace) -> str | None:
    try:
        return str(json.loads(run.holdings.read_text(encoding="utf-8"))["key_check"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None
