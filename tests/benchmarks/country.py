"""A country's series, made by a generator of statistics, through every stage that follows extraction.

`uv run python -m tests.benchmarks.country [--parcels N [N ...]] [--folder F] [--set KEY=VALUE]
[--memory SIZE] [--json FILE] [--resume]`

Writes tables as others would have extracted them (72 dates, 20 features, 20 classes of very uneven size,
clouds by place and date, holdings of about eight neighbouring parcels, 2% wrong declarations), and runs each
stage by its own command in a process of its own: seconds and peak memory, and how well crops were told apart.
Of several sizes, each stage's growth from one to the next: seconds per parcel relative to the smaller one,
and bytes of peak memory for each parcel more. What has been measured is in the file of `--json` after every
stage; `--resume` goes on from there. Nothing begins where the disk would be full before the end.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.memory import VARIABLE, parsed
from pipelines.config import RunConfig, load_config
from pipelines.steps.estimate.disk import short_of_disk
from pipelines.steps.estimate.load import Load, load_of_tables
from pipelines.steps.estimate.memory import memory_of
from pipelines.steps.estimate.seconds import seconds_of

# `read` runs with `extract`
STAGES = ("extract", "fill", "train", "detect", "judge", "forecast", "compare", "publish")
START, DATES, EVERY_DAYS = date(2024, 3, 2), 36, 7  # optical dates; radar passes follow two days later
CLASSES, WRONG, CLOUDY = 20, 0.02, 0.45
PER_HOLDING, PER_FILE = 8, 5000
MEASURED = ("seconds_", "peak_gib_", "cpu_seconds_")  # what `--resume` takes over; the rest follows from it
WEST, SOUTH, WIDTH, HEIGHT, CELL = 13.5, 45.5, 3.0, 1.4, 0.1  # degrees
# reflectance of bare soil, and of a full canopy less that
BANDS = {
    "B02": (0.09, -0.06), "B03": (0.12, -0.05), "B04": (0.16, -0.13), "B05": (0.19, -0.08),
    "B06": (0.21, 0.11), "B07": (0.23, 0.20), "B08": (0.25, 0.25), "B8A": (0.26, 0.27), "B11": (0.32, -0.13),
    "B12": (0.27, -0.17),
}  # fmt: skip
DERIVED = ("psri", "ndvi", "ndwi", "ndre")
RADAR = {"s0vv_db": (-11.0, 2.0), "s0vh_db": (-20.0, 6.0), "cohvv": (0.65, -0.4), "cohvh": (0.5, -0.3),
         "rvi": (0.35, 0.5), "vvvh_db": (9.0, -4.0)}  # fmt: skip
CONFIG = """
name: country
season: {{year: 2024, start: 2024-03-01, end: 2024-11-15}}
declarations: {{crops: {{tables: [{folder}/codes.csv]}}}}
series:
  statistics: [mean]
  tables: [{{path: {folder}/tables, columns: {columns}}}]
  labels: {{code: crop, longitude: x, latitude: y, holding: farm}}
clear: {{method: none}}
folds: {{block_metres: 2000}}
tracking: {{enabled: false}}
"""


def main() -> None:
    """Make the tables, run the stages, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parcels", type=int, nargs="+", default=[20_000])
    parser.add_argument("--folder", type=Path, default=Path("out/country"))
    parser.add_argument("--set", action="append", default=[], help="as `cropcheck run` takes it")
    parser.add_argument("--memory", help="as `cropcheck run` takes it")
    parser.add_argument("--upto", choices=STAGES, default=STAGES[-1])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--resume", action="store_true", help="leave out the stages that --json has")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if arguments.resume and arguments.json and arguments.json.is_file():
        known = json.loads(arguments.json.read_text())["rows"]
        rows += [row for row in known if row["metric"].startswith(MEASURED)]
    for parcels in arguments.parcels:
        of_size(parcels, arguments, rows)
    for few, many in pairwise(sorted(arguments.parcels)):
        rows += growth(rows, few, many)
    save(rows, arguments.json)


