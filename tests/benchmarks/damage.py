"""Damage between stages: one byte of one file is flipped, then the stage that reads it is run.

`uv run python -m tests.benchmarks.damage [--flips 100] [--only WORDS] [--json FILE]`. A small region is run,
gets field results and decisions of the desk, and is run again by another rule. Then, file by file and flip
by flip, the record of the stage that reads the file is taken away, so that it has to run, and what became of
it is counted:

- `used_in_silence`: the stage ended, and what it left differs from what the whole file gives;
- `traceback`: it ended with an error that is no sentence of cropcheck's;
- `refused`: it ended with a sentence that names the file;
- `made_anew`: it noticed, made the file again or said that it goes on without, and left what is right then;
- `no_effect`: it ended and left the same, though the file stayed as it was.

Of images of other people, which no record of ours names, the pixels and the grid are compared instead; of
the desk's database the entries, by `cropcheck verify`. `verify` flips one byte in every file of the run, one
after the other, and counts those that `cropcheck verify` names.

What is not flipped here: pages and exports, which no stage reads (`verify` names them); checkpoints of
networks, blocks of a killed filling and parts of a killed composition, which are held against hashes beside
them as the parts of a killed extraction are; what `tune` leaves, which is a config that its user lays over
another one.
"""

import argparse
import filecmp
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
import polars as pl
from rich.console import Console
from rich.table import Table

from features.errors import CropcheckError
from features.extraction.units import forget_tiles
from features.files import read_parquet
from features.imagery.rasters.header import header_of
from features.imagery.windows import read_window
from features.journal.entries import Entry
from features.storage import listing
from models.verdicts.options import JudgeOptions
from pipelines.commands.quality.assess import assess_run
from pipelines.config import RunConfig, load_config
from pipelines.main_job import run_all, stages
from pipelines.record.audit.manifest import covered
from pipelines.record.audit.verify import verify
from pipelines.record.receipt import read_receipt
from pipelines.record.stage import run_stage
from pipelines.stages.compare import LOST
from pipelines.workspace import Workspace
from reports.desk.records.decisions import Decisions, Wish
from reports.desk.records.store import FILE, open_store
from tests.small_imagery import write_tif

CONFIG = Path(__file__).parents[2] / "conf" / "tiny.yaml"
SETTINGS = [
    "simulate.n_parcels=80", "train.models={lightgbm: {rounds: 10}, dense: {epochs: 1}}",
    "train.keep.most_loss=1", "events.rounds=5", "forecast.rounds=5", "forecast.most_samples=1000",
    "patches={method: boosting, bands: [B04, B08], least_parcels: 2, boosting: {rounds: 5}}",
]  # fmt: skip
FATES = ("used_in_silence", "traceback", "refused", "made_anew", "no_effect")
SEED = 26
TIMES = ("timing.parquet", "job.json")  # what they hold is how long the work took


