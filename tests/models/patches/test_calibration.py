"""Chances of pixels are believed as far as declarations of other folds bear them out."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.patches.calibration import Told, learn_temperatures, tempered, told
from models.patches.crossfit import TEMPERATURES, cross_fit
from models.patches.options import PatchOptions, PixelBoostingOptions
from tests.models.patches.fields import block_of, stripes

TREES = PatchOptions(method="boosting", boosting=PixelBoostingOptions(rounds=10))
CLASSES = ("maize", "wheat")


def of(sure: float, right: float, n: int = 1000) -> Told:
    """Pixels of maize, all called maize with chance `sure`, of which a share is."""
    label = (np.arange(n) >= right * n).astype(np.int64)
    return np.tile([sure, 1 - sure], (n, 1)), label, np.ones(n)


@pytest.mark.parametrize(("sure", "right"), [(0.99, 0.8), (0.6, 0.9), (0.9, 0.9)])
def test_afterwards_chances_are_as_often_right_as_they_say(sure: float, right: float) -> None:
    temperature = learn_temperatures({0: of(sure, right), 1: of(sure, right)})[0]
    after = tempered(np.array([sure, 1 - sure]).reshape(2, 1, 1), temperature)
    assert after[0, 0, 0] == pytest.approx(right, abs=1e-3)


def test_a_folds_own_declarations_do_not_count() -> None:
    others = {1: of(0.9, 0.8), 2: of(0.9, 0.7)}
    assert (
        learn_temperatures({0: of(0.9, 0.9), **others})[0]
        == learn_temperatures({0: of(0.9, 0.1), **others})[0]
    )


def test_one_fold_alone_is_taken_as_it_is() -> None:
    assert learn_temperatures({0: of(0.99, 0.5)}) == {0: 1.0}


def test_every_parcel_counts_alike_and_pixels_of_other_folds_do_not() -> None:
    block = block_of(stripes(48, 12))
    found = told([block], lambda block, wanted: np.full((2, *wanted.shape), 0.5), 0, seed=1)
    fold, parcel = block.labels.fold, block.labels.parcel
    mine = len(np.unique(parcel[(fold == 0) & (block.labels.label >= 0)]))
    assert found[2].sum() == pytest.approx(mine) and len(found[1]) == 30 * mine


def test_a_class_that_the_model_never_learned_says_nothing_of_how_sure_it_may_be() -> None:
    block = block_of(stripes(48, 12))
    block.labels.label[block.labels.fold == 0] = 2
    found = told([block], lambda block, wanted: np.full((3, *wanted.shape), 1 / 3), 0, seed=1)
    assert len(found[1]) == 0 and learn_temperatures({0: of(0.9, 0.9), 1: found})[0] == 1.0


def test_temperatures_are_kept_with_the_models(tmp_path: Path) -> None:
    blocks = [block_of(stripes(48, 12), noise=0.2)]
    first = cross_fit(blocks, CLASSES, [0, 1], TREES, 1, tmp_path)
    assert [fold for fold, _ in first.temperatures] == [0, 1]
    path = tmp_path / TEMPERATURES
    before = path.stat().st_mtime_ns
    assert cross_fit(blocks, CLASSES, [0, 1], TREES, 1, tmp_path) == first
    assert path.stat().st_mtime_ns == before
    path.write_text("{", encoding="utf-8")
    assert cross_fit(blocks, CLASSES, [0, 1], TREES, 1, tmp_path) == first
    assert json.loads(path.read_text(encoding="utf-8"))["temperatures"]
