"""The learned methods on a tiny scene: they learn, do not leak, resume, and come back from disk alike."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from features.errors import ModelError
from models.backend import lent
from models.clouds.methods import build, load
from models.clouds.removal.cube import cube_of
from models.clouds.removal.hiding import hide
from models.clouds.removal.inputs.channel_selection import choose_channels
from models.clouds.removal.inputs.channels import Frames, InputChannels
from models.clouds.removal.inputs.coarse import coarsen
from models.clouds.removal.inputs.windows import draw_windows, make_batch
from models.clouds.removal.networks.training import compile_network
from models.clouds.removal.options import LEARNED
from models.clouds.removal.remover import Remover
from tests.benchmarks.data.cloud_data import made_up

BRIEF = {"epochs": 1, "windows": 3, "window_px": 16, "batch_size": 4, "width": 8, "samples": 2, "steps": 2,
         "members": 1}  # fmt: skip


@pytest.fixture(scope="module")
def stack() -> xr.Dataset:
    return made_up(0, size=48, dates=16).stack


@pytest.fixture(scope="module")
def fitted(stack: xr.Dataset) -> Callable[[str], Remover]:
    """Return each method, fitted for an epoch, once."""
    found: dict[str, Remover] = {}

    def fit(method: str) -> Remover:
        if method not in found:
            model = build(method, **BRIEF)
            assert model is not None
            found[method] = model.fit([stack])
        return found[method]

    return fit


@pytest.mark.parametrize("method", LEARNED)
def test_observed_pixels_stay_and_gaps_are_filled_with_a_sigma(
    fitted, stack: xr.Dataset, method: str
) -> None:
    out = fitted(method).fill(stack)
    clear = stack["clear"].values
    before, after = (np.moveaxis(s["reflectance"].values, 1, -1) for s in (stack, out))
    np.testing.assert_array_equal(before[clear], after[clear])
    seen = np.broadcast_to(clear.any(axis=0), clear.shape)
    np.testing.assert_array_equal(out["filled"].values, seen & ~clear)
    assert np.isfinite(after[seen & ~clear]).all()
    assert (np.moveaxis(out["sigma"].values, 1, -1)[seen & ~clear] > 0).all()


@pytest.mark.parametrize("method", LEARNED)
def test_a_saved_model_fills_as_before(fitted, stack: xr.Dataset, method: str, tmp_path: Path) -> None:
    model = fitted(method)
    model.save(tmp_path)
    part = stack.isel(y=slice(0, 32), x=slice(0, 32))
    a, b = model.fill(part), load(tmp_path).fill(part)
    np.testing.assert_allclose(a["reflectance"].values, b["reflectance"].values, atol=1e-6)
    np.testing.assert_allclose(a["sigma"].values, b["sigma"].values, atol=1e-6)


def test_hidden_values_never_reach_the_inputs(stack: xr.Dataset) -> None:
    cube = cube_of(stack)
    hidden = hide(cube.clear, np.random.default_rng(0))
    channels = InputChannels(cube.bands, radar=6, neighbours=2, recent=False, optical=True)
    poisoned = np.where(hidden[:, None], np.float32(77), cube.reflectance)
    changed = cube_of(stack.assign(reflectance=(stack["reflectance"].dims, poisoned)))
    for frame in np.flatnonzero(hidden.any(axis=(1, 2)))[:4].tolist():
        a, b = (Frames(c.without(hidden), channels).sample(frame) for c in (cube, changed))
        for name in ("layers", "scene", "base"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_a_network_overfits_one_tiny_patch() -> None:
    """The error falls to a tenth of what it began with."""
    scene = made_up(4, size=24, dates=12, noise=0.0)
    options = {**BRIEF, "batch_size": 8, "width": 32, "learning_rate": 0.01}
    (model,) = build("unet", **options).members
    rng = np.random.default_rng(0)
    windows = draw_windows([scene.stack], model.options, rng).windows_of()
    model.begin(choose_channels(windows.train, model.options, "unet", windows.sources))
    batch = make_batch(windows, False, model.channels, model.options, rng).part(slice(0, 8))
    known = batch.truth[..., -2] > 0

    def error() -> float:
        return float(np.abs(model.predict(batch.inputs)[0] - batch.truth[..., :-2])[known].mean())

    first = error()
    compile_network(model.model, model.loss(), 0.01, 400)
    for _ in range(400):
        model.model.train_on_batch(batch.inputs, batch.truth)
    assert error() < 0.1 * first


@pytest.mark.parametrize("members", [1, 2])
def test_training_killed_after_an_epoch_ends_as_if_it_had_not_been(
    stack: xr.Dataset, tmp_path: Path, members: int
) -> None:
    options = {**BRIEF, "epochs": 3, "members": members}
    whole = build("unet", **options).fit([stack])

    def stop(epoch: int, figures: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build("unet", **options).fit([stack], checkpoint=tmp_path, on_epoch=stop)
    resumed = build("unet", **options).fit([stack], checkpoint=tmp_path)
    assert len(resumed.history) == 3 * members
    for one, other in zip(whole.members, resumed.members, strict=True):
        for a, b in zip(one.weights(), other.weights(), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_training_killed_while_it_writes_goes_on_from_the_last_whole_checkpoint(
    stack: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, written = {**BRIEF, "epochs": 3}, np.savez

    def killed(file: Path, **arrays: np.ndarray) -> None:
        if json.loads(arrays["notes"].tobytes())["epoch"] == 2:
            Path(file).write_bytes(b"PK\x03\x04 half of it")
            raise SystemExit(137)
        written(file, **arrays)

    monkeypatch.setattr(np, "savez", killed)
    with pytest.raises(SystemExit):
        build("unet", **options).fit([stack], checkpoint=tmp_path)
    monkeypatch.undo()
    epochs: list[int] = []
    resumed = build("unet", **options)
    resumed.fit([stack], checkpoint=tmp_path, on_epoch=lambda epoch, figures: epochs.append(epoch))
    assert epochs == [1, 2]
    whole = build("unet", **options).fit([stack])
    for a, b in zip(*(m.members[0].weights() for m in (whole, resumed)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_checkpoint_cut_short_is_not_used(stack: xr.Dataset, tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "checkpoint.npz").write_bytes(b"PK\x03\x04 not a whole file")
    assert len(build("unet", **BRIEF).fit([stack], checkpoint=tmp_path).history) == 1


@pytest.mark.parametrize(("inputs", "radar"), [("s2", False), ("s1", True), ("both", False)])
def test_inputs_can_be_chosen_and_radar_can_be_absent(stack: xr.Dataset, inputs: str, radar: bool) -> None:
    part = stack if radar else stack.drop_vars("backscatter")
    out = build("unet", **{**BRIEF, "inputs": inputs}).fit([part]).fill(part)
    assert np.isfinite(out["reflectance"].values[out["filled"].values[:, None].repeat(5, 1)]).all()


def test_a_model_that_learnt_with_radar_fills_where_radar_is_missing_for_months(
    fitted, stack: xr.Dataset
) -> None:
    without = stack.isel(radar_time=slice(0, 3))
    assert fitted("unet").fill(without)["filled"].any()
    assert fitted("unet").fill(stack.drop_vars("backscatter"))["filled"].any()


def test_context_and_recent_neighbours(stack: xr.Dataset) -> None:
    model = build("unet", **{**BRIEF, "context": ("soil",), "which": "recent"}).fit([stack])
    assert model.fill(stack)["filled"].any()
    with pytest.raises(ModelError, match="soil"):
        model.fill(stack.drop_vars("context"))


def test_masks_that_cover_everything_or_nothing(fitted, stack: xr.Dataset) -> None:
    seen = stack.assign(clear=xr.ones_like(stack["clear"]))
    xr.testing.assert_equal(fitted("unet").fill(seen)["reflectance"], seen["reflectance"])
    gone = fitted("unet").fill(stack.assign(clear=xr.zeros_like(stack["clear"])))
    assert np.isnan(gone["reflectance"]).all()
    assert gone.attrs["never_seen"] == stack.sizes["y"] * stack.sizes["x"]


def test_values_that_are_not_finite_count_as_unseen(fitted, stack: xr.Dataset) -> None:
    broken = stack.copy(deep=True)
    broken["backscatter"].values[::2] = -np.inf
    broken["reflectance"].values[3, 1] = np.inf
    broken["reflectance"].values[4, 2] = np.nan
    out = fitted("unet").fill(broken)
    values, seen = out["reflectance"].values, stack["clear"].values
    assert np.array_equal(values[3, 0][seen[3]], stack["reflectance"].values[3, 0][seen[3]])
    for band, lacked in enumerate((None, seen[3], seen[4], None, None)):
        known = seen[5:].any(axis=0)
        if lacked is None:
            assert np.isfinite(values[:, band][:, known]).all()
        else:  # a band that a seen pixel lacked on one date is filled on the others
            on = band + 2
            assert np.isnan(values[on, band][lacked]).all()
            others = np.delete(values[:, band], on, axis=0)
            assert np.isfinite(others[:, known]).all()


def test_a_model_whose_hash_is_not_the_recorded_one_is_refused(fitted, tmp_path: Path) -> None:
    fitted("unet").save(tmp_path)
    with pytest.raises(ModelError, match="SHA-256"):
        load(tmp_path, sha256="0" * 64)


def test_other_bands_than_learnt_show_the_difference(fitted, stack: xr.Dataset) -> None:
    with pytest.raises(ModelError, match=r"missing B11"):
        fitted("unet").fill(stack.isel(band=slice(0, 4)))


def test_radar_alone_without_radar_is_an_error(stack: xr.Dataset) -> None:
    with pytest.raises(ModelError, match="holds no radar"):
        build("unet", **{**BRIEF, "inputs": "s1"}).fit([stack.drop_vars("backscatter")])


def test_a_block_that_is_seen_in_part_is_filled_like_its_neighbours() -> None:
    """The unseen pixels of blocks on a cloud's rim are missed by no more than twice as much as others."""
    scene = made_up(3, size=48, dates=16)
    cube = cube_of(scene.stack)
    model = build("unet", **{**BRIEF, "reduce": 2, "trust_all": True, "window_px": 16, "learning_rate": 1e-5})
    assert model is not None and scene.truth is not None
    filled = np.moveaxis(model.fit([scene.stack])
        .fill(scene.stack)["reflectance"].values, 1, -1)  # fmt: skip
    error = np.abs(filled - np.moveaxis(scene.truth, 1, -1)).mean(axis=-1)
    partly = np.kron(coarsen(cube, 2).clear, np.ones((1, 2, 2), bool)) & ~cube.clear
    unseen = ~cube.clear & np.isfinite(error)
    assert error[partly & unseen].mean() < 2 * error[unseen & ~partly].mean()


