"""NDVI ahead against persistence, climatology and damped persistence, on real sites and simulated regions.

`uv run python -m tests.benchmarks.forecast [--work flux_sites synthetic speed minicubes in_season] [--quick]
[--json FILE]`.

`flux_sites`: learned from other sites and the years up to 2021, scored on held-out sites from 2022 on; no
weather is known there. `synthetic`: learned in some regions and seasons, scored in other regions on a later
season, with the weather ahead measured, by climatology and not known; `synthetic_cloud`: forecasts for today
from a last clear look 10, 30 or 60 days back, with radar since and without. `speed`: 100,000 made-up parcels.
`minicubes`: pixels beside a peer's network. `in_season`: crops classified with forecasts and without.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from features.context.daily import Daily
from models.evaluation.metrics import Estimate
from models.forecast.forecaster import ALL, Forecast, Forecaster, fit_forecaster, forecast
from models.forecast.history import History
from models.forecast.intervals import season_of
from models.forecast.learning.samples import AHEAD, STEP, Samples, horizon_step, on_days, seen_ahead
from models.forecast.options import ForecastOptions
from models.forecast.scoring import Truth, best_of, coverage, errors, improvement, outperformance
from tests.benchmarks.data.forecast_cubes import CUBES, forecast_cube, learned_elsewhere
from tests.benchmarks.data.forecast_data import CROPLAND, GRASSLAND, flux_sites, regions
from tests.benchmarks.forecast_in_season import blind_forecaster, compared

Rows = list[dict[str, Any]]
FOLDS = 5
INNER = 3
BASELINES = ("persistence", "climatology", "damped")
LEAST_CELL = 200
ABLATIONS = {  # with and without: what is forecast in two of the ways of `synthetic`
    "radar": ("no_weather_ahead", "without_radar"),
    "weather": ("no_weather_ahead", "without_weather"),
    "weather_ahead_measured": ("weather_ahead_measured", "no_weather_ahead"),
    "land_surface": ("with_land_surface", "no_weather_ahead"),
    "soil_and_elevation": ("with_soil", "no_weather_ahead"),
}
SEASON_NAMES = ("winter", "spring", "summer", "autumn")
TRAINED_ON, TESTED_ON = [11, 12], [101, 102, 103]
SEASONS = [2021, 2022, 2023, 2024]


def main() -> None:
    """Run what is asked for, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", nargs="*", default=["flux_sites", "synthetic", "speed"])
    parser.add_argument("--methods", nargs="*", default=["boosting", "lstm", "lstm_monthly"])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--save", type=Path, help="folder for the scored forecasts, as .npz")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    options = ForecastOptions(
        methods=tuple(arguments.methods), most_samples=6_000 if arguments.quick else 30_000,
        epochs=1 if arguments.quick else 4,
    )  # fmt: skip
    rows: Rows = []
    rows += sites(options, arguments.save) if "flux_sites" in arguments.work else []
    rows += synthetic(options, 150 if arguments.quick else 500) if "synthetic" in arguments.work else []
    rows += minicubes(options) if "minicubes" in arguments.work else []
    rows += in_season(options, 150 if arguments.quick else 500) if "in_season" in arguments.work else []
    rows += speed(options) if "speed" in arguments.work else []
    for row in rows:
        print(*(row[name] for name in ("work", "subject", "metric", "value", "low", "high", "n")), sep="\t")
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


def sites(options: ForecastOptions, save: Path | None = None) -> Rows:
    """Score the flux-tower sites: every site by models of other sites and earlier years."""
    history = flux_sites()
    fold = np.random.default_rng(1).permutation(len(history)) % FOLDS
    cut = history.day(date(2022, 1, 1))
    samples = seen_ahead(history, np.arange(365, history.january[-1], 10))
    learned, scored = samples.take(samples.target < cut), samples.take(samples.origin >= cut)
    own = fold[scored.parcel]
    parts: list[tuple[np.ndarray, Forecast]] = []
    for k in range(FOLDS):
        inner = np.random.default_rng(k).permutation(len(history)) % INNER
        fitted = fit_forecaster(
            history.until(cut - 1), learned, np.where(fold == k, -1, inner), np.arange(len(history)), options
        )
        held = np.flatnonzero(own == k)
        parts.append((held, forecast(fitted, history, scored.take(held), np.full(len(history), ALL))))
    found = _joined(parts, len(scored))
    if save:
        save.mkdir(parents=True, exist_ok=True)
        np.savez(
            save / "flux_sites.npz", value=found.value, bounds=found.bounds, truth=scored.truth,
            parcel=scored.parcel, origin=scored.origin, target=scored.target, **found.by_method,
        )  # fmt: skip
    cover = np.array([history.classes[k] for k in history.crop[:, 0]])[scored.parcel]
    rows: Rows = []
    for name, chosen in (
        ("flux_sites_cropland", cover == CROPLAND), ("flux_sites_grassland", cover == GRASSLAND),
        ("flux_sites_farmland", np.isin(cover, [CROPLAND, GRASSLAND])),
        ("flux_sites_all", np.ones(len(cover), bool)),
    ):  # fmt: skip
        at = np.flatnonzero(chosen)
        rows += scores(name, history, scored.take(at), _take(found, at), scored.parcel[at])
    return rows


