"""Parcels that are not one uniform field: second crops, unsown corners, ponds, outlines that are off."""

import numpy as np
import shapely
from shapely import affinity

from features.simulate.land.population import Population
from features.simulate.randomness import generator

OWN_CUTS = 0.06  # share of mown grassland of which a part is mown on days of its own


def second_crops(
    parcels: list[shapely.Geometry], population: Population, share: float, seed: int, season: int
) -> tuple[list[shapely.Geometry], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Let a part of a `share` of the parcels grow another parcel's crop; every other of them declares it as a
    second crop.

    Returns
    -------
    tuple
        Shapes of the parts, and the parcel, class and code of each, `(part,)`; the second code that each
        parcel declares, `(parcel,)`, "" where none.
    """
    rng = generator(seed, "parts", season)
    n = len(parcels)
    grown = np.flatnonzero(population.crop != "")
    owner = np.sort(rng.choice(grown, min(round(share * n), len(grown)), replace=False))
    source = rng.choice(grown, len(owner))
    second = np.full(n, "", object)
    shapes, kept = [], []
    for i, (mine, other) in enumerate(zip(owner, source, strict=True)):
        part = side(parcels[mine], rng.uniform(0.3, 0.6))
        if population.crop[mine] != population.crop[other] and part.area > 0:
            shapes.append(part)
            kept.append(i)
            if i % 2:
                second[mine] = population.code[other]
    return (
        shapes,
        owner[kept],
        population.crop[source[kept]],
        population.code[source[kept]],
        second.astype(str),
    )


def unsown_corners(
    parcels: list[shapely.Geometry],
    population: Population,
    taken: np.ndarray,
    share: float,
    seed: int,
    season: int,
) -> tuple[list[shapely.Geometry], np.ndarray]:
    """Return unsown corners, and their parcels `(corner)`: some that are not `taken (n)` and grow
    a crop.
    """
    rng = generator(seed, "unsown", season)
    free = np.setdiff1d(np.flatnonzero(population.crop != ""), taken)
    owner = np.sort(rng.choice(free, min(round(share * len(parcels)), len(free)), replace=False))
    shapes = [_corner(parcels[mine], rng) for mine in owner]
    kept = [k for k, shape in enumerate(shapes) if shape.area > 0]
    return [shapes[k] for k in kept], owner[kept]


def ponds(parcels: list[shapely.Geometry], share: float, seed: int) -> list[shapely.Geometry]:
    """Return ponds within a `share` of the parcels; the same in every season."""
    rng = generator(seed, "ponds")
    owner = np.sort(rng.choice(len(parcels), round(share * len(parcels)), replace=False))
    found = []
    for mine in owner:
        parcel = parcels[mine]
        centre = shapely.point_on_surface(parcel)
        pond = centre.buffer(np.sqrt(parcel.area) * rng.uniform(0.1, 0.2), quad_segs=4)
        found.append(pond.intersection(parcel))
    return [shape for shape in found if shape.area > 0]


def declared_outlines(parcels: list[shapely.Geometry], error_m: float, seed: int) -> list[shapely.Geometry]:
    """Return the outlines as they are declared: each moved by chance, `error_m` metres (standard deviation)
    along either axis.
    """
    if not error_m:
        return parcels
    moves = generator(seed, "outlines").normal(0, error_m, (len(parcels), 2))
    return [affinity.translate(shape, *move) for shape, move in zip(parcels, moves, strict=True)]


def own_cuts(
    parcels: list[shapely.Geometry], population: Population, taken: np.ndarray, seed: int, season: int
) -> tuple[list[shapely.Geometry], np.ndarray]:
    """Return parts of mown grassland that are mown on days of their own, and whose they are, `(part)`."""
    rng = generator(seed, "own cuts", season)
    meadows = np.setdiff1d(np.flatnonzero(population.crop == "grassland_mown"), taken)
    owner = np.sort(rng.choice(meadows, round(OWN_CUTS * len(meadows)), replace=False))
    shapes = [side(parcels[mine], rng.uniform(0.3, 0.45)) for mine in owner]
    kept = [k for k, shape in enumerate(shapes) if shape.area > 0]
    return [shapes[k] for k in kept], owner[kept]


def side(parcel: shapely.Geometry, share: float) -> shapely.Geometry:
    """Return the part of a parcel on one side of a line across its longer extent."""
    left, bottom, right, top = parcel.bounds
    half = shapely.box(left, bottom, left + share * (right - left), top)
    if right - left < top - bottom:
        half = shapely.box(left, bottom, right, bottom + share * (top - bottom))
    return parcel.intersection(half)


def _corner(parcel: shapely.Geometry, rng: np.random.Generator) -> shapely.Geometry:
    corners = shapely.get_coordinates(parcel)
    at = shapely.Point(corners[int(rng.integers(len(corners)))])
    return parcel.intersection(at.buffer(np.sqrt(parcel.area) * rng.uniform(0.3, 0.55), quad_segs=3))
