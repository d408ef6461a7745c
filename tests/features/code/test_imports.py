"""Libraries are imported without collections, and left out of later ones."""

import gc
import sys

import pytest

from features.code.imports import uncollected


def test_what_was_imported_is_left_out_of_later_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    gc.unfreeze()
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with uncollected():
        import colorsys  # noqa: F401

        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


def test_where_nothing_is_imported_nothing_is_left_out() -> None:
    gc.unfreeze()
    with uncollected():
        pass
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_where_collections_are_off_they_stay_off() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
