"""Limits on what files and catalogs of other people may declare or unpack to before they are read."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from features.errors import ConfigError
from features.options import Options

MIB, GIB, MILLION = 2**20, 2**30, 1_000_000


class LimitOptions(Options):
    """Limits of files and catalogs; beyond them they are refused or set aside with a sentence."""

    document_mib: int = Field(
        512, ge=1, description="MiB of one document of a catalog, and what one packed document may unpack to."
    )
    catalog_depth: int = Field(12, ge=1, le=500, description="Catalogs within catalogs.")
    catalog_requests: int = Field(
        100_000,
        ge=1,
        description="Requests (documents, pages) that one reading of a catalog over http may take.",
    )
    map_megavalues: float = Field(
        500,
        gt=0,
        description="Million values in one map of a NetCDF or HDF5 file. A Sentinel-2 tile has 121.",
    )
    tile_megavalues: float = Field(
        200, gt=0, description="Million values in one labelled tile of a cloud mask."
    )
    set_megavalues: float = Field(
        100,
        gt=0,
        description="Million values in one array of a public labelled set. A patch of Sen4AgriNet has 20.",
    )
    table_gib: float = Field(
        8.0, gt=0, description="GiB that a table in Parquet which is read whole may unpack to."
    )
    series_gib: float = Field(
        256.0, gt=0, description="GiB that tables of series in Parquet, read in chunks, may unpack to."
    )


DEFAULT_LIMITS = LimitOptions()
PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"x\x01", b"x\x9c", b"x\xda", b"BZh", b"\xfd7zXZ", b"PK\x03\x04")
ROWS_AT_ONCE = 4096
WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}


def refuse_large_tables(paths: Iterable[Path], most_gib: float, setting: str) -> None:
    """Refuse tables in Parquet that would unpack to more than is allowed, before they are read.

    Numbers are counted as the file declares them. A dictionary says a text once and repeats it by number:
    such columns are read part by part, and no further than the limit.

    Raises
    ------
    ConfigError
        Naming the file and `setting`. A file that is no Parquet is left to who reads it.
    """
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    counted, most = 0, int(most_gib * GIB)
    for path in paths:
        try:
            with ParquetFile(path) as file:
                for size in _sizes(file, counted):
                    counted = size
                    if size > most:
                        raise ConfigError(
                            f"{path} unpacks to more than {most_gib:g} GiB; raise {setting} if it is right."
                        )
        except (ArrowException, OSError):
            continue


def refuse_packed(path: Path) -> Path:
    """Return the path of a text table; raise a ConfigError where it is packed: it could unpack to anything.

    Libraries unpack gzip, zlib and Zstandard without being asked.
    """
    with path.open("rb") as handle:
        packed = handle.read(4).startswith(PACKED)
    if packed:
        raise ConfigError(f"{path} is packed; unpack it and name the file inside.")
    return path


def _sizes(file: Any, size: int) -> Iterator[int]:
    """Yield what was counted so far, in bytes, beginning with `size`."""
    for group in range(file.metadata.num_row_groups):
        texts = []
        for position in range(file.metadata.num_columns):
            column = file.metadata.row_group(group).column(position)
            if column.physical_type in WIDTHS:
                size += column.num_values * WIDTHS[column.physical_type]
            elif column.has_dictionary_page:
                texts.append(column.path_in_schema)
            else:
                size += max(column.total_uncompressed_size, column.num_values)
            yield size
        for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=texts) if texts else ():
            size += batch.nbytes
            yield size
