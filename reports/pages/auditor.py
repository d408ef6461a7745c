"""The auditor's page: importance of the inputs, lineage, and promised errors beside measured ones."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from features.files import write_text
from reports.embed import clean, render
from reports.options import PublishOptions
from reports.page import frame
from reports.pages import quality as q
from reports.pages.assessment import assessment_view
from reports.pages.card import model_card
from reports.pages.drift import drift
from reports.pages.importance import methods, parts, season_lines, shap_views
from reports.pages.requirements import marker_rows
from reports.run import RunTables
from reports.svg import SEQUENTIAL
from reports.translation import translation
from reports.words import feature_words


def write_auditor(run: RunTables, out: Path, options: PublishOptions) -> Path:
    """Write `auditor.html`: importance, model card, lineage, rules, promises, drift.

    Where the manifest is sealed after the other pages, call this again with its hash in
    `run.lineage["manifest_sha256"]`: only this page shows it.
    """
    text = translation("en")

    def name(feature: str) -> str:
        return feature_words(clean(feature), text)

    quality = q.quality_of(run)
    context = {
        **frame(run, options, "auditor.html", text),
        "run": run,
        "clean": clean,
        "feature_name": name,
        "views": shap_views(run, name),
        "season_lines": season_lines(run, name),
        "methods": methods(run, name),
        "parts": parts(run, name),
        "card": model_card(run, quality),
        "rules": _flat(run.rules),
        "promises": _promises(run, quality),
        "assessed": assessment_view(run),
        "markers": marker_rows(run),
        "drift": drift(run),
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


def _promises(run: RunTables, quality: q.Quality) -> list[dict[str, object]]:
    """Return every promised rate beside what was measured, by parcels and hectares."""
    promised, measured = run.metrics.get("promised", {}), run.metrics.get("verdicts", {})
    names = sorted(set(promised) | {key for key, rate in measured.items() if _is_rate(rate)})
    rows = [
        {
            "name": name.replace("_", " "),
            "meaning": clean(run.metrics.get("rates", {}).get(name, "")),
            "promised": promised.get(name),
            "count": measured.get(name, {}).get("count"),
            "hectares": measured.get(name, {}).get("hectares"),
            "against": "known truth",
        }
        for name in names
    ]
    return [*rows, _contradicted(quality)]


def _contradicted(quality: q.Quality) -> dict[str, object]:
    flagged = (quality.table["verdict"] == "contradicted").cast(pl.Float64).to_numpy()
    area = quality.table["area_ha"].cast(pl.Float64).fill_null(0).to_numpy()
    count, hectares = (
        quality.ratio("", flagged, np.ones(len(flagged))),
        quality.ratio("", flagged * area, area),
    )
    return {
        "name": "contradicted",
        "meaning": "of the declarations that were judged",
        "promised": None,
        "count": vars(count),
        "hectares": vars(hectares),
        "against": "declarations",
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
        seen = run.dates.group_by(keys).agg(pl.col("valid_share").cast(pl.Float64).mean())
        spans = spans.join(seen, on=keys, how="left", nulls_equal=True)
    else:
        spans = spans.with_columns(valid_share=pl.lit(None, pl.Float64))
    return spans.sort(keys).to_dicts()
