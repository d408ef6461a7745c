"""What masks keep as the main job applies them, with their buffers: how much, and how much of it is bad.

uv run python -m tests.benchmarks.cloud_mask_kept --json FILE [--regions FOLDER] [--data FOLDER]

On five simulated regions the truth says how many of the kept pixels are cloud or shadow; on real series it
is how far a kept value lies from the line between the kept ones before and after it. `scl` is grown by one
pixel, as `extract.mask.dilation_m` does; `temporal` by its buffers of 2, 1 and 1 pixels; `temporal_narrow` by
one pixel around cloud only. Intervals: Student's t over regions; bootstrap over squares of 8 x 8 pixels.
"""

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.clouds.mask.classes import CLEAR
from models.clouds.mask.decide import classes_of
from models.clouds.mask.frames import Frames, Mask
from models.clouds.mask.methods.scene_class import SceneClassMask
from models.clouds.mask.methods.temporal import TemporalMask
from models.clouds.mask.options import Buffers, CloudMaskOptions
from models.clouds.mask.scoring import interval, missed_and_lost, smoothness
from tests.benchmarks.cloud_mask import SEEDS, Row, chances_of, machine, over_regions, row
from tests.benchmarks.data.mask_data import CUBES, flanders, minicube, squares
from tests.benchmarks.data.mask_regions import known_region

ARMS: dict[str, tuple[Mask, Buffers]] = {
    "scl": (SceneClassMask(), Buffers(cloud=1, thin=1, shadow=1)),
    "temporal": (TemporalMask(), Buffers()),
    "temporal_narrow": (TemporalMask(), Buffers(cloud=1, thin=0, shadow=0)),
}


def kept(frames: Frames, arm: str) -> np.ndarray:
    """Return which pixels a mask with its buffers calls clear, bool `(time, y, x)`."""
    mask, buffers = ARMS[arm]
    options = CloudMaskOptions(method="temporal", buffer_px=buffers)
    return np.stack([classes_of(chances, options) == CLEAR for chances in chances_of(mask, frames)])


def simulated(folder: Path) -> Iterator[Row]:
    found: dict[tuple[str, str], list[float]] = {}
    for seed in SEEDS:
        known = known_region(seed, folder)
        assert known.truth is not None
        scored = known.truth < 4
        for arm in ARMS:
            here = kept(known.frames, arm) & scored
            lost = missed_and_lost(here, known.truth)[1]
            bad = float((known.truth[here] != CLEAR).mean())
            numbers = {"kept": float(here[scored].mean()), "clear_kept": 1 - lost, "bad_among_kept": bad}
            for metric, value in numbers.items():
                found.setdefault((arm, metric), []).append(value)
    for (arm, metric), values in found.items():
        yield row("kept", arm, f"{metric}_simulated", *over_regions(values))


def real(data: Path) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    for known in (flanders(data, 0), *(minicube(data, cube) for cube in CUBES)):
        frames, areas = known.frames, squares(known.frames.shape)
        red, near = frames.band("B04"), frames.band("B8A", "B08")
        with np.errstate(invalid="ignore", divide="ignore"):
            ndvi = np.clip((near - red) / (near + red), -1, 1)
        seen = np.isfinite(ndvi)
        pixels = {arm: kept(frames, arm) & seen for arm in ARMS}
        for arm, here in pixels.items():
            yield row("kept", arm, f"kept_{known.name}", float(here[seen].mean()), n=int(seen.sum()))
            for measure, values in (("ndvi", ndvi), ("blue", frames.band("B02"))):
                ours, theirs = (smoothness(values, frames.days, p, areas) for p in (here, pixels["scl"]))
                metric = f"temporal_smoothness_{measure}_{known.name}"
                yield row("kept", arm, metric, ours.mean, n=int(ours.count.sum()))
                if arm != "scl":
                    less = interval(ours, theirs, rng)
                    yield row("kept", arm, f"{metric}_less_scl", *less, n=int(areas.max()) + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--regions", type=Path, default=Path("out/benchmarks/clouds"))
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CROPCHECK_DATA", "../shared/data")))
    asked = parser.parse_args()
    rows = [*simulated(asked.regions), *real(asked.data)]
    for one in rows:
        print(*(one[key] for key in ("subject", "metric", "value", "low", "high", "n")), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
