"""How much of the gap between a tenth of the labels and all of them pre-training closes, and why no more.

Called by `tests.benchmarks.patches --work labels`: one region, one fold scored, several seeds. Each seed
draws a tenth of its own, which all its subjects share: differences are paired. What is fitted is kept, and
not fitted again.

Beside the macro-F1 over all classes stands that over the classes that the tenth holds, truth and choice
limited to them: what no label names, nobody can name. `probe` is a logistic regression on single pixels of
the tenth: on the features that pre-training left, on those of a trunk as it was drawn, and on the inputs.
Intervals: Student's t over seeds.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import t as student

from features.files import atomic_path, fingerprint
from models.backend import bring_up
from models.evaluation.metrics import confusion, macro_f1
from models.patches.boosting import drawn_pixels
from models.patches.by_name import build
from models.patches.inputs.composites import channels
from models.patches.inputs.labels import UNKNOWN
from models.patches.inputs.samples import LabelledBlock, class_counts, digest_of
from models.patches.options import PatchOptions
from tests.benchmarks.patch_training import with_share

if TYPE_CHECKING:
    from tests.benchmarks.patches import Region, Row

SHARE, FOLD = 0.1, 0
PRETRAINING = 20  # epochs, where the options name none
TENTH, PRETRAINED, ALL = "unet_tenth", "unet_pretrained_tenth", "unet"
PROBES = ("probe_pretrained", "probe_drawn", "probe_inputs")
METRICS = ("macro_f1_pixel", "macro_f1_pixel_of_named")
PIXELS = 30  # of a parcel, in a probe
PAD = 64  # sides are padded to multiples, where the levels of a U meet
Chances = dict[str, np.ndarray]


def labels(region: "Region", network: PatchOptions, seeds: int, folder: Path) -> Iterator["Row"]:
    """Yield the rows of one network; fits are kept below `folder`."""
    epochs = network.network.pretraining_epochs or PRETRAINING
    of = {
        name: network.network.model_copy(update={"pretraining_epochs": epochs if name == PRETRAINED else 0})
        for name in (TENTH, PRETRAINED, ALL)
    }
    options = {name: network.model_copy(update={"network": one}) for name, one in of.items()}
    said = {name: one.model_dump(mode="json") for name, one in options.items()}
    key = fingerprint([digest_of([region.block]), said])
    found: dict[tuple[str, str], list[float]] = {}
    for seed in range(seeds):
        tenth = with_share(region.block, SHARE, seed)
        named = class_counts([tenth], FOLD, len(region.classes)) > 0
        for name, one in options.items():
            block = region.block if name == ALL else tenth
            file = folder / f"labels_{key[:12]}" / f"{name}_{seed}.npz"
            if not file.is_file():
                _keep(file, _fitted(region, block, one, seed))
            with np.load(file, allow_pickle=False) as kept:
                arrays = {part: kept[part] for part in kept.files}
            for subject, values in _scores(region, name, arrays, named).items():
                found.setdefault(subject, []).append(values)
    yield from rows_of(found)


def stored(region: "Region", folder: Path, seeds: int) -> Iterator["Row"]:
    """Yield the rows of a network trained elsewhere: `tenth` and `whole` below `folder`, as `patch_training`
    left them."""
    found: dict[tuple[str, str], list[float]] = {}
    which = region.tile.parcels["fold"].to_numpy()[region.pixels.parcel] == FOLD
    for seed in range(seeds):
        named = class_counts([with_share(region.block, SHARE, seed)], FOLD, len(region.classes)) > 0
        for subject, place in {TENTH: "tenth", PRETRAINED: "tenth_siamese", ALL: "whole"}.items():
            file = folder / place / f"region_{region.config.seed}_{FOLD}_{seed}.npz"
            if file.is_file():
                with np.load(file, allow_pickle=False) as kept:
                    chances = kept["chances"].astype(np.float32)
                scored = chances[region.pixels.share[which] >= 0.5]
                for key, value in _scores(region, subject, {"chances": scored}, named).items():
                    found.setdefault(key, []).append(value)
    yield from rows_of({(f"large_{name}", metric): values for (name, metric), values in found.items()})


def rows_of(found: Mapping[tuple[str, str], list[float]]) -> Iterator["Row"]:
    """Yield means over seeds, paired differences, and the share of the gap that is closed."""
    figures = {
        f"{subject} {metric}": (subject, metric, values) for (subject, metric), values in found.items()
    }
    large = {subject.partition("unet")[0] for subject, _ in found if subject.endswith(ALL)}
    for prefix in sorted(large):
        for metric in METRICS:
            low, high, more = (
                np.array(found.get((f"{prefix}{name}", metric), [])) for name in (TENTH, ALL, PRETRAINED)
            )
            if len(low) == len(high) == len(more) > 1:
                gain, gap = more - low, high - low
                tail = metric.removeprefix("macro_f1_pixel")
                subject = f"{prefix}{PRETRAINED}"
                figures[f"{prefix}gain{tail}"] = (subject, f"gain{tail}", gain.tolist())
                figures[f"{prefix}gap{tail}"] = (f"{prefix}{ALL}", f"gap{tail}", gap.tolist())
                figures[f"{prefix}closed{tail}"] = (subject, f"gap_closed{tail}", [*(gain / gap.mean())])
    for subject, metric, values in figures.values():
        mean, low_end, high_end = float(np.mean(values)), None, None
        if len(values) > 1:
            half = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
            low_end, high_end = mean - float(half), mean + float(half)
        yield {"work": "labels", "subject": subject, "metric": metric, "value": mean, "low": low_end,
               "high": high_end, "n": len(values), "unit": "share"}  # fmt: skip


def _keep(file: Path, arrays: Chances) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as partial, partial.open("wb") as handle:
        np.savez_compressed(handle, **arrays)  # type: ignore[arg-type]


def _fitted(region: "Region", block: LabelledBlock, options: PatchOptions, seed: int) -> Chances:
    """Fit one network, and return chances `(pixel, class)` of the scored pixels; with pre-training those of
    the probes too, and what the last epoch says of collapse."""
    row, column, _ = _places(region)
    out: Chances = {}
    start = None
    if options.network.pretraining_epochs:
        bring_up()
        from models.patches.networks.pretraining import pretrain

        start, history = pretrain([block], options.network, options.input == "temporal", seed)
        out = {name: np.array(history[-1][name]) for name in ("spread", "rank")}
        features = {
            "probe_pretrained": _features(block, options, start, seed),
            "probe_drawn": _features(block, options, None, seed),
            "probe_inputs": channels(block.composites).reshape(*block.composites.shape, -1),
        }
        for name, values in features.items():
            out[name] = _probed(values, block, len(region.classes), seed)[row, column].astype(np.float16)
    model = build(options, region.classes, start).fit([block], FOLD, seed)
    found = model.chances(region.block.composites)[:, row, column].T
    return {**out, "chances": found.astype(np.float16)}


def _features(
    block: LabelledBlock, options: PatchOptions, weights: list[np.ndarray] | None, seed: int
) -> np.ndarray:
    """Return what the trunk makes of every pixel, `(y, x, feature)`."""
    import keras

    from models.patches.networks.architecture import build_trunk

    steps, bands = block.composites.values.shape[:2]
    keras.utils.set_random_seed(seed)
    trunk = build_trunk(options.network, steps, bands + 1, options.input == "temporal")
    if weights is not None:
        trunk.set_weights(weights)
    inputs = channels(block.composites)
    height, width = inputs.shape[:2]
    padded = np.pad(inputs, [(0, -height % PAD), (0, -width % PAD), (0, 0), (0, 0)], mode="edge")
    return np.asarray(trunk.predict_on_batch(padded[None]))[0, :height, :width]


def _probed(features: np.ndarray, block: LabelledBlock, classes: int, seed: int) -> np.ndarray:
    """Return chances `(y, x, class)` of a logistic regression on as many labelled pixels as trees take."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    label = np.where(block.composites.known, block.labels.without(FOLD), UNKNOWN)
    chosen = drawn_pixels(label, block.labels.parcel, PIXELS, np.random.default_rng(seed))
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    probe.fit(features[chosen], label[chosen])
    out = np.zeros((*label.shape, classes), np.float32)
    flat = features.reshape(-1, features.shape[-1])
    out.reshape(-1, classes)[:, probe[-1].classes_] = probe.predict_proba(flat)
    return out


