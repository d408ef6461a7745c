"""Damage between stages: one byte of one file is flipped, then the stage that reads it is run.

`uv run python -m tests.benchmarks.damage [--flips 100] [--json FILE]`. A small region is run once; then, file
by file and flip by flip, the record of the stage that reads the file is taken away, so that it has to run,
and what became of it is counted:

- `used_in_silence`: the stage ended, and what it left differs from what the whole file gives;
- `traceback`: it ended with an error that is no sentence of cropcheck's;
- `refused`: it ended with a sentence that names the file;
- `made_anew`: it noticed, made the file again, and left what the whole file gives;
- `no_effect`: it ended and left the same, though the file stayed as it was.

Of images of other people, which no record of ours names, the pixels and the grid are compared instead.
`verify` flips one byte in every file of the run, one after the other, and counts those that
`cropcheck verify` names.
"""

import argparse
import json
import platform
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from features.errors import CropcheckError
from features.extraction.units import forget_tiles
from features.imagery.rasters.header import header_of
from features.imagery.windows import read_window
from pipelines.config import RunConfig, load_config
from pipelines.main_job import run_all, stages
from pipelines.record.manifest import covered
from pipelines.record.receipt import read_receipt
from pipelines.record.stage import run_stage
from pipelines.record.verify import verify
from pipelines.workspace import Workspace
from tests.small_imagery import write_tif

CONFIG = Path(__file__).parents[2] / "conf" / "tiny.yaml"
SETTINGS = ["simulate.n_parcels=80", "train.models={lightgbm: {rounds: 10}, dense: {epochs: 5}}"]
FATES = ("used_in_silence", "traceback", "refused", "made_anew", "no_effect")
SEED = 26


@dataclass(frozen=True)
class Flipped:
    """A kind of file, which one of the run, and the stage that reads it next."""

    subject: str
    pattern: str
    stage: str


FILES = (
    Flipped("observations part", "observations/parts/*/S2*.parquet", "fill"),
    Flipped("probabilities", "probabilities.parquet", "judge"),
    Flipped("inner probabilities", "inner_probabilities.parquet", "judge"),
    Flipped("a region's COG (deflate)", "region/catalog/**/B04.tif", "extract"),
    Flipped("declarations", "declarations.parquet", "extract"),
    Flipped("acquisitions", "acquisitions.parquet", "extract"),
    Flipped("cloud removal", "clear/weights.npz", "extract"),
    Flipped("parcels", "parcels.parquet", "judge"),
    Flipped("series.nc", "series.nc", "judge"),
    Flipped("filled.nc", "filled.nc", "train"),
    Flipped("a model's weights", "models/dense/fold_0/*.npz", "judge"),
    Flipped("a booster", "models/lightgbm/fold_0/*.txt", "judge"),
    Flipped("events", "event_chances.parquet", "judge"),
    Flipped("verdicts", "verdicts.parquet", "publish"),
    Flipped("fill's receipt", "receipts/fill.json", "train"),
    # what a killed extraction left: the stage itself reads it when it goes on
    Flipped("part of a killed extraction", "observations/parts/*/S1*.parquet", "extract"),
    Flipped("tiles", "observations/tiles/s2*.parquet", "extract"),
    Flipped("coverage cache (.npz)", "observations/coverage/*.npz", "extract"),
)
OTHERS = {
    "deflate": {"compress": "deflate"},
    "zstd": {"compress": "zstd"},
    "uncompressed": {"compress": "none"},
}


def main() -> None:
    """Run a region, damage it, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=100)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run")
        rows = [row for file in FILES for row in damaged(run, file, arguments.flips)]
        rows += [row for name in OTHERS for row in images(Path(folder), name, arguments.flips)]
        rows += named_by_verify(run)
    show(rows)
    if arguments.json:
        made = {
            "machine": platform.machine(),
            "python": platform.python_version(),
            "polars": version("polars"),
        }
        arguments.json.write_text(json.dumps({"made_with": made, "rows": rows}, indent=1) + "\n")


class Run:
    """A finished run of a small region, which can be damaged and put back."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace(folder)
        self.config: RunConfig = load_config(CONFIG, [*SETTINGS, "tracking.enabled=false"])
        run_all(self.config, self.workspace)
        self.stages = {stage.name: stage for stage in stages(self.config)}
        self.left = {name: self._outputs(name) for name in self.stages}
        self.record = shutil.copytree(self.workspace.receipts, folder.with_name("receipts"))

    def _outputs(self, stage: str) -> dict[str, str]:
        receipt = read_receipt(self.workspace, stage)
        return dict(receipt.outputs) if receipt else {}

    @contextmanager
    def flipped(self, path: Path, rng: np.random.Generator) -> Iterator[None]:
        """Flip one bit of a file; afterwards the file and the record are as before."""
        whole = path.read_bytes()
        try:
            flip(path, rng)
            forget_tiles()  # as a new process
            yield
        finally:
            path.write_bytes(whole)
            shutil.copytree(self.record, self.workspace.receipts, dirs_exist_ok=True)

    def fate(self, file: Flipped, path: Path) -> str:
        """Run the stage that reads a damaged file, and say what became of it."""
        (self.workspace.receipts / f"{file.stage}.json").unlink()
        harmed = path.read_bytes()
        try:
            run_stage(self.stages[file.stage], self.config, self.workspace, lambda done, total: None)
        except CropcheckError as error:
            return "refused" if path.name in str(error) else "traceback"
        except Exception:
            return "traceback"
        left = self._outputs(file.stage)
        as_before = all(left.get(name) == digest for name, digest in self.left[file.stage].items())
        if not as_before:
            return "used_in_silence"
        return "no_effect" if path.read_bytes() == harmed else "made_anew"