def synthetic(options: ForecastOptions, parcels: int) -> Rows:
    """Score simulated regions that no model saw, in a season that none saw, and under cloud."""
    known, new = regions(TRAINED_ON, SEASONS[:3], parcels), regions(TESTED_ON, SEASONS, parcels)
    rng = np.random.default_rng(3)
    fold = rng.integers(0, 3, known.holding.max() + 1)[known.holding]
    last = new.history.january[3]
    everyone = np.full(len(new.history), ALL)
    learned = seen_ahead(known.history, np.arange(425, known.history.january[-1], 5))
    scored = seen_ahead(new.history, np.arange(last + 60, new.history.january[-1], 10))
    rows: Rows = []
    kept: dict[str, Forecaster] = {}
    values: dict[str, np.ndarray] = {}
    options = options.model_copy(
        update={"inputs": tuple(n for n in options.inputs if n not in ("surface", "soil", "elevation"))}
    )
    ways = (
        ("no_weather_ahead", options.inputs, "none"),
        ("with_land_surface", (*options.inputs, "surface"), "none"),
        ("with_soil", (*options.inputs, "soil", "elevation"), "none"),
        ("weather_ahead_climatology", options.inputs, "climatology"),
        ("weather_ahead_measured", options.inputs, "measured"),
        ("without_weather", tuple(name for name in options.inputs if name != "weather"), "none"),
        ("without_radar", tuple(n for n in options.inputs if n not in ("radar", "coherence")), "none"),
    )
    for subject, inputs, ahead in ways:
        own = options.model_copy(update={"inputs": inputs, "weather_ahead": ahead, "methods": ("boosting",)})
        given = (_weather_of(known.history, ahead), _weather_of(new.history, ahead))
        fitted = fit_forecaster(known.history, learned, fold, known.holding, own, given[0])
        kept[subject] = fitted
        found = forecast(fitted, new.history, scored, everyone, given[1])
        values[subject] = found.value
        name = f"synthetic_{subject}"
        rows += scores(name, new.history, scored, found, new.holding[scored.parcel])
    rows += ablations(values, scored, new.holding)
    for gap in (10, 30, 60):
        rows += under_cloud(kept, new.history, new.holding, gap, int(last))
    return rows


def ablations(values: dict[str, np.ndarray], samples: Samples, holding: np.ndarray) -> Rows:
    """Return by how much each kind of input lowers the error up to 50 days ahead, over holdings."""
    near = np.flatnonzero(samples.target - samples.origin <= 50)
    part = samples.take(near)
    truth = Truth(part.truth, part.target - part.origin, part.parcel, holding[part.parcel])
    rng = np.random.default_rng(15)
    rows: Rows = []
    for name, (given, left_out) in ABLATIONS.items():
        if given in values and left_out in values:
            lower = improvement(truth, values[given][near], values[left_out][near], rng)
            rows.append(_row("synthetic", "cropcheck", f"rmse_lower_with_{name}_5_to_50", lower, "share"))
    return rows


