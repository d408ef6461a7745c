"""From probabilities to verdicts: what the imagery says of each declaration, and why."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import Field

from features.accounting import Tally, tally
from features.crops import GROUPS_FILE, CropGroups, read_crop_groups
from features.errors import StageError
from features.options import Options
from features.quality import QUALITY
from features.schema import PARCELS, VERDICTS, check_columns, check_table
from features.schemes import SCHEMES_FILE, Schemes, accepted_classes, read_schemes
from models.calibration import CalibrationName, cross_calibrate, fit_calibrator
from models.conformal import (
    calibration_counts,
    class_p_values,
    enough,
    margin,
    prediction_sets,
    rank_p_values,
)
from models.followup import follow_up_q, noise_matrix, right_probability

log = logging.getLogger(__name__)

ENSEMBLE = "ensemble"
ROWS_TO_CALIBRATE = 10  # inner rows a class, at least
KEYS = ("parcel_id", "model", "fold")
# every reason code, in the order in which the rule asks, and the verdict it leads to
REASONS: Mapping[str, str] = {
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
    "heterogeneous": "inconclusive",
    "not_recognised": "contradicted",  # unlike the declared class, and unlike every other that is known
    "other_crop": "contradicted",
    "atypical": "inconclusive",  # unlike most of its class, yet likest to what the scheme accepts
    "not_excluded": "inconclusive",  # likest to another crop, but the declared one cannot be excluded
    "set_too_wide": "inconclusive",
    "within_scheme": "confirmed",  # another crop than declared, which the scheme accepts
    "as_declared": "confirmed",
}


class JudgeOptions(Options):
    """How probabilities become verdicts."""

    alpha: float = Field(
        0.05,
        gt=0,
        lt=0.5,
        description="promised share of correct declarations that may be contradicted, within each class",
    )
    calibration: CalibrationName = Field(
        "choose", description="of probabilities, fitted outside each fold; choose: by log-loss"
    )
    noise_rate: float = Field(
        0.03, ge=0, lt=0.5, description="share of declarations assumed wrong; orders the follow-up list"
    )
    min_full_pixels: int = Field(8, ge=0, description="fewer full pixels inside the buffer: not monitorable")
    max_buffer_loss: float = Field(
        0.6, ge=0, le=1, description="a larger share of pixels lost to the buffer: not monitorable"
    )
    min_observations: int = Field(8, ge=0, description="fewer dates seen (optical and radar): inconclusive")
    max_filled_share: float = Field(
        0.9, ge=0, le=1, description="a larger share of filled steps: inconclusive"
    )
    max_sigma: float = Field(
        1.0,
        ge=0,
        description="a larger mean error of filling, in standard deviations between parcels: inconclusive",
    )
    max_spread: float = Field(
        4.0,
        gt=0,
        description="robust deviations of a parcel's NDVI spread above its class's median: heterogeneous",
    )
    set_level: float = Field(
        0.9, gt=0.5, lt=1, description="share of correct declarations whose prediction set holds their class"
    )
    max_set_size: int = Field(5, ge=1, description="more classes that cannot be excluded: inconclusive")
    schemes: Path = Field(
        SCHEMES_FILE, description="what must hold for each intervention: crop, group or agriculture"
    )
    groups: Path = Field(GROUPS_FILE, description="group of each crop class")


@dataclass(frozen=True)
class Evidence:
    """What the rule weighs, one row a parcel with probabilities; `at` is its row in the declarations."""

    at: np.ndarray
    probabilities: np.ndarray  # calibrated
    classes: np.ndarray
    declared: np.ndarray  # index, -1 where the class is not modelled
    fold: np.ndarray
    accepted: np.ndarray  # bool (parcel, class): what the scheme accepts
    p_value: np.ndarray  # that what the scheme requires holds
    sets: np.ndarray  # bool (parcel, class)
    promised: np.ndarray  # whether the class has parcels enough for alpha
    right: np.ndarray  # probability that the declaration is right; NaN where the class is not modelled

    @property
    def predicted(self) -> np.ndarray:
        """Index of the class of highest probability."""
        return np.asarray(self.probabilities.argmax(1))


def judge(
    probabilities: pl.DataFrame,
    declarations: pl.DataFrame,
    parcels: pl.DataFrame,
    quality: pl.DataFrame,
    options: JudgeOptions,
    *,
    model_id: str,
    schemes: Schemes | None = None,
    groups: CropGroups | None = None,
    inner: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Give every declared parcel a verdict and its reason.

    Parameters
    ----------
    probabilities
        `parcel_id, fold`, one Float64 column a class, and `model` where there is more than the ensemble; out
        of fold.
    declarations
        DECLARATION_COLUMNS less the geometry, one row a parcel; the result has the same rows in the same
        order.
    parcels, quality
        Schemas PARCELS and QUALITY; a parcel absent from `parcels` lies outside the imagery.
    schemes, groups
        Scheme rules and crop groups; read from the files that the options name where None.
    inner
        Like `probabilities`: rows of `fold` k predicted by models that saw no label of fold k, for
        calibrating fold k (`models.crops.crossfit`). Where None, fold k is calibrated by the other folds'
        out-of-fold rows, whose models saw its labels.

    Returns
    -------
    pl.DataFrame
        Schema VERDICTS. `p_value` is that what the scheme requires holds (the declared crop itself by
        default); `probability` is of the declared class. Both are null where there is nothing to say.
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
    rules = schemes or read_schemes(options.schemes), groups or read_crop_groups(options.groups)
    evidence = weigh(
        _ensemble(probabilities), table, options, *rules, inner=None if inner is None else _ensemble(inner)
    )
    verdicts = _assemble(table, evidence, _decide(table, evidence, options), options, model_id)
    log.info("%s", verdict_tally(verdicts))
    return verdicts


def verdict_tally(verdicts: pl.DataFrame) -> Tally:
    """Count the parcels in, those decided, and those set aside by reason."""
    decided = ("confirmed", "contradicted")
    reasons = [
        None if verdict in decided else reason
        for verdict, reason in verdicts.select("verdict", "reason").iter_rows()
    ]
    return tally("judge", "parcels", reasons)


def weigh(
    probabilities: pl.DataFrame,
    table: pl.DataFrame,
    options: JudgeOptions,
    schemes: Schemes,
    groups: CropGroups,
    *,
    inner: pl.DataFrame | None = None,
) -> Evidence:
    """Calibrate, compare each parcel with its class, and form prediction sets.

    Parameters
    ----------
    table
        `parcel_id, crop_class, intervention`, at least, one row a parcel.
    """
    classes = np.array([name for name in probabilities.columns if name not in KEYS], dtype=object)
    rows = probabilities.join(table.with_row_index("at"), on="parcel_id", how="inner", validate="1:1").sort(
        "at"
    )
    fold = rows["fold"].to_numpy()
    declared = _index_of(rows["crop_class"], classes)
    calibrated = _calibrate(rows, classes, declared, options, inner)
    accepted = _accepted(rows, classes, schemes, groups)
    by_class = class_p_values(calibrated, declared, fold)
    own = np.maximum(declared, 0)
    counts = calibration_counts(declared, fold, len(classes))[np.arange(len(own)), own]
    return Evidence(
        at=rows["at"].to_numpy(),
        probabilities=calibrated,
        classes=classes,
        declared=declared,
        fold=fold,
        accepted=accepted,
        p_value=_required_p_values(calibrated, declared, fold, accepted),
        sets=prediction_sets(by_class, 1 - options.set_level),
        promised=enough(counts, options.alpha) & (declared >= 0),
        right=_right(calibrated, declared, fold, options.noise_rate),
    )


def _ensemble(probabilities: pl.DataFrame) -> pl.DataFrame:
    if "model" not in probabilities.columns:
        return probabilities
    found = probabilities.filter(pl.col("model") == ENSEMBLE)
    if len(probabilities) and not len(found):
        raise StageError(f"The probabilities hold no model called {ENSEMBLE!r}; run cropcheck train again.")
    return found.drop("model")


def _facts(declarations: pl.DataFrame, parcels: pl.DataFrame, quality: pl.DataFrame) -> pl.DataFrame:
    """Declarations with what is known of each parcel's pixels and series, in the declarations' order."""
    seen = parcels.select("parcel_id", "full_pixels", "buffer_loss", inside=pl.lit(True))
    joined = declarations.join(seen, on="parcel_id", how="left", validate="1:1", maintain_order="left")
    return joined.join(quality, on="parcel_id", how="left", validate="1:1", maintain_order="left")


def _index_of(names: pl.Series, classes: np.ndarray) -> np.ndarray:
    number = {name: index for index, name in enumerate(classes)}
    return np.array([number.get(name, -1) for name in names.to_list()], dtype=int)


def _calibrate(
    rows: pl.DataFrame,
    classes: np.ndarray,
    declared: np.ndarray,
    options: JudgeOptions,
    inner: pl.DataFrame | None,
) -> np.ndarray:
    """Calibrated probabilities: each fold by its inner rows where these suffice, else by the others."""
    raw, fold = rows.select(classes.tolist()).to_numpy(), rows["fold"].to_numpy()
    if inner is None or not len(inner):
        return cross_calibrate(raw, declared, fold, options.calibration)[0]
    learn = inner.join(rows.select("parcel_id", "crop_class", own="fold"), on="parcel_id", how="inner")
    labels, held = _index_of(learn["crop_class"], classes), learn["fold"].to_numpy()
    values, own = learn.select(classes.tolist()).to_numpy(), learn["own"].to_numpy()
    calibrated = raw.astype(float)
    for number in np.unique(fold):
        use, mine = (held == number) & (labels >= 0), fold == number
        if use.sum() >= ROWS_TO_CALIBRATE * len(classes):
            fitted = fit_calibrator(options.calibration, values[use], labels[use], own[use])
        else:
            others = ~mine & (fold >= 0) & (declared >= 0)
            fitted = fit_calibrator(options.calibration, raw[others], declared[others], fold[others])
        calibrated[mine] = fitted.apply(raw[mine])
    return calibrated


def _accepted(rows: pl.DataFrame, classes: np.ndarray, schemes: Schemes, groups: CropGroups) -> np.ndarray:
    accepted = np.zeros((len(rows), len(classes)), bool)
    known: dict[tuple[str, str], np.ndarray] = {}
    for index, (name, intervention) in enumerate(rows.select("crop_class", "intervention").iter_rows()):
        if name is not None:
            key = (schemes.rule_of(intervention), name)
            if key not in known:
                known[key] = np.isin(classes, list(accepted_classes(key[0], name, classes, groups)))
            accepted[index] = known[key]
    return accepted


def _required_p_values(
    probabilities: np.ndarray, declared: np.ndarray, fold: np.ndarray, accepted: np.ndarray
) -> np.ndarray:
    """p-value that what the scheme requires holds: all accepted classes make one score."""
    values = np.full(len(declared), np.nan)
    for number in np.unique(declared[declared >= 0]):
        member = declared == number
        for allowed in np.unique(accepted[member], axis=0):
            mine = member & (accepted == allowed).all(1)
            scores = margin(probabilities, np.broadcast_to(allowed, probabilities.shape))
            values[mine] = rank_p_values(scores, member & (fold >= 0), fold)[mine]
    return values


def _right(
    probabilities: np.ndarray, declared: np.ndarray, fold: np.ndarray, noise_rate: float
) -> np.ndarray:
    right = np.full(len(declared), np.nan)
    for number in np.unique(fold):
        others = (fold != number) & (fold >= 0) & (declared >= 0)
        mine = (fold == number) & (declared >= 0)
        if mine.any() and others.any():
            noise = noise_matrix(probabilities[others], declared[others], noise_rate)
            right[mine] = right_probability(probabilities[mine], declared[mine], noise)
    return right


def _decide(table: pl.DataFrame, evidence: Evidence, options: JudgeOptions) -> np.ndarray:
    """Reason code of every parcel: the first of REASONS that applies."""
    asked = {**_asked_of_parcels(table, options), **_asked_of_evidence(len(table), evidence, options)}
    order = [name for name in REASONS if name in asked]
    codes = np.select([asked[name] for name in order], np.arange(len(order)), default=-1)
    source = np.array([*order, "as_declared"], dtype=object)
    aside = table["reason"].to_numpy().astype(object)
    return np.where(table["reason"].is_not_null().to_numpy(), aside, source[codes])


def _asked_of_parcels(table: pl.DataFrame, options: JudgeOptions) -> dict[str, np.ndarray]:
    def where(condition: pl.Expr) -> np.ndarray:
        return table.select(condition.fill_null(False).alias("is"))["is"].to_numpy()

    return {
        "outside_imagery": where(pl.col("inside").is_null()),
        "too_few_pixels": where(pl.col("full_pixels") < options.min_full_pixels),
        "lost_to_buffer": where(pl.col("buffer_loss") > options.max_buffer_loss),
        "never_observed": where(pl.col("n_observations").fill_null(0) == 0),
        "few_observations": where(pl.col("n_observations") < options.min_observations),
        "mostly_filled": where(pl.col("filled_share") > options.max_filled_share),
        "uncertain_filling": where(pl.col("sigma").fill_nan(0) > options.max_sigma),
        "heterogeneous": spread_deviation(table["ndvi_spread"].to_numpy(), table["crop_class"].to_numpy())
        > options.max_spread,
    }


def _asked_of_evidence(n: int, evidence: Evidence, options: JudgeOptions) -> dict[str, np.ndarray]:
    meets = evidence.accepted[np.arange(len(evidence.at)), evidence.predicted]
    doubted = evidence.p_value <= options.alpha
    rivals = (evidence.sets & ~evidence.accepted).sum(1)
    asked = {
        "class_not_modelled": evidence.declared < 0,
        "class_too_small": ~evidence.promised,
        "not_recognised": doubted & ~meets & ~evidence.sets.any(1),
        "other_crop": doubted & ~meets,
        "atypical": doubted & meets,
        "not_excluded": ~meets,
        "set_too_wide": 1 + rivals > options.max_set_size,
        "within_scheme": evidence.predicted != evidence.declared,
    }
    whole = {name: np.zeros(n, bool) for name in asked}
    for name, values in asked.items():
        whole[name][evidence.at] = values
    whole["class_not_modelled"][np.setdiff1d(np.arange(n), evidence.at)] = True
    return whole


def spread_deviation(spread: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """How far each parcel's NDVI spread lies above its class's median, in robust deviations of the class.

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


def _assemble(
    table: pl.DataFrame, evidence: Evidence, reason: np.ndarray, options: JudgeOptions, model_id: str
) -> pl.DataFrame:
    known = _judged(evidence, reason).with_columns(parcel_id=table["parcel_id"].gather(evidence.at))
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
    """The columns of VERDICTS that come from the probabilities, one row a parcel that has some."""
    rows = np.arange(len(evidence.at))
    names = evidence.classes
    top = np.argsort(-evidence.probabilities, axis=1, kind="stable")[:, :3]
    own = np.where(evidence.declared >= 0, evidence.probabilities[rows, evidence.declared], np.nan)
    listed = np.array(
        [REASONS.get(code) in ("confirmed", "contradicted", "inconclusive") for code in reason[evidence.at]],
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
        "q_value": follow_up_q(np.where(listed, evidence.right, np.nan)),
        "fold": evidence.fold,
    }
    types = {name: VERDICTS[name] for name in columns}
    return pl.DataFrame(columns, schema=types, strict=False).with_columns(
        pl.col("probability", "p_value", "q_value").fill_nan(None)
    )
