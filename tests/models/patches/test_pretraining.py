"""Siamese pre-training: two views of a place come to look alike, collapse is seen, folds begin there."""

import json
from pathlib import Path

import numpy as np
import pytest

from features.errors import ModelError
from models.patches.crossfit import cross_fit
from models.patches.options import PatchNetworkOptions, PatchOptions
from tests.models.patches.fields import block_of, stripes

pytest.importorskip("keras")
SMALL = PatchNetworkOptions(
    width=4,
    depth=2,
    patch_px=24,
    epochs=1,
    patches=8,
    batch_size=4,
    pretraining_epochs=6,
    pretraining_rate=0.01,
)


def test_the_loss_falls_and_the_features_do_not_collapse() -> None:
    from models.patches.networks.pretraining import LEAST_RANK, LEAST_SPREAD, pretrain

    weights, history = pretrain([block_of(stripes(48, 12), steps=6, noise=0.03)], SMALL, False, seed=1)
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[-1]["spread"] > LEAST_SPREAD and history[-1]["rank"] > LEAST_RANK
    assert all(np.isfinite(array).all() for array in weights)


def test_features_that_are_all_one_are_called_collapsed() -> None:
    from models.patches.networks.pretraining import Watch, spread_and_rank

    rng = np.random.default_rng(0)
    alive, dead = rng.normal(size=(500, 64)), np.ones((500, 64)) + 1e-6 * rng.normal(size=(500, 64))
    line = np.outer(rng.normal(size=500), np.ones(64))  # all along one direction
    assert not Watch(0.1, *spread_and_rank(alive)).collapsed
    assert Watch(0.1, *spread_and_rank(dead)).collapsed
    assert Watch(0.1, *spread_and_rank(line)).collapsed


def test_labels_are_not_looked_at() -> None:
    from models.patches.networks.pretraining import pretrain

    few = SMALL.model_copy(update={"pretraining_epochs": 1})
    truth = stripes(48, 12)
    one, other = block_of(truth), block_of(truth)
    object.__setattr__(other.labels, "label", 1 - other.labels.label)
    first, second = (pretrain([block], few, False, seed=1)[0] for block in (one, other))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_fold_begins_from_it_and_what_was_seen_of_collapse_is_kept(tmp_path: Path) -> None:
    options = PatchOptions(method="unet", network=SMALL)
    cross_fit([block_of(stripes(48, 12))], ("maize", "wheat"), [0], options, 1, tmp_path)
    noted = json.loads((tmp_path / "pretrained" / "model.json").read_text(encoding="utf-8"))
    assert len(noted["history"]) == 6 and set(noted["history"][0]) == {"loss", "spread", "rank"}
    before = (tmp_path / "pretrained" / "weights.npz").stat().st_mtime_ns
    cross_fit([block_of(stripes(48, 12))], ("maize", "wheat"), [0, 1], options, 1, tmp_path)
    assert (tmp_path / "pretrained" / "weights.npz").stat().st_mtime_ns == before, "not done twice"


def test_imagery_smaller_than_a_patch_is_refused() -> None:
    from models.patches.networks.pretraining import pretrain

    with pytest.raises(ModelError, match="as large as a patch"):
        pretrain([block_of(stripes(16, 4))], SMALL, False, seed=1)
