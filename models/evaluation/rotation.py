"""Whether farmers who change their rotation are flagged more often than those who do not."""

import numpy as np
import polars as pl

from models.evaluation.metrics import Estimate, ratio

UNUSUAL = 0.5  # of a crop's own share: a crop that follows another this rarely is a change of rotation
ROTATION = pl.Schema(
    {
        "rotation": pl.String,  # usual, changed, unknown
        "metric": pl.String,  # contradicted: of all; false_alarm_rate: of the correct
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,
    }
)


def rotation_of(crop: pl.Series, before: pl.Series) -> pl.Series:
    """Return `(parcel,)` `usual`, `changed` or `unknown`, from the declared class and that of a year before.

    A crop is a change where it follows the earlier one less than half as often as it grows at all.

    Examples
    --------
    >>> crop = pl.Series(["wheat"] * 9 + ["maize"] + ["maize"] * 10)
    >>> before = pl.Series(["beet"] * 10 + ["maize"] * 10)
    >>> rotation_of(crop, before).to_list()[8:11]
    ['usual', 'changed', 'usual']
    """
    table = pl.DataFrame({"crop": crop, "before": before})
    known = pl.col("crop").is_not_null() & pl.col("before").is_not_null()
    counted = table.with_columns(
        pair=pl.len().over("crop", "before"),
        first=pl.len().over("before"),
        own=pl.len().over("crop") / pl.lit(max(len(table), 1)),
    )
    follows = pl.col("pair") / pl.col("first")
    return counted.select(
        rotation=pl.when(~known)
        .then(pl.lit("unknown"))
        .when(follows < UNUSUAL * pl.col("own"))
        .then(pl.lit("changed"))
        .otherwise(pl.lit("usual"))
    )["rotation"]


def flags_by_rotation(
    verdicts: pl.DataFrame, rotation: pl.DataFrame, rng: np.random.Generator
) -> pl.DataFrame:
    """Return how often parcels of either rotation are contradicted, schema ROTATION.

    Parameters
    ----------
    verdicts
        `parcel_id, verdict`.
    rotation
        `parcel_id, rotation, group`, and `misdeclared` where the truth is known.
    """
    table = verdicts.select("parcel_id", "verdict").join(rotation, on="parcel_id", how="inner")
    rows = []
    for name in ("usual", "changed", "unknown"):
        part = table.filter(pl.col("rotation") == name)
        figures = {"contradicted": _flagged(part, rng)}
        if "misdeclared" in table.columns:
            figures["false_alarm_rate"] = _flagged(part.filter(~pl.col("misdeclared")), rng)
        rows += [{"rotation": name, "metric": metric, **one.to_dict()} for metric, one in figures.items()]
    return pl.DataFrame(rows, schema=ROTATION)


def _flagged(part: pl.DataFrame, rng: np.random.Generator) -> Estimate:
    flags = (part["verdict"] == "contradicted").to_numpy()
    return ratio(flags, np.ones(len(part)), part["group"].to_numpy(), rng)
