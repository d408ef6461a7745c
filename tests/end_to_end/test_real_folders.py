"""How far each folder of real files goes, and that nothing is lost on the way: files to verdicts."""

import json
from pathlib import Path

import polars as pl
import pytest

from features.files import read_parquet
from pipelines.config import load_config
from pipelines.main_job import run_all
from pipelines.workspace import Workspace

pytestmark = pytest.mark.realdata

# What a folder holds, and where it must end; the tests that count it stand in brackets.
REACH = {
    "farmpin-parcels": "parcels with crops, no imagery: declarations (declarations/test_real)",
    "field-cubes": "imagery without declarations: acquisitions (indexing/test_real_accounts)",
    "flanders-patches": "imagery, weather and declared fields: verdicts (test_end_to_end_flanders)",
    "flux-sites": "series without crops: forecasts (series/test_gapfill_real, benchmarks)",
    "gsaa": "parcels with crops, no imagery: declarations (declarations/test_real)",
    "hcat": "code tables (declarations/test_crop_codes)",
    "iacs-qa": "ranked lists and samples (models/assessment)",
    "lpis-points": "tables of series with crops: verdicts (here)",
    "minicubes": "imagery without declarations: acquisitions (indexing/test_real_accounts)",
    "mowing-sk": "series with dated events: events (benchmarks)",
    "rasterstats-tests": "rasters and shapes: statistics (zonal/test_real)",
    "salms-mowing": "series with dated events: events (benchmarks)",
    "slovenia-eopatch": "arrays in no raster format: refused (indexing/test_real_accounts)",
    "ucr-crop": "series with classes but without dates: benchmarks",
    "wheat-ch": "imagery without declarations: acquisitions (indexing/test_real_accounts)",
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


def balanced(workspace: Workspace) -> None:
    """Every account of a run adds up, and each stage takes in what the one before gave out."""
    for receipt in (workspace.folder / "receipts").glob("*.json"):
        for tally in json.loads(receipt.read_text())["tallies"]:
            assert tally["came_in"] == tally["went_out"] + sum(tally["set_aside"].values()), receipt.stem
