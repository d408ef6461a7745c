"""The main job on two real patches of Flanders: few parcels, so nothing is promised or made up."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from features.extraction.observations import read_observations
from features.series.parcel_series import read_series

ROOT = Path(__file__).parents[2]
SECOND = (
    "name=flanders_2019",
    "season.year=2019",
    "season.start=2019-03-01",
    "season.end=2019-10-31",
    "declarations.path=000028085BF08E7E/parcels.gpkg",
    "weather=000028085BF08E7E/weather.csv",
)
pytestmark = [pytest.mark.slow, pytest.mark.realdata]


def cropcheck(*words: str | Path) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "pipelines.cli", *(str(word) for word in words)]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False, timeout=500)


@pytest.fixture(scope="module")
def catalog(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flanders") / "catalog"
    done = cropcheck("catalog", real_data / "flanders-patches", "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(("settings", "parcels", "has_ndvi"), [((), 16, True), (SECOND, 17, False)])
def test_a_patch_goes_from_imagery_to_reports(
    catalog: Path, tmp_path: Path, settings: tuple[str, ...], parcels: int, has_ndvi: bool
) -> None:
    words = [word for setting in ("tracking.enabled=false", *settings) for word in ("--set", setting)]
    done = cropcheck("run", ROOT / "conf/flanders.yaml", "--data", catalog, "--out", tmp_path / "run", *words)
    assert done.returncode == 0, done.stderr
    verdicts = pl.read_parquet(tmp_path / "run" / "verdicts.parquet")
    assert len(verdicts) == parcels
    assert set(verdicts["verdict"]) <= {"inconclusive", "not_monitorable"}
    assert "class_too_small" in set(verdicts["reason"])
    series = read_series(tmp_path / "run" / "series.nc")
    assert ("ndvi" in series["feature"].to_numpy()) == has_ndvi
    accounted(catalog, tmp_path / "run")
    for page in ("agency", "analyst", "auditor"):
        assert (tmp_path / "run" / "reports" / f"{page}.html").is_file()


def accounted(catalog: Path, run: Path) -> None:
    """Every item of the catalog, acquisition and parcel comes out or is set aside, from stage to stage."""
    receipts = {path.stem: json.loads(path.read_text()) for path in (run / "receipts").glob("*.json")}
    tallies = {stage: {one["unit"]: one for one in said["tallies"]} for stage, said in receipts.items()}
    for stage, own in tallies.items():
        for one in own.values():
            assert one["came_in"] == one["went_out"] + sum(one["set_aside"].values()), stage
    items = tallies["read"]["items"]
    acquisitions = pl.read_parquet(run / "acquisitions.parquet")
    assert items["came_in"] == len(list(catalog.rglob("item.json")))
    assert items["went_out"] == len(acquisitions) == tallies["extract"]["acquisitions"]["came_in"]
    seen = read_observations(run / "observations")
    assert seen.select("datetime", "sensor").n_unique() <= tallies["extract"]["acquisitions"]["went_out"]
    parcels = len(pl.read_parquet(run / "verdicts.parquet"))
    assert {own["parcels"]["came_in"] for own in tallies.values() if "parcels" in own} == {parcels}


def test_real_maize_greens_up_between_spring_and_summer(catalog: Path, tmp_path: Path) -> None:
    words = ("--data", catalog, "--out", tmp_path / "run", "--set", "clear.method=none")
    for stage in ("extract", "fill"):
        assert cropcheck(stage, ROOT / "conf/flanders.yaml", *words).returncode == 0
    series = read_series(tmp_path / "run" / "series.nc")
    declared = pl.read_parquet(tmp_path / "run" / "declarations.parquet", columns=["crop_class"])
    maize = series.isel(parcel=(declared["crop_class"] == "maize").to_numpy()).sel(feature="ndvi")
    ndvi = maize["value"].sel(statistic="mean").where(maize["observed"])
    after_sowing = float(ndvi.sel(time=slice("2018-05-10", "2018-06-10")).mean())
    full_canopy = float(ndvi.sel(time=slice("2018-07-10", "2018-08-10")).mean())
    assert after_sowing < 0.5 < full_canopy  # sown in late April to May, closed by July
