"""What changed since the last season's run: inputs, class shares, metrics."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import xarray as xr

from features.series.chunks import StoredSeries, chunks_of, parcels_read, rows_of
from reports.run import RunTables
from reports.translation import Text
from reports.words import feature_words


@dataclass(frozen=True)
class Change:
    """One figure of the last season's run and of this one."""

    name: str
    before: float | None
    now: float | None

    @property
    def difference(self) -> float | None:
        """Now less before, where both are known."""
        return None if self.before is None or self.now is None else self.now - self.before


@dataclass(frozen=True)
class Drift:
    """Every change, by kind; `stability` is the index over class shares."""

    season: int
    classes: list[Change]
    stability: float
    verdicts: list[Change]
    metrics: list[Change]
    inputs: list[Change]


def drift(run: RunTables, text: Text) -> Drift | None:
    """Return what changed since `run.previous`, or None where none is given."""
    if run.previous is None:
        return None
    before, now = _shares(run.previous, "crop_class"), _shares(run, "crop_class")
    verdict_before, verdict_now = _shares(run.previous, "verdict"), _shares(run, "verdict")
    return Drift(
        season=run.previous.season,
        classes=[
            Change(run.class_name(name), before.get(name, 0.0), now.get(name, 0.0))
            for name in sorted(before.keys() | now.keys())
        ],
        stability=stability(before, now),
        verdicts=[
            Change(
                text.get(f"verdict.{name}", name), verdict_before.get(name, 0.0), verdict_now.get(name, 0.0)
            )
            for name in sorted(verdict_before.keys() | verdict_now.keys())
        ],
        metrics=_metrics(run, text),
        inputs=_inputs(run, text),
    )


def stability(before: dict[str, float], now: dict[str, float]) -> float:
    """Return the population stability index, the sum of (now - before) ln(now / before) over classes.

    Under 0.1 is read as stable, over 0.25 as another population (Siddiqi 2006, "Credit Risk Scorecards").
    Shares are floored at 0.0001, so that a class that is new counts without being infinite.

    Examples
    --------
    >>> stability({"a": 0.5, "b": 0.5}, {"a": 0.5, "b": 0.5})
    0.0
    """
    pairs = [
        (max(before.get(k, 0), 1e-4), max(now.get(k, 0), 1e-4)) for k in sorted(before.keys() | now.keys())
    ]
    return float(sum((b - a) * np.log(b / a) for a, b in pairs))


def _shares(run: RunTables, column: str) -> dict[str, float]:
    known = run.verdicts[column].drop_nulls()
    counts = known.value_counts().sort(column)
    return {str(name): count / max(1, len(known)) for name, count in counts.iter_rows()}


def _metrics(run: RunTables, text: Text) -> list[Change]:
    assert run.previous is not None
    found = []
    for model, values in sorted(run.metrics.get("models", {}).items()):
        for name, estimate in values.items():
            old = run.previous.metrics.get("models", {}).get(model, {}).get(name)
            if isinstance(estimate, dict) and isinstance(old, dict):
                found.append(
                    Change(
                        f"{model}, {text.get(f'metric.{name}', name.replace('_', ' '))}",
                        old.get("value"),
                        estimate.get("value"),
                    )
                )
    return found


def _inputs(run: RunTables, text: Text) -> list[Change]:
    """Return the season's mean of every feature that both runs have, and how much was seen."""
    assert run.previous is not None
    seen = [
        Change(
            text("auditor.observations_mean"),
            *(_mean(r.verdicts["n_observations"]) for r in (run.previous, run)),
        )
    ]
    seen.append(
        Change(text("auditor.filled_mean"), *(_mean(r.verdicts["filled_share"]) for r in (run.previous, run)))
    )
    before, now = _feature_means(run.previous.series), _feature_means(run.series)
    return seen + [
        Change(feature_words(name, text), before[name], now[name]) for name in now if name in before
    ]


def _mean(values: pl.Series) -> float | None:
    known = values.cast(pl.Float64).drop_nulls().drop_nans()
    return float(known.mean()) if len(known) else None  # type: ignore[arg-type]


def _feature_means(series: xr.Dataset | StoredSeries | None) -> dict[str, float]:
    if series is None:
        return {}
    rows = rows_of(series)
    total = np.zeros(rows.head.sizes["feature"])
    count = np.zeros(len(total), int)
    for part in chunks_of(len(rows.parcels), parcels_read(rows.head)):
        for _, chunk in rows.of(np.arange(part.start, part.stop)):
            value = chunk["value"].isel(statistic=0).transpose("parcel", "time", "feature").values
            total += np.nansum(value.astype(float), axis=(0, 1))
            count += np.isfinite(value).sum((0, 1))
    names = rows.head["feature"].values
    return {str(name): t / n for name, t, n in zip(names, total.tolist(), count.tolist(), strict=True) if n}
