"""Spectral and radar indices: each one a formula held as data, evaluated over arrays of any shape.

Optical bands are reflectance (0 to 1, named `B02` … `B12`, `B8A`); radar bands `vv` and `vh` are backscatter
in **decibels**; `cohvv` and `cohvh` are coherence (0 to 1). A pixel has no index (NaN) where a band is
missing, where a denominator is below `LEAST_DIVISOR`, and where the value leaves the index's range: since
baseline 04.00 reflectance may be slightly negative, and ratios of such small numbers are noise.

Besides the names in `INDICES`, every index of spyndex whose bands Sentinel-2 has may be named, in lower case
(`savi`, `mtci`, `ireci` …): its published formula is used as it stands.
"""

import ast
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial

import numpy as np
from numpy.typing import NDArray

from features.errors import ConfigError
from features.messages.listed import listed
from features.schema import OPTICAL_BANDS, RADAR_BANDS

Array = NDArray[np.float32]

# Pixels evaluated at a time: the operands of a formula then stay in a core's cache.
CHUNK = 16_384
_NAN = np.float32("nan")
# Sentinel-2's required uncertainty of reflectance is 0.05 r + 0.005 (ESA, Sentinel-2 L2A products): half of
# a reflectance of 0.01, more of a smaller one.
LEAST_DIVISOR = 0.01
REFLECTANCES = (0.0, LEAST_DIVISOR, 1.0)  # at which the range of a published formula is taken
CLOSE = 1e-4  # of an index's range: rounding
# spyndex's letters for the bands that Sentinel-2 has.
SPYNDEX_BANDS = {
    "B": "B02", "G": "B03", "R": "B04", "RE1": "B05", "RE2": "B06", "RE3": "B07",
    "N": "B08", "N2": "B8A", "S1": "B11", "S2": "B12",
}  # fmt: skip
# Shi, T. and Xu, H. (2019), Derivation of tasseled cap transformation coefficients for Sentinel-2 MSI
# at-sensor reflectance data, IEEE JSTARS 12(10), 4038-4048, doi:10.1109/JSTARS.2019.2938388; bands in this
# order.
TASSELLED_CAP_BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
TASSELLED_CAP = {
    "tcb": (0.3510, 0.3813, 0.3437, 0.7196, 0.2396, 0.1949),
    "tcg": (-0.3599, -0.3533, -0.4734, 0.6633, 0.0087, -0.2856),
    "tcw": (0.2578, 0.2305, 0.0883, 0.1071, -0.7611, -0.5308),
}
SHI_AND_XU = "https://doi.org/10.1109/JSTARS.2019.2938388"


