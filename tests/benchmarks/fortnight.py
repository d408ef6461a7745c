"""What a fortnight's new scenes cost: two optical dates and four radar passes of a season's 72 and more.

`uv run python -m tests.benchmarks.fortnight [--parcels N] [--folder F] [--set KEY=VALUE] [--json FILE]`

Makes a region once, takes its last dates out of the catalog, and runs it from nothing; puts them back, and
runs the same folder again; then runs another folder from nothing with the same models. Prints the seconds of
each, by stage, the share of the second run in the first, and which tables of the second and third run differ.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from features.files import read_parquet, sha256

CONFIG = Path(__file__).parents[2] / "conf" / "synthetic.yaml"
OPTICAL, RADAR = 2, 4  # scenes that come in later
OF_THIS_RUN = ("timing", "changes_verdicts", "changes_acquisitions")
USUAL = ("clear.method=none", "tracking.enabled=false", "train.keep.most_loss=1")


def main() -> None:
    """Make the region, run it three times, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parcels", type=int, default=2600)
    parser.add_argument("--folder", type=Path, default=Path("out/fortnight"))
    parser.add_argument("--set", action="append", default=[], help="as `cropcheck run` takes it")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    folder, settings = arguments.folder.absolute(), [*USUAL, *arguments.set]
    config, collections = make_region(folder, arguments.parcels)
    whole = {path: path.read_text() for path in collections}
    later = without_last(whole)
    for path, text in later.items():
        path.write_text(text)
    first = run(config, folder / "run", settings)
    for path, text in whole.items():
        path.write_text(text)
    second = run(config, folder / "run", settings)
    fresh = folder / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    for name in ("models", "event_models", "forecast_models"):
        if (folder / "run" / name).is_dir():
            shutil.copytree(folder / "run" / name, fresh / name)
    shutil.copy(folder / "run" / ".holding_key", fresh)
    third = run(config, fresh, settings)
    differing = others(folder / "run", fresh)
    rows = [
        *_rows("first", first, arguments.parcels),
        *_rows("incremental", second, arguments.parcels),
        *_rows("fresh_with_models", third, arguments.parcels),
        _row("share_incremental", second["whole"] / first["whole"], arguments.parcels, "1"),
        _row("share_incremental_cpu", second["cpu"] / first["cpu"], arguments.parcels, "1"),
        _row("tables_that_differ", float(len(differing)), arguments.parcels, "1"),
    ]
    for row in rows:
        print(f"{row['metric']:<44}{row['value']:10.3f} {row['unit']}")
    print("differ:", differing or "none")
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


def make_region(folder: Path, parcels: int) -> tuple[Path, list[Path]]:
    """Make a region of so many parcels, unless it is there; return a config that reads it as an agency's, and
    its catalog's collections.
    """
    made = folder / "made"
    if not (made / "receipts" / "synthesise.json").is_file():
        words = ["synthesise", str(CONFIG), "--out", str(made), "--set", f"simulate.n_parcels={parcels}"]
        subprocess.run([sys.executable, "-m", "pipelines.cli", *words], check=True)
    region, document = made / "region", yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    del document["simulate"]
    document["declarations"] |= {"path": f"{region}/declarations.gpkg"}
    document["declarations"]["crops"] = {"tables": [f"{region}/crops.csv"]}
    document["imagery"] = {"catalog": f"{region}/catalog/catalog.json"}
    config = folder / "agency.yaml"
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    return config, sorted((region / "catalog").rglob("collection.json"))


def without_last(collections: dict[Path, str]) -> dict[Path, str]:
    """Return the collections without the items of the last dates."""
    found = {}
    for path, text in collections.items():
        content = json.loads(text)
        items = [link for link in content["links"] if link["rel"] == "item"]
        dated = sorted(items, key=lambda link: _when(path.parent / link["href"]))
        optical = "s2" in str(path.parent.name).lower() or "sentinel-2" in str(path.parent.name).lower()
        gone = [link["href"] for link in dated[-(OPTICAL if optical else RADAR) :]]
        links = [link for link in content["links"] if link.get("href") not in gone]
        found[path] = json.dumps({**content, "links": links})
    return found


def _when(item: Path) -> str:
    return str(json.loads(item.read_text(encoding="utf-8"))["properties"]["datetime"])


def run(config: Path, out: Path, settings: list[str]) -> dict[str, float]:
    """Run a config into a folder, in a process of its own; return the seconds of the whole, of all processors
    together (`cpu`), and of each stage that ran.
    """
    before = _ended(out)
    words = [word for setting in settings for word in ("--set", setting)]
    started = time.perf_counter()
    command = [sys.executable, "-m", "pipelines.cli", "run", str(config), "--out", str(out), *words]
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        raise SystemExit(f"the run ended with {process.returncode}")
    seconds = {"whole": time.perf_counter() - started, "cpu": usage.ru_utime + usage.ru_stime}
    after = _ended(out)
    return seconds | {
        name: took for name, (when, took) in after.items() if before.get(name, (0, 0.0))[0] != when
    }


def _ended(out: Path) -> dict[str, tuple[int, float]]:
    """When each stage ended, and the seconds that it took."""
    return {
        path.stem: (path.stat().st_mtime_ns, json.loads(path.read_text())["seconds"])
        for path in sorted((out / "receipts").glob("[a-z]*.json"))
    }


def others(one: Path, two: Path) -> list[str]:
    """Return the tables that are not equal to the byte; the probabilities' rows are looked at too."""
    tables = [*one.glob("*.parquet"), *one.glob("evaluation/*.parquet")]
    names = [str(path.relative_to(one)) for path in tables if path.stem not in OF_THIS_RUN]
    assert len(read_parquet(one / "verdicts.parquet"))
    return sorted(
        name for name in names if not (two / name).is_file() or sha256(one / name) != sha256(two / name)
    )


def _rows(which: str, seconds: dict[str, float], parcels: int) -> list[dict[str, Any]]:
    return [_row(f"seconds_{which}_{name}", value, parcels, "s") for name, value in seconds.items()]


def _row(metric: str, value: float, parcels: int, unit: str) -> dict[str, Any]:
    return {"work": "region_20k", "subject": "cropcheck", "metric": metric, "value": value, "low": None,
            "high": None, "n": parcels, "unit": unit}  # fmt: skip


if __name__ == "__main__":
    main()
