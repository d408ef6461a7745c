"""Score cloud masks: against a known truth, against a network's mask, and by the smoothness of real series.

uv run python -m tests.benchmarks.cloud_mask --json FILE [--work synthetic] [--regions FOLDER] [--data FOLDER]

`synthetic`: five simulated regions that nothing was chosen on; `unet` and `combined` are fitted on each
region's own imagery without labels. `minicubes`: agreement with another network's mask. `temporal`: how far a
value lies from the line between the kept ones before and after it, at equal share of pixels kept as each peer
keeps; no label is used. `speed`: seconds per million pixels of 20 m, in one run. Peers are scored where their
packages are installed. Intervals: Student's t over regions; bootstrap over squares of 8 x 8 pixels.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.stats import t as student

from features.errors import ModelError
from models.clouds.mask.classes import CLEAR, CLOUD, SHADOW, THIN, UNKNOWN
from models.clouds.mask.fitting import learn
from models.clouds.mask.frames import Frames, Mask, unknown_of
from models.clouds.mask.methods.combined import CombinedMask
from models.clouds.mask.methods.fmask import FmaskMask
from models.clouds.mask.methods.peers import L1C_BANDS, S2CloudlessMask, UkisMask, installed
from models.clouds.mask.methods.scene_class import SceneClassMask
from models.clouds.mask.methods.temporal import TemporalMask
from models.clouds.mask.network.unet import UNetMask
from models.clouds.mask.options import CloudMaskOptions, MaskNetworkOptions
from models.clouds.mask.scoring import (
    agreement,
    by_class,
    interval,
    kept_at,
    missed_and_lost,
    smoothness,
)
from models.clouds.removal.bundle import META
from tests.benchmarks.data.mask_regions import Known, known_region

SEEDS = (11, 12, 13, 14, 15)  # nothing was chosen on these
PEERS = ("scl", "fmask", "ukis_csmask")
OURS = ("temporal", "temporal_back", "unet", "combined")
NETWORK = MaskNetworkOptions(windows=128, epochs=14)
BRIGHT_BLUE = 0.1
SMALL_CLOUD_PX = 25
Row = dict[str, Any]


def masks(
    frames: Frames,
    names: tuple[str, ...],
    network: MaskNetworkOptions = NETWORK,
    kept: Path | None = None,
) -> Iterator[tuple[str, Mask]]:
    """Yield the masks that can be made of some frames, fitted on them where they learn; networks are kept in
    a folder, where one is named, and not trained again."""
    fitted: Any = None
    for name in names:
        if name == "scl":
            yield name, SceneClassMask()
        elif name == "fmask" and frames.has("B12"):
            yield name, FmaskMask()
        elif name == "ukis_csmask" and frames.has("B02") and installed("ukis_csmask.mask"):
            yield name, UkisMask()
        elif name in ("temporal", "temporal_back"):
            yield name, TemporalMask(back=name == "temporal_back")
        elif name in ("unet", "combined") and frames.has("B02"):
            if fitted is None:
                fitted = CombinedMask(_network(frames, network, kept), TemporalMask())
                if "combined" in names:
                    fitted.fit([frames], seed=0)
            yield name, fitted.network if name == "unet" else fitted


def _network(frames: Frames, options: MaskNetworkOptions, kept: Path | None) -> UNetMask:
    if kept is not None and (kept / META).is_file():
        return UNetMask.load(kept)
    network = learn(CloudMaskOptions(method="unet", network=options), [frames], (), TemporalMask(), seed=0)
    if kept is not None:
        network.save(kept)
    return network


def chances_of(mask: Mask, frames: Frames) -> np.ndarray:
    """Chances `(time, class, y, x)`, NaN where unknown."""
    out = np.stack(list(mask.chances(frames)))
    for number in range(len(frames)):
        out[number][:, unknown_of(frames, number, mask.needs or ((frames.bands[0],),)) > 0] = np.nan
    return out


def classes(chances: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(chances[:, 0]), UNKNOWN, np.nan_to_num(chances).argmax(axis=1)).astype(np.uint8)


def synthetic(folder: Path, names: tuple[str, ...], seeds: tuple[int, ...] = SEEDS) -> Iterator[Row]:
    found: dict[tuple[str, str], list[float]] = {}
    for seed in seeds:
        known = known_region(seed, folder)
        assert known.truth is not None
        kept = folder / "networks" / str(seed)
        answers = {
            name: chances_of(mask, known.frames) for name, mask in masks(known.frames, names, kept=kept)
        }
        kept_by_scl = classes(answers["scl"]) == CLEAR
        lost = missed_and_lost(kept_by_scl, known.truth)[1]
        for name, chances in answers.items():
            for metric, value in _against_truth(known, chances, lost).items():
                found.setdefault((name, metric), []).append(value)
    for (name, metric), values in found.items():
        yield row("synthetic", name, metric, *over_regions(values))
    for name in names:
        pairs = zip(
            found.get((name, "bad_pixels_missed_as_scl_keeps"), []),
            found[("scl", "bad_pixels_missed")],
            strict=False,
        )
        ratios = [ours / theirs for ours, theirs in pairs]
        if ratios and name != "scl":
            yield row("synthetic", name, "bad_pixels_missed_of_scl", *over_regions(ratios), unit="ratio")


def _against_truth(known: Known, chances: np.ndarray, lost_by_scl: float) -> dict[str, float]:
    assert known.truth is not None and known.border is not None
    found, truth = classes(chances), known.truth
    kept = found == CLEAR
    missed, lost = missed_and_lost(kept, truth)
    out = {**by_class(found, truth), "bad_pixels_missed": missed, "clear_pixels_lost": lost}
    good, clear = np.nan_to_num(chances[:, CLEAR]), truth == CLEAR
    limit = np.quantile(good[clear], lost_by_scl)
    out["bad_pixels_missed_as_scl_keeps"] = missed_and_lost(good >= limit, truth)[0]
    blue, red = known.frames.band("B02"), known.frames.band("B04")
    bright = clear & (blue > BRIGHT_BLUE) & (red > blue)
    out["clear_pixels_lost_bright_soil"] = float((~kept[bright]).mean()) if bright.any() else np.nan
    border = np.broadcast_to(known.border, truth.shape)
    for kind, here in cloud_types(known).items():
        out[f"missed_{kind}"] = float(kept[here].mean()) if here.any() else np.nan
    at_border = missed_and_lost(kept, np.where(border, truth, UNKNOWN))
    out["bad_pixels_missed_border"], out["clear_pixels_lost_border"] = at_border
    return out


def cloud_types(known: Known) -> dict[str, np.ndarray]:
    """Pixels of each kind of bad sky, bool `(time, y, x)`; `small_cloud`: of under 25 pixels (1 ha)."""
    assert known.truth is not None and known.opacity is not None
    cloud, opacity = known.truth == CLOUD, known.opacity
    labels = [ndimage.label(date)[0] for date in cloud]
    small = np.stack([np.bincount(one.ravel())[one] < SMALL_CLOUD_PX for one in labels])
    thin = known.truth == THIN
    return {
        "shadow": known.truth == SHADOW,
        "veil": thin & (opacity < 0.25),
        "thin_cloud": thin & (opacity >= 0.25),
        "cloud_edge": cloud & (opacity < 0.9),
        "opaque_cloud": cloud & (opacity >= 0.9),
        "small_cloud": cloud & small,
    }


def over_regions(values: list[float]) -> tuple[float, float, float, int]:
    """Mean, 95% interval of Student's t, number."""
    known = np.array([value for value in values if np.isfinite(value)])
    if len(known) < 2:
        return float(known.mean()) if len(known) else np.nan, np.nan, np.nan, len(known)
    half = student.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known))
    return float(known.mean()), float(known.mean() - half), float(known.mean() + half), len(known)


