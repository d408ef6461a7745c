"""Stored numbers to physical values: what the item says of them, and what the file says where it is silent.

A number is not used where the item or the file calls it nodata (where they name two values, neither is),
where it is not finite, at least 1e20 in size, or hidden by the file's own mask. 65535 of reflectance in 16
bits is ESA's mark of a saturated pixel. Besides, where writers burn masks in: 0 of reflectance where the item
names no nodata or the file stores floating-point numbers, and exactly 0 dB or a coherence of exactly 0, which
no measurement gives.

Scale and offset are the item's; where it is silent, the file's; where both are, those of
`features.catalog.radiometry`, and of floating-point reflectance 1 and 0. Where not even a baseline is known,
the file must say one: its tags of scale and offset, its baseline, or floating-point numbers. So it is with
the unit of backscatter.
"""

import math
from dataclasses import dataclass

import numpy as np

from features.catalog.radiometry import BASELINE_OFFSET, LARGEST_OFFSET, offset_of_baseline, radar_unit
from features.code.jit import njit
from features.errors import ImageryError
from features.imagery.rasters.header import Header, header_of
from features.indices.formulas import to_db
from features.schema import Asset

# Fill values that several writers use for float rasters; no reflectance, backscatter or coherence comes near.
HUGE = 1e20
NEVER_ZERO = ("db", "coherence")
COMPILED = [np.dtype(name) for name in ("u1", "u2", "i2", "f4")]  # others are converted first
SATURATED = 65535  # Sentinel-2 Products Specification, special values; also a usual fill of 16 bits


# Physical ranges of parcel means: two or more of three outside refuse the acquisition.
RANGES = {
    "reflectance": (-0.3, 1.6), "db": (-45.0, -0.5), "linear": (-45.0, 5.0), "coherence": (0.0, 1.0)
}  # fmt: skip


def are_outside(means: np.ndarray, unit: str) -> bool:
    """Whether two or more of three parcel means `(parcel,)` cannot be numbers of a unit; NaN cannot.

    Examples
    --------
    >>> [are_outside(np.array(means), "reflectance") for means in ([8.3, 7.1, 0.2], [0.1, 8.3])]
    [True, False]
    """
    low, high = RANGES[unit]
    return bool(len(means) and 3 * (~((means >= low) & (means <= high))).sum() >= 2 * len(means))


def told_outside(means: np.ndarray, unit: str, band: str) -> tuple[str, str] | None:
    """Reason and sentence where parcel means `(parcel,)` of a band cannot be numbers of its unit; or None."""
    if not are_outside(means, unit):
        return None
    low, high = RANGES[unit]
    name = {"db": "backscatter", "linear": "backscatter"}.get(unit, unit)
    shown = f"{np.nanmedian(means):.4g}" if np.isfinite(means).any() else "no number"
    return f"{name}_out_of_range", (
        f"{name} of {len(means)} parcels in {band} is {shown} (median, read as {unit}), beyond {low:g} to "
        f"{high:g}: scale, offset or unit are not those of the file; correct them in the catalog's item."
    )


@dataclass(frozen=True)
class Encoding:
    """How stored numbers are to be read: physical = raw * scale + offset.

    Attributes
    ----------
    nodata
        Stored values that are no measurement.
    unit
        reflectance, class, linear, db or coherence.
    notes
        Codes of what item and file say differently: `nodata_differs`, `scaling_differs`.
    saturated
        The stored value, among `nodata`, that says that a pixel was too bright to be measured; None where
        there is none, or where item or file use it for nodata.
    """

    scale: float
    offset: float
    unit: str
    nodata: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    saturated: float | None = None

    def unknown(self, raw: np.ndarray) -> np.ndarray:
        """Which stored numbers are no measurement; bool, of the shape of `raw`."""
        with np.errstate(invalid="ignore"):
            unknown = ~(np.abs(raw) < HUGE)
        for value in self.nodata:
            unknown |= raw == np.float32(value)
        return np.asarray(unknown)

    def physical(self, raw: np.ndarray, reuse: bool = False) -> np.ndarray:
        """Physical values of stored ones, float32 and of their shape, NaN where they are no measurement.

        Reflectance and coherence are numbers; backscatter comes out in decibels, also where it is stored
        linear.

        Parameters
        ----------
        reuse
            Write them into `raw`, where that is float32.
        """
        value = np.asarray(raw, np.float32) if reuse else raw.astype(np.float32)
        unknown = self.unknown(value)
        value *= np.float32(self.scale)
        value += np.float32(self.offset)
        value[unknown] = np.nan
        return to_db(value) if self.unit == "linear" else value

    def laid(
        self,
        raw: np.ndarray,
        rows: np.ndarray,
        columns: np.ndarray,
        out: np.ndarray,
        saturated: float = np.nan,
    ) -> np.ndarray:
        """Write into `out (y, x)`, float32, the physical values of `raw`'s pixels at `rows (y,)` and
        `columns (x,)`; NaN where one of these is -1, or the pixel is no measurement. Return it.

        Parameters
        ----------
        saturated
            Is written where the stored value says that a pixel was too bright to be measured.
        """
        pixels = np.ascontiguousarray(raw, None if raw.dtype in COMPILED else np.float32)
        bright = np.nan if self.saturated is None else self.saturated
        numbers = (self.scale, self.offset, bright, saturated)
        _lay(
            pixels,
            np.asarray(rows, np.int64),
            np.asarray(columns, np.int64),
            np.array(numbers, np.float32),
            np.array(self.nodata, np.float32),
            out,
        )
        if self.unit == "linear":
            out[:] = to_db(out)
        return out

    def with_one_nodata(self, raw: np.ndarray) -> tuple[np.ndarray, float | None]:
        """Stored numbers, of the shape of `raw`, with at most one value that is no measurement; and it."""
        highest = raw.max(initial=0) if self.nodata[1:] else 0  # a quick look: most hold none
        others = [raw.dtype.type(value) for value in self.nodata[1:] if not value > highest]
        present = [value for value in others if (raw == value).any()]
        if not present:
            return raw, self.nodata[0] if self.nodata else None
        return np.where(self.unknown(raw), np.float32(np.nan), raw.astype(np.float32)), None


