"""The analyst's page: how good the predictions are, and where they err."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import shapely
from markupsafe import Markup, escape

from features.files import write_text
from features.schema import ENSEMBLE, Row
from models.evaluation.area import area_accuracy
from models.evaluation.metrics import Estimate
from reports.embed import clean, embed_json, render
from reports.options import PublishOptions
from reports.page import frame
from reports.pages.sections import quality as q
from reports.pages.sections.confusion import confusion_data, confusion_of, most_confused
from reports.pages.sections.evaluation import stored
from reports.pages.sections.requirements import MEASURES, event_rows
from reports.run import RunTables
from reports.svg import ERROR_SHADES, Plot, figure, nice_ticks
from reports.translation import Text, translation

CLASS_COLUMNS = ("crop_class", "suggested")  # of stored tables: printed by name
CURVES = ("macro_f1", "decided_rate")
NO_LEVEL = ("None", "null", "")  # of a group whose parcels have no value
LEVELS = {
    "under": r"under (?P<high>[\d.]+%?)",
    "over": r"(?P<low>[\d.]+%?) and over",
    "between": r"(?P<low>[\d.]+%?) to (?P<high>[\d.]+%?)",
}
MAP_CELLS = 24  # along the longer side of the error map
FEWEST_IN_CELL = 3  # parcels, for a cell of the error map to be shaded
RATES = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2)


def write_analyst(run: RunTables, out: Path, options: PublishOptions, listed: pl.DataFrame) -> Path:
    """Write `analyst.html`: agreement with declarations, calibration, errors, models."""
    text = translation(options.language)
    quality = q.quality_of(run)
    confusion = confusion_of(quality)
    data = confusion_data(run, quality, confusion, listed, options.cell_parcels, text)
    season = stored(run, "in_season")
    errors_at, side = error_map(run, quality, text)
    context = {
        **frame(run, options, "analyst.html", text),
        "reference": run.metrics.get("reference", "declarations"),
        "pairs": most_confused(confusion),
        "area": area_view(run, quality),
        "error_map": errors_at,
        "error_side": side,
        "season_last": last_value(season),
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
        "errors": _errors(quality, text),
        "reliability": reliability_figure(q.reliability(quality), text),
        "promised": promised_figure(q.false_alarm_curve(quality, RATES), text),
        "paired": q.paired(run, quality, ENSEMBLE),
        "metrics": run.metrics,
        "differences": stored(run, "model_differences"),
        "truth_scores": _truth_scores(run),
        "rates": _rates(run, text),
        "events": event_rows(run, text),
        "event_measures": MEASURES,
        "in_season": in_season_figure(season, text),
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


def _rates(run: RunTables, text: Text) -> dict[str, list[Row]]:
    """Return false alarms and misses of the verdicts against the known truth, by what parcels share."""
    rates = stored(run, "verdict_rates")
    if rates is None:
        return {}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rates.filter((pl.col("unit") == "count") & (pl.col("by") != "all")).iter_rows(named=True):
        crop = row["by"] == "crop_class" and row["level"] not in NO_LEVEL
        name = clean(run.class_name(row["level"])) if crop else level_words(row["level"], text)
        found.setdefault(row["by"], {}).setdefault(row["level"], {"name": name})[row["metric"]] = row
    return {text.get(f"by.{by}", by.replace("_", " ")): list(levels.values()) for by, levels in found.items()}


def level_words(level: str, text: Text) -> str:
    """Return the name of a bin as a reader says it; other names as they are.

    Examples
    --------
    >>> german = translation("de")
    >>> level_words("under 0.5", german), level_words("1 to 2", german), level_words("5 and over", german)
    ('unter 0,5', '1 bis 2', '5 und mehr')
    >>> level_words("None", german), level_words("North", german)
    ('nicht angegeben', 'North')
    """
    if level in NO_LEVEL:
        return text("page.not_given")
    for key, pattern in LEVELS.items():
        if found := re.fullmatch(pattern, level):
            numbers = {name: text.written(value) for name, value in found.groupdict().items()}
            return text(f"level.{key}", **numbers)
    return clean(level)


def last_value(season: pl.DataFrame | None) -> float | None:
    """Return the last macro-F1 of the season's curve."""
    curve = season.filter(pl.col("metric") == CURVES[0]).sort("until") if season is not None else None
    return float(curve["value"][-1]) if curve is not None and len(curve) else None


