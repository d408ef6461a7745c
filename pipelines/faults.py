"""What a user reads when something goes wrong: one sentence of what, which and the cure."""

import errno
import re
import sqlite3

from features.errors import CropcheckError

TO_MEND, OWN_FAULT = 2, 1
NO_NUMBER = 0
AGAIN = "then run the same command again: what is finished is kept"
LESS_MEMORY = "give a smaller --memory, so that less is held at a time, or use fewer --workers"
# what an operating system refuses, and what helps
CURES = {
    errno.ENOSPC: f"the disk is full; free space there, or name another folder with --out, {AGAIN}",
    errno.EDQUOT: f"the disk quota is used up; free space there, or name another folder with --out, {AGAIN}",
    errno.EROFS: "it lies on a file system that is read-only; name a folder that can be written, with --out",
    errno.EACCES: "you have no rights to it; change its rights, or name another folder",
    errno.EPERM: "you have no rights to it; change its rights, or name another folder",
    errno.ENOENT: "there is no such file or folder; check the path",
    errno.ENOTDIR: "part of the path is a file, where a folder is needed; name another folder",
    errno.EEXIST: "a file is where a folder is needed; name another folder",
    errno.EISDIR: "it is a folder, where a file is needed; name a file",
    errno.EMFILE: f"too many files are open; raise the limit (ulimit -n 4096), {AGAIN}",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.EIO: "the disk or network drive reports an error; check it",
    errno.ENOMEM: f"memory is used up; {LESS_MEMORY}, {AGAIN}",
    errno.ESTALE: f"the network drive lost the file; {AGAIN}",
    errno.EBUSY: f"it is in use by another program; close that, {AGAIN}",
}


def sentence_of(error: BaseException) -> tuple[str, int]:
    """Return what to tell the user of a failure, and the exit code: 2 for what they can mend, else 1.

    Examples
    --------
    >>> print(*sentence_of(PermissionError(errno.EACCES, "Permission denied", "out/a.json")))
    out/a.json: you have no rights to it; change its rights, or name another folder. 2
    >>> sentence_of(ValueError("zero-size array"))[1]
    1
    """
    if isinstance(error, CropcheckError):
        return str(error), TO_MEND
    if isinstance(error, MemoryError):
        return f"Memory is used up; {LESS_MEMORY}, {AGAIN}.", TO_MEND
    if isinstance(error, sqlite3.OperationalError):
        return f"A database cannot be used: {_one_line(error)}. Close what else uses it, {AGAIN}.", TO_MEND
    number = _number_of(error)
    if number is not None:
        which = " and ".join(str(name) for name in _files_of(error)) or _one_line(error)
        cure = CURES.get(number, f"{_one_line(error)}; check the path and the disk")
        return f"{which}: {cure}.", TO_MEND
    if "no locator available" in str(error):
        return (
            "Compiled functions cannot be kept: neither the installation nor your home can be written; set "
            "NUMBA_CACHE_DIR to a folder that can."
        ), TO_MEND
    return (
        f"cropcheck stopped at a fault of its own ({type(error).__name__}: {_one_line(error)}). What is "
        "finished is kept. Please report it, with what the same command prints under CROPCHECK_LOG=DEBUG."
    ), OWN_FAULT


def _number_of(error: BaseException) -> int | None:
    """Return the operating system's error number, also where a library only wrote it into its message."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    written = re.search(r"\(?os error (\d+)\)?|\[Errno (\d+)\]", str(error))
    if written:
        return int(written[1] or written[2])
    if "no space left on device" in str(error).lower():
        return errno.ENOSPC
    return NO_NUMBER if isinstance(error, OSError) else None


def _files_of(error: BaseException) -> list[str]:
    named = (getattr(error, "filename", None), getattr(error, "filename2", None))
    texts = [name.decode(errors="replace") if isinstance(name, bytes) else name for name in named]
    return [str(text) for text in texts if text is not None]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
