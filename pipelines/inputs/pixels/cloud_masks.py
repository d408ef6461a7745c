"""The acquisitions as the stages after the mask see them: with the run's own masks as scene classes."""

from pathlib import Path
from typing import Any

import polars as pl

from features.extraction.options import ExtractOptions
from features.files import read_parquet
from features.imagery.masks import MaskOptions
from features.schema import SCENE_CLASS, Row, acquisition_rows
from models.clouds.mask.options import CloudMaskOptions
from pipelines.config import RunConfig
from pipelines.tables import read_acquired
from pipelines.workspace import Workspace

INDEX = pl.Schema(
    {
        "item_id": pl.String,
        "tile": pl.String,
        "file": pl.String,  # below the masks' folder; null where there is no mask
        "sha256": pl.String,
        "reason": pl.String,  # why there is no mask
        "detail": pl.String,
        **{f"{name}_px": pl.Int64 for name in ("clear", "shadow", "thin", "cloud")},
        **{f"{name}_px": pl.Int64 for name in ("nodata", "saturated", "snow", "not_compared")},
    }
)


def masks_folder(workspace: Workspace) -> Path:
    """Return where a run's masks lie."""
    return workspace.folder / "masks"


def model_folder(workspace: Workspace) -> Path:
    """Return where the fitted mask lies."""
    return masks_folder(workspace) / "model"


def read_index(workspace: Workspace) -> pl.DataFrame:
    """Return one row per optical acquisition (`INDEX`); none where scene classes are used as delivered."""
    path = masks_folder(workspace) / "masks.parquet"
    return read_parquet(path) if path.is_file() else pl.DataFrame(schema=INDEX)


def with_masks(acquisitions: pl.DataFrame, mask: CloudMaskOptions, workspace: Workspace) -> pl.DataFrame:
    """Put the run's masks in place of the delivered scene classes; acquisitions without one are left out."""
    if mask.as_delivered:
        return acquisitions
    without = read_index(workspace).filter(pl.col("file").is_null())["item_id"]
    kept = (pl.col("sensor") != "s2") | ~pl.col("item_id").is_in(without.implode())
    return showing_masks(acquisitions.filter(kept), mask, workspace)


def showing_masks(acquisitions: pl.DataFrame, mask: CloudMaskOptions, workspace: Workspace) -> pl.DataFrame:
    """As `with_masks`, but acquisitions without a mask stay as they are: for what is shown, not read."""
    if mask.as_delivered:
        return acquisitions
    known = read_index(workspace).filter(pl.col("file").is_not_null())
    files = dict(known.select("item_id", "file").iter_rows())
    folder = masks_folder(workspace).resolve()
    rows: list[Row] = []
    for row in acquisition_rows(acquisitions):
        if row["sensor"] != "s2" or row["item_id"] not in files:
            rows.append(dict(row))
            continue
        others = [asset for asset in row["assets"] if asset["band"] != SCENE_CLASS]
        rows.append({**row, "assets": [*others, _asset(str(folder / files[row["item_id"]]))]})
    return pl.DataFrame(rows, schema=acquisitions.schema)


def _asset(href: str) -> dict[str, Any]:
    numbers = {"scale": 1.0, "offset": 0.0, "nodata": 0.0}
    return {"band": SCENE_CLASS, "href": href, "unit": "class", "assumed": None, **numbers}


def mask_stamps(mask: CloudMaskOptions, workspace: Workspace) -> dict[str, str]:
    """Return what identifies each mask, by its link: the hash of its file."""
    if mask.as_delivered:
        return {}
    folder = masks_folder(workspace).resolve()
    rows = read_index(workspace).filter(pl.col("file").is_not_null())
    return {str(folder / file): digest for file, digest in rows.select("file", "sha256").iter_rows()}


def without_mask(mask: CloudMaskOptions, workspace: Workspace) -> dict[str, tuple[str, str, str]]:
    """Return the acquisitions that have no mask: item id to tile, reason and detail."""
    if mask.as_delivered:
        return {}
    rows = read_index(workspace).filter(pl.col("reason").is_not_null())
    return {item: (tile, reason, said) for item, tile, reason, said in rows.select(
        "item_id", "tile", "reason", "detail").iter_rows()}  # fmt: skip


def reading_options(mask: CloudMaskOptions, options: MaskOptions) -> MaskOptions:
    """Return how scene classes are read: our own masks carry their buffers already, but for those that stand
    in for absent ones.
    """
    return options if mask.keeps_delivered else options.model_copy(update={"dilation_m": 0.0})


def read_masked(config: RunConfig, workspace: Workspace) -> pl.DataFrame:
    """Return the acquisitions that `read` left, with the run's masks."""
    return with_masks(read_acquired(workspace), config.clear.mask, workspace)


def masked_extract(config: RunConfig) -> ExtractOptions:
    """Return the options of extraction, with the scene classes read as `reading_options` has it."""
    mask = reading_options(config.clear.mask, config.extract.mask)
    return config.extract.model_copy(update={"mask": mask})