def minicubes(data: Path, names: tuple[str, ...], networks: Path | None = None) -> Iterator[Row]:
    from tests.benchmarks.data.mask_data import CUBES, minicube

    for cube in CUBES:
        known = minicube(data, cube)
        assert known.truth is not None
        for name, mask in masks(known.frames, names, kept=networks and networks / known.name):
            found = classes(chances_of(mask, known.frames))
            both = int(((found < 4) & (known.truth < 4)).sum())
            for metric, value in agreement(found, known.truth).items():
                yield row("minicubes", name, f"{metric}_{cube[5:7]}", value, n=both)
            missed, lost = missed_and_lost(found == CLEAR, known.truth)
            yield row("minicubes", name, f"bad_pixels_missed_{cube[5:7]}", missed, n=both)
            yield row("minicubes", name, f"clear_pixels_lost_{cube[5:7]}", lost, n=both)


def temporal(data: Path, names: tuple[str, ...], networks: Path | None = None) -> Iterator[Row]:
    """Each of ours against each peer, at the share of pixels that the peer keeps."""
    from tests.benchmarks.data.mask_data import real_series, squares

    rng = np.random.default_rng(0)
    for known in real_series(data):
        frames = known.frames
        red, near = frames.band("B04"), frames.band("B8A", "B08")
        with np.errstate(invalid="ignore", divide="ignore"):
            ndvi = np.clip((near - red) / (near + red), -1, 1)
        measures = {"ndvi": ndvi} | ({"blue": frames.band("B02")} if frames.has("B02") else {})
        areas = squares(frames.shape)
        answers = {}
        for name, mask in masks(frames, names, kept=networks and networks / known.name):
            try:
                answers[name] = chances_of(mask, frames)
            except ModelError as error:
                print(f"{known.name}: no {name}: {error}")
        seen = np.isfinite(ndvi)
        for peer in [name for name in PEERS if name in answers]:
            kept = (classes(answers[peer]) == CLEAR) & seen
            share = float(kept[seen].mean())
            yield row("temporal", peer, f"share_kept_{known.name}", share, n=int(seen.sum()))
            for measure, values in measures.items():
                theirs = smoothness(values, frames.days, kept, areas)
                label = f"{measure}_{known.name}"
                yield row(
                    "temporal", peer, f"temporal_smoothness_{label}", theirs.mean, n=int(theirs.count.sum())
                )
                for name in [name for name in OURS if name in answers]:
                    own = kept_at(
                        -answers[name][:, CLEAR], seen, share
                    )  # 1 - chance would be 1 for all cloud
                    ours = smoothness(values, frames.days, own, areas)
                    difference, low, high = interval(ours, theirs, rng)
                    metric = f"temporal_smoothness_{label}_at_{peer}"
                    yield row("temporal", name, metric, ours.mean, n=int(ours.count.sum()))
                    yield row("temporal", name, f"{metric}_less_peer", difference, low, high, areas.max() + 1)


