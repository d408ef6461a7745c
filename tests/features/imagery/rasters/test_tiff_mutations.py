"""Damaged TIFFs, with fixed seeds: each is read as GDAL reads it, or refused in a sentence."""

import contextlib
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile

from features.errors import ImageryError
from features.imagery.rasters.header import header_of
from features.imagery.windows import read_window
from tests.small_imagery import write_tif

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]
RANDOM = 40  # mutations of each kind of file
NUMBERS = (0, 2, 3, 15, 32, 32768, 65535, 2**32 - 1, 2**63)
KINDS: dict[str, dict[str, Any]] = {
    "deflate": {"compress": "deflate"},
    "predictor": {"compress": "deflate", "predictor": 2},
    "zstd": {"compress": "zstd", "predictor": 2, "dtype": "int16"},
    "plain": {"compress": "none"},
    "big": {"compress": "deflate", "BIGTIFF": "YES", "dtype": "uint8"},
    "float": {"compress": "deflate", "dtype": "float32", "nodata": -9999.0},
    "sparse": {"compress": "deflate", "SPARSE_OK": "TRUE", "nodata": 7},
    "degrees": {"compress": "deflate", "crs": "EPSG:4326"},
}


def make(folder: Path, kind: str) -> bytes:
    options = dict(KINDS[kind])
    values = np.random.default_rng(5).integers(0, 120, (70, 90)).astype(options.pop("dtype", "uint16"))
    if kind == "sparse":
        values[:32] = options["nodata"]
    return write_tif(folder / f"{kind}.tif", values, **options).read_bytes()