def of_size(parcels: int, arguments: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Make the tables of so many parcels, run the stages that `rows` has nothing of, and add their rows."""
    folder = arguments.folder.absolute()
    folder = folder if len(arguments.parcels) == 1 else folder / str(parcels)
    refuse_small_disk(folder, parcels, arguments.set)
    config = write_country(folder, parcels)
    wanted = STAGES[: STAGES.index(arguments.upto) + 1]
    measure(wanted, config, folder / "run", parcels, arguments, arguments.set, rows)
    of_this = [row for row in rows if row["n"] == parcels]
    options = load_config(config, arguments.set)
    rows += foretold(options, _load(options, parcels), of_this)
    rows += quality(folder / "run")


def measure(
    stages: Iterable[str],
    config: Path,
    run: Path,
    parcels: int,
    arguments: argparse.Namespace,
    settings: list[str],
    rows: list[dict[str, Any]],
    work: str = "series_1m",
) -> None:
    """Run the stages that `rows` has nothing of, one after another; print, add and keep what each took."""
    for stage in stages:
        if any(row["metric"] == f"seconds_{stage}" and row["n"] == parcels for row in rows):
            continue
        rows += measured(stage, config, run, settings, parcels, arguments.memory, work)
        said = (f"{row['metric']} {row['value']:.2f} {row['unit']}" for row in rows[-3:])
        print(*said, sep="   ", flush=True)
        save(rows, arguments.json)


def refuse_small_disk(folder: Path, parcels: int, settings: list[str]) -> None:
    """Stop where the disk has less than the tables, and the run, will take."""
    folder.mkdir(parents=True, exist_ok=True)
    options = load_config(_config(folder, parcels), settings)
    said = short_of_disk(options, _load(options, parcels), folder)
    if said:
        raise SystemExit(said)


def _load(options: RunConfig, parcels: int) -> Load:
    return load_of_tables(options, parcels, 2 * DATES, len(BANDS) + len(DERIVED) + len(RADAR))


def save(rows: list[dict[str, Any]], path: Path | None) -> None:
    """Write what has been measured, where a file is asked for."""
    if path:
        path.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


def growth(rows: list[dict[str, Any]], few: int, many: int) -> list[dict[str, Any]]:
    """Print, and return, how each stage grows from one size to another."""
    value = {(row["metric"], row["n"]): row["value"] for row in rows}
    common = {"work": "series_1m", "subject": "cropcheck", "low": None, "high": None, "n": many}
    found = []
    for stage in STAGES:
        if (f"seconds_{stage}", few) not in value or (f"seconds_{stage}", many) not in value:
            continue
        seconds, processor, memory = (
            [value[f"{metric}_{stage}", n] for n in (few, many)]
            for metric in ("seconds", "cpu_seconds", "peak_gib")
        )
        ratio, of_processor = ((took[1] / many) / (took[0] / few) for took in (seconds, processor))
        bytes_each = (memory[1] - memory[0]) * 2**30 / (many - few)
        print(
            f"{stage}: from {few} to {many} {ratio:.2f} of the time a parcel, {of_processor:.2f} of the "
            f"processor's, {bytes_each:.0f} bytes a parcel"
        )
        of_few = f"of that at {few}"
        found += [
            {**common, "metric": f"time_a_parcel_{stage}", "value": ratio, "unit": of_few},
            {**common, "metric": f"cpu_a_parcel_{stage}", "value": of_processor, "unit": of_few},
            {**common, "metric": f"bytes_a_parcel_{stage}", "value": bytes_each, "unit": "B"},
        ]
    return found


def write_country(folder: Path, parcels: int) -> Path:
    """Write the tables, the code table and the config, unless they are there; return the config."""
    done = folder / f"country_{parcels}.done"
    config = _config(folder, parcels)
    if done.is_file():
        return config
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    codes = "\n".join(f"{number},crop {number},,crop_{number:02d}" for number in range(CLASSES))
    (folder / "codes.csv").write_text(f"code,name,hcat_code,crop_class\n{codes}\n")
    for number, table in enumerate(chunks(parcels)):
        table.write_parquet(folder / "tables" / f"part_{number:04d}.parquet", compression="zstd")
    done.touch()
    return config


def _config(folder: Path, parcels: int) -> Path:
    path = folder / f"country_{parcels}.yaml"
    columns = "{" + ", ".join(f"{name}: {name}" for name in (*BANDS, *DERIVED, *RADAR)) + "}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(CONFIG.format(folder=folder, columns=columns))
    return path


def chunks(parcels: int, seed: int = 1) -> Iterator[pl.DataFrame]:
    """Yield wide tables of PER_FILE parcels, one row a parcel and date on which something was seen."""
    rng = np.random.default_rng(seed)
    shares = 1 / np.arange(1, CLASSES + 1)
    cells = (round(WIDTH / CELL), round(HEIGHT / CELL))
    cloud = rng.random((DATES, *cells)) < CLOUDY
    holdings = rng.uniform((WEST, SOUTH), (WEST + WIDTH, SOUTH + HEIGHT), (-(-parcels // PER_HOLDING), 2))
    habit = rng.normal(0, 4, len(holdings))  # days by which a holding is early or late
    for start in range(0, parcels, PER_FILE):
        number = np.arange(start, min(start + PER_FILE, parcels))
        holding = number // PER_HOLDING
        place = holdings[holding] + rng.normal(0, 0.004, (len(number), 2))
        crop = rng.choice(CLASSES, len(number), p=shares / shares.sum())
        declared = np.where(rng.random(len(number)) < WRONG, rng.integers(0, CLASSES, len(number)), crop)
        column, row = (np.clip((place - (WEST, SOUTH)) // CELL, 0, np.array(cells) - 1).astype(int)).T
        seen = ~cloud[:, column, row].T  # (parcel, date)
        keys = {"number": number, "holding": holding, "declared": declared, "place": place}
        yield pl.concat([
            _rows(keys, crop, habit[holding], seen, BANDS, 0, 0.02, rng),
            _rows(keys, crop, habit[holding], np.ones_like(seen), RADAR, 2, 0.08, rng),
        ], how="diagonal_relaxed")  # fmt: skip


def canopy(crop: np.ndarray, shift: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Return how much of the ground is green, 0 to 1, `(parcel, date)`; crops differ in when and how much."""
    rise, fall = 40 + 11.0 * (crop % 7), 110 + 13.0 * (crop % 10)
    most = 0.95 - 0.02 * crop
    t = day[None, :] - shift[:, None]
    up, down = (1 / (1 + np.exp(-(t - at[:, None]) / 8)) for at in (rise, rise + fall))
    return np.asarray(0.05 + (most[:, None] - 0.05) * (up - down))


def _rows(
    keys: dict[str, np.ndarray],
    crop: np.ndarray,
    habit: np.ndarray,
    seen: np.ndarray,
    features: dict[str, tuple[float, float]],
    later: int,
    noise: float,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """One sensor's rows: every feature follows the canopy, with noise of a share of its range."""
    days = np.arange(DATES) * EVERY_DAYS + later
    green = canopy(crop, habit + rng.normal(0, 6, len(crop)), days)
    parcel, step = np.nonzero(seen)
    values = {
        name: (bare + span * (green[parcel, step] + rng.normal(0, noise, len(parcel)))).astype(np.float32)
        for name, (bare, span) in features.items()
    }
    if features is BANDS:
        values |= _derived(values)
    dates = np.array([START + timedelta(days=int(day)) for day in days])
    return pl.DataFrame(
        {
            "parcel_id": [f"{number:07d}" for number in keys["number"][parcel]],
            "date": dates[step].tolist(),
            "crop": keys["declared"][parcel].astype(str).tolist(),
            "farm": [f"f{number:06d}" for number in keys["holding"][parcel]],
            "x": keys["place"][parcel, 0],
            "y": keys["place"][parcel, 1],
            **values,
        }
    )


def _derived(bands: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    def ratio(first: str, second: str) -> np.ndarray:
        return np.asarray((bands[first] - bands[second]) / (bands[first] + bands[second]))

    psri = (bands["B04"] - bands["B02"]) / bands["B06"]
    return {
        "ndvi": ratio("B08", "B04"),
        "psri": psri,
        "ndwi": ratio("B03", "B08"),
        "ndre": ratio("B08", "B05"),
    }


def measured(
    stage: str,
    config: Path,
    run: Path,
    settings: list[str],
    parcels: int,
    memory: str | None = None,
    work: str = "series_1m",
    more: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Run one stage in a process of its own, `more` behind its command; seconds, and its peak memory."""
    words = [*more, *(word for setting in settings for word in ("--set", setting))]
    environment = os.environ | ({VARIABLE: str(parsed(memory))} if memory else {})
    command = [sys.executable, "-m", "pipelines.cli", stage, str(config), "--out", str(run), *words]
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        raise SystemExit(f"{stage} ended with {process.returncode}")
    seconds = time.perf_counter() - started
    common = {"work": work, "subject": "cropcheck", "low": None, "high": None, "n": parcels}
    return [
        {**common, "metric": f"seconds_{stage}", "value": seconds, "unit": "s"},
        {**common, "metric": f"peak_gib_{stage}", "value": _gib(usage), "unit": "GiB"},
        {**common, "metric": f"cpu_seconds_{stage}", "value": usage.ru_utime + usage.ru_stime, "unit": "s"},
    ]


def foretold(
    options: RunConfig, load: Load, found: list[dict[str, Any]], work: str = "series_1m"
) -> list[dict[str, Any]]:
    """Print, and return, what `check` foretells of each stage beside what was measured."""
    measured = {row["metric"]: row["value"] for row in found}
    rows = []
    for metric, said in (("seconds", seconds_of(options, load)), ("peak_gib", memory_of(options, load))):
        for stage, value in said.items():
            if f"{metric}_{stage}" in measured:
                name = f"foretold_{metric}_{stage}"
                print(f"{name} {value:.2f}, measured {measured[f'{metric}_{stage}']:.2f}")
                rows.append(
                    {"work": work, "subject": "cropcheck", "metric": name, "value": value, "low": None,
                     "high": None, "n": load.parcels, "unit": "s" if metric == "seconds" else "GiB"}
                )  # fmt: skip
    return rows


def _gib(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / 2**20


def quality(run: Path) -> list[dict[str, Any]]:
    """Macro-F1 against what was declared, with n and interval; nothing before `judge` has ended."""
    path = run / "metrics.json"
    if not path.is_file():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))["models"]["ensemble"]["macro_f1"]
    print(f"macro_f1 {found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]")
    return [{"work": "series_1m", "subject": "cropcheck", "metric": "macro_f1", **found, "unit": "1"}]


if __name__ == "__main__":
    main()