@njit(cache=True, nogil=True)
def _lay(
    raw: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    numbers: np.ndarray,
    nodata: np.ndarray,
    out: np.ndarray,
) -> None:
    """As `Encoding.laid`; `numbers` are scale, offset, the stored value of a saturated pixel, and what is
    written for it."""
    scale, offset, bright, instead = numbers
    nothing, limit = np.float32(np.nan), np.float32(HUGE)
    for y in range(len(rows)):
        if rows[y] < 0:
            out[y] = nothing
            continue
        if y > 0 and rows[y] == rows[y - 1]:
            out[y] = out[y - 1]
            continue
        line, target = raw[rows[y]], out[y]
        for x in range(len(columns)):
            if columns[x] < 0:
                target[x] = nothing
                continue
            stored = np.float32(line[np.uint64(columns[x])])
            known = abs(stored) < limit
            for k in range(len(nodata)):
                known &= stored != nodata[k]
            value = stored * scale + offset
            target[x] = value if known else (instead if stored == bright else nothing)


def encoding_of(asset: Asset) -> Encoding:
    """Settle how an asset's numbers are read; its header is opened.

    Raises
    ------
    ImageryError
        As `features.imagery.rasters.header.header_of`.
    """
    return settle(asset, header_of(asset["href"]))


def settle(asset: Asset, header: Header) -> Encoding:
    """As `encoding_of`, of a header at hand."""
    silent = set(asset.get("assumed") or ())
    unit = asset["unit"] if asset["unit"] != "unknown" else _unit(asset, header)
    scale, offset, differs = _scaling(asset, header, silent)
    if asset["unit"] == "reflectance" and not abs(offset) <= LARGEST_OFFSET:
        raise ImageryError(
            f"{asset['href']}: an offset of {offset:g} would make no reflectance of its numbers; give it in "
            f"imagery.offsets as 0 or {BASELINE_OFFSET / scale:g}.",
            reason="offset_out_of_range",
        )
    burnt = unit in NEVER_ZERO or (asset["unit"] == "reflectance" and header.dtype.kind == "f")
    zero = 0.0 if burnt and offset == 0 else None
    saturated = SATURATED if asset["unit"] == "reflectance" and header.dtype == np.uint16 else None
    named = [value for value in (asset["nodata"], header.nodata, zero, saturated) if value is not None]
    stated = None if "nodata" in silent else asset["nodata"]
    notes = ["scaling_differs"] if differs else []
    if stated is not None and header.nodata is not None and not _same(stated, header.nodata):
        notes.append("nodata_differs")
    kept = tuple(dict.fromkeys(value for value in named if _possible(value, header.dtype)))
    told = saturated if saturated not in (asset["nodata"], header.nodata) else None
    return Encoding(scale, offset, unit, kept, tuple(notes), told)


def is_left_to_file(asset: Asset) -> bool:
    """Whether an item says so little that only its file can say how numbers are read."""
    return asset["unit"] == "unknown" or "offset_unknown" in (asset.get("assumed") or ())


def _unit(asset: Asset, header: Header) -> str:
    """Unit of backscatter as the file's tags state it."""
    unit = radar_unit(header.unit or "")
    if unit is None:
        raise ImageryError(
            f"{asset['href']}: neither item nor file says whether backscatter is linear or in decibels; say "
            "so in imagery.radar.unit.",
            reason="unknown_radar_unit",
        )
    return unit


def _known_offset(asset: Asset, header: Header) -> float:
    """Offset of a file that states no scale and offset, of an item that says nothing of it."""
    offset = offset_of_baseline(header.baseline or "")
    if offset is None:
        raise ImageryError(
            f"{asset['href']}: neither item nor file says which offset its numbers carry; say in "
            "imagery.offsets or imagery.default_offset whether 0 or -1000 is to be added.",
            reason="unknown_offset",
        )
    return offset


def _scaling(asset: Asset, header: Header, silent: set[str]) -> tuple[float, float, bool]:
    """Scale and offset, and whether the file contradicts what the item or its baseline say of them."""
    scale, offset = asset["scale"], asset["offset"]
    is_float = header.dtype.kind == "f" and asset["unit"] == "reflectance"
    tagged = header.scale is not None and header.offset is not None
    if asset["unit"] == "class":
        return scale, offset, False
    if not (tagged or is_float):
        unknown = "offset_unknown" in silent
        return scale, _known_offset(asset, header) if unknown else offset, False
    said = (header.scale, header.offset) if header.scale is not None else (1.0, 0.0)
    found = said[0] if "scale" in silent else scale
    if "offset_unit" in silent:
        offset *= found / scale
    differs = (
        tagged
        and "offset_unknown" not in silent
        and not (_same(found, said[0]) and _same(offset, said[1] or 0.0))
    )
    if "offset" in silent and (tagged or "scale" in silent):
        offset = said[1] or 0.0
    return found, offset, differs


def _same(one: float, other: float) -> bool:
    return (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-9)


def _possible(value: float, dtype: np.dtype) -> bool:
    """Whether a pixel of a type can hold a value at all."""
    if dtype.kind == "f":
        return math.isfinite(value)  # others are never used
    limits = np.iinfo(dtype)
    return value == math.floor(value) and limits.min <= value <= limits.max if math.isfinite(value) else False
