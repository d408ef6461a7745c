"""From an agency's file to the declarations table."""

import json
import os
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from features.declarations.field_map import FieldOptions
from features.declarations.geometry.checks import CHECKS, check_geometry, shared_areas
from features.declarations.options import CheckOptions, DeclarationOptions
from features.declarations.pseudonym import holding_key, key_check, pseudonym
from features.declarations.reader import read_declarations, refuse_if_none_usable
from features.errors import DeclarationError
from features.schema import DECLARATION_COLUMNS

KEY = b"k" * 32
UNDEFINED = (
    'ENGCRS["Undefined Cartesian SRS",EDATUM["Unknown"],CS[Cartesian,2],AXIS["x",unspecified],'
    'AXIS["y",unspecified],LENGTHUNIT["m",1]]'
)
ALL_FIELDS = {
    "parcel_id": "parcel_id", "holding": "holding", "code": "crop_code", "code_second": "crop_code_2",
    "intervention": "intervention", "region": "region", "claimed_area": "claimed_ha",
}  # fmt: skip


def field(column: int) -> shapely.Polygon:
    """One hectare, 200 m east of the one before."""
    return shapely.box(4_000_000 + 200 * column, 3_000_000, 4_000_100 + 200 * column, 3_000_100)


def agency(**changes: Any) -> gpd.GeoDataFrame:
    """Four parcels as an agency has them: codes "001", "NO", one unknown and none."""
    columns: dict[str, Any] = {
        "parcel_id": ["000001", "000002", "000003", "000004"],
        "holding": ["H1", "H1", "H2", None],
        "crop_code": ["001", "NO", "999", None],
        "crop_code_2": [None, "001", None, None],
        "intervention": ["BISS", "BISS", None, "ECO"],
        "region": ["north", "north", "south", "south"],
        "claimed_ha": [1.0, 1.0, 1.0, np.nan],
    }
    shapes = changes.pop("geometry", [field(number) for number in range(4)])
    return gpd.GeoDataFrame(columns | changes, geometry=shapes, crs=changes.pop("crs", "EPSG:3035"))


@pytest.fixture
def codes(tmp_path: Path) -> Path:
    path = tmp_path / "crops.csv"
    path.write_text(
        "code,name,hcat_code,crop_class\n001,wheat,3301010101,winter_wheat\nNO,none,3301110000,fallow\n"
    )
    return path


def options(path: Path, codes: Path, **changes: Any) -> DeclarationOptions:
    fields = changes.pop("fields", ALL_FIELDS)
    return DeclarationOptions(path=str(path), fields=fields, crops={"tables": (codes,)}, **changes)


def written(folder: Path, frame: gpd.GeoDataFrame) -> Path:
    path = folder / "declarations.gpkg"
    frame.to_file(path, driver="GPKG")
    return path


def test_every_parcel_comes_out_mapped_or_with_a_reason(tmp_path: Path, codes: Path) -> None:
    frame, counted, checks = read_declarations(options(written(tmp_path, agency()), codes), 2024, KEY)
    assert list(frame.columns) == list(DECLARATION_COLUMNS)
    assert str(counted) == "declarations: 4 parcels in, 2 out, 2 set aside (no_code 1, unmapped_code 1)"
    assert list(frame["parcel_id"]) == ["000001", "000002", "000003", "000004"]
    assert list(frame["declared"]) == ["001", "NO", "999", None]
    assert list(frame["declared_second"]) == [None, "001", None, None]
    assert list(frame["crop_class"]) == ["winter_wheat", "fallow", None, None]
    assert list(frame["reason"]) == [None, None, "unmapped_code", "no_code"]
    assert list(frame["area_ha"]) == [1, 1, 1, 1]
    assert set(frame["season"]) == {2024}
    assert checks.schema == CHECKS
    assert checks.is_empty()


def test_holdings_are_pseudonyms_that_a_key_repeats(tmp_path: Path, codes: Path) -> None:
    path = written(tmp_path, agency())
    first = read_declarations(options(path, codes), 2024, KEY)[0]
    again = read_declarations(options(path, codes), 2024, KEY)[0]
    other = read_declarations(options(path, codes), 2024, b"j" * 32)[0]
    assert list(first["holding_id"]) == [pseudonym("H1", KEY)] * 2 + [pseudonym("H2", KEY), None]
    assert list(first["holding_id"]) == list(again["holding_id"])
    assert set(first["holding_id"].dropna()).isdisjoint(other["holding_id"].dropna())


