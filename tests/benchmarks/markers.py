"""Markers on simulated regions: false alarms, missed breaches and the share decided, by requirement.

`uv run python -m tests.benchmarks.markers [--regions DIR] [--seeds 11 12 13] [--to 12-31] [--json FILE]`.
With `--to` imagery and season end later: the window of the catch crop ends with the year. Regions are made
below DIR where they are not there yet, as far as their observations. Both subjects are calibrated by the
same field records to the same promise (at most ALPHA of compliant parcels `not_met`): `cropcheck` by the
learned detector's chances and by NDVI, `rule` by the scores of the rules and by looks that are green or not.
So missed breaches are compared at the same promise; the rate that each comes to stands beside it. Intervals
are Clopper and Pearson's over the parcels of all regions.
"""

import argparse
import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from features.declarations.schemes import Schemes, read_schemes
from features.files import read_parquet
from models.evaluation.metrics import clopper_pearson
from models.events.options import EventOptions
from models.events.table import Found
from models.verdicts.cover import GREEN_NDVI
from models.verdicts.marker_scores import marker_rates
from models.verdicts.markers import Facts, Season, markers_of
from pipelines.stages.detect import looks_of
from tests.benchmarks.data.event_regions import END, START, Region, detected, made, read_region

Rows = list[dict[str, Any]]
Done = dict[str, list[tuple[str, date, date]]]
ALPHA = 0.05
SUBJECTS = ("cropcheck", "rule")


def main() -> None:
    """Make or read the regions, judge, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--regions", type=Path, default=Path("out/benchmarks/event_regions"))
    parser.add_argument("--seeds", nargs="*", type=int, default=[11, 12, 13, 14, 15])
    parser.add_argument("--method", default="boosting", choices=["boosting", "network", "combined"])
    parser.add_argument("--to", choices=["10-31", "12-31"], default="10-31", help="end of the season")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    end = date.fromisoformat(f"{END.year}-{arguments.to}")
    schemes = read_schemes()
    options = EventOptions(rows_wanted=0, method=arguments.method)
    parts = []
    for run in made(arguments.regions, arguments.seeds, end):
        region = read_region(run, end)
        for subject in SUBJECTS:
            found = detected(region, options, rule=subject == "rule")
            facts = facts_of(region, found, green_or_not=subject == "rule")
            rates = rates_of(region, facts, schemes, Season(START, end, end))
            parts.append(rates.with_columns(subject=pl.lit(subject)))
    rows = pooled(pl.concat(parts))
    if arguments.method != "boosting":
        named = {"cropcheck": f"cropcheck_{arguments.method}"}
        rows = [{**row, "subject": named.get(row["subject"], row["subject"])} for row in rows]
    for row in rows:
        print(*(row[name] for name in ("work", "subject", "metric", "value", "low", "high", "n")), sep="\t")
    if arguments.json:
        machine = {
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        }
        settings = {"seeds": arguments.seeds, "season_end": str(end), "alpha": ALPHA}
        stored = {"machine": machine, **settings, "rows": rows}
        arguments.json.write_text(json.dumps(stored, indent=1) + "\n")


def rates_of(region: Region, facts: Mapping[str, Facts], schemes: Schemes, season: Season) -> pl.DataFrame:
    """Return how often the markers of one region err, schema RATES."""
    columns = ["parcel_id", "intervention", "crop_class"]
    declared = pl.from_pandas(region.declared[columns].astype("string[pyarrow]"))
    parcels = dict(
        read_parquet(region.folder / "parcels.parquet").select("parcel_id", "full_pixels").iter_rows()
    )
    least = EventOptions().min_pixels
    small = {name: "too_few_pixels" for name, pixels in parcels.items() if (pixels or 0) < least}
    small |= {name: "outside_imagery" for name in declared["parcel_id"] if name not in parcels}
    told = by_parcel(region.labels.events)
    watched = {name: told.get(name, []) for name in region.labels.watched}
    markers = markers_of(declared, schemes, facts, small, watched, season, ALPHA, "benchmark")
    truth = by_parcel(region.truth)
    every = {name: truth.get(name, []) for name in declared["parcel_id"]}
    return marker_rates(markers, schemes, every, season, ALPHA)


def facts_of(region: Region, found: Found, *, green_or_not: bool) -> dict[str, Facts]:
    """Return what is known of each parcel; where looks are green or not, by GREEN_NDVI, NDVI is 1 or 0."""
    possible: dict[str, list[dict]] = {}
    for row in found.chances.iter_rows(named=True):
        possible.setdefault(row["parcel_id"], []).append(row)
    return {
        name: Facts(possible.get(name, []), looks, ruled(ndvi) if green_or_not else ndvi, passes)
        for name, looks, ndvi, passes in looks_of(region.series).iter_rows()
        if looks or passes
    }


def ruled(ndvi: Sequence[float]) -> list[float]:
    """Return 1 for green looks and 0 for others."""
    return [float(value >= GREEN_NDVI) for value in ndvi]


def by_parcel(table: pl.DataFrame) -> Done:
    """Return events with first and last day, by parcel."""
    done: Done = {}
    for name, event, first, last in table.select("parcel_id", "event", "first", "last").iter_rows():
        done.setdefault(name, []).append((event, first, last))
    return done


def pooled(rates: pl.DataFrame) -> Rows:
    """Return the rates of all regions together, and how many breaches fewer are missed than by the rule."""
    counted = rates.with_columns(hits=(pl.col("value").fill_null(0) * pl.col("n")).round().cast(pl.Int64))
    sums = counted.group_by("requirement", "subject", "metric", maintain_order=True).agg(
        pl.col("hits").sum(), pl.col("n").sum()
    )
    rows: Rows = []
    missed: dict[tuple[str, str], float] = {}
    for requirement, subject, metric, hits, n in sums.iter_rows():
        value = hits / n if n else None
        low, high = clopper_pearson(value, n) if value is not None else (None, None)
        rows.append(row(requirement, subject, metric, (value, low, high), n))
        if metric == "miss_rate" and value is not None:
            missed[requirement, subject] = value
    for requirement in dict.fromkeys(name for name, _ in missed):
        ours, rule = missed[requirement, "cropcheck"], missed[requirement, "rule"]
        fewer = 1 - ours / rule if rule else None
        rows.append(row(requirement, "cropcheck", "fewer_missed_than_rule", (fewer, None, None), None))
    return rows


def row(
    requirement: str, subject: str, metric: str, found: Sequence[float | None], n: int | None
) -> dict[str, Any]:
    """Return one row of the table."""
    value, low, high = (None if one is None else round(one, 4) for one in found)
    return {
        "work": f"synthetic_{requirement}", "subject": subject, "metric": metric, "value": value, "low": low,
        "high": high, "n": n, "unit": "1",
    }  # fmt: skip


if __name__ == "__main__":
    main()
