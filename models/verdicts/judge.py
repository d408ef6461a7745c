"""From probabilities to verdicts, each with its reason."""

import logging
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.accounting import Tally, tally
from features.declarations.crop_codes import CropGroups, read_crop_groups
from features.declarations.schemes import Schemes, read_schemes
from features.schema import PARCELS, VERDICTS, check_columns, check_table
from features.series.quality import QUALITY
from models.verdicts.evidence import Evidence, Scoring
from models.verdicts.follow_up import follow_up_q
from models.verdicts.options import JudgeOptions
from models.verdicts.predicted import Table
from models.verdicts.rule import REASONS, decide, spread_deviation

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judged:
    """Verdicts, schema VERDICTS, and the calibrated probabilities that they rest on.

    `calibrated` has `parcel_id, fold` and one Float64 column a class.
    """

    verdicts: pl.DataFrame
    calibrated: pl.DataFrame


def judge(
    probabilities: Table,
    declarations: pl.DataFrame,
    parcels: pl.DataFrame,
    quality: pl.DataFrame,
    options: JudgeOptions,
    *,
    model_id: str,
    schemes: Schemes | None = None,
    groups: CropGroups | None = None,
    inner: Table | None = None,
    composed: pl.DataFrame | None = None,
    per_chunk: int | None = None,
) -> Judged:
    """Give every declared parcel a verdict and its reason.

    Parameters
    ----------
    probabilities
        `parcel_id, fold`, one Float64 column a class, and `model` where there is more than the ensemble
        (whose models' own probabilities then add to the evidence); out of fold. A lazy table is read
        `per_chunk` parcels at a time.
    declarations
        DECLARATION_COLUMNS less the geometry, one row a parcel; the result has the same rows in the same
        order.
    parcels, quality
        Schemas PARCELS and QUALITY; a parcel absent from `parcels` lies outside the imagery.
    schemes, groups
        Scheme rules and crop groups; read from the files that the options name where None.
    inner
        Like `probabilities`: rows of `fold` k predicted by models that saw no label of fold k, for
        calibrating fold k (`models.crops.fitting.crossfit`). Where None, fold k is calibrated by the other
        folds' out-of-fold rows, whose models saw its labels.
    composed
        `parcel_id, more_than_one_crop`, where pixels were looked at (`models.patches`).
    per_chunk
        Parcels whose probabilities are in memory at a time, None: as many as it allows; the verdicts do not
        depend on it.

    Returns
    -------
    Judged
        `p_value` is that what the scheme requires holds (the declared crop itself by default); `probability`
        is of the declared class. Both are null where the parcel has no probabilities.
    """
    parcels, quality = (
        check_table(parcels, PARCELS, "The parcels table"),
        check_table(quality, QUALITY, "The quality table"),
    )
    check_columns(
        declarations.columns,
        ("parcel_id", "season", "declared", "crop_class", "intervention", "area_ha", "reason"),
        "The declarations table",
    )
    table = _facts(declarations, parcels, quality)
    if composed is not None:
        mixed = composed.select("parcel_id", "more_than_one_crop")
        table = table.join(mixed, on="parcel_id", how="left", validate="1:1", maintain_order="left")
    rules = schemes or read_schemes(options.schemes), groups or read_crop_groups(options.groups)
    scoring = Scoring(probabilities, table, options, *rules, inner=inner, per_chunk=per_chunk)
    known, calibrated = [], []
    reason = decide(table, None, options)
    for rows in scoring.chunks():
        evidence = scoring.evidence(rows)
        here = evidence.at
        reason[here] = decide(table[here], evidence, options)
        known.append(_judged(evidence, reason[here]).with_columns(parcel_id=table["parcel_id"].gather(here)))
        calibrated.append(_calibrated(evidence, table))
    verdicts = _assemble(table, pl.concat(known), reason, model_id)
    log.info("%s", verdict_tally(verdicts))
    return Judged(verdicts, pl.concat(calibrated))


