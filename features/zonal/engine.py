"""Pixels x coverage -> statistics per parcel, in memory."""

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from features.errors import ImageryError
from features.zonal.coverage import Coverage
from features.zonal.kernels import MOMENTS, gather, mask_weights, summarise_block, summarise_line
from features.zonal.statistics import Part, finish, quantiles_of

NO_NODATA = np.float32(np.nan)
TOGETHER = 1 << 16  # pixels of the parcels summarised together: their weights stay in the second cache level


def zonal(
    block: np.ndarray,
    coverage: Coverage,
    statistics: Sequence[str],
    clear: np.ndarray | None = None,
    nodata: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Statistics of every parcel over one raster.

    Parameters
    ----------
    block
        `(y, x)` of any number type, on the coverage's grid.
    clear
        bool `(y, x)`; pixels where it is False are left out. Pixels that are nodata, not finite or at
        least 1e20 in size always are.

    Returns
    -------
    tuple
        float64 `(parcel, statistic)`, NaN where no pixel is usable; and the summed coverage of the
        usable pixels, float64 `(parcel,)`, zero there.
    """
    weights = coverage.weights if clear is None else masked(coverage, clear)
    part = summarise(block, coverage, weights, statistics, nodata)
    return finish(part, statistics), part.weight


def masked(coverage: Coverage, clear: np.ndarray, place: tuple[int, int, int] | None = None) -> np.ndarray:
    """The coverage's weights, zero where `clear (y, x)` is False; float32 (pixel,).

    Parameters
    ----------
    place
        Where `clear` has coarser pixels: how many times coarser, and by how many of the coverage's rows and
        columns its corner lies before the coverage's. What lies outside of it is not clear.
    """
    if place is None:
        _check_shape(clear, coverage)
    out = np.empty_like(coverage.weights)
    seen = np.ascontiguousarray(clear, dtype=bool).view(np.uint8)
    runs = (coverage.rows, coverage.columns, coverage.lengths)
    mask_weights(seen, *(place or (1, 0, 0)), *runs, coverage.weights, out)
    return out


def gathered(block: np.ndarray, coverage: Coverage) -> np.ndarray:
    """The covered pixels of `block (y, x)` in the order of the coverage's weights; float32 (pixel,)."""
    _check_shape(block, coverage)
    out = np.empty(len(coverage.weights), np.float32)
    gather(np.ascontiguousarray(block), coverage.rows, coverage.columns, coverage.lengths, out)
    return out


def summarise(
    block: np.ndarray,
    coverage: Coverage,
    weights: np.ndarray,
    statistics: Sequence[str],
    nodata: float | None = None,
) -> Part:
    """Sums and quantiles of every parcel from a pixel block `(y, x)`, in one fused pass."""
    _check_shape(block, coverage)
    quantiles, scores = quantiles_of(statistics)
    part = Part(np.empty((len(coverage), MOMENTS)), np.empty((len(coverage), len(quantiles))))
    none = NO_NODATA if nodata is None else np.float32(nodata)
    runs = (coverage.rows, coverage.columns, coverage.lengths, coverage.runs)
    summarise_block(
        np.ascontiguousarray(block),
        *runs,
        weights,
        coverage.offsets,
        none,
        quantiles,
        scores,
        part.moments,
        part.answers,
    )
    return part


def summarise_bands(
    blocks: Sequence[np.ndarray],
    coverage: Coverage,
    weights: np.ndarray,
    statistics: Sequence[str],
    nodata: float | None = None,
    threads: int = 1,
) -> list[Part]:
    """Summarise several blocks `(y, x)` of one grid as `summarise` does. A few parcels at a time pass through
    all blocks, so that their weights are read from memory once.
    """
    for block in blocks:
        _check_shape(block, coverage)
    quantiles, scores = quantiles_of(statistics)
    none = NO_NODATA if nodata is None else np.float32(nodata)
    whole = [np.ascontiguousarray(block) for block in blocks]
    parts = [
        Part(np.empty((len(coverage), MOMENTS)), np.empty((len(coverage), len(quantiles)))) for _ in blocks
    ]
    runs = (coverage.rows, coverage.columns, coverage.lengths)

    def some(chunk: slice) -> None:
        owned = slice(chunk.start, chunk.stop + 1)
        for block, part in zip(whole, parts, strict=True):
            summarise_block(
                block, *runs, coverage.runs[owned], weights, coverage.offsets[owned], none, quantiles, scores,
                part.moments[chunk], part.answers[chunk],
            )  # fmt: skip

    cuts = np.searchsorted(coverage.offsets, np.arange(0, len(weights), TOGETHER)).tolist()
    chunks = [
        slice(a, b) for a, b in itertools.pairwise([*dict.fromkeys([0, *cuts]), len(coverage)]) if a < b
    ]
    if threads == 1 or len(chunks) == 1:
        list(map(some, chunks))
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(some, chunks))
    return parts


def summarise_gathered(
    values: np.ndarray,
    offsets: np.ndarray,
    weights: np.ndarray,
    statistics: Sequence[str],
    nodata: float | None = None,
    samples: bool = False,
) -> Part:
    """Summarise gathered pixels, `values` and `weights (pixel,)` with `offsets (parcel + 1,)`, as `summarise`
    does; with `samples` the part carries the pixels, to be combined with others.
    """
    quantiles, scores = quantiles_of(statistics)
    moments, answers = np.empty((len(offsets) - 1, MOMENTS)), np.empty((len(offsets) - 1, len(quantiles)))
    none = NO_NODATA if nodata is None else np.float32(nodata)
    summarise_line(values, weights, offsets, none, quantiles, scores, moments, answers)
    if not samples:
        return Part(moments, answers)
    seen = np.where(values == none, np.float32(0), weights) if nodata is not None else weights
    return Part(moments, answers, values, seen, offsets)


def _check_shape(block: np.ndarray, coverage: Coverage) -> None:
    if block.shape != coverage.shape:
        raise ImageryError(
            f"A block of {block.shape} pixels does not fit coverage computed for {coverage.shape}; "
            "compute the coverage on the raster's own grid."
        )
