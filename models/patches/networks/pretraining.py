"""Siamese pre-training on unlabelled patches: two views of one place must look alike to the network.

Barlow Twins (Zbontar et al. 2021, ICML): the views are the same patch with other dates hidden and another
brightness; the features of their pixels are pushed to correlate one by one, and not among each other. A
network that gives every place the same features (collapse) shows in their spread and in their effective rank.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import keras
import numpy as np
from keras import ops

from features.errors import ModelError
from features.workers import Progress
from models.clouds.removal.networks.training import compile_network
from models.patches.inputs.composites import Composites, channels
from models.patches.inputs.samples import LabelledBlock
from models.patches.networks.architecture import build_trunk
from models.patches.networks.training import turned
from models.patches.options import PatchNetworkOptions

log = logging.getLogger(__name__)
FEATURES = 64  # that the views are compared in
STRIDE = 4  # pixels between those that are compared: neighbours say the same
HIDDEN = 0.4  # share of steps hidden from a view
REDUNDANCY = 1 / FEATURES  # weight of the correlations among features
LEAST_SPREAD = 0.1  # of features of unit length, where 1 is even over all directions
LEAST_RANK = 0.1  # of the effective rank, as a share of the features


@dataclass(frozen=True)
class Watch:
    """What an epoch says of collapse: the loss, the spread of the features of unit length (1: even), and
    their effective rank as a share of their number (Roy and Vetterli 2007)."""

    loss: float
    spread: float
    rank: float

    @property
    def collapsed(self) -> bool:
        """Whether the features hardly tell any two places apart."""
        return self.spread < LEAST_SPREAD or self.rank < LEAST_RANK


def pretrain(
    blocks: Sequence[LabelledBlock],
    options: PatchNetworkOptions,
    temporal: bool,
    seed: int,
    progress: Progress | None = None,
) -> tuple[list[np.ndarray], list[dict[str, float]]]:
    """Train the network's trunk without labels; return its weights, each of its layer's shape, and what each
    epoch says of collapse.

    Raises
    ------
    ModelError
        Where no block is as large as a patch, or the loss is not finite.
    """
    steps, bands = blocks[0].composites.values.shape[:2]
    keras.utils.set_random_seed(seed)
    trunk = build_trunk(options, steps, bands + 1, temporal)
    twin = _twin(trunk)
    count = -(-options.patches // options.batch_size)
    compile_network(twin, _barlow, options.pretraining_rate, options.pretraining_epochs * count)
    history: list[dict[str, float]] = []
    for epoch in range(options.pretraining_epochs):
        rng = np.random.default_rng([seed, 17, epoch])
        losses, found = [], np.empty((0, FEATURES))
        for _ in range(count):
            views = _views(blocks, options, rng)
            dummy = np.zeros((*views[0].shape[:3], 1), np.float32)
            losses.append(float(twin.train_on_batch(list(views), dummy)))
        found = np.asarray(twin.predict_on_batch(list(views)))[:, ::STRIDE, ::STRIDE, :FEATURES]
        watch = Watch(float(np.mean(losses)), *spread_and_rank(found.reshape(-1, FEATURES)))
        if not np.isfinite(watch.loss):
            raise ModelError(
                "Pre-training diverged; lower patches.network.pretraining_rate.", reason="diverged"
            )
        history.append(asdict(watch))
        if progress:
            progress(epoch + 1, options.pretraining_epochs)
    if watch.collapsed:
        log.warning(
            "Pre-training collapsed (spread %.2f, rank %.2f): the network starts from nothing learned; set "
            "patches.network.pretraining_epochs: 0, or give it more imagery.",
            watch.spread,
            watch.rank,
        )
    return trunk.get_weights(), history


def spread_and_rank(features: np.ndarray) -> tuple[float, float]:
    """Return how far features `(place, feature)` of unit length spread, and the effective rank of them.

    Spread is the mean standard deviation of a feature times the root of their number: 1 where they lie evenly
    in all directions, 0 where all are one. The rank is the exponential of the entropy of singular values.

    Examples
    --------
    >>> even = np.concatenate([np.eye(8), -np.eye(8)])
    >>> [round(value, 6) for value in spread_and_rank(even)]
    [1.0, 1.0]
    >>> spread_and_rank(np.ones((5, 8)))
    (0.0, 0.0)
    """
    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.maximum(length, 1e-12)
    width = features.shape[1]
    spread = float(unit.std(axis=0).mean() * np.sqrt(width))
    values = np.linalg.svd(unit - unit.mean(axis=0), compute_uv=False)
    if values.sum() < 1e-9:
        return 0.0, 0.0
    share = values / values.sum()
    entropy = -float((share * np.log(np.maximum(share, 1e-12))).sum())
    return round(spread, 12), float(np.exp(entropy)) / width


def _twin(trunk: keras.Model) -> keras.Model:
    """Return the network on two views: `(n, y, x, 2 * FEATURES)`, the features of either side by side."""
    first, second = keras.Input(trunk.input_shape[1:]), keras.Input(trunk.input_shape[1:])
    hidden = keras.layers.Dense(FEATURES, activation="relu", name="projector_1")
    last = keras.layers.Dense(FEATURES, name="projector_2")
    projected = [last(hidden(trunk(view))) for view in (first, second)]
    return keras.Model([first, second], keras.layers.Concatenate()(projected))


def _barlow(_: object, found: keras.KerasTensor) -> keras.KerasTensor:
    """Push the correlations of two views' features to the identity; the truth is not looked at."""
    sparse = ops.reshape(found[:, ::STRIDE, ::STRIDE], (-1, 2 * FEATURES))
    centred = sparse - ops.mean(sparse, axis=0)
    scaled = centred / (ops.std(sparse, axis=0) + 1e-4)
    count = ops.cast(ops.shape(scaled)[0], "float32")
    between = ops.matmul(ops.transpose(scaled[:, :FEATURES]), scaled[:, FEATURES:]) / count
    one = ops.eye(FEATURES)
    alike = ops.sum(ops.square((1 - between) * one))
    return (alike + REDUNDANCY * ops.sum(ops.square(between * (1 - one)))) / FEATURES


def _views(
    blocks: Sequence[LabelledBlock], options: PatchNetworkOptions, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return two views `(n, y, x, step, feature)` of patches drawn anywhere; labels are not looked at."""
    side = options.patch_px
    large = [block.composites for block in blocks if min(block.composites.shape) >= side]
    if not large:
        raise ModelError(
            f"No block of imagery is as large as a patch of {side} pixels; lower patches.network.patch_px.",
            reason="smaller_than_patch",
        )
    pairs = []
    for _ in range(options.batch_size):
        whole = large[int(rng.integers(len(large)))]
        top, left = (int(rng.integers(size - side + 1)) for size in whole.shape)
        part = whole.window(slice(top, top + side), slice(left, left + side))
        pairs.append(turned([_view(part, options, rng) for _ in range(2)], rng))
    first, second = (np.ascontiguousarray(np.stack(part)) for part in zip(*pairs, strict=True))
    return first, second


def _view(part: Composites, options: PatchNetworkOptions, rng: np.random.Generator) -> np.ndarray:
    factor = np.float32(1 + options.brightness * rng.standard_normal())
    out = channels(Composites(part.values * factor, part.seen))
    lost = np.asarray(rng.random(out.shape[2]) < HIDDEN)
    lost[int(rng.integers(len(lost)))] = False
    out[:, :, lost] = 0
    return out
