"""What lies after `season.until` is not seen: hidden or there, the verdicts are the same to the byte."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from pipelines.config import RunConfig, load_config
from pipelines.main_job import run_one
from pipelines.stages.fill import weather_of
from pipelines.workspace import Workspace

ROOT = Path(__file__).parents[3]
UNTIL = "2024-06-20"
BRIEF = (
    "simulate.n_parcels=60", "simulate.radar_revisit_days=24", "season.end=2024-08-31", "folds.count=2",
    "train.models={lightgbm: {rounds: 5}}", "train.explanation={parcels: 5}", "train.least_parcels=2",
    "judge.season_dates=0", "tracking.enabled=false",
)  # fmt: skip


def config_of(data: Path) -> RunConfig:
    """The tiny config, reading a region's files as an agency's."""
    text = (ROOT / "conf" / "tiny.yaml").read_text()
    (data / "agency.yaml").write_text(text[: text.index("simulate:")] + text[text.index("declarations:") :])
    real = [setting for setting in BRIEF if not setting.startswith("simulate")]
    files = (
        f"declarations.path={data}/declarations.gpkg", f"declarations.crops.tables=[{data}/crops.csv]",
        f"imagery.catalog={data}/catalog/catalog.json", f"weather={data}/weather.csv",
    )  # fmt: skip
    return load_config(data / "agency.yaml", [*real, *files, f"season.until={UNTIL}"])


def judged(data: Path, run: Path) -> Workspace:
    workspace = Workspace(run)
    for stage in ("clear", "extract", "fill", "train", "detect", "judge"):
        run_one(stage, config_of(data), workspace)
    return workspace


def hide_what_comes_later(data: Path) -> int:
    """Delete every item after the day, its images, and the days of weather; return how many items."""
    hidden = 0
    for path in (data / "catalog").rglob("collection.json"):
        collection = json.loads(path.read_text())
        kept = []
        for link in collection["links"]:
            item = path.parent / link["href"]
            late = (
                link["rel"] == "item" and json.loads(item.read_text())["properties"]["datetime"][:10] > UNTIL
            )
            if late:
                shutil.rmtree(item.parent)
                hidden += 1
            else:
                kept.append(link)
        path.write_text(json.dumps({**collection, "links": kept}))
    weather = pl.read_csv(data / "weather.csv")
    weather.filter(pl.col("date") <= UNTIL).write_csv(data / "weather.csv")
    return hidden


@pytest.mark.slow
def test_files_after_the_day_change_no_verdict(tmp_path: Path) -> None:
    config = load_config(ROOT / "conf" / "tiny.yaml", list(BRIEF))
    run_one("synthesise", config, Workspace(tmp_path / "made"))
    data = tmp_path / "made" / "region"
    there = judged(data, tmp_path / "there")
    last = pl.read_parquet(there.acquisitions)["datetime"].max()
    assert str(last)[:10] <= UNTIL
    assert hide_what_comes_later(data) > 5
    hidden = judged(data, tmp_path / "hidden")
    for name in ("filled.nc", "probabilities.parquet", "verdicts.parquet"):
        assert (there.folder / name).read_bytes() == (hidden.folder / name).read_bytes()


def test_weather_ends_on_the_day(tmp_path: Path) -> None:
    (tmp_path / "weather.csv").write_text(
        "date,t_min_c,t_max_c,precipitation_mm\n2024-06-20,8,20,0\n2024-06-21,9,30,0\n"
    )
    for until, days in ((UNTIL, 1), ("2024-06-21", 2)):
        settings = [f"weather={tmp_path}/weather.csv", f"season.until={until}"]
        config = load_config(ROOT / "conf" / "real-region.yaml", settings)
        weather = weather_of(config, Workspace(tmp_path / "run"))
        assert weather is not None
        assert weather.height == days
