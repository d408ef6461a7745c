"""How much memory this process may use, and how many things of a size fit into a share of it.

It decides how much is held at a time. Results do not depend on it, beyond the last bits of sums over blocks
of pixels where those had to be made smaller: because somebody said how much may be used, or memory ran out.
"""

import os
import re
from functools import cache
from pathlib import Path

from features.errors import ConfigError

VARIABLE = "CROPCHECK_MEMORY"  # bytes for each process, as somebody said; workers inherit it
FOUND = "CROPCHECK_MEMORY_FOUND"  # bytes for each process, where no --memory is given
SHARE = 0.75  # of what is free
LEAST = 512 << 20  # bytes: libraries alone take about as much
LIBRARIES = 600 << 20  # bytes, of a process in whose stage no network is fitted
UNKNOWN = 4 << 30  # bytes, where the system does not say what is free
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
# a group of processes may be given less than the machine has: version 2, then version 1
LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def allow(size: str | None, workers: int = 1) -> int:
    """Set what this process, and each of the local workers it starts, may use; return it, bytes.

    Parameters
    ----------
    size
        Of all together, such as `6GiB`; None: for each process as VARIABLE says, else three quarters of what
        is free for all.

    Raises
    ------
    ConfigError
        Where it is no size, or leaves a worker less than 512 MiB.
    """
    if size is None and os.environ.get(VARIABLE):
        return budget()
    total = parsed(size) if size is not None else int(SHARE * free())
    each = total // workers
    if size is not None and each < LEAST:
        raise ConfigError(
            f"--memory {size} leaves {each / 2**20:.0f} MiB for each of {workers} workers; cropcheck needs "
            "512 MiB for each: give more, or use fewer --workers."
        )
    os.environ[FOUND if size is None else VARIABLE] = str(each)
    _set.cache_clear()
    return each


def parsed(size: str) -> int:
    """Return a size in bytes.

    Examples
    --------
    >>> parsed("6GiB"), parsed("500 MB"), parsed("1.5g")
    (6442450944, 500000000, 1500000000)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?i?)b?", size.strip().lower())
    if found is None or found[2] not in UNITS:
        raise ConfigError(f"--memory {size} is no size; write it as 6GiB or 800MB.")
    return int(float(found[1]) * UNITS[found[2]])


def budget() -> int:
    """Return the bytes that this process may use: as set, else three quarters of what was free at first."""
    return _set()


def is_said() -> bool:
    """Whether somebody said what may be used: only then may it change what depends on it in its last bits."""
    return bool(os.environ.get(VARIABLE))


@cache
def _set() -> int:
    said = os.environ.get(VARIABLE) or os.environ.get(FOUND, "")
    return int(said) if said.isdigit() else int(SHARE * free())


def room() -> int:
    """Return the bytes that are left for data: the budget without what libraries take, and at least a quarter
    of it.
    """
    return max(budget() - LIBRARIES, budget() // 4, 1)


def fitting(size: float, share: float, least: int, most: int) -> int:
    """Return how many things of `size` bytes fit into a share of the `room`, between `least` and `most`.

    Examples
    --------
    >>> import os
    >>> before = os.environ.get(VARIABLE)
    >>> fitting(1 << 20, 0.5, least=1, most=100) if allow("1GiB") else None
    100
    >>> fitting(16 << 20, 0.5, least=1, most=100), fitting(1 << 40, 0.5, least=4, most=100)
    (13, 4)
    >>> _ = os.environ.pop(VARIABLE) if before is None else os.environ.update({VARIABLE: before})
    >>> _set.cache_clear()
    """
    return max(least, min(most, int(room() * share / max(size, 1))))


def free() -> int:
    """Return the bytes of memory that are free now, for this machine or the group this process is in."""
    free = [UNKNOWN]
    try:
        said = Path("/proc/meminfo").read_text(encoding="ascii")
        free = [1024 * int(re.search(r"MemAvailable:\s+(\d+) kB", said)[1])]  # type: ignore[index]
    except (OSError, TypeError):
        pages, size = (os.sysconf_names.get(name) for name in ("SC_PHYS_PAGES", "SC_PAGE_SIZE"))
        if pages is not None and size is not None:  # macOS: half of what is built in
            free = [os.sysconf(pages) * os.sysconf(size) // 2]
    for limit, used in LIMITS:
        try:
            free.append(int(Path(limit).read_text(encoding="ascii")) - _used(Path(used)))
        except (OSError, ValueError):  # `max`: there is no limit
            continue
    return max(min(free), 0)


def _used(path: Path) -> int:
    """Return what a group uses, less the pages of files that it can give back at once."""
    used = int(path.read_text(encoding="ascii"))
    try:
        said = path.with_name("memory.stat").read_text(encoding="ascii")
    except OSError:
        return used
    inactive = re.search(r"^(?:total_)?inactive_file (\d+)$", said, re.M)
    return used - int(inactive[1]) if inactive else used
