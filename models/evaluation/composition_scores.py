"""Compositions against the truth: parcels with two crops found, false ones, and hectares."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from models.evaluation.metrics import Estimate, estimate, multiplicities, ratio, totals

LEAST_SHARE = 0.3  # of a parcel: two kinds of cover with as much make it a mixed one
LEAST_PIXELS = 100  # of the parcels that are scored: smaller ones are mostly border
TOLERANCE = 0.2  # of the lesser crop's true area
SCORES = pl.Schema(
    {
        "by": pl.String,  # composition, or spread: the rule on the spread of NDVI alone
        "metric": pl.String,  # a key of SCORE_NAMES
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,
    }
)
SCORE_NAMES: Mapping[str, str] = {
    "mixed_parcel_recall": "found mixed, of the parcels of 100 pixels or more with two covers of 30% or more",
    "mixed_parcel_precision": "truly mixed, of the parcels of 100 pixels or more that were found mixed",
    "lesser_area_within_20_percent": "area of the lesser crop within 20%, of the truly mixed parcels",
    "area_error_ha": "mean error of the hectares that do not grow what was declared, of all parcels",
    "interval_holds": "true hectares within the interval, of all parcels",
}


def true_shares(truth: pl.DataFrame, class_of: Mapping[str, str | None]) -> pl.DataFrame:
    """Return `parcel_id, cover, share, area_ha` of each parcel's covers but what lies beyond fields.

    Parameters
    ----------
    truth
        `parcel_id, kind, true_code, area_ha, share`, as a simulated region has it.
    class_of
        Class of each national code.
    """
    own = pl.col("true_code").replace_strict(dict(class_of), default=None, return_dtype=pl.String)
    cover = pl.when(pl.col("kind") == "crop").then(own.fill_null("other")).otherwise(pl.col("kind"))
    fields = truth.filter(pl.col("kind") != "beyond").with_columns(cover=cover)
    return (
        fields.group_by("parcel_id", "cover").agg(pl.col("share", "area_ha").sum()).sort("parcel_id", "cover")
    )


def score_composition(
    composition: pl.DataFrame,
    findings: pl.DataFrame,
    covers: pl.DataFrame,
    declared: pl.DataFrame,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Score compositions and their findings, schema SCORES.

    Parameters
    ----------
    composition, findings
        As `models.patches` writes them.
    covers
        As `true_shares` has it.
    declared
        `parcel_id, crop_class, second_class, group, by_spread`: what was declared, what is redrawn together
        for intervals, and whether the rule on the spread of NDVI calls the parcel heterogeneous.
    """
    mixed = covers.filter(pl.col("share") >= LEAST_SHARE).group_by("parcel_id").len("covers")
    table = findings.filter(pl.col("reason").is_null()).join(declared, on="parcel_id", how="inner")
    table = table.join(mixed, on="parcel_id", how="left").with_columns(
        mixed=pl.col("covers").fill_null(0) >= 2, by_spread=pl.col("by_spread").fill_null(False)
    )
    large = table.filter(pl.col("pixels") >= LEAST_PIXELS)
    rows = [
        {"by": name, "metric": metric, **estimate.to_dict()}
        for name, column in (("composition", "heterogeneous"), ("spread", "by_spread"))
        for metric, estimate in _found(large, column, rng).items()
    ]
    areas = _areas(table, covers, rng) | {
        "lesser_area_within_20_percent": _lesser(large, covers, composition, rng)
    }
    rows += [{"by": "composition", "metric": name, **one.to_dict()} for name, one in areas.items()]
    return pl.DataFrame(rows, schema=SCORES)


def _found(table: pl.DataFrame, column: str, rng: np.random.Generator) -> dict[str, Estimate]:
    truth, flagged = table["mixed"].to_numpy(), table[column].to_numpy()
    group = table["group"].to_numpy()
    return {
        name: ratio(hit[of], np.ones(int(of.sum())), group[of], rng)
        for name, of, hit in (
            ("mixed_parcel_recall", truth, flagged),
            ("mixed_parcel_precision", flagged, truth),
        )
    }


def _areas(table: pl.DataFrame, covers: pl.DataFrame, rng: np.random.Generator) -> dict[str, Estimate]:
    """Return the error of the hectares that are not as declared, and how often intervals hold them."""
    declared = table.select("parcel_id", "crop_class", "second_class")
    other = covers.join(declared, on="parcel_id").filter(
        (pl.col("cover") != pl.col("crop_class"))
        & (pl.col("cover") != pl.col("second_class")).fill_null(True)
    )
    true = other.group_by("parcel_id").agg(true_ha=pl.col("area_ha").sum())
    both = table.join(true, on="parcel_id", how="left").with_columns(pl.col("true_ha").fill_null(0.0))
    error = (both["not_declared_ha"].cast(pl.Float64) - both["true_ha"]).abs().to_numpy()
    group = both["group"].to_numpy()
    known = both["low_ha"].is_not_null().to_numpy()
    holds = (
        both.select(
            (pl.col("true_ha") >= pl.col("low_ha") - 1e-3) & (pl.col("true_ha") <= pl.col("high_ha") + 1e-3)
        )
        .fill_null(False)
        .to_series()
        .to_numpy()
    )
    return {
        "area_error_ha": _mean(error, group, rng),
        "interval_holds": ratio(holds[known], np.ones(int(known.sum())), group[known], rng),
    }


def _mean(values: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> Estimate:
    """Return a mean with its interval over groups."""
    if not len(values):
        return Estimate(np.nan, np.nan, np.nan, 0)
    _, group = np.unique(groups, return_inverse=True)
    total, count = np.bincount(group, values), np.bincount(group)
    drawn = multiplicities(groups, rng)
    return estimate(float(values.mean()), totals(drawn, total) / totals(drawn, count), len(values))


def _lesser(
    table: pl.DataFrame, covers: pl.DataFrame, composition: pl.DataFrame, rng: np.random.Generator
) -> Estimate:
    """Return how often the area of the lesser crop of a truly mixed parcel is found within TOLERANCE."""
    crops = covers.filter((pl.col("share") >= LEAST_SHARE) & ~pl.col("cover").is_in(["unsown", "water"]))
    two = crops.filter(pl.len().over("parcel_id") >= 2).sort("parcel_id", "share")
    lesser = (
        two.group_by("parcel_id", maintain_order=True)
        .first()
        .join(table.select("parcel_id", "group"), on="parcel_id", maintain_order="left")
    )
    found = composition.select("parcel_id", "crop_class", found_ha="area_ha")
    both = lesser.join(
        found, left_on=["parcel_id", "cover"], right_on=["parcel_id", "crop_class"], how="left",
        maintain_order="left",
    )  # fmt: skip
    error = (both["found_ha"].fill_null(0) - both["area_ha"]).abs() / both["area_ha"]
    return ratio((error <= TOLERANCE).to_numpy(), np.ones(len(both)), both["group"].to_numpy(), rng)
