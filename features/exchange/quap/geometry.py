"""Second layer of the QUAP checks: geometry of parcels, alone, among each other, and against their tables.

Areas are measured in ETRS89-LAEA (EPSG:3035), as the JRC's own queries measure them (ec-jrc/cbm,
iacs_qa/data_validation/second_layer_database_validations.sql).
"""

from collections.abc import Mapping

import numpy as np
import polars as pl
import pyproj
import shapely

from features.exchange.quap.findings import FINDINGS, findings
from features.exchange.quap.reader import QuapFile
from features.exchange.quap.tables import EPSG

EQUAL_AREA = 3035
LEAST_OVERLAP_M2 = 10.0
SLIVER_AREA_M2 = 100.0  # below it and narrow: a leftover of editing, no parcel
SLIVER_WIDTH_M = 1.0  # twice the area by the perimeter
INSIDE_SHARE = 0.9
CLAIM_TOLERANCE = 1.0001
CHUNK = 100_000


def check_geometry(files: Mapping[str, QuapFile]) -> pl.DataFrame:
    """Check the geometry of all tables that have some; schema FINDINGS."""
    found = [pl.DataFrame(schema=FINDINGS)]
    plain = {name: _projected(file) for name, file in files.items() if file.shapes is not None}
    for name, shapes in plain.items():
        found.append(_alone(files[name], shapes))
        found.append(_among(files[name], shapes))
    if "gsa_population" in plain:
        found.append(_claims(files, plain["gsa_population"]))
    if "lpis_population" in plain:
        found.append(_totals(files["lpis_population"], plain["lpis_population"]))
    if {"gsa_population", "lpis_population"} <= set(plain) and "gsa_lpis_relationship" in files:
        found.append(_inside(files, plain))
    return pl.concat(found)


def _projected(file: QuapFile) -> np.ndarray:
    """Return the geometry in metres of equal area; None where missing, empty or invalid."""
    assert file.shapes is not None
    shapes = file.shapes.copy()
    shapes[~_usable(file.shapes)] = None
    if file.epsg == EQUAL_AREA:
        return shapes
    to = pyproj.Transformer.from_crs(file.epsg or EPSG, EQUAL_AREA, always_xy=True)
    parts = []
    for start in range(0, len(shapes), CHUNK):
        part = shapes[start : start + CHUNK]
        parts.append(shapely.transform(part, lambda xy: np.column_stack(to.transform(xy[:, 0], xy[:, 1]))))
    return np.asarray(np.concatenate(parts)) if parts else shapes


def _usable(shapes: np.ndarray) -> np.ndarray:
    return np.asarray(~shapely.is_missing(shapes) & ~shapely.is_empty(shapes) & shapely.is_valid(shapes))


def _ids(file: QuapFile) -> np.ndarray:
    """Return the keys of all rows."""
    if any(name not in file.cells.columns for name in file.table.key):
        return np.array([f"row {row + 2}" for row in range(file.cells.height)], dtype=object)
    return file.cells.select(pl.concat_str(file.table.key, separator="|")).to_series().to_numpy()