def test_nothing_that_validates_was_learnt_from() -> None:
    """Windows that are held out validate on all dates, the others on held dates, which are not learnt."""
    windows = draw_windows(
        [made_up(0, size=48, dates=16).stack], build("unet", **BRIEF).options, np.random.default_rng(0)
    ).windows_of()
    learnt, validated = ({(id(cube), frame) for cube, frames in side for frame in frames.tolist()}
        for side in (windows.learning(), windows.validation()))  # fmt: skip
    held = [cube.days[frame] for cube, frames in windows.learning() for frame in frames.tolist()]
    assert learnt and validated and not learnt & validated
    assert not np.isin(held, windows.held).any()
    assert {id(cube) for cube in windows.validate} <= {place for place, _ in validated - learnt}


def test_a_single_window_is_validated_on_dates_held_from_it() -> None:
    options = build("unet", **{**BRIEF, "reduce": 1}).options
    windows = draw_windows(
        [made_up(0, size=12, dates=16).stack], options, np.random.default_rng(0)
    ).windows_of()
    ((cube, frames),) = windows.validation()
    np.testing.assert_array_equal(np.unique(cube.days[frames]), windows.held)


def test_members_hold_out_other_windows_and_other_dates_and_see_all_together() -> None:
    options = build("unet", **{**BRIEF, "members": 3, "windows": 9}).options
    pool = draw_windows([made_up(0, size=96, dates=24).stack], options, np.random.default_rng(0))
    hands = [pool.windows_of(k) for k in range(3)]
    held = [set(hand.held.tolist()) for hand in hands]
    assert all(held) and not set.intersection(*held)
    places = [{cube.reflectance.tobytes() for cube in hand.validate} for hand in hands]
    assert all(places) and not any(places[a] & places[b] for a, b in ((0, 1), (0, 2), (1, 2)))
    learnt = {cube.reflectance.tobytes() for hand in hands for cube in hand.train}
    assert set.union(*places) <= learnt


