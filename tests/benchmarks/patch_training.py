"""Trains networks on patches apart from the rest, on a machine that has little but Keras and an accelerator.

    python -m tests.benchmarks.patches --write-tensors DIR          # where the regions are made
    KERAS_BACKEND=jax python -m tests.benchmarks.patch_training DIR TASKS.json OUT [--workers 12]
    python -m tests.benchmarks.patches --chances OUT/<name>         # scored as if they were trained here

`TASKS.json` lists `{"name", "region", "fold", "options"}`, with `"seed"`, `"share"` of the labels and
`"start"`: false, or true for weights learned without labels. Each is one fit without its fold. What is
written are the chances of the pixels of that fold's parcels: nobody needs the networks' own files.
"""

import argparse
import io
import json
import lzma
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from models.patches.inputs.composites import composite, edges_of
from models.patches.inputs.labels import UNKNOWN, Labels
from models.patches.inputs.samples import LabelledBlock
from models.patches.options import PatchOptions

QUANTUM = 2e-4  # of stored reflectance: a seventh of the least noise
LABELS = ("parcel", "label", "second", "fold")
PIXELS = ("parcel", "row", "column", "share", "inner")


@dataclass(frozen=True)
class Tensors:
    """What networks of one region learn from.

    Attributes
    ----------
    stored
        Reflectance `(time, band, y, x)` uint16 in QUANTUM; 0 where not seen.
    days
        `(time,)` datetime64[D].
    season
        First and last day.
    labels
        `(y, x)` each.
    pixels
        `(pixel,)` each: those of all parcels, as `ParcelPixels` has them.
    folds
        `(parcel,)`.
    truth
        `(y, x)` class that grows; for scores only.
    """

    stored: np.ndarray
    days: np.ndarray
    season: tuple[date, date]
    labels: dict[str, np.ndarray]
    pixels: dict[str, np.ndarray]
    folds: np.ndarray
    truth: np.ndarray
    classes: tuple[str, ...]

    def write(self, path: Path) -> None:
        """Write small: differences along a line, high bytes apart from low ones."""
        lines = np.diff(self.stored.astype(np.int32), axis=-1, prepend=0).astype(np.int16)
        folded = np.where(lines < 0, -2 * lines.astype(np.int32) - 1, 2 * lines.astype(np.int32)).astype(
            np.uint16
        )
        arrays: dict[str, Any] = {
            "low": (folded & 255).astype(np.uint8),
            "high": (folded >> 8).astype(np.uint8),
            "days": self.days.astype("datetime64[D]").astype(np.int64),
            "season": np.array(self.season, "datetime64[D]").astype(np.int64),
            "folds": self.folds,
            "truth": self.truth,
            "classes": np.array(self.classes),
            **{f"label_{name}": self.labels[name] for name in LABELS},
            **{f"pixel_{name}": self.pixels[name] for name in PIXELS},
        }
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lzma.compress(buffer.getvalue(), preset=3))

    @staticmethod
    def read(path: Path) -> "Tensors":
        """Read what `write` wrote."""
        with np.load(io.BytesIO(lzma.decompress(path.read_bytes())), allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
        folded = arrays["low"].astype(np.int32) | arrays["high"].astype(np.int32) << 8
        lines = np.where(folded & 1, -(folded + 1) // 2, folded // 2)
        first, last = (one.item() for one in arrays["season"].astype("datetime64[D]"))
        return Tensors(
            np.cumsum(lines, axis=-1, dtype=np.int32).astype(np.uint16),
            arrays["days"].astype("datetime64[D]"),
            (first, last),
            {name: arrays[f"label_{name}"] for name in LABELS},
            {name: arrays[f"pixel_{name}"] for name in PIXELS},
            arrays["folds"],
            arrays["truth"],
            tuple(str(name) for name in arrays["classes"]),
        )

    def block(self, options: PatchOptions) -> LabelledBlock:
        """Return composites and labels, as a run has them."""
        values = self.stored.astype(np.float32) * np.float32(QUANTUM)
        stack = xr.Dataset(
            {
                "reflectance": (("time", "band", "y", "x"), values),
                "clear": (("time", "y", "x"), (self.stored > 0).all(axis=1)),
            },
            coords={"time": self.days.astype("datetime64[ns]")},
        )
        composites = composite(stack, edges_of(options, *self.season))
        return LabelledBlock(composites, Labels(*(self.labels[name] for name in LABELS)))

    def places(self, fold: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return index, row and column of the pixels of a fold's parcels."""
        which = np.flatnonzero(self.folds[self.pixels["parcel"]] == fold)
        return which, self.pixels["row"][which], self.pixels["column"][which]


def stored_reflectance(reflectance: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """Return reflectance `(time, band, y, x)` as uint16 in QUANTUM; 0 where not `clear (time, y, x)`.

    Examples
    --------
    >>> values = np.array([0.1, np.nan, 0.0]).reshape(1, 1, 1, 3)
    >>> stored_reflectance(values, np.array([[[True, True, True]]])).ravel().tolist()
    [500, 0, 1]
    """
    usable = clear[:, None] & np.isfinite(reflectance)
    scaled = np.clip(np.rint(np.nan_to_num(reflectance) / QUANTUM), 1, 30_000)
    return np.where(usable, scaled, 0).astype(np.uint16)


def with_share(block: LabelledBlock, share: float, seed: int) -> LabelledBlock:
    """Return the block with the labels of a share of its parcels, drawn by chance."""
    owners = np.unique(block.labels.parcel[block.labels.label >= 0])
    kept = np.random.default_rng([seed, 23]).permutation(owners)[: max(round(share * len(owners)), 2)]
    label = np.where(np.isin(block.labels.parcel, kept), block.labels.label, UNKNOWN)
    return replace(block, labels=replace(block.labels, label=label))


@lru_cache(maxsize=6)
def _tensors(path: Path) -> Tensors:
    return Tensors.read(path)


@lru_cache(maxsize=6)
def _block(path: Path, composites: str) -> LabelledBlock:
    return _tensors(path).block(PatchOptions(method="unet", **json.loads(composites)))


def run_task(task: dict[str, Any], folder: Path, out: Path) -> None:
    """Fit one network and write the chances of its fold's pixels."""
    from models.patches.by_name import build

    started = time.perf_counter()
    options = PatchOptions(method="unet", **task["options"])
    path = folder / f"{task['region']}.tensors"
    composites = {"step_days": options.step_days}
    tensors, block = _tensors(path), _block(path, json.dumps(composites))
    seed, fold = int(task.get("seed", task["region"].rpartition("_")[2])), int(task["fold"])
    learned = with_share(block, float(task.get("share", 1.0)), seed)
    start: list[np.ndarray] | None = None
    history: list[dict[str, float]] = []
    if options.network.pretraining_epochs:
        from models.patches.networks.pretraining import pretrain

        start, history = pretrain([block], options.network, options.input == "temporal", seed)
    model: Any = build(options, tensors.classes, start).fit([learned], fold, seed)
    fitted = time.perf_counter()
    _, row, column = tensors.places(fold)
    chances = model.chances(block.composites)[:, row, column].T
    place = out / task["name"]
    place.mkdir(parents=True, exist_ok=True)
    noted = {
        **task, "loss": model.history[-1], "pretraining": history[-1:], "seconds": fitted - started,
        "predict_seconds": time.perf_counter() - fitted,
    }  # fmt: skip
    file = place / f"{task['region']}_{fold}_{seed}.npz"
    with file.with_suffix(".part").open("wb") as handle:
        np.savez_compressed(handle, chances=chances.astype(np.float16), task=np.array(json.dumps(noted)))
    file.with_suffix(".part").rename(file)
    print(f"{task['name']:24} {task['region']} fold {fold} seed {seed} "
          f"loss {noted['loss']:.3f} {noted['seconds']:.0f} s", flush=True)  # fmt: skip


def macro_f1_of(folder: Path, place: Path, region: str, seeds: list[int] | None = None) -> float:
    """Macro-F1 of the pixels of a region by the mean chances of several seeds; None: of all."""
    tensors = _tensors(folder / f"{region}.tensors")
    truth, found = [], []
    for fold in range(int(tensors.folds.max()) + 1):
        files = sorted(place.glob(f"{region}_{fold}_*.npz"))
        kept = [file for file in files if seeds is None or int(file.stem.rpartition("_")[2]) in seeds]
        if not kept:
            return float("nan")
        which, row, column = tensors.places(fold)
        mean = np.mean([np.load(file)["chances"].astype(np.float32) for file in kept], axis=0)
        true = tensors.truth[row, column]
        usable = (tensors.pixels["share"][which] >= 0.5) & (true >= 0) & np.isfinite(mean).all(axis=1)
        truth.append(true[usable])
        found.append(mean[usable].argmax(axis=1))
    matrix = np.zeros((len(tensors.classes),) * 2)
    np.add.at(matrix, (np.concatenate(truth), np.concatenate(found)), 1)
    size, hit = matrix.sum(axis=1), np.diag(matrix)
    scores = 2 * hit / np.maximum(size + matrix.sum(axis=0), 1)
    return float(scores[size > 0].mean())


def summary(folder: Path, tasks: list[dict[str, Any]], out: Path) -> None:
    """Print the macro-F1 of every name and region."""
    regions = sorted({task["region"] for task in tasks})
    for region in regions:
        for name in dict.fromkeys(task["name"] for task in tasks):
            print(f"{region} {name:24} {macro_f1_of(folder, out / name, region):.4f}", flush=True)


def work(folder: Path, tasks: list[dict[str, Any]], out: Path, claims: Path) -> None:
    """Take tasks that nobody has taken, until none is left."""
    from models.backend import bring_up

    bring_up()
    for number, task in enumerate(tasks):
        try:
            (claims / f"{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        try:
            run_task(task, folder, out)
        except Exception as error:
            print(f"FAILED {task['name']} {task['region']} {task['fold']}: {error!r}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("tasks", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--claims", type=Path, help="of one worker among several")
    asked = parser.parse_args()
    tasks = json.loads(asked.tasks.read_text(encoding="utf-8"))
    claims = asked.claims or asked.out / "claims"
    claims.mkdir(parents=True, exist_ok=True)
    if asked.claims is None and asked.workers > 1:
        module = "tests.benchmarks.patch_training"
        command = [sys.executable, "-m", module, *sys.argv[1:], "--claims", str(claims)]
        running = [subprocess.Popen(command, env=os.environ) for _ in range(asked.workers)]
        for one in running:
            one.wait()
        summary(asked.folder, tasks, asked.out)
    else:
        work(asked.folder, tasks, asked.out, claims)


if __name__ == "__main__":
    main()