@dataclass(frozen=True)
class Index:
    """One index.

    Attributes
    ----------
    formula
        In band names.
    source
        Where the formula was published.
    low, high
        The range of its values; what lies outside is no measurement. Where not given, the least and greatest
        that reflectances from 0 to 1 can make.
    """

    name: str
    formula: str
    unit: str
    source: str
    low: float = -np.inf
    high: float = np.inf

    @cached_property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands that the formula reads, sorted."""
        return _operands(self.formula)

    @cached_property
    def limits(self) -> tuple[np.float32, np.float32]:
        """The range, widened by rounding."""
        low, high = self.low, self.high
        if not np.isfinite((low, high)).all():
            low, high = reachable(self.formula)
        slack = CLOSE * max(high - low, 1.0)
        return np.float32(low - slack), np.float32(high + slack)


@cache
def _operands(formula: str) -> tuple[str, ...]:
    names = {node.id for node in ast.walk(ast.parse(formula, mode="eval")) if isinstance(node, ast.Name)}
    return tuple(sorted(names - _FUNCTIONS.keys()))


def _tasselled_cap(name: str) -> Index:
    terms = zip(TASSELLED_CAP[name], TASSELLED_CAP_BANDS, strict=True)
    return Index(
        name, " + ".join(f"{weight} * {band}" for weight, band in terms), "reflectance", SHI_AND_XU, -2, 3
    )


def _ratio(name: str, high: str, low: str, source: str) -> Index:
    return Index(name, f"({high} - {low}) / ({high} + {low})", "1", source, -1, 1)


_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "log10": np.log10,
    "sqrt": np.sqrt,
    "power": np.power,
}

# NDRE and NDMI take the narrow near-infrared B8A, as Sentinel-2's own 20 m products do: all their bands share
# a grid.
_OPTICAL = (
    _ratio("ndvi", "B08", "B04", "https://ntrs.nasa.gov/citations/19740022614"),
    _ratio("gndvi", "B08", "B03", "https://doi.org/10.1016/S0034-4257(96)00072-7"),
    _ratio("ndre", "B8A", "B05", "https://doi.org/10.3390/s19040904"),
    _ratio("ndwi", "B03", "B08", "https://doi.org/10.1080/01431169608948714"),
    _ratio("ndmi", "B8A", "B11", "https://doi.org/10.1016/S0034-4257(01)00318-2"),
    _ratio("ndti", "B11", "B12", "https://www.asprs.org/wp-content/uploads/pers/1997journal/jan/1997_jan_87-93.pdf"),
    _ratio("nbr", "B8A", "B12", "https://doi.org/10.3133/ofr0211"),
    Index("psri", "(B04 - B02) / B06", "1", "https://doi.org/10.1034/j.1399-3054.1999.106119.x", -1, 1),
    Index(
        "tcari", "3 * ((B05 - B04) - 0.2 * (B05 - B03) * (B05 / B04))", "1",
        "https://doi.org/10.1016/S0034-4257(02)00018-4", -3, 3,
    ),
    Index(
        "mcari", "((B05 - B04) - 0.2 * (B05 - B03)) * (B05 / B04)", "1",
        "https://doi.org/10.1016/S0034-4257(00)00113-9", -3, 3,
    ),
    Index(
        "evi2", "2.5 * (B08 - B04) / (B08 + 2.4 * B04 + 1)", "1",
        "https://doi.org/10.1016/j.rse.2008.06.006", -1, 1.25,
    ),
    Index(
        "evi", "2.5 * (B08 - B04) / (B08 + 6 * B04 - 7.5 * B02 + 1)", "1",
        "https://doi.org/10.1016/S0034-4257(96)00112-5", -1, 1.5,
    ),
    Index("cire", "B07 / B05 - 1", "1", "https://doi.org/10.1078/0176-1617-00887", -1, 25),
    *(_tasselled_cap(name) for name in TASSELLED_CAP),
)  # fmt: skip
# RVI of dual polarisation, 4 VH / (VV + VH) in linear power (Nasirzadehdizaji et al. 2019,
# doi:10.3390/app9040655), written in decibels so that no power is ever formed from two tiny numbers.
_RADAR = (
    Index("s0vv_db", "vv", "dB", "backscatter as delivered", -70, 40),
    Index("s0vh_db", "vh", "dB", "backscatter as delivered", -70, 40),
    Index("ratio_db", "vh - vv", "dB", "VH / VV", -60, 60),
    Index("rvi", "4 / (1 + power(10, (vv - vh) / 10))", "1", "https://doi.org/10.3390/app9040655", 0, 4),
    Index("cohvv", "cohvv", "1", "coherence as delivered", 0, 1),
    Index("cohvh", "cohvh", "1", "coherence as delivered", 0, 1),
)
_PLAIN = tuple(
    Index(band, band, "reflectance", "reflectance as delivered", -0.5, 2) for band in OPTICAL_BANDS
)

INDICES: dict[str, Index] = {index.name: index for index in (*_PLAIN, *_OPTICAL, *_RADAR)}


@cache
def find_index(name: str) -> Index:
    """Return the index called `name`: one of `INDICES`, or spyndex's of that name.

    Raises
    ------
    ConfigError
        Where no such index exists, or it needs a band that Sentinel-2 lacks.

    Examples
    --------
    >>> find_index("ndvi").bands
    ('B04', 'B08')
    >>> find_index("savi").bands
    ('B04', 'B08')
    """
    return INDICES.get(name) or _from_spyndex(name)


def bands_of(names: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Names of all bands that the features called `names` need, sorted.

    Examples
    --------
    >>> bands_of(["ndvi", "rvi"])
    ('B04', 'B08', 'vh', 'vv')
    """
    return tuple(sorted({band for name in names for band in find_index(name).bands}))


