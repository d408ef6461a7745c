"""Declarations as labels: whole pixels inside the inner buffer; borders and overlaps are unknown."""

import numpy as np
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from models.patches.inputs.labels import UNKNOWN, labels_of, pixels_of

GRID = GeoBox((10, 10), Affine(10, 0, 0, 0, -10, 100), "EPSG:32631")
NONE, FOLD = np.array([UNKNOWN]), np.array([0])


def test_a_pixel_knows_its_share_within_the_outline_and_within_the_buffer() -> None:
    pixels = pixels_of(np.array([shapely.box(0, 60, 45, 100)]), GRID, 5.0)
    at = {
        (r, c): (s, i)
        for r, c, s, i in zip(pixels.row, pixels.column, pixels.share, pixels.inner, strict=True)
    }
    assert len(at) == 20
    assert at[1, 1] == (1.0, 1.0)
    assert at[1, 0] == (1.0, 0.5), "half of it lies in the five metres along the border"
    np.testing.assert_allclose(at[1, 4], (0.5, 0.0))
    np.testing.assert_allclose(at[0, 0], (1.0, 0.25))


def test_only_whole_pixels_inside_the_buffer_are_labelled() -> None:
    pixels = pixels_of(np.array([shapely.box(0, 60, 45, 100)]), GRID, 5.0)
    labels = labels_of(pixels, GRID.shape, np.array([3]), NONE, FOLD)
    assert np.argwhere(labels.label == 3).tolist() == [[r, c] for r in (1, 2) for c in (1, 2, 3)]
    assert set(np.unique(labels.label)) == {UNKNOWN, 3}


def test_pixels_that_two_parcels_claim_belong_to_neither() -> None:
    shapes = np.array([shapely.box(0, 60, 50, 100), shapely.box(30, 60, 100, 100)])
    pixels = pixels_of(shapes, GRID, 0.0)
    two = np.array([0, 1])
    labels = labels_of(pixels, GRID.shape, two, np.array([UNKNOWN] * 2), two)
    assert labels.label[0].tolist() == [0, 0, 0, UNKNOWN, UNKNOWN, 1, 1, 1, 1, 1]


def test_a_model_without_a_fold_learns_none_of_its_labels() -> None:
    shapes = np.array([shapely.box(0, 0, 50, 100), shapely.box(50, 0, 100, 100)])
    labels = labels_of(
        pixels_of(shapes, GRID, 0.0), GRID.shape, np.array([0, 1]), np.array([-1, -1]), np.array([0, 1])
    )
    assert set(np.unique(labels.without(1))) == {UNKNOWN, 0}
    assert set(np.unique(labels.without(None))) == {0, 1}


def test_parcels_without_class_or_fold_teach_nothing_but_own_their_pixels() -> None:
    pixels = pixels_of(np.array([shapely.box(0, 60, 45, 100)]), GRID, 5.0)
    for classes, folds in ((NONE, FOLD), (np.array([3]), NONE)):
        labels = labels_of(pixels, GRID.shape, classes, NONE, folds)
        assert (labels.label == UNKNOWN).all() and (labels.parcel == 0).sum() == 6


def test_a_block_without_parcels_has_no_labels() -> None:
    nothing = np.array([], object)
    labels = labels_of(pixels_of(nothing, GRID, 5.0), GRID.shape, *(np.array([], int) for _ in range(3)))
    assert (labels.label == UNKNOWN).all()
