"""Blocks of pixels: a grid cut into them, a block widened by a margin, one block's place within another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Block:
    """Rows and columns of a grid."""

    rows: slice
    columns: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array `(y, x)` with."""
        return self.rows, self.columns

    def widened(self, margin: int, shape: Sequence[int]) -> "Block":
        """The block with `margin` pixels more on each side, as far as a grid of `shape` reaches.

        Examples
        --------
        >>> Block(slice(0, 4), slice(6, 9)).widened(2, (10, 10))
        Block(rows=slice(0, 6, None), columns=slice(4, 10, None))
        """
        parts = zip(self.slices, shape, strict=True)
        return Block(*(slice(max(p.start - margin, 0), min(p.stop + margin, n)) for p, n in parts))

    def within(self, outer: "Block") -> "Block":
        """The same pixels, counted from the corner of `outer`.

        Examples
        --------
        >>> Block(slice(4, 6), slice(4, 6)).within(Block(slice(2, 8), slice(3, 8)))
        Block(rows=slice(2, 4, None), columns=slice(1, 3, None))
        """
        parts = zip(self.slices, outer.slices, strict=True)
        return Block(*(slice(p.start - w.start, p.stop - w.start) for p, w in parts))


def cut(shape: Sequence[int], side: int, multiple: int = 1, even: bool = False) -> Iterator[Block]:
    """Cut a grid into blocks that share no pixel, row by row.

    Parameters
    ----------
    side
        Most pixels on a side.
    multiple
        The side is a multiple of this, so that borders of blocks fall on borders of coarser pixels.
    even
        Blocks of about one size, rather than whole ones and a rest.

    Examples
    --------
    >>> [block.columns for block in cut((1, 10), 4)]
    [slice(0, 4, None), slice(4, 8, None), slice(8, 10, None)]
    >>> [block.columns for block in cut((1, 10), 6, even=True)]
    [slice(0, 5, None), slice(5, 10, None)]
    """
    side = max(side - side % multiple, 1)
    rows, columns = (_parts(int(length), side, even) for length in shape)
    for row in rows:
        for column in columns:
            yield Block(row, column)


def _parts(length: int, side: int, even: bool) -> list[slice]:
    if even:
        edges = np.linspace(0, length, -(-length // side) + 1).astype(int).tolist()
    else:
        edges = [*range(0, length, side), length]
    return [slice(start, stop) for start, stop in pairwise(edges)]
