"""From fields to pixels: mixing, noise, speckle, clouds and files."""

from pathlib import Path

import numpy as np
import rasterio
import shapely
from affine import Affine

from features.simulate.randomness import generator
from features.simulate.region.cog import BLOCK, write_cog
from features.simulate.sensors.clouds import Sky, View, classify_scene, make_sky, scene_cover
from features.simulate.sensors.mixing import FINE, Mixture, draw_labels, mixtures
from features.simulate.sensors.optical import digital_numbers, observe
from features.simulate.sensors.radar import LOOKS_COHERENCE, render_backscatter, render_coherence
from features.smooth_field import smooth_field

TEN_METRES = Affine(10, 0, 0, 0, -10, 60)


def half_and_half() -> Mixture:
    """Two fields on 6 x 6 pixels whose border runs through the middle of the fourth column."""
    shapes = [(shapely.box(0, 0, 35, 60), 1), (shapely.box(35, 0, 60, 60), 2)]
    labels = draw_labels(shapes, TEN_METRES, (6, 6))
    return mixtures(labels, FINE, 0.35 * FINE)


def uniform(rows: int = 200) -> Mixture:
    label, share = np.zeros((rows, rows, 4), np.int32), np.zeros((rows, rows, 4), np.float32)
    share[..., 0] = 1
    return Mixture(label, share)


def test_a_pixel_inside_a_field_sees_only_that_field() -> None:
    mixture = half_and_half()
    assert mixture.label[3, 0, 0] == 1 and mixture.share[3, 0, 0] > 0.999
    assert mixture.label[3, 5, 0] == 2 and mixture.share[3, 5, 0] > 0.98


def test_a_border_pixel_sees_both_fields_by_their_share() -> None:
    mixture = half_and_half()
    shares = dict(zip(mixture.label[3, 3], mixture.share[3, 3], strict=True))
    assert 0.35 < shares[1] < 0.65 and 0.35 < shares[2] < 0.65


def test_light_from_a_neighbour_reaches_the_pixel_beside_the_border() -> None:
    mixture = half_and_half()
    shares = dict(zip(mixture.label[3, 2], mixture.share[3, 2], strict=True))
    assert 0.002 < shares.get(2, 0) < 0.1, "the point spread is wider than the pixel"


def test_shares_sum_to_one() -> None:
    np.testing.assert_allclose(half_and_half().share.sum(-1), 1, atol=1e-5)


def clear_sky(shape: tuple[int, int]) -> Sky:
    return Sky(np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.ones(shape, np.float32))


def test_under_a_clear_sky_only_noise_and_haze_are_added() -> None:
    ground = np.full((1, 100, 100), 0.3, np.float32)
    seen = observe(ground, clear_sky((100, 100)), [6], haze=0.0, stream=1)
    assert abs(seen.mean() - 0.3) < 0.001
    assert 0.003 < seen.std() < 0.008


def test_opaque_cloud_hides_the_ground_and_shadow_dims_it() -> None:
    ground = np.full((1, 2, 2), 0.3, np.float32)
    none, full = np.zeros((2, 2), np.float32), np.ones((2, 2), np.float32)
    clouded = observe(ground, Sky(full, none, np.full((2, 2), 0.6, np.float32)), [2], 0.0, 1)
    shaded = observe(ground, Sky(none, full, none), [2], 0.0, 1)
    assert abs(clouded.mean() - 0.6) < 0.03
    assert shaded.mean() < 0.6 * 0.3


def test_digital_numbers_keep_zero_for_nodata() -> None:
    assert digital_numbers(np.array([-0.2, 0.0, 0.1234]), 1000).tolist() == [1, 1000, 2234]


def test_speckle_has_four_looks_that_neighbours_share() -> None:
    power = np.array([0.05], np.float32)
    texture = np.zeros((200, 200), np.float32)
    linear = 10 ** (render_backscatter(uniform(), power, texture, stream=7) * 0.02 / 10)
    assert abs(linear.mean() / 0.05 - 1) < 0.02
    looks = linear.mean() ** 2 / linear.var()
    assert 3.6 < looks < 4.4
    across = np.corrcoef(linear[:, :-1].ravel(), linear[:, 1:].ravel())[0, 1]
    apart = np.corrcoef(linear[:, :-3].ravel(), linear[:, 3:].ravel())[0, 1]
    assert across > 0.4 and abs(apart) < 0.03


def test_low_coherence_is_estimated_too_high() -> None:
    means = [
        render_coherence(uniform(), np.array([true], np.float32), 3).mean() * 0.004 for true in (0.0, 0.7)
    ]
    floor = np.sqrt(np.pi / (4 * LOOKS_COHERENCE))
    assert abs(means[0] - floor) < 0.02, "the bias of a sample coherence over pure noise"
    assert abs(means[1] - 0.7) < 0.02


def test_noise_depends_on_the_stream_alone() -> None:
    ground = np.full((2, 40, 40), 0.2, np.float32)
    first, again, other = (observe(ground, clear_sky((40, 40)), [0, 1], 0.0, stream) for stream in (5, 5, 6))
    assert (first == again).all() and (first != other).any()
    assert abs(np.corrcoef(first[0].ravel(), first[1].ravel())[0, 1]) < 0.1


