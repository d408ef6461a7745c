"""Models of pixels: trees and the U-Net learn fields, keep a held-out fold apart, load without pickle."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.errors import ModelError
from models.patches.boosting import PixelBoosting, pixel_table
from models.patches.by_name import build
from models.patches.calibration import tempered
from models.patches.crossfit import WHOLE, FoldModels, cross_fit
from models.patches.inputs.composites import Composites
from models.patches.inputs.samples import LabelledBlock, class_counts, class_weights, draw_patches
from models.patches.networks.unet import PatchUNet
from models.patches.options import PatchNetworkOptions, PatchOptions, PixelBoostingOptions
from tests.models.patches.fields import block_of, stripes

NETWORK = PatchNetworkOptions(
    width=4,
    depth=2,
    patch_px=24,
    epochs=6,
    patches=8,
    batch_size=4,
    learning_rate=0.02,
    encoder_width=4,
    heads=2,
)
TREES = PatchOptions(method="boosting", boosting=PixelBoostingOptions(rounds=10))
UNET = PatchOptions(method="unet", network=NETWORK)
CONVOLUTION = UNET.model_copy(
    update={
        "input": "temporal",
        "network": NETWORK.model_copy(
            update={"encoder": "convolution", "dropout": 0.1, "label_smoothing": 0.05, "epochs": 12}
        ),
    }
)
CLASSES = ("maize", "wheat")


@pytest.fixture(scope="module")
def block() -> LabelledBlock:
    return block_of(stripes(48, 12))


def agreement(chances: np.ndarray, truth: np.ndarray) -> float:
    return float((chances.argmax(axis=0) == truth).mean())


@pytest.mark.parametrize(
    "options",
    [
        TREES,
        UNET,
        UNET.model_copy(update={"input": "temporal"}),
        UNET.model_copy(update={"labels": "multi"}),
        CONVOLUTION,
    ],
)
def test_every_model_learns_two_fields_that_differ(options: PatchOptions, block: LabelledBlock) -> None:
    model = build(options, CLASSES).fit([block], None, seed=1)
    chances = model.chances(block.composites)
    np.testing.assert_allclose(chances.sum(axis=0), 1, rtol=1e-5)
    assert agreement(chances, stripes(48, 12)) > 0.9


@pytest.mark.parametrize("options", [TREES, UNET])
def test_a_model_comes_back_from_disk_and_an_altered_file_is_refused(
    options: PatchOptions, block: LabelledBlock, tmp_path: Path
) -> None:
    model = build(options, CLASSES).fit([block], None, seed=1)
    model.save(tmp_path)
    again = type(model).load(tmp_path)
    np.testing.assert_array_equal(again.chances(block.composites), model.chances(block.composites))
    for name in ("weights.npz", "pixels.txt"):
        if (tmp_path / name).exists():
            (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b" ")
    with pytest.raises(ModelError, match=r"altered|SHA-256"):
        type(model).load(tmp_path)


def test_a_held_out_label_changes_nothing(block: LabelledBlock) -> None:
    """Swapping the labels of fold 1 leaves the model without fold 1 as it is, to the byte."""
    other = block.labels.label.copy()
    held = block.labels.fold == 1
    other[held] = 1 - other[held]
    swapped = LabelledBlock(block.composites, type(block.labels)(block.labels.parcel, other, block.labels.second, block.labels.fold))  # fmt: skip  # noqa: E501
    pairs = [pixel_table([one], 1, 30, 0) for one in (block, swapped)]
    for a, b in zip(*pairs, strict=True):
        np.testing.assert_array_equal(a, b)
    drawn = [draw_patches([one], 1, 4, 24, np.random.default_rng(0)) for one in (block, swapped)]
    for first, second in zip(*drawn, strict=True):
        np.testing.assert_array_equal(first.label, second.label)


def test_each_fold_has_a_model_of_its_own_and_nothing_is_fitted_twice(
    block: LabelledBlock, tmp_path: Path
) -> None:
    models = cross_fit([block], CLASSES, [0, 1], TREES, 1, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    again = cross_fit([block], CLASSES, [0, 1], TREES, 1, tmp_path)
    assert again == models and models.folds == [0, 1]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == before
    cross_fit([block], CLASSES, [0, 1], TREES, 2, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} != before, "another seed: anew"


def test_pixels_get_the_chances_of_the_model_that_did_not_learn_them(
    block: LabelledBlock, tmp_path: Path
) -> None:
    models = replace(
        cross_fit([block], CLASSES, [0, 1], TREES, 1, tmp_path), temperatures=((0, 2.0), (1, 1.0))
    )
    wanted = np.zeros((3, 48, 48), bool)
    wanted[0, :20], wanted[1, 20:40], wanted[2, 40:] = True, True, True
    found = models.each(block.composites, wanted)
    own = tempered(models.model(0).chances(block.composites), 2.0)
    np.testing.assert_array_equal(found[0][:, :20], own[:, :20])
    assert np.isnan(found[0][:, 20:40]).all() and np.isnan(found[1][:, :20]).all()
    mean = (own + models.model(1).chances(block.composites)) / 2
    np.testing.assert_allclose(found[WHOLE][:, 40:], mean[:, 40:], rtol=1e-6)
    assert np.isnan(found[WHOLE][:, :40]).all()


def test_rare_classes_weigh_more_and_the_mean_weight_is_one() -> None:
    counts = np.array([900, 100])
    weights = class_weights(counts)
    assert weights[1] / weights[0] == pytest.approx(3) and (weights * counts).sum() / 1000 == pytest.approx(1)


def test_a_network_that_looks_further_than_its_patches_is_refused() -> None:
    assert PatchNetworkOptions(depth=3).reach_px == 20
    with pytest.raises(ValueError, match="89 pixels; choose larger patches or a lower depth"):
        PatchNetworkOptions(depth=4, patch_px=64)


def test_imagery_smaller_than_a_patch_is_refused() -> None:
    with pytest.raises(ModelError, match="fewer than a patch") as error:
        PatchUNet(UNET, CLASSES).fit([block_of(stripes(16, 4))], None, 1)
    assert error.value.reason == "smaller_than_patch"


def test_one_class_only_and_imagery_never_seen_are_refused(block: LabelledBlock) -> None:
    with pytest.raises(ModelError) as error:
        class_counts([block_of(np.zeros((48, 48), int))], None, 2)
    assert error.value.reason == "one_class"
    dark = Composites(np.full_like(block.composites.values, np.nan), np.zeros_like(block.composites.seen))
    with pytest.raises(ModelError, match="under cloud") as error:
        PixelBoosting(TREES, CLASSES).fit([LabelledBlock(dark, block.labels)], None, 1)
    assert error.value.reason == "never_seen"
    with pytest.raises(ModelError) as error:
        cross_fit([], CLASSES, [0], TREES, 1, Path("nowhere"))
    assert error.value.reason == "nothing_to_learn"


def test_pixels_never_seen_have_no_chances(block: LabelledBlock) -> None:
    model = PixelBoosting(TREES, CLASSES).fit([block], None, 1)
    values = block.composites.values.copy()
    values[:, :, :5] = np.nan
    chances = model.chances(Composites(values, block.composites.seen))
    assert np.isnan(chances[:, :5]).all() and np.isfinite(chances[:, 5:]).all()


def test_a_recipe_of_another_model_is_no_network(tmp_path: Path, block: LabelledBlock) -> None:
    PatchUNet(UNET, CLASSES).fit([block], None, 1).save(tmp_path)
    recipe = json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))
    (tmp_path / "model.json").write_text(json.dumps({**recipe, "name": "other"}), encoding="utf-8")
    with pytest.raises(ModelError, match="no network on patches"):
        PatchUNet.load(tmp_path)


def test_members_are_averaged_and_come_back_from_disk(block: LabelledBlock, tmp_path: Path) -> None:
    few = NETWORK.model_copy(update={"epochs": 1, "members": 2})
    both = PatchUNet(UNET.model_copy(update={"network": few}), CLASSES).fit([block], None, seed=1)
    assert len(both.weights) == 2 and len(both.history) == 2
    singles = []
    for weights in both.weights:
        one = PatchUNet(UNET, CLASSES)
        one._build(both.shape or (0, 0))
        one.model.set_weights(weights)
        one.weights = [weights]
        singles.append(one.chances(block.composites))
    assert not np.allclose(*singles), "members begin differently"
    np.testing.assert_allclose(both.chances(block.composites), np.mean(singles, axis=0), rtol=1e-5)
    both.save(tmp_path)
    again = PatchUNet.load(tmp_path).chances(block.composites)
    np.testing.assert_array_equal(again, both.chances(block.composites))


def test_a_block_is_predicted_by_windows_as_it_would_be_whole(
    block: LabelledBlock, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = PatchUNet(UNET, CLASSES).fit([block], None, seed=1)
    large = block_of(stripes(160, 12)).composites
    whole = model.chances(large)
    monkeypatch.setattr("models.patches.networks.unet.WINDOW", 96)  # four windows and more
    np.testing.assert_allclose(model.chances(large), whole, atol=1e-5)


def test_smoothed_labels_add_up_to_one(block: LabelledBlock) -> None:
    from models.patches.networks.training import batch

    options = NETWORK.model_copy(update={"label_smoothing": 0.1})
    drawn = draw_patches([block], None, 2, 24, np.random.default_rng(0))
    _, truth = batch(drawn, np.ones(2), options, False, np.random.default_rng(0))
    known = truth[..., -1] > 0
    np.testing.assert_allclose(np.sort(truth[known][:, :-1], axis=1), [[0.05, 0.95]] * known.sum())


def test_fold_models_are_small_enough_to_be_sent(tmp_path: Path) -> None:
    import pickle

    models = FoldModels(tmp_path, "unet", CLASSES, 6, ((0, "a" * 64),))
    assert len(pickle.dumps(models)) < 2000
