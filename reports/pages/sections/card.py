"""The model card: what the model was trained on and where it is weak, from the stored figures alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from reports.embed import clean
from reports.pages.sections import quality as q
from reports.run import RunTables, Table
from reports.translation import Text

FEWEST = 20


@dataclass(frozen=True)
class Card:
    """The parts of a model card that figures can fill."""

    trained: list[dict[str, object]]  # class, parcels, hectares, holdings
    not_monitorable: list[dict[str, object]]  # class, parcels, of how many
    weak: list[tuple[str, q.Share]]  # its largest errors
    models: list[str]
    folds: int
    folds_note: str  # where folds could not be made as asked
    transfer: str  # models or parcels of other runs
    fit: str  # what the models were fitted on, and which images they do not know


def model_card(run: RunTables, quality: q.Quality, text: Text) -> Card:
    """Return the card of a run."""
    table = run.table.filter(pl.col("crop_class").is_not_null())
    trained = table.group_by("crop_class").agg(
        parcels=pl.len(),
        hectares=pl.col("area_ha").cast(pl.Float64).sum(),
        holdings=pl.col("holding_id").n_unique(),
    )
    models = [] if run.probabilities is None else _models(run.probabilities)
    return Card(
        trained=trained.sort(["parcels", "crop_class"], descending=[True, False]).to_dicts(),
        not_monitorable=_not_monitorable(run),
        weak=_weak(run, quality, text),
        models=[clean(name) for name in models],
        folds=int(run.verdicts.filter(pl.col("fold") >= 0)["fold"].n_unique()),
        folds_note=clean(str((run.lineage.get("folds") or {}).get("folds_note") or "")),
        transfer=_transfer(run, text),
        fit=fit_words(run, text),
    )


def fit_words(run: RunTables, text: Text) -> str:
    """Return a sentence on what the models were fitted on; empty where the run does not say."""
    fit = (run.lineage.get("folds") or {}).get("fit")
    if not fit:
        return ""
    until, newer = day_of(fit["until"], text), fit["newer"]
    if fit["kept"]:
        counts = {name: text.number(newer.get(name, 0)) for name in ("s1", "s2")}
        return text("changes.kept", day=until, optical=counts["s2"], radar=counts["s1"])
    return text("changes.fitted", day=until, parcels=text.number(fit["parcels"]))


def day_of(written: str, text: Text) -> str:
    """Return a day written as `2024-06-12` in words; a dash where there is none."""
    return text.day(date.fromisoformat(written), year=True) if written else "–"


def _transfer(run: RunTables, text: Text) -> str:
    """Return a phrase on the use of other runs; empty where none were used."""
    facts: Mapping[str, Any] = run.lineage.get("folds") or {}
    use = f"transfer.{facts.get('transfer', '')}"
    if use not in text.phrases:
        return ""
    return text(use, runs=", ".join(clean(name) for name in facts["runs"]))


def _not_monitorable(run: RunTables) -> list[dict[str, object]]:
    """Return classes (or codes) of which most parcels could not be judged."""
    out = pl.col("verdict") == "not_monitorable"
    groups = run.table.group_by("crop_class", "declared").agg(
        parcels=out.sum(), of=pl.len(), reason=pl.col("reason").filter(out).mode().first()
    )
    return (
        groups.filter(pl.col("parcels") * 2 > pl.col("of"))
        .sort(["parcels", "declared"], descending=[True, False])
        .head(20)
        .to_dicts()
    )


def _weak(run: RunTables, quality: q.Quality, text: Text) -> list[tuple[str, q.Share]]:
    """Return the classes of lowest F1 and the groups of highest error, among those of enough parcels."""
    found: list[tuple[str, q.Share]] = []
    classes = [row["f1"] for row in q.per_class(quality) if row["recall"].n >= FEWEST]
    found += [
        (text("auditor.lowest_f1", name=clean(run.class_name(share.name))), share)
        for share in sorted(classes, key=lambda share: share.value)[:3]
    ]
    area = quality.table["area_ha"].cast(pl.Float64).to_numpy()
    seen = quality.table["n_observations"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    filled = quality.table["filled_share"].cast(pl.Float64).fill_null(np.nan).to_numpy()

    def plain(value: float) -> str:
        return text.written(f"{value:g}")

    for name, label in (
        ("size", q.bins(area, [0, 0.3, 0.5, 1, 2, 5, 10], plain, text)),
        ("observations", q.bins(seen, [0, 5, 10, 20, 30, 45, 60], plain, text)),
        (
            "filled",
            q.bins(filled, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75], lambda v: text.percent(v, 0), text),
        ),
    ):
        shares = [share for share in q.errors_by(quality, label) if share.n >= FEWEST]
        if len(shares) > 1:
            worst = max(shares, key=lambda share: share.value)
            found.append(
                (text("auditor.highest_error", by=text(f"by.{name}"), group=worst.name.split("|")[1]), worst)
            )
    return found


def _models(probabilities: Table) -> list[str]:
    names: list[str] = (
        probabilities.lazy().select(pl.col("model").unique().sort()).collect()["model"].to_list()
    )
    return names