def _places(region: "Region") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, column and true class of the pixels of the scored fold's parcels."""
    own = region.tile.parcels["fold"].to_numpy() == FOLD
    mine = region.pixels.take(own[region.pixels.parcel] & (region.pixels.share >= 0.5))
    return mine.row, mine.column, region.truth[mine.row, mine.column].astype(int)


def _scores(
    region: "Region", subject: str, arrays: Mapping[str, Any], named: np.ndarray
) -> dict[tuple[str, str], float]:
    """Return the figures of one fit by subject and metric."""
    _, _, truth = _places(region)
    found: dict[tuple[str, str], float] = {}
    for part in ("chances", *PROBES):
        if part not in arrays:
            continue
        name = subject if part == "chances" else part
        chances = arrays[part].astype(np.float32)
        for metric, kept in zip(METRICS, (np.ones(len(named), bool), named), strict=True):
            usable = (truth >= 0) & np.isfinite(chances).all(axis=1)
            usable[usable] = kept[truth[usable]]
            guess = np.where(kept, chances[usable], -1).argmax(axis=1)
            matrix = confusion(truth[usable], guess, len(named))
            found[name, metric] = float(macro_f1(matrix))
    if subject == TENTH:
        found[subject, "classes_named"] = float(named.mean())
    if "rank" in arrays:
        found[subject, "effective_rank"] = float(arrays["rank"])
        found[subject, "spread"] = float(arrays["spread"])
    return found
