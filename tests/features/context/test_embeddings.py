"""Embeddings of the season's year become a block of context: by raster, or by table of vectors."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
import pytest
import rasterio
import shapely
from affine import Affine

from features.context.embeddings import parcel_embeddings
from features.context.options import EmbeddingOptions, check_year
from features.errors import ConfigError

PARCELS = gpd.GeoDataFrame(
    {"parcel_id": ["007", "8"]},
    geometry=[shapely.box(0, 0, 20, 20), shapely.box(100, 0, 110, 10)],
    crs=32631,
)


def raster(path: Path, **tags: str) -> Path:
    """Two bands of 4 x 2 pixels of 10 m over the first parcel: 1 and 3 beside each other, 5 everywhere."""
    profile = {"driver": "GTiff", "width": 4, "height": 2, "count": 2, "dtype": "float32", "crs": 32631,
               "transform": Affine(10, 0, 0, 0, -10, 20), "nodata": -128.0}  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.write(np.array([[[1, 3, 9, 9]] * 2, [[5, 5, 5, -128]] * 2], np.float32))
        file.update_tags(**tags)
    return path


def test_a_raster_is_averaged_over_parcels(tmp_path: Path) -> None:
    found = parcel_embeddings(PARCELS, EmbeddingOptions(path=raster(tmp_path / "e.tif"), year=2024))
    assert found.rows() == [("007", 2.0, 5.0), ("8", None, None)]
    assert found.columns == ["parcel_id", "embedding_00", "embedding_01"]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_table_of_vectors(tmp_path: Path, suffix: str) -> None:
    table = pl.DataFrame({"id": ["007", "007", "9"], "year": [2024, 2023, 2024], "A00": [0.5, 9.0, 1.0],
                          "name": ["a", "b", "c"]})  # fmt: skip
    path = tmp_path / f"vectors.{suffix}"
    table.write_parquet(path) if suffix == "parquet" else table.write_csv(path)
    found = parcel_embeddings(PARCELS, EmbeddingOptions(path=path, year=2024, parcel="id"))
    assert found.rows() == [("007", 0.5), ("8", None)]


def test_decimal_commas_are_read_and_text_among_numbers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.csv"
    path.write_text("id;A00;name\n007;0,5;a\n8;NA;b\n")
    options = EmbeddingOptions(path=path, year=2024, parcel="id")
    assert parcel_embeddings(PARCELS, options).rows() == [("007", 0.5), ("8", None)]
    path.write_text("id;A00\n007;0,5\n8;0,5?\n")
    with pytest.raises(ConfigError, match=r"text among the numbers of 'A00', first '0,5\?'"):
        parcel_embeddings(PARCELS, options)


def test_another_year_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is of 2023 by its year in the config, and the season is 2024"):
        check_year(EmbeddingOptions(path=Path("e.tif"), year=2023), 2024, in_season=False)
    with pytest.raises(ConfigError, match="is of 2022 by its name"):
        check_year(EmbeddingOptions(path=Path("aef_2022_31N.tif"), year=2024), 2024, in_season=False)
    with pytest.raises(ConfigError, match="by its tag"):
        parcel_embeddings(PARCELS, EmbeddingOptions(path=raster(tmp_path / "e.tif", year="2021"), year=2024))
    check_year(EmbeddingOptions(path=Path("aef_2024.tif"), year=2024), 2024, in_season=False)


def test_a_whole_years_sum_is_not_known_in_season() -> None:
    with pytest.raises(ConfigError, match=r"beyond season\.until"):
        check_year(EmbeddingOptions(path=Path("e.tif"), year=2024), 2024, in_season=True)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"parcel_id": ["77"], "A": [1.0]}, "has none of the 2 parcels"),
        ({"parcel_id": ["007", "007"], "A": [1.0, 2.0]}, "several vectors, first '007'"),
        ({"fid": ["007"], "A": [1.0]}, "no column 'parcel_id'"),
        ({"parcel_id": ["007"], "A": ["x"]}, "0 columns of numbers"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, table: dict[str, list[object]], said: str) -> None:
    path = tmp_path / "vectors.parquet"
    pl.DataFrame(table).write_parquet(path)
    with pytest.raises(ConfigError, match=said):
        parcel_embeddings(PARCELS, EmbeddingOptions(path=path, year=2024))
