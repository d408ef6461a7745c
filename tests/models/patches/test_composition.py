"""From the chances of pixels to hectares, clusters and findings."""

import numpy as np
import polars as pl
import pytest

from models.patches.composition.clusters import cluster_sizes
from models.patches.composition.parcel import Parcel, Part, compose, contrast
from models.patches.composition.tables import FINDINGS, PAIRS, composition_rows, finding_row, with_intervals
from models.patches.inputs.labels import ParcelPixels
from models.patches.options import CompositionOptions

OPTIONS = CompositionOptions()


def parcel_of(classes: np.ndarray, sure: float = 0.9, n_classes: int = 3) -> tuple[ParcelPixels, np.ndarray]:
    """A rectangular parcel of whole pixels, of the likely classes `(y, x)`; -1: never seen."""
    row, column = (part.ravel() for part in np.indices(classes.shape))
    ones = np.ones(len(row), np.float32)
    chances = np.full((len(row), n_classes), (1 - sure) / (n_classes - 1))
    chances[np.arange(len(row)), np.maximum(classes.ravel(), 0)] = sure
    chances[classes.ravel() < 0] = np.nan
    return ParcelPixels(np.zeros(len(row), int), row, column, ones, ones), chances


def halves(first: int = 60, rows: int = 10, columns: int = 10) -> np.ndarray:
    classes = np.zeros(rows * columns, int)
    classes[first:] = 1
    return classes.reshape(rows, columns)


def test_a_uniform_parcel_is_one_class_in_one_cluster() -> None:
    found = compose(*parcel_of(np.zeros((10, 10), int)), OPTIONS)
    (part,) = found.parts
    assert (part.number, part.share, part.pixels, part.clusters) == (0, 1.0, 100, (100,))
    assert found.clusters == 1 and not found.heterogeneous(OPTIONS)


def test_a_parcel_of_two_halves_holds_both_with_their_shares() -> None:
    found = compose(*parcel_of(halves(60)), OPTIONS)
    assert [(part.number, part.pixels, part.clusters) for part in found.parts] == [
        (0, 60, (60,)),
        (1, 40, (40,)),
    ]
    assert [part.share for part in found.parts] == pytest.approx([0.6, 0.4])
    assert found.heterogeneous(OPTIONS)


@pytest.mark.parametrize(("first", "mixed"), [(50, True), (70, True), (75, False), (100, False)])
def test_heterogeneous_means_that_a_class_holds_30_to_70_percent(first: int, mixed: bool) -> None:
    assert compose(*parcel_of(halves(first)), OPTIONS).heterogeneous(OPTIONS) == mixed


def scattered(second: int) -> tuple[ParcelPixels, np.ndarray, np.ndarray]:
    """A parcel whose left part looks unlike its right; there every third pixel is taken for the crop of the
    left. `second` is the likelier class of the right part."""
    row, column = (part.ravel() for part in np.indices((10, 12)))
    right = column >= 6
    pixels, chances = parcel_of(np.zeros((10, 12), int))
    chances[right] = 0.05
    chances[right, second] = 0.9
    lost = right & ((row + column) % 3 == 0)
    chances[lost] = [0.9, 0.05, 0.05]
    noise = np.random.default_rng(0).normal(0, 0.01, (120, 6))
    return pixels, chances, noise + np.where(right, 0.4, 0.1)[:, None]


def test_two_sides_that_look_different_get_their_classes_as_wholes() -> None:
    pixels, chances, seen = scattered(second=1)
    found = compose(pixels, chances, OPTIONS.model_copy(update={"least_evidence": 5.0}), seen)
    assert [(part.number, part.pixels, part.clusters) for part in found.parts] == [
        (0, 60, (60,)),
        (1, 60, (60,)),
    ]


@pytest.mark.parametrize(
    ("second", "changed"), [(0, {}), (1, {"side_contrast": 101.0}), (1, {"side_evidence": 5.0})]
)
def test_sides_of_one_class_or_too_much_alike_are_one_crop(second: int, changed: dict[str, float]) -> None:
    pixels, chances, seen = scattered(second)
    options = OPTIONS.model_copy(update={"least_evidence": 5.0, **changed})
    assert len(compose(pixels, chances, options, seen).parts) == 1


def test_a_cluster_of_fewer_than_20_pixels_is_taken_for_the_crop_around_it() -> None:
    classes = np.zeros((10, 10), int)
    classes[:4, :4] = 1
    assert [part.number for part in compose(*parcel_of(classes), OPTIONS).parts] == [0]
    classes[:5, :4] = 1
    assert [part.pixels for part in compose(*parcel_of(classes), OPTIONS).parts] == [80, 20]


def test_clusters_that_touch_by_corners_are_one_with_eight_neighbours_only() -> None:
    corners = np.array([[0, 0, 1], [0, 0, 1], [1, 1, 0]])
    assert cluster_sizes(corners, 4)[1] == {0: [4, 1], 1: [2, 2]}
    assert cluster_sizes(corners, 8)[1] == {0: [5], 1: [4]}


def test_chances_that_hardly_tell_two_classes_apart_are_confusion_of_one_crop() -> None:
    assert len(compose(*parcel_of(halves(60), sure=0.36), OPTIONS).parts) == 1
    assert len(compose(*parcel_of(halves(60), sure=0.9), OPTIONS).parts) == 2