def by_gdal(path: Path) -> np.ndarray | None:
    """Pixels as GDAL gives them, NaN where the file's mask hides one; None where it refuses."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(path, driver="GTiff") as raster:
                raw = raster.read(1)
                masked = {rasterio.enums.MaskFlags.per_dataset, rasterio.enums.MaskFlags.alpha}
                if masked & set(raster.mask_flag_enums[0]):
                    return np.where(raster.read_masks(1) > 0, raw, np.float32(np.nan)).astype(np.float32)
                return raw
    except Exception:
        return None


def outcome(path: Path) -> str:
    """What became of a file: `read` as GDAL does, `refused`, or how the two differ."""
    try:
        ours = read_window(str(path))
    except ImageryError as error:
        assert error.reason
        return "refused"
    theirs = by_gdal(path)
    if theirs is None:
        return "read though GDAL refuses it"
    same = ours.shape == theirs.shape and ours.dtype == theirs.dtype
    return (
        "read" if same and np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f") else "other pixels"
    )


def said_by_gdal(path: Path) -> tuple[Any, ...] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, driver="GTiff") as raster:
            return tuple(raster.transform)[:6], raster.shape, raster.nodata


def check(folder: Path, name: str, data: bytes) -> str:
    path = folder / f"{name}.tif"
    path.write_bytes(data)
    found = outcome(path)
    assert found in {"read", "refused"}, f"{path}: {found}"
    if found == "read":
        header = header_of(str(path))
        transform, shape, nodata = said_by_gdal(path) or ((), (), None)
        assert tuple(header.grid.affine)[:6] == pytest.approx(transform)
        assert tuple(header.grid.shape) == shape
        if header.layout is not None and nodata is not None and np.isfinite(nodata):
            assert header.nodata == pytest.approx(nodata)
    path.unlink()
    return found


def spots(data: bytes, folder: Path) -> list[int]:
    """Bytes of the directory, of its tables and of the header."""
    path = folder / "spots.tif"
    path.write_bytes(data)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        entries = range(page.offset, page.offset + 2 + len(page.tags) * tiff.tiff.tagsize + 8)
        tables = [
            at for tag in page.tags for at in range(tag.valueoffset, tag.valueoffset + min(tag.count * 8, 64))
        ]
    return [at for at in (*range(16), *entries, *tables) if at < len(data)]


@pytest.mark.parametrize("kind", KINDS)
def test_random_bytes_of_the_header(tmp_path: Path, kind: str) -> None:
    data, rng = make(tmp_path, kind), np.random.default_rng(list(KINDS).index(kind))
    places, found = spots(data, tmp_path), []
    for number in range(RANDOM):
        damaged = bytearray(data)
        for at in rng.choice(places, int(rng.integers(1, 4))):
            damaged[int(at)] = int(rng.integers(256))
        found.append(check(tmp_path, f"{number}", bytes(damaged)))
    assert {"read", "refused"} <= set(found)


@pytest.mark.parametrize("kind", KINDS)
def test_random_bytes_anywhere_and_cut_ends(tmp_path: Path, kind: str) -> None:
    data, rng = make(tmp_path, kind), np.random.default_rng(100 + list(KINDS).index(kind))
    for number in range(RANDOM):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), 2):
            damaged[int(at)] = int(rng.integers(256))
        stop = len(data) if number % 3 else int(rng.integers(1, len(data)))
        check(tmp_path, f"{number}", bytes(damaged[:stop]))


def designed(data: bytes, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Each tag of the first directory with odd types, counts and values."""
    path = folder / "designed.tif"
    path.write_bytes(data)
    with tifffile.TiffFile(path) as tiff:
        big = tiff.is_bigtiff
        tags = [
            (tag.code, tag.offset, tag.valueoffset, int(tag.dtype), tag.count) for tag in tiff.pages[0].tags
        ]
    count_at, count_code, size = (4, "<Q", 8) if big else (4, "<I", 4)
    for code, offset, value, kind, count in tags:
        for odd in (1, 4, 12, 99):
            yield f"{code}-type-{odd}", replaced(data, offset + 2, struct.pack("<H", odd))
        for odd in (0, count + 1, 2**31):
            yield f"{code}-count-{odd}", replaced(data, offset + count_at, struct.pack(count_code, odd))
        code_of = {1: "<B", 3: "<H", 4: "<I", 16: "<Q"}.get(kind)
        for odd in NUMBERS if code_of else ():
            raw = struct.pack("<Q", odd)[: struct.calcsize(str(code_of))]
            yield f"{code}-value-{odd}", replaced(data, value, raw)
        for number in (0.0, -10.0, np.nan, np.inf) if kind == 12 else ():
            for place in range(min(count, 6)):
                yield f"{code}-{place}-{number}", replaced(data, value + 8 * place, struct.pack("<d", number))
        yield f"{code}-dropped", replaced(data, offset, struct.pack("<H", 65000))
        yield f"{code}-far", replaced(data, offset + count_at + size, struct.pack("<I", 2**31))


def replaced(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


@pytest.mark.parametrize("kind", ["predictor", "big", "sparse", "degrees"])
def test_tags_of_odd_types_counts_and_values(tmp_path: Path, kind: str) -> None:
    found = [check(tmp_path, name, data) for name, data in designed(make(tmp_path, kind), tmp_path)]
    assert {"read", "refused"} <= set(found)
    assert len(found) > 98


@pytest.mark.parametrize("text", ["-9999", "70000", "1e400", "abc", "1_0", "0x10", " 7 ", "7.5", "nan", ""])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_odd_nodata_of_sparse_files(tmp_path: Path, text: str, dtype: str) -> None:
    """GDAL rounds and clamps what a type cannot hold: blocks that a file leaves out hold its result."""
    path = tmp_path / "a.tif"
    shape = {"height": 64, "width": 64, "count": 1, "tiled": True, "blockxsize": 16, "blockysize": 16}
    with rasterio.open(
        path, "w", driver="GTiff", SPARSE_OK=True, crs="EPSG:32635", nodata=77, dtype=dtype,
        transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6), compress="deflate", **shape,
    ) as raster:  # fmt: skip
        raster.write(np.full((16, 16), 5, dtype), 1, window=((0, 16), (0, 16)))
    data = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].tags[42113]
    assert tag.count <= 4
    new = text.encode()[: tag.count - 1].ljust(tag.count, b"\0") if len(text) < 4 else text.encode() + b"\0"
    if len(new) > 4:
        at = len(data)
        data = replaced(data, tag.offset + 4, struct.pack("<II", len(new), at)) + new
    else:
        data = replaced(data, tag.offset + 4, struct.pack("<I", len(new)) + new.ljust(4, b"\0"))
    check(tmp_path, "odd", data)


