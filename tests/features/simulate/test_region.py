"""What a simulated region leaves on disk, and that it leaves the same whatever happens on the way."""

import ast
import json
import multiprocessing
import os
import re
import signal
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
import pystac
import pytest
import rasterio
import shapely

from features.errors import DeclarationError, StageError
from features.files import fingerprint, sha256
from features.simulate.options import SimulationOptions
from features.simulate.region import region as region_module
from features.simulate.region.earlier import season_series
from features.simulate.region.region import simulate_region
from features.simulate.region.schedule import Scene
from features.simulate.region.world import make_land
from pipelines.stages.synthesise import discard
from pipelines.workspace import Workspace

SEASON, SEED = 2024, 3
SMALL = SimulationOptions(
    n_parcels=60, optical_revisit_days=20, radar_revisit_days=24, first_month=4, last_month=9
)
CODE_FOLDERS = ("features", "models", "reports", "pipelines")


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("region")
    tally = simulate_region(SMALL.model_copy(update={"keep_truth_rasters": True}), SEASON, SEED, folder)
    assert tally.went_out == len(items(folder))
    return folder


def items(folder: Path, sensor: str = "") -> list[pystac.Item]:
    catalog = pystac.Catalog.from_file(str(folder / "catalog" / "catalog.json"))
    return [item for item in catalog.get_items(recursive=True) if sensor in item.collection_id]


def read(item: pystac.Item, asset: str) -> np.ndarray:
    with rasterio.open(item.assets[asset].get_absolute_href()) as raster:
        return raster.read(1)


def contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256(path) for path in files}


def test_declarations_are_as_an_agency_publishes_them(region: Path) -> None:
    declared = gpd.read_file(region / "declarations.gpkg")
    assert len(declared) == SMALL.n_parcels
    assert declared["parcel_id"].is_unique
    assert declared["parcel_id"].iloc[0] == "000001"
    assert declared.crs.to_epsg() == SMALL.epsg
    assert declared.geometry.is_valid.all()
    codes = pl.read_csv(region / "crops.csv", infer_schema=False)
    assert set(declared["crop_code"]) <= set(codes["code"])
    assert {"001", "011"} <= set(codes["code"])
    assert "true_code" not in declared.columns


def test_parcels_do_not_overlap(region: Path) -> None:
    parcels = gpd.read_file(region / "declarations.gpkg").geometry.to_numpy()
    overlap = parcels[:, None] != parcels[None, :]
    area = shapely.area(shapely.intersection(parcels[:, None], parcels[None, :]))[overlap]
    assert area.max() < 1.0  # square metres


def test_catalog_is_a_valid_static_one(region: Path) -> None:
    found = items(region)
    assert len({item.id for item in found}) == len(found)
    for item in found:
        assert pystac.Item.from_dict(item.to_dict()).id == item.id
        assert item.properties["proj:code"] == "EPSG:32631"
        assert item.properties["grid:code"] == "MGRS-31UFS"
        for asset in item.assets.values():
            assert Path(asset.get_absolute_href()).is_file()
            assert "scale" in asset.extra_fields["raster:bands"][0] or asset.href.endswith("SCL.tif")


def test_every_scene_lies_on_one_grid_of_ten_metres(region: Path) -> None:
    seen = set()
    for item in items(region):
        for asset in item.assets.values():
            with rasterio.open(asset.get_absolute_href()) as raster:
                seen.add((raster.crs.to_epsg(), raster.transform, raster.shape))
                assert raster.profile["tiled"]
                assert item.properties["proj:transform"] == list(raster.transform)[:6]
    assert len(seen) == 1


def test_reflectance_is_published_with_the_offset_of_its_baseline(region: Path) -> None:
    for item in items(region, "sentinel-2"):
        assert item.properties["s2:processing_baseline"] >= "04.00"
        encoding = item.assets["B04"].extra_fields["raster:bands"][0]
        assert (encoding["scale"], encoding["offset"], encoding["nodata"]) == (0.0001, -0.1, 0)
        numbers, scl = read(item, "B8A"), read(item, "SCL")
        assert ((numbers == 0) == (scl == 0)).all()
        clear = np.isin(scl, (4, 5))
        if clear.any():
            assert 0.02 < np.median(numbers[clear]) * 1e-4 - 0.1 < 0.7


