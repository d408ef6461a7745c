"""SHA-256 of images, kept from run to run: what lies as it did is not read again."""

import time
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from features.files import is_vouched, read_parquet
from pipelines.record.hashes import SETTLED_S, Stamp, hash_all, stamp_of
from pipelines.tables import write_vouched

STAMP = {"path": pl.String, "device": pl.UInt64, "inode": pl.UInt64, "bytes": pl.Int64,
         "modified_ns": pl.Int64, "changed_ns": pl.Int64}  # fmt: skip


def image_hashes(paths: Iterable[Path], kept: Path) -> dict[Path, str]:
    """Return the SHA-256 of each file that is there; those noted in `kept` for the same file of the same size
    and times are taken from it, and all are noted there for the next run.

    The time of change (of content, name or rights) is set by the system: a file that was given its earlier
    time of modification back is read again. What `kept` says counts only where it is as it was written.
    """
    stamps = {path: stamp_of(path) for path in paths if path.is_file()}
    known = _noted(kept)
    found = {path: known[stamp] for path, stamp in stamps.items() if stamp in known}
    found |= hash_all(path for path in stamps if path not in found)
    settled = (time.time() - SETTLED_S) * 1e9
    rows = [(*stamp, found[path]) for path, stamp in stamps.items() if max(stamp[-2:]) < settled]
    if _by_stamp(rows) != known:
        write_vouched(pl.DataFrame(rows, schema={**STAMP, "sha256": pl.String}, orient="row"), kept)
    return {path: found[path] for path in stamps}


def _noted(kept: Path) -> dict[Stamp, str]:
    return _by_stamp(read_parquet(kept).rows()) if is_vouched(kept) else {}


def _by_stamp(rows: Iterable[tuple]) -> dict[Stamp, str]:
    return {row[:-1]: row[-1] for row in rows}
