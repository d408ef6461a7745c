"""Training the U-Net: cross-entropy over pixels whose class is known, rare classes weighted up."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from features.errors import ModelError
from features.workers import Progress
from models.clouds.removal.networks.training import compile_network
from models.patches.inputs.composites import Composites, channels
from models.patches.inputs.samples import LabelledBlock, Patch, class_counts, class_weights, draw_patches
from models.patches.options import PatchNetworkOptions


def train_network(
    model: keras.Model,
    blocks: Sequence[LabelledBlock],
    fold: int | None,
    classes: int,
    options: PatchNetworkOptions,
    seed: int,
    *,
    multi: bool = False,
    progress: Progress | None = None,
) -> list[float]:
    """Train on patches drawn anew in each epoch; return each epoch's mean loss.

    Raises
    ------
    ModelError
        As `class_counts` and `draw_patches`, or where the loss is not finite.
    """
    weights = class_weights(class_counts(blocks, fold, classes))
    size = min(options.batch_size, options.patches)
    steps = -(-options.patches // size)
    compile_network(model, _several if multi else _one, options.learning_rate, options.epochs * steps)
    history = []
    for epoch in range(options.epochs):
        rng = np.random.default_rng([seed, 7, epoch])
        patches = draw_patches(blocks, fold, options.patches, options.patch_px, rng)
        losses = []
        for start in range(0, len(patches), size):
            chosen = [patches[k % len(patches)] for k in range(start, start + size)]
            inputs, truth = batch(chosen, weights, options, multi, rng)
            losses.append(float(model.train_on_batch(inputs, truth)))
        history.append(float(np.mean(losses)))
        if not np.isfinite(history[-1]):
            raise ModelError("Training diverged; lower patches.network.learning_rate.", reason="diverged")
        if progress:
            progress(epoch + 1, options.epochs)
    return history


def batch(
    patches: Sequence[Patch],
    weights: np.ndarray,
    options: PatchNetworkOptions,
    multi: bool,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return channels `(n, y, x, step, feature)` and packed truth `(n, y, x, class + 1)`: which classes may
    be there, and the pixel's weight, zero where unknown."""
    pairs, spread = [], np.float32(options.label_smoothing)
    for patch in patches:
        packed = np.zeros((*patch.label.shape, len(weights) + 1), np.float32)
        known = patch.label >= 0
        both = known & (patch.second >= 0)
        packed[known, patch.label[known]] = 1
        if multi:
            packed[both, patch.second[both]] = 1
        packed[..., :-1] = packed[..., :-1] * (1 - spread) + spread / len(weights)
        packed[..., -1] = np.where(known, weights[np.maximum(patch.label, 0)], 0)
        if not multi:
            packed[both, -1] = 0
        pairs.append(turned([augmented(patch.composites, options, rng), packed], rng))
    inputs, truth = (np.ascontiguousarray(np.stack(part)) for part in zip(*pairs, strict=True))
    return inputs, truth


def augmented(composites: Composites, options: PatchNetworkOptions, rng: np.random.Generator) -> np.ndarray:
    """Return channels `(y, x, step, feature)`, brightened by chance, some steps hidden, never all."""
    factor = np.float32(1 + options.brightness * rng.standard_normal())
    out = channels(Composites(composites.values * factor, composites.seen))
    lost = np.asarray(rng.random(out.shape[2]) < options.lost_steps)
    lost[int(rng.integers(len(lost)))] = False
    out[:, :, lost] = 0
    return out


def turned(arrays: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Turn and flip arrays `(y, x, …)` together, by chance."""
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))
    return [np.rot90(array[:, ::-1] if flip else array, turns) for array in arrays]


def _one(truth: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Cross-entropy of one class a pixel, averaged by weight."""
    weight = truth[..., -1]
    each = -ops.sum(truth[..., :-1] * ops.log_softmax(logits, axis=-1), axis=-1)
    return ops.sum(each * weight) / (ops.sum(weight) + 1e-6)


def _several(truth: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Cross-entropy of each class by itself, averaged by weight."""
    weight, claimed = truth[..., -1], truth[..., :-1]
    each = ops.sum(ops.softplus(logits) - claimed * logits, axis=-1)
    return ops.sum(each * weight) / (ops.sum(weight) + 1e-6)
