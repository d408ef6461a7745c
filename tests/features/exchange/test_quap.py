"""The QUAP exchange: what each check finds, on tables small enough to read."""

import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import polars as pl
import pytest
from shapely.geometry import Point, Polygon, box

from features.errors import ConfigError
from features.exchange.cells import ExchangeError
from features.exchange.quap.reader import read_quap
from features.exchange.quap.tables import table_called
from pipelines.commands.quality.validate import validate_tables

X, Y, STEP = 5.0, 51.0, 0.001  # degrees; a square of 0.001 degrees is some 0.78 ha


def square(place: int, width: float = STEP) -> Polygon:
    return box(X + 2 * place * STEP, Y, X + 2 * place * STEP + width, Y + STEP)


class Delivery:
    """A delivery without a fault, whose cells a test then spoils."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gsa = {
            "gsa_par_id": ["001", "002"], "gsa_hol_id": ["A", "B"], "gsa_col_id": [None, None],
            "main_crop": ["101", "102"], "catch_crop": [None, None], "organic": ["0", "1"],
        }  # fmt: skip
        self.gsa_shapes = [square(0), square(1)]
        zero = ("pc_area", "pg_area", "na_area", "af_area", "n2000_area", "pw_area", "lf_area", "anc_area")
        parts = {name: ["0", "0"] for name in zero}
        self.lpis = {
            "lpis_code": ["XX", "XX"], "lpis_rp_id": ["L1", "L2"], "tot_area": ["0.5", "0.5"],
            "al_area": ["0.5", "0.5"], **parts, "avail_area": ["true", "false"],
        }  # fmt: skip
        self.lpis_shapes = [square(0), square(1)]
        self.related = {"lpis_code": ["XX"] * 2, "lpis_rp_id": ["L1", "L2"], "gsa_par_id": ["001", "002"]}
        self.claimed = {"gsa_par_id": ["001"], "ua": ["U1"], "claim_area": ["0.5"]}
        self.interventions = {
            "ua": ["U1"], "ua_grp": ["G"], "interv": ["I"], "interv_lev": ["parcel"], "interv_typ": ["area"],
            "ua_grp_est": [None],
        }  # fmt: skip

    def found(self, epsg: int = 4326) -> dict[str, list[str | None]]:
        """Write all tables and return the ids by table, check and column."""
        for name, cells, shapes in (
            ("gsa_population", self.gsa, self.gsa_shapes), ("lpis_population", self.lpis, self.lpis_shapes),
        ):  # fmt: skip
            frame = gpd.GeoDataFrame(cells, geometry=gpd.GeoSeries(shapes, crs=4326))
            frame.to_crs(epsg).to_file(self.folder / f"{name}.gpkg", engine="pyogrio")
        for name, cells in (
            ("gsa_lpis_relationship", self.related), ("gsa_ua_claimed", self.claimed),
            ("interventions", self.interventions),
        ):  # fmt: skip
            pl.DataFrame(cells).write_csv(self.folder / f"{name}.csv", separator=";")
        validate_tables([self.folder], self.folder / "found.csv")
        rows = pl.read_csv(self.folder / "found.csv", infer_schema=False)
        keys: dict[str, list[str | None]] = {}
        for table, check, column, name in rows.select("table", "check", "column", "id").iter_rows():
            where = f"{table}.{column}" if column else table
            keys.setdefault(f"{where}: {check}", []).append(name)
        return keys


@pytest.fixture
def delivery(tmp_path: Path) -> Delivery:
    return Delivery(tmp_path)


def test_a_delivery_without_fault_has_no_finding(delivery: Delivery) -> None:
    assert delivery.found() == {}


def test_cells_keys_and_relations(delivery: Delivery) -> None:
    delivery.gsa |= {"gsa_par_id": ["001", "001"], "gsa_hol_id": ["NA", "B"], "organic": ["0", "maybe"]}
    delivery.claimed = {"gsa_par_id": ["001", "9"], "ua": ["U1", "U9"], "claim_area": ["0,5", "0.12345"]}
    delivery.interventions |= {name: ["U1", "U2"] for name in delivery.interventions}
    found = delivery.found()
    assert found["gsa_population: key_repeats"] == ["001"]
    assert found["gsa_population.gsa_hol_id: empty_cell"] == ["001"]
    assert found["gsa_population.organic: not_boolean"] == ["001"]
    assert found["gsa_lpis_relationship.gsa_par_id: not_in_gsa_population"] == ["L2|002"]
    assert found["gsa_ua_claimed.gsa_par_id: not_in_gsa_population"] == ["9|U9"]
    assert found["gsa_ua_claimed.ua: not_in_interventions"] == ["9|U9"]
    assert found["gsa_ua_claimed.claim_area: not_a_number"] == ["001|U1"]
    assert found["gsa_ua_claimed.claim_area: too_many_decimals"] == ["9|U9"]
    assert found["interventions.ua: unit_amount_not_claimed"] == ["U2"]


def test_areas_against_each_other_and_against_geometry(delivery: Delivery) -> None:
    delivery.claimed |= {"claim_area": ["0.9"]}
    delivery.lpis |= {"al_area": ["0.3", "0.6"], "pc_area": ["0.3", "0"], "tot_area": ["0.5", "-1"]}
    found = delivery.found()
    assert found["gsa_ua_claimed.claim_area: claimed_above_declared"] == ["001|U1"]
    assert found["lpis_population.al_area: land_cover_above_total"] == ["L1"]
    assert found["lpis_population.tot_area: negative_area"] == ["L2"]
    delivery.lpis |= {"al_area": ["0.6", "0"], "pc_area": ["0", "0"], "tot_area": ["0.5", "0"]}
    delivery.claimed |= {"claim_area": ["0"]}
    found = delivery.found()
    assert found["lpis_population.al_area: part_above_total"] == ["L1"]
    assert found["lpis_population.tot_area: total_is_zero"] == ["L2"]
    assert found["gsa_ua_claimed.claim_area: claimed_area_not_positive"] == ["001|U1"]
    delivery.lpis |= {"tot_area": ["0.9", "0.5"], "al_area": ["0", "0"]}
    assert delivery.found()["lpis_population.tot_area: total_above_geometry"] == ["L1"]


def test_geometry_alone_and_among_others(delivery: Delivery) -> None:
    bow = Polygon([(X, Y), (X + STEP, Y + STEP), (X + STEP, Y), (X, Y + STEP)])
    ids = ["whole", "twin", "over", "bow", "none", "empty", "sliver", "point"]
    delivery.gsa = {name: ["1"] * len(ids) for name in delivery.gsa} | {"gsa_par_id": ids}
    delivery.gsa_shapes = [
        square(0), square(0), box(X + STEP / 2, Y, X + 1.5 * STEP, Y + STEP), bow, None, Polygon(),
        box(X + 0.1, Y, X + 0.1 + STEP / 400, Y + STEP / 4), Point(X, Y),
    ]  # fmt: skip
    delivery.related = {"lpis_code": ["XX"], "lpis_rp_id": ["L1"], "gsa_par_id": ["whole"]}
    delivery.claimed |= {"gsa_par_id": ["whole"]}
    found = delivery.found()
    assert found["gsa_population: geometry_repeats"] == ["twin"]
    assert found["gsa_population: overlap"] == ["whole", "twin"]
    assert found["gsa_population: geometry_invalid"] == ["bow"]
    assert found["gsa_population: geometry_missing"] == ["none"]
    assert found["gsa_population: geometry_empty"] == ["empty"]
    assert found["gsa_population: sliver"] == ["sliver"]
    assert found["gsa_population: not_a_polygon"] == ["point"]


def test_declared_parcels_outside_their_reference_parcel_and_another_epsg(delivery: Delivery) -> None:
    delivery.gsa_shapes = [box(X + STEP / 2, Y, X + 1.5 * STEP, Y + STEP), square(5)]
    found = delivery.found()
    assert found["gsa_lpis_relationship: gsa_not_fully_inside_lpis"] == ["001"]
    assert found["gsa_lpis_relationship: gsa_outside_lpis"] == ["002"]
    assert "gsa_population.geometry: other_epsg" in delivery.found(epsg=3035)


def test_a_csv_with_wkt_is_read_and_a_comma_is_noted(tmp_path: Path) -> None:
    table = pl.DataFrame(
        {
            "GSA_PAR_ID": ["007", "8"], "gsa_hol_id": ["A", "B"], "gsa_col_id": ["", ""],
            "main_crop": ["1", "1"], "catch_crop": ["", ""], "organic": ["0", "0"],
            "geometry": [square(0).wkt, "POLYGON broken"],
        }
    )  # fmt: skip
    table.write_csv(tmp_path / "gsa.csv")
    validate_tables([tmp_path / "gsa.csv"], tmp_path / "found.csv")
    rows = pl.read_csv(tmp_path / "found.csv", infer_schema=False).select("check", "id").rows()
    assert ("geometry_unreadable", "8") in rows
    assert ("delimiter", None) in rows


def test_a_column_or_table_that_is_missing_is_said(tmp_path: Path, delivery: Delivery) -> None:
    del delivery.gsa["main_crop"]
    assert delivery.found() == {"gsa_population.main_crop: column_missing": [None]}
    said, _ = validate_tables([tmp_path / "gsa_ua_claimed.csv"])
    assert "relation not checked" in said
    assert "Not given, so not checked: gsa_lpis_relationship, interventions" in said
    with pytest.raises(ExchangeError, match="says no table"):
        validate_tables([tmp_path / "found.csv"])


def test_tables_are_written_as_the_platform_takes_them_and_read_back(
    delivery: Delivery, tmp_path: Path
) -> None:
    delivery.claimed |= {"claim_area": ["0.123456"]}
    delivery.found(epsg=3035)
    _, before = validate_tables([tmp_path], write=tmp_path / "out")
    said, after = validate_tables([tmp_path / "out"])
    assert before > after == 0, said
    assert (tmp_path / "out" / "gsa_ua_claimed.csv").read_text().splitlines()[1] == "001;U1;0.1235"
    assert gpd.read_file(tmp_path / "out" / "gsa_population.gpkg")["gsa_par_id"].tolist() == ["001", "002"]


@pytest.mark.parametrize("kind", ["out", "write"])
def test_tables_that_are_checked_are_not_overwritten(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "interventions.csv"
    path.write_text("int_id;ua_grp_id\n1;2\n")
    place = {"out": path} if kind == "out" else {"write": tmp_path}
    with pytest.raises(ConfigError, match="would overwrite"):
        validate_tables([path], **place)
    assert path.read_text() == "int_id;ua_grp_id\n1;2\n"


@pytest.mark.timeout(20)
def test_a_query_in_a_geopackage_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "gsa_population.gpkg"
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS fid, NULL AS geom FROM n"
    )
    gpd.GeoDataFrame({"gsa_par_id": ["1"]}, geometry=[square(0)], crs=4326).to_file(path, layer="plain")
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"CREATE VIEW seen AS {endless}")
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) "
            "VALUES ('seen', 'features', 'seen', 4326)"
        )
        database.execute("INSERT INTO gpkg_geometry_columns VALUES ('seen', 'geom', 'POLYGON', 4326, 0, 0)")
        database.commit()
    table = table_called("gsa_population")
    assert table is not None
    assert read_quap(path, table).cells["gsa_par_id"].to_list() == ["1"]
    with closing(sqlite3.connect(path)) as database:
        database.execute("DELETE FROM gpkg_geometry_columns WHERE table_name = 'plain'")
        database.execute("DELETE FROM gpkg_contents WHERE table_name = 'plain'")
        database.execute("DROP TABLE plain")
        database.commit()
    with pytest.raises(ExchangeError, match="holds no table, only queries"):
        read_quap(path, table)


def test_a_table_in_parquet_is_bounded_and_read_as_the_others(tmp_path: Path) -> None:
    names = ("ua", "ua_grp", "interv", "interv_lev", "interv_typ")
    pl.DataFrame({name: ["007"] for name in names} | {"ua_grp_est": [None]}).write_parquet(
        tmp_path / "interventions.parquet"
    )
    said, found = validate_tables([tmp_path])
    assert (found, "1 tables, 1 rows" in said) == (0, True)
    with pytest.raises(ConfigError, match=r"interventions\.parquet unpacks to more than .* raise --most-gib"):
        validate_tables([tmp_path], most_gib=1e-9)