def test_a_key_file_of_the_agency_serves_all_its_runs(tmp_path: Path) -> None:
    agency = tmp_path / "agency.key"
    keys = [holding_key(tmp_path / run / ".holding_key", agency) for run in ("2023", "2024")]
    assert keys[0] == keys[1] == agency.read_bytes()
    assert not (tmp_path / "2023").exists()
    assert key_check(keys[0]) == key_check(keys[1]) != key_check(b"k" * 32)
    with pytest.raises(DeclarationError, match=r"correct declarations\.holding_key"):
        holding_key(tmp_path / ".holding_key", agency / "below")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277])
def test_keys_are_their_owners_alone_under_any_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        holding_key(tmp_path / ".holding_key")
    finally:
        os.umask(before)
    assert (tmp_path / ".holding_key").stat().st_mode & 0o777 == 0o600


def test_a_copied_key_is_closed_to_others_again(tmp_path: Path) -> None:
    file = tmp_path / ".holding_key"
    holding_key(file)
    file.chmod(0o644)
    holding_key(file)
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_key_is_made_once_and_the_environment_overrules_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CROPCHECK_HOLDING_KEY", raising=False)
    file = tmp_path / "run" / "holding.key"
    key = holding_key(file)
    assert (len(key), holding_key(file), file.stat().st_mode & 0o777) == (32, key, 0o600)
    monkeypatch.setenv("CROPCHECK_HOLDING_KEY", "a phrase")
    assert holding_key(file) != key
    file.write_bytes(b"short")
    monkeypatch.delenv("CROPCHECK_HOLDING_KEY")
    with pytest.raises(DeclarationError, match="holds 5 bytes of 32"):
        holding_key(file)


def test_without_an_id_the_feature_id_serves_and_without_holdings_there_are_none(
    tmp_path: Path, codes: Path
) -> None:
    path = written(tmp_path, agency())
    frame = read_declarations(options(path, codes, fields={"code": "crop_code"}), 2024)[0]
    assert list(frame["parcel_id"]) == ["1", "2", "3", "4"]
    for absent in ("holding_id", "declared_second", "intervention", "region"):
        assert list(frame[absent]) == [None] * 4
    assert frame["claimed_area_ha"].isna().all()


def test_numbers_read_as_codes_lose_their_point_and_text_keeps_it(tmp_path: Path, codes: Path) -> None:
    numbers = agency(
        parcel_id=[10.0, 20.0, 30.0, 40.0], crop_code=[1.0, 120.0, np.nan, 7.0], crop_code_2=["1.0"] * 4
    )
    frame = read_declarations(options(written(tmp_path, numbers), codes), 2024)[0]
    assert list(frame["parcel_id"]) == ["10", "20", "30", "40"]
    assert list(frame["declared"]) == ["1", "120", None, "7"]
    assert list(frame["declared_second"]) == ["1.0"] * 4


def test_hostile_text_passes_untouched(tmp_path: Path, codes: Path) -> None:
    hostile = ["<script>alert(1)</script>", '=HYPERLINK("x")', r"$\frac{$", "\u202eright to left"]
    path = written(tmp_path, agency(region=hostile, parcel_id=hostile))
    frame = read_declarations(options(path, codes), 2024)[0]
    assert list(frame["region"]) == list(frame["parcel_id"]) == hostile


def test_duplicate_and_missing_ids_stop_the_run(tmp_path: Path, codes: Path) -> None:
    path = written(tmp_path, agency(parcel_id=["1", "2", "2", "1"]))
    with pytest.raises(DeclarationError, match=r"2 parcel ids of .* repeat, first 2, 1"):
        read_declarations(options(path, codes), 2024)
    path = written(tmp_path, agency(parcel_id=["1", "2", None, " "]))
    with pytest.raises(DeclarationError, match="2 parcels have no id in 'parcel_id', first in row 3"):
        read_declarations(options(path, codes), 2024)


def test_an_unknown_column_offers_the_nearest(tmp_path: Path, codes: Path) -> None:
    wrong = options(written(tmp_path, agency()), codes, fields={"code": "cropcode"})
    with pytest.raises(DeclarationError, match=r"has no column 'cropcode'\. Did you mean 'crop_code'"):
        read_declarations(wrong, 2024)


