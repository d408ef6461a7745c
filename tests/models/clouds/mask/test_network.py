"""The network, the joint mask, and how they are stored."""

import json
from pathlib import Path

import numpy as np
import pytest

from features.errors import ModelError
from features.files import sha256
from models.clouds.mask.classes import CLEAR, CLOUD, SHADOW, THIN
from models.clouds.mask.fitting import beginning, fit_mask, load_mask, pretrained, region_labels
from models.clouds.mask.frames import Frames
from models.clouds.mask.methods.combined import CombinedMask
from models.clouds.mask.methods.temporal import TemporalMask
from models.clouds.mask.network.inputs import channels
from models.clouds.mask.network.painting import Sky, draw_sky, paint
from models.clouds.mask.network.samples import Sample, region_samples
from models.clouds.mask.network.unet import UNetMask
from models.clouds.mask.options import CloudMaskOptions, MaskNetworkOptions
from models.clouds.removal.bundle import META
from tests.models.clouds.mask.made import BANDS, GRASS, frames
from tests.models.clouds.mask.made import CLOUD as WHITE

SMALL = MaskNetworkOptions(width=4, epochs=2, windows=8, window_px=32, batch_size=4)


def season() -> Frames:
    """Grass on eight dates, half of it under cloud on the third and sixth."""
    clear = np.tile(np.array(GRASS)[:, None, None], (1, 48, 48))
    half = clear.copy()
    half[:, :, :24] = np.array(WHITE)[:, None, None]
    return frames(clear, clear, half, clear, clear, half, clear, clear)


def test_a_painted_pixel_is_ground_shade_and_veil() -> None:
    ground = np.full((1, 1, 3), 0.2)
    sky = Sky(np.array([[0.0, 0.6, 0.0]]), np.full((1, 3), 0.7), np.array([[0.0, 0.0, 0.5]]), ice=0.0)
    seen, truth = paint(ground, ("B04",), sky)
    assert seen[0, 0].tolist() == pytest.approx([0.2, 0.2 + 0.6 * 0.5, 0.2 * (1 - 0.5 * 0.55)])
    assert truth[0].tolist() == [CLEAR, CLOUD, SHADOW]


def test_skies_are_of_all_kinds() -> None:
    rng, sun = np.random.default_rng(0), np.array([40.0, 160.0])
    covers, thin, shade = [], [], []
    for _ in range(40):
        sky = draw_sky((32, 32), 20.0, sun, rng)
        covers.append((sky.opacity > 0.5).mean())
        thin.append(((sky.opacity > 0.1) & (sky.opacity < 0.5)).mean())
        shade.append((sky.shade > 0.25).mean())
    assert min(covers) == 0 and max(covers) > 0.8
    assert max(thin) > 0.8 and np.mean(np.array(shade) > 0.05) > 0.2


def test_missing_bands_are_zero_and_said() -> None:
    values = np.full((6, 1, 1), 0.16)
    values[4:] = np.nan
    assert channels(values, top_of_atmosphere=True)[0, 0].tolist() == pytest.approx([0] * 6 + [0, 1])
    assert channels(np.full((6, 1, 1), 0.16), top_of_atmosphere=False)[0, 0, 6:].tolist() == [1, 0]


def test_windows_of_the_region_hold_painted_and_taught_classes() -> None:
    made = season()
    labels = region_labels(CloudMaskOptions(method="unet", network=SMALL), made, TemporalMask())
    windows = list(region_samples(made, labels, 20, 32, 0.7, np.random.default_rng(0)))
    assert {sample.labels.shape for sample in windows} == {(32, 32)}
    classes = set(np.unique(np.concatenate([sample.labels.ravel() for sample in windows])))
    assert {CLEAR, SHADOW, THIN, CLOUD} <= classes


