"""Declared against predicted classes, and the parcels of each cell."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from features.schema import VERDICTS_OF
from reports.embed import clean, rounded
from reports.pages.sections.quality import Quality
from reports.run import RunTables
from reports.translation import Text


@dataclass(frozen=True)
class Confusion:
    """Parcels and hectares by declared (row) and predicted (column) class."""

    classes: list[str]
    count: np.ndarray
    hectares: np.ndarray


def confusion_of(quality: Quality) -> Confusion:
    """Return the confusion matrix over the classes that occur, largest declared class first."""
    sizes = quality.table["crop_class"].value_counts().sort(["count", "crop_class"], descending=[True, False])
    classes = sizes["crop_class"].to_list()
    classes += sorted(set(quality.table["predicted"]) - set(classes))
    place = {name: k for k, name in enumerate(classes)}
    count, hectares = np.zeros((2, len(classes), len(classes)))
    cells = quality.table.group_by("crop_class", "predicted").agg(
        n=pl.len(), ha=pl.col("area_ha").cast(pl.Float64).sum()
    )
    for declared, predicted, n, ha in cells.iter_rows():
        count[place[declared], place[predicted]] = n
        hectares[place[declared], place[predicted]] = ha
    return Confusion(classes, count, hectares)


def confusion_data(
    run: RunTables,
    quality: Quality,
    confusion: Confusion,
    listed: pl.DataFrame,
    limit: int,
    text: Text,
) -> dict[str, object]:
    """Return the matrix and, per cell, its parcels (least probable declarations first, at most `limit`)."""
    of_class = [run.crop_groups.get(name, name) for name in confusion.classes]
    groups = list(dict.fromkeys(of_class)) if run.crop_groups else []
    of_class = of_class if groups else []
    sheets = dict(zip(listed["parcel_id"], listed["sheet"], strict=True))
    place = {name: k for k, name in enumerate(confusion.classes)}
    cells: dict[str, list[list[object]]] = {}
    columns = ("crop_class", "predicted", "parcel_id", "area_ha", "probability", "verdict")
    for declared, predicted, parcel_id, ha, probability, verdict in (
        quality.table.sort("probability", "parcel_id", nulls_last=True).select(columns).iter_rows()
    ):
        cell = cells.setdefault(f"{place[declared]},{place[predicted]}", [])
        if len(cell) < limit:
            cell.append(
                [clean(parcel_id), rounded(ha, 2), rounded(probability, 3), verdict, sheets.get(parcel_id)]
            )
    return {
        "classes": [clean(run.class_name(name)) for name in confusion.classes],
        "count": confusion.count.astype(int).tolist(),
        "hectares": np.round(confusion.hectares, 2).tolist(),
        "cells": cells,
        "verdicts": {name: text(f"verdict.{name}") for name in VERDICTS_OF},
        "words": {name: text(f"analyst.js_{name}") for name in ("cell", "least", "declared")},
        "groups": [clean(text.crop(name.replace("_", " "))) for name in groups],
        "groupOf": [groups.index(name) for name in of_class],
        **_by_region(quality, place),
    }


def _by_region(quality: Quality, place: dict[str, int]) -> dict[str, object]:
    """Return the regions, and of each the cells `[declared, predicted, parcels, hectares]`."""
    cells: dict[str, list[list[object]]] = {}
    table = quality.table.filter(pl.col("region").is_not_null())
    keys = ("region", "crop_class", "predicted")
    sums = table.group_by(keys).agg(n=pl.len(), ha=pl.col("area_ha").cast(pl.Float64).sum()).sort(keys)
    for region, declared, predicted, n, ha in sums.iter_rows():
        cells.setdefault(clean(region), []).append([place[declared], place[predicted], n, rounded(ha, 2)])
    return {"regions": list(cells), "byRegion": list(cells.values())}


def most_confused(confusion: Confusion, most: int = 15) -> list[dict[str, float]]:
    """Return the largest cells off the diagonal: `i, j, n, share` (of the declared class) and `hectares`."""
    count = confusion.count.copy()
    np.fill_diagonal(count, 0)
    order = np.argsort(-count, axis=None, kind="stable")[:most]
    pairs = [divmod(int(k), len(count)) for k in order] if len(count) else []
    return [
        {
            "i": i,
            "j": j,
            "n": int(count[i, j]),
            "share": float(count[i, j] / max(1, confusion.count[i].sum())),
            "hectares": float(confusion.hectares[i, j]),
        }
        for i, j in pairs
        if count[i, j]
    ]