def _alone(file: QuapFile, projected: np.ndarray) -> pl.DataFrame:
    assert file.shapes is not None
    name, ids, shapes = file.table.name, _ids(file), file.shapes
    missing, empty = shapely.is_missing(shapes), shapely.is_empty(shapes)
    kinds = shapely.get_type_id(shapes)
    other = ~missing & ~empty & ~np.isin(kinds, (3, 6))  # neither polygon nor multipolygon
    invalid = ~missing & ~empty & ~shapely.is_valid(shapes)
    reasons = [shapely.is_valid_reason(shape) for shape in shapes[invalid]]
    area = np.nan_to_num(shapely.area(projected))
    width = np.divide(2 * area, shapely.length(projected), out=np.zeros(len(area)), where=area > 0)
    sliver = (area > 0) & (area < SLIVER_AREA_M2) & (width < SLIVER_WIDTH_M)
    found = [
        findings(name, "geometry_missing", "Add the geometry, or take the row out.", ids[missing]),
        findings(name, "geometry_empty", "Add the geometry, or take the row out.", ids[~missing & empty]),
        findings(name, "not_a_polygon", "Give a polygon or multipolygon.", ids[other]),
        findings(name, "geometry_invalid", "Repair it, as ST_MakeValid does.", ids[invalid], reasons),
        findings(
            name, "sliver", "Merge it with its neighbour, or take it out.", ids[sliver],
            [f"{size:.1f} m2" for size in area[sliver]],
        ),
    ]  # fmt: skip
    if file.epsg != EPSG:
        cure = f"Transform the geometry to EPSG:{EPSG}, which the exchange asks for."
        found.append(findings(name, "other_epsg", cure, details=[f"EPSG:{file.epsg}"], column="geometry"))
    elif len(outside := _beyond_degrees(shapes)):
        cure = f"The coordinates are no degrees: transform them to EPSG:{EPSG}."
        found.append(findings(name, "other_epsg", cure, ids[outside], column="geometry"))
    return pl.concat(found)


def _beyond_degrees(shapes: np.ndarray) -> np.ndarray:
    bounds = shapely.bounds(shapes)
    return np.flatnonzero((np.abs(bounds[:, [0, 2]]) > 180).any(1) | (np.abs(bounds[:, [1, 3]]) > 90).any(1))


def _among(file: QuapFile, shapes: np.ndarray) -> pl.DataFrame:
    """Find equal geometries, and overlaps of more than ten square metres."""
    name, ids = file.table.name, _ids(file)
    place = np.flatnonzero(~shapely.is_missing(shapes))
    if not len(place):
        return pl.DataFrame(schema=FINDINGS)
    known = shapes[place]
    normal = pl.Series(
        shapely.to_wkb(shapely.normalize(shapely.set_precision(known, 0.01, mode="pointwise")))
    )
    twin = normal.is_duplicated().to_numpy()
    first = pl.DataFrame({"shape": normal, "id": ids[place]}).with_columns(
        first=pl.col("id").first().over("shape")
    )
    repeats = twin & (first["first"].to_numpy() != ids[place])
    found = [
        findings(
            name, "geometry_repeats", "Two rows have one geometry: keep one.", ids[place][repeats],
            first["first"].to_numpy()[repeats],
        )
    ]  # fmt: skip
    one, two = shapely.STRtree(known).query(known, predicate="intersects")
    pairs = (one < two) & ~_touch(known, one, two)
    one, two = one[pairs], two[pairs]
    area = shapely.area(shapely.intersection(known[one], known[two]))
    same = normal.to_numpy()[one] == normal.to_numpy()[two]
    real = (area > LEAST_OVERLAP_M2) & ~same
    details = [
        f"with {other}: {size / 10_000:.4f} ha"
        for other, size in zip(ids[place][two[real]], area[real], strict=True)
    ]
    cure = "Correct the borders: no place belongs to two parcels."
    found.append(findings(name, "overlap", cure, ids[place][one[real]], details))
    return pl.concat(found)


