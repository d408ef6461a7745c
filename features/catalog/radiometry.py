"""Digital numbers to physical values: which offset the pixels of an item still carry.

Since processing baseline 04.00 (25 January 2022) ESA adds 1,000 to every Sentinel-2 digital number, so that
reflectance = (DN - 1000) / 10000; earlier products, and DN 0 (no data), have no such offset. The sensing date
says nothing: Collection 1 (baseline 05.00 and above) reprocesses scenes back to 2015 with the offset. The
catalogs differ:

- **Planetary Computer** serves ESA's pixels as they are and states no scale or offset: the baseline decides.
- **CDSE** serves ESA's pixels and states `raster:offset` -0.1 per asset; so does Earth Search's Collection 1
  (`sentinel-2-c1-l2a`).
- **Earth Search's** `sentinel-2-l2a` subtracted the offset from most COGs and says so with
  `earthsearch:boa_offset_applied: true`, while `raster:bands` of the same item still states -0.1 ("the flag
  is the truth": Element84/earth-search issue 9). On some items of 2022 to 2025 the flag says false although
  the offset was subtracted (issues 66 and 71; cirrus-earth-search issue 33): only the pixels tell.

So, in this order: what the configuration says of the item; a flag that the offset was removed; the baseline,
where it is before 04.00; what the item states; the baseline. Nothing known at all: the item is left to the
tags of its file, and set aside where those are silent too: a guess of 0.1 in reflectance is worse than a gap.
`features.extraction.scene_check`
then compares the decision with pixels.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from features.errors import ConfigError

QUANTIFICATION = 1e-4
LARGEST_OFFSET = 0.5  # reflectance: no product adds or subtracts as much
ASSUMED = ("baseline", "float")  # on which an offset may rest that the item does not state
BASELINE_OFFSET = -0.1
FIRST_WITH_OFFSET = (4, 0)
# Products made by others than ESA's ground segment carry 99.99: with the offset, but of no rank among
# baselines.
PLACEHOLDER = (99, 99)

_FLAGS = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_BASELINES = (
    "s2:processing_baseline",
    "sentinel:processing_baseline",
    "processing:version",
    "processing_baseline",
)
_PRODUCTS = ("s2:product_uri", "sentinel:product_id", "title")
_IN_PRODUCT_NAME = re.compile(r"_N(\d{2})(\d{2})_R\d{3}_")
_UNITS = {
    "db": "db",
    "decibel": "db",
    "decibels": "db",
    "linear": "linear",
    "1": "linear",
    "power": "linear",
    "linear power": "linear",
    "m2/m2": "linear",
}
_VERSION = re.compile(r"^N?(?:0*(\d{1,2})\.(\d{1,2})|(0\d)(\d\d))$")  # 05.10, N0510


@dataclass(frozen=True)
class Scaling:
    """physical = raw * scale + offset, and on what that rests."""

    scale: float
    offset: float
    basis: str


def baseline_of(item: Mapping[str, Any]) -> str | None:
    """Return the processing baseline of an item as `NN.NN`, from its properties or its product's name.

    Examples
    --------
    >>> baseline_of({"id": "S2A_MSIL2A_20220610T101611_N0400_R065_T32TMT_20220610T181610", "properties": {}})
    '04.00'
    """
    properties = item.get("properties") or {}
    for name in _BASELINES:
        if parts := _parts(str(properties.get(name, ""))):
            return f"{int(parts[0]):02d}.{parts[1]:0<2}"
    for text in (item.get("id"), *(properties.get(name) for name in _PRODUCTS)):
        if product := _IN_PRODUCT_NAME.search(str(text)):
            return f"{product[1]}.{product[2]}"
    return None


def baseline_rank(baseline: str | None) -> tuple[int, int]:
    """Order baselines as numbers, an unknown one and the placeholder 99.99 below all others.

    Examples
    --------
    >>> baseline_rank("05.10") > baseline_rank("04.00") > baseline_rank("99.99") == baseline_rank(None)
    True
    """
    numbers = _numbers(baseline)
    return (0, 0) if numbers in (None, PLACEHOLDER) else numbers


def _numbers(baseline: str | None) -> tuple[int, int] | None:
    parts = _parts(baseline or "")
    return (int(parts[0]), int(parts[1])) if parts else None


def _parts(text: str) -> tuple[str, str] | None:
    found = _VERSION.match(text.strip())
    return (found[1] or found[3], found[2] or found[4]) if found else None


def stated_scaling(asset: Mapping[str, object]) -> tuple[float | None, float | None]:
    """Return scale and offset as an asset states them: on itself, in `bands` (STAC 1.1) or `raster:bands`.

    Examples
    --------
    >>> stated_scaling({"raster:bands": [{"scale": 0.0001, "offset": -0.1}]})
    (0.0001, -0.1)
    """
    return _stated(asset, "scale"), _stated(asset, "offset")


def stated(asset: Mapping[str, Any], name: str) -> Any:
    """Return the first value of `name` in an asset, its `bands` or `raster:bands`, else None."""
    lists = [asset.get(key) for key in ("bands", "raster:bands")]
    bands = [held[0] for held in lists if isinstance(held, list) and held and isinstance(held[0], Mapping)]
    for place in (asset, *bands):
        for key in (f"raster:{name}", name):
            if place.get(key) is not None:
                return place[key]
    return None


def _stated(asset: Mapping[str, object], name: str) -> float | None:
    return number(stated(asset, name))


def number(value: Any) -> float | None:
    """Return a finite number as such, None for anything else that may stand in JSON.

    Examples
    --------
    >>> number(3), number("3"), number(True), number(float("nan")), number(10**400)
    (3.0, None, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:  # whole numbers of JSON have no end
        return None
    return found if math.isfinite(found) else None


def decide_reflectance(
    item: Mapping[str, Any], asset: Mapping[str, Any], override: float | None = None
) -> Scaling | None:
    """Decide scale and offset of a reflectance asset.

    Parameters
    ----------
    item, asset
        STAC JSON.
    override
        Offset in the file's stored numbers that the configuration gives for this item (0 or -1000 of digital
        numbers, 0 or -0.1 of floating-point reflectance); it wins.

    Returns
    -------
    Scaling or None
        None where neither item nor baseline says anything.

    Raises
    ------
    ConfigError
        Where the configured offset is not in the file's numbers: reflectance would leave its range.

    Examples
    --------
    >>> decide_reflectance({"properties": {"s2:processing_baseline": "05.09"}}, {})
    Scaling(scale=0.0001, offset=-0.1, basis='baseline')
    """
    scale, offset = stated_scaling(asset)
    if scale is None:
        scale = usual_scale(asset)
    if override is not None:
        if abs(override * scale) > LARGEST_OFFSET:
            raise ConfigError(
                f"imagery.offsets gives {override:g} for {item.get('id')}, whose numbers times {scale:g} are "
                f"reflectance: it would change by {override * scale:g}. Give the offset in the numbers that "
                f"the file stores: 0 or {BASELINE_OFFSET / scale:g}."
            )
        return Scaling(scale, override * scale, "configuration")
    properties = item.get("properties") or {}
    if any(properties.get(flag) is True for flag in _FLAGS):
        return Scaling(scale, 0.0, "flag")
    numbers = _numbers(baseline_of(item))
    if numbers is not None and numbers < FIRST_WITH_OFFSET:
        return Scaling(scale, 0.0, "baseline")
    if offset is not None:
        return Scaling(scale, offset, "stated")
    if scale == 1.0:
        return Scaling(scale, 0.0, "float")
    return None if numbers is None else Scaling(scale, BASELINE_OFFSET, "baseline")


def usual_scale(asset: Mapping[str, object]) -> float:
    """Return the scale of a reflectance asset that states none."""
    return 1.0 if str(stated(asset, "data_type") or "").startswith("float") else QUANTIFICATION


def offset_of_baseline(baseline: str) -> float | None:
    """Return the offset that pixels of a processing baseline carry, None where it is no baseline.

    Examples
    --------
    >>> offset_of_baseline("05.10"), offset_of_baseline("03.01"), offset_of_baseline("v2")
    (-0.1, 0.0, None)
    """
    numbers = _numbers(baseline)
    return None if numbers is None else BASELINE_OFFSET if numbers >= FIRST_WITH_OFFSET else 0.0


def radar_unit(text: str) -> str | None:
    """Return `db` or `linear` for a unit of backscatter as people write it.

    Examples
    --------
    >>> radar_unit("dB"), radar_unit("m2/m2"), radar_unit("metre")
    ('db', 'linear', None)
    """
    return _UNITS.get(text.strip().lower().replace("_", " ").replace("^", ""))
