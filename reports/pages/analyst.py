"""The analyst's page: how good the predictions are, and where they err."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from markupsafe import Markup

from features.files import write_text
from features.schema import ENSEMBLE
from reports.embed import clean, embed_json, render
from reports.options import PublishOptions
from reports.page import frame
from reports.pages import quality as q
from reports.pages.confusion import confusion_data, confusion_of
from reports.pages.evaluation import stored
from reports.pages.requirements import MEASURES, event_rows
from reports.run import RunTables
from reports.svg import Plot, nice_ticks, short
from reports.translation import translation

CLASS_COLUMNS = ("crop_class", "suggested")  # of stored tables: printed by name
CURVES = ("macro_f1", "decided_rate")
RATES = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2)


def write_analyst(run: RunTables, out: Path, options: PublishOptions, listed: pl.DataFrame) -> Path:
    """Write `analyst.html`: agreement with declarations, calibration, errors, models."""
    quality = q.quality_of(run)
    confusion = confusion_of(quality)
    data = confusion_data(run, quality, confusion, listed, options.cell_parcels)
    context = {
        **frame(run, options, "analyst.html", translation("en")),
        "run": run,
        "clean": clean,
        "class_columns": CLASS_COLUMNS,
        "quality": quality,
        "confusion": data,
        "agreement": quality.ratio(
            "agreement", quality.table["right"].cast(pl.Float64).to_numpy(), np.ones(len(quality.table))
        ),
        "coverage": q.set_coverage(quality),
        "per_class": q.per_class(quality),
        "errors": _errors(quality),
        "reliability": reliability_figure(q.reliability(quality)),
        "promised": promised_figure(q.false_alarm_curve(quality, RATES)),
        "paired": q.paired(run, quality, ENSEMBLE),
        "metrics": run.metrics,
        "differences": stored(run, "model_differences"),
        "truth_scores": _truth_scores(run),
        "rates": _rates(run),
        "events": event_rows(run),
        "event_measures": MEASURES,
        "in_season": in_season_figure(stored(run, "in_season")),
        "decidable": stored(run, "decidable"),
        "tuning": stored(run, "tuning"),
        "tuning_importance": stored(run, "tuning_importance"),
        "suspects": _suspects(run),
        "ablation": stored(run, "ablation"),
        "data": embed_json(data),
    }
    return write_text(out / "analyst.html", render("analyst.html.j2", ["common.js", "analyst.js"], context))


def _suspects(run: RunTables) -> pl.DataFrame | None:
    """Return the declarations that training left out or gave less weight, the most suspect first."""
    table = stored(run, "suspects")
    if table is None:
        return None
    less = table.filter(pl.col("weight") < 1)
    if not len(less):
        return None
    return less.sort("mislabel_score", descending=True) if "mislabel_score" in less.columns else less


def _truth_scores(run: RunTables) -> list[dict[str, object]]:
    """Return precision, recall and F1 of the combined model against the known truth, a class a row."""
    scores = stored(run, "class_scores")
    if scores is None or run.metrics.get("reference") != "truth":
        return []
    rows: dict[str, dict[str, Any]] = {}
    for row in scores.filter(pl.col("model") == ENSEMBLE).iter_rows(named=True):
        name = row["crop_class"]
        rows.setdefault(name, {"name": clean(run.class_name(name)), "n": row["n"]})[row["metric"]] = row
    return sorted(rows.values(), key=lambda row: (-row["n"], row["name"]))


def _rates(run: RunTables) -> dict[str, list[dict[str, Any]]]:
    """Return false alarms and misses of the verdicts against the known truth, by what parcels share."""
    rates = stored(run, "verdict_rates")
    if rates is None:
        return {}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rates.filter((pl.col("unit") == "count") & (pl.col("by") != "all")).iter_rows(named=True):
        name = clean(run.class_name(row["level"])) if row["by"] == "crop_class" else level_words(row["level"])
        found.setdefault(row["by"], {}).setdefault(row["level"], {"name": name})[row["metric"]] = row
    return {by.replace("_", " "): list(levels.values()) for by, levels in found.items()}


def level_words(level: str) -> str:
    """Return the name of a bin as a reader says it; other names as they are.

    Examples
    --------
    >>> level_words("[-inf, 0.5)"), level_words("[1, 2)"), level_words("[5, inf)"), level_words("maize")
    ('under 0.5', '1 to 2', '5 or more', 'maize')
    """
    found = re.fullmatch(r"\[(-inf|[\d.]+), (inf|[\d.]+)\)", level)
    if found is None:
        return clean(level)
    low, high = found.groups()
    return f"under {high}" if low == "-inf" else f"{low} or more" if high == "inf" else f"{low} to {high}"


def _errors(quality: q.Quality) -> Mapping[str, list[q.Share]]:
    """Return errors by what may cause them."""
    table = quality.table
    column = {
        name: table[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        for name in ("area_ha", "n_observations", "filled_share", "top")
    }
    region = np.array(
        [f"0|{clean(name)}" if name is not None else "9|not given" for name in table["region"]], dtype=object
    )
    labels = {
        "Parcel size, hectares": q.bins(column["area_ha"], [0, 0.3, 0.5, 1, 2, 5, 10], short),
        "Observations": q.bins(column["n_observations"], [0, 5, 10, 20, 30, 45, 60], short),
        "Share filled": q.bins(column["filled_share"], [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75], _percent),
        "Highest probability": q.bins(column["top"], [0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95], _percent),
        "Region": region,
    }
    return {name: q.errors_by(quality, label) for name, label in labels.items()}


def _percent(value: float) -> str:
    return f"{100 * value:g}%"


def _share_axes(plot: Plot, most: float, across: str, up: str) -> Plot:
    ticks = [(tick, f"{100 * tick:g}%") for tick in nice_ticks(0, most)]
    return plot.axis_y(ticks, up).axis_x(ticks, across)


def reliability_figure(points: Sequence[tuple[float, q.Share]]) -> Markup | None:
    """Return how often the likeliest class was the declared one against the probability it was given."""
    if not points:
        return None
    plot = Plot(
        400, 300, (0, 1), (0, 1), "Reliability: share right against probability", bottom=36, top=24, right=22
    )
    _share_axes(plot, 1, "Highest probability, mean of bin", "Share that agrees with the declaration")
    plot.line([0, 1], [0, 1], "ideal")
    most = max(share.n for _, share in points)
    for top, share in points:
        plot.box(top - 0.012, top + 0.012, 0, 0.12 * share.n / most, "b0")
        if share.low is not None and share.high is not None:
            plot.whisker(top, share.low, share.high)
    plot.line([top for top, _ in points], [share.value for _, share in points], "l0")
    return plot.dots([top for top, _ in points], [share.value for _, share in points], "p0", 3.2).markup()


def promised_figure(points: Sequence[tuple[float, q.Share]]) -> Markup | None:
    """Return the share of declarations under each p-value against the rate promised."""
    known = [(rate, share) for rate, share in points if np.isfinite(share.value)]
    if not known:
        return None
    most = max(0.22, *(share.high or share.value for _, share in known))
    plot = Plot(
        400, 300, (0, 0.22), (0, most), "Promised against empirical rate", bottom=36, top=24, right=22
    )
    plot.axis_x([(tick, f"{100 * tick:g}%") for tick in nice_ticks(0, 0.22)], "Promised: p-value at or below")
    plot.axis_y([(tick, f"{100 * tick:g}%") for tick in nice_ticks(0, most)], "Share of declarations")
    plot.line([0, 0.22], [0, 0.22], "ideal")
    for rate, share in known:
        if share.low is not None and share.high is not None:
            plot.whisker(rate, share.low, share.high)
    plot.line([rate for rate, _ in known], [share.value for _, share in known], "l0")
    return plot.dots([rate for rate, _ in known], [share.value for _, share in known], "p0", 3.2).markup()


def in_season_figure(table: pl.DataFrame | None) -> Markup | None:
    """Return macro-F1 (with its interval) and the share decided as the season goes on."""
    if table is None:
        return None
    curves = {name: table.filter(pl.col("metric") == name).sort("until") for name in CURVES}
    days = sorted({day.toordinal(): day for day in table["until"]}.items())
    span = (days[0][0], max(days[-1][0], days[0][0] + 1))
    plot = Plot(
        820,
        260,
        span,
        (0, 1),
        "Macro-F1 and share decided, by the last day used",
        bottom=26,
        top=24,
        right=24,
    )
    plot.axis_y([(tick, short(tick)) for tick in nice_ticks(0, 1)], "macro-F1, share decided")
    plot.axis_x([(ordinal, f"{day.day} {day:%b}") for ordinal, day in days[:: max(1, len(days) // 9)]])
    for k, curve in enumerate(curves.values()):
        x = [day.toordinal() for day in curve["until"]]
        y, low, high = (
            curve[name].cast(pl.Float64).fill_null(np.nan).to_list() for name in ("value", "low", "high")
        )
        plot.band(x, low, high, f"b{k}").line(x, y, f"l{k}").dots(x, y, f"p{k}", 3)
    return plot.markup()
