"""The observations table on disk: one Parquet part per tile and acquisition, whole or absent."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.errors import StageError
from features.files import atomic_path
from features.schema import OBSERVATIONS, STATISTICS

log = logging.getLogger(__name__)


def make_part(
    parcel_ids: np.ndarray,
    when: datetime,
    sensor: str,
    relative_orbit: int | None,
    values: Mapping[str, np.ndarray],
    statistics: Sequence[str],
    pixel_count: Mapping[str, np.ndarray],
    valid_share: Mapping[str, np.ndarray],
    filled_share: Mapping[str, np.ndarray] | None = None,
    sigma: Mapping[str, np.ndarray] | None = None,
) -> pl.DataFrame:
    """One acquisition's rows: every parcel of the tile, feature after feature; unseen ones with a count
    of zero.

    `values[feature]` is (parcel, statistic); the others (parcel,) per feature.
    """
    features, n = list(values), len(parcel_ids)
    total = n * len(features)
    stacked = np.concatenate([values[name] for name in features]).astype(np.float32)
    columns: dict[str, Any] = {
        "parcel_id": pl.Series(np.tile(parcel_ids, len(features)), dtype=pl.String),
        "datetime": pl.lit(when, dtype=pl.Datetime("us")),
        "sensor": pl.lit(sensor, dtype=pl.String),
        "relative_orbit": pl.lit(relative_orbit, dtype=pl.Int32),
        "feature": pl.Series(features, dtype=pl.String).gather(np.repeat(np.arange(len(features)), n)),
    }
    for name in STATISTICS:
        column = (
            stacked[:, list(statistics).index(name)]
            if name in statistics
            else np.full(total, np.nan, np.float32)
        )
        columns[name] = pl.Series(np.ascontiguousarray(column), nan_to_null=True)
    for name, table in (
        ("pixel_count", pixel_count),
        ("valid_share", valid_share),
        ("filled_share", filled_share),
        ("sigma", sigma),
    ):
        parts = [np.zeros(total)] if table is None else [table[feature] for feature in features]
        columns[name] = pl.Series(np.concatenate(parts).astype(np.float32), nan_to_null=True)
    part: pl.DataFrame = pl.select(**columns)
    return part.select(pl.col(name).cast(kind) for name, kind in OBSERVATIONS.items())


def write_part(path: Path, part: pl.DataFrame) -> Path:
    """Write one part atomically."""
    with atomic_path(path) as partial:
        part.write_parquet(partial, compression="zstd", compression_level=1, statistics=False)
    return path


def read_observations(folder: Path, features: Sequence[str] | None = None) -> pl.DataFrame:
    """Read the parts that the last extraction into `folder` named as its own.

    Returns
    -------
    pl.DataFrame
        `features.schema.OBSERVATIONS`, in order of time. Where two acquisitions of one orbit saw a parcel in
        the same second (both halves of a tile cut by a datastrip border), the one that saw more of it is
        kept.

    Raises
    ------
    StageError
        Where nothing has been extracted into the folder.
    """
    index = folder / "parts.parquet"
    if not index.exists():
        raise StageError(f"{folder} holds no observations; run the extract stage first.")
    parts = pl.read_parquet(index).sort("datetime", "item_id", "tile")
    paths = [folder / name for name in parts["part"]]
    if not paths:
        return OBSERVATIONS.to_frame()
    scan = pl.scan_parquet(paths)
    if features is not None:
        scan = scan.filter(pl.col("feature").is_in(list(features)))
    table = scan.collect()
    twice = parts.filter(pl.struct("tile", "sensor", "second").is_duplicated())
    return _resolve(table, twice["second"].unique().to_list()) if twice.height else table


def _resolve(table: pl.DataFrame, seconds: Sequence[datetime]) -> pl.DataFrame:
    doubtful = pl.col("datetime").dt.truncate("1s").is_in(list(seconds))
    key = ["parcel_id", "second", "sensor", "relative_orbit", "feature"]
    best = (
        table.filter(doubtful)
        .with_columns(second=pl.col("datetime").dt.truncate("1s"))
        .sort("pixel_count", descending=True, maintain_order=True)
        .unique(key, keep="first", maintain_order=True)
        .drop("second")
    )
    return pl.concat([table.filter(~doubtful), best]).sort("datetime", maintain_order=True)