def speed(folder: Path, names: tuple[str, ...]) -> Iterator[Row]:
    """Seconds per million pixels and date, on the clock (two threads) and of the processor.

    The network is hardly trained: its speed does not depend on that. s2cloudless gets made-up L1C bands.
    """
    frames = known_region(SEEDS[0], folder).frames.only(slice(0, 12))
    wide = Frames(
        frames.bands, np.tile(frames.reflectance, (1, 1, 3, 3)), frames.times, frames.sun, frames.pixel_m,
        None if frames.scene_class is None else np.tile(frames.scene_class, (1, 3, 3)),
    )  # fmt: skip
    for name, mask in masks(wide, names, NETWORK.model_copy(update={"windows": 32, "epochs": 2})):
        part = wide.only(slice(0, 4)) if name in ("ukis_csmask", "fmask") else wide
        yield from timed(name, mask, part)
        if name == "unet":
            yield from _fast(mask, part)
    if installed("s2cloudless"):
        source = {"B01": "B02", "B09": "B8A", "B10": "B12"}
        values = np.stack([wide.band(source.get(name, name)) for name in L1C_BANDS], axis=1)[:4]
        part = Frames(L1C_BANDS, values, wide.times[:4], wide.sun[:4], wide.pixel_m, None, "L1C")
        yield from timed("s2cloudless", S2CloudlessMask(), part)


