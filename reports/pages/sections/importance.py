"""Importance tables as figures: heat maps feature by date, lines through the season, methods compared."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from markupsafe import Markup

from features.indices.formulas import sensor_of
from reports.embed import clean
from reports.run import RunTables
from reports.svg import Plot, figure, heat_map, nice_ticks
from reports.translation import Text

MOST_ROWS = 60


@dataclass(frozen=True)
class View:
    """One heat map, and its most important groups."""

    key: str
    title: str
    chart: Markup
    top: list[tuple[str, date, float, float]]  # feature, date, value, share of all
    n: int


def shap_views(run: RunTables, feature_name: Callable[[str], str], text: Text) -> list[View]:
    """Return heat maps of SHAP importance: overall, per sensor, per class; none where no table was stored."""
    if run.importance is None:
        return []
    table = run.importance.filter((pl.col("method") == "shap") & pl.col("time").is_not_null())
    overall = table.filter(pl.col("crop_class") == "all")
    views = [_view("all", text("auditor.view_all"), overall, feature_name, text)]
    sensors = sorted({sensor_of(name) for name in overall["feature"]})
    for sensor in sensors if len(sensors) > 1 else []:
        part = overall.filter(pl.col("feature").map_elements(sensor_of, return_dtype=pl.String) == sensor)
        views.append(
            _view(
                f"sensor-{sensor}",
                text.get(f"auditor.view_{sensor}", text("auditor.view_context")),
                part,
                feature_name,
                text,
            )
        )
    classes = [name for name in table["crop_class"].unique(maintain_order=True) if name != "all"]
    for k, name in enumerate(classes):
        views.append(
            _view(
                f"class-{k}",
                clean(run.class_name(name)),
                table.filter(pl.col("crop_class") == name),
                feature_name,
                text,
            )
        )
    return [view for view in views if view is not None]


def parts(
    run: RunTables, feature_name: Callable[[str], str], text: Text
) -> list[tuple[str, list[tuple[str, float]]]]:
    """Return the share of SHAP importance by sensor, by statistic and by feature, over all classes."""
    if run.importance is None:
        return []
    overall = run.importance.filter(pl.col("crop_class") == "all")
    found = []
    for title, method, name in (
        ("sensor", "shap_sensor", lambda key: text.get(f"sensor.{key}", clean(key))),
        ("statistic", "shap_statistic", lambda key: text.get(f"statistic.{key}", clean(key))),
        ("feature", "shap_feature", feature_name),
    ):
        shares = sorted(
            _shares(overall.filter(pl.col("method") == method)).items(), key=lambda pair: (-pair[1], pair[0])
        )
        if shares:
            found.append((text(f"auditor.by_{title}"), [(name(key), share) for key, share in shares[:12]]))
    return found


def _view(
    key: str, title: str, table: pl.DataFrame, feature_name: Callable[[str], str], text: Text
) -> View | None:
    if not len(table):
        return None
    cells = (
        table.group_by("feature", "time")
        .agg(pl.col("value").mean(), pl.col("n").max())
        .sort("feature", "time")
    )
    total = float(cells["value"].sum()) or 1.0
    ranked = cells.sort(["value", "feature", "time"], descending=[True, False, False]).head(12)
    top = [
        (feature, day, value, value / total)
        for feature, day, value in ranked.select("feature", "time", "value").iter_rows()
    ]
    return View(
        key,
        title,
        _chart(cells, title, feature_name, text),
        top,
        int(table["n"].fill_null(0).to_numpy().max()),
    )


def _chart(cells: pl.DataFrame, title: str, feature_name: Callable[[str], str], text: Text) -> Markup:
    weight = (
        cells.group_by("feature")
        .agg(pl.col("value").sum())
        .sort(["value", "feature"], descending=[True, False])
        .head(MOST_ROWS)
    )
    rows = sorted(
        weight["feature"],
        key=lambda name: (
            sensor_of(name) != "s2",
            -float(weight.filter(pl.col("feature") == name)["value"][0]),
            name,
        ),
    )
    days = cells["time"].unique().sort().to_list()
    values = np.full((len(rows), len(days)), np.nan)
    place, column = {name: k for k, name in enumerate(rows)}, {day: k for k, day in enumerate(days)}
    for feature, day, value in cells.select("feature", "time", "value").iter_rows():
        if feature in place:
            values[place[feature], column[day]] = value
    return heat_map(
        [feature_name(name) for name in rows],
        month_labels(days, text),
        values,
        text("auditor.heat_map", title=title),
    )


def month_labels(days: list[date], text: Text) -> list[str]:
    """Return the month's name at each month's first step, else an empty label."""
    return [
        text(f"month.{day.month}") if not k or day.month != days[k - 1].month else ""
        for k, day in enumerate(days)
    ]


def season_lines(
    run: RunTables, feature_name: Callable[[str], str], text: Text, most: int = 6
) -> tuple[Markup, list[str], str] | None:
    """Return importance through the season of the most important features, their names, and the method.

    The random forest's own importance where it was stored, else SHAP.
    """
    if run.importance is None:
        return None
    overall = run.importance.filter(pl.col("crop_class") == "all")
    method = next((name for name in ("impurity", "shap", "permutation") if name in overall["method"]), None)
    if method is None:
        return None
    cells = (
        overall.filter((pl.col("method") == method) & pl.col("time").is_not_null())
        .group_by("feature", "time")
        .agg(pl.col("value").mean())
        .sort("time", "feature")
    )
    best = (
        cells.group_by("feature")
        .agg(pl.col("value").sum())
        .sort(["value", "feature"], descending=[True, False])["feature"]
        .head(most)
        .to_list()
    )
    days = cells["time"].unique().sort().to_list()
    ordinals, high = [day.toordinal() for day in days], float(cells["value"].to_numpy().max()) or 1.0
    plot = Plot(
        820,
        280,
        (ordinals[0], max(ordinals[-1], ordinals[0] + 1)),
        (0, high),
        text("auditor.through_the_season"),
        left=50,
        top=24,
        right=16,
    )
    plot.axis_y(
        [(tick, text.written(f"{tick:g}")) for tick in nice_ticks(0, high)], text("auditor.importance")
    )
    plot.axis_x(
        [(day.toordinal(), name) for day, name in zip(days, month_labels(days, text), strict=True) if name]
    )
    for k, feature in enumerate(best):
        part = dict(cells.filter(pl.col("feature") == feature).select("time", "value").iter_rows())
        plot.line(ordinals, [part.get(day, float("nan")) for day in days], f"l{k}")
    return plot.markup(), [feature_name(name) for name in best], method


def methods(run: RunTables, feature_name: Callable[[str], str], text: Text, most: int = 15) -> Markup | None:
    """Return each feature's share of the total by SHAP and by permutation; None without both."""
    if run.importance is None:
        return None
    overall = run.importance.filter(pl.col("crop_class") == "all")
    shares = {name: _shares(overall.filter(pl.col("method") == name)) for name in ("shap", "permutation")}
    if not all(shares.values()):
        return None
    features = sorted(
        shares["shap"].keys() | shares["permutation"].keys(),
        key=lambda name: (-max(part.get(name, 0) for part in shares.values()), name),
    )[:most]
    high = max(max(part.values()) for part in shares.values()) * 1.05
    low = min(0.0, *(min(part.values()) for part in shares.values()))
    height = 34.0 + 20 * len(features)
    plot = Plot(
        560,
        height,
        (low, high),
        (len(features) - 0.5, -0.5),
        text("auditor.comparison_of_two_methods"),
        left=178,
        top=6,
        bottom=24,
    )
    plot.axis_x([(tick, text.percent(tick, 0)) for tick in nice_ticks(low, high)], grid=True)
    for k, name in enumerate(features):
        pair = [part[name] for part in shares.values() if name in part]
        plot.text(172, plot.py(k) + 3.5, feature_name(name), "tick end")
        plot.across(k, min(pair), max(pair), "axis")
        for part, style in zip(shares.values(), ("p0", "p1"), strict=True):
            plot.dots([part.get(name, float("nan"))], [k], style, 4.2)
    return figure(plot.width, plot.height, plot.title, plot.parts)


def _shares(table: pl.DataFrame) -> dict[str, float]:
    sums = table.group_by("feature").agg(pl.col("value").sum()).sort("feature")
    total = float(sums["value"].clip(0).sum())
    return {name: value / total for name, value in sums.iter_rows()} if total > 0 else {}
