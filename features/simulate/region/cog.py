"""Cloud-optimised GeoTIFFs of one band, written directly: quick, threaded, and the same bytes every time.

GDAL's COG driver holds Python's lock while it compresses; here ZSTD blocks are compressed beside each other.
The layout is that of a COG: header, both directories, then the overview's blocks, then the image's.
"""

import struct
from pathlib import Path

import imagecodecs
import numpy as np
from affine import Affine

from features.files import atomic_path

BLOCK = 512
ZSTD = 50000  # TIFF compression tag registered by libtiff
_FORMATS = {
    np.dtype("uint8"): (8, 1),
    np.dtype("uint16"): (16, 1),
    np.dtype("int16"): (16, 2),
    np.dtype("float32"): (32, 3),
}


def write_cog(path: Path, values: np.ndarray, transform: Affine, epsg: int, nodata: float | None) -> Path:
    """Write a raster (y, x) with one overview (every second pixel, where it exceeds a block), atomically.

    Integers are predicted horizontally and compressed with ZSTD at level 1; floating point without
    prediction.
    """
    levels = [values, values[::2, ::2]] if max(values.shape) > BLOCK else [values]
    blocks = [_blocks(level) for level in levels]
    directories = [_directory(level, k, transform, epsg, nodata) for k, level in enumerate(levels)]
    with atomic_path(path) as partial:
        partial.write_bytes(_assemble(directories, blocks))
    return path


def _blocks(values: np.ndarray) -> list[bytes]:
    """Return the compressed blocks in row order; the last ones are padded by their edge."""
    padding = [(0, -size % BLOCK) for size in values.shape]
    padded = np.pad(values, padding, mode="edge")
    out = []
    for row in range(0, padded.shape[0], BLOCK):
        for column in range(0, padded.shape[1], BLOCK):
            block = np.ascontiguousarray(padded[row : row + BLOCK, column : column + BLOCK])
            if block.dtype.kind in "ui":
                block = imagecodecs.delta_encode(block, axis=1)
            out.append(bytes(imagecodecs.zstd_encode(block.tobytes(), level=1)))
    return out


def _directory(
    values: np.ndarray, level: int, transform: Affine, epsg: int, nodata: float | None
) -> dict[int, tuple[str, list]]:
    """Return the TIFF tags of one level, offsets and counts still missing."""
    bits, sample_format = _FORMATS[values.dtype]
    tags: dict[int, tuple[str, list]] = {
        254: ("I", [1 if level else 0]),
        256: ("I", [values.shape[1]]),
        257: ("I", [values.shape[0]]),
        258: ("H", [bits]),
        259: ("H", [ZSTD]),
        262: ("H", [1]),
        277: ("H", [1]),
        284: ("H", [1]),
        317: ("H", [2 if values.dtype.kind in "ui" else 1]),
        322: ("H", [BLOCK]),
        323: ("H", [BLOCK]),
        339: ("H", [sample_format]),
    }
    if level == 0:
        tags[33550] = ("d", [transform.a, -transform.e, 0.0])
        tags[33922] = ("d", [0.0, 0.0, 0.0, transform.c, transform.f, 0.0])
        # GeoTIFF 1.1 keys: projected, pixel is area, EPSG code
        tags[34735] = ("H", [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, epsg])
    if nodata is not None:
        tags[42113] = ("s", list(f"{nodata:g}\0".encode()))
    return tags


def _assemble(directories: list[dict[int, tuple[str, list]]], blocks: list[list[bytes]]) -> bytes:
    """Lay header, directories and blocks out and fill in where the blocks lie."""
    for tags, parts in zip(directories, blocks, strict=True):
        tags[324] = ("I", [0] * len(parts))
        tags[325] = ("I", [len(part) for part in parts])
    end = 8 + sum(_directory_size(tags) for tags in directories)
    for tags, parts in reversed(list(zip(directories, blocks, strict=True))):
        offsets = np.cumsum([end, *map(len, parts)])
        tags[324], end = ("I", [int(offset) for offset in offsets[:-1]]), int(offsets[-1])
    head, at = [struct.pack("<2sHI", b"II", 42, 8)], 8
    for k, tags in enumerate(directories):
        after = at + _directory_size(tags)
        head.append(_pack_directory(tags, at, after if k + 1 < len(directories) else 0))
        at = after
    return b"".join(head) + b"".join(b"".join(parts) for parts in reversed(blocks))


def _sizes(kind: str) -> tuple[int, int]:
    """Return TIFF type number and byte size of a struct code."""
    return {"s": (2, 1), "H": (3, 2), "I": (4, 4), "d": (12, 8)}[kind]


def _directory_size(tags: dict[int, tuple[str, list]]) -> int:
    extra = sum(
        _even(len(values) * _sizes(kind)[1])
        for kind, values in tags.values()
        if len(values) * _sizes(kind)[1] > 4
    )
    return 2 + 12 * len(tags) + 4 + extra


def _even(size: int) -> int:
    return size + size % 2


def _pack_directory(tags: dict[int, tuple[str, list]], at: int, following: int) -> bytes:
    """Return one directory's bytes, its long values after it."""
    entries, extra = [], b""
    beyond = at + 2 + 12 * len(tags) + 4
    for tag in sorted(tags):
        kind, values = tags[tag]
        number, _ = _sizes(kind)
        data = bytes(values) if kind == "s" else struct.pack(f"<{len(values)}{kind}", *values)
        if len(data) > 4:
            entries.append(struct.pack("<HHII", tag, number, len(values), beyond + len(extra)))
            extra += data + b"\0" * (len(data) % 2)
        else:
            entries.append(struct.pack("<HHI4s", tag, number, len(values), data.ljust(4, b"\0")))
    return struct.pack("<H", len(tags)) + b"".join(entries) + struct.pack("<I", following) + extra
