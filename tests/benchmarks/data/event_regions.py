"""Simulated regions that nothing was tuned on, as far as their observations, and what is detected in them."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl

from features.extraction.observations import read_observations
from features.files import read_parquet
from models.events.labels import Labels, read_labels
from models.events.learning.detector import ALL, fit_detector, rule_detector
from models.events.options import EventOptions
from models.events.series import BANDS, OPTICAL, RADAR, EventSeries, from_observations
from models.events.table import Found, detect_events
from models.folds import assign_folds
from pipelines.config import load_config
from pipelines.main_job import run_one
from pipelines.workspace import Workspace

CONFIG = Path("conf/synthetic.yaml")
START, END = date(2024, 3, 1), date(2024, 10, 31)
FOLDS = 5
STAGES = ("synthesise", "read", "clear", "extract")
# cloud removal has no part in events: filled pixels are not looked at
SETTINGS = ("clear.method=linear", "tracking.enabled=false")


@dataclass(frozen=True)
class Region:
    """A simulated region: declarations, observations as series, field records, and the hidden truth."""

    folder: Path
    declared: gpd.GeoDataFrame
    series: EventSeries
    labels: Labels
    truth: pl.DataFrame

    @property
    def tag(self) -> str:
        """The region's own name, for ids that meet those of other regions."""
        return self.folder.name


def made(folder: Path, seeds: list[int], end: date = END) -> list[Path]:
    """Make regions of those seeds below `folder`, where they are not there yet; return their folders.

    `end` is the last day of imagery and season.
    """
    runs = []
    for seed in seeds:
        workspace = Workspace(folder / (f"seed_{seed}" if end == END else f"seed_{seed}_to_{end:%m%d}"))
        runs.append(workspace.folder)
        if (workspace.receipts / f"{STAGES[-1]}.json").is_file():
            continue
        length = (f"simulate.last_month={end.month}", f"season.end={end}")
        config = load_config(CONFIG, [f"seed={seed}", *SETTINGS, *length])
        for stage in STAGES:
            run_one(stage, config, workspace)
    return runs


def read_region(run: Path, end: date = END) -> Region:
    """Read a region from a run's folder; only main events (of at least half of a parcel) are its truth."""
    declared = gpd.read_parquet(run / "declarations.parquet")
    ids = declared["parcel_id"].tolist()
    names = list(dict.fromkeys((*BANDS, *OPTICAL, *RADAR)))
    series = from_observations(read_observations(run / "observations", names), ids, START)
    labels, _ = read_labels(run / "region/field_records.csv", ids, START, end)
    truth = read_parquet(run / "region/truth/events.parquet").filter(pl.col("share") >= 0.5)
    return Region(run, declared, series, labels, truth)


def detected(region: Region, options: EventOptions, *, radar: bool = True, rule: bool = False) -> Found:
    """Detect events by rules, or by what learns from the field records, out of fold."""
    series = region.series if radar else region.series.without_radar()
    if rule:
        return detect_events(rule_detector(options), series, np.full(len(series), ALL))
    fold = assign_folds(region.declared, FOLDS, 1)
    detector, own = fit_detector(series, region.labels, fold, options)
    return detect_events(detector, series, own)
