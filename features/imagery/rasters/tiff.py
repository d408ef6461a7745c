"""Tiled GeoTIFFs read without GDAL: the usual Cloud-Optimised GeoTIFF, decoded by imagecodecs beside
other threads.

Only what is known exactly is decoded here: little-endian TIFF or BigTIFF, one sample per pixel, tiles that
are not compressed or by DEFLATE or Zstandard, no predictor or horizontal differences, no mask, every tag of
the type and count that the specification gives, every block within the file. `read_layout` returns None for
anything else, and GDAL reads that, or says why it cannot. Tags are parsed by tifffile.

TIFF 6.0 (Adobe, 1992); BigTIFF; OGC GeoTIFF 1.1 (OGC 19-008r4); GDAL's tags 42112 (metadata) and 42113
(nodata).
"""

import logging
import math
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS

from features.code.jit import njit
from features.errors import ImageryError
from features.imagery.rasters.opening import LARGEST_BLOCK

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it doubts is left to GDAL, which says why

PLAIN, DEFLATE, OLD_DEFLATE, ZSTD = 1, 8, 32946, 50000
ROOM = 65_536  # bytes by which a compressed block may exceed twice its pixels
MOST_PAGES = 64  # overviews and masks of one file
MASK_PAGE = 4  # bit of NewSubfileType
TILE_MULTIPLE = 16
SHORT, LONG, DOUBLE, ASCII, LONG8 = 3, 4, 12, 2, 16
KINDS = {1: "u", 2: "i", 3: "f"}
TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
DIFFERENCED = ("u1", "i1", "u2", "i2", "u4", "i4")
# Scalar tags, the value that stands for an absent one, and the values known here; None: any.
SCALARS: Mapping[int, tuple[int | None, tuple[int, ...] | None]] = {
    254: (0, (0,)),  # NewSubfileType: the image itself
    256: (None, None),  # ImageWidth
    257: (None, None),  # ImageLength
    258: (1, None),  # BitsPerSample
    259: (PLAIN, (PLAIN, DEFLATE, OLD_DEFLATE, ZSTD)),  # Compression
    262: (None, (1, 3)),  # PhotometricInterpretation: black is zero, or a palette
    266: (1, (1,)),  # FillOrder
    274: (1, (1,)),  # Orientation
    277: (1, (1,)),  # SamplesPerPixel
    284: (1, (1, 2)),  # PlanarConfiguration: alike for one sample
    317: (1, (1, 2)),  # Predictor
    322: (None, None),  # TileWidth
    323: (None, None),  # TileLength
    339: (1, tuple(KINDS)),  # SampleFormat
}
BLOCK_TABLES = (324, 325)  # TileOffsets, TileByteCounts
# Tags that change nothing of the pixels: names, dates, resolution, colours, statistics, geography.
HARMLESS = {269, 270, 271, 272, 280, 281, 282, 283, 296, 305, 306, 315, 316, 320, 340, 341, 33432,
            33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113, 50844, 50909}  # fmt: skip
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
METRE, DEGREE = 9001, 9102


@dataclass(frozen=True)
class Layout:
    """Where the blocks of a raster's full-resolution image lie, and how to decode them.

    Attributes
    ----------
    grid
        Where a north-up grid is tied at its corner and named by a projected EPSG code; else None: GDAL knows.
    nodata
        As the file states it.
    plain
        Whether the file states nothing more of its values: no scale, offset, unit or baseline.
    sparse_value
        Of pixels in blocks that the file leaves out.
    """

    path: str
    shape: tuple[int, int]
    grid: GeoBox | None
    dtype: np.dtype
    block: tuple[int, int]
    offsets: np.ndarray  # int64, row by row of blocks
    counts: np.ndarray
    compression: int
    differences: bool
    nodata: float | None
    plain: bool
    sparse_value: float


def read_layout(path: str) -> Layout | None:
    """Parse the header of a local file; None where GDAL should read it."""
    try:
        with tifffile.TiffFile(path) as tiff:
            tags = _tags(tiff)
        return None if tags is None else _layout(path, tags)
    except Exception:  # a damaged file brings out any: what is not known exactly is left to GDAL
        return None


Tags = Mapping[int, tuple[int, int, Any]]  # type, count and value by code


def _tags(tiff: tifffile.TiffFile) -> Tags | None:
    """The tags of the first page, where each comes once and is whole, and no page is a mask."""
    page = tiff.pages[0]
    if tiff.byteorder != "<" or tiff.is_ndpi or tiff.is_lsm or not isinstance(page, tifffile.TiffPage):
        return None
    for number in range(1, MOST_PAGES + 1):
        try:
            other = tiff.pages[number]
        except IndexError:
            break
        mask = not isinstance(other, tifffile.TiffPage) or int(other.subfiletype) & MASK_PAGE
        if mask or number == MOST_PAGES:
            return None
    tiff.filehandle.seek(page.offset)
    size = tiff.tiff.tagnosize
    (declared,) = struct.unpack(tiff.tiff.tagnoformat, tiff.filehandle.read(size))
    tags = {tag.code: (int(tag.dtype), tag.count, tag.value) for tag in page.tags}
    return tags if len(tags) == len(page.tags) == declared else None


