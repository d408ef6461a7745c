"""Folds in which no holding, block, region or season lies on both sides."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from features.errors import ModelError

if TYPE_CHECKING:  # configs name the ways to group, and do not wait for these libraries
    import geopandas as gpd
    import pandas as pd

log = logging.getLogger(__name__)

GroupBy = Literal["holding_and_block", "holding", "block", "region", "season"]
SAMPLE = 3_000  # parcels in the variogram: 4.5 million pairs
LEAST_SPACINGS = 0.25  # of the distance between neighbours: no smaller blocks
LARGEST_SHARE = 1.5  # of a fold's fair share: a single group above it makes the blocks smaller


@dataclass(frozen=True)
class FoldPlan:
    """Folds and how they came about.

    `fold` and `group` have one entry a parcel; fold -1 is a parcel no model trains on, for want of a class.
    """

    fold: np.ndarray
    group: np.ndarray
    by: str
    block_metres: float | None
    note: str

    @property
    def n_groups(self) -> int:
        """How many groups were dealt out."""
        return len(np.unique(self.group))


def assign_folds(
    declarations: "gpd.GeoDataFrame",
    n_folds: int,
    seed: int,
    by: GroupBy = "holding_and_block",
    block_metres: float | None = None,
) -> np.ndarray:
    """Return `(parcel,)` folds, `0 ... n_folds - 1`; -1 where there is no `crop_class`. See `plan_folds`."""
    return plan_folds(declarations, n_folds, seed, by, block_metres).fold


def plan_folds(
    declarations: "gpd.GeoDataFrame",
    n_folds: int,
    seed: int,
    by: GroupBy = "holding_and_block",
    block_metres: float | None = None,
) -> FoldPlan:
    """Assign groups of parcels to folds of similar size and class mix, one fold per row `(parcel,)` of the
    declarations.

    Parameters
    ----------
    declarations
        DECLARATION_COLUMNS; only `crop_class`, `geometry` and what `by` names are read.
    by
        `holding_and_block`: parcels linked by a holding or a block, directly or through others, stay
        together. A holding that alone is larger than a group may be (LARGEST_SHARE) is a group of its own;
        where others would be tied to one large group, blocks are halved until they are not. The plan's note
        says what was done. Without holdings it is `block`. `region` and `season` deal out whole regions or
        seasons.
    block_metres
        Side of a block; from the data where None (`block_side`).

    Raises
    ------
    ModelError
        Where there are fewer groups than folds.
    """
    if n_folds < 2:
        raise ModelError(f"Cross-fitting needs at least two folds, not {n_folds}.")
    rng = np.random.default_rng(seed)
    usable = declarations["crop_class"].notna().to_numpy()
    table = declarations[usable]
    group, by_found, side, note = _groups(table, n_folds, by, block_metres, rng)
    if len(np.unique(group)) < n_folds:
        raise ModelError(_too_few(n_folds, by_found, len(np.unique(group))))
    fold = np.full(len(declarations), -1)
    fold[usable] = deal(group, table["crop_class"].astype(str).to_numpy(), n_folds, rng)
    groups = np.full(len(declarations), -1)
    groups[usable] = group
    log.info("folds by %s: %d groups, %s", by_found, len(np.unique(group)), note or "as asked")
    return FoldPlan(fold, groups, by_found, side, note)


def _too_few(n_folds: int, by: str, groups: int) -> str:
    """Say that there are fewer groups than folds, and what helps."""
    fewer = f"Ask for {groups} folds (folds.count)" if groups > 1 else ""
    alone = "let folds go by block alone (folds.by: block)" if "holding" in by else ""
    more = f"give parcels of more {'holdings and places' if 'holding' in by else f'{by}s'}"
    cure = ", or ".join(filter(None, (fewer, alone, more)))
    said = f"{n_folds} folds by {by} need as many groups; here are {groups}."
    return f"{said} {cure[0].upper()}{cure[1:]}."


def deal(group: np.ndarray, classes: np.ndarray, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """Return `(parcel,)` folds: groups are assigned one by one, the most uneven first, each to the fold whose
    class counts it evens out most. `group` and `classes` are `(parcel,)`.

    After scikit-learn's StratifiedGroupKFold, with counts taken relative to each class's total, so that a
    rare class weighs as much as a common one. Ties are broken by `rng`.
    """
    _, group = np.unique(group, return_inverse=True)
    names, label = np.unique(classes, return_inverse=True)
    counts = np.zeros((group.max() + 1, len(names)))
    np.add.at(counts, (group, label), 1)
    share = np.column_stack([counts / counts.sum(0), counts.sum(1) / len(group)])
    order = rng.permutation(len(counts))
    order = order[np.argsort(-share.max(1)[order], kind="stable")]
    load, fold_of = np.zeros((n_folds, share.shape[1])), np.empty(len(counts), int)
    for index in order:
        cost = (2 * load * share[index]).sum(1)  # growth of the sum of squares, less what all folds share
        fold_of[index] = int(cost.argmin())
        load[fold_of[index]] += share[index]
    return fold_of[group]


def block_side(points: np.ndarray, classes: np.ndarray, n_folds: int, rng: np.random.Generator) -> float:
    """Return the side of a spatial block in metres, from `points (parcel, 2)` in metres and `classes
    (parcel,)`.

    The distance at which knowing a neighbour's class stops helping: where the indicator variogram (share of
    pairs at that distance whose classes differ) first reaches 95% of its sill, the share over all pairs. At
    least four times the median distance to the nearest neighbour, so that blocks hold several parcels; at
    most what leaves eight blocks a fold.
    """
    if len(points) < 3:
        return 1.0
    sample = rng.permutation(len(points))[:SAMPLE]
    nearest = _spacing(points)
    spans = np.maximum(np.ptp(points, axis=0), 1.0)
    most = max(float(np.sqrt(spans.prod() / (8 * n_folds))), 1.0)
    found = _variogram_range(points[sample], classes[sample], max(nearest, 1.0), most)
    return float(min(max(found, 4 * nearest, 1.0), most))


def _variogram_range(points: np.ndarray, classes: np.ndarray, step: float, most: float) -> float:
    """First distance at which class pairs differ as often as anywhere, in bins one step wide."""
    a, b = np.triu_indices(len(points), k=1)
    distance = np.hypot(*(points[a] - points[b]).T)
    differ = classes[a] != classes[b]
    sill = differ.mean()
    edges = np.arange(0, most + step, step)
    which = np.digitize(distance, edges)
    pairs = np.bincount(which, minlength=len(edges) + 1)[1:-1]
    share = np.bincount(which, differ, minlength=len(edges) + 1)[1:-1] / np.maximum(pairs, 1)
    reached = np.flatnonzero((pairs >= 30) & (share >= 0.95 * sill))
    return float(edges[reached[0] + 1]) if len(reached) else most


def blocks(points: np.ndarray, side: float) -> np.ndarray:
    """Return `(point,)`: the number of the square block of `side` metres that holds each of the `points
    (point, 2)`.
    """
    column, row = ((points - points.min(0)) // side).astype(np.int64).T
    return np.unique(column * (row.max() + 1) + row, return_inverse=True)[1]


def components(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return `(parcel,)`: the number of the component of each parcel; parcels are linked by either of two
    groupings `(parcel,)`.
    """
    _, a = np.unique(first, return_inverse=True)
    _, b = np.unique(second, return_inverse=True)
    size = a.max() + 1 + b.max() + 1
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(a)), (a, a.max() + 1 + b)), shape=(size, size))
    return np.asarray(connected_components(links, directed=False)[1][a])


