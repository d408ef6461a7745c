"""Yearly embeddings of each parcel: a raster of many bands, averaged over it, or a table of vectors."""

import re

import geopandas as gpd
import numpy as np
import polars as pl

from features.context.options import EmbeddingOptions
from features.context.parcels import raster_statistics
from features.declarations.cells.numbers import NO_VALUE, read_numbers
from features.declarations.formats.text_table import read_text_table
from features.errors import ConfigError
from features.files import read_parquet
from features.imagery.rasters.opening import open_raster

PREFIX = "embedding_"
TABLES = (".parquet", ".pq", ".geoparquet", ".csv", ".txt", ".tsv")
PARQUET = TABLES[:3]
MOST = 4096  # numbers in a vector


def check_file(options: EmbeddingOptions) -> None:
    """Raise a ConfigError where there is no such file, or a raster's tag `year` is of another year."""
    if not options.path.is_file():
        raise ConfigError(f"embeddings: there is no file {options.path}; mend its path or leave it out.")
    if _is_table(options):
        options.path.open("rb").close()  # a file that may not be read is reported before a run
        return
    with open_raster(str(options.path)) as raster:
        tagged = raster.tags().get("year")
    if tagged and tagged != str(options.year):
        raise ConfigError(f"embeddings: {options.path} is of {tagged} by its tag, not of {options.year}.")


def _is_table(options: EmbeddingOptions) -> bool:
    return options.path.suffix.lower() in TABLES


def parcel_embeddings(declarations: gpd.GeoDataFrame, options: EmbeddingOptions) -> pl.DataFrame:
    """Return `parcel_id` and `embedding_00, …`, one row a parcel in order; null where nothing is known.

    Raises
    ------
    ConfigError
        Where the file is missing, of another year, no parcel of it is declared, or a parcel has two vectors.
    """
    check_file(options)
    is_table = _is_table(options)
    found = _of_table(options) if is_table else _of_raster(declarations, options)
    wanted = pl.DataFrame({"parcel_id": declarations["parcel_id"].astype(str).to_list()})
    joined = wanted.join(found, on="parcel_id", how="left", maintain_order="left")
    if joined.select(pl.all_horizontal(pl.exclude("parcel_id").is_null()).all()).item():
        raise ConfigError(
            f"embeddings: {options.path} has none of the {wanted.height} parcels; check where it lies"
            + (", and its column of ids." if is_table else ".")
        )
    return joined


def _of_raster(declarations: gpd.GeoDataFrame, options: EmbeddingOptions) -> pl.DataFrame:
    with open_raster(str(options.path)) as raster:
        bands = int(raster.count)
    rows = raster_statistics(declarations, options.path, ["mean"])
    keys = ["mean"] if bands == 1 else [f"band_{band}_mean" for band in range(1, bands + 1)]
    columns = {name: [row.get(key) for row in rows] for name, key in zip(_names(bands), keys, strict=True)}
    ids = declarations["parcel_id"].astype(str).to_list()
    table = pl.DataFrame({"parcel_id": ids, **columns}, strict=False)
    return table.with_columns(pl.exclude("parcel_id").cast(pl.Float64).fill_nan(None))


def _of_table(options: EmbeddingOptions) -> pl.DataFrame:
    parquet = options.path.suffix.lower() in PARQUET
    table = read_parquet(options.path) if parquet else read_text_table(options.path)
    if options.parcel not in table.columns:
        raise ConfigError(
            f"embeddings: {options.path} has no column {options.parcel!r} of parcel ids; it has "
            f"{', '.join(table.columns[:20])}. Name it as embeddings.parcel."
        )
    if "year" in table.columns:
        table = table.filter(pl.col("year").cast(pl.Int64, strict=False) == options.year)
        if table.is_empty():
            raise ConfigError(f"embeddings: {options.path} has no row of {options.year} in column `year`.")
    named = [name for name in table.columns if name not in (options.parcel, "year")]
    fitting = [name for name in named if re.fullmatch(options.columns, name)]
    read = {name: _numbers(table[name], options) for name in fitting}
    numbers = table.select(options.parcel, *(column for column in read.values() if column is not None))
    kept = [name for name in numbers.columns[1:] if numbers[name].null_count() < table.height]
    if not kept or len(kept) > MOST:
        raise ConfigError(
            f"embeddings: {options.path} has {len(kept)} columns of numbers by {options.columns!r}; a vector "
            f"has 1 to {MOST}."
        )
    renamed = numbers.select(
        pl.col(options.parcel).cast(pl.String).str.strip_chars().alias("parcel_id"),
        *(pl.col(old).fill_nan(None).alias(new) for old, new in zip(kept, _names(len(kept)), strict=True)),
    ).unique()
    if twice := renamed.filter(pl.col("parcel_id").is_duplicated())["parcel_id"].unique().sort().to_list():
        raise ConfigError(
            f"embeddings: {len(twice)} parcels of {options.path} have several vectors, first {twice[0]!r}; "
            "leave one of each."
        )
    return renamed


def _numbers(column: pl.Series, options: EmbeddingOptions) -> pl.Series | None:
    """Return a column as Float64, null where its cell is empty; None where it holds text alone."""
    numbers = column.cast(pl.Float64, strict=False)
    if column.dtype != pl.String or numbers.null_count() == column.null_count():
        return numbers
    found = read_numbers(column.to_pandas())
    unread = [text for text in found.unread if text and text.lower() not in NO_VALUE]
    if np.isnan(found.values).all():
        return None
    if unread:
        raise ConfigError(
            f"embeddings: {options.path} has text among the numbers of {column.name!r}, first {unread[0]!r}; "
            "mend it, or name the columns of the vector as embeddings.columns."
        )
    return pl.Series(column.name, found.values, pl.Float64).fill_nan(None)


def _names(count: int) -> list[str]:
    width = max(len(str(count - 1)), 2)
    return [f"{PREFIX}{number:0{width}d}" for number in range(count)]
