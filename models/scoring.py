"""Verdicts against the truth: false alarms, misses and false discoveries, by count and hectares."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from features.schema import check_columns
from models.evaluation import Estimate, ratio

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
        "promise": pl.String,  # p_value, prediction_set
        "crop_class": pl.String,  # all for overall
        "promised": pl.Float64,
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,
    }
)
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
    table = with_bins(
        verdicts.join(wrong, on="parcel_id", how="inner", validate="1:1").join(
            groups, on="parcel_id", how="left", maintain_order="left"
        )
    )
    table = table.with_columns(pl.col("group").cast(pl.String).fill_null("alone " + pl.col("parcel_id")))
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
) -> pl.DataFrame:
    """What was promised of correct declarations and what was kept, by class and overall; schema PROMISES.

    Parameters
    ----------
    promised
        Any of `p_value` (share with a p-value at or below it; its promise is that level) and `prediction_set`
        (share whose set holds the declared class): the level of each.
    """
    table = verdicts.join(wrong, on="parcel_id", how="inner", validate="1:1")
    table = table.join(groups, on="parcel_id", how="left", maintain_order="left")
    table = table.filter(~pl.col("misdeclared") & pl.col("p_value").is_not_null())
    group = pl.col("group").cast(pl.String).fill_null("alone " + pl.col("parcel_id"))
    table = table.with_columns(group, held=pl.col("prediction_set").list.contains(pl.col("crop_class")))
    parts = {
        "all": table,
        **{str(key[0]): part for key, part in sorted(table.partition_by("crop_class", as_dict=True).items())},
    }
    rows = []
    for name, part in parts.items():
        hits = {
            "p_value": part["p_value"].to_numpy() <= promised.get("p_value", 0),
            "prediction_set": part["held"].to_numpy(),
        }
        for promise, level in promised.items():
            found = ratio(hits[promise], np.ones(len(part)), part["group"].to_numpy(), rng)
            rows.append({"promise": promise, "crop_class": name, "promised": level, **found.to_dict()})
    return pl.DataFrame(rows, schema=PROMISES)


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
