"""How far each folder of real files goes, and that nothing is lost on the way: files to verdicts."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import geopandas as gpd
import pandas as pd
import polars as pl
import pytest
import shapely

from features.catalog.reader import ImageryOptions, read_acquisitions
from features.extraction.observations import read_observations
from features.files import read_parquet
from features.indexing.folder import index_folder
from pipelines.config import load_config
from pipelines.main_job import run_all
from pipelines.workspace import Workspace

pytestmark = pytest.mark.realdata

# What a folder holds, and where it must end; the tests that count it stand in brackets.
REACH = {
    "farmpin-parcels": "parcels with crops, no imagery: declarations (declarations/test_real)",
    "field-cubes": "imagery without declarations: verdicts of made-up fields (here)",
    "flanders-patches": "imagery, weather and declared fields: verdicts (test_end_to_end_flanders)",
    "flux-sites": "series without crops: forecasts (series/test_gapfill_real, benchmarks)",
    "gsaa": "parcels with crops, no imagery: declarations (declarations/test_real)",
    "hcat": "code tables (declarations/test_crop_codes)",
    "iacs-qa": "ranked lists and samples (models/assessment)",
    "lpis-points": "tables of series with crops: verdicts (here)",
    "minicubes": "imagery without declarations: verdicts of made-up fields (here)",
    "mowing-sk": "series with dated events: events (benchmarks)",
    "rasterstats-tests": "rasters and shapes: statistics (zonal/test_real)",
    "salms-mowing": "series with dated events: events (benchmarks)",
    "slovenia-eopatch": "arrays in no raster format: refused (indexing/test_real_accounts)",
    "ucr-crop": "series with classes but without dates: benchmarks",
    "wheat-ch": "imagery without declarations: verdicts of made-up fields (here)",
    "worldcereal-legend": "code tables",
}
POINTS = {
    "2021_BEL_LPIS-Flanders_POLY_110.month.parquet": ("worldcereal", 2021, "2020-08-01", "2021-11-30"),
    "test_public_extractions.parquet": ("worldcereal_steps", 2017, "2016-12-01", "2017-11-30"),
}


def test_every_folder_has_its_end(real_data: Path) -> None:
    assert {path.name for path in real_data.iterdir() if path.is_dir()} <= set(REACH)


@pytest.mark.slow
@pytest.mark.parametrize("name", POINTS)
def test_points_go_from_a_table_to_verdicts(real_data: Path, tmp_path: Path, name: str) -> None:
    path = real_data / "lpis-points" / name
    template, year, start, end = POINTS[name]
    rows = pl.scan_parquet(path, glob=False)
    codes = rows.select(pl.col("ewoc_code").cast(pl.String).unique().drop_nulls()).collect()["ewoc_code"]
    lines = "\n".join(f"{code},crop {code},,crop_{code}" for code in codes)
    (tmp_path / "codes.csv").write_text(f"code,name,hcat_code,crop_class\n{lines}\n")
    (tmp_path / "points.yaml").write_text(f"""
name: points
season: {{year: {year}, start: {start}, end: {end}}}
declarations: {{crops: {{tables: [{tmp_path / "codes.csv"}]}}}}
series:
  calendar: month
  statistics: [mean]
  tables: [{{path: {path}, template: {template}}}]
  labels: {{code: ewoc_code}}