def _groups(
    table: "gpd.GeoDataFrame", n_folds: int, by: GroupBy, block_metres: float | None, rng: np.random.Generator
) -> tuple[np.ndarray, str, float | None, str]:
    """Group of each parcel, what they are, the side of the blocks, and a note where it is not as asked."""
    if by in ("region", "season"):
        return _codes(table[by], by), by, None, ""
    holdings = table["holding_id"].notna().any()
    if by == "holding" and holdings:
        return _codes(table["holding_id"], by), by, None, ""
    points = _centres(table)
    side = block_metres or block_side(points, table["crop_class"].astype(str).to_numpy(), n_folds, rng)
    if by == "block" or not holdings:
        note = "" if by == "block" else "no holdings in the declarations, so folds go by block"
        return blocks(points, side), "block", side, note
    return _joined(_codes(table["holding_id"], by), points, side, n_folds)


def _joined(
    holding: np.ndarray, points: np.ndarray, side: float, n_folds: int
) -> tuple[np.ndarray, str, float | None, str]:
    """Join parcels by holding and block.

    A holding that alone is larger than a group may be is a group of its own: halving the blocks would not
    make it smaller. What then is still too large is made smaller by halving the blocks, down to a quarter of
    the distance between neighbours, below which a block holds one parcel and separates nothing.
    """
    asked, limit = side, LARGEST_SHARE * len(holding) / n_folds
    sizes = np.bincount(holding)
    own = sizes[holding] > limit
    least = max(LEAST_SPACINGS * _spacing(points), 1.0)
    group = _apart(holding, points, side, own)
    while _largest(group, ~own) > limit and side / 2 >= least:
        side /= 2
        group = _apart(holding, points, side, own)
    notes = [_alone_note(sizes[sizes > limit], len(holding), own, blocks(points, side))] if own.any() else []
    if _largest(group, ~own) > limit:
        notes.append(
            f"blocks of {asked:.0f} m would tie most holdings together, and so would blocks of {side:.0f} m, "
            "in which neighbours are already apart; folds go by holding alone"
        )
        return holding, "holding", None, "; ".join(notes)
    if side != asked:
        notes.append(
            f"blocks of {asked:.0f} m would tie most holdings together; blocks of {side:.0f} m do not"
        )
    return group, "holding_and_block", side, "; ".join(notes)


