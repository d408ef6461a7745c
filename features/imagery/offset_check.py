"""The reflectance offsets of a season compared with a few pixels of its scenes."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from features.catalog.radiometry import Scaling, check_offset
from features.errors import ImageryError
from features.imagery.opening import open_raster

log = logging.getLogger(__name__)

# Dark over vegetation and water, so that an offset shows; the first that a scene has is looked at.
VISIBLE = ("B04", "B03", "B02")
SAMPLE_SIDE = 256
FINDINGS = pl.Schema({"item_id": pl.String, "finding": pl.String})


def check_offsets(acquisitions: pl.DataFrame, limit: int = 20) -> pl.DataFrame:
    """Look at a coarse sample of some scenes for offsets that the catalog states wrongly.

    Parameters
    ----------
    acquisitions
        `features.schema.ACQUISITIONS`.
    limit
        Scenes looked at, spread evenly over the season; 0 looks at all.

    Returns
    -------
    polars.DataFrame
        `item_id, finding`, one row a scene looked at. The finding is null where the offset is plausible, else
        as `features.catalog.radiometry.check_offset` names it, or `unreadable`. A scene whose offset was
        subtracted twice is mended with `imagery.offsets: {<item id>: 0}`, one that still carries it with
        -1000.
    """
    optical = acquisitions.filter(pl.col("sensor") == "s2")
    count = optical.height if limit == 0 else min(limit, optical.height)
    chosen = np.unique(np.linspace(0, max(optical.height - 1, 0), count).round().astype(int))
    rows = [optical.row(int(position), named=True) for position in chosen]
    found = [(row["item_id"], _finding(row)) for row in rows]
    for item_id, finding in found:
        if finding:
            log.warning("%s: %s", item_id, finding)
    return pl.DataFrame(found, schema=FINDINGS, orient="row")


def _finding(row: Mapping[str, Any]) -> str | None:
    held = {asset["band"]: asset for asset in row["assets"]}
    asset = next((held[band] for band in VISIBLE if band in held), None)
    if asset is None:
        return None
    try:
        with open_raster(asset["href"]) as raster:
            step = max(1, max(raster.shape) // SAMPLE_SIDE)
            sample = raster.read(1, out_shape=(max(raster.height // step, 1), max(raster.width // step, 1)))
    except ImageryError as error:
        log.warning("%s", error)
        return "unreadable"
    return check_offset(sample, Scaling(asset["scale"], asset["offset"], "catalog"), asset["nodata"])
