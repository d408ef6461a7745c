"""Whether an image carries checksums, so that bytes altered on the way are noticed when it is read."""

from pathlib import Path

from features.imagery.rasters.header import layout_of
from features.imagery.rasters.opening import open_raster
from features.imagery.rasters.tiff import DEFLATE, OLD_DEFLATE, ZSTD

FRAME_HEADER_BYTES = 5
CHECKSUM_BIT = 4  # of the frame header descriptor, RFC 8878, 3.1.1.1.1


def has_checksums(href: str) -> bool:
    """Whether the blocks of a raster carry a checksum that is verified as they are read.

    Those of DEFLATE do (Adler-32, RFC 1950); those of Zstandard where their writer asked for it; others, and
    blocks that are not compressed, do not. The header of an image has none in any format.

    Raises
    ------
    ImageryError
        Where the raster cannot be opened.
    """
    layout = layout_of(href)
    if layout is None:
        with open_raster(href) as raster:
            return str(raster.profile.get("compress", "")).lower() in ("deflate", "adobe_deflate")
    if layout.compression == ZSTD:
        stored = layout.counts.nonzero()[0]
        return len(stored) > 0 and _frame_has_checksum(Path(href), int(layout.offsets[stored[0]]))
    return layout.compression in (DEFLATE, OLD_DEFLATE)


def _frame_has_checksum(path: Path, offset: int) -> bool:
    with path.open("rb") as handle:
        handle.seek(offset)
        header = handle.read(FRAME_HEADER_BYTES)
    return len(header) == FRAME_HEADER_BYTES and bool(header[-1] & CHECKSUM_BIT)
