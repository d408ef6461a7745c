"""The observations table on disk: one Parquet part per tile and acquisition, whole or absent."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from features.errors import StageError
from features.files import atomic_path, read_parquet, vouch
from features.schema import OBSERVATIONS, STATISTICS

log = logging.getLogger(__name__)
REMARKS = "cropcheck"  # key of a part's metadata
REMARK_COLUMNS = pl.Schema(
    {**dict.fromkeys(("item_id", "tile", "name", "remark"), pl.String()), "pixels": pl.Int64()}
)
# Parquet of observations that are divided by parcel: read once, whole, and soon deleted
AS_DIVIDED: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": ["parcel_id", "datetime", "sensor", "relative_orbit", "feature"],
    "write_statistics": False,
}


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
        "parcel_id": pl.Series(parcel_ids, dtype=pl.String).gather(np.tile(np.arange(n), len(features))),
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


@dataclass(frozen=True)
class Remarks:
    """What is to be said of an acquisition beside its numbers.

    Attributes
    ----------
    left_out
        By feature, how many seen pixels had a value that cannot be, and were not used.
    notes
        By band, codes of what its item and its file say differently
        (`features.imagery.physical.Encoding`).
    """

    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)


def write_part(path: Path, part: pl.DataFrame, remarks: Remarks) -> Path:
    """Write one part atomically, its remarks in the file's metadata, and note its hash."""
    said = {REMARKS: json.dumps(asdict(remarks))}
    with atomic_path(path) as partial:
        part.write_parquet(partial, compression="zstd", compression_level=1, statistics=False, metadata=said)
    vouch(path)
    return path


def read_remarks(path: Path) -> Remarks:
    """Read the remarks of a part."""
    return Remarks(**json.loads(pl.read_parquet_metadata(path).get(REMARKS, "{}")))


def remarks_table(parts: Iterable[tuple[str, str, Path]]) -> pl.DataFrame:
    """The remarks of parts, given as item id, tile and path: `item_id, tile, name, remark, pixels`.

    `name` is a feature or band; `remark` is `left_out`, or a code of `Remarks.notes` with no pixels.
    """
    rows: list[tuple[str, str, str, str, int | None]] = []
    for item, tile, path in parts:
        remarks = read_remarks(path)
        rows += [(item, tile, name, "left_out", count) for name, count in remarks.left_out.items()]
        rows += [(item, tile, name, code, None) for name, codes in remarks.notes.items() for code in codes]
    return pl.DataFrame(rows, schema=REMARK_COLUMNS, orient="row")


def read_observations(
    folder: Path, features: Sequence[str] | None = None, statistics: Sequence[str] | None = None
) -> pl.DataFrame:
    """Read the parts that the last extraction into `folder` named as its own.

    Parameters
    ----------
    features, statistics
        Those that are wanted; all when omitted.

    Returns
    -------
    pl.DataFrame
        `features.schema.OBSERVATIONS`, without the other statistics, in order of time. Where several
        acquisitions of one pass saw a parcel (both halves of a tile cut by a datastrip border, two tiles or
        slices that overlap, a scene that is listed twice), the one that saw most of it counts, for each
        feature; of equal ones that of the newest processing baseline.

    Raises
    ------
    StageError
        Where nothing has been extracted into the folder.
    """
    once, groups = _groups(folder)
    tables = [_seen_best(group, features, statistics) for group in groups]
    if once:
        tables.append(_scan(once, features, statistics).collect())
    if not tables:
        return OBSERVATIONS.to_frame().select(_columns(statistics))
    return pl.concat(tables).sort("datetime", maintain_order=True)


