"""What each cloud mask does for series and verdicts: the main job on simulated regions.

uv run python -m tests.benchmarks.cloud_mask_downstream --json FILE [--seeds 21 22 23] [--arm temporal]

The settings are those of `conf/synthetic.yaml` on fewer parcels, gaps filled linearly. `dates_kept`: share of
the passes on which at least half of a parcel was seen. `ndvi_noise`: mean distance of a parcel's NDVI from
the line between the looks before and after it, both under 12 days away. Verdict errors are counted over
parcels. Intervals: Student's t over regions; `... minus scl` are differences within regions. Work that FILE
already holds is not done again; `--series-only` ends after extraction and renews what is known by then.
"""

import argparse
import json
from pathlib import Path

import polars as pl

from features.files import read_parquet
from models.clouds.mask.scoring import LONGEST_GAP_DAYS
from pipelines.config import load_config
from pipelines.main_job import stages
from pipelines.record.stage import run_stage
from pipelines.workspace import Workspace
from tests.benchmarks.cloud_mask import Row, machine, over_regions, row
from tests.benchmarks.clouds_downstream import CONFIG, figures

ARMS = ("scl", "fmask", "temporal", "unet", "combined")
LEAST_SEEN = 0.5  # share of a parcel
NOT_NEEDED = ("forecast", "compare", "publish")
Found = dict[str, dict[str, dict[str, float]]]  # by arm, region, metric


def run_arm(seed: int, arm: str, parcels: int, folder: Path, series_only: bool = False) -> dict[str, float]:
    """Run the job from the region to verdicts, or to series; arms of one region share what they can."""
    settings = {
        "seed": seed, "simulate.n_parcels": parcels, "clear.mask.method": arm, "clear.method": "linear",
        "train.explanation.parcels": 1, "tracking.enabled": "false",
    }  # fmt: skip
    config = load_config(CONFIG, [f"{name}={value}" for name, value in settings.items()])
    workspace = Workspace(folder / str(seed))
    for stage in stages(config):
        if stage.name not in NOT_NEEDED:
            run_stage(stage, config, workspace, _silent)
        if series_only and stage.name == "extract":
            return of_series(workspace.observations)
    verdicts = figures(json.loads(workspace.metrics.read_text(encoding="utf-8")))
    return {**of_series(workspace.observations), **{name: value for name, (value, _) in verdicts.items()}}


def of_series(folder: Path) -> dict[str, float]:
    """Return the share of passes that were seen and the noise of NDVI."""
    ndvi = pl.concat([read_parquet(path) for path in sorted(folder.rglob("*.parquet"))], how="diagonal")
    ndvi = ndvi.filter(pl.col("feature") == "ndvi")
    passes = ndvi.select(pl.col("datetime").dt.date()).n_unique() * ndvi["parcel_id"].n_unique()
    seen = ndvi.filter(pl.col("valid_share") - pl.col("filled_share").fill_null(0) >= LEAST_SEEN)
    seen = seen.filter(pl.col("mean").is_finite())
    seen = seen.sort("parcel_id", "datetime").with_columns(
        (pl.col("datetime").dt.epoch("s") / 86400).alias("day")
    )
    return {"dates_kept": len(seen) / passes, "ndvi_noise": noise(seen)}


def noise(seen: pl.DataFrame) -> float:
    """Return the mean distance from the line between neighbours.

    >>> looks = pl.DataFrame({"parcel_id": ["a"] * 3, "day": [0.0, 5.0, 10.0], "mean": [0.2, 0.5, 0.4]})
    >>> looks = looks.with_columns(part=None)  # what an index of parts leaves empty
    >>> round(noise(looks), 3)
    0.2
    """
    of = {
        f"{name}_{side}": pl.col(name).shift(shift).over("parcel_id")
        for name in ("day", "mean")
        for side, shift in (("before", 1), ("after", -1))
    }
    table = seen.with_columns(**of).drop_nulls(list(of))
    back, ahead = pl.col("day") - pl.col("day_before"), pl.col("day_after") - pl.col("day")
    table = table.filter((back < LONGEST_GAP_DAYS) & (ahead < LONGEST_GAP_DAYS) & (back + ahead > 0))
    line = (pl.col("mean_before") * ahead + pl.col("mean_after") * back) / (back + ahead)
    found = table.select((pl.col("mean") - line).abs().mean()).item()
    return float("nan") if found is None else float(found)


def _silent(done: int, total: int) -> None:
    """Show nothing."""


def summary(found: Found) -> list[Row]:
    """Return each arm's figures over regions, and their differences from those of the scene classes."""
    out = []
    for arm, regions in found.items():
        every = [*regions.values(), *found.get("scl", {}).values()]
        for metric in [name for name in every[0] if all(name in one for one in every)]:
            out.append(
                row("downstream", arm, metric, *over_regions([one[metric] for one in regions.values()]))
            )
            both = sorted(set(regions) & set(found.get("scl", {})))
            if arm != "scl" and both:
                values = [regions[seed][metric] - found["scl"][seed][metric] for seed in both]
                out.append(row("downstream", f"{arm} minus scl", metric, *over_regions(values)))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--arm", action="append", choices=ARMS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22, 23])
    parser.add_argument("--parcels", type=int, default=500)
    parser.add_argument("--folder", type=Path, default=Path("out/cloud-mask-downstream"), help="of the runs")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--series-only", action="store_true", help="renew dates_kept and ndvi_noise alone")
    asked = parser.parse_args()
    found: Found = {}
    if asked.json and asked.json.is_file():
        found = json.loads(asked.json.read_text(encoding="utf-8"))["regions"]
    for seed in asked.seeds:
        for arm in asked.arm or ARMS:
            before = found.get(arm, {}).get(str(seed), {})
            if before and not asked.series_only:
                continue
            values = run_arm(seed, arm, asked.parcels, asked.folder, asked.series_only)
            print(seed, arm, {name: round(value, 4) for name, value in values.items()}, flush=True)
            found.setdefault(arm, {})[str(seed)] = {**before, **values}
            if asked.json:
                said = {
                    "machine": machine(),
                    "parcels": asked.parcels,
                    "rows": summary(found),
                    "regions": found,
                }
                asked.json.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