def test_a_file_without_a_coordinate_system_says_so_and_the_config_can_say_it(
    tmp_path: Path, codes: Path
) -> None:
    path = tmp_path / "declarations.parquet"
    agency().set_crs(None, allow_override=True).to_parquet(path)
    with pytest.raises(DeclarationError, match="does not say its coordinate system; set `crs`"):
        read_declarations(options(path, codes), 2024)
    frame = read_declarations(options(path, codes, crs="EPSG:3035"), 2024)[0]
    assert frame.crs.to_epsg() == 3035


def test_metres_taken_for_degrees_are_noticed(tmp_path: Path, codes: Path) -> None:
    path = written(tmp_path, agency().set_crs("EPSG:4326", allow_override=True))
    with pytest.raises(
        DeclarationError, match=r"says that it is in degrees \(WGS 84\), but its coordinates are not"
    ):
        read_declarations(options(path, codes), 2024)
    assert read_declarations(options(path, codes, crs="EPSG:3035"), 2024)[1].lost == 2


@pytest.mark.parametrize(
    ("factor", "east", "said"),
    [
        (0.001, 0, "UTM zone 31N, but its coordinates look like kilometres"),
        (100, 0, "UTM zone 31N, but its coordinates lie nowhere in it"),
        (1, 31_000_000, r"begin with the number of their zone \(as in EPSG:4647\); set `crs`"),
    ],
)
def test_other_units_than_the_systems_are_noticed(
    tmp_path: Path, codes: Path, factor: float, east: float, said: str
) -> None:
    shapes = agency().to_crs("EPSG:32631")
    shapes.geometry = shapely.transform(shapes.geometry.array, lambda points: points * factor + (east, 0))
    with pytest.raises(DeclarationError, match=said):
        read_declarations(options(written(tmp_path, shapes), codes), 2024)


def test_degrees_taken_for_metres_are_noticed(tmp_path: Path, codes: Path) -> None:
    path = written(tmp_path, agency().to_crs("EPSG:4326").set_crs("EPSG:32631", allow_override=True))
    with pytest.raises(DeclarationError, match=r"UTM zone 31N, but its coordinates look like degrees"):
        read_declarations(options(path, codes), 2024)
    assert read_declarations(options(path, codes, crs="EPSG:4326"), 2024)[1].lost == 2


def test_swapped_axes_are_refused_where_sure_told_where_likely_and_mended_by_the_config(
    tmp_path: Path, codes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    right = read_declarations(options(written(tmp_path, agency()), codes), 2024)[0]
    for crs, is_sure in (("EPSG:32631", True), ("EPSG:4326", False)):
        frame = agency().to_crs(crs)
        turned = frame.geometry.transform(lambda points: points[:, ::-1])
        path = written(tmp_path, frame.set_geometry(turned))
        if is_sure:
            with pytest.raises(
                DeclarationError, match=r"look swapped: .*Set `declarations\.swap_axes: true`"
            ):
                read_declarations(options(path, codes), 2024)
        else:
            read_declarations(options(path, codes), 2024)
            assert "look swapped" in caplog.text
        mended = read_declarations(options(path, codes, swap_axes=True), 2024)[0]
        places = [table.to_crs("EPSG:3035").centroid for table in (right, mended)]
        assert places[0].distance(places[1]).max() < 0.01


def test_points_and_outlines_are_no_parcels(tmp_path: Path, codes: Path) -> None:
    frame = agency()
    for kind, shapes in (("Point", frame.centroid), ("LineString", frame.boundary)):
        chosen = options(written(tmp_path, frame.set_geometry(shapes)), codes)
        read, _, checks = read_declarations(chosen, 2024)
        with pytest.raises(DeclarationError, match=f"{kind} is no polygon: name the layer or file"):
            refuse_if_none_usable(read, chosen, checks)


def test_degrees_are_reprojected_and_the_config_chooses_where_to(tmp_path: Path, codes: Path) -> None:
    path = written(tmp_path, agency().to_crs("EPSG:4326"))
    frame = read_declarations(options(path, codes), 2024)[0]
    assert frame.crs.to_epsg() == 32631
    assert frame["area_ha"].to_numpy() == pytest.approx(1, rel=0.01)
    assert read_declarations(options(path, codes, metric_crs="EPSG:3035"), 2024)[0].crs.to_epsg() == 3035


def test_broken_geometry_is_repaired_or_set_aside(tmp_path: Path, codes: Path) -> None:
    bowtie = shapely.Polygon([(4e6, 3e6), (4e6 + 100, 3e6 + 100), (4e6 + 100, 3e6), (4e6, 3e6 + 100)])
    shapes = [bowtie, None, shapely.Point(4e6, 3e6), shapely.MultiPolygon([field(1), field(2)])]
    path = written(tmp_path, agency(crop_code=["001"] * 4, geometry=shapes))
    frame, counted, checks = read_declarations(options(path, codes), 2024)
    assert list(frame["reason"]) == [None, "empty_geometry", "invalid_geometry", None]
    assert list(frame["area_ha"]) == [0.5, 0, 0, 2]
    assert counted.set_aside == {"empty_geometry": 1, "invalid_geometry": 1}
    found = list(
        checks.filter(checks["check"] != "claimed_above_geometry").select("parcel_id", "check").iter_rows()
    )
    assert found == [("000002", "empty"), ("000001", "invalid"), ("000003", "invalid")]


def test_claimed_area_takes_its_unit_and_decimal_comma(tmp_path: Path, codes: Path) -> None:
    path = written(tmp_path, agency(claimed_ha=["10000", "9000,5", "none", None]))
    in_square_metres = ALL_FIELDS | {"claimed_area_unit": "m2"}
    frame = read_declarations(options(path, codes, fields=in_square_metres), 2024)[0]
    assert frame["claimed_area_ha"].to_numpy() == pytest.approx([1, 0.90005, np.nan, np.nan], nan_ok=True)


def test_an_empty_layer_and_no_path_are_errors(tmp_path: Path, codes: Path) -> None:
    with pytest.raises(DeclarationError, match="holds no parcels"):
        read_declarations(options(written(tmp_path, agency().iloc[:0]), codes), 2024)
    with pytest.raises(DeclarationError, match="No parcel file is named"):
        read_declarations(DeclarationOptions(), 2024)


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"fields\.cod\n"):
        DeclarationOptions.model_validate({"fields": {"cod": "x"}})