def under_cloud(
    kept: dict[str, Forecaster], history: History, group: np.ndarray, gap: int, last: int
) -> Rows:
    """Score forecasts for a day whose last clear look lies about `gap` days back, with radar and without.

    A cloud is laid over everyone: the looks of the `gap` days before a day are hidden, radar goes on.
    """
    values: dict[str, list[np.ndarray]] = {}
    truths, groups, parcels = [], [], []
    for day in range(last + 130, last + 290, 20):
        looks = history.ndvi
        hidden = (looks.day > day - gap) & (looks.day <= day)
        covered = replace(history, ndvi=looks.where(~hidden))
        samples = seen_ahead(covered, np.array([day]), ahead=STEP)
        if not len(samples):
            continue
        everyone = np.full(len(history), ALL)
        for subject in ("no_weather_ahead", "without_radar"):
            found = forecast(kept[subject], covered, samples, everyone)
            values.setdefault(subject, []).append(found.value)
            if subject == "without_radar":
                for name in BASELINES:
                    values.setdefault(name, []).append(found.by_method[name])
        truths.append(samples.truth)
        groups.append(group[samples.parcel])
        parcels.append(samples.parcel)
    whole = {name: np.concatenate(parts) for name, parts in values.items()}
    value = np.concatenate(truths)
    truth = Truth(value, np.full(len(value), gap), np.concatenate(parcels), np.concatenate(groups))
    rng = np.random.default_rng(5)
    work = f"synthetic_cloud_{gap}_days"
    rows = [_row(work, name, "rmse", errors(truth, of, rng)["rmse"], "NDVI") for name, of in whole.items()]
    lower = improvement(truth, whole["no_weather_ahead"], whole["without_radar"], rng)
    return [*rows, _row(work, "cropcheck", "rmse_lower_with_radar", lower, "share")]


def in_season(options: ForecastOptions, parcels: int) -> Rows:
    """Compare crops classified by what was seen with the same completed by forecasts, by date."""
    known, new = regions(TRAINED_ON, SEASONS[:3], parcels), regions(TESTED_ON, SEASONS, parcels)
    fitted = blind_forecaster(known, options.model_copy(update={"methods": ("boosting",)}))
    return [
        _row(f"in_season_{cut}", by, metric, found, "share")
        for cut, by, metric, found in compared(fitted, new)
    ]


def minicubes(options: ForecastOptions) -> Rows:
    """Score pixels of two real cubes beside the peer; blocks of 16 pixels' side are redrawn together."""
    fitted = learned_elsewhere(options.model_copy(update={"inputs": ("crop",), "methods": ("boosting",)}))
    rows: Rows = []
    for name in CUBES:
        found = forecast_cube(fitted, name)
        block = found["pixel"] // 128 // 16 * 8 + found["pixel"] % 128 // 16
        rng = np.random.default_rng(13)
        truth = Truth(found["truth"], found["horizon"], found["pixel"], block)
        values = {key: found[key] for key in (*BASELINES, "cropcheck", "contextformer")}
        for method, value in values.items():
            for metric, estimate in errors(truth, value, rng).items():
                rows.append(_row(f"minicubes_{name}", method, metric, estimate, "NDVI"))
        lower = improvement(truth, values["cropcheck"], values["contextformer"], rng)
        rows.append(_row(f"minicubes_{name}", "cropcheck", "rmse_below_contextformer", lower, "share"))
    return rows


def _weather_of(history: History, ahead: str) -> Daily | None:
    """Return the weather ahead as a claim has it."""
    if ahead == "none" or history.weather is None:
        return None
    if ahead == "measured":
        return history.weather
    value = np.full_like(history.weather.value, np.nan)
    starts = history.january
    for year in range(1, len(starts) - 1):
        width = int(starts[year + 1] - starts[year])
        before = [history.weather.value[:, starts[k] : starts[k] + width][:, :365] for k in range(year)]
        value[:, starts[year] : starts[year] + 365] = np.nanmean(before, axis=0)
    return replace(history.weather, value=value)


def scores(work: str, history: History, samples: Samples, found: Forecast, group: np.ndarray) -> Rows:
    """Return the rows of one set: errors by horizon of every method, and whether intervals hold."""
    truth = Truth(samples.truth, samples.target - samples.origin, samples.parcel, group)
    rng = np.random.default_rng(9)
    step = horizon_step(truth.horizon)
    methods = {**found.by_method, "cropcheck": found.value}
    rows: Rows = []
    spans = {"5_to_50": truth.horizon <= 50, "55_to_100": truth.horizon > 50}
    spans |= {f"{STEP * (k + 1)}": step == k for k in (0, 1, 3, 5, 7, 9, 13, 19)}
    for span, chosen in spans.items():
        at = np.flatnonzero(chosen)
        if len(at) < LEAST_CELL:
            continue
        part = truth.take(at)
        of = {name: value[at] for name, value in methods.items()}
        for name, value in of.items():
            for metric, estimate in errors(part, value, rng).items():
                rows.append(_row(work, name, f"{metric}_{span}", estimate, "NDVI"))
        best = best_of(part, of, BASELINES)
        lower = improvement(part, of["cropcheck"], of[best], rng)
        rows.append(_row(work, "cropcheck", f"rmse_below_best_baseline_{span} ({best})", lower, "share"))
        better = outperformance(part, of["cropcheck"], of["climatology"], rng)
        rows.append(_row(work, "cropcheck", f"outperformance_{span}", better, "share of parcels"))
    return rows + held(work, history, samples, found, truth)