def split_observations(
    folder: Path,
    chunks: Sequence[Sequence[str]],
    to: Path,
    features: Sequence[str] | None = None,
    statistics: Sequence[str] | None = None,
) -> list[Path]:
    """Write the observations of each chunk of parcels into a file of its own, one acquisition after another.

    Every part is read once, whatever the number of chunks; memory holds one acquisition.

    Parameters
    ----------
    folder
        As `read_observations` takes it.
    chunks
        Parcel ids; no parcel is in two of them. Others are left out.
    to
        Folder to write to.
    features, statistics
        Those that are wanted; all when omitted.

    Returns
    -------
    list of Path
        One Parquet file a chunk, rows as `features.schema.OBSERVATIONS`, without the other statistics.
    """
    numbers = [np.full(len(ids), k, np.int32) for k, ids in enumerate(chunks)]
    ids = pl.Series(np.concatenate([np.asarray(ids, object) for ids in chunks]), dtype=pl.String)
    chunk_of = pl.DataFrame({"parcel_id": ids, "chunk": np.concatenate(numbers)})
    paths = [to / f"{k:05d}.parquet" for k in range(len(chunks))]
    schema = OBSERVATIONS.to_frame().select(_columns(statistics)).to_arrow().schema
    with ExitStack() as stack:
        writers = [stack.enter_context(pq.ParquetWriter(path, schema, **AS_DIVIDED)) for path in paths]
        for table in each_pass(folder, features, statistics):
            here = chunk_of.join(table.select(pl.col("parcel_id").unique()), on="parcel_id", how="semi")
            owned = table.join(here, on="parcel_id", maintain_order="left")
            for (number,), rows in owned.partition_by("chunk", as_dict=True, include_key=False).items():
                writers[int(number)].write_table(rows.to_arrow().cast(schema))
    return paths


def each_pass(
    folder: Path, features: Sequence[str] | None = None, statistics: Sequence[str] | None = None
) -> Iterator[pl.DataFrame]:
    """Yield what `read_observations` returns, one part, or all parts of one pass, after another."""
    once, groups = _groups(folder)
    yield from (_scan([path], features, statistics).collect() for path in once)
    yield from (_seen_best(group, features, statistics) for group in groups)


def _groups(folder: Path) -> tuple[list[str], list[dict[str, int]]]:
    """Return the paths of the parts whose pass has no other, in order of time, and those of every other pass
    with its number, the best ranked first.

    Raises
    ------
    StageError
        Where nothing has been extracted into the folder.
    """
    index = folder / "parts.parquet"
    if not index.exists():
        raise StageError(f"{folder} holds no observations; run the extract stage first.")
    parts = read_parquet(index).sort("datetime", "item_id", "tile")
    several = parts.filter(pl.col("pass").is_duplicated()).sort("rank", descending=True, maintain_order=True)
    passes = dict(zip((str(folder / name) for name in several["part"]), several["pass"], strict=True))
    once = [path for path in (str(folder / name) for name in parts["part"]) if path not in passes]
    return once, [{path: passes[path] for path in group} for group in _by_pass(passes)]


def _columns(statistics: Sequence[str] | None) -> list[str]:
    """Return the columns of observations with these statistics, or with all."""
    unwanted = set() if statistics is None else {*STATISTICS} - {*statistics}
    return [name for name in OBSERVATIONS if name not in unwanted]


def _scan(
    paths: Sequence[str], features: Sequence[str] | None, statistics: Sequence[str] | None
) -> pl.LazyFrame:
    scan = pl.scan_parquet(list(paths), glob=False).select(_columns(statistics))
    return scan if features is None else scan.filter(pl.col("feature").is_in(list(features)))


def _by_pass(passes: Mapping[str, int]) -> list[list[str]]:
    groups: dict[int, list[str]] = {}
    for path, number in passes.items():
        groups.setdefault(number, []).append(path)
    return list(groups.values())


def _seen_best(
    passes: Mapping[str, int], features: Sequence[str] | None, statistics: Sequence[str] | None
) -> pl.DataFrame:
    """Of one pass, the row of each parcel and feature that saw most of it, then has most pixels."""
    table = _scan(list(passes), features, statistics).collect()
    seen = pl.col("valid_share") - pl.col("filled_share")
    return table.sort(
        seen.fill_null(0), "valid_share", "pixel_count", descending=True, nulls_last=True, maintain_order=True
    ).unique(["parcel_id", "feature"], keep="first", maintain_order=True)
