"""What a run read, wrote and was made with, each with its SHA-256; and the check that it still holds."""

import hashlib
import importlib.metadata
import json
import subprocess
from pathlib import Path
from typing import Any

from features.errors import StageError
from features.files import atomic_path, sha256, write_json
from pipelines.record import audit

LIBRARIES = (
    "cropcheck", "exactextract", "geopandas", "keras", "lightgbm", "mlflow", "numpy", "pandas", "polars",
    "rasterio", "scikit-learn", "scipy", "shap", "tensorflow", "xarray",
)  # fmt: skip
UNSEALED = "0" * 64


def versions() -> dict[str, str]:
    """Return the version of every library that a result depends on."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def git_commit() -> str | None:
    """Return the checkout's commit, with `+changes` where files differ from it; None outside a checkout."""
    root = Path(__file__).parents[2]
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
        return sha256(path)
    return hashlib.sha256(path.read_bytes().replace(seal.encode(), UNSEALED.encode())).hexdigest()


def write_manifest(path: Path, content: dict[str, Any], pages: list[Path]) -> str:
    """Write the manifest, put its hash on the pages where they hold 64 zeros, and return it."""
    write_json(path, content)
    seal = sha256(path)
    for page in pages:
        sealed = page.read_bytes().replace(UNSEALED.encode(), seal.encode())
        with atomic_path(page) as partial:
            partial.write_bytes(sealed)
    return seal


def verify(folder: Path, expect: str | None = None) -> list[str]:
    """Return what does not hold in a run's folder, a sentence each: altered, missing, rewritten.

    Raises
    ------
    StageError
        Where the folder holds no manifest.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise StageError(f"{folder} has no manifest.json; is it the output folder of a finished run?")
    found = audit.faults(folder / "audit.jsonl")
    seal = sha256(path)
    if expect is not None and seal != expect.lower():
        found.append(f"manifest.json has the hash {seal}, not the expected {expect}: it was rewritten")
    if seal != _logged_seal(folder / "audit.jsonl"):
        found.append("manifest.json is not the one that the log names")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for group in ("inputs", "models", "outputs"):
        found += [
            fault
            for name, claimed in manifest[group].items()
            if (fault := _fault(folder, name, claimed, seal))
        ]
    return found


def _fault(folder: Path, name: str, claimed: str, seal: str) -> str | None:
    path = folder / name
    path = path if path.is_file() else Path(name)  # inputs outside the folder, as seen from the checkout
    if not path.is_file():
        return f"{name} is missing"
    return None if page_hash(path, seal) == claimed else f"{name} differs from the manifest"


def _logged_seal(path: Path) -> str | None:
    seals = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            seals.append(json.loads(line).get("manifest_hash"))
        except json.JSONDecodeError:
            continue
    named = [seal for seal in seals if seal]
    return named[-1] if named else None