def test_columns_named_twice_are_read_once() -> None:
    assert FieldOptions(parcel_id="id", code="crop", code_second="crop").columns() == ["id", "crop"]


PIECES = st.sampled_from(
    [None, shapely.Polygon(), shapely.Point(4e6, 3e6), shapely.box(4e6, 3e6, 4e6 + 50, 3e6 + 50),
     shapely.LineString([(4e6, 3e6), (4e6 + 9, 3e6)]),
     shapely.Polygon([(4e6, 3e6), (4e6 + 9, 3e6), (4e6, 3e6)]),
     shapely.Polygon([(4e6, 3e6), (4e6 + 9, 3e6 + 9), (4e6 + 9, 3e6), (4e6, 3e6 + 9)])]
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(PIECES, st.sampled_from([None, "001", "NO", "999", " "])), min_size=1, max_size=8))
def test_parcels_in_are_parcels_out(tmp_path: Path, codes: Path, rows: list[tuple[Any, str | None]]) -> None:
    ids = [f"{number:03d}" for number in range(len(rows))]
    frame = gpd.GeoDataFrame(
        {"id": ids, "crop": [code for _, code in rows]},
        geometry=[shape for shape, _ in rows],
        crs="EPSG:3035",
    )
    path = tmp_path / "any.parquet"
    frame.to_parquet(path)
    read, counted, _ = read_declarations(
        options(path, codes, fields={"parcel_id": "id", "code": "crop"}), 2024
    )
    assert list(read["parcel_id"]) == ids
    assert counted.came_in == len(rows)
    assert counted.lost == read["reason"].notna().sum()
    usable = read[read["reason"].isna()]
    assert usable["crop_class"].notna().all()
    assert (usable["area_ha"] > 0).all()


def findings(shapes: list[shapely.Geometry], claimed: list[float], **changes: float) -> list[tuple[Any, ...]]:
    series = gpd.GeoSeries(shapes, crs="EPSG:3035")
    ids = [f"p{number}" for number in range(len(shapes))]
    faults = np.array([""] * len(shapes), dtype=object)
    table = check_geometry(ids, series, faults, np.array(claimed), CheckOptions(**changes))
    return list(table.select("parcel_id", "check", "other_id", "area_ha").iter_rows())