def timed(name: str, mask: Mask, part: Frames) -> Iterator[Row]:
    for _ in mask.chances(part.only(slice(0, 2))):
        pass  # compiled, loaded
    pixels = len(part) * float(np.prod(part.shape)) / 1e6
    clock, processor = time.perf_counter(), time.process_time()
    for _ in mask.chances(part):
        pass
    wall, spent = time.perf_counter() - clock, time.process_time() - processor
    yield row("speed", name, "seconds_per_mpix", wall / pixels, n=len(part), unit="s")
    yield row("speed", name, "processor_seconds_per_mpix", spent / pixels, n=len(part), unit="s")


def _fast(mask: Any, part: Frames) -> Iterator[Row]:
    plain = np.stack(list(mask.chances(part))).argmax(axis=1)
    slow = mask.options
    try:
        mask.options = slow.model_copy(update={"fast": True})
        found = np.stack(list(mask.chances(part))).argmax(axis=1)
        yield row("speed", "unet_openvino", "same_classes", float((plain == found).mean()), n=plain.size)
        yield from timed("unet_openvino", mask, part)
    except ModelError as error:
        print(f"no fast runtime: {error}")
    finally:
        mask.options = slow


def row(
    work: str, subject: str, metric: str, value: float, low: float = np.nan, high: float = np.nan, n: int = 1,
    unit: str = "share",
) -> Row:  # fmt: skip
    number = {"value": value, "low": low, "high": high}
    rounded = {key: None if not np.isfinite(v) else round(float(v), 5) for key, v in number.items()}
    return {"work": work, "subject": subject, "metric": metric, **rounded, "n": int(n), "unit": unit}


def machine() -> Row:
    """Machine and versions."""
    said: Row = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    for name in ("numpy", "numba", "keras", "tensorflow", "openvino", "ukis-csmask", "s2cloudless"):
        try:
            said[name] = version(name)
        except PackageNotFoundError:
            said[name] = None
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", action="append", choices=["synthetic", "minicubes", "temporal", "speed"])
    parser.add_argument("--subject", action="append")
    parser.add_argument("--regions", type=Path, default=Path("out/benchmarks/clouds"))
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CROPCHECK_DATA", "../shared/data")))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="regions of `synthetic`")
    asked = parser.parse_args()
    names = tuple(asked.subject or (*PEERS, *OURS))
    kept: list[Row] = []
    if asked.json and asked.json.is_file():
        kept = json.loads(asked.json.read_text(encoding="utf-8"))["rows"]
    works: dict[str, Callable[[Path, tuple[str, ...]], Iterator[Row]]] = {
        "synthetic": partial(synthetic, seeds=tuple(asked.seeds)),
        "minicubes": partial(minicubes, networks=asked.regions / "networks"),
        "temporal": partial(temporal, networks=asked.regions / "networks"),
        "speed": speed,
    }
    for work in asked.work or list(works):
        rows = list(works[work](asked.regions if work in ("synthetic", "speed") else asked.data, names))
        for one in rows:
            print(f"{one['work']:10} {one['subject']:14} {one['metric']:60} {one['value']} "
                  f"[{one['low']}, {one['high']}] n={one['n']}", flush=True)  # fmt: skip
        new = {(one["work"], one["subject"], one["metric"]) for one in rows}
        kept = [one for one in kept if (one["work"], one["subject"], one["metric"]) not in new] + rows
        if asked.json:
            asked.json.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"machine": machine(), "rows": kept}, indent=1)
            asked.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
