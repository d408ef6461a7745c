"""The model card: what the model was trained on and where it is weak, from the stored figures alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from reports.embed import clean
from reports.pages import quality as q
from reports.run import RunTables

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


TRANSFER_PHRASES = {
    "pool": "also trained on the parcels of {runs}",
    "load": "models of {runs} as they are; none trained here",
    "tune": "networks of {runs}, trained further here; trees fitted here",
}


def model_card(run: RunTables, quality: q.Quality) -> Card:
    """Return the card of a run."""
    table = run.table.filter(pl.col("crop_class").is_not_null())
    trained = table.group_by("crop_class").agg(
        parcels=pl.len(),
        hectares=pl.col("area_ha").cast(pl.Float64).sum(),
        holdings=pl.col("holding_id").n_unique(),
    )
    models = [] if run.probabilities is None else run.probabilities["model"].unique().sort().to_list()
    return Card(
        trained=trained.sort(["parcels", "crop_class"], descending=[True, False]).to_dicts(),
        not_monitorable=_not_monitorable(run),
        weak=_weak(run, quality),
        models=[clean(name) for name in models],
        folds=int(run.verdicts.filter(pl.col("fold") >= 0)["fold"].n_unique()),
        folds_note=clean(str((run.lineage.get("folds") or {}).get("folds_note") or "")),
        transfer=_transfer(run),
    )


def _transfer(run: RunTables) -> str:
    """Return a phrase on the use of other runs; empty where none were used."""
    facts: Mapping[str, Any] = run.lineage.get("folds") or {}
    use = TRANSFER_PHRASES.get(facts.get("transfer", ""))
    return use.format(runs=", ".join(clean(name) for name in facts["runs"])) if use else ""


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


def _weak(run: RunTables, quality: q.Quality) -> list[tuple[str, q.Share]]:
    """Return the classes of lowest F1 and the groups of highest error, among those of enough parcels."""
    found: list[tuple[str, q.Share]] = []
    classes = [row["f1"] for row in q.per_class(quality) if row["recall"].n >= FEWEST]
    found += [
        (f"Lowest F1: {clean(run.class_name(share.name))}", share)
        for share in sorted(classes, key=lambda share: share.value)[:3]
    ]
    area = quality.table["area_ha"].cast(pl.Float64).to_numpy()
    seen = quality.table["n_observations"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    filled = quality.table["filled_share"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    for name, label in (
        ("Highest error by size (ha)", q.bins(area, [0, 0.3, 0.5, 1, 2, 5, 10], "{:g}".format)),
        ("Highest error by observations", q.bins(seen, [0, 5, 10, 20, 30, 45, 60], "{:g}".format)),
        (
            "Highest error by share filled",
            q.bins(filled, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75], "{:.0%}".format),
        ),
    ):
        shares = [share for share in q.errors_by(quality, label) if share.n >= FEWEST]
        if len(shares) > 1:
            worst = max(shares, key=lambda share: share.value)
            found.append((f"{name}: {worst.name.split('|')[1]}", worst))
    return found