def test_an_ensemble_predicts_the_mean_and_is_stored_whole(stack: xr.Dataset, tmp_path: Path) -> None:
    model = build("unet", **{**BRIEF, "members": 2}).fit([stack])
    channels = model.members[0].channels
    rng = np.random.default_rng(0)
    inputs = [
        rng.normal(size=(1, 16, 16, channels.layers, channels.features)).astype(np.float32),
        rng.normal(size=(1, 16, 16, channels.scene)).astype(np.float32),
    ]
    each = [member.predict(inputs) for member in model.members]
    assert np.abs(each[0][0] - each[1][0]).max() > 0
    for k in range(2):
        np.testing.assert_allclose(model.predict(inputs)[k], (each[0][k] + each[1][k]) / 2, rtol=1e-6)
    assert {row["member"] for row in model.history} == {0, 1}
    model.save(tmp_path)
    a, b = (m.fill(stack)["reflectance"].values for m in (model, load(tmp_path)))
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_what_begins_where_the_network_can_read_it_is_not_copied() -> None:
    """Frames' inputs do; of other arrays each call makes a copy."""
    cube = cube_of(made_up(0, size=48, dates=16).stack)
    whole, _ = Frames(cube, InputChannels(cube.bands, 0, 2, recent=False, optical=True)).blank(1)
    tensor = lent(whole)
    whole[0, 0, 0, 0, 0] = 5
    assert float(tensor[0, 0, 0, 0, 0]) == 5
    elsewhere = np.zeros(40, np.float32)[1:]
    assert lent(elsewhere) is elsewhere
