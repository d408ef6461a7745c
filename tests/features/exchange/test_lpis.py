"""Reference parcels from an agency's layer, and which declared parcel lies in which."""

import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import polars as pl
import pytest
from shapely.geometry import box

from features.exchange.cells import ExchangeError
from features.exchange.lpis import read_lpis, relate
from features.exchange.options import LpisOptions
from reports.exports.tables import write_lpis

CRS = 3035
X, Y = 4_000_000, 3_100_000


def layer(folder: Path, **columns: list[object]) -> Path:
    """Two reference parcels of a hectare side by side."""
    shapes = [box(X + 100 * k, Y, X + 100 * k + 100, Y + 100) for k in range(2)]
    path = folder / "blocks.gpkg"
    cells = columns or {"BLOCK": ["007", "008"], "AL": [0.5, 1.0]}
    gpd.GeoDataFrame(cells, geometry=shapes, crs=CRS).to_file(path, engine="pyogrio")
    return path


def declared() -> gpd.GeoDataFrame:
    """One parcel inside the first, one over both, one across the border by half a metre, one outside."""
    spans = {"a": (10, 60), "b": (80, 120), "c": (40, 100.5), "d": (300, 350)}
    shapes = [box(X + low, Y + 10, X + high, Y + 90) for low, high in spans.values()]
    return gpd.GeoDataFrame({"parcel_id": list(spans)}, geometry=shapes, crs=CRS)


def options(layer_at: Path, **more: object) -> LpisOptions:
    columns = {"lpis_rp_id": "BLOCK", "al_area": "AL"}
    return LpisOptions.model_validate({"path": layer_at, "code": "XX", "columns": columns, **more})


def test_columns_are_renamed_and_what_the_layer_lacks_stays_empty(tmp_path: Path) -> None:
    cells = read_lpis(options(layer(tmp_path))).cells
    assert cells.select("lpis_code", "lpis_rp_id", "al_area").rows() == [
        ("XX", "007", "0.5"), ("XX", "008", "1.0"),
    ]  # fmt: skip
    assert [float(area) for area in cells["tot_area"]] == pytest.approx([1, 1])  # from the geometry
    assert cells["pg_area"].to_list() == [None, None]


def test_a_parcel_is_related_to_every_reference_parcel_that_holds_a_share_of_it(tmp_path: Path) -> None:
    lpis = read_lpis(options(layer(tmp_path)))
    pairs = relate(declared(), lpis, 0.01).cells.select("gsa_par_id", "lpis_rp_id").rows()
    assert pairs == [("a", "007"), ("b", "007"), ("b", "008"), ("c", "007")]  # c: 0.8% of it is in 008
    assert ("c", "008") in relate(declared(), lpis, 0.0).cells.select("gsa_par_id", "lpis_rp_id").rows()


def test_tables_are_written_as_the_platform_takes_them_and_alike_each_time(tmp_path: Path) -> None:
    first = write_lpis(declared(), options(layer(tmp_path)), tmp_path / "one")
    again = write_lpis(declared(), options(tmp_path / "blocks.gpkg"), tmp_path / "two")
    assert [path.name for path in first] == ["lpis_population.gpkg", "gsa_lpis_relationship.csv"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    written = gpd.read_file(first[0])
    assert written.crs == 4326
    assert written["tot_area"].to_list() == ["1.0", "1.0"]
    related = pl.read_csv(first[1], separator=";", infer_schema=False)
    assert related.row(0) == ("XX", "007", "a")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"columns": {"lpis_rp_id": "BLOK"}}, "missing_column"),
        ({"columns": {"lpis_id": "BLOCK"}}, "columns"),
        ({"path": Path("absent.gpkg")}, "unreadable"),
    ],
)
def test_what_cannot_be_read_is_said_with_the_cure(
    more: dict[str, object], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ExchangeError, match=r"BLOCK|lpis_rp_id|absent") as caught:
        read_lpis(options(layer(tmp_path), **more))
    assert caught.value.reason == reason


@pytest.mark.timeout(20)
def test_what_runs_or_leads_elsewhere_is_no_layer(tmp_path: Path) -> None:
    path = layer(tmp_path)
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS fid, NULL AS g FROM n"
    )
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"CREATE VIEW seen AS {endless}")
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) "
            "VALUES ('seen', 'features', 'seen', 3035)"
        )
        database.execute("INSERT INTO gpkg_geometry_columns VALUES ('seen', 'g', 'POLYGON', 3035, 0, 0)")
        database.commit()
    with pytest.raises(ExchangeError, match=r"layer 'seen' of .* is a query"):
        read_lpis(options(path, layer="seen"))
    assert read_lpis(options(path)).cells.height == 2, "the table beside it is read"
    leads = tmp_path / "blocks.shp"
    leads.write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="blocks"><SrcDataSource>/vsicurl/http://169.254.169.254/a'
        "</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
    )
    with pytest.raises(ExchangeError, match="only points to another source"):
        read_lpis(options(leads))
    with zipfile.ZipFile(tmp_path / "blocks.zip", "w") as archive:
        archive.write(path, "blocks.gpkg")
    with pytest.raises(ExchangeError, match="is a zip; give a GeoPackage"):
        read_lpis(options(tmp_path / "blocks.zip"))


def test_a_layer_in_parquet_is_bounded(tmp_path: Path) -> None:
    gpd.read_file(layer(tmp_path)).to_parquet(tmp_path / "blocks.parquet")
    assert read_lpis(options(tmp_path / "blocks.parquet")).cells.height == 2
    with pytest.raises(ExchangeError, match=r"unpacks to more than .* raise limits\.table_gib"):
        read_lpis(options(tmp_path / "blocks.parquet"), 1e-9)