@dataclass(frozen=True)
class Flipped:
    """A kind of file, which of the run, the stage that reads it next, and what a kill leaves out."""

    subject: str
    pattern: str
    stage: str
    without: str = ""


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
    Flipped("items of the catalog", "region/catalog/**/S*.json", "read"),
    Flipped("parcels as declared (.gpkg)", "region/declarations.gpkg", "read"),
    Flipped("what holdings reported", "region/field_records.csv", "detect"),
    Flipped("assets", "assets.parquet", "extract"),
    Flipped("dates", "evaluation/dates.parquet", "train"),
    Flipped("soil and weather of parcels", "context.parquet", "train"),
    Flipped("folds", "evaluation/folds.parquet", "detect"),
    Flipped("composition", "composition_findings.parquet", "judge"),
    Flipped("events of the run", "events.parquet", "forecast"),
    Flipped("markers", "markers.parquet", "publish"),
    Flipped("forecast", "forecast.parquet", "publish"),
    Flipped("forecast models", "forecast_models/*.*", "publish"),
    Flipped("changes", "evaluation/changes_verdicts.parquet", "publish"),
    Flipped("metrics", "metrics.json", "publish"),
    Flipped("quality design", "evaluation/quality_design.parquet", "publish"),
    Flipped("list beside a receipt", "receipts/extract.outputs.sha256", "fill"),
    # what an earlier run left, and its own stage reads again
    Flipped("kept crop models: what they stand on", "models/fitted/fit.json", "train"),
    Flipped("kept crop models: parcels", "models/fitted/parcels.parquet", "train"),
    Flipped("kept crop models: label cleaning", "models/fitted/suspects.parquet", "train"),
    Flipped("kept crop models: boosters", "models/lightgbm/fold_*/booster.txt", "train"),
    Flipped("kept event models", "event_models/**/*.*", "detect"),
    Flipped("kept cloud removal", "clear/*", "clear"),
    Flipped("events reported before", "event_journal.parquet", "detect"),
    Flipped("the run before: verdicts", "earlier/*/parcels.parquet", "compare"),
    Flipped("the run before: images", "earlier/*/acquisitions.parquet", "compare"),
    Flipped("the run before: models and rules", "earlier/*/state.json", "compare"),
    Flipped("the run before: which", "earlier/index.json", "compare"),
    # what people entered, and what follows from it
    Flipped("journal of field results", "field/journal.jsonl", "judge"),
    Flipped("design of the visited sample", "field/design.parquet", "judge"),
    Flipped("field results", "field/results.parquet", "publish"),
    Flipped("errors of the verdicts", "field/assessment.parquet", "publish"),
    # what a killed run left: the stage itself reads it when it goes on
    Flipped("fits of a killed training", "models/*/fold_*/*.*", "train", "models/fitted/fit.json"),
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
    parser.add_argument("--only", default="", help="file kinds whose name holds these words")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    listing.MOST = 20  # so that there are lists beside receipts
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run")
        for file in FILES:
            if arguments.only in file.subject:
                rows += damaged(run, file, arguments.flips)
                print(rows[-len(FATES)]["subject"], [row["value"] for row in rows[-len(FATES) :]], flush=True)
        if not arguments.only:
            rows += [row for name in OTHERS for row in images(Path(folder), name, arguments.flips)]
            rows += desk_database(run, arguments.flips)
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
        run_all(self.config.model_copy(update={"judge": JudgeOptions(alpha=0.4)}), self.workspace)
        self._enter()
        run_all(self.config, self.workspace)
        self.stages = {stage.name: stage for stage in stages(self.config)}
        self.left = {name: self._outputs(name) for name in self.stages}
        self.whole = shutil.copytree(
            folder, folder.with_name("whole"), ignore=shutil.ignore_patterns("region")
        )

    def _enter(self) -> None:
        """Enter field results of the whole sample, and a decision of every parcel."""
        sample = read_parquet(self.workspace.sample).select("parcel_id")
        results = pl.Series(["wrong" if k % 5 == 0 else "correct" for k in range(sample.height)])
        path = self.workspace.folder.with_name("visited.csv")
        sample.with_columns(field_result=results).write_csv(path)
        assess_run(self.workspace.folder, path, by="a visitor")
        store = open_store(self.workspace.folder, None, "desk")
        ids = read_parquet(self.workspace.verdicts)["parcel_id"].to_list()
        Decisions(store).save("an officer", Wish("visit"), [(name, "model") for name in ids], {})
        store.close()

    def _outputs(self, stage: str) -> dict[str, str]:
        receipt = read_receipt(self.workspace, stage)
        outputs = receipt.outputs if receipt else {}
        return {name: digest for name, digest in outputs.items() if not name.endswith(TIMES)}

    @contextmanager
    def flipped(self, path: Path, rng: np.random.Generator) -> Iterator[None]:
        """Flip one bit of a file; afterwards the file and the record are as before."""
        whole = path.read_bytes()
        try:
            flip(path, rng)
            forget_tiles()  # as a new process
            yield
        finally:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(whole)
            self._put_back()

    def _put_back(self) -> None:
        """Put back what a stage wrote or deleted, but for the region."""
        here, kept = self.workspace.folder, self.whole
        for path in [path for path in here.rglob("*") if path.is_file()]:
            name = path.relative_to(here)
            if name.parts[0] != "region" and not (kept / name).is_file():
                path.unlink()
        for path in [path for path in kept.rglob("*") if path.is_file()]:
            there = here / path.relative_to(kept)
            if not there.is_file() or not filecmp.cmp(path, there, shallow=False):
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, there)

    def fate(self, file: Flipped, path: Path) -> str:
        """Run the stage that reads a damaged file, and say what became of it."""
        (self.workspace.receipts / f"{file.stage}.json").unlink(missing_ok=True)
        if file.without:
            (self.workspace.folder / file.without).unlink()
        harmed = path.read_bytes()
        try:
            receipt, _ = run_stage(
                self.stages[file.stage], self.config, self.workspace, lambda done, total: None
            )
        except CropcheckError as error:
            return "refused" if path.name in str(error) else "traceback"
        except Exception:
            return "traceback"
        if LOST in receipt.facts.get("said", ()):
            return "made_anew"
        left = self._outputs(file.stage)
        as_before = all(left.get(name) == digest for name, digest in self.left[file.stage].items())
        if not as_before:
            return "used_in_silence"
        return "no_effect" if path.is_file() and path.read_bytes() == harmed else "made_anew"


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


def desk_database(run: Run, flips: int) -> list[dict[str, Any]]:
    """Count what `verify` says of flips in the database of what officers decided."""
    rng, folder = np.random.default_rng(SEED), run.workspace.folder
    path = run.workspace.desk / FILE
    whole = entries_of(folder)
    fates: Counter[str] = Counter()
    for _ in range(flips):
        with run.flipped(path, rng):
            fates[_desk_fate(folder, whole)] += 1
    return rows_of("one_byte_flipped", "desk's database -> verify", fates, flips)


def _desk_fate(folder: Path, whole: list[Entry]) -> str:
    try:
        if any("desk" in fault for fault in verify(folder)):
            return "refused"
    except Exception:
        return "traceback"
    return "no_effect" if entries_of(folder) == whole else "used_in_silence"


def entries_of(folder: Path) -> list[Entry]:
    """Return every entry of the desk's journal."""
    store = open_store(folder, None, "desk")
    try:
        return list(store.entries())
    finally:
        store.close()


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