def test_shadows_fall_away_from_the_sun_at_the_clouds_distance() -> None:
    """With the sun in the south-east the shadow lies to the north-west of its cloud."""
    sky = make_sky((300, 300), 20.0, 0.25, (45.0, 135.0), np.random.default_rng(4))
    cloud, shade = sky.opacity > 0.5, sky.shade
    scores = {
        (down, right): float((np.roll(cloud, (down, right), (0, 1)) * shade).mean())
        for down in range(-100, 101, 10)
        for right in range(-100, 101, 10)
    }
    down, right = max(scores, key=lambda shift: scores[shift])
    assert down < 0 and right < 0 and abs(down - right) <= 20


def test_cloud_cover_is_what_was_asked_on_average_and_mostly_all_or_nothing() -> None:
    rng = np.random.default_rng(0)
    covers = np.array([scene_cover(0.6, float(rng.normal()), rng) for _ in range(4000)])
    assert abs(covers.mean() - 0.6) < 0.03
    assert ((covers < 0.2) | (covers > 0.8)).mean() > 0.6


def test_dull_days_are_cloudier() -> None:
    bright, dull = (
        np.mean([scene_cover(0.6, dullness, np.random.default_rng(k)) for k in range(300)])
        for dullness in (-1.0, 1.0)
    )
    assert dull > bright + 0.2


def scene_of(seed: int) -> tuple[Sky, np.ndarray]:
    """A sky of half cover over green land with bright bare fields, and its classification."""
    rng = np.random.default_rng(seed)
    shape = (300, 300)
    sky = make_sky(shape, 20.0, 0.45, (45.0, 155.0), rng)
    bare = smooth_field(shape, 15, generator(seed, "bare")) > 1
    ground = np.where(bare, 0.16, [[[0.03]], [[0.04]], [[0.4]]]).astype(np.float32)
    ground[2] = np.where(bare, 0.28, 0.4)
    blue, red, nir = observe(ground, sky, [0, 2, 6], 0.0, seed)
    return sky, classify_scene(sky, View(blue, red, nir), np.zeros(shape, bool), 20.0, rng)


def test_the_scene_classification_is_mostly_right_about_thick_cloud() -> None:
    for seed in range(3):
        sky, scl = scene_of(seed)
        thick = sky.opacity > 0.9
        assert np.isin(scl, (8, 9, 10))[thick].mean() > 0.9


def test_the_scene_classification_makes_sen2cors_mistakes() -> None:
    sky_scl = [scene_of(seed) for seed in range(6)]
    shade = np.concatenate([scl[(sky.shade > 0.6) & (sky.opacity < 0.02)] for sky, scl in sky_scl])
    clear = np.concatenate([scl[(sky.shade < 0.02) & (sky.opacity < 0.01)] for sky, scl in sky_scl])
    edge = np.concatenate([scl[(sky.opacity > 0.1) & (sky.opacity < 0.3)] for sky, scl in sky_scl])
    assert 0.2 < (shade != 3).mean() < 0.75, "many shadows are missed"
    assert 0.001 < np.isin(clear, (8, 9)).mean() < 0.1, "some bright ground passes for cloud"
    assert 0.15 < np.isin(edge, (4, 5, 7)).mean() < 0.9, "thin cloud is missed in part"


def test_a_finer_sky_is_the_same_sky() -> None:
    sky = make_sky((40, 40), 20.0, 0.4, (40.0, 150.0), np.random.default_rng(1))
    fine = sky.finer().opacity
    assert fine.shape == (80, 80)
    np.testing.assert_allclose(
        fine.reshape(40, 2, 40, 2).mean((1, 3))[1:-1, 1:-1].mean(), sky.opacity[1:-1, 1:-1].mean(), atol=0.01
    )


def test_files_read_back_as_they_were_and_name_their_place(tmp_path: Path) -> None:
    for dtype in (np.uint8, np.uint16, np.int16, np.float32):
        for side in (30, BLOCK, BLOCK + 77):
            values = np.random.default_rng(1).integers(0, 200, (side, side + 3)).astype(dtype)
            path = write_cog(tmp_path / "a.tif", values, TEN_METRES, 32631, 0)
            with rasterio.open(path) as raster:
                assert (raster.read(1) == values).all()
                assert (raster.crs.to_epsg(), raster.transform, raster.nodata) == (32631, TEN_METRES, 0)
                assert raster.overviews(1) == ([2] if side + 3 > BLOCK else [])
                assert raster.profile["blockxsize"] == BLOCK


def test_the_directory_stands_before_the_pixels_as_a_cog_asks(tmp_path: Path) -> None:
    values = np.ones((BLOCK * 2, BLOCK * 2), np.uint16)
    with rasterio.open(write_cog(tmp_path / "a.tif", values, TEN_METRES, 32631, 0)) as raster:
        tags = [int(raster.tags(ns="TIFF", bidx=1).get("IFD_OFFSET", 8))]
        offset = int(raster.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
        overview = int(raster.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1, ovr=0))
    assert tags[0] < overview < offset