def area_view(run: RunTables, quality: q.Quality) -> dict[str, Any] | None:
    """Return the area-adjusted accuracy: against the known truth where it is stored, else declarations."""
    truth = stored(run, "confusion") if run.metrics.get("reference") == "truth" else None
    if truth is not None:
        cells = truth.select(
            reference="truth", predicted="predicted", n="parcels", ha=pl.col("hectares").cast(pl.Float64)
        )
    else:
        cells = quality.table.group_by(reference="crop_class", predicted="predicted").agg(
            n=pl.len(), ha=pl.col("area_ha").cast(pl.Float64).sum()
        )
    names = sorted({*cells["reference"].drop_nulls(), *cells["predicted"].drop_nulls()})
    if len(names) < 2:
        return None
    place = {name: k for k, name in enumerate(names)}
    counts, mapped = np.zeros((len(names), len(names))), np.zeros(len(names))
    for reference, predicted, n, ha in cells.drop_nulls().iter_rows():
        counts[place[predicted], place[reference]] += n
        mapped[place[predicted]] += ha
    found, n = area_accuracy(counts, mapped), int(counts.sum())

    def share(value: float, half: float) -> Estimate:
        return Estimate(float(value), max(0.0, float(value - half)), min(1.0, float(value + half)), n)

    rows = [
        {
            "name": name,
            "mapped": float(mapped[k]),
            "area": Estimate(
                float(found.area[k]),
                max(0.0, float(found.area[k] - found.area_half[k])),
                float(found.area[k] + found.area_half[k]),
                n,
            ),
            "users": share(found.users[k], found.users_half[k]),
            "producers": share(found.producers[k], found.producers_half[k]),
        }
        for k, name in enumerate(names)
    ]
    return {
        "reference": "truth" if truth is not None else "declarations",
        "overall": share(found.overall, found.overall_half),
        "classes": sorted(rows, key=lambda row: -float(str(row["mapped"]))),
    }


