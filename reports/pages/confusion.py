"""Declared against predicted classes, and the parcels of each cell."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from features.schema import VERDICTS_OF
from reports.embed import clean, rounded
from reports.pages.quality import Quality
from reports.run import RunTables
from reports.translation import translation


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
    run: RunTables, quality: Quality, confusion: Confusion, listed: pl.DataFrame, limit: int
) -> dict[str, object]:
    """Return the matrix and, per cell, its parcels (least probable declarations first, at most `limit`)."""
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
        "verdicts": {name: translation("en")(f"verdict.{name}") for name in VERDICTS_OF},
    }