def test_old_seasons_have_no_offset(tmp_path: Path) -> None:
    options = SMALL.model_copy(update={"n_parcels": 20, "last_month": 4, "radar_orbits": ()})
    simulate_region(options, 2019, SEED, tmp_path)
    item = items(tmp_path)[0]
    assert item.properties["s2:processing_baseline"] < "04.00"
    assert item.assets["B04"].extra_fields["raster:bands"][0]["offset"] == 0


def test_backscatter_and_coherence_are_in_their_physical_ranges(region: Path) -> None:
    radar = items(region, "sentinel-1")
    assert {item.properties["sat:relative_orbit"] for item in radar} == set(SMALL.radar_orbits)
    for item in radar:
        vv, vh = (read(item, name) * 0.02 for name in ("vv", "vh"))
        assert -16 < np.median(vv) < -4 and 4 < np.median(vv - vh) < 11
        coherence = read(item, "cohvv") * 0.004
        assert coherence.min() >= 0 and coherence.max() <= 1


def test_truth_rasters_agree_with_the_scene_where_it_is_clear(region: Path) -> None:
    item = min(items(region, "sentinel-2"), key=lambda item: item.properties["eo:cloud_cover"])
    truth = region / "truth" / "reflectance" / f"{item.id}_B08.tif"
    with rasterio.open(truth) as raster:
        ground = raster.read(1).astype(float)
    clear = np.isin(read(item, "SCL"), (4, 5))
    difference = read(item, "B08")[clear] - ground[clear]
    assert np.median(np.abs(difference)) < 150  # digital numbers: noise, haze and the odd missed shadow


def test_cloud_hides_more_than_half_of_a_season(tmp_path: Path) -> None:
    options = SMALL.model_copy(update={"optical_revisit_days": 5, "radar_orbits": (), "n_parcels": 30})
    simulate_region(options, SEASON, SEED, tmp_path)
    cover = np.array([item.properties["eo:cloud_cover"] for item in items(tmp_path)])
    assert 45 < cover.mean() < 80
    assert (cover < 25).sum() >= 2, "some scenes are nearly clear"
    assert (cover > 90).sum() >= 2, "overcast scenes stay in the catalog"
    assert ((cover > 25) & (cover < 90)).sum() >= 5, "many are partly cloudy"


def test_a_second_call_changes_nothing_and_renders_nothing(region: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in region.rglob("*.tif")}
    steps: list[tuple[int, int]] = []
    options = SMALL.model_copy(update={"keep_truth_rasters": True})
    simulate_region(options, SEASON, SEED, region, lambda done, total: steps.append((done, total)))
    assert steps == []
    assert {path: path.stat().st_mtime_ns for path in region.rglob("*.tif")} == before


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_threads(tmp_path: Path) -> None:
    options = SMALL.model_copy(update={"n_parcels": 20, "last_month": 5})
    for name, threads in (("one", 1), ("three", 3)):
        simulate_region(options.model_copy(update={"threads": threads}), SEASON, SEED, tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "three")


def test_a_table_that_cannot_be_written_ends_the_rendering_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = []

    def refuse(*_: object) -> None:
        raise OSError("no room")

    def render(scene: Scene, _: object) -> None:
        time.sleep(0.02)
        rendered.append(scene)

    monkeypatch.setattr(region_module, "_write_tables", refuse)
    monkeypatch.setattr(region_module, "render_scene", render)
    with pytest.raises(OSError, match="no room"):
        simulate_region(SMALL.model_copy(update={"optical_revisit_days": 2}), SEASON, SEED, tmp_path)
    assert len(rendered) < 40  # of some hundred


def test_earlier_seasons_lie_on_the_same_land() -> None:
    land = make_land(SMALL, SEED)
    for season in (2022, 2023):
        given, own = (season_series(SMALL, season, SEED, land=known) for known in (land, None))
        assert given.ndvi.equals(own.ndvi) and given.weather.equals(own.weather)
        assert given.soil.tolist() == own.soil.tolist()