def _touch(shapes: np.ndarray, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Say of which pairs the boxes share no area, so that no intersection need be computed."""
    a, b = shapely.bounds(shapes[one]), shapely.bounds(shapes[two])
    return np.asarray(
        (np.minimum(a[:, 2], b[:, 2]) <= np.maximum(a[:, 0], b[:, 0]))
        | (np.minimum(a[:, 3], b[:, 3]) <= np.maximum(a[:, 1], b[:, 1]))
    )


def _hectares(shapes: np.ndarray) -> np.ndarray:
    return np.asarray(shapely.area(shapes) / 10_000)


def _numbers(file: QuapFile, name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Float64, strict=False)


def _claims(files: Mapping[str, QuapFile], shapes: np.ndarray) -> pl.DataFrame:
    """Compare claimed areas with the parcels' own."""
    claimed, gsa = files.get("gsa_ua_claimed"), files["gsa_population"]
    needed = {"gsa_par_id", "claim_area"}
    if claimed is None or not needed <= set(claimed.cells.columns) or "gsa_par_id" not in gsa.cells.columns:
        return pl.DataFrame(schema=FINDINGS)
    areas = pl.DataFrame({"gsa_par_id": gsa.cells["gsa_par_id"], "hectares": _hectares(shapes)})
    areas = areas.drop_nans().drop_nulls().unique("gsa_par_id")
    joined = claimed.cells.with_columns(claim=_numbers(claimed, "claim_area")).join(areas, on="gsa_par_id")
    above = joined.filter(pl.col("claim") > pl.col("hectares") * CLAIM_TOLERANCE + 0.00005)
    key = [name for name in claimed.table.key if name in above.columns]
    details = above.select(pl.format("{} of {} ha", "claim", pl.col("hectares").round(4))).to_series()
    ids = above.select(pl.concat_str(key, separator="|")).to_series()
    cure = "Claim at most the parcel's area."
    return findings(claimed.table.name, "claimed_above_declared", cure, ids, details, "claim_area")


def _totals(lpis: QuapFile, shapes: np.ndarray) -> pl.DataFrame:
    if "tot_area" not in lpis.cells.columns:
        return pl.DataFrame(schema=FINDINGS)
    total = lpis.cells.select(_numbers(lpis, "tot_area")).to_series().fill_null(np.nan).to_numpy()
    hectares = _hectares(shapes)
    above = np.flatnonzero(total > hectares * CLAIM_TOLERANCE + 0.00005)
    details = [f"{total[row]:.4f} of {hectares[row]:.4f} ha" for row in above]
    cure = "tot_area is at most the area of the reference parcel."
    ids = pl.Series(_ids(lpis)[above].tolist(), dtype=pl.String)
    return findings(lpis.table.name, "total_above_geometry", cure, ids, details, "tot_area")


def _inside(files: Mapping[str, QuapFile], plain: Mapping[str, np.ndarray]) -> pl.DataFrame:
    """Compare each declared parcel with the reference parcel that it is said to lie in."""
    relation = files["gsa_lpis_relationship"]
    needed = ("gsa_par_id", "lpis_rp_id")
    if any(name not in relation.cells.columns for name in needed):
        return pl.DataFrame(schema=FINDINGS)
    rows = relation.cells.select(needed)
    for column, table in zip(needed, ("gsa_population", "lpis_population"), strict=True):
        own = files[table].cells
        if column not in own.columns:
            return pl.DataFrame(schema=FINDINGS)
        numbered = own.select(column, pl.int_range(pl.len()).alias(f"__{column}")).unique(
            column, keep="first"
        )
        rows = rows.join(numbered, on=column, maintain_order="left")
    parcel = plain["gsa_population"][rows["__gsa_par_id"].to_numpy()]
    reference = plain["lpis_population"][rows["__lpis_rp_id"].to_numpy()]
    both = ~shapely.is_missing(parcel) & ~shapely.is_missing(reference)
    rows, parcel, reference = rows.filter(pl.Series(both)), parcel[both], reference[both]
    area = shapely.area(parcel)
    covered = shapely.covers(reference, parcel)
    shared = np.where(covered, area, 0.0)
    shared[~covered] = shapely.area(shapely.intersection(parcel[~covered], reference[~covered]))
    part = np.divide(shared, area, out=np.zeros(len(area)), where=area > 0)
    ids = rows["gsa_par_id"].to_numpy()
    details = np.array(
        [f"in {name}: {100 * p:.0f}%" for name, p in zip(rows["lpis_rp_id"], part, strict=True)]
    )
    several = rows["gsa_par_id"].is_duplicated().to_numpy()  # a parcel over several reference parcels
    out, partly = part <= 0, (part > 0) & (part < INSIDE_SHARE) & ~several
    cure = "Relate it to the reference parcel that it lies in, or correct the geometry."
    name = relation.table.name
    return pl.concat(
        [
            findings(name, "gsa_outside_lpis", cure, ids[out], details[out]),
            findings(name, "gsa_not_fully_inside_lpis", cure, ids[partly], details[partly]),
        ]
    )
