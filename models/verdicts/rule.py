"""The decision rule: which reason each parcel's verdict has, and the verdict that each reason leads to."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from models.verdicts.evidence import Evidence
from models.verdicts.options import JudgeOptions

# every reason code, in the order in which the rule checks them, and the verdict of each
REASONS: Mapping[str, str] = {
    "unreadable_id": "not_monitorable",
    "misplaced": "not_monitorable",
    "empty_geometry": "not_monitorable",
    "invalid_geometry": "not_monitorable",
    "no_code": "not_monitorable",
    "unmapped_code": "not_monitorable",
    "outside_imagery": "no_data",
    "too_few_pixels": "not_monitorable",
    "lost_to_buffer": "not_monitorable",
    "never_observed": "no_data",
    "few_observations": "inconclusive",
    "mostly_filled": "inconclusive",
    "uncertain_filling": "inconclusive",
    "class_not_modelled": "inconclusive",
    "class_too_small": "inconclusive",
    "more_than_one_crop": "inconclusive",  # by the composition of its pixels
    "heterogeneous": "inconclusive",
    "not_recognised": "contradicted",  # unlike the declared class, and unlike every other that is known
    "other_crop": "contradicted",
    "atypical": "inconclusive",  # unlike most of its class, yet likest to what the scheme accepts
    "not_excluded": "inconclusive",  # likest to another crop, but the declared one cannot be excluded
    "set_too_wide": "inconclusive",
    "within_scheme": "confirmed",  # another crop than declared, which the scheme accepts
    "as_declared": "confirmed",
}


def decide(table: pl.DataFrame, evidence: Evidence | None, options: JudgeOptions) -> np.ndarray:
    """Return `(parcel,)` reason codes: the first of REASONS that applies.

    Parameters
    ----------
    table
        What is known of each parcel, with `spread_deviation` as the function of that name gives it among all
        parcels.
    evidence
        One row a parcel of the table, in its order; None for parcels that have no probabilities.
    """
    asked = _asked_of_parcels(table, options)
    if evidence is None:
        asked["class_not_modelled"] = np.ones(len(table), bool)
    else:
        asked |= _asked_of_evidence(evidence, options)
    if "more_than_one_crop" in table.columns:
        asked["more_than_one_crop"] = table["more_than_one_crop"].fill_null(False).to_numpy()
    order = [name for name in REASONS if name in asked]
    codes = np.select([asked[name] for name in order], np.arange(len(order)), default=-1)
    source = np.array([*order, "as_declared"], dtype=object)
    aside = table["reason"].to_numpy().astype(object)
    return np.where(table["reason"].is_not_null().to_numpy(), aside, source[codes])


def _asked_of_parcels(table: pl.DataFrame, options: JudgeOptions) -> dict[str, np.ndarray]:
    def where(condition: pl.Expr) -> np.ndarray:
        return table.select(condition.fill_null(False).alias("is"))["is"].to_numpy()

    return {
        "outside_imagery": ~where(pl.col("inside")),
        "too_few_pixels": where(pl.col("full_pixels") < options.min_full_pixels),
        "lost_to_buffer": where(pl.col("buffer_loss") > options.max_buffer_loss),
        "never_observed": where(pl.col("n_observations").fill_null(0) == 0),
        "few_observations": where(pl.col("n_observations") < options.min_observations),
        "mostly_filled": where(pl.col("filled_share") > options.max_filled_share),
        "uncertain_filling": where(pl.col("sigma").fill_nan(0) > options.max_sigma),
        "heterogeneous": where(pl.col("spread_deviation") > options.max_spread),
    }


def _asked_of_evidence(evidence: Evidence, options: JudgeOptions) -> dict[str, np.ndarray]:
    meets = evidence.accepted[np.arange(len(evidence.at)), evidence.predicted]
    rejected = evidence.p_value <= options.alpha
    rivals = (evidence.sets & ~evidence.accepted).sum(1)
    return {
        "class_not_modelled": evidence.declared < 0,
        "class_too_small": ~evidence.promised,
        "not_recognised": rejected & ~meets & (evidence.typical <= options.alpha),
        "other_crop": rejected & ~meets,
        "atypical": rejected & meets,
        "not_excluded": ~meets,
        "set_too_wide": 1 + rivals > options.max_set_size,
        "within_scheme": evidence.predicted != evidence.declared,
    }


def spread_deviation(spread: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return `(parcel,)`: how far each NDVI spread lies above its class's median, in robust deviations of the
    class; `spread` and `classes` are `(parcel,)`.

    `(x - median) / (1.4826 MAD)` of the logarithm, the spread being positive and skewed; minus infinity where
    the spread is unknown or the class has fewer than ten of them.
    """
    deviation = np.full(len(spread), -np.inf)
    values = np.log(np.maximum(np.asarray(spread, float), 1e-4))
    names = np.array([name or "" for name in classes])
    for name in np.unique(names):
        mine = (names == name) & np.isfinite(values)
        if mine.sum() >= 10:
            middle = np.median(values[mine])
            scale = 1.4826 * np.median(np.abs(values[mine] - middle))
            deviation[mine] = (values[mine] - middle) / max(scale, 0.05)
    return deviation
