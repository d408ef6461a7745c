"""The clear mask of an acquisition over a block, as weights of the coverage on any grid."""

from dataclasses import dataclass

import numpy as np

from features.imagery.blocks import Block
from features.imagery.grids import pixel_metres
from features.imagery.masks import MaskOptions, clear_mask, radii, refuse_no_classes
from features.imagery.scenes import Layer, Scene, finer, read_layer
from features.schema import SCENE_CLASS
from features.zonal.coverage import Coverage
from features.zonal.engine import masked


@dataclass(frozen=True)
class ClearMask:
    """Clear pixels `(y, x)`, bool, of the scene classification under a block, and their place in it."""

    clear: np.ndarray
    read: Block
    layer: Layer


def read_clear_mask(scene: Scene, block: Block, options: MaskOptions) -> ClearMask:
    """Read the scene classification under a block; the mask includes clouds grown from beyond its border."""
    layer = scene.layers[SCENE_CLASS]
    read, metres = layer.hull(block), pixel_metres(layer.grid)
    wide = read.widened(max(radii(options, metres)), layer.grid.shape)
    classes = read_layer(layer, wide)
    refuse_no_classes(classes)
    clear = clear_mask(classes, options, metres)
    return ClearMask(np.ascontiguousarray(clear[read.within(wide).slices]), read, layer)


def clear_weights(seen: ClearMask, target: Layer, block: Block, coverage: Coverage) -> np.ndarray:
    """Return the coverage's weights on the target's pixels of a block, zero where not clear; float32
    `(pixel,)`.

    A pixel finer than the classification's takes the class of the one it lies in; a coarser one is clear
    where all of the classification's pixels in it are.
    """
    layer, own = seen.layer, target.own(block)
    times, rest = divmod(layer.factor, target.factor)
    if times and not rest and _lies_within(seen, target, block):
        # the target's pixel r of the block lies in the layer's (r + shift) // times
        shifts = [
            part.start + (mine - theirs) // target.factor - first.start * times
            for part, mine, theirs, first in zip(
                own.slices,
                (layer.top, layer.left),
                (target.top, target.left),
                seen.read.slices,
                strict=True,
            )
        ]
        return masked(coverage, seen.clear, (times, shifts[0], shifts[1]))
    if times:
        fine = finer(seen.clear, seen.read, layer, target, block)
        return masked(coverage, np.ascontiguousarray(fine))
    return masked(coverage, _coarser(seen, target, block))


def _pixels_under(seen: ClearMask, target: Layer, block: Block) -> list[tuple[int, int]]:
    """First and last row, then column, of the classification's pixels under the target's of a block, counted
    from the first that was read."""
    layer = seen.layer
    return [
        (
            (part.start * target.factor - theirs + mine) // layer.factor - first.start,
            (part.stop * target.factor - theirs + mine - 1) // layer.factor - first.start,
        )
        for part, mine, theirs, first in zip(
            target.own(block).slices,
            (layer.top, layer.left),
            (target.top, target.left),
            seen.read.slices,
            strict=True,
        )
    ]


def _lies_within(seen: ClearMask, target: Layer, block: Block) -> bool:
    """Whether the classification was read under all of the target's pixels of a block: it may cover less."""
    under = _pixels_under(seen, target, block)
    return all(low >= 0 and high < n for (low, high), n in zip(under, seen.clear.shape, strict=True))


def _coarser(seen: ClearMask, target: Layer, block: Block) -> np.ndarray:
    """Which of a block's coarser pixels are clear in all of the classification's; bool (y, x)."""
    times = target.factor // seen.layer.factor
    height, width = target.own(block).shape
    at, inside = [], []
    for (low, _), length, size in zip(
        _pixels_under(seen, target, block), (height, width), seen.clear.shape, strict=True
    ):
        index = low + np.arange(length * times)
        inside.append((index >= 0) & (index < size))
        at.append(np.clip(index, 0, max(size - 1, 0)))
    if not seen.clear.size:
        return np.zeros((height, width), bool)
    clear = seen.clear[np.ix_(*at)] & np.logical_and.outer(*inside)
    return np.asarray(clear.reshape(height, times, width, times).all(axis=(1, 3)))