def _calibrated(evidence: Evidence, table: pl.DataFrame) -> pl.DataFrame:
    keys = {"parcel_id": table["parcel_id"].gather(evidence.at), "fold": evidence.fold}
    return pl.DataFrame(
        {**keys, **dict(zip(evidence.classes.tolist(), evidence.probabilities.T, strict=True))}
    )


def verdict_tally(verdicts: pl.DataFrame) -> Tally:
    """Count the parcels in, those decided, and those set aside by reason."""
    decided = ("confirmed", "contradicted")
    reasons = [
        None if verdict in decided else reason
        for verdict, reason in verdicts.select("verdict", "reason").iter_rows()
    ]
    return tally("judge", "parcels", reasons)


def _facts(declarations: pl.DataFrame, parcels: pl.DataFrame, quality: pl.DataFrame) -> pl.DataFrame:
    """Declarations with what is known of each parcel's pixels and series, in the declarations' order."""
    seen = parcels.select("parcel_id", "full_pixels", "buffer_loss", inside=pl.col("tile").is_not_null())
    joined = declarations.join(seen, on="parcel_id", how="left", validate="1:1", maintain_order="left")
    table = joined.join(quality, on="parcel_id", how="left", validate="1:1", maintain_order="left")
    spread = spread_deviation(table["ndvi_spread"].to_numpy(), table["crop_class"].to_numpy())
    return table.with_columns(spread_deviation=pl.Series(spread))


def _assemble(table: pl.DataFrame, known: pl.DataFrame, reason: np.ndarray, model_id: str) -> pl.DataFrame:
    listed = pl.Series(follow_up_q(known["right"].to_numpy())).fill_nan(None)
    known = known.with_columns(q_value=listed.cast(VERDICTS["q_value"])).drop("right")
    verdicts = table.with_columns(
        reason=pl.Series(reason.tolist(), dtype=pl.String),
        verdict=pl.Series([REASONS.get(code, "not_monitorable") for code in reason], dtype=pl.String),
        model_id=pl.lit(model_id),
        n_observations=pl.col("n_observations").fill_null(0),
    ).join(known, on="parcel_id", how="left", validate="1:1", maintain_order="left")
    lists = [pl.col(name).fill_null([]) for name in ("top3", "prediction_set")]
    return check_table(
        verdicts.with_columns(*lists, fold=pl.col("fold").fill_null(-1)), VERDICTS, "The verdicts"
    )


def _judged(evidence: Evidence, reason: np.ndarray) -> pl.DataFrame:
    """The columns of VERDICTS that come from the probabilities, one row a parcel that has some; and `right`,
    its chance to be right where the parcel may be listed, else NaN.
    """
    rows = np.arange(len(evidence.at))
    names = evidence.classes
    top = np.argsort(-evidence.probabilities, axis=1, kind="stable")[:, :3]
    own = np.where(evidence.declared >= 0, evidence.probabilities[rows, evidence.declared], np.nan)
    listed = np.array(
        [REASONS.get(code) in ("confirmed", "contradicted", "inconclusive") for code in reason],
        dtype=bool,
    )
    columns = {
        "predicted": names[evidence.predicted].tolist(),
        "probability": own,
        "top3": [
            [{"crop_class": names[k], "probability": float(p[k])} for k in best]
            for best, p in zip(top, evidence.probabilities, strict=True)
        ],
        "prediction_set": [sorted(names[members]) for members in evidence.sets],
        "p_value": evidence.p_value,
        "fold": evidence.fold,
    }
    types = {name: VERDICTS[name] for name in columns}
    return pl.DataFrame(columns, schema=types, strict=False).with_columns(
        pl.col("probability", "p_value").fill_nan(None),
        right=pl.Series(np.where(listed, evidence.right, np.nan), dtype=pl.Float64),
    )
