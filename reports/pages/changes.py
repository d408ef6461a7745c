"""The page of what changed since the last run: verdicts, parcels, acquisitions and models."""

from pathlib import Path
from typing import Any

import polars as pl

from features.files import write_text
from features.schema import Row
from reports.embed import clean, render
from reports.options import PublishOptions
from reports.page import frame
from reports.pages.sections.card import day_of, fit_words
from reports.run import RunTables
from reports.translation import Text, translation

NAME = "changes.html"
MOST_ROWS = 500  # parcels and acquisitions that are listed; the tables hold all


def write_changes(run: RunTables, out: Path, options: PublishOptions, listed: pl.DataFrame) -> list[Path]:
    """Write `changes.html`, where there is an earlier run to compare with; return what was written.

    Parameters
    ----------
    listed
        `parcel_id` and `sheet` of the parcels that have a page.
    """
    (out / NAME).unlink(missing_ok=True)
    since = run.lineage.get("since")
    parcels, images = (run.evaluation.get(f"changes_{name}") for name in ("verdicts", "acquisitions"))
    if not since or parcels is None or images is None:
        return []
    text = translation(options.language)
    sheets = dict(listed.filter(pl.col("sheet").is_not_null()).select("parcel_id", "sheet").iter_rows())
    changed = parcels.filter(pl.col("change") == "changed")
    context = {
        **frame(run, options, NAME, text),
        "clean": clean,
        "since": day_of(since["made"], text),
        "counts": _counts(parcels),
        "images": _counts(images),
        "ways": changed.group_by("before", "now")
        .agg(n=pl.len(), hectares=pl.col("area_ha").cast(pl.Float64).sum())
        .sort(["n", "before", "now"], descending=[True, False, False])
        .to_dicts(),
        "reasons": _reasons(changed),
        "rows": [_row(run, row, sheets, text) for row in _first(parcels, "area_ha").to_dicts()],
        "acquisitions": _first(images.sort("datetime"), "datetime").to_dicts(),
        "shown": MOST_ROWS,
        "fit": fit_words(run, text),
        "rules_changed": since["rules_changed"],
    }
    return [write_text(out / NAME, render("changes.html.j2", ["common.js"], context))]


def _counts(table: pl.DataFrame) -> dict[str, int]:
    return dict(table["change"].value_counts().sort("change").iter_rows())


def _reasons(changed: pl.DataFrame) -> list[tuple[str, int]]:
    """Return how many changed verdicts have each kind of news, the commonest first; one may have several."""
    counts = changed.select(pl.col("why").explode(empty_as_null=False)).to_series().value_counts()
    return list(counts.sort(["count", "why"], descending=[True, False]).iter_rows())


def _first(table: pl.DataFrame, by: str) -> pl.DataFrame:
    return table.sort(by, descending=True, nulls_last=True, maintain_order=True).head(MOST_ROWS)


def _row(run: RunTables, row: Row, sheets: dict[str, str], text: Text) -> dict[str, Any]:
    crops = [clean(run.crop(code)) if code else "–" for code in (row["declared_before"], row["declared"])]
    return {
        **row,
        "parcel": clean(row["parcel_id"]),
        "sheet": sheets.get(row["parcel_id"]),
        "crop": crops[1] if row["declared"] else crops[0],
        "crop_before": crops[0] if row["change"] == "changed" and crops[0] != crops[1] else "",
        "why": ", ".join(text(f"why.{name}") for name in row["why"]),
        "said": text.get(f"reason.{row['reason']}", ""),
    }
