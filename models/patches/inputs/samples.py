"""What models on pixels learn from: blocks of composites with labels, and patches cut out of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.errors import ModelError
from features.files import fingerprint
from models.patches.inputs.composites import Composites
from models.patches.inputs.labels import UNKNOWN, Labels

TRIES = 30  # windows looked at for each that is kept
LEAST_LABELLED = 0.05  # share of a patch's pixels


@dataclass(frozen=True)
class LabelledBlock:
    """A block of imagery that models learn from."""

    composites: Composites
    labels: Labels

    @property
    def labelled(self) -> np.ndarray:
        """`(y, x)` bool: a pixel with a class that was seen."""
        return np.asarray((self.labels.label != UNKNOWN) & self.composites.known)


def digest_of(blocks: Sequence[LabelledBlock]) -> str:
    """Return a hash of all that blocks hold."""
    parts = [
        hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
        for block in blocks
        for array in (
            block.composites.values, block.composites.seen, block.labels.label, block.labels.second,
            block.labels.fold,
        )
    ]  # fmt: skip
    return fingerprint(parts)


def class_counts(blocks: Sequence[LabelledBlock], fold: int | None, classes: int) -> np.ndarray:
    """Return `(class,)`: the labelled pixels of each class that a model without `fold` may learn.

    Raises
    ------
    ModelError
        Where fewer than two classes have any.
    """
    counts = np.zeros(classes, np.int64)
    for block in blocks:
        usable = block.labels.without(fold)[block.composites.known]
        counts += np.bincount(usable[usable >= 0], minlength=classes)[:classes]
    if (counts > 0).sum() < 2:
        seen = any(block.composites.known.any() for block in blocks)
        raise ModelError(
            "A crop map needs labelled pixels of two classes at least; "
            + (
                f"here are {int((counts > 0).sum())}: parcels may be too small for the inner buffer, or all "
                "of one crop. Set patches.method: none, or widen the region."
                if seen
                else "here no pixel was ever seen: all dates are under cloud. Set patches.method: none."
            ),
            reason="one_class" if seen else "never_seen",
        )
    return counts


def class_weights(counts: np.ndarray) -> np.ndarray:
    """Return `(class,)`: the weight of a pixel of each class, the inverse root of its share, within bounds.

    Examples
    --------
    >>> class_weights(np.array([900, 100, 0])).round(2).tolist()
    [0.83, 2.5, 0.0]
    """
    present = counts > 0
    shares = counts / counts.sum()
    root = np.sqrt(1 / (present.sum() * np.maximum(shares, 1e-6)))
    weight = np.where(present, np.clip(root, 0.2, 4.0), 0)
    return np.asarray(weight * counts.sum() / max(float((weight * counts).sum()), 1e-9))


@dataclass(frozen=True)
class Patch:
    """One window: composites, and labels `(y, x)` of the first and the second class, -1 where unknown."""

    composites: Composites
    label: np.ndarray
    second: np.ndarray


def draw_patches(
    blocks: Sequence[LabelledBlock], fold: int | None, count: int, side: int, rng: np.random.Generator
) -> list[Patch]:
    """Cut windows of `side` pixels out of blocks by chance, those with labels.

    Raises
    ------
    ModelError
        Where every block is smaller than a patch.
    """
    large = [block for block in blocks if min(block.composites.shape) >= side]
    if not large:
        sizes = max((block.composites.shape for block in blocks), default=(0, 0))
        raise ModelError(
            f"The imagery's blocks have {sizes[0]} x {sizes[1]} pixels at most, fewer than a patch of "
            f"{side}; lower patches.network.patch_px and depth, or choose patches.method: boosting.",
            reason="smaller_than_patch",
        )
    weight = np.array([int(block.labelled.sum()) for block in large], float)
    usable = [np.where(block.composites.known, block.labels.without(fold), UNKNOWN) for block in large]
    found: list[Patch] = []
    for _ in range(TRIES * count):
        if len(found) == count or not weight.sum():
            break
        number = int(rng.choice(len(large), p=weight / weight.sum()))
        block = large[number]
        height, width = block.composites.shape
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        here = (slice(top, top + side), slice(left, left + side))
        label = usable[number][here]
        if (label != UNKNOWN).mean() >= LEAST_LABELLED:
            second = np.where(label != UNKNOWN, block.labels.second[here], UNKNOWN)
            found.append(Patch(block.composites.window(*here), label, second))
    if not found:
        raise ModelError(
            "No patch of the imagery holds enough labelled pixels: parcels are too small or too scattered. "
            "Choose patches.method: boosting.",
            reason="nothing_to_learn",
        )
    return found