# What beside imagery a series may hold, by the first word of its name.
CONTEXT = (
    "weather", "soil", "elevation", "embedding", "history", "surface", "slope", "terrain", "context",
)  # fmt: skip
_ORBIT = re.compile(r"_r\d+$")
_RADAR_NAMES = re.compile(r"s0v[vh]|coh|rvi|ratio")


@cache
def sensor_of(feature: str, unknown: str = "s2") -> str:
    """Return `s1`, `s2`, or `context` for weather, soil and terrain.

    Parameters
    ----------
    feature
        As in `find_index`, or as a series has it: with the orbit in its name.
    unknown
        Returned where no index of that name exists.

    Examples
    --------
    >>> [sensor_of(name) for name in ("s0vh_db_r037", "rvi", "ndvi", "weather_gdd", "slope")]
    ['s1', 's1', 's2', 'context', 'context']
    >>> sensor_of("lai_of_others", unknown="other")
    'other'
    """
    plain = _ORBIT.sub("", feature)
    if plain.split("_", maxsplit=1)[0] in CONTEXT:
        return "context"
    try:
        return "s1" if set(find_index(plain).bands) <= set(RADAR_BANDS) else "s2"
    except ConfigError:
        return "s1" if _RADAR_NAMES.match(plain) else unknown


def compute(name: str, bands: Mapping[str, Array]) -> Array:
    """Evaluate one index.

    Parameters
    ----------
    name
        As in `find_index`.
    bands
        float32 arrays of one shape, by band name: reflectance, backscatter in dB, coherence; NaN where
        unknown.

    Returns
    -------
    np.ndarray
        float32 of that shape; NaN where a band is NaN, a denominator is below `LEAST_DIVISOR` or the value
        outside the index's range.

    Examples
    --------
    >>> red, nir = np.float32([0.25, 0.0]), np.float32([0.75, 0.0])
    >>> compute("ndvi", {"B04": red, "B08": nir})
    array([0.5, nan], dtype=float32)
    >>> compute("ndvi", {"B04": np.float32([-0.004]), "B08": np.float32([0.005])})
    array([nan], dtype=float32)
    """
    index = find_index(name)
    value = evaluate(index.formula, bands, LEAST_DIVISOR)
    low, high = index.limits
    with np.errstate(invalid="ignore"):
        value[(value < low) | (value > high)] = _NAN
    return value


def left_out(name: str, bands: Mapping[str, Array], value: Array, weights: Array) -> int:
    """Count the pixels that have weight and all bands of an index, and yet no value.

    Parameters
    ----------
    bands, value
        As given to and by `compute`.
    weights
        Of the same shape; zero where a pixel is not seen.
    """
    unknown = np.isnan(value) & (weights > 0)
    for band in find_index(name).bands:
        unknown &= np.isfinite(bands[band])
    return int(np.count_nonzero(unknown))


def reachable(formula: str) -> tuple[float, float]:
    """Least and greatest value of a formula of reflectances, taken at 0, `LEAST_DIVISOR` and 1 of each band.

    Examples
    --------
    >>> reachable("(B08 - B04) / (B08 + B04)")
    (-1.0, 1.0)
    """
    names = _operands(formula)
    corners = np.array(list(itertools.product(REFLECTANCES, repeat=len(names))), np.float32)
    values = evaluate(formula, dict(zip(names, corners.T, strict=True)), LEAST_DIVISOR)
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else (-np.inf, np.inf)


def evaluate(formula: str, bands: Mapping[str, Array], least: float = 0.0) -> Array:
    """Evaluate a formula of band names, bands of one shape; one that names no band gives one number.

    Parameters
    ----------
    least
        NaN comes out where a divisor is below this or not above zero.
    """
    operands = [np.asarray(bands[band], dtype=np.float32) for band in _operands(formula)]
    if formula in bands:
        return operands[0].copy()
    function = _compile(formula, least)
    if not operands:
        return np.asarray(function(), dtype=np.float32)
    out = np.empty(operands[0].shape, dtype=np.float32)
    flat = [np.ascontiguousarray(operand).reshape(-1) for operand in operands]
    target = out.reshape(-1)
    with np.errstate(all="ignore"):
        for start in range(0, target.size, CHUNK):
            part = slice(start, start + CHUNK)
            target[part] = function(*(operand[part] for operand in flat))
    return out


