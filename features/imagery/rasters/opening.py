"""Which rasters may be opened, and how."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from features.catalog.access.hrefs import without_secrets
from features.catalog.access.reach import final_address
from features.catalog.access.signing import openable, renew
from features.errors import ImageryError
from features.storage.siblings import beside_raster

# The formats imagery comes in. A VRT is refused whatever its name is: it can point at any file or address.
DRIVERS = ("GTiff", "JP2OpenJPEG")
# Bytes of one decoded block: a reader holds at least one, and an untiled file may declare one of any size.
LARGEST_BLOCK = 1 << 28
ENVIRONMENT = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "1",
}
# What a damaged or hostile file may bring out of GDAL and its Python binding.
FAULTS = (RasterioError, CPLE_BaseError, ValueError, OverflowError, MemoryError)

warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)  # such a file is refused in a sentence


def source_of(href: str) -> str:
    """What GDAL is given for an asset's address.

    Raises
    ------
    ImageryError
        For any `/vsi…` path but object storage (the catalog decides whether that is allowed), and for an
        http(s) address that is redirected to a private one.
    """
    href = openable(href)
    if href.startswith(("http://", "https://")):
        return f"/vsicurl/{final_address(href)}"
    if href.startswith("/vsi") and not href.startswith("/vsis3/"):
        raise ImageryError(f"{href} is a GDAL virtual path; give plain files, http(s) or s3 addresses.")
    return href


@contextmanager
def open_raster(href: str) -> Iterator["rasterio.DatasetReader"]:
    """Open a raster read-only with an allowed driver.

    Raises
    ------
    ImageryError
        Where it cannot be opened or read, is of a format that is not allowed, or declares a block of more
        than `LARGEST_BLOCK` bytes.
    """
    source = source_of(href)
    if not source.startswith("/vsi") and not Path(source).is_file():
        raise ImageryError(
            f"{href} does not exist; download it again or correct the catalog.", reason="missing_file"
        )
    try:
        with rasterio.Env(**_environment(source)), _reader(href, source) as raster:
            _check(href, raster)
            yield raster
    except FAULTS as error:
        raise ImageryError(f"{href} cannot be read ({_last(error)}); download it again.") from error


def _reader(href: str, source: str) -> "rasterio.DatasetReader":
    """Open a raster; once more with a fresh token where the one before may have ended before its time."""
    try:
        return DatasetReader(source, driver=list(DRIVERS))
    except RasterioError:
        if not renew(href):
            raise
        return DatasetReader(source_of(href), driver=list(DRIVERS))


def _environment(source: str) -> dict[str, str]:
    looked = not source.startswith("/vsi") and any(path.is_file() for path in beside_raster(source))
    return {**ENVIRONMENT, "GDAL_DISABLE_READDIR_ON_OPEN": "FALSE"} if looked else ENVIRONMENT


def _check(href: str, raster: "rasterio.DatasetReader") -> None:
    if not raster.count or np.dtype(raster.dtypes[0]).kind not in "uif":
        raise ImageryError(f"{href} has no band of real numbers; it is no image of reflectance or radar.")
    height, width = raster.block_shapes[0]
    tiled = width != raster.width  # a strip is as wide as the raster
    if raster.driver == "GTiff" and tiled and (height % 16 or width % 16):
        raise ImageryError(
            f"{href} has tiles of {height} x {width} pixels, no multiples of 16: it is damaged."
        )
    if height * width * np.dtype(raster.dtypes[0]).itemsize > LARGEST_BLOCK:
        raise ImageryError(
            f"{href} is stored in blocks of {height} x {width} pixels, too large to read; write it as a "
            "tiled GeoTIFF (gdal_translate -of COG).",
            reason="too_large",
        )


def _last(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__
    return without_secrets(" ".join(str(cause or error).split())) or type(error).__name__
