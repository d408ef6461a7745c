"""The European validation tables' checks: empty, invalid, duplicate, overlapping, claimed above geometry."""

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import polars as pl
import shapely
from pydantic import Field

from features.geometry import area_ha
from features.options import Options

CHECKS = pl.Schema(
    {
        "parcel_id": pl.String,
        "check": pl.String,  # empty, invalid, duplicate, overlap, claimed_above_geometry, sliver
        "other_id": pl.String,  # the other parcel of a pair, else null
        "area_ha": pl.Float64,  # of the overlap, of the excess, of the sliver; else null
        "detail": pl.String,
    }
)
# indices of the two parcels, and the area in hectares
Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


class CheckOptions(Options):
    """From when on a finding counts."""

    overlap_m2: float = Field(1.0, ge=0, description="Overlaps up to this area (m2) are digitising noise.")
    claimed_excess_ha: float = Field(
        0.01, ge=0, description="Claimed area may exceed the geometry by this much."
    )
    sliver_m2: float = Field(
        100.0, ge=0, description="Parcels below this area (m2, one Sentinel-2 pixel) are slivers."
    )


def check_geometry(
    parcel_ids: Sequence[str],
    geometries: gpd.GeoSeries,
    faults: np.ndarray,
    claimed_ha: np.ndarray,
    options: CheckOptions,
) -> pl.DataFrame:
    """Return one row per finding (schema `CHECKS`), in the order of the parcels within each check.

    Parameters
    ----------
    geometries
        Repaired, in a metric CRS.
    faults
        Per parcel why its geometry was invalid, "" where it was not.
    claimed_ha
        NaN where nothing was claimed.
    """
    ids = np.asarray(parcel_ids, dtype=object)
    areas = area_ha(geometries)
    empty = np.asarray(geometries.is_empty)
    sliver = ~empty & (areas * 10_000 < options.sliver_m2)
    excess = claimed_ha - areas
    above = ~empty & (excess > options.claimed_excess_ha)
    findings = [
        _single(ids, "empty", empty & (faults == ""), None, "no geometry"),
        _single(ids, "invalid", faults != "", None, faults),
        _pairs(ids, "duplicate", _duplicates(geometries), "same geometry"),
        _pairs(ids, "overlap", _overlaps(geometries, options.overlap_m2), "overlapping"),
        _single(ids, "claimed_above_geometry", above, excess, "claimed area above geometry"),
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


def _duplicates(geometries: gpd.GeoSeries) -> Pairs:
    """Pair every repeated geometry with the first parcel that has it, wherever its ring starts."""
    shapes = np.asarray(geometries.array)
    filled = np.flatnonzero(~shapely.is_empty(shapes))
    _, firsts, groups = np.unique(
        shapely.to_wkb(shapely.normalize(shapes[filled])), return_index=True, return_inverse=True
    )
    repeated = np.flatnonzero(firsts[groups] != np.arange(len(filled)))
    first, second = filled[repeated], filled[firsts[groups[repeated]]]
    return first, second, shapely.area(shapes[first]) / 10_000


def _overlaps(geometries: gpd.GeoSeries, tolerance_m2: float) -> Pairs:
    """Find the pairs that share more than `tolerance_m2`."""
    shapes = np.asarray(geometries.array)
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    once = first < second
    first, second = first[once], second[once]
    shared = shapely.area(shapely.intersection(shapes[first], shapes[second]))
    real = np.flatnonzero(shared > tolerance_m2)
    real = real[np.lexsort((second[real], first[real]))]
    return first[real], second[real], shared[real] / 10_000