def error_map(run: RunTables, quality: q.Quality, text: Text) -> tuple[Markup | None, float]:
    """Return a grid of the region, each cell shaded by the share of parcels that disagree, and its side in
    metres. North is up.
    """
    shapes = run.declarations.set_index("parcel_id").geometry.loc[quality.table["parcel_id"].to_list()]
    points = shapely.centroid(np.asarray(shapes.values, dtype=object))
    x, y = shapely.get_x(points), shapely.get_y(points)
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return None, 0.0
    x, y, wrong = x[known], y[known], 1 - quality.table["right"].cast(pl.Float64).to_numpy()[known]
    side = max(float(np.ptp(x)), float(np.ptp(y)), 1.0) / MAP_CELLS
    column, row = ((values - values.min()) // side for values in (x, y))
    rows = int(row.max()) + 1
    cells: dict[tuple[int, int], list[float]] = {}
    for a, b, error in zip(column.astype(int), rows - 1 - row.astype(int), wrong, strict=True):
        cells.setdefault((int(b), int(a)), []).append(error)
    parts = []
    for (r, c), errors in sorted(cells.items()):
        enough = len(errors) >= FEWEST_IN_CELL
        level = min(int(np.mean(errors) * 2 * len(ERROR_SHADES)), len(ERROR_SHADES) - 1)
        colour = ERROR_SHADES[level] if enough else "#eceae2"
        label = escape(text("analyst.cell", share=text.percent(float(np.mean(errors)), 0), n=len(errors)))
        parts.append(
            f'<rect x="{c * 14}" y="{r * 14}" width="13" height="13" fill="{colour}">'
            f"<title>{label}</title></rect>"
        )
    width = 14 * (int(column.max()) + 1)
    return figure(width, 14 * rows, text("analyst.error_map"), parts), side


def _errors(quality: q.Quality, text: Text) -> Mapping[str, list[q.Share]]:
    """Return errors by what may cause them."""
    table = quality.table
    column = {
        name: table[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        for name in ("area_ha", "n_observations", "filled_share", "top")
    }
    region = np.array(
        [
            f"0|{clean(name)}" if name is not None else f"9|{text('page.not_given')}"
            for name in table["region"]
        ],
        dtype=object,
    )
    plain, share = (lambda v: text.written(f"{v:g}")), (lambda v: text.percent(v, 0))
    labels = {
        "size": q.bins(column["area_ha"], [0, 0.3, 0.5, 1, 2, 5, 10], plain, text),
        "observations": q.bins(column["n_observations"], [0, 5, 10, 20, 30, 45, 60], plain, text),
        "filled": q.bins(column["filled_share"], [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75], share, text),
        "top": q.bins(column["top"], [0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95], share, text),
        "region": region,
    }
    return {text(f"by.{name}"): q.errors_by(quality, label) for name, label in labels.items()}


def _share_axes(plot: Plot, most: float, across: str, up: str, text: Text) -> Plot:
    ticks = [(tick, text.percent(tick, 0)) for tick in nice_ticks(0, most)]
    return plot.axis_y(ticks, up).axis_x(ticks, across)


def reliability_figure(points: Sequence[tuple[float, q.Share]], text: Text) -> Markup | None:
    """Return how often the likeliest class was the declared one against the probability it was given."""
    if not points:
        return None
    plot = Plot(400, 300, (0, 1), (0, 1), text("analyst.reliability"), bottom=36, top=24, right=22)
    _share_axes(plot, 1, text("analyst.axis_probability"), text("analyst.axis_agrees"), text)
    plot.line([0, 1], [0, 1], "ideal")
    most = max(share.n for _, share in points)
    for top, share in points:
        plot.box(top - 0.012, top + 0.012, 0, 0.12 * share.n / most, "b0")
        if share.low is not None and share.high is not None:
            plot.whisker(top, share.low, share.high)
    plot.line([top for top, _ in points], [share.value for _, share in points], "l0")
    return plot.dots([top for top, _ in points], [share.value for _, share in points], "p0", 3.2).markup()


def promised_figure(points: Sequence[tuple[float, q.Share]], text: Text) -> Markup | None:
    """Return the share of declarations under each p-value against the rate promised."""
    known = [(rate, share) for rate, share in points if np.isfinite(share.value)]
    if not known:
        return None
    most = max(0.22, *(share.high or share.value for _, share in known))
    plot = Plot(
        400,
        300,
        (0, 0.22),
        (0, most),
        text("analyst.promised_against_empirical"),
        bottom=36,
        top=24,
        right=22,
    )
    plot.axis_x([(tick, text.percent(tick, 0)) for tick in nice_ticks(0, 0.22)], text("analyst.axis_p_value"))
    plot.axis_y(
        [(tick, text.percent(tick, 0)) for tick in nice_ticks(0, most)], text("analyst.axis_declarations")
    )
    plot.line([0, 0.22], [0, 0.22], "ideal")
    for rate, share in known:
        if share.low is not None and share.high is not None:
            plot.whisker(rate, share.low, share.high)
    plot.line([rate for rate, _ in known], [share.value for _, share in known], "l0")
    return plot.dots([rate for rate, _ in known], [share.value for _, share in known], "p0", 3.2).markup()


def in_season_figure(table: pl.DataFrame | None, text: Text) -> Markup | None:
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
        text("analyst.axis_season"),
        bottom=26,
        top=24,
        right=24,
    )
    plot.axis_y([(tick, text.written(f"{tick:g}")) for tick in nice_ticks(0, 1)], text("analyst.axis_season"))
    plot.axis_x([(ordinal, text.day(day)) for ordinal, day in days[:: max(1, len(days) // 9)]])
    for k, curve in enumerate(curves.values()):
        x = [day.toordinal() for day in curve["until"]]
        y, low, high = (
            curve[name].cast(pl.Float64).fill_null(np.nan).to_list() for name in ("value", "low", "high")
        )
        plot.band(x, low, high, f"b{k}").line(x, y, f"l{k}").dots(x, y, f"p{k}", 3)
    return plot.markup()