def test_sides_that_look_alike_are_one_crop_whatever_the_chances_say() -> None:
    pixels, chances = parcel_of(halves(60))
    rng = np.random.default_rng(0)
    alike = rng.normal(0.3, 0.02, (100, 4))
    apart = alike + np.where(chances[:, :1] > 0.5, 0.0, 0.1)
    assert len(compose(pixels, chances, OPTIONS, alike).parts) == 1
    assert len(compose(pixels, chances, OPTIONS, apart).parts) == 2
    assert contrast(alike[:60], alike[60:] + 0.1) == pytest.approx(5, rel=0.25)


def test_pixels_at_the_border_count_less() -> None:
    pixels, chances = parcel_of(halves(50))
    inner = np.where(pixels.row < 5, 1.0, 0.0).astype(np.float32)  # the second half lies outside the buffer
    found = compose(
        ParcelPixels(pixels.parcel, pixels.row, pixels.column, pixels.share, inner), chances, OPTIONS
    )
    assert [part.number for part in found.parts] == [0], "a side that is nothing but border shows nothing"
    edge = np.where((pixels.row == 5), 0.0, 1.0).astype(np.float32)
    found = compose(
        ParcelPixels(pixels.parcel, pixels.row, pixels.column, pixels.share, edge), chances, OPTIONS
    )
    assert {part.number: part.share for part in found.parts} == pytest.approx(
        {0: 50 / 92.5, 1: 42.5 / 92.5}
    ), "ten border pixels count a quarter"


def test_what_was_not_seen_is_no_class() -> None:
    classes = np.zeros((10, 10), int)
    classes[:5] = -1
    found = compose(*parcel_of(classes), OPTIONS)
    assert found.seen == pytest.approx(0.5) and found.parts[0].share == 1 and found.pixels == 50
    never = compose(*parcel_of(np.full((10, 10), -1)), OPTIONS)
    assert never.parts == () and never.seen == 0
    assert finding_row("a", 1.0, never, {0}, OPTIONS)["reason"] == "never_seen"


def test_hectares_are_shares_of_the_parcels_area() -> None:
    rows = composition_rows("a", 2.0, compose(*parcel_of(halves(60)), OPTIONS), ("wheat", "maize", "beet"))
    assert [(row["crop_class"], round(row["area_ha"], 3), row["clusters"]) for row in rows] == [
        ("wheat", 1.2, 1), ("maize", 0.8, 1),
    ]  # fmt: skip


def test_more_than_one_crop_is_a_finding_unless_both_were_declared() -> None:
    found = compose(*parcel_of(halves(60)), OPTIONS)
    one = finding_row("a", 2.0, found, {0}, OPTIONS)
    assert one["more_than_one_crop"] and one["heterogeneous"]
    assert one["not_declared_ha"] == pytest.approx(0.8)
    both = finding_row("a", 2.0, found, {0, 1}, OPTIONS)
    assert both["heterogeneous"] and not both["more_than_one_crop"] and both["not_declared_ha"] == 0


def test_hectares_that_may_as_well_be_the_declared_crop_do_not_count_against_it() -> None:
    sure = compose(*parcel_of(np.ones((10, 10), int), sure=0.9), OPTIONS)
    unsure = compose(*parcel_of(np.ones((10, 10), int), sure=0.4), OPTIONS)
    assert finding_row("a", 2.0, sure, {0}, OPTIONS)["not_declared_ha"] == pytest.approx(2.0)
    assert finding_row("a", 2.0, unsure, {0}, OPTIONS)["not_declared_ha"] == 0


def test_small_parcels_and_unknown_classes_are_set_aside_with_the_reason() -> None:
    small = compose(*parcel_of(np.zeros((6, 6), int)), OPTIONS)
    row = finding_row("a", 0.36, small, {0}, OPTIONS)
    assert row["reason"] == "too_few_pixels" and row["not_declared_ha"] is None
    whole = compose(*parcel_of(np.zeros((10, 10), int)), OPTIONS)
    assert finding_row("a", 1.0, whole, set(), OPTIONS)["reason"] == "no_class"


def test_the_interval_is_that_of_made_up_mixed_parcels_and_none_without_them() -> None:
    parts = (Part(0, 0.6, 60, (60,), (0.0, 3.0)), Part(1, 0.4, 40, (40,), (3.0, 0.0)))
    row = finding_row("a", 2.0, Parcel(parts, 100, 1.0, np.array([])), {0}, OPTIONS)
    findings = pl.DataFrame([row], schema=FINDINGS)
    errors = np.linspace(-0.1, 0.2, 31)
    pairs = pl.DataFrame(
        {"first": ["x"] * 31, "second": ["y"] * 31, "fold": [0] * 31, "true_share": 0.4 + 0 * errors,
         "found_share": 0.4 + errors, "flagged": [True] * 31}, schema=PAIRS)  # fmt: skip
    found = with_intervals(findings, {"a": 2.0}, pairs)
    low, high = np.quantile(errors, [0.05, 0.95])
    assert found["low_ha"][0] == pytest.approx(0.8 - 2 * high, abs=1e-6)
    assert found["high_ha"][0] == pytest.approx(0.8 - 2 * low, abs=1e-6)
    assert with_intervals(findings, {"a": 2.0}, pairs.head(19))["low_ha"].to_list() == [None]
