"""The auditor's page: importance of the inputs, lineage, and promised errors beside measured ones."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from features.files import write_text
from features.schema import Row
from reports.embed import clean, render
from reports.options import PublishOptions
from reports.page import frame
from reports.pages.sections import quality as q
from reports.pages.sections.assessment import assessment_view
from reports.pages.sections.card import model_card
from reports.pages.sections.composition import composition_view
from reports.pages.sections.drift import drift
from reports.pages.sections.importance import methods, parts, season_lines, shap_views
from reports.pages.sections.requirements import marker_rows
from reports.pages.sections.rules import rule_sentences, scheme_sentences
from reports.run import RunTables
from reports.svg import SEQUENTIAL
from reports.translation import Text, translation
from reports.words import feature_words


def write_auditor(run: RunTables, out: Path, options: PublishOptions) -> Path:
    """Write `auditor.html`: importance, model card, lineage, rules, promises, drift.

    Where the manifest is sealed after the other pages, call this again with its hash in
    `run.lineage["manifest_sha256"]`: only this page shows it.
    """
    text = translation(options.language)

    def name(feature: str) -> str:
        return feature_words(clean(feature), text)

    quality = q.quality_of(run)
    context = {
        **frame(run, options, "auditor.html", text),
        "run": run,
        "clean": clean,
        "feature_name": name,
        "views": shap_views(run, name, text),
        "season_lines": season_lines(run, name, text),
        "methods": methods(run, name, text),
        "parts": parts(run, name, text),
        "card": model_card(run, quality, text),
        "rules": _flat(run.rules),
        "prose": rule_sentences(run.rules, text),
        "schemes": scheme_sentences(run.rules, text),
        "promises": _promises(run, quality, text),
        "assessed": assessment_view(run),
        "markers": marker_rows(run),
        "composition": composition_view(run, text),
        "drift": drift(run, text),
        "lineage": run.lineage,
        "acquisitions": _acquisitions(run),
        "ramp": SEQUENTIAL,
    }
    return write_text(out / "auditor.html", render("auditor.html.j2", ["common.js"], context))


def _flat(rules: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as dotted names and printed values."""
    found: list[tuple[str, str]] = []
    for key, value in rules.items():
        found += (
            _flat(value, f"{prefix}{key}.")
            if isinstance(value, Mapping)
            else [(clean(prefix + str(key)), clean(value))]
        )
    return found


def _promises(run: RunTables, quality: q.Quality, text: Text) -> list[dict[str, object]]:
    """Return every promise beside what was measured, then the other rates, by parcels and hectares."""
    promised, measured = run.metrics.get("promised", {}), run.metrics.get("verdicts", {})
    kept = {row["promise"]: {**row} for row in run.metrics.get("kept", [])}
    for name, row in kept.items():
        row["hectares"] = measured.get(name, {}).get("hectares")
    names = sorted(set(promised) | {key for key, rate in measured.items() if _is_rate(rate)})
    rows = [
        {
            "name": text.get(f"metric.{name}", clean(name).replace("_", " ")),
            "meaning": text.get(f"rate.{name}", clean(run.metrics.get("rates", {}).get(name, ""))),
            "promised": promised.get(name),
            "count": measured.get(name, {}).get("count"),
            "hectares": measured.get(name, {}).get("hectares"),
            "against": text("auditor.known_truth"),
        }
        for name in names
        if name not in kept
    ]
    return [*map(partial(_kept, text), kept.values()), *rows, _contradicted(quality, text)]


def _kept(text: Text, row: Row) -> dict[str, object]:
    return {
        "name": text.get(f"metric.{row['promise']}", clean(row["promise"]).replace("_", " ")),
        "meaning": text.get(f"promise.{row['promise']}", ""),
        "promised": row["promised"],
        "count": {name: row[name] for name in ("value", "low", "high", "n")},
        "hectares": row.get("hectares"),
        "against": text("auditor.known_truth"),
    }


def _contradicted(quality: q.Quality, text: Text) -> dict[str, object]:
    flagged = (quality.table["verdict"] == "contradicted").cast(pl.Float64).to_numpy()
    area = quality.table["area_ha"].cast(pl.Float64).fill_null(0).to_numpy()
    count, hectares = (
        quality.ratio("", flagged, np.ones(len(flagged))),
        quality.ratio("", flagged * area, area),
    )
    return {
        "name": text("verdict.contradicted"),
        "meaning": text("auditor.of_the_judged"),
        "promised": None,
        "count": vars(count),
        "hectares": vars(hectares),
        "against": text("auditor.declarations"),
    }


def _is_rate(rate: object) -> bool:
    return isinstance(rate, Mapping) and isinstance(rate.get("count"), Mapping) and "value" in rate["count"]


def _acquisitions(run: RunTables) -> list[dict[str, object]]:
    """Return how many acquisitions each sensor and orbit has, from when to when, and how much was seen."""
    if not len(run.acquisitions):
        return []
    keys = ["sensor", "relative_orbit"]
    spans = run.acquisitions.group_by(keys).agg(
        n=pl.len(), first=pl.col("datetime").min().dt.date(), last=pl.col("datetime").max().dt.date(),
        baselines=pl.col("processing_baseline").drop_nulls().unique().sort().str.join(", "),
    )  # fmt: skip
    if run.dates is not None and len(run.dates):
        filled = pl.col("filled_share") if "filled_share" in run.dates.columns else pl.lit(None)
        shares = run.dates.with_columns(filled_share=filled.cast(pl.Float64))
        seen = shares.group_by(keys).agg(
            filled_share=pl.col("filled_share").mean(),
            seen_share=(pl.col("valid_share").cast(pl.Float64) - pl.col("filled_share")).mean(),
        )
        spans = spans.join(seen, on=keys, how="left", nulls_equal=True)
    else:
        spans = spans.with_columns(seen_share=pl.lit(None, pl.Float64), filled_share=pl.lit(None, pl.Float64))
    return spans.sort(keys).to_dicts()