def to_db(power: Array) -> Array:
    """Linear backscatter to decibels of the same shape, 10 log10; NaN where the power is not above zero.

    Examples
    --------
    >>> to_db(np.float32([1.0, 0.1, 0.0]))
    array([  0., -10.,  nan], dtype=float32)
    """
    power = np.asarray(power, dtype=np.float32)
    decibel = np.full(power.shape, np.nan, dtype=np.float32)
    np.log10(power, out=decibel, where=power > 0)
    decibel *= np.float32(10)
    return decibel


@cache
def _compile(formula: str, least: float) -> Callable[..., Array]:
    """Turn a formula into a function of its bands in sorted order, NaN where a divisor is below `least`."""
    tree = ast.parse(formula, mode="eval")
    _refuse_anything_else(tree, formula)
    names = _operands(formula)
    hoist = _Hoisted()
    value = ast.unparse(hoist.visit(tree))
    lines = [
        f"def evaluate({', '.join(names)}):",
        *(f"    {name} = above({divisor})" for name, divisor in hoist.divisors.items()),
        f"    return finite({value})",
    ]
    scope = {"__builtins__": {}, "above": partial(_above, np.float32(least)), "finite": _finite, **_FUNCTIONS}
    exec("\n".join(lines), scope)
    evaluate: Callable[..., Array] = scope["evaluate"]  # type: ignore[assignment]
    return evaluate


class _Hoisted(ast.NodeTransformer):
    """Takes out what a formula divides by, where that varies with the pixel, inner divisors first."""

    def __init__(self) -> None:
        self.divisors: dict[str, str] = {}

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Div) and any(isinstance(part, ast.Name) for part in ast.walk(node.right)):
            name = f"divisor_{len(self.divisors)}"
            self.divisors[name] = ast.unparse(node.right)
            node.right = ast.Name(name, ast.Load())
        return node


def _above(least: np.float32, divisor: Array) -> Array:
    return np.where((divisor > 0) & (divisor >= least), divisor, _NAN)


def _finite(value: Array) -> Array:
    endless = np.isinf(value)
    return np.where(endless, _NAN, value) if endless.any() else value


_ALLOWED = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Name, ast.Load, ast.Constant,
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.USub, ast.UAdd,
)  # fmt: skip


def _refuse_anything_else(tree: ast.Expression, formula: str) -> None:
    """Arithmetic on names and numbers, and calls of the few functions above: nothing more is ever run."""
    for node in ast.walk(tree):
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
        if not (called or isinstance(node, _ALLOWED)):
            raise ConfigError(
                f"The formula {formula!r} holds {type(node).__name__}; only arithmetic is allowed."
            )


def _from_spyndex(name: str) -> Index:
    import spyndex

    found = {key.lower(): key for key in spyndex.indices}.get(name)
    if found is None:
        raise ConfigError(f"No index is called {name!r}; the built-in ones are {', '.join(sorted(INDICES))}.")
    published = spyndex.indices[found]
    values = {key: f"{spyndex.constants[key].default}" for key in published.bands if key in spyndex.constants}
    missing = sorted(
        set(published.bands)
        - SPYNDEX_BANDS.keys()
        - {key for key, value in values.items() if value != "None"}
    )
    if missing:
        raise ConfigError(
            f"The index {name!r} needs {listed(missing)}, which Sentinel-2 does not give; choose another one."
        )
    return Index(name, _translate(published.formula, SPYNDEX_BANDS | values), "1", published.reference)


class _Renamed(ast.NodeTransformer):
    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.parse(self.names[node.id], mode="eval").body if node.id in self.names else node


def _translate(formula: str, names: Mapping[str, str]) -> str:
    return ast.unparse(_Renamed(names).visit(ast.parse(formula, mode="eval")))
