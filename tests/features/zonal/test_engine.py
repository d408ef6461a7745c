import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from features.errors import ImageryError
from features.schema import STATISTICS
from features.zonal.coverage import coverage_of
from features.zonal.engine import gathered, masked, summarise_gathered, zonal
from features.zonal.statistics import combine, finish, ranges

NINE = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.float32)


def grid(height: int, width: int) -> GeoBox:
    return GeoBox((height, width), Affine(1, 0, 0, 0, -1, height), "EPSG:32635")


def stats(block: np.ndarray, *shapes: shapely.Geometry, **more: object) -> list[dict[str, float]]:
    coverage = coverage_of(
        gpd.GeoSeries(list(shapes), crs=32635), [str(i) for i in range(len(shapes))], grid(*block.shape)
    )
    values, counts = zonal(block, coverage, STATISTICS, **more)  # type: ignore[arg-type]
    return [
        dict(zip(STATISTICS, row, strict=True)) | {"count": n} for row, n in zip(values, counts, strict=True)
    ]


def naive_quantile(values: np.ndarray, weights: np.ndarray, q: float) -> float:
    """The definition of features.zonal.statistics, word for word."""
    order = np.argsort(values, kind="stable")
    values, weights = values[order].astype(float), weights[order].astype(float)
    for value in np.unique(values):
        weights[values == value] = weights[values == value].mean()
    n = len(values)
    before = np.concatenate([[0.0], np.cumsum(weights)[:-1]])
    return float(np.interp(q * (n - 1) * weights.sum(), np.arange(n) * weights + (n - 1) * before, values))


def naive(values: np.ndarray, weights: np.ndarray) -> list[float]:
    values, weights = values[weights > 0].astype(float), weights[weights > 0].astype(float)
    mean = np.average(values, weights=weights)
    std = np.sqrt(np.average((values - mean) ** 2, weights=weights))
    return [
        mean,
        std,
        values.min(),
        values.max(),
        *(naive_quantile(values, weights, q) for q in (0.25, 0.5, 0.75)),
    ]


def test_half_covered_pixels_count_half() -> None:
    (found,) = stats(NINE, shapely.box(0.5, 0.5, 2.5, 2.5))
    assert (found["mean"], found["count"]) == (5, 4)
    assert (found["min"], found["max"], found["median"]) == (1, 9, 5)


def test_whole_pixels_give_numpy_quantiles() -> None:
    (found,) = stats(NINE, shapely.box(0, 0, 3, 2))
    assert [found[name] for name in ("p25", "median", "p75")] == np.quantile(
        NINE[1:], [0.25, 0.5, 0.75]
    ).tolist()
    assert found["std"] == pytest.approx(NINE[1:].std())


def test_median_of_integers_is_not_truncated_and_ties_keep_their_number() -> None:
    pair, crowd = stats(
        np.array([[1, 2], [1, 9]], np.uint16), shapely.box(0, 1, 2, 2), shapely.box(0, 0, 2, 2)
    )
    assert pair["median"] == 1.5
    assert crowd["median"] == 1.5  # of 1, 1, 2, 9


def test_masked_nodata_infinite_and_huge_pixels_are_left_out() -> None:
    block = NINE.copy()
    block[0, 0], block[0, 1], block[0, 2] = np.inf, np.float32(1e20), -np.inf
    block[1, 0] = np.nan
    clear = np.ones((3, 3), bool)
    clear[2, 2] = False
    (found,) = stats(block, shapely.box(0, 0, 3, 3), clear=clear, nodata=8)
    assert (found["mean"], found["count"]) == (6, 3)  # 5, 6 and 7


def test_parcel_without_usable_pixel_has_count_zero_and_no_value() -> None:
    hidden, outside, empty = stats(
        NINE, shapely.box(0, 0, 1, 1), shapely.box(10, 10, 11, 11), shapely.Polygon(), nodata=7
    )
    for found in (hidden, outside, empty):
        assert found["count"] == 0
        assert all(np.isnan(found[name]) for name in STATISTICS)


def test_smaller_than_a_pixel_with_hole_and_multipart() -> None:
    ring = shapely.box(0, 0, 3, 3) - shapely.box(1, 1, 2, 2)
    parts = shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 3)])
    tiny, holed, multi = stats(NINE, shapely.box(0.2, 0.2, 0.4, 0.7), ring, parts)
    assert (tiny["mean"], tiny["std"], tiny["median"]) == (7, 0, 7)
    assert tiny["count"] == pytest.approx(0.1)
    assert (holed["mean"], holed["count"]) == (5, 8)
    assert (multi["mean"], multi["count"]) == (5, 2)


def test_constant_parcel_has_no_deviation_and_one_quantile() -> None:
    (found,) = stats(np.full((30, 30), 1234.5, np.float32), shapely.Point(15, 15).buffer(12))
    assert found["std"] == 0
    assert {found[name] for name in ("mean", "p25", "median", "p75", "min", "max")} == {1234.5}


def test_block_that_does_not_fit_is_refused() -> None:
    coverage = coverage_of(gpd.GeoSeries([shapely.box(0, 0, 1, 1)], crs=32635), ["a"], grid(3, 3))
    with pytest.raises(ImageryError, match="does not fit"):
        zonal(np.zeros((4, 3)), coverage, ["mean"])


pixels = st.one_of(
    st.lists(st.integers(0, 12), min_size=1, max_size=300),
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=300),
    st.lists(st.floats(-1, 1, width=32), min_size=60, max_size=300),
)


