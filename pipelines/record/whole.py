"""Files of a run that others than its stages read: held against the receipts of those that wrote them."""

from collections.abc import Iterable
from pathlib import Path

from features.errors import StageError
from pipelines.record.receipt import damaged, read_receipt
from pipelines.workspace import Workspace

NAMED = 3


def refuse_altered(workspace: Workspace, files: Iterable[Path], reader: str) -> None:
    """Raise a StageError that names the files that are not as their stage wrote them.

    Files that are not there, or that no receipt of the run names, are left to their reader.

    Parameters
    ----------
    reader
        What reads them, for the message.
    """
    wanted = {workspace.relative(path) for path in files if path.is_file()}
    for path in sorted(workspace.receipts.glob("*.json")):
        receipt = read_receipt(workspace, path.stem)
        written = receipt.outputs if receipt else {}
        harm = damaged(workspace, {name: written[name] for name in wanted & written.keys()})
        if harm:
            more = f" and {len(harm) - NAMED} more" if len(harm) > NAMED else ""
            raise StageError(
                f"{', '.join(sorted(harm)[:NAMED])}{more} in {workspace.folder} changed since {path.stem} "
                f"wrote {'it' if len(harm) == 1 else 'them'}; {reader} does not use what was altered: run "
                "the config into that folder again (`cropcheck run CONFIG`), or take it from a backup.",
                reason="altered",
            )
