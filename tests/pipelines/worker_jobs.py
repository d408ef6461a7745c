"""Functions for worker processes; a module that imports quickly, because every worker imports it anew."""

import os
import signal
import time
from pathlib import Path


def double(number: int) -> int:
    return 2 * number


def slow_double(number: int) -> int:
    time.sleep(0.5)
    return 2 * number


def die_once(job: tuple[int, Path]) -> int:
    """Kill the worker the first time that number 3 is met."""
    number, folder = job
    if number == 3 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def worker_id(_: int) -> int:
    return os.getpid()


def note_and_sleep(folder: Path) -> int:
    """Write this process's id as a file name, and sleep for long."""
    (folder / str(os.getpid())).touch()
    time.sleep(600)
    return 0


def always_die(_: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(10)
    return 0