def tag_of(data: bytes, folder: Path, code: int) -> tuple[int, int]:
    """Where the entry of a tag lies, and where its value does."""
    path = folder / "tag.tif"
    path.write_bytes(data)
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].tags[code]
        return tag.offset, tag.valueoffset


def short(data: bytes, folder: Path, code: int, value: int) -> bytes:
    return replaced(data, tag_of(data, folder, code)[1], struct.pack("<H", value))


def predictor_without_compression(folder: Path) -> bytes:
    """PlanarConfiguration, whose default is the same, makes room for Predictor."""
    entry, value = tag_of(make(folder, "plain"), folder, 284)
    return replaced(
        replaced(make(folder, "plain"), entry, struct.pack("<H", 317)), value, struct.pack("<H", 2)
    )


def unknown_epsg(folder: Path) -> bytes:
    data = make(folder, "deflate")
    key = struct.pack("<HHHH", 3072, 0, 1, 32635)
    assert data.count(key) == 1
    return data.replace(key, struct.pack("<HHHH", 3072, 0, 1, 59999))


def scale(place: int, number: float) -> Callable[[Path], bytes]:
    def made(folder: Path) -> bytes:
        data = make(folder, "deflate")
        return replaced(data, tag_of(data, folder, 33550)[1] + 8 * place, struct.pack("<d", number))

    return made


def nowhere(code: int, kind: str = "big", number: int = 2**63) -> Callable[[Path], bytes]:
    def made(folder: Path) -> bytes:
        data = make(folder, kind)
        return replaced(data, tag_of(data, folder, code)[1], struct.pack("<Q", number))

    return made


def count_of_zero(code: int) -> Callable[[Path], bytes]:
    def made(folder: Path) -> bytes:
        data = make(folder, "deflate")
        return replaced(data, tag_of(data, folder, code)[0] + 4, struct.pack("<I", 0))

    return made


NAMED: dict[str, tuple[Callable[[Path], bytes], set[str]]] = {
    "predictor without compression": (predictor_without_compression, {"read"}),  # libtiff does not undo it
    "planar configuration 3": (lambda folder: short(make(folder, "deflate"), folder, 284, 3), {"refused"}),
    "planar configuration 0": (lambda folder: short(make(folder, "deflate"), folder, 284, 0), {"refused"}),
    "offset of 2^63": (nowhere(324), {"refused"}),
    "byte count of 2^63": (nowhere(325), {"refused"}),
    "offset beyond the end": (nowhere(324, number=2**40), {"refused"}),
    **{f"scale {place} is {number}": (scale(place, number), {"read", "refused"})
       for place in (0, 1) for number in (0.0, np.nan, np.inf, -np.inf, -10.0)},
    **{f"count 0 of {code}": (count_of_zero(code), {"read", "refused"})
       for code in (256, 257, 258, 259, 322, 324, 325, 33550, 33922, 34735)},
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_named_mutations(tmp_path: Path, name: str) -> None:
    """Read as GDAL reads it, place and all, or refused; `check` compares."""
    made, expected = NAMED[name]
    data = made(tmp_path)
    assert check(tmp_path, "named", data) in expected


def test_no_header_that_is_read_has_a_grid_that_is_none(tmp_path: Path) -> None:
    for number in (0.0, np.nan, np.inf):
        path = tmp_path / "a.tif"
        path.write_bytes(scale(1, number)(tmp_path))
        with contextlib.suppress(ImageryError):
            affine = header_of(str(path)).grid.affine
            assert np.isfinite(tuple(affine)).all() and affine.determinant


def test_an_unknown_code_of_a_coordinate_system_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(unknown_epsg(tmp_path))
    with pytest.raises(ImageryError, match="a local or vertical system") as refused:
        header_of(str(path))
    assert refused.value.reason == "no_crs"
