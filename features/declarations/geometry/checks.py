"""The European validation tables' checks: empty, invalid, duplicate, overlapping, claimed above geometry."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import geopandas as gpd
import numpy as np
import polars as pl
import shapely

from features.declarations.geometry.repair import area_ha
from features.declarations.options import CheckOptions

# the queries by which the JRC checks data for the IACS quality assessment (November 2023), and slivers
CHECK_NAMES = (
    "empty",
    "invalid",
    "misplaced",
    "duplicate",
    "overlap",
    "claimed_above_geometry",
    "claimed_nothing",
    "claimed_unread",
    "sliver",
)
CHECKS = pl.Schema(
    {
        "parcel_id": pl.String,
        "check": pl.String,  # a name of CHECK_NAMES
        "other_id": pl.String,  # the other parcel of a pair, else null
        "area_ha": pl.Float64,  # of the overlap, of the excess, of the sliver; else null
        "detail": pl.String,
    }
)
PAIRS_AT_ONCE = 20_000
THREADS = 2
# indices of the two parcels, and the area in hectares
Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


def check_geometry(
    parcel_ids: Sequence[str],
    geometries: gpd.GeoSeries,
    faults: np.ndarray,
    claimed_ha: np.ndarray,
    options: CheckOptions,
    *,
    areas: np.ndarray | None = None,
    misplaced: np.ndarray | None = None,
    unread: np.ndarray | None = None,
) -> pl.DataFrame:
    """Return one row per finding (schema `CHECKS`), in the order of the parcels within each check.

    Parameters
    ----------
    geometries
        Repaired, in a metric CRS.
    faults
        `(parcel)`: why its geometry was invalid, "" where it was not.
    claimed_ha
        `(parcel)`; NaN where nothing was claimed.
    areas
        Hectares that claims are compared with; planar ones where omitted.
    misplaced, unread
        Per parcel why it cannot lie where it does, and the claimed area that is no number; "" elsewhere.
    """
    ids = np.asarray(parcel_ids, dtype=object)
    nothing = np.full(len(ids), "", dtype=object)
    misplaced, unread = (nothing if texts is None else texts for texts in (misplaced, unread))
    areas = area_ha(geometries) if areas is None else areas
    shapes = np.asarray(geometries.array)
    first, second = _neighbours(shapes)
    empty = shapely.is_empty(shapes)
    sliver = ~empty & (areas * 10_000 < options.sliver_m2)
    excess = claimed_ha - areas
    above = ~empty & (excess > options.claimed_excess_ha)
    findings = [
        _single(ids, "empty", empty & (faults == "") & (misplaced == ""), None, "no geometry"),
        _single(ids, "invalid", faults != "", None, faults),
        _single(ids, "misplaced", misplaced != "", None, misplaced),
        _pairs(ids, "duplicate", _duplicates(shapes, first, second), "same geometry"),
        _pairs(ids, "overlap", _overlaps(shapes, first, second, options.overlap_m2), "overlapping"),
        _single(ids, "claimed_above_geometry", above, excess, "claimed area above geometry"),
        _single(ids, "claimed_nothing", claimed_ha <= 0, None, "claimed area zero or negative"),
        _single(ids, "claimed_unread", unread != "", None, unread),
        _single(ids, "sliver", sliver, areas, "smaller than a pixel"),
    ]
    return pl.concat(findings)


def _single(
    ids: np.ndarray, check: str, where: np.ndarray, area: np.ndarray | None, detail: str | np.ndarray
) -> pl.DataFrame:
    count = int(where.sum())
    return pl.DataFrame(
        {
            "parcel_id": list(ids[where]),
            "check": [check] * count,
            "other_id": [None] * count,
            "area_ha": [None] * count if area is None else area[where],
            "detail": [detail] * count if isinstance(detail, str) else list(detail[where]),
        },
        schema=CHECKS,
    )


def _pairs(ids: np.ndarray, check: str, pairs: Pairs, detail: str) -> pl.DataFrame:
    first, second, area = pairs
    return pl.DataFrame(
        {
            "parcel_id": list(ids[first]),
            "check": [check] * len(first),
            "other_id": list(ids[second]),
            "area_ha": area,
            "detail": [detail] * len(first),
        },
        schema=CHECKS,
    )


def _neighbours(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs whose bounding boxes meet, each once, in the order of the parcels."""
    first, second = shapely.STRtree(shapes).query(shapes)
    once = first < second
    order = np.lexsort((second[once], first[once]))
    return first[once][order], second[once][order]


def _duplicates(shapes: np.ndarray, first: np.ndarray, second: np.ndarray) -> Pairs:
    """Pair every repeated geometry with the first parcel that has it, wherever its ring starts."""
    bounds = shapely.bounds(shapes)
    alike = np.flatnonzero((bounds[first] == bounds[second]).all(axis=1))
    alike = alike[shapely.equals(shapes[first[alike]], shapes[second[alike]])]
    repeated, place = np.unique(second[alike], return_index=True)
    return repeated, first[alike][place], shapely.area(shapes[repeated]) / 10_000


def _overlaps(shapes: np.ndarray, first: np.ndarray, second: np.ndarray, tolerance_m2: float) -> Pairs:
    """Find the pairs that share more than `tolerance_m2`."""
    shared = shared_areas(shapes, first, second)
    real = shared > tolerance_m2
    return first[real], second[real], shared[real] / 10_000


def shared_areas(shapes: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the area that each pair of valid (multi)polygons shares, in square units of the coordinates.

    Parameters
    ----------
    shapes
        Geometries, `(n,)`.
    first, second
        Indices of the pairs, `(pairs,)`.
    """
    parts = [slice(at, at + PAIRS_AT_ONCE) for at in range(0, len(first), PAIRS_AT_ONCE)]

    def of_part(part: slice) -> np.ndarray:
        one, other = shapes[first[part]], shapes[second[part]]
        meet = ~shapely.touches(one, other)  # most neighbours only share a border: three times cheaper
        areas = np.zeros(len(one))
        areas[meet] = shapely.area(shapely.intersection(one[meet], other[meet]))
        return areas

    shapely.prepare(shapes)
    with ThreadPoolExecutor(THREADS) as pool:  # GEOS works without Python's lock
        areas = list(pool.map(of_part, parts))
    shapely.destroy_prepared(shapes)
    return np.concatenate([np.zeros(0), *areas])