def flip(path: Path, rng: np.random.Generator) -> None:
    """Flip one bit of one byte, both drawn at random."""
    content = bytearray(path.read_bytes())
    content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(bytes(content))


def damaged(run: Run, file: Flipped, flips: int) -> list[dict[str, Any]]:
    """Count what becomes of flips in one kind of file."""
    rng = np.random.default_rng(SEED)
    paths = sorted(run.workspace.folder.glob(file.pattern))
    fates: Counter[str] = Counter()
    for number in range(flips):
        path = paths[number % len(paths)]
        with run.flipped(path, rng):
            fates[run.fate(file, path)] += 1
    return rows_of("one_byte_flipped", f"{file.subject} -> {file.stage}", fates, flips)


def images(folder: Path, kind: str, flips: int) -> list[dict[str, Any]]:
    """Count what becomes of flips in an image of somebody else, read by itself."""
    rng = np.random.default_rng(SEED)
    values = rng.integers(200, 4000, (256, 256)).astype("uint16")
    path = write_tif(folder / f"{kind}.tif", values, **OTHERS[kind])
    whole, grid = path.read_bytes(), header_of(str(path)).grid
    fates: Counter[str] = Counter()
    for _ in range(flips):
        flip(path, rng)
        fates[_image_fate(lambda: read_window(str(path)), values, path, grid)] += 1
        path.write_bytes(whole)
    return rows_of("one_byte_flipped", f"another's image ({kind})", fates, flips)


def _image_fate(read: Callable[[], np.ndarray], values: np.ndarray, path: Path, grid: object) -> str:
    try:
        found = read()
        same = np.array_equal(found, values) and header_of(str(path)).grid == grid
    except CropcheckError:
        return "refused"
    except Exception:
        return "traceback"
    return "no_effect" if same else "used_in_silence"


def named_by_verify(run: Run) -> list[dict[str, Any]]:
    """Count the files of a run in which a flipped byte is named by `verify`."""
    rng, folder = np.random.default_rng(SEED), run.workspace.folder
    assert verify(folder) == []
    files = [path for path in covered(folder) if path.stat().st_size]
    named = 0
    for path in files:
        with run.flipped(path, rng):
            faults = verify(folder)
        named += any(run.workspace.relative(path) in fault for fault in faults)
    counts = {"named": named, "missed": len(files) - named}
    return [
        {
            "work": "verify",
            "subject": "cropcheck",
            "metric": name,
            "value": count,
            "n": len(files),
            "unit": "files",
        }
        for name, count in counts.items()
    ]


def rows_of(work: str, subject: str, fates: Counter[str], n: int) -> list[dict[str, Any]]:
    """Return a row a fate."""
    return [
        {"work": work, "subject": subject, "metric": fate, "value": fates[fate], "n": n, "unit": "flips"}
        for fate in FATES
    ]


def show(rows: list[dict[str, Any]]) -> None:
    """Print a line a kind of file."""
    table = Table("file -> stage", *FATES, "n")
    flips = [row for row in rows if row["work"] == "one_byte_flipped"]
    for subject in dict.fromkeys(row["subject"] for row in flips):
        own = {row["metric"]: row for row in flips if row["subject"] == subject}
        table.add_row(subject, *(str(own[fate]["value"]) for fate in FATES), str(own[FATES[0]]["n"]))
    console = Console(width=130)
    console.print(table)
    for row in rows:
        if row["work"] == "verify":
            console.print(f"verify: {row['metric']} {row['value']} of {row['n']} files")


if __name__ == "__main__":
    main()
