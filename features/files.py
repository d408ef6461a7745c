"""Files that are whole or absent, and the hashes that name them."""

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from features.errors import ConfigError, StageError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed over `path`.

    A process killed while writing leaves at most a `.partial` file, never a half-written `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(path)
    try:
        yield partial
        with partial.open("rb") as handle:
            os.fsync(handle.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def make_room(beside: Path, size: int) -> None:
    """Find out whether the disk can take `size` bytes more, by reserving them for a moment.

    For what is written by a library that ends the whole process where a write fails, as HDF5 does.

    Raises
    ------
    OSError
        Where it cannot: full, over a quota, or read-only.
    """
    probe = partial_of(beside)
    try:
        with probe.open("wb") as handle:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(handle.fileno(), 0, max(size, 1))
            elif shutil.disk_usage(probe.parent).free < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(beside))
    finally:
        probe.unlink(missing_ok=True)


def refuse_overwriting(made: Iterable[Path], read: Iterable[Path]) -> None:
    """Raise a ConfigError where a file that is to be written is one that is read."""
    sources = {path.resolve(): path for path in read}
    for path in made:
        if path.resolve() in sources:
            raise ConfigError(
                f"{path} would overwrite {sources[path.resolve()]}, which is read; name another file or "
                "folder."
            )


PARTIALS = ".*.partial*"  # pattern of the names that `partial_of` gives


def partial_of(path: Path) -> Path:
    """Return a new hidden name beside `path`, of the same suffix, that no other thread or host is given.

    Examples
    --------
    >>> partial_of(Path("parts/a.parquet")).suffix, partial_of(Path("a")) == partial_of(Path("a"))
    ('.parquet', False)
    """
    return path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}.partial{path.suffix}")


def read_parquet(path: Path | list[Path], columns: list[str] | None = None) -> pl.DataFrame:
    """Read a Parquet table, or several as one, by their own names.

    Polars takes `*`, `?` and `[` in a path for patterns; people use them in folders' names.

    Raises
    ------
    StageError
        Where a file is no whole Parquet table.
    """
    try:
        return pl.read_parquet(path, columns=columns, glob=False)
    except pl.exceptions.ComputeError as error:
        raise StageError(
            f"{path} is no whole Parquet table; if a run wrote it, remove it and run the same command again."
        ) from error


def scan_parquet(path: Path) -> pl.LazyFrame:
    """Return a Parquet table that is read when and as far as it is asked for, by its own name."""
    return pl.scan_parquet(path, glob=False)


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def write_json(path: Path, value: object) -> Path:
    """Write JSON atomically, keys sorted, so that equal values give equal bytes."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return write_text(path, text + "\n")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def vouch(path: Path) -> None:
    """Note the SHA-256 of a finished file in a hidden file beside it, for `is_vouched`."""
    write_text(voucher_of(path), sha256(path) + "\n")


def is_vouched(path: Path) -> bool:
    """Whether a file is there and as it was when `vouch` noted it.

    A killed run has no receipt yet: what it left is used again only where this holds.
    """
    try:
        return f"{sha256(path)}\n".encode() in voucher_of(path).read_bytes().splitlines(keepends=True)
    except OSError:
        return False


@contextmanager
def vouched_path(path: Path) -> Iterator[Path]:
    """As `atomic_path`, for a file that later runs read and no receipt names: its SHA-256 is noted beside it.

    The note is written first, and names what lies there until the file is renamed: wherever a process is
    killed, `is_vouched` holds.
    """
    with atomic_path(path) as partial:
        yield partial
        known = [sha256(path)] if is_vouched(path) else []
        write_text(voucher_of(path), "".join(f"{digest}\n" for digest in (*known, sha256(partial))))
    vouch(path)


def refuse_unvouched(path: Path, cure: str) -> Path:
    """Return a path that `vouched_path` wrote; raise a StageError with the cure where it was altered.

    A file that nothing was noted of is of an earlier version of cropcheck: it is used as it is.
    """
    if voucher_of(path).exists() and not is_vouched(path):
        raise StageError(
            f"{path} was altered since it was written, and is not used; {cure}.", reason="altered"
        )
    return path


def voucher_of(path: Path) -> Path:
    """Return where the SHA-256 of a finished file is noted.

    Examples
    --------
    >>> voucher_of(Path("parts/a.parquet")).as_posix()
    'parts/.a.parquet.sha256'
    """
    return path.with_name(f".{path.name}.sha256")


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of a JSON-serialisable value, independent of key order.

    Examples
    --------
    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()