def test_another_season_keeps_the_land_and_changes_crops_and_weather(tmp_path: Path) -> None:
    options = SMALL.model_copy(update={"last_month": 4, "radar_orbits": (), "optical_revisit_days": 30})
    for season in (2023, 2024):
        simulate_region(options, season, SEED, tmp_path / str(season))
    first, second = (gpd.read_file(tmp_path / str(season) / "declarations.gpkg") for season in (2023, 2024))
    assert first.geometry.geom_equals(second.geometry).all()
    assert (first["holding"] == second["holding"]).all()
    assert 0.2 < (first["crop_code"] != second["crop_code"]).mean() < 0.95
    assert sha256(tmp_path / "2023" / "soil.tif") == sha256(tmp_path / "2024" / "soil.tif")
    assert sha256(tmp_path / "2023" / "weather.csv") != sha256(tmp_path / "2024" / "weather.csv")


def test_a_run_killed_while_writing_ends_with_the_same_bytes(tmp_path: Path) -> None:
    options = SMALL.model_copy(update={"n_parcels": 20, "last_month": 6})
    simulate_region(options, SEASON, SEED, tmp_path / "whole")
    broken = tmp_path / "broken"
    writer = multiprocessing.get_context("spawn").Process(
        target=simulate_region, args=(options, SEASON, SEED, broken)
    )
    writer.start()
    deadline = time.monotonic() + 60
    while len(list(broken.rglob("S*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    assert not (broken / "catalog" / "catalog.json").exists(), "it was killed before it was done"
    simulate_region(options, SEASON, SEED, broken)
    assert contents(broken) == contents(tmp_path / "whole")


def test_a_folder_of_another_region_is_refused(region: Path) -> None:
    with pytest.raises(StageError, match="another folder"):
        simulate_region(SMALL, SEASON, SEED + 1, region)


CHANGES = {
    "second_crop_share": 0.5,
    "unsown_share": 0.5,
    "pond_share": 0.5,
    "outline_error_m": 5.0,
    "n_parcels": 24,
    "median_ha": 3.0,
    "farmland_share": 0.6,
    "parcels_per_holding": 4.0,
    "epsg": 32632,
    "first_month": 5,
    "last_month": 5,
    "optical_revisit_days": 9,
    "optical_loss": 0.7,
    "cloud_cover": 0.1,
    "radar_orbits": (37,),
    "radar_revisit_days": 12,
    "coherence": False,
    "spread": 0.2,
    "misdeclared_share": 0.2,
    "keep_truth_rasters": True,
    "recorded_share": 0.0,
    "warmer_c": 3.0,
    "rain_factor": 0.5,
}


@pytest.mark.parametrize(
    "left", ["other code", "a setting that is new", "a note of an earlier version", "a damaged note"]
)
def test_a_region_that_other_code_made_is_made_anew_and_that_is_said(
    tmp_path: Path, left: str, caplog: pytest.LogCaptureFixture
) -> None:
    base = SMALL.model_copy(update={"n_parcels": 20, "last_month": 4, "optical_revisit_days": 15})
    simulate_region(base, SEASON, SEED, tmp_path)
    expected = contents(tmp_path)
    note = tmp_path / "region.json"
    said = json.loads(note.read_text())
    del said["hash"]
    if left == "other code":
        write_note(note, said | {"code": "0" * 64})
    elif left == "a damaged note":
        note.write_text(note.read_text().replace(f'"seed": {SEED}', f'"seed": {SEED + 1}'))
    elif left == "a setting that is new":
        del said["settings"]["spread"]
        write_note(note, said)
    else:
        note.rename(tmp_path / "region.sha256")
    (tmp_path / "weather.csv").write_text("of that code")
    item = next((tmp_path / "catalog").rglob("B04.tif"))
    item.write_bytes(b"of that code")
    simulate_region(base, SEASON, SEED, tmp_path)
    assert "made by another version of cropcheck; it is made anew" in caplog.text
    assert contents(tmp_path) == expected


def write_note(path: Path, said: dict[str, object]) -> None:
    path.write_text(json.dumps({**said, "hash": fingerprint(said)}))


@pytest.mark.parametrize("lost", [False, True])
def test_a_region_whose_note_is_not_as_its_receipt_says_is_made_whole(tmp_path: Path, lost: bool) -> None:
    """Its receipt is of other code where a run that made the region anew was killed; or the note is lost."""
    base = SMALL.model_copy(update={"n_parcels": 20, "last_month": 4, "optical_revisit_days": 15})
    workspace = Workspace(tmp_path)
    simulate_region(base, SEASON, SEED, workspace.region)
    expected = contents(workspace.region)
    (workspace.region / "weather.csv").unlink()
    if lost:
        (workspace.region / "region.json").unlink()
    discard(workspace, [f"region/{name}" for name in ("region.json", "weather.csv", "soil.tif")])
    simulate_region(base, SEASON, SEED, workspace.region)
    assert contents(workspace.region) == expected


def test_files_of_somebody_else_are_not_deleted(tmp_path: Path) -> None:
    mine = tmp_path / "catalog" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("not made here")
    with pytest.raises(StageError, match="another folder"):
        simulate_region(SMALL, SEASON, SEED, tmp_path)
    assert mine.read_text() == "not made here"


def test_every_setting_changes_the_region(tmp_path: Path) -> None:
    """`threads` must not, and `parcels_path` has its own test."""
    assert set(CHANGES) | {"threads", "parcels_path"} == set(SimulationOptions.model_fields)
    base = SMALL.model_copy(update={"n_parcels": 20, "last_month": 4, "optical_revisit_days": 15})
    simulate_region(base, SEASON, SEED, tmp_path / "base")
    expected = contents(tmp_path / "base")
    for name, value in CHANGES.items():
        simulate_region(base.model_copy(update={name: value}), SEASON, SEED, tmp_path / name)
        found = contents(tmp_path / name)
        del found["region.json"]
        assert found != {path: digest for path, digest in expected.items() if path in found} or (
            len(found) < len(expected) - 1
        ), name


def test_a_real_parcel_file_can_lend_its_outlines(tmp_path: Path) -> None:
    corners = [(5.0 + 0.003 * k, 50.9) for k in range(20)]
    fields = gpd.GeoDataFrame(
        {"id": range(20)}, geometry=[shapely.box(x, y, x + 0.0025, y + 0.002) for x, y in corners], crs=4326
    )
    fields.to_file(tmp_path / "fields.gpkg", driver="GPKG")
    options = SMALL.model_copy(
        update={"parcels_path": str(tmp_path / "fields.gpkg"), "last_month": 4, "radar_orbits": ()}
    )
    simulate_region(options, SEASON, SEED, tmp_path / "region")
    declared = gpd.read_file(tmp_path / "region" / "declarations.gpkg")
    assert len(declared) == 20
    expected = fields.to_crs(32631).area.to_numpy()
    np.testing.assert_allclose(declared.area, expected, rtol=1e-3)


@pytest.mark.parametrize(
    "path", ["/vsicurl/http://example.org/a.gpkg", "https://example.org/a.gpkg", "absent.gpkg"]
)
def test_outlines_come_from_local_files_only(tmp_path: Path, path: str) -> None:
    with pytest.raises(DeclarationError):
        simulate_region(SMALL.model_copy(update={"parcels_path": path}), SEASON, SEED, tmp_path)


# made, named, scored
TRUTH_BELONGS_TO = (
    "features/simulate/",
    "pipelines/workspace.py",
    "pipelines/steps/evaluation/evaluate.py",
    "pipelines/steps/evaluation/truth.py",
)
DOORS = {"SimulationOptions", "simulate_region", "NOTE"}


def reaches_for_truth(node: ast.AST) -> bool:
    """A path such as `folder / "truth"` or "truth/truth.parquet", `workspace.truth`, or a generator's
    insides.
    """
    match node:
        case ast.Constant(value=str(text)):
            return re.search(r"truth(/|\.parquet)", text) is not None
        case ast.BinOp(op=ast.Div(), right=ast.Constant(value="truth")):
            return True
        case ast.Attribute(value=ast.Name(id="workspace"), attr="truth"):
            return True
        case ast.ImportFrom(module=str(module), names=names):
            return module.startswith("features.simulate") and not {alias.name for alias in names} <= DOORS
    return False


def test_nothing_but_evaluation_reads_the_hidden_truth() -> None:
    root = Path(__file__).parents[3]
    files = sorted(path for folder in CODE_FOLDERS for path in (root / folder).rglob("*.py"))
    others = [file for file in files if not file.relative_to(root).as_posix().startswith(TRUTH_BELONGS_TO)]
    readers = [
        file.name
        for file in others
        if any(map(reaches_for_truth, ast.walk(ast.parse(file.read_text(encoding="utf-8")))))
    ]
    assert readers == []


def test_item_json_says_nothing_of_what_grows(region: Path) -> None:
    for item in items(region):
        text = json.dumps(item.to_dict())
        assert "wheat" not in text and "truth" not in text
