"""How many labelled windows the mask's network needs: chosen ones against random ones, and pre-trained
against trained from nothing.

uv run python -m tests.benchmarks.cloud_mask_labels --json FILE [--regions FOLDER] [--draws 2] [--jobs 2]

Of each simulated region, windows of 32 x 32 pixels on every second date may be labelled, with the region's
truth; errors are those of the other dates: one less the mean recall of the four classes. Every training takes
the same number of steps.

`random`: windows in random order. `chosen`: those that `cropcheck label` chooses (disagreement and
uncertainty, spread out), chosen again after each training. `fine_tuned`: the random windows, but training
goes on from a network that learned other simulated regions; `error_0` is of that network before it.
`labels_needed_share`: labels at which the mean error over regions and draws is that of `random` with all of
them, as a share of all; interpolated between trainings, 1 where it never is; bootstrap over regions.
`labels_needed_share_by_region`: the same of each region, then their mean. Other intervals: Student's t over
regions. KERAS_BACKEND=jax runs it on a GPU.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from models.clouds.mask.classes import CLEAR, UNKNOWN
from models.clouds.mask.frames import Mask
from models.clouds.mask.labels.windows import Window, candidates, choose
from models.clouds.mask.methods.scene_class import SceneClassMask
from models.clouds.mask.methods.temporal import TemporalMask
from models.clouds.mask.network.inputs import bands_of
from models.clouds.mask.network.painting import draw_sky, paint
from models.clouds.mask.network.samples import BANDS, Sample
from models.clouds.mask.network.unet import UNetMask
from models.clouds.mask.options import MaskNetworkOptions
from models.clouds.mask.scoring import by_class
from tests.benchmarks.cloud_mask import Row, chances_of, classes, machine, over_regions, row
from tests.benchmarks.data.mask_regions import Known, known_region

SEEDS = (11, 12, 13, 14, 15)  # nothing was chosen on these
OTHERS = tuple(range(34, 43))  # that the pre-trained network learns
SIDE = 32
BUDGETS = (8, 16, 32, 48, 64, 96, 128)
STEPS = 960
ARMS = ("random", "chosen")
CLASSES = ("clear", "shadow", "thin", "cloud")
PRETRAINING = MaskNetworkOptions(batch_size=16, epochs=60)
WINDOWS_OF_EACH = 48  # of each region that the pre-trained network learns, of 64 x 64 pixels
Curve = dict[int, list[float]]  # recall of each class, by number of labelled windows


class Region:
    """One region: dates whose windows may be labelled, and dates to score on."""

    def __init__(self, known: Known) -> None:
        assert known.truth is not None
        self.values, self.truth = bands_of(known.frames), known.truth
        self.pool = known.frames.only(slice(0, None, 2))
        self.judged = known.frames.only(slice(1, None, 2))
        masks: tuple[Mask, ...] = (SceneClassMask(), TemporalMask())
        self.answers = [chances_of(mask, known.frames)[::2] for mask in masks]

    def windows(self, network: UNetMask | None = None) -> list[Window]:
        """Windows that may be labelled, scored with what is known before they are."""
        learned = [] if network is None else [chances_of(network, self.pool)]
        return candidates(0, self.pool, [*self.answers, *learned], SIDE)

    def sample(self, window: Window) -> Sample:
        """Return a window with its true labels."""
        date, here = 2 * window.date, window.slices
        return Sample(self.values[(date, slice(None), *here)], self.truth[(date, *here)])

    def recalls(self, network: UNetMask) -> list[float]:
        """Recall of each class on the dates of which nothing was labelled."""
        found = by_class(classes(chances_of(network, self.judged)), self.truth[1::2])
        return [found[f"recall_{name}"] for name in CLASSES]


def options_for(count: int) -> MaskNetworkOptions:
    """Settings with which so many windows are seen in the same number of steps."""
    size = MaskNetworkOptions().batch_size
    return MaskNetworkOptions(epochs=max(1, STEPS // -(-count // size)))


def trained(samples: Sequence[Sample], seed: int, start: Path | None = None) -> UNetMask:
    """Train from nothing, or from another network."""
    options = options_for(len(samples))
    network = UNetMask(options)
    if start is not None:
        network = UNetMask.load(start)
        network.options = options
    return network.fit(samples, seed)


def label_random(seed: int, folder: Path, start: Path | None = None, draw: int = 0) -> Curve:
    """Windows in random order."""
    region = Region(known_region(seed, folder))
    found = region.windows()
    order = np.random.default_rng([seed, 1, draw]).permutation(len(found))
    out = {} if start is None else {0: region.recalls(UNetMask.load(start))}
    for budget in BUDGETS:
        samples = [region.sample(found[k]) for k in order[:budget]]
        out[budget] = region.recalls(trained(samples, seed, start))
    return out


def label_chosen(seed: int, folder: Path, draw: int = 0) -> Curve:
    """Windows as `cropcheck label` chooses them, a new choice after each training."""
    region, rng = Region(known_region(seed, folder)), np.random.default_rng([seed, 2, draw])
    taken: list[Window] = []
    network, out = None, {}
    for budget in BUDGETS:
        places = {(w.date, w.top, w.left) for w in taken}
        free = [w for w in region.windows(network) if (w.date, w.top, w.left) not in places]
        taken += choose(free, budget - len(taken), rng, taken)
        network = trained([region.sample(window) for window in taken], seed)
        out[budget] = region.recalls(network)
    return out


def pretrain(folder: Path, seeds: tuple[int, ...]) -> Path:
    """Train a network on regions whose truth is known; return its folder."""
    at = folder / f"pretrained_{seeds[0]}_{seeds[-1]}"
    if not (at / "model.json").is_file():
        samples = other_windows(folder, seeds)
        UNetMask(PRETRAINING).fit(samples, seed=0).save(at)
    return at


def other_windows(folder: Path, seeds: tuple[int, ...]) -> list[Sample]:
    """Windows of regions with their truth; over every second clear one another sky is painted."""
    path = folder / f"windows_{seeds[0]}_{seeds[-1]}.npz"
    if not path.is_file():
        rng = np.random.default_rng(4)
        made = [sample for seed in seeds for sample in _windows_of(known_region(seed, folder), rng)]
        stored = np.rint(np.nan_to_num(np.stack([s.values for s in made])) * 10_000).astype(np.uint16)
        np.savez_compressed(path, values=stored, labels=np.stack([s.labels for s in made]))
    with np.load(path, allow_pickle=False) as held:
        values, labels = held["values"], held["labels"]
    physical = np.where(values == 0, np.nan, values * np.float32(1e-4)).astype(np.float32)
    return [Sample(v, label) for v, label in zip(physical, labels, strict=True)]


def _windows_of(known: Known, rng: np.random.Generator, side: int = 64) -> Iterator[Sample]:
    assert known.truth is not None
    values, frames = bands_of(known.frames), known.frames
    height, width = frames.shape
    made = 0
    while made < WINDOWS_OF_EACH:
        date = int(rng.integers(len(frames)))
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        here = (slice(top, top + side), slice(left, left + side))
        part, truth = values[(date, slice(None), *here)], known.truth[(date, *here)]
        if (truth == UNKNOWN).mean() > 0.9 or (len(np.unique(truth)) < 2 and rng.random() < 0.8):
            continue
        if made % 2 and (truth == CLEAR).mean() > 0.9:
            sky = draw_sky((side, side), frames.pixel_m, frames.sun[date], rng)
            part, painted = paint(part, BANDS, sky)
            truth = np.where(truth == CLEAR, painted, UNKNOWN)
        made += 1
        yield Sample(part.astype(np.float32), truth.astype(np.uint8))


def error(recalls: Sequence[float]) -> float:
    """One less the mean recall.

    >>> round(error([1.0, 0.5, 0.5, 1.0]), 3)
    0.25
    """
    return 1 - float(np.nanmean(recalls))


def needed(curve: Curve, reached: float) -> float:
    """Labels at which the lowest error so far reaches a value, interpolated in the logarithm of the labels.

    >>> curve = {8: [0.6], 32: [0.8], 128: [0.9]}
    >>> [needed(curve, 0.2), needed(curve, 0.3), needed(curve, 0.05)]
    [32.0, 16.0, inf]
    """
    before: tuple[int, float] | None = None
    for count in sorted(curve):
        now = error(curve[count])
        if before is not None:
            now = min(now, before[1])
        if now <= reached + 1e-12:
            if before is None or before[0] == 0:
                return float(count)
            share = (before[1] - reached) / (before[1] - now)
            return float(np.round(np.exp(np.log(before[0]) + share * np.log(count / before[0])), 6))
        before = (count, now)
    return np.inf


Curves = dict[str, dict[int, list[Curve]]]  # by arm and region, one a draw


def mean_of(curves: Sequence[Curve]) -> Curve:
    """Mean recalls at every number of labels that all curves have."""
    shared = sorted(set.intersection(*(set(curve) for curve in curves)))
    return {n: np.mean([curve[n] for curve in curves], axis=0).tolist() for n in shared}


def summary(curves: Curves) -> Iterator[Row]:
    """Errors over regions, and the labels that each arm needs."""
    means = {arm: {s: mean_of(found) for s, found in seeds.items()} for arm, seeds in curves.items()}
    base = means["random"]
    for arm, by_seed in means.items():
        for budget in sorted({count for curve in by_seed.values() for count in curve}):
            values = [error(curve[budget]) for curve in by_seed.values() if budget in curve]
            yield row("labels", arm, f"error_{budget}", *over_regions(values))
        for k, name in enumerate(CLASSES):
            last = [curve[max(curve)][k] for curve in by_seed.values()]
            yield row("labels", arm, f"recall_{name}_{max(BUDGETS)}", *over_regions(last))
        both = [seed for seed in by_seed if seed in base and arm != "random"]
        if both:
            ours, theirs = [by_seed[seed] for seed in both], [base[seed] for seed in both]
            found = needed_share(mean_of(ours), mean_of(theirs))
            picks = np.random.default_rng(0).integers(0, len(both), (1000, len(both)))
            drawn = [
                needed_share(mean_of([ours[k] for k in p]), mean_of([theirs[k] for k in p])) for p in picks
            ]
            low, high = np.quantile(drawn, (0.025, 0.975))
            yield row("labels", arm, "labels_needed_share", found, low, high, len(both), unit="of random")
            each = [needed_share(one, other) for one, other in zip(ours, theirs, strict=True)]
            yield row("labels", arm, "labels_needed_share_by_region", *over_regions(each), unit="of random")


def needed_share(curve: Curve, base: Curve) -> float:
    """Labels that a curve needs for the error of another with all its labels, as a share of these."""
    most, labelled = max(base), {count: recalls for count, recalls in curve.items() if count}
    return min(needed(labelled, error(base[most])) / most, 1.0)


def run(
    seeds: tuple[int, ...], arms: tuple[str, ...], folder: Path, jobs: int, keep: Callable[[Curves], None],
    others: tuple[int, ...] = OTHERS, draws: int = 2,
) -> Curves:  # fmt: skip
    """Run every arm on every region, some at a time; `keep` is called after each."""
    curves: Curves = {}
    running: dict[Future[Any], tuple[str, int]] = {}
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        first = pool.submit(pretrain, folder, others) if "fine_tuned" in arms else None
        for seed in seeds:
            for draw in range(draws):
                if "random" in arms:
                    running[pool.submit(label_random, seed, folder, None, draw)] = ("random", seed)
                if "chosen" in arms:
                    running[pool.submit(label_chosen, seed, folder, draw)] = ("chosen", seed)
        if first is not None:
            start = first.result()
            running |= {pool.submit(label_random, s, folder, start): ("fine_tuned", s) for s in seeds}
        for done in as_completed(running):
            arm, seed = running[done]
            curves.setdefault(arm, {}).setdefault(seed, []).append(done.result())
            print(arm, seed, {n: round(error(r), 4) for n, r in done.result().items()}, flush=True)
            keep(curves)
    return curves


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--regions", type=Path, default=Path("out/benchmarks/clouds"))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--arm", action="append", choices=[*ARMS, "fine_tuned"])
    parser.add_argument("--others", type=int, nargs="+", default=list(OTHERS), help="learned before")
    parser.add_argument("--draws", type=int, default=2, help="of random and chosen windows, a region")
    parser.add_argument("--jobs", type=int, default=2, help="trainings beside each other")
    asked = parser.parse_args()

    def keep(curves: Curves) -> None:
        if asked.json:
            asked.json.parent.mkdir(parents=True, exist_ok=True)
            rows = list(summary(curves)) if "random" in curves else []
            said = {"machine": machine(), "curves": curves, "rows": rows}
            asked.json.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")

    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    arms = tuple(asked.arm or (*ARMS, "fine_tuned"))
    seeds, others = tuple(asked.seeds), tuple(asked.others)
    curves = run(seeds, arms, asked.regions, asked.jobs, keep, others, asked.draws)
    for one in summary(curves):
        said = f"{one['value']} [{one['low']}, {one['high']}] n={one['n']}"
        print(f"{one['subject']:12} {one['metric']:28} {said}")


if __name__ == "__main__":
    main()