def _apart(holding: np.ndarray, points: np.ndarray, side: float, own: np.ndarray) -> np.ndarray:
    """Components by holding and block, in which parcels that stand on their `own` go by holding alone."""
    square = blocks(points, side)
    square[own] = square.max() + 1 + holding[own]
    return components(holding, square)


def _largest(group: np.ndarray, counted: np.ndarray) -> int:
    """Parcels of the largest group among those counted."""
    return int(np.bincount(group[counted]).max()) if counted.any() else 0


def _alone_note(sizes: np.ndarray, parcels: int, own: np.ndarray, square: np.ndarray) -> str:
    shared = int((~own & np.isin(square, square[own])).sum())
    listed = ", ".join(f"{size / parcels:.0%}" for size in sizes)
    alone = (
        f"a holding with {listed} of the parcels is a group of its own"
        if len(sizes) == 1
        else f"{len(sizes)} holdings with {listed} of the parcels are groups of their own"
    )
    return (
        f"{alone}, not joined by blocks; {shared} parcels of others share a block with it "
        "and may be in another fold"
    )


def _spacing(points: np.ndarray) -> float:
    """Median distance of a parcel to its nearest neighbour, metres."""
    from scipy.spatial import cKDTree

    return float(np.median(cKDTree(points).query(points, k=2)[0][:, 1])) if len(points) > 1 else 1.0


def _codes(column: "pd.Series", name: str) -> np.ndarray:
    """Number of each value; a missing value is a group of its own."""
    codes = column.factorize()[0]
    alone = codes < 0
    codes[alone] = codes.max() + 1 + np.arange(alone.sum())
    return codes


def _centres(table: "gpd.GeoDataFrame") -> np.ndarray:
    """Representative points, metres; parcels without geometry lie in the middle of the others."""
    middle = table.geometry.centroid
    points = np.column_stack([middle.x, middle.y])
    lost = ~np.isfinite(points).all(1)
    points[lost] = np.median(points[~lost], axis=0) if not lost.all() else 0.0
    return points