@pytest.mark.slow
def test_fitted_stored_and_read_back_the_network_says_the_same(tmp_path: Path) -> None:
    made, options = season(), CloudMaskOptions(method="unet", network=SMALL)
    mask = fit_mask(options, [made], seed=3)
    again = fit_mask(options, [made], seed=3)
    before = np.stack(list(mask.chances(made)))
    assert np.allclose(before.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(before, np.stack(list(again.chances(made))))
    mask.save(tmp_path)
    assert np.array_equal(before, np.stack(list(load_mask(tmp_path, options).chances(made))))
    (tmp_path / "weights.npz").write_bytes(b"x" + (tmp_path / "weights.npz").read_bytes()[1:])
    with pytest.raises(ModelError, match="SHA-256"):
        UNetMask.load(tmp_path)


@pytest.mark.slow
def test_pixels_without_data_stay_unknown_and_sides_need_not_be_even() -> None:
    made = season()
    values = made.reflectance[:2, :, :29, :37].copy()
    values[1, BANDS.index("B02"), 3, 5] = np.nan
    part = Frames(BANDS, values, made.times[:2], made.sun[:2])
    mask = UNetMask(SMALL).fit([Sample(np.full((6, 32, 32), 0.1), np.zeros((32, 32), np.uint8))], 0)
    found = np.stack(list(mask.chances(part)))
    assert found.shape == (2, 4, 29, 37)
    assert np.argwhere(np.isnan(found[:, 0])).tolist() == [[1, 3, 5]]


@pytest.mark.slow
def test_the_joint_mask_is_stored_whole_and_falls_back_on_the_network(tmp_path: Path) -> None:
    made, options = season(), CloudMaskOptions(method="combined", network=SMALL)
    mask = fit_mask(options, [made], seed=1)
    assert isinstance(mask, CombinedMask)
    before = np.stack(list(mask.chances(made)))
    mask.save(tmp_path)
    assert np.array_equal(before, np.stack(list(load_mask(tmp_path, options).chances(made))))
    alone = made.only(slice(2, 3))  # one date: nothing to compare it with
    found = np.stack(list(mask.chances(alone)))
    mask.weights = {members: w for members, w in mask.weights.items() if "temporal" not in members}
    assert np.array_equal(found, np.stack(list(mask.chances(alone))))


def test_the_network_that_comes_with_us_tells_cloud_from_grass() -> None:
    network = beginning(MaskNetworkOptions())
    half = list(network.chances(season()))[2].argmax(axis=0)
    assert (half[:, 4:20] == CLOUD).all() and (half[:, 30:44] == CLEAR).all()
    assert beginning(MaskNetworkOptions(start="nothing")).history == []


@pytest.mark.slow
def test_training_goes_on_from_another_runs_network(tmp_path: Path) -> None:
    made, options = season(), CloudMaskOptions(method="unet", network=SMALL)
    fit_mask(options, [made]).save(tmp_path)
    onwards = SMALL.model_copy(update={"pretrained": tmp_path, "epochs": 1})
    mask = fit_mask(options.model_copy(update={"network": onwards}), [made])
    assert isinstance(mask, UNetMask) and len(mask.history) == 3
    wide = onwards.model_copy(update={"width": 8})
    with pytest.raises(ModelError, match="width 4, the config asks for 8"):
        fit_mask(options.model_copy(update={"network": wide}), [made])
    meta = json.loads((tmp_path / META).read_text())
    for wrong in (
        {"options": {"width": 10**9}}, {"options": None}, {"history": 3},
        {"options": meta["options"] | {"width": 8}}, {"name": "oracle"},
    ):  # fmt: skip
        (tmp_path / META).write_text(json.dumps(meta | wrong))
        with pytest.raises(ModelError):
            pretrained(tmp_path, 4)


@pytest.mark.slow
def test_another_runs_network_is_held_against_its_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "clear" / "mask"
    fit_mask(CloudMaskOptions(method="unet", network=SMALL), [season()]).save(folder)
    noted = {"models": {f"clear/mask/{META}": sha256(folder / META)}}
    (tmp_path / "manifest.json").write_text(json.dumps(noted))
    assert pretrained(folder, 4).history
    (folder / META).write_text((folder / META).read_text() + " ")
    with pytest.raises(ModelError, match=r"model\.json has SHA-256 .* was expected"):
        pretrained(folder, 4)


@pytest.mark.slow
def test_nothing_to_learn_from_is_said() -> None:
    made = frames(*[np.tile(np.array(WHITE)[:, None, None], (1, 32, 32))] * 3)
    with pytest.raises(ModelError, match="No pixel") as raised:
        fit_mask(CloudMaskOptions(method="unet", network=SMALL), [made])
    assert raised.value.reason == "nothing_to_learn"


def test_where_no_date_is_clear_combined_is_as_temporal_and_a_network_that_knows_more_stays_as_it_is() -> (
    None
):
    made = frames(*[np.tile(np.array(WHITE)[:, None, None], (1, 32, 32))] * 3)
    combined = fit_mask(CloudMaskOptions(method="combined", network=SMALL), [made], back=True)
    assert isinstance(combined, TemporalMask) and combined.back
    came = beginning(MaskNetworkOptions())
    kept = fit_mask(CloudMaskOptions(method="unet"), [made])
    assert isinstance(kept, UNetMask) and kept.history == came.history
    assert all(
        np.array_equal(a, b) for a, b in zip(kept.weights().values(), came.weights().values(), strict=True)
    )
