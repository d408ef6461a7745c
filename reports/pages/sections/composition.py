"""Compositions on the auditor's page: how many parcels, and how well mixed ones are found."""

from typing import Any

from features.schema import Row
from reports.composition import INSIDE, NOT_ASSESSED, inside
from reports.embed import clean
from reports.pages.sections.evaluation import stored
from reports.run import RunTables
from reports.translation import Text


def composition_view(run: RunTables, text: Text) -> dict[str, object] | None:
    """Return counts of parcels by what grows inside, and what was measured; None without compositions.

    What was measured: on neighbours that declare different crops, looked at as one parcel, how many were
    found to hold both, and how far the share of the second was off; and, where the truth is known, the scores
    of `models.evaluation.composition_scores`.
    """
    if run.composition_findings is None:
        return None
    kinds = inside(run.composition_findings)["inside"].value_counts()
    counts = dict(kinds.iter_rows())
    why = run.composition_findings["reason"].drop_nulls().value_counts().sort("reason")
    return {
        "counts": [(text(f"inside.{name}"), int(counts.get(name, 0))) for name in INSIDE],
        "not_assessed": int(counts.get(NOT_ASSESSED, 0)),
        "reasons": [(text.get(f"reason.{name}", clean(name)), n) for name, n in why.iter_rows()],
        "pairs": _pairs(run),
        "scores": _scores(run, text),
    }


def _pairs(run: RunTables) -> dict[str, Any] | None:
    pairs = stored(run, "mixed_pairs")
    if pairs is None:
        return None
    off = (pairs["found_share"] - pairs["true_share"]).abs()
    return {"n": pairs.height, "found": pairs["flagged"].mean(), "off": off.mean()}


def _scores(run: RunTables, text: Text) -> list[Row]:
    scores = stored(run, "composition_scores")
    if scores is None:
        return []
    names = run.metrics.get("composition_names", {})
    return [
        {
            **row,
            "name": text.get(
                f"composition_score.{row['metric']}", clean(names.get(row["metric"], row["metric"]))
            ),
            "by": text.get(f"composition_by.{row['by']}", clean(row["by"])),
            "share": not row["metric"].endswith("_ha"),
        }
        for row in scores.iter_rows(named=True)
    ]