def test_overlap_is_measured_and_shared_borders_are_none() -> None:
    shapes = [shapely.box(0, 0, 100, 100), shapely.box(90, 0, 200, 100), shapely.box(200, 0, 300, 100)]
    assert findings(shapes, [np.nan] * 3) == [("p0", "overlap", "p1", 0.1)]
    assert findings(shapes, [np.nan] * 3, overlap_m2=1000) == []


def test_a_duplicate_is_found_whatever_ring_it_starts_from() -> None:
    square = shapely.box(0, 0, 100, 100)
    turned = shapely.Polygon([(100, 100), (100, 0), (0, 0), (0, 100)])
    found = findings([square, shapely.box(500, 0, 600, 100), turned], [np.nan] * 3)
    assert found == [("p2", "duplicate", "p0", 1.0), ("p0", "overlap", "p2", 1.0)]


def test_claims_above_the_geometry_and_slivers() -> None:
    shapes = [shapely.box(0, 0, 100, 100), shapely.box(200, 0, 300, 100), shapely.box(400, 0, 409, 10)]
    found = findings(shapes, [1.5, 1.005, np.nan])
    assert found == [("p0", "claimed_above_geometry", None, 0.5), ("p2", "sliver", None, 0.009)]
    assert findings(shapes[:1], [0.0]) == [("p0", "claimed_nothing", None, None)]
    assert findings(shapes, [1.5, 1.005, np.nan], claimed_excess_ha=0.5, sliver_m2=90) == []


def test_a_misplaced_parcel_is_set_aside_and_widens_nothing(tmp_path: Path, codes: Path) -> None:
    lonlat = gpd.GeoSeries([field(number) for number in range(4)], crs="EPSG:3035").to_crs(4326)
    swapped = shapely.transform(lonlat[1], lambda points: points[:, ::-1])
    shapes = [lonlat[0], swapped, shapely.box(0, 0, 0.001, 0.001), lonlat[3]]
    path = written(tmp_path, agency(crop_code=["001"] * 4, geometry=shapes, crs="EPSG:4326"))
    frame, counted, checks = read_declarations(options(path, codes), 2024)
    assert list(frame["reason"]) == [None, "misplaced", "misplaced", None]
    assert counted.set_aside == {"misplaced": 2}
    found = checks.filter(checks["check"] == "misplaced").select("parcel_id", "detail").rows()
    assert found == [("000002", "latitude and longitude are swapped"), ("000003", "lies at 0, 0")]
    assert frame.crs.to_epsg() == 32631
    west, south, east, north = frame.to_crs(4326).total_bounds
    assert (east - west, north - south) == pytest.approx((0, 0), abs=0.1)


@pytest.mark.parametrize(
    ("crs", "expected"),
    [("EPSG:7415", 28992), ("EPSG:28992+5709", 28992), ("EPSG:4979", 32631), ("EPSG:9518", 32631)],
)
def test_heights_fall_away_from_the_coordinate_system(
    tmp_path: Path, codes: Path, crs: str, expected: int
) -> None:
    flat = "EPSG:28992" if expected == 28992 else "EPSG:4326"
    lonlat = agency(crs="EPSG:3035", geometry=[shapely.box(4e6, 3.2e6, 4e6 + 100, 3.2e6 + 100)] * 4).to_crs(
        flat
    )
    path = tmp_path / "p.parquet"
    lonlat.set_crs(None, allow_override=True).to_parquet(path)
    frame = read_declarations(options(path, codes, crs=crs), 2024)[0]
    assert frame.crs.to_epsg() == expected
    assert frame["area_ha"].to_numpy() == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize(
    "crs",
    ["EPSG:5773", "EPSG:4978", 'LOCAL_CS["site",UNIT["metre",1]]', UNDEFINED],
)  # fmt: skip
def test_a_system_without_a_place_on_the_globe_says_so(tmp_path: Path, codes: Path, crs: str) -> None:
    path = tmp_path / "p.parquet"
    agency().set_crs(None, allow_override=True).to_parquet(path)
    with pytest.raises(DeclarationError, match="has no place on the globe; set `crs`"):
        read_declarations(options(path, codes, crs=crs), 2024)


