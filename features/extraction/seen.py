"""What an acquisition saw of a block: its scene classification, as weights of the coverage on any grid."""

from dataclasses import dataclass

import numpy as np

from features.imagery.pixels import MaskOptions, clear_mask
from features.imagery.scenes import Block, Layer, Scene, finer, hull, read_layer
from features.schema import SCENE_CLASS
from features.zonal.coverage import Coverage
from features.zonal.engine import masked


@dataclass(frozen=True)
class Seen:
    """Clear pixels `(y, x)`, bool, of the scene classification under a block, and which of its rows and
    columns they are."""

    clear: np.ndarray
    rows: slice
    columns: slice
    layer: Layer


def read_seen(scene: Scene, block: Block, options: MaskOptions) -> Seen:
    """Read the classification under a block; clouds are grown from beyond its border too."""
    layer = scene.layers[SCENE_CLASS]
    rows, columns = hull(layer, block)
    metres = abs(layer.grid.affine.a)
    margin = round(options.dilation_m / metres)
    wide = [
        slice(max(part.start - margin, 0), min(part.stop + margin, size))
        for part, size in zip((rows, columns), layer.grid.shape, strict=True)
    ]
    clear = clear_mask(read_layer(layer, wide[0], wide[1]), options, metres)
    inner = tuple(
        slice(part.start - w.start, part.stop - w.start)
        for part, w in zip((rows, columns), wide, strict=True)
    )
    return Seen(np.ascontiguousarray(clear[inner]), rows, columns, layer)


def seen_weights(seen: Seen, target: Layer, block: Block, coverage: Coverage) -> np.ndarray:
    """The coverage's weights on the target's pixels of a block, zero where not seen; float32 (pixel,).

    A pixel finer than the classification's takes the class of the one it lies in; a coarser one is clear
    where all of the classification's pixels in it are.
    """
    layer, own = seen.layer, block.own(target)
    times, rest = divmod(layer.factor, target.factor)
    if times and not rest:
        # the target's pixel r of the block lies in the layer's (r + shift) // times
        shifts = [
            part.start + (mine - theirs) // target.factor - first.start * times
            for part, mine, theirs, first in zip(
                own,
                (layer.top, layer.left),
                (target.top, target.left),
                (seen.rows, seen.columns),
                strict=True,
            )
        ]
        return masked(coverage, seen.clear, (times, shifts[0], shifts[1]))
    if times:
        fine = finer(seen.clear, seen.rows, seen.columns, layer, target, block)
        return masked(coverage, np.ascontiguousarray(fine))
    times = target.factor // layer.factor
    height, width = (side // times * times for side in seen.clear.shape)
    parts = seen.clear[:height, :width].reshape(height // times, times, width // times, times)
    return masked(coverage, np.asarray(parts.all(axis=(1, 3))))
