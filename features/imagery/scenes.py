"""One acquisition as blocks of ground: which assets it needs, where their grids lie, and their pixels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from features.errors import ImageryError
from features.imagery.pixels import assets_by_band, grid_of, placed, read_window
from features.indices.formulas import find_index


@dataclass(frozen=True)
class Layer:
    """One asset: its grid, and where that lies on the scene's finest grid (see
    `features.imagery.pixels.placed`).
    """

    band: str
    asset: Mapping[str, Any]
    grid: GeoBox
    factor: int
    top: int
    left: int


@dataclass(frozen=True)
class Block:
    """Rows and columns of the finest grid."""

    rows: slice
    columns: slice

    def own(self, layer: Layer) -> tuple[slice, slice]:
        """The layer's own pixels that belong to this block: blocks share none and together hold all."""
        return tuple(
            slice(
                *(min(max(-(-(edge + shift) // layer.factor), 0), size) for edge in (part.start, part.stop))
            )
            for part, shift, size in zip(
                (self.rows, self.columns), (layer.top, layer.left), layer.grid.shape, strict=True
            )
        )  # type: ignore[return-value]


@dataclass(frozen=True)
class Scene:
    """The assets of one acquisition that some features need."""

    item_id: str
    grid: GeoBox  # the finest
    layers: Mapping[str, Layer]
    features: tuple[str, ...]  # those that its assets allow

    def target(self, feature: str) -> Layer:
        """The finest layer that a feature is made of: its statistics are taken on that layer's grid."""
        return min((self.layers[band] for band in find_index(feature).bands), key=lambda layer: layer.factor)

    def blocks(self, side: int) -> Iterator[Block]:
        """Square blocks, row by row; their borders fall on borders of the coarser pixels where grids
        share a corner."""
        side = max(side - side % int(np.lcm.reduce([layer.factor for layer in self.layers.values()])), 1)
        height, width = self.grid.shape
        for row in range(0, height, side):
            for column in range(0, width, side):
                yield Block(slice(row, min(row + side, height)), slice(column, min(column + side, width)))


def scene_of(row: Mapping[str, Any], features: Sequence[str], extra: Sequence[str] = ()) -> Scene:
    """Open the headers of the assets that the features and `extra` bands need.

    Raises
    ------
    ImageryError
        Where no feature can be made from the assets, or their grids do not nest.
    """
    assets = assets_by_band(row)
    possible = tuple(name for name in features if set(find_index(name).bands) <= assets.keys())
    if not possible:
        raise ImageryError(
            f"{row['item_id']} holds {sorted(assets)}, of which none of the features can be made."
        )
    bands = sorted(
        {band for name in possible for band in find_index(name).bands} | {b for b in extra if b in assets}
    )
    grids = {band: grid_of(assets[band]["href"]) for band in bands}
    finest = min(grids.values(), key=lambda grid: abs(grid.affine.a))
    places = {band: placed(finest, grid, assets[band]["href"]) for band, grid in grids.items()}
    layers = {band: Layer(band, assets[band], grids[band], *places[band]) for band in bands}
    return Scene(row["item_id"], finest, layers, possible)


def read_layer(layer: Layer, rows: slice, columns: slice, touched: np.ndarray | None = None) -> np.ndarray:
    """Raw pixels `(y, x)` of a layer's own rows and columns; blocks of the file not `touched` may be zero."""
    return read_window(layer.asset["href"], rows, columns, touched)


def finer(
    pixels: np.ndarray, rows: slice, columns: slice, layer: Layer, target: Layer, block: Block
) -> np.ndarray:
    """Repeat a layer's pixels onto the target's pixels of a block; NaN (False for a mask) where it has none.

    `pixels` are the layer's own `rows` and `columns`, which hold at least all those under the target's.
    """
    chosen, inside = [], []
    for part, first, size, mine, theirs in zip(
        block.own(target), (rows.start, columns.start), pixels.shape,
        (layer.top, layer.left), (target.top, target.left), strict=True,
    ):  # fmt: skip
        fine = np.arange(part.start, part.stop) * target.factor - theirs
        at = (fine + mine) // layer.factor - first
        inside.append((at >= 0) & (at < size))
        chosen.append(np.clip(at, 0, size - 1))
    there = np.logical_and.outer(*inside)
    if there.all():
        return pixels[np.ix_(*chosen)]
    unknown = False if pixels.dtype == bool else np.float32(np.nan)
    return np.where(there, pixels[np.ix_(*chosen)], unknown) if pixels.size else np.full(there.shape, unknown)


def hull(layer: Layer, block: Block) -> tuple[slice, slice]:
    """The layer's rows and columns that a block touches at all, for reading; a superset of `Block.own`."""
    parts = []
    for part, shift, size in zip(
        (block.rows, block.columns), (layer.top, layer.left), layer.grid.shape, strict=True
    ):
        first, last = (part.start + shift) // layer.factor, -(-(part.stop + shift) // layer.factor)
        parts.append(slice(max(first, 0), min(last, size)))
    return parts[0], parts[1]
