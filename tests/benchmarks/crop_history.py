"""What earlier declarations add to the crop models, and whether a farmer who rotates is flagged more often.

`uv run python -m tests.benchmarks.crop_history RUN [--config FILE] [--set KEY=VALUE] [--folder DIR] [--json
FILE]`, RUN the folder of a finished run of a simulated region. Its models are trained and its parcels judged
without what the same ground was declared as the year before, and with it. Flagged: right declarations that
are contradicted or inconclusive, apart for ground that was declared as the same class the year before and as
another. Intervals of shares are Clopper and Pearson's.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import geopandas as gpd
import polars as pl

from features.context.history import parcel_history
from features.context.options import HistoryOptions
from features.declarations.crop_codes import read_crop_table
from features.files import read_parquet
from features.simulate.region.world import make_world
from models.evaluation.metrics import clopper_pearson
from pipelines.config import RunConfig, load_config
from pipelines.inputs.crop_tables import crop_options
from pipelines.plan import judge, train
from pipelines.steps.evaluation.evaluate import read_truth
from pipelines.tables import read_declared, write_table
from pipelines.workspace import Workspace

NOT_COPIED = shutil.ignore_patterns("models", "reports", "exports", "catalog", "region.json")
METRICS = ("false_alarm_rate", "miss_rate", "decided_rate")
WAYS = ("without", "with")


def main() -> None:
    """Train and judge both ways, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--config", type=Path, default=Path("conf/synthetic.yaml"))
    parser.add_argument("--set", action="append", default=[], help="as `cropcheck run` takes it")
    parser.add_argument("--folder", type=Path, default=Path("out/crop_history"), help="of the runs")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    config = load_config(arguments.config, arguments.set)
    rows: list[dict[str, Any]] = []
    for way in WAYS:
        rows += judged(way, arguments.run, arguments.folder / way, config)
    for row in rows:
        print(*(row[name] for name in ("subject", "metric", "value", "low", "high", "n")), sep="\t")
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


def judged(way: str, run: Path, folder: Path, config: RunConfig) -> list[dict[str, Any]]:
    """Train and judge in one way; return its rows."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(run, folder, ignore=NOT_COPIED)
    workspace = Workspace(folder)
    before = earlier(config, workspace, folder / "earlier.gpkg")
    if way == "with":
        context = (
            read_parquet(workspace.context) if workspace.context.is_file() else before.select("parcel_id")
        )
        write_table(context.join(before, on="parcel_id", how="left"), workspace.context)
    for stage in (train, judge):
        stage.stage(config).run(config, workspace, lambda done, total: None)
    metrics = json.loads(workspace.metrics.read_text(encoding="utf-8"))
    found = {"macro_f1": metrics["models"]["ensemble"]["macro_f1"]}
    found |= {name: metrics["verdicts"][name]["count"] for name in METRICS}
    found |= flagged(config, workspace, before)
    return [{"work": "crop_history", "subject": way, "metric": name, **one} for name, one in found.items()]


def earlier(config: RunConfig, workspace: Workspace, path: Path) -> pl.DataFrame:
    """Return what the ground of each parcel was declared as the year before, from that year's parcel file."""
    assert config.simulate is not None
    year = config.season.year - 1
    world = make_world(config.simulate, year, config.seed)
    declared = read_declared(workspace)
    codes = gpd.GeoDataFrame(
        {"code": world.declared.code.astype(str)}, geometry=list(world.parcels), crs=declared.crs
    )
    codes.to_file(path, driver="GPKG")
    table = read_crop_table(crop_options(config, workspace))
    class_of = dict(table.select("code", "crop_class").iter_rows())
    options = (HistoryOptions(path=path, year=year, code="code"),)
    return parcel_history(declared, options, config.season.year, class_of.get, "code")


def flagged(config: RunConfig, workspace: Workspace, before: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Return how often right declarations are contradicted or left open, by what the ground was before."""
    truth = read_truth(config, workspace)
    assert truth is not None
    names = [name for name in before.columns if name != "parcel_id"]
    last = before.unpivot(names, index="parcel_id").filter(pl.col("value") > 0.5)
    last = last.with_columns(before=pl.col("variable").str.replace(r"^history_1_", ""))
    declared = pl.from_pandas(read_declared(workspace)[["parcel_id", "crop_class"]])
    table = (
        read_parquet(workspace.verdicts)
        .join(declared, on="parcel_id")
        .join(truth, on="parcel_id")
        .join(last.select("parcel_id", "before"), on="parcel_id")
        .filter(pl.col("true_class") == pl.col("crop_class"))
    )
    rows: dict[str, dict[str, Any]] = {}
    for kind, chosen in (("same", True), ("other", False)):
        part = table.filter((pl.col("before") == pl.col("crop_class")) == chosen)
        for verdict in ("contradicted", "inconclusive"):
            share = float((part["verdict"] == verdict).mean() or 0)
            low, high = clopper_pearson(share, part.height)
            rows[f"{verdict}_of_right_{kind}_as_before"] = {
                "value": share, "low": low, "high": high, "n": part.height,
            }  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
