"""What is freed between stages goes back to the system."""

import resource
import sys
from pathlib import Path

import pytest

from pipelines.memory import give_back


def held() -> int:
    """Bytes of memory that this process occupies."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries keep what they keep")
def test_small_pieces_that_were_freed_go_back_to_the_system() -> None:
    give_back()
    before = held()
    pieces = [bytearray(60_000) for _ in range(4000)]  # 240 MB, each too small to be mapped on its own
    last = bytearray(60_000)  # holds the top of the heap, so that free() alone gives nothing back
    del pieces
    give_back()
    assert held() - before < 40e6
    assert last is not None