def _layout(path: str, tags: Tags) -> Layout | None:
    known = {code: _scalar(tags, code) for code in SCALARS}
    unknown = tags.keys() - SCALARS.keys() - set(BLOCK_TABLES) - HARMLESS
    if unknown or any(value is None for value in known.values()):
        return None
    number = {code: value for code, value in known.items() if value is not None}
    name = f"{KINDS[number[339]]}{number[258] // 8}"
    if number[258] % 8 or name not in TYPES or (number[317] == 2 and name not in DIFFERENCED):
        return None
    if number[317] == 2 and number[259] == PLAIN:  # which libtiff does not undo
        return None
    dtype, shape, block = np.dtype(f"<{name}"), (number[257], number[256]), (number[323], number[322])
    tables = _tables(path, tags, shape, block, dtype)
    said = _values(tags)
    if tables is None or said is None:
        return None
    nodata, plain = said
    sparse, stored = not tables[1].all(), {0, math.prod(block) * dtype.itemsize}
    if (number[259] == PLAIN and not set(tables[1].tolist()) <= stored) or (
        sparse and not _exact(nodata or 0.0, dtype)
    ):
        return None
    place = _grid(tags, shape)
    differences = number[317] == 2
    return Layout(
        path, shape, place, dtype, block, *tables, number[259], differences, nodata, plain, nodata or 0.0
    )


def _values(tags: Tags) -> tuple[float | None, bool] | None:
    """The nodata value, and whether nothing more is said of the values; None where a text is not known."""
    nodata, metadata = _text(tags, 42113), _text(tags, 42112)
    if nodata is None or metadata is None:
        return None
    stated = _number(nodata) if nodata else None
    plain = not re.search("scale|offset|unit|nbits|baseline|processing", metadata, re.IGNORECASE)
    return None if nodata and stated is None else (stated, plain)


def _scalar(tags: Tags, code: int) -> int | None:
    """The value of a tag of one whole number, or what an absent one means; None where it is not known."""
    default, values = SCALARS[code]
    if code not in tags:
        return default
    kind, count, value = tags[code]
    if count != 1 or kind not in (SHORT, LONG) or (values is not None and int(value) not in values):
        return None
    return int(value)


def _text(tags: Tags, code: int) -> str | None:
    """The text of a tag, empty where it is absent; None where it is no text."""
    if code not in tags:
        return ""
    kind, _, value = tags[code]
    return value.rstrip("\0 ") if kind == ASCII and isinstance(value, str) and value.isascii() else None


def _number(text: str) -> float | None:
    if text.strip().lower() == "nan":
        return math.nan
    return float(text) if NUMBER.fullmatch(text) else None


