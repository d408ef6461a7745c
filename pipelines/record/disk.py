"""A folder that cannot be written: full, read-only, gone. One sentence, whatever library failed on it."""

import errno
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.errors import CropcheckError, StageError

PROBE_BYTES = 1 << 20
CURES = {
    errno.ENOSPC: "free some space, or name another folder with --out",
    errno.EDQUOT: "free some space, or name another folder with --out",
    errno.EFBIG: "name a folder on a disk that takes larger files with --out (FAT ends at 4 GiB), or raise "
    "the limit (ulimit -f)",
    errno.EROFS: "name a folder that can be written with --out",
    errno.EACCES: "name a folder that you may write with --out, or change its permissions",
    errno.EPERM: "name a folder that you may write with --out, or change its permissions",
    errno.ENOTDIR: "name a folder, not something below a file, with --out",
    errno.ENOENT: "name a folder that can be made with --out",
    errno.EIO: "check the disk",
    errno.ENAMETOOLONG: "name a folder with a shorter path with --out",
}

OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextmanager
def writable_or_said(folder: Path, doing: str) -> Iterator[None]:
    """Turn a failure to write a run's folder, or the folder of temporary files, into one sentence.

    Libraries fail on a full disk in their own ways, so that after any failure both folders are probed.

    Raises
    ------
    StageError
        Naming the folder, the reason and the cure.
    """
    try:
        yield
    except CropcheckError:
        raise
    except Exception as error:
        said = (
            _found_in(error, folder)
            or unwritable(folder)
            or unwritable(Path(tempfile.gettempdir()), "TMPDIR")
        )
        if said is None:
            raise
        raise StageError(
            f"{doing} could not go on: {said} What is finished is kept; run the same command again."
        ) from error


def unwritable(folder: Path, named: str = "") -> str | None:
    """Write a little into a folder and delete it; return a sentence where that fails, else None."""
    probe = folder / f".{uuid.uuid4().hex}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with probe.open("wb") as handle:
                handle.write(os.urandom(PROBE_BYTES))
                handle.flush()
                os.fsync(handle.fileno())
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        return sentence(error, folder, named)
    return None


def sentence(error: OSError, folder: Path, named: str = "") -> str:
    """Say what cannot be written, why, and what to do about it."""
    cure = CURES.get(error.errno or 0, "check the disk and your access to it")
    if named:
        cure = f"free some space, or name another folder in {named}"
    return f"{folder} cannot be written ({os.strerror(error.errno or errno.EIO)}); {cure}."


def _found_in(error: BaseException | None, folder: Path) -> str | None:
    """Return the sentence for an error of the disk among an exception's causes."""
    temporary = Path(tempfile.gettempdir())
    while error is not None:
        if isinstance(error, OSError) and error.errno in OF_THE_DISK:
            if (
                error.filename is None
            ):  # the error says not where: the folder that cannot be written now is it
                return unwritable(folder) or unwritable(temporary, "TMPDIR") or sentence(error, folder)
            path = Path(str(error.filename))
            aside = path.is_relative_to(temporary) and not path.is_relative_to(folder)
            return sentence(error, path, "TMPDIR" if aside else "")
        error = error.__cause__ or error.__context__
    return None
