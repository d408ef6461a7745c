"""Fields from nothing: land divided again and again by roads, tracks and boundaries, then gently bent."""

from dataclasses import dataclass

import numpy as np
import shapely

from features.simulate.randomness import generator
from features.smooth_field import smooth_field

# (parent's area in ha, half width in m of what is left between its two parts): roads, tracks, field margins
GAPS = ((60.0, 4.5), (14.0, 2.2), (0.0, 0.7))
LAND_COVERS = ("forest", "built", "water")
VARIATION_PX = 40.0  # metres a pixel of the coarse fields that vary over the landscape


@dataclass(frozen=True)
class Landscape:
    """Outlines on a plane whose origin is the region's lower left corner, in metres."""

    width: float
    height: float
    parcels: list[shapely.Polygon]
    covers: list[shapely.Polygon]
    cover_kinds: list[str]


def make_landscape(n_parcels: int, median_ha: float, farmland_share: float, seed: int) -> Landscape:
    """Divide a square into exactly `n_parcels` parcels and what lies between them.

    Sizes are log-normal (standard deviation 0.75 in the logarithm, as in published parcel registers), with
    neighbourhoods of smaller and of larger fields.
    """
    wanted = n_parcels / farmland_share
    side = float(np.sqrt(wanted * median_ha * 1.3) * 100)
    leaves: list[np.ndarray] = []
    for _ in range(20):
        if leaves:
            side *= float(np.sqrt(1.03 * wanted / len(leaves)))
        side = float(np.ceil(side / 20) * 20)
        leaves = _divide(side, median_ha, generator(seed, "fields"))
        if n_parcels < len(leaves) and 0.95 * wanted <= len(leaves) <= 1.1 * wanted:
            break
    ranks = _unfarmed_first(leaves, side, generator(seed, "covers"))
    unfarmed, farmed = ranks[: len(leaves) - n_parcels], np.sort(ranks[len(leaves) - n_parcels :])
    bent = _bend(leaves, side, generator(seed, "bends"))
    kinds = _cover_kinds([bent[i] for i in unfarmed], side, generator(seed, "kinds"))
    parcels = [_notch(bent[i], generator(seed, "notch", int(i))) for i in farmed]
    return Landscape(side, side, parcels, [bent[i] for i in unfarmed], kinds)


def _divide(side: float, median_ha: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut the square down to fields: every piece above its own target is cut across its length."""
    n = max(int(side / VARIATION_PX), 4)
    local = np.exp(0.45 * smooth_field((n, n), 1500 / VARIATION_PX, rng))
    pieces = [np.array([[0, 0], [side, 0], [side, side], [0, side]], float)]
    fields = []
    while pieces:
        piece = pieces.pop()
        area = _area(piece) / 1e4
        x, y = np.clip(piece.mean(axis=0) / VARIATION_PX, 0, n - 1).astype(int)
        target = median_ha * local[y, x] * np.exp(rng.normal(0, 0.5))
        if area < 2.1 * target:
            fields.append(piece)
        else:
            pieces.extend(_cut(piece, area, rng))
    return fields


def _cut(piece: np.ndarray, area: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut a convex piece in two across its longest direction (sometimes along it: strips), with a gap."""
    centred = piece - piece.mean(axis=0)
    longest = np.linalg.eigh(centred.T @ centred)[1][:, 1]
    angle = rng.normal(0, 0.08) + (np.pi / 2 if area < 12 and rng.random() < 0.22 else 0)
    across = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ longest
    reach = piece @ across
    at = reach.min() + rng.uniform(0.36, 0.64) * np.ptp(reach)
    gap = next(half for above, half in GAPS if area >= above)
    parts = [_keep(piece, across, at - gap), _keep(piece, -across, -at - gap)]
    return [part for part in parts if len(part) >= 3]


def _keep(piece: np.ndarray, normal: np.ndarray, at: float) -> np.ndarray:
    """Return the part of a convex polygon on the near side of a line (Sutherland and Hodgman 1974)."""
    side = piece @ normal - at
    kept = []
    for i in range(len(piece)):
        j = (i + 1) % len(piece)
        if side[i] <= 0:
            kept.append(piece[i])
        if (side[i] < 0) != (side[j] < 0) and side[i] != side[j]:
            kept.append(piece[i] + side[i] / (side[i] - side[j]) * (piece[j] - piece[i]))
    return np.array(kept)


def _area(piece: np.ndarray) -> float:
    """Shoelace formula."""
    x, y = piece.T
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def _unfarmed_first(leaves: list[np.ndarray], side: float, rng: np.random.Generator) -> np.ndarray:
    """Order the pieces so that those in woods and villages come first: clusters, not scattered pixels."""
    n = max(int(side / VARIATION_PX), 4)
    field = smooth_field((n, n), 700 / VARIATION_PX, rng)
    centre = np.clip(np.array([leaf.mean(axis=0) for leaf in leaves]) / VARIATION_PX, 0, n - 1).astype(int)
    return np.argsort(-(field[centre[:, 1], centre[:, 0]] + rng.normal(0, 0.35, len(leaves))), kind="stable")


def _bend(leaves: list[np.ndarray], side: float, rng: np.random.Generator) -> list[shapely.Polygon]:
    """Move every boundary by one smooth displacement, so that lanes and fields curve together."""
    polygons = shapely.segmentize(np.array([shapely.Polygon(leaf) for leaf in leaves]), 35.0)
    waves = [
        (wavelength, amplitude, *rng.uniform(0, 2 * np.pi, 3))
        for wavelength, amplitude in ((2600, 70), (1700, 40), (900, 16), (420, 5), (260, 2.5))
    ]

    def move(points: np.ndarray) -> np.ndarray:
        shift = np.zeros_like(points)
        fade = np.clip(np.minimum(points, side - points).min(axis=1) / 300, 0, 1)[:, None]
        for wavelength, amplitude, heading, phase_x, phase_y in waves:
            along = points @ [np.cos(heading), np.sin(heading)] * (2 * np.pi / wavelength)
            shift += amplitude * np.stack([np.sin(along + phase_x), np.sin(along + phase_y)], axis=1)
        return np.asarray(points + fade * shift)

    bent = shapely.simplify(shapely.transform(polygons, move), 0.6)
    return [shapely.make_valid(polygon) if not polygon.is_valid else polygon for polygon in bent]


def _notch(parcel: shapely.Polygon, rng: np.random.Generator) -> shapely.Polygon:
    """Take a corner out of one parcel in twelve: a barn, a pond, a copse."""
    if rng.random() > 1 / 12:
        return parcel
    corner = shapely.Point(parcel.exterior.coords[int(rng.integers(len(parcel.exterior.coords)))])
    rest = parcel.difference(corner.buffer(np.sqrt(parcel.area) * rng.uniform(0.15, 0.4), quad_segs=2))
    return rest if isinstance(rest, shapely.Polygon) and rest.area > 0.4 * parcel.area else parcel


def _cover_kinds(covers: list[shapely.Polygon], side: float, rng: np.random.Generator) -> list[str]:
    """Say what grows or stands outside farmland: mostly wood, then buildings, a little water."""
    n = max(int(side / VARIATION_PX), 4)
    field = smooth_field((n, n), 900 / VARIATION_PX, rng)
    kinds = []
    for cover in covers:
        x, y = np.clip(np.array(cover.centroid.coords[0]) / VARIATION_PX, 0, n - 1).astype(int)
        value = field[y, x] + rng.normal(0, 0.2)
        kinds.append("forest" if value < 0.35 else "built" if value < 1.6 else "water")
    return kinds
