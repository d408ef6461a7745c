"""What a run read, wrote and was made with, each with its SHA-256."""

import hashlib
import importlib.metadata
import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from features.files import atomic_path, sha256, write_json
from features.storage.listing import LISTED, MOST, laid_out
from pipelines.record.hashes import file_hash, files_in, hash_all
from pipelines.record.receipt import Receipt
from pipelines.workspace import HOLDING_KEY, Workspace

LIBRARIES = (
    "cropcheck", "exactextract", "geopandas", "keras", "lightgbm", "mlflow", "numpy", "pandas", "polars",
    "rasterio", "scikit-learn", "scipy", "shap", "tensorflow", "xarray",
)  # fmt: skip
UNSEALED = "0" * 64
WRITERS = 8  # pages written side by side: a disk takes its time to confirm each
FORMATS = (2, 3)  # 3: some files are listed beside the manifest
APART = (
    "manifest.json",
    "audit.jsonl",
    "audit.head.json",
    "receipts/publish.json",
    "receipts/publish.outputs.sha256",
    "manifest.inputs.sha256",
    "manifest.outputs.sha256",
    "field/journal.head.json",
)
DESK = "desk/"  # what people enter there is walked by its own journal
MODELS = ("models/", "clear/")
JOURNAL = ".jsonl"  # files that are only added to: what they held must still stand at their beginning


def versions() -> dict[str, str]:
    """Return the version of every library that a result depends on."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


@cache
def git_commit() -> str | None:
    """Return the checkout's commit, with `+changes` where files differ from it; None outside a checkout."""
    root = Path(__file__).parents[3]
    commit = _git(root, "rev-parse", "HEAD")
    return f"{commit}+changes" if commit and _git(root, "status", "--porcelain") else commit


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() or None


def page_hash(path: Path, seal: str = UNSEALED) -> str:
    """Return the SHA-256 of a file; of a page, with the manifest's own hash replaced by zeros."""
    if path.suffix != ".html":
        return file_hash(path)
    return hashlib.sha256(path.read_bytes().replace(seal.encode(), UNSEALED.encode())).hexdigest()


def write_manifest(
    workspace: Workspace, content: dict[str, Any], inputs: dict[str, str], receipts: Sequence[Receipt]
) -> str:
    """Write the manifest over every file of the run's folder, put its hash on the pages, and return it.

    Parameters
    ----------
    content
        What is said of the run beside its files.
    inputs
        Path to SHA-256 of what was read, in the region that was simulated and outside the folder; relative
        paths begin in the working folder.

    The file's groups: `inputs`, `models` and `outputs` name each file with its SHA-256 (`outputs` of pages:
    with the manifest's own hash as zeros, which stand as often on a page as `seals` says); `journals` those
    that are only added to, with their length; `records` what each stage stood on and wrote. Where a group has
    more than `listing.MOST` files, they are listed beside the manifest, which holds the list's hash.
    """
    files = [path for path in covered(workspace.folder) if workspace.relative(path) not in inputs]
    journals = [path for path in files if path.suffix == JOURNAL]
    pages = [path for path in files if path.suffix == ".html"]
    hashes = hash_all(path for path in files if path not in pages and path not in journals)
    named = {workspace.relative(path): digest for path, digest in hashes.items()}
    models = {name: digest for name, digest in named.items() if name.startswith(MODELS)}
    outputs = {name: digest for name, digest in named.items() if name not in models}
    outputs |= {workspace.relative(page): page_hash(page) for page in pages}
    groups = {
        name: laid_out(group, workspace.folder / f"manifest.{name}.sha256")
        for name, group in (("inputs", inputs), ("outputs", outputs))
    }
    document = {
        **content,
        "format": FORMATS[any(LISTED in group for group in groups.values())],
        "working_folder": {"path": str(Path.cwd()), "from_here": _from(workspace.folder)},
        **groups,
        "models": models,
        "seals": {workspace.relative(page): page.read_bytes().count(UNSEALED.encode()) for page in pages},
        "journals": {workspace.relative(path): _journal(path) for path in journals},
        "records": {receipt.stage: _record(receipt) for receipt in receipts},
    }
    write_json(workspace.manifest, document)
    seal = sha256(workspace.manifest)
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda page: seal_page(page, seal), pages))
    return seal


def seal_page(page: Path, seal: str) -> None:
    """Put a manifest's hash on a page, in the place of zeros."""
    sealed = page.read_bytes().replace(UNSEALED.encode(), seal.encode())
    with atomic_path(page) as partial:
        partial.write_bytes(sealed)


def covered(folder: Path) -> list[Path]:
    """Return every file of a run's folder that a manifest names: all but itself and what is written later."""
    found = [path for path in files_in(folder) if not _apart(path.relative_to(folder).as_posix())]
    key = folder / HOLDING_KEY
    return [*found, key] if key.is_file() else found


def _apart(name: str) -> bool:
    return name in APART or name.startswith(DESK)


def _record(receipt: Receipt) -> dict[str, Any]:
    """Return what made a stage's files: its config, files, earlier outputs, code and library versions."""
    outputs: Any = sorted(receipt.outputs)
    if len(outputs) > MOST:
        outputs = {"files": len(outputs), "digest": receipt.digest}
    return {"key": receipt.key, "inputs": receipt.inputs, "outputs": outputs}


def _journal(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _from(folder: Path) -> str | None:
    """Return the working folder as seen from the run's, so that both may be moved together."""
    try:
        return Path(os.path.relpath(Path.cwd(), folder)).as_posix()
    except ValueError:  # another drive
        return None
