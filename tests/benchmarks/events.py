"""Events against references: real Slovak grassland, the JRC's SALMS example, and simulated regions.

`uv run python -m tests.benchmarks.events [--work mowing_sk salms synthetic] [--method NAME] [--json FILE]`.

`mowing_sk` is trained on the set's training part only and scored on its test part; `salms` is scored with the
detector of that training part, fitted on the bands that the example has. `synthetic` makes simulated
regions, as far as their observations, and scores them against the hidden truth, with radar and without. One
scorer for all: `models.events.scoring`. `speed` times made-up series.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from models.evaluation.metrics import clopper_pearson
from models.events.labels import SCHEMA, Labels
from models.events.learning.detector import ALL, Detector, fit_detector, rule_detector
from models.events.options import EventOptions, Method
from models.events.scoring import Score, score_units, told_apart
from models.events.series import OPTICAL, RADAR, EventSeries
from models.events.table import SEEN, detect_events
from tests.benchmarks.data.event_regions import END, START, detected, made, read_region
from tests.benchmarks.data.mowing_data import PLAIN_YEAR, Grassland, read_salms, read_test, read_training

Rows = list[dict[str, Any]]
WRONG_SHARE = 0.15  # the row of the table asks for a precision of .85
REJECTED = 0.3
FOLDS = 5
SALMS_CHANNELS = ("ndvi",)  # the example has no bands corrected like those of the training part
SPEED = (100_000, 60)  # parcels and steps


def main() -> None:
    """Run what is asked for, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", nargs="*", default=["mowing_sk", "salms", "speed"])
    parser.add_argument("--regions", type=Path, default=Path("out/benchmarks/event_regions"))
    parser.add_argument("--seeds", nargs="*", type=int, default=[11, 12, 13, 14, 15], help="of the regions")
    parser.add_argument("--method", default="boosting", choices=["boosting", "network", "combined"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows: Rows = []
    rows += mowing_sk(slovak_detector(method=arguments.method)) if "mowing_sk" in arguments.work else []
    rows += salms() if "salms" in arguments.work else []
    runs = made(arguments.regions, arguments.seeds) if "synthetic" in arguments.work else []
    rows += synthetic(runs, arguments.method) if runs else []
    rows += speed() if "speed" in arguments.work else []
    if arguments.method != "boosting":
        rows = [{**row, "subject": f"{row['subject']}_{arguments.method}"} for row in rows]
    for row in rows:
        print(*(row[name] for name in ("work", "subject", "metric", "value", "low", "high", "n")), sep="\t")
    if arguments.json:
        known = [{name: _known(value) for name, value in row.items()} for row in rows]
        arguments.json.write_text(json.dumps({"rows": known}, indent=1, allow_nan=False) + "\n")


def _known(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value


def slovak_detector(channels: Sequence[str] = OPTICAL, method: Method = "boosting") -> Detector:
    """Fit on the training part, whose labels are intervals: from the look before the dated image to that one.

    Parameters
    ----------
    channels
        What is learned from; a series that is to be searched has the same.
    """
    data = read_training()
    hidden = [k for k, name in enumerate(OPTICAL) if name not in channels]
    data.series.optical[:, :, hidden] = np.nan
    looks = {name: data.looks(name) for name in data.series.parcel_ids}
    events = []
    for unit, event, day in data.events:
        before = [look for look in looks.get(unit, []) if look < day]
        first = data.series.when((before[-1] + 1) if before else day)
        events.append((unit, event, first, data.series.when(day), False))
    labels = Labels(
        pl.DataFrame(events, schema=SCHEMA, orient="row"), tuple(sorted(data.labelled)), ("mowing",)
    )
    group = np.array([data.group[name] for name in data.series.parcel_ids])
    fold = np.random.default_rng(1).integers(0, FOLDS, group.max() + 1)[group]
    options = EventOptions(wrong_share=WRONG_SHARE, rows_wanted=60_000, method=method)
    return fit_detector(data.series, labels, fold, options)[0]


def mowing_sk(detector: Detector) -> Rows:
    """Score on the test part: all plot-years, and with the most doubtful three in ten set aside."""
    data = read_test()
    rows: Rows = []
    for subject, one in (("cropcheck", detector), ("rule", rule_detector(detector.options))):
        found, doubt = predicted(one, data.series)
        units = list(data.series.parcel_ids)
        rows += scored("mowing_sk", subject, found, data, units)
        kept = sorted(units, key=lambda unit: (doubt[unit], unit))[: round((1 - REJECTED) * len(units))]
        rows += scored("mowing_sk_30_rejected", subject, found, data, kept)
    return rows


def salms() -> Rows:
    """Score the 17 events of the JRC's example."""
    data = read_salms()
    rows: Rows = []
    detector = slovak_detector(SALMS_CHANNELS)
    for subject, one in (("cropcheck", detector), ("rule", rule_detector(detector.options))):
        found, _ = predicted(one, data.series)
        rows += scored("salms", subject, found, data, list(data.series.parcel_ids))
    return rows


def predicted(detector: Detector, series: EventSeries) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Return days of the year of reported cuts by unit, and how doubtful each unit is, 0 to 0.5."""
    everyone = np.full(len(series), ALL)
    intervals = detector.intervals(series, everyone)
    scores = detector.all_scores(intervals, everyone)
    peaks, chance = detector.peaks(intervals, "mowing", scores, everyone)
    found: dict[str, list[float]] = {}
    doubt = dict.fromkeys(series.parcel_ids, 0.0)
    for k, day, p in zip(peaks.interval, peaks.day, chance, strict=True):
        unit = series.parcel_ids[intervals.row[k]]
        doubt[unit] = max(doubt[unit], min(p, 1 - p))
        if p >= detector.reported_from("mowing"):
            found.setdefault(unit, []).append(day + 1)
    return found, doubt


def scored(
    work: str, subject: str, found: Mapping[str, Sequence[float]], data: Grassland, units: Sequence[str]
) -> Rows:
    """Return the benchmark's rows of one detector on some units, bootstrapped over plots."""
    expected: dict[str, list[float]] = {}
    for unit, event, day in data.events:
        if event == "mowing":
            expected.setdefault(unit, []).append(day + 1)
    groups = {unit: str(data.group[unit]) for unit in units}
    return rows_of(work, subject, score_units(found, expected, units, groups))


def rows_of(work: str, subject: str, scores: Sequence[Score]) -> Rows:
    """Return scores as rows of a benchmark."""
    return [
        {
            "work": work, "subject": subject, "metric": score.metric, "value": round(score.value, 4),
            "low": round(score.low, 4), "high": round(score.high, 4), "n": score.n, "unit": score.unit,
        }
        for score in scores
    ]  # fmt: skip


def synthetic(runs: Sequence[Path], method: Method) -> Rows:
    """Score every kind over all runs together, with radar and without; and mowing within long gaps."""
    rows: Rows = []
    for subject, radar in (("cropcheck", True), ("cropcheck_without_radar", False), ("rule", True)):
        found: dict[str, dict[str, list[float]]] = {}
        truth: dict[str, dict[str, list[float]]] = {}
        units: list[str] = []
        in_gap = [0, 0]
        grazed = [0, 0]
        for run in runs:
            one = _scored_region(run, radar, subject == "rule", method)
            units += one["units"]
            for event, days in one["found"].items():
                found.setdefault(event, {}).update(days)
            for event, days in one["truth"].items():
                truth.setdefault(event, {}).update(days)
            in_gap = [a + b for a, b in zip(in_gap, one["in_gap"], strict=True)]
            grazed = [a + b for a, b in zip(grazed, one["grazed"], strict=True)]
        for event, expected in truth.items():
            scores = score_units(found.get(event, {}), expected, units, draws=200)
            rows += rows_of(f"synthetic_{event}", subject, scores)
        for metric, (hits, n) in (("recall_in_gaps_over_24_days", in_gap), ("grazed_called_mown", grazed)):
            low, high = clopper_pearson(hits / n, n) if n else (math.nan, math.nan)
            rows += rows_of("synthetic_mowing", subject, [Score(metric, hits / max(n, 1), low, high, n)])
    return rows


def _scored_region(run: Path, radar: bool, rule: bool, method: Method) -> dict[str, Any]:
    region = read_region(run)
    options = EventOptions(rows_wanted=0, method=method)  # thousands of labels: nothing is learned from twice
    events = detected(region, options, radar=radar, rule=rule).events.filter(pl.col("reason") == SEEN)
    truth = region.truth.filter(pl.col("first").is_between(START, END) & (pl.col("event") != "green_cover"))
    tag = region.tag
    found, known = _days(events, "date", tag), _days(truth, "first", tag)
    series = region.series if radar else region.series.without_radar()
    return {
        "units": [f"{tag}/{name}" for name in series.parcel_ids],
        "found": found,
        "truth": known,
        "in_gap": _in_gaps(series, found.get("mowing", {}), known.get("mowing", {}), tag),
        "grazed": _grazed(found.get("mowing", {}), known),
    }


def _days(table: pl.DataFrame, column: str, tag: str) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {}
    for parcel, event, day in table.select("parcel_id", "event", column).iter_rows():
        found.setdefault(event, {}).setdefault(f"{tag}/{parcel}", []).append(float(day.timetuple().tm_yday))
    return found


def _in_gaps(
    series: EventSeries, found: Mapping[str, list[float]], known: Mapping[str, list[float]], tag: str
) -> list[int]:
    """Return how many cuts within gaps of over 24 days of optics were found, and how many there were."""
    clear = np.isfinite(series.optical[:, :, 0])
    offset = series.origin.timetuple().tm_yday
    hits = n = 0
    for row, name in enumerate(series.parcel_ids):
        unit = f"{tag}/{name}"
        if not told_apart(known.get(unit, [])):
            continue
        days = series.days[clear[row]] + offset
        for day in known.get(unit, []):
            before, after = days[days < day], days[days >= day]
            if len(before) and len(after) and after[0] - before[-1] > 24:
                n += 1
                hits += any(abs(day - one) <= 12 for one in found.get(unit, []))
    return [hits, n]


def _grazed(found: Mapping[str, list[float]], known: Mapping[str, Mapping[str, list[float]]]) -> list[int]:
    """Return how many grazed parcels have a reported cut where there was none, and how many there are."""
    cuts = known.get("mowing", {})
    wrong = [
        unit
        for unit in known.get("grazing", {})
        if any(all(abs(day - cut) > 12 for cut in cuts.get(unit, [])) for day in found.get(unit, []))
    ]
    return [len(wrong), len(known.get("grazing", {}))]


def speed() -> Rows:
    """Time the detection of made-up series: rules do the same work but for the boosters' predictions."""
    parcels, steps = SPEED
    rng = np.random.default_rng(1)
    n = 2000
    optical = rng.normal(0.5, 0.2, (n, steps, len(OPTICAL) + 1)).astype(np.float32)
    days = np.arange(0, 6 * steps, 6, dtype=np.int32)
    radar = rng.normal(-12, 2, (n, steps, len(RADAR))).astype(np.float32)
    series = EventSeries(
        tuple(f"{k}" for k in range(n)), PLAIN_YEAR, days, optical, days + 1, np.full(steps, 37), radar,
        np.full(n, 40, np.float32),
    )  # fmt: skip
    detector = slovak_detector()
    detector.options = detector.options.model_copy(update={"chunk": 500})
    own = np.full(n, ALL)
    timed(lambda: detect_events(detector, series.take(np.arange(50)), own[:50]))
    seconds = timed(lambda: detect_events(detector, series, own)) * parcels / n
    return [{
        "work": "speed_100k_x_60", "subject": "cropcheck", "metric": "seconds", "value": round(seconds, 1),
        "low": None, "high": None, "n": n, "unit": "s",
    }]  # fmt: skip


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