@settings(max_examples=60, deadline=None)
@given(values=pixels, seed=st.integers(0, 2**31))
def test_kernel_agrees_with_naive_numpy(values: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    line = np.array(values, np.float32)
    weights = np.where(rng.random(len(line)) < 0.6, 1, rng.uniform(0, 1, len(line))).astype(np.float32)
    weights[rng.random(len(line)) < 0.1] = 0
    if not weights.any():
        weights[0] = 1
    part = summarise_gathered(line, np.array([0, len(line)]), weights, STATISTICS)
    scale = np.abs(line).max() + 1e-30
    assert finish(part, STATISTICS)[0] / scale == pytest.approx(
        np.array(naive(line, weights)) / scale, abs=2e-7
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 4), cuts=st.integers(2, 5))
def test_parts_combined_equal_the_whole(seed: int, n: int, cuts: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 200, n)
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    line = rng.normal(500, 80, bounds[-1]).round(int(rng.integers(0, 3))).astype(np.float32)
    weights = rng.uniform(0, 1, len(line)).astype(np.float32) * (rng.random(len(line)) < 0.8)
    whole = summarise_gathered(line, bounds, weights.astype(np.float32), STATISTICS)
    block = rng.integers(0, cuts, len(line))
    owner = np.repeat(np.arange(n), sizes)
    parts = []
    for k in range(cuts):
        there = block == k
        owners, counts = np.unique(owner[there], return_counts=True)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        parts.append(
            (
                owners,
                summarise_gathered(
                    line[there], offsets, weights[there].astype(np.float32), STATISTICS, samples=True
                ),
            )
        )
    combined = combine(parts, STATISTICS, n)
    np.testing.assert_allclose(finish(combined, STATISTICS), finish(whole, STATISTICS), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(combined.weight, whole.weight, rtol=1e-12)


def test_combining_quantiles_without_samples_is_refused() -> None:
    part = summarise_gathered(np.ones(2, np.float32), np.array([0, 2]), np.ones(2, np.float32), ["median"])
    with pytest.raises(ValueError, match="samples"):
        combine([(np.array([0]), part), (np.array([0]), part)], ["median"], 1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), side=st.integers(3, 17))
def test_windows_of_a_coverage_hold_every_pixel_once(seed: int, side: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = [shapely.Point(*rng.uniform(0, 40, 2)).buffer(rng.uniform(0.3, 12)) for _ in range(5)]
    coverage = coverage_of(gpd.GeoSeries(shapes, crs=32635), list("abcde"), grid(40, 40))
    block = rng.normal(0, 1, (40, 40)).astype(np.float32)
    parts = []
    for row in range(0, 40, side):
        for column in range(0, 40, side):
            part, present = coverage.window(
                slice(row, min(row + side, 40)), slice(column, min(column + side, 40))
            )
            inner = np.ascontiguousarray(block[row : row + side, column : column + side])
            parts.append(
                (
                    present,
                    summarise_gathered(
                        gathered(inner, part), part.offsets, part.weights, STATISTICS, samples=True
                    ),
                )
            )
    values, counts = zonal(block, coverage, STATISTICS)
    combined = combine(parts, STATISTICS, 5)
    np.testing.assert_allclose(finish(combined, STATISTICS), values, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(combined.weight, counts, rtol=1e-12)


def test_masked_weights_and_ranges() -> None:
    coverage = coverage_of(gpd.GeoSeries([shapely.box(0, 0, 3, 3)], crs=32635), ["a"], grid(3, 3))
    assert masked(coverage, NINE > 5).tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1]
    # classes twice as coarse whose corner lies one column before: columns 0 | 1, 2 and rows 0, 1 | 2
    coarse = np.array([[True, False], [False, True]])
    assert masked(coverage, coarse, (2, 0, 1)).tolist() == [1, 0, 0, 1, 0, 0, 0, 1, 1]
    assert masked(coverage, coarse[:1], (2, 0, 1)).tolist() == [1, 0, 0, 1, 0, 0, 0, 0, 0]  # ends: not seen
    assert ranges(np.array([0, 2, 5]), np.array([1]))[0].tolist() == [2, 3, 4]


def test_values_equal_exactextract() -> None:
    from exactextract import exact_extract
    from exactextract.raster import NumPyRasterSource

    rng = np.random.default_rng(5)
    block = rng.normal(3000, 700, (200, 200)).astype(np.float32)
    shapes = gpd.GeoSeries(
        [shapely.Point(*rng.uniform(10, 190, 2)).buffer(rng.uniform(1, 40)) for _ in range(40)], crs=32635
    )
    raster = NumPyRasterSource(block, 0, 0, 200, 200, srs_wkt=shapes.crs.to_wkt())
    names = {
        "mean": "mean",
        "std": "stdev",
        "min": "min",
        "max": "max",
        "p25": "quantile_25",
        "median": "median",
        "p75": "quantile_75",
    }
    operations = ["mean", "stdev", "min", "max", "median", "quantile(q=0.25)", "quantile(q=0.75)", "count"]
    peer = exact_extract(raster, gpd.GeoDataFrame(geometry=shapes), operations)
    coverage = coverage_of(shapes, [str(i) for i in range(40)], grid(200, 200))
    values, counts = zonal(block, coverage, STATISTICS)
    expected = np.array([[row["properties"][names[name]] for name in STATISTICS] for row in peer], float)
    np.testing.assert_allclose(values[:, :4], expected[:, :4], rtol=1e-6)
    np.testing.assert_allclose(
        values[:, 4:], expected[:, 4:], rtol=3e-6
    )  # the peer keeps quantile weights in float32
    np.testing.assert_allclose(counts, [row["properties"]["count"] for row in peer], rtol=1e-6)
