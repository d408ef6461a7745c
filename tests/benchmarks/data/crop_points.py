"""The points of `lpis-points` read by a config of a few lines, beside the benchmark's own reader."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import xarray as xr

from features.context.parcels import attach_context
from features.files import read_parquet, write_text
from features.series.parcel_series import read_series
from pipelines.config import load_config
from pipelines.main_job import stages
from pipelines.record.stage import run_stage
from pipelines.workspace import Workspace
from tests.benchmarks.data.crop_sets import WorkSet

# what the benchmark's reader computes otherwise than the index of that name: with B08 in place of B8A
OTHERWISE = ("ndmi", "ndre")


@dataclass(frozen=True)
class Points:
    """A file, what wrote it, its season, and its columns of elevation and slope."""

    file: str
    template: str
    year: int
    start: str
    end: str
    heights: str = "{elevation: elevation, slope: slope}"


POINTS = {
    "france_2022": Points(
        "2022_FRA_LPIS_POLY_110.month.geoparquet", "worldcereal", 2022, "2021-09-01", "2023-01-31"
    ),
    "flanders_2021": Points(
        "2021_BEL_LPIS-Flanders_POLY_110.month.parquet", "worldcereal", 2021, "2020-08-01", "2021-11-30"
    ),
    "east_africa": Points(
        "test_public_extractions.parquet", "worldcereal_steps", 2017, "2016-12-01", "2017-11-30",
        "{DEM-alt-20m: elevation, DEM-slo-20m: slope}",
    ),
}  # fmt: skip
CONFIG = """
name: {name}
season: {{year: {of.year}, start: {of.start}, end: {of.end}}}
declarations: {{crops: {{tables: [{codes}]}}}}
series:
  calendar: month
  statistics: [mean]
  tables: [{{path: {path}, template: {of.template}, derive: [ndvi, ratio_db], context: {of.heights}}}]
  labels: {{code: ewoc_code}}
clear: {{method: none}}
tracking: {{enabled: false}}
"""


def by_config(name: str, data: Path, folder: Path) -> xr.Dataset:
    """Run `read`, `extract` and `fill` from the table; return the series, before gaps are filled, with
    elevation and slope.
    """
    of = POINTS[name]
    path = data / "lpis-points" / of.file
    codes = pl.scan_parquet(path, glob=False).select(pl.col("ewoc_code").cast(pl.String).unique())
    lines = [f"{code},crop {code},,crop_{code}" for code in codes.collect()["ewoc_code"].drop_nulls().sort()]
    table = write_text(folder / "codes.csv", "\n".join(["code,name,hcat_code,crop_class", *lines]) + "\n")
    said = CONFIG.format(name=name, of=of, codes=table.absolute(), path=path.absolute())
    config, workspace = load_config(write_text(folder / "config.yaml", said)), Workspace(folder / "out")
    for stage in stages(config):
        run_stage(stage, config, workspace, lambda done, total: None)
        if stage.name == "fill":
            break
    context = read_parquet(workspace.observations / "context.parquet")
    return attach_context(read_series(workspace.series), context.select("parcel_id", "elevation", "slope"))


def both_ways(work: WorkSet, series: xr.Dataset) -> tuple[WorkSet, WorkSet]:
    """Return the set as the benchmark reads it and as the config does: the same parcels and features, those
    that both have and compute alike.
    """
    named = series["feature"].values.tolist()
    shared = [
        name for name in work.series["feature"].values.tolist() if name in named and name not in OTHERWISE
    ]
    own = work.series.sel(feature=shared)
    read = series.sel(parcel=own["parcel"].values, feature=shared, statistic=["mean"])
    return replace(work, series=own), replace(work, series=read)


def differing(own: WorkSet, read: WorkSet) -> float:
    """Return the share of the benchmark's values that the config's series lacks or has otherwise."""
    mine, theirs = own.series["value"].to_numpy(), read.series["value"].to_numpy()
    known = np.isfinite(mine)
    same = np.isclose(mine, theirs, rtol=1e-4, atol=1e-6)
    return float(1 - same[known].mean())
