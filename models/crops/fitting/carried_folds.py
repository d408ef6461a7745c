"""Folds of another run carried over, where its models are used: no model judges what it was trained on."""

from dataclasses import replace

import geopandas as gpd
import numpy as np
import shapely

from models.folds import FoldPlan


def carry_over(
    plan: FoldPlan, declarations: gpd.GeoDataFrame, before: gpd.GeoDataFrame, fold: np.ndarray
) -> FoldPlan:
    """Give every parcel a fold whose model, of the earlier run, has not seen its holding or its ground.

    A parcel gets the fold that its holding had, where that was one; else the fold of the earlier parcel that
    it overlaps most; else the plan's, counted round the earlier run's folds. Where holding and ground had
    different folds, the holding's counts, and the note says how many parcels that are.

    Parameters
    ----------
    plan
        Folds of these parcels by themselves.
    declarations, before
        `holding_id` and geometry of these parcels and of the earlier run's, in any metric CRS.
    fold
        `(parcel of before,)` the earlier run's folds; -1 for parcels that no model was trained on.
    """
    used = fold >= 0
    count = int(fold.max()) + 1
    held = _of_holdings(declarations, before[used], fold[used])
    ground = _of_ground(declarations, before[used].to_crs(declarations.crs), fold[used])
    usable = plan.fold >= 0
    chosen = np.where(held >= 0, held, np.where(ground >= 0, ground, plan.fold % count))
    apart = int((usable & (held >= 0) & (ground >= 0) & (held != ground)).sum())
    known = int((usable & ((held >= 0) | (ground >= 0))).sum())
    notes = [plan.note, f"{known} parcels have the fold that their holding or ground had in the earlier run"]
    if apart:
        notes.append(f"{apart} of them lie on ground that another holding had then, in another fold")
    return replace(plan, fold=np.where(usable, chosen, -1), note="; ".join(note for note in notes if note))


def kept_folds(plan: FoldPlan, declarations: gpd.GeoDataFrame, fitted: gpd.GeoDataFrame) -> FoldPlan:
    """Return folds under which no model that is kept through a season judges a label that it was trained on.

    A parcel gets the fold of the fitted parcel whose point lies in it, which is its own where it was there
    before; else the fold that its holding had, where that was one; else that of the nearest fitted parcel,
    whose block it shares. Ground comes first, as the label that was learned there is of this very season.

    Parameters
    ----------
    plan
        Folds of these parcels by themselves; those of fold -1 stay there.
    declarations
        `holding_id` and geometry, in the same order.
    fitted
        `holding_id`, `fold`, and a point in each parcel that the models were fitted on.
    """
    fitted, usable = fitted.to_crs(declarations.crs), plan.fold >= 0
    fold = fitted["fold"].to_numpy()
    ground = _of_points(declarations, fitted, fold)
    chosen = np.where(ground >= 0, ground, _of_holdings(declarations, fitted, fold))
    alone = usable & (chosen < 0)
    if alone.any():
        points = shapely.STRtree(np.asarray(fitted.geometry.array, dtype=object))
        chosen[alone] = fold[points.nearest(declarations.geometry[alone].representative_point().to_numpy())]
    new = int((usable & (ground < 0)).sum())
    notes = [plan.note, "the folds are those of the models, which were fitted before"]
    if new:
        notes.append(
            f"{new} new parcels have the fold of their holding, {int(alone.sum())} of them that of the "
            "nearest parcel"
        )
    chosen = np.where(usable, chosen, -1)
    return replace(plan, fold=chosen, note="; ".join(note for note in notes if note))


def _of_points(declarations: gpd.GeoDataFrame, fitted: gpd.GeoDataFrame, fold: np.ndarray) -> np.ndarray:
    """Return `(parcel,)` the fold of the first fitted parcel whose point lies in each; -1 where none does."""
    shapes, points = (np.asarray(table.geometry.array, dtype=object) for table in (declarations, fitted))
    point, parcel = shapely.STRtree(shapes).query(points, predicate="intersects")
    found = np.full(len(shapes), -1)
    for index in np.argsort(-point, kind="stable"):  # the first one last, so that it stays
        found[parcel[index]] = fold[point[index]]
    return found


def _of_holdings(declarations: gpd.GeoDataFrame, before: gpd.GeoDataFrame, fold: np.ndarray) -> np.ndarray:
    """Return `(parcel,)` the one fold that each parcel's holding had; -1 where it had none, or several."""
    seen: dict[str, set[int]] = {}
    for name, number in zip(before["holding_id"], fold, strict=True):
        if isinstance(name, str):
            seen.setdefault(name, set()).add(int(number))
    one = {name: numbers.pop() for name, numbers in seen.items() if len(numbers) == 1}
    return np.array([one.get(name, -1) for name in declarations["holding_id"]], dtype=int)


def _of_ground(declarations: gpd.GeoDataFrame, before: gpd.GeoDataFrame, fold: np.ndarray) -> np.ndarray:
    """Return `(parcel,)` the fold of the earlier parcel that each overlaps most; -1 where it overlaps
    none."""
    mine, theirs = (np.asarray(table.geometry.array, dtype=object) for table in (declarations, before))
    at, other = shapely.STRtree(theirs).query(mine, predicate="intersects")
    shared = shapely.area(shapely.intersection(mine[at], theirs[other]))
    found = np.full(len(mine), -1)
    for index in np.argsort(shared, kind="stable"):  # the largest last, so that it stays
        if shared[index] > 0:
            found[at[index]] = fold[other[index]]
    return found