def _exact(value: float, dtype: np.dtype) -> bool:
    """Whether a type holds a value as it is: GDAL rounds and clamps others, each version in its way."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return math.isnan(value) or float(dtype.type(value)) == value
    limits = np.iinfo(dtype)
    return math.isfinite(value) and value == int(value) and limits.min <= value <= limits.max


def _tables(
    path: str, tags: Tags, shape: tuple[int, int], block: tuple[int, int], dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray] | None:
    """Offsets and byte counts of the blocks, where all lie within the file."""
    size = block[0] * block[1] * dtype.itemsize
    if (
        min(*shape, *block) <= 0
        or block[0] % TILE_MULTIPLE
        or block[1] % TILE_MULTIPLE
        or size > LARGEST_BLOCK
    ):
        return None
    number = -(-shape[0] // block[0]) * -(-shape[1] // block[1])
    found = []
    for code in BLOCK_TABLES:
        kind, count, value = tags.get(code, (0, 0, ()))
        if kind not in (SHORT, LONG, LONG8) or count != number:
            return None
        found.append(np.asarray(value, np.uint64).reshape(-1))
    offsets, counts = found
    end = Path(path).stat().st_size
    absent = (offsets == 0) & (counts == 0)
    whole = (offsets >= 8) & (offsets < end) & (counts > 0) & (counts < 2 * size + ROOM)
    whole &= counts <= end - np.minimum(offsets, end)
    if not (absent | whole).all():
        return None
    return offsets.astype(np.int64), counts.astype(np.int64)


def _grid(tags: Tags, shape: tuple[int, int]) -> GeoBox | None:
    """The grid, where it is north-up, tied at its corner, and named by a projected EPSG code in metres."""
    scale, tie = (_doubles(tags, code, count) for code, count in ((33550, 3), (33922, 6)))
    epsg = _epsg(tags)
    if scale is None or tie is None or epsg is None or 34264 in tags or tie[0] or tie[1]:
        return None
    if not (scale[0] > 0 and scale[1] > 0):
        return None
    return GeoBox(shape, Affine(scale[0], 0, tie[3], 0, -scale[1], tie[4]), f"EPSG:{epsg}")


def _doubles(tags: Tags, code: int, count: int) -> tuple[float, ...] | None:
    kind, found, value = tags.get(code, (0, 0, ()))
    if kind != DOUBLE or found != count or not all(math.isfinite(number) for number in value):
        return None
    return tuple(value)


def _epsg(tags: Tags) -> int | None:
    """EPSG code of a projected system that the geographic keys name, and nothing beside it."""
    kind, count, value = tags.get(34735, (0, 0, ()))
    keys = np.asarray(value, np.int64).reshape(-1)
    if kind != SHORT or count < 4 or count % 4 or keys[0] != 1 or keys[1] != 1 or keys[3] != count // 4 - 1:
        return None
    named = {int(key): (int(place), int(number)) for key, place, _, number in keys.reshape(-1, 4)[1:]}
    texts = {key for key, (place, _) in named.items() if place == 34737}
    numbers = {key: number for key, (place, number) in named.items() if place == 0}
    expected = {1024: 1, 1025: 1, 2054: DEGREE, 3076: METRE}
    if len(texts) + len(numbers) != count // 4 - 1 or not texts <= {1026, 2049, 3073}:
        return None
    if "ESRI" in str(tags.get(34737, (0, 0, ""))[2]) or 1024 not in numbers or 3072 not in numbers:
        return None
    if any(numbers[key] != expected.get(key) for key in numbers if key != 3072):
        return None
    return _projected(numbers[3072])


@cache
def _projected(code: int) -> int | None:
    crs = CRS.from_epsg(code)
    return code if crs.is_projected and not crs.is_compound and len(crs.axis_info) == 2 else None


def read_blocks(
    layout: Layout,
    rows: slice,
    columns: slice,
    touched: np.ndarray | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Raw pixels `(y, x)` of a window.

    Parameters
    ----------
    touched
        bool (block row, block column) of the whole file: blocks that are False are not read, their
        pixels are zero.

    Raises
    ------
    ImageryError
        Where a block cannot be read whole or decoded.
    """
    height, width = layout.block
    across = -(-layout.shape[1] // width)
    if out is None:
        out = np.zeros((rows.stop - rows.start, columns.stop - columns.start), layout.dtype)
    handle = os.open(layout.path, os.O_RDONLY)
    try:
        for row in range(rows.start // height, -(-rows.stop // height)):
            for column in range(columns.start // width, -(-columns.stop // width)):
                if touched is None or touched[row, column]:
                    pixels = _decode(layout, handle, row * across + column)
                    _place(pixels, row * height, column * width, rows, columns, layout.differences, out)
    finally:
        os.close(handle)
    return out


def _place(
    pixels: np.ndarray, top: int, left: int, rows: slice, columns: slice, differences: bool, out: np.ndarray
) -> None:
    """Copy a block's part that lies in the window, undoing horizontal differences on the way."""
    r0, r1 = max(rows.start, top), min(rows.stop, top + pixels.shape[0])
    c0, c1 = max(columns.start, left), min(columns.stop, left + pixels.shape[1])
    target = out[r0 - rows.start : r1 - rows.start, c0 - columns.start : c1 - columns.start]
    if differences:
        _undo(pixels[r0 - top : r1 - top], c0 - left, target)
    else:
        target[:] = pixels[r0 - top : r1 - top, c0 - left : c1 - left]


@njit(nogil=True, cache=True)
def _undo(pixels: np.ndarray, skip: int, out: np.ndarray) -> None:
    """Running sums along rows, wrapping as the type does; the first `skip` columns are summed but not
    kept."""
    for row in range(out.shape[0]):
        total = pixels[row, 0]
        for column in range(1, skip + 1):
            total += pixels[row, column]
        out[row, 0] = total
        for column in range(1, out.shape[1]):
            total += pixels[row, skip + column]
            out[row, column] = total


def _decode(layout: Layout, handle: int, index: int) -> np.ndarray:
    """One block as stored, decompressed; differences not yet undone."""
    import imagecodecs

    count = int(layout.counts[index])
    size = layout.block[0] * layout.block[1] * layout.dtype.itemsize
    if count == 0:
        blank = np.full(layout.block, layout.sparse_value).astype(layout.dtype)
        return np.diff(blank, axis=1, prepend=blank.dtype.type(0)) if layout.differences else blank
    data = os.pread(handle, count, int(layout.offsets[index])) if count < 2 * size + 65536 else b""
    if len(data) != count:
        raise ImageryError(f"{layout.path} is damaged: block {index} is cut short; download it again.")
    if layout.compression == PLAIN:
        buffer = np.frombuffer(data, np.uint8)
    else:
        buffer = np.empty(size, np.uint8)
        decode: Any = imagecodecs.zstd_decode if layout.compression == ZSTD else imagecodecs.deflate_decode
        try:
            found = decode(data, out=buffer)
        except (RuntimeError, ValueError) as error:
            raise ImageryError(
                f"{layout.path} is damaged: block {index} does not decode ({error})."
            ) from error
        buffer = buffer[: len(found)]
    if len(buffer) != size:
        raise ImageryError(f"{layout.path} is damaged: block {index} holds {len(buffer)} bytes of {size}.")
    return buffer.view(layout.dtype).reshape(layout.block)