clear: {{method: none}}
folds: {{count: 2}}
train: {{models: {{lightgbm: {{rounds: 8}}}}, explanation: {{parcels: 4}}, least_parcels: 5}}
judge: {{alpha: 0.2}}
forecast: {{methods: [damped]}}
tracking: {{enabled: false}}
""")
    workspace = Workspace(tmp_path / "out")
    run_all(load_config(tmp_path / "points.yaml"), workspace)
    on_disk = rows.select(pl.col("sample_id").cast(pl.String).unique()).collect()["sample_id"].sort()
    verdicts = read_parquet(workspace.verdicts)
    assert verdicts["parcel_id"].sort().to_list() == on_disk.to_list()
    balanced(workspace)


IMAGERY = ("wheat-ch", "field-cubes", "minicubes")
ALWAYS, EVERYWHERE = (date(2000, 1, 1), date(2099, 12, 31)), (-180.0, -90.0, 180.0, 90.0)
CODES = ("10", "20", "30")
FIELDS, FIELD_M = 5, 60.0  # made-up fields in each direction, and their side


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGERY)
def test_imagery_goes_from_files_to_verdicts_of_made_up_fields(
    real_data: Path, tmp_path: Path, name: str
) -> None:
    """One run a year in which there are images; together they take in every item of the folder."""
    indexed = index_folder(real_data / name, tmp_path / "catalog")
    files = [path for path in (real_data / name).rglob("*") if path.is_file() and path.name[0] != "."]
    assert indexed.files.came_in == len(files)
    options = ImageryOptions(catalog=str(indexed.catalog), default_offset=0)
    whole, items = read_acquisitions(options, EVERYWHERE, *ALWAYS)
    assert (items.came_in, items.went_out) == (indexed.items, whole.height)
    write_fields(whole, tmp_path)
    found: list[str] = []
    for year in sorted(set(whole["datetime"].dt.year())):
        workspace = Workspace(tmp_path / f"out_{year}")
        run_all(load_config(config_of(tmp_path, indexed.catalog, year)), workspace)
        balanced(workspace)
        read = {one["unit"]: one for one in tallies(workspace, "read")}
        aside = Counter(read["items"]["set_aside"])
        acquisitions = read_parquet(workspace.acquisitions)
        assert read["items"]["came_in"] == indexed.items
        assert aside - Counter(items.set_aside) == Counter(outside_season=aside["outside_season"])
        extracted = {one["unit"]: one for one in tallies(workspace, "extract")}["acquisitions"]
        assert extracted["came_in"] == acquisitions.height
        seen = read_observations(workspace.observations)
        assert seen.select("datetime", "sensor", "relative_orbit").n_unique() <= extracted["went_out"]
        found += acquisitions["item_id"].to_list()
        declared = gpd.read_file(tmp_path / "fields.gpkg")
        verdicts = read_parquet(workspace.verdicts)
        assert verdicts["parcel_id"].sort().to_list() == sorted(declared["id"])
        assert verdicts["reason"].null_count() == 0
    assert sorted(found) == whole["item_id"].sort().to_list()


def write_fields(acquisitions: pl.DataFrame, folder: Path) -> None:
    """Lay a grid of small fields into every place of some imagery, of three crops in turn."""
    boxes = gpd.GeoSeries.from_wkt(acquisitions["footprint"].unique().sort().to_list(), crs=4326)
    places = gpd.GeoSeries(list(shapely.get_parts(shapely.union_all(boxes.to_numpy()))), crs=4326)
    shapes = pd.concat([fields_in(place) for place in places.to_crs(3035)], ignore_index=True)
    ids = [f"{number:04d}" for number in range(len(shapes))]
    codes = [CODES[number % len(CODES)] for number in range(len(shapes))]
    gpd.GeoDataFrame({"id": ids, "crop": codes}, geometry=shapes, crs=3035).to_file(folder / "fields.gpkg")
    lines = "".join(f"{code},crop {code},,crop_{code}\n" for code in CODES)
    (folder / "codes.csv").write_text(f"code,name,hcat_code,crop_class\n{lines}")


def fields_in(place: shapely.Geometry) -> gpd.GeoSeries:
    left, bottom, right, top = place.bounds
    steps = range(1, FIELDS + 1)
    middles = [
        (left + (right - left) * k / (FIELDS + 1), bottom + (top - bottom) * m / (FIELDS + 1))
        for k in steps
        for m in steps
    ]
    half = min(FIELD_M, (right - left) / FIELDS, (top - bottom) / FIELDS) / 2
    return gpd.GeoSeries([shapely.box(x - half, y - half, x + half, y + half) for x, y in middles])


def config_of(folder: Path, catalog: Path, year: int) -> Path:
    path = folder / f"{year}.yaml"
    path.write_text(f"""
name: made_up
season: {{year: {year}, start: {year}-01-01, end: {year}-12-31}}
declarations:
  path: {folder / "fields.gpkg"}
  fields: {{parcel_id: id, code: crop}}
  crops: {{tables: [{folder / "codes.csv"}]}}
  checks: {{farthest_km: null}}
imagery: {{catalog: {catalog}, default_offset: 0}}
extract: {{inner_buffer_m: 0, statistics: [mean], mask: {{without_classes: clear}}}}
clear: {{method: none}}
folds: {{count: 2}}
train: {{models: {{lightgbm: {{rounds: 8}}}}, explanation: {{parcels: 4}}, least_parcels: 5}}
judge: {{alpha: 0.2}}
forecast: {{methods: [damped]}}
tracking: {{enabled: false}}
""")
    return path


def tallies(workspace: Workspace, stage: str) -> Iterable[dict]:
    receipt = workspace.folder / "receipts" / f"{stage}.json"
    return list(json.loads(receipt.read_text())["tallies"])


def balanced(workspace: Workspace) -> None:
    """Every account of a run adds up, and each stage takes in what the one before gave out."""
    for receipt in (workspace.folder / "receipts").glob("*.json"):
        for tally in json.loads(receipt.read_text())["tallies"]:
            assert tally["came_in"] == tally["went_out"] + sum(tally["set_aside"].values()), receipt.stem
