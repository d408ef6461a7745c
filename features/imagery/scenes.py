"""One acquisition as blocks of ground: which assets it needs, where their grids lie, and their pixels."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from odc.geo.geobox import GeoBox

from features.errors import ImageryError
from features.imagery.blocks import Block, cut
from features.imagery.grids import crop, grid_of, placed
from features.imagery.physical import Encoding, encoding_of
from features.imagery.windows import read_window
from features.indices.formulas import find_index
from features.messages.listed import listed
from features.schema import Acquisition, Asset, assets_by_band

FURTHEST = 10  # sizes of a band that all bands of an acquisition lie within


@dataclass(frozen=True)
class Layer:
    """One asset: how its numbers are read, its grid, and where that lies on the scene's finest grid (see
    `features.imagery.grids.placed`).
    """

    band: str
    asset: Asset
    encoding: Encoding
    grid: GeoBox
    factor: int
    top: int
    left: int

    def own(self, block: Block) -> Block:
        """The layer's own pixels that belong to a block of the finest grid: blocks share none and together
        hold all."""
        parts = zip(block.slices, (self.top, self.left), self.grid.shape, strict=True)
        return Block(
            *(
                slice(*(min(max(-(-(edge + shift) // self.factor), 0), size) for edge in (p.start, p.stop)))
                for p, shift, size in parts
            )
        )

    def hull(self, block: Block) -> Block:
        """The layer's rows and columns that a block of the finest grid touches at all, for reading; a
        superset of `own`."""
        parts = []
        for part, shift, size in zip(block.slices, (self.top, self.left), self.grid.shape, strict=True):
            first, last = (part.start + shift) // self.factor, -(-(part.stop + shift) // self.factor)
            start = min(max(first, 0), size)
            parts.append(slice(start, max(min(last, size), start)))
        return Block(*parts)


@dataclass(frozen=True)
class Scene:
    """The assets of one acquisition that some features need."""

    item_id: str
    grid: GeoBox  # of the finest pixels, as far as any band reaches
    layers: Mapping[str, Layer]
    features: tuple[str, ...]  # those that its assets allow

    def target(self, feature: str) -> Layer:
        """The finest layer that a feature is made of: its statistics are taken on that layer's grid."""
        return min((self.layers[band] for band in find_index(feature).bands), key=lambda layer: layer.factor)

    def blocks(self, side: int) -> Iterator[Block]:
        """Square blocks, row by row; their borders fall on borders of the coarser pixels where grids
        share a corner."""
        multiple = int(np.lcm.reduce([layer.factor for layer in self.layers.values()]))
        return cut(self.grid.shape, side, multiple)

    @property
    def notes(self) -> dict[str, tuple[str, ...]]:
        """What item and file say differently, by band."""
        found = {band: layer.encoding.notes for band, layer in self.layers.items()}
        return {band: notes for band, notes in found.items() if notes}


def scene_of(row: Acquisition, features: Sequence[str], extra: Sequence[str] = ()) -> Scene:
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
            f"{row['item_id']} holds {listed(sorted(assets))}, of which none of the features can be made.",
            reason="missing_band",
        )
    bands = sorted(
        {band for name in possible for band in find_index(name).bands} | {b for b in extra if b in assets}
    )
    grids = {band: grid_of(assets[band]["href"]) for band in bands}
    finest = _hull_of({assets[band]["href"]: grid for band, grid in grids.items()})
    places = {band: placed(finest, grid, assets[band]["href"]) for band, grid in grids.items()}
    layers = {
        band: Layer(band, assets[band], encoding_of(assets[band]), grids[band], *places[band])
        for band in bands
    }
    return Scene(row["item_id"], finest, layers, possible)


def _hull_of(grids: Mapping[str, GeoBox]) -> GeoBox:
    """The finest of some grids, by address, widened to hold all of them: bands may cover different ground."""
    finest = min(grids.values(), key=lambda grid: abs(grid.affine.a))
    places = [(placed(finest, grid, href), grid.shape) for href, grid in grids.items()]
    top, left = (min(-place[axis] for place, _ in places) for axis in (1, 2))
    bottom = max(-row + height * factor for (factor, row, _), (height, _) in places)
    right = max(-column + width * factor for (factor, _, column), (_, width) in places)
    for axis, length in enumerate((bottom - top, right - left)):
        longest = max(shape[axis] * place[0] for place, shape in places)
        if length > FURTHEST * longest:
            raise ImageryError(
                f"Bands of one acquisition lie far apart, over {length / longest:.3g} times their own size: "
                f"{', '.join(sorted(grids))}; download them again.",
                reason="shifted_grid",
            )
    whole = Block(slice(top, bottom), slice(left, right))
    return finest if whole.shape == tuple(finest.shape) and (top, left) == (0, 0) else crop(finest, whole)


def widened(scene: Scene, grids: Iterable[GeoBox]) -> Scene:
    """The scene on ground that holds other acquisitions of its place too: each layer's grid reaches over all.

    Parameters
    ----------
    grids
        Of the other acquisitions, as fine as the scene's or coarser.

    Raises
    ------
    ImageryError
        Where one does not nest in the scene's grid.
    """
    height, width = scene.grid.shape
    top, left, bottom, right = 0, 0, height, width
    for grid in set(grids):
        factor, row, column = placed(scene.grid, grid, f"{scene.item_id}'s tile")
        top, left = min(top, -row), min(left, -column)
        bottom = max(bottom, grid.shape[0] * factor - row)
        right = max(right, grid.shape[1] * factor - column)
    if (top, left, bottom, right) == (0, 0, height, width):
        return scene
    whole = Block(slice(top, bottom), slice(left, right))
    layers = {band: _reaching(layer, whole) for band, layer in scene.layers.items()}
    return replace(scene, grid=crop(scene.grid, whole), layers=layers)


def _reaching(layer: Layer, whole: Block) -> Layer:
    """A layer whose grid covers rows and columns of the scene's grid, counted anew from their corner."""
    shifts = (layer.top, layer.left)
    parts, places = [], []
    for part, shift in zip(whole.slices, shifts, strict=True):
        start, stop = (part.start + shift) // layer.factor, -(-(part.stop + shift) // layer.factor)
        parts.append(slice(start, stop))
        places.append(part.start + shift - start * layer.factor)
    return replace(layer, grid=crop(layer.grid, Block(*parts)), top=places[0], left=places[1])


def read_layer(layer: Layer, own: Block, touched: np.ndarray | None = None) -> np.ndarray:
    """Raw pixels `(y, x)` of a layer's own rows and columns; blocks of the file not `touched` may be zero."""
    if 0 in own.shape:
        return np.zeros(own.shape, np.float32)
    return read_window(layer.asset["href"], own.rows, own.columns, touched)


def finer(pixels: np.ndarray, read: Block, layer: Layer, target: Layer, block: Block) -> np.ndarray:
    """Repeat a layer's pixels onto the target's pixels of a block; NaN (False for a mask) where it has none.

    Parameters
    ----------
    pixels
        `(y, x)`: the layer's own pixels in `read`, which holds at least all those under the target's.
    """
    chosen, inside = [], []
    for part, first, size, mine, theirs in zip(
        target.own(block).slices, (read.rows.start, read.columns.start), pixels.shape,
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