def held(work: str, history: History, samples: Samples, found: Forecast, truth: Truth) -> Rows:
    """Return coverage and width of the intervals by horizon, season and class, of cells of n >= 200."""
    rng = np.random.default_rng(11)
    step = horizon_step(truth.horizon)
    season = season_of(history.day_of_year(samples.target))
    klass = history.crop[samples.parcel, history.year_of(samples.target)]
    cells: dict[str, np.ndarray] = {"all": np.ones(len(truth.value), bool)}
    cells |= {f"horizon_{STEP * (k + 1)}": step == k for k in range(AHEAD // STEP)}
    cells |= {name: season == k for k, name in enumerate(SEASON_NAMES)}
    cells |= {f"class_{name}": klass == k for k, name in enumerate(history.classes)}
    rows: Rows = []
    for name, chosen in cells.items():
        at = np.flatnonzero(chosen)
        if len(at) < LEAST_CELL:
            continue
        for level, low, high in ((90, 0, 3), (50, 1, 2)):
            inside, width = coverage(truth.take(at), found.bounds[at, low], found.bounds[at, high], rng)
            rows.append(_row(work, "cropcheck", f"interval_{level}_coverage_{name}", inside, "share"))
            if name == "all" or name.startswith("horizon"):
                rows.append(_row(work, "cropcheck", f"interval_{level}_width_{name}", width, "NDVI"))
    return rows


def speed(options: ForecastOptions) -> Rows:
    """Time 100,000 parcels of one season and two before, 20 days ahead each, after training."""
    known = regions(TRAINED_ON[:1], SEASONS[:2], 400)
    fold = np.arange(len(known.history)) % 3
    learned = seen_ahead(known.history, np.arange(425, 720, 5))
    own = options.model_copy(update={"methods": ("boosting",)})
    fitted = fit_forecaster(known.history, learned, fold, known.holding, own)
    many = known.history.take(np.arange(100_000) % len(known.history))
    targets = np.arange(STEP, AHEAD + 1, STEP) + 560
    forecast(fitted, many.take(np.arange(10)), on_days(np.arange(10), 560, targets), np.full(10, ALL))
    started = time.perf_counter()
    for begin in range(0, len(many), options.chunk):
        part = many.take(np.arange(begin, min(begin + options.chunk, len(many))))
        forecast(fitted, part, on_days(np.arange(len(part)), 560, targets), np.full(len(part), ALL))
    seconds = time.perf_counter() - started
    return [_row("speed_100k", "cropcheck", "seconds", Estimate(seconds, np.nan, np.nan, len(many)), "s")]


def _joined(parts: Sequence[tuple[np.ndarray, Forecast]], n: int) -> Forecast:
    order = np.argsort(np.concatenate([at for at, _ in parts]))
    every = [found for _, found in parts]
    assert len(order) == n
    return Forecast(
        *(np.concatenate([getattr(found, name) for found in every])[order] for name in ("value", "bounds")),
        {name: np.concatenate([f.by_method[name] for f in every])[order] for name in every[0].by_method},
        np.concatenate([found.size for found in every])[order],
        tuple(np.concatenate(cells)[order] for cells in zip(*(f.cells for f in every), strict=True)),
    )


def _take(found: Forecast, at: np.ndarray) -> Forecast:
    methods = {name: value[at] for name, value in found.by_method.items()}
    cells = tuple(cell[at] for cell in found.cells)
    return Forecast(found.value[at], found.bounds[at], methods, found.size[at], cells)


def _row(work: str, subject: str, metric: str, found: Estimate, unit: str) -> dict[str, Any]:
    numbers = {
        name: None if value is None else round(value, 4) if isinstance(value, float) else value
        for name, value in found.to_dict().items()
    }
    return {"work": work, "subject": subject, "metric": metric, **numbers, "unit": unit}


if __name__ == "__main__":
    main()