def test_areas_are_geodesic_beside_the_zone_and_planar_in_the_agencys_own_system(
    tmp_path: Path, codes: Path
) -> None:
    shapes = [shapely.box(3 + east, 47, 3.002 + east, 47.002) for east in (-2.5, 0, 2.5, 5.0)]
    path = written(tmp_path, agency(geometry=shapes, crs="EPSG:4326"))
    frame = read_declarations(options(path, codes), 2024)[0]
    geod = pyproj.Geod(ellps="WGS84")
    true_ha = np.array([abs(geod.geometry_area_perimeter(shape)[0]) / 1e4 for shape in shapes])
    assert frame["area_ha"].to_numpy() == pytest.approx(true_ha, rel=1e-5)
    planar = frame.geometry.area.to_numpy() / 1e4
    assert np.abs(planar / true_ha - 1).max() > 1e-3  # what UTM would have said
    own = written(tmp_path, agency())
    assert list(read_declarations(options(own, codes, metric_crs="EPSG:32631"), 2024)[0]["area_ha"]) == (
        pytest.approx([1.0] * 4, rel=1e-9)
    )


def test_claimed_areas_that_are_no_numbers_are_counted_and_named(
    tmp_path: Path, codes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path, agency(claimed_ha=["1,00", "12.675,00", "about one", None]))
    frame, _, checks = read_declarations(options(path, codes), 2024)
    assert frame["claimed_area_ha"].to_numpy() == pytest.approx([1, 12675, np.nan, np.nan], nan_ok=True)
    unread = checks.filter(checks["check"] == "claimed_unread").select("parcel_id", "detail").rows()
    assert unread == [("000003", "about one")]
    assert "1 claimed areas of the column claimed_ha are no numbers, such as ['about one']" in caplog.text


def test_a_column_of_claims_without_a_number_is_refused(tmp_path: Path, codes: Path) -> None:
    path = written(tmp_path, agency(claimed_ha=["north", "south", None, " "]))
    with pytest.raises(
        DeclarationError, match=r"No cell of the column 'claimed_ha' is a number.*first are north, south;"
    ):
        read_declarations(options(path, codes), 2024)


def test_claims_in_another_unit_are_noticed(
    tmp_path: Path, codes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path, agency(claimed_ha=[9000.0, 10000.0, 9990.0, None]))
    read_declarations(options(path, codes), 2024)
    assert "Claimed areas look as if they were in m2, not ha; see `fields.claimed_area_unit`" in caplog.text


def test_letters_in_a_wrong_encoding_are_noticed(
    tmp_path: Path, codes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path, agency(region=["Šumava".encode().decode("latin-1")] * 4))
    read_declarations(options(path, codes), 2024)
    assert "such as 'Å\\xa0umava', which may be 'Šumava'; see `declarations.encoding`" in caplog.text


def test_ids_that_no_file_can_hold_are_set_aside(tmp_path: Path, codes: Path) -> None:
    path = tmp_path / "p.geojson"
    features = json.loads(agency(parcel_id=["1", "A\0", "3", "4"], crop_code=["001"] * 4).to_json())
    features["features"][2]["properties"]["parcel_id"] = "\ud800"
    features["crs"] = {"properties": {"name": "EPSG:3035"}}
    path.write_text(json.dumps(features))
    frame, counted, _ = read_declarations(options(path, codes), 2024)
    assert list(frame["parcel_id"]) == ["1", r"A\x00", r"\ud800", "4"]
    assert counted.set_aside == {"unreadable_id": 2}
    frame.to_parquet(tmp_path / "written.parquet")


SQUARE = shapely.box(0, 0, 2, 2)


@pytest.mark.parametrize(
    ("other", "area"),
    [
        (shapely.box(1, 1, 3, 3), 1),  # corner in
        (shapely.box(0, 0, 2, 2), 4),  # the same
        (shapely.box(2, 0, 4, 2), 0),  # a shared border
        (shapely.box(0.5, 0.5, 1.5, 1.5), 1),  # inside
        (shapely.box(5, 5, 6, 6), 0),  # apart
        (shapely.Polygon([(1, -1), (3, 1), (1, 3), (-1, 1)]), 4),  # around, corner on corner
        (shapely.box(-1, -1, 3, 3) - shapely.box(0.5, 0.5, 1.5, 1.5), 3),  # a hole
        (shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(1.5, 1, 9, 2)]), 1.5),  # two parts
        (shapely.Polygon(), 0),
    ],
)
def test_shared_areas_that_a_reader_can_check_on_paper(other: shapely.Geometry, area: float) -> None:
    shapes = np.array([SQUARE, other])
    assert shared_areas(shapes, np.array([0, 1]), np.array([1, 0])).tolist() == pytest.approx([area, area])
