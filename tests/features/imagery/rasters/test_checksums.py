"""Which images carry checksums: those in which a flipped byte is noticed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.errors import ImageryError
from features.imagery.rasters.checksums import has_checksums
from features.imagery.rasters.header import layout_of
from features.imagery.windows import read_window
from tests.small_imagery import write_tif

VALUES = np.random.default_rng(7).integers(0, 4000, (64, 64)).astype("uint16")


@pytest.mark.parametrize(
    ("options", "carried"),
    [
        ({"compress": "deflate"}, True),
        (
            {"compress": "deflate", "interleave": "band", "tiled": False, "blockysize": 64},
            True,
        ),
        ({"compress": "zstd"}, False),  # as GDAL writes it
        ({"compress": "none"}, False),
        ({"compress": "lzw"}, False),
    ],
)
def test_what_is_said_to_carry_checksums_notices_a_flipped_byte(
    tmp_path: Path, options: dict[str, Any], carried: bool
) -> None:
    path = write_tif(tmp_path / "a.tif", VALUES, **options)
    assert has_checksums(str(path)) is carried
    if carried:
        content = bytearray(path.read_bytes())
        content[-200] ^= 1  # in the last block
        path.write_bytes(content)
        with pytest.raises(ImageryError):
            read_window(str(path))


@pytest.mark.parametrize("checksum", [True, False])
def test_zstandard_with_and_without(tmp_path: Path, checksum: bool) -> None:
    magic, single_segment, with_checksum = bytes.fromhex("28b52ffd"), 0x60, 0x04  # RFC 8878, 3.1.1
    header = magic + bytes([single_segment | (with_checksum if checksum else 0)])
    path = write_tif(tmp_path / "a.tif", VALUES, compress="zstd")
    layout = layout_of(str(path))
    assert layout is not None
    content = bytearray(path.read_bytes())
    at = int(layout.offsets[0])
    content[at : at + 5] = header
    path.write_bytes(content)
    assert has_checksums(str(path)) is checksum
