"""Verdicts against the truth: false alarms, misses and false discoveries, by count and hectares."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from features.schema import check_columns
from models.evaluation.metrics import Estimate, ratio

RATES = pl.Schema(
    {
        "by": pl.String,  # all, crop_class, size_bin, observations, region ...
        "level": pl.String,
        "metric": pl.String,  # a key of RATE_NAMES
        "unit": pl.String,  # count, hectares
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,
    }
)
PROMISES = pl.Schema(
    {
        "promise": pl.String,  # a key of PROMISE_NAMES
        "by": pl.String,  # all, crop_class, size_bin, observations
        "level": pl.String,
        "promised": pl.Float64,
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,
    }
)
FOLLOW_UP = pl.Schema(
    {
        "q": pl.Float64,
        "metric": pl.String,  # false_discovery_rate: correct, of the listed; recall: listed, of the wrong
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,
    }
)
PROMISE_NAMES: Mapping[str, str] = {
    "p_value": "p-value at or below the level, of the correct declarations: at most the level",
    "false_alarm_rate": "contradicted, of the correct declarations: at most the level",
    "prediction_set": "class in the prediction set, of the correct declarations: at least the level",
    "follow_up": "correct, of the declarations on the follow-up list of that rate: at most the rate",
}
RATE_NAMES: Mapping[str, str] = {
    "false_alarm_rate": "contradicted, of the correct declarations",
    "miss_rate": "not contradicted, of the wrong declarations that imagery could judge",
    "passed_rate": "confirmed, of the wrong declarations that imagery could judge",
    "false_discovery_rate": "correct, of the declarations contradicted",
    "decided_rate": "confirmed or contradicted, of all",
}
JUDGED = ("confirmed", "contradicted", "inconclusive")
SIZE_BINS_HA = (0.5, 1.0, 2.0, 5.0)
OBSERVATION_BINS = (10, 20, 40, 80)


def verdict_rates(
    verdicts: pl.DataFrame,
    wrong: pl.DataFrame,
    groups: pl.DataFrame,
    rng: np.random.Generator,
    by: str | None = None,
) -> pl.DataFrame:
    """Error rates of the verdicts, schema RATES.

    Parameters
    ----------
    verdicts
        Schema VERDICTS.
    wrong
        `parcel_id, misdeclared` (bool): the truth, by simulation or field visit; other parcels are left out.
    groups
        `parcel_id, group`: holding or block, redrawn for the intervals; a parcel without one stands alone.
    by
        A column to break the rates down by: of `verdicts`, or `size_bin` or `observations`; None: overall.
    """
    check_columns(wrong.columns, ("parcel_id", "misdeclared"), "The truth table")
    table = with_bins(_scored(verdicts, wrong, groups))
    parts = (
        {("all", "all"): table}
        if by is None
        else {
            (by, str(key[0])): part
            for key, part in sorted(table.partition_by(by, as_dict=True).items(), key=str)
        }
    )
    rows = [
        {"by": name, "level": level, "metric": metric, "unit": unit, **estimate.to_dict()}
        for (name, level), part in parts.items()
        for metric, units in rates_of(part, rng).items()
        for unit, estimate in units.items()
    ]
    return pl.DataFrame(rows, schema=RATES)


def rates_of(table: pl.DataFrame, rng: np.random.Generator) -> dict[str, dict[str, Estimate]]:
    """Every rate by count and hectares, of a table with `verdict, misdeclared, area_ha, group`."""
    verdict = table["verdict"].to_numpy()
    wrong = table["misdeclared"].to_numpy().astype(bool)
    flagged, judged = verdict == "contradicted", np.isin(verdict, JUDGED)
    hits = {
        "false_alarm_rate": (~wrong, flagged),
        "miss_rate": (wrong & judged, ~flagged),
        "passed_rate": (wrong & judged, verdict == "confirmed"),
        "false_discovery_rate": (flagged, ~wrong),
        "decided_rate": (np.ones(len(table), bool), flagged | (verdict == "confirmed")),
    }
    area, group = table["area_ha"].to_numpy().astype(float), table["group"].to_numpy()
    weights = {"count": np.ones(len(table)), "hectares": np.nan_to_num(area)}
    return {
        name: {unit: ratio(hit[of], weight[of], group[of], rng) for unit, weight in weights.items()}
        for name, (of, hit) in hits.items()
    }


def kept_promises(
    verdicts: pl.DataFrame,
    wrong: pl.DataFrame,
    groups: pl.DataFrame,
    rng: np.random.Generator,
    *,
    promised: Mapping[str, float],
    by: Sequence[str] = (),
) -> pl.DataFrame:
    """What was promised and what was kept, overall and by what parcels have in common; schema PROMISES.

    Parameters
    ----------
    verdicts, wrong, groups
        As `verdict_rates` takes them.
    promised
        The level of any of PROMISE_NAMES.
    by
        Columns of `verdicts`, or `size_bin` or `observations`.
    """
    table = with_bins(_scored(verdicts, wrong, groups))
    table = table.with_columns(held=pl.col("prediction_set").list.contains(pl.col("crop_class")))
    parts = {("all", "all"): table.filter(pl.col("p_value").is_not_null())}
    for name in by:
        levels = parts["all", "all"].drop_nulls(name).partition_by(name, as_dict=True)
        parts |= {(name, str(key[0])): part for key, part in sorted(levels.items(), key=str)}
    rows = [
        {"promise": promise, "by": name, "level": level, "promised": rate, **kept.to_dict()}
        for (name, level), part in parts.items()
        for promise, rate in promised.items()
        for kept in (_kept(promise, rate, part, rng),)
    ]
    return pl.DataFrame(rows, schema=PROMISES)


def _kept(promise: str, rate: float, part: pl.DataFrame, rng: np.random.Generator) -> Estimate:
    correct = ~part["misdeclared"].to_numpy().astype(bool)
    listed = part.select((pl.col("q_value") <= rate).fill_null(False))["q_value"].to_numpy()
    of, hit = {
        "p_value": (correct, part["p_value"].to_numpy() <= rate),
        "false_alarm_rate": (correct, (part["verdict"] == "contradicted").to_numpy()),
        "prediction_set": (correct, part["held"].fill_null(False).to_numpy()),
        "follow_up": (listed, correct),
    }[promise]
    return ratio(hit[of], np.ones(int(of.sum())), part["group"].to_numpy()[of], rng)


def follow_up_scores(
    verdicts: pl.DataFrame,
    wrong: pl.DataFrame,
    groups: pl.DataFrame,
    rng: np.random.Generator,
    rates: Sequence[float],
) -> pl.DataFrame:
    """How good the follow-up list of each rate q is, schema FOLLOW_UP.

    Parcels of one holding come onto the list, and are wrong, together: intervals are over groups.

    Parameters
    ----------
    verdicts, wrong, groups
        As `verdict_rates` takes them.
    """
    table = _scored(verdicts, wrong, groups)
    misdeclared, group = table["misdeclared"].to_numpy().astype(bool), table["group"].to_numpy()
    rows = []
    for q in rates:
        listed = table.select((pl.col("q_value") <= q).fill_null(False))["q_value"].to_numpy()
        shares = {"false_discovery_rate": (listed, ~misdeclared), "recall": (misdeclared, listed)}
        for metric, (of, hit) in shares.items():
            share = ratio(hit[of], np.ones(int(of.sum())), group[of], rng)
            rows.append({"q": q, "metric": metric, **share.to_dict()})
    return pl.DataFrame(rows, schema=FOLLOW_UP)


def _scored(verdicts: pl.DataFrame, wrong: pl.DataFrame, groups: pl.DataFrame) -> pl.DataFrame:
    """Verdicts with the truth and the `group` they are redrawn by; a parcel without one stands alone."""
    table = verdicts.join(wrong, on="parcel_id", how="inner", validate="1:1").join(
        groups, on="parcel_id", how="left", maintain_order="left"
    )
    return table.with_columns(pl.col("group").cast(pl.String).fill_null("alone " + pl.col("parcel_id")))


def with_bins(verdicts: pl.DataFrame) -> pl.DataFrame:
    """Add `size_bin` (hectares) and `observations` (dates seen), in words; null where unknown."""
    size = _binned(verdicts["area_ha"], SIZE_BINS_HA)
    return verdicts.with_columns(
        size_bin=size, observations=_binned(verdicts["n_observations"], OBSERVATION_BINS)
    )


def _binned(values: pl.Series, edges: Sequence[float]) -> pl.Series:
    """Name of the interval, closed on the left, that holds each value.

    Examples
    --------
    >>> _binned(pl.Series([0.2, 1.0, 7.0]), (1, 5)).to_list()
    ['under 1', '1 to 5', '5 and over']
    """
    names = [
        f"under {edges[0]:g}",
        *(f"{a:g} to {b:g}" for a, b in pairwise(edges)),
        f"{edges[-1]:g} and over",
    ]
    known = values.cast(pl.Float64).fill_null(np.nan).to_numpy()
    labels = np.array(names, dtype=object)[np.digitize(known, edges)]
    labels[~np.isfinite(known)] = None
    return pl.Series(labels.tolist(), dtype=pl.String)
