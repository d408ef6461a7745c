"""Field results: read back, turned into commission and omission, and fed forward."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from features.accounting import Tally
from features.declarations.formats.text_table import read_text_table
from features.errors import CropcheckError
from features.schema import check_columns
from models.evaluation.metrics import Estimate, clopper_pearson
from models.evaluation.verdict_scores import JUDGED

CORRECT, WRONG = "correct", "wrong"
FIELD_COLUMNS = ("field_result", "field_crop", "field_date", "remark")
RESULTS = pl.Schema(
    {
        "parcel_id": pl.String,
        "season": pl.Int32,
        "declared": pl.String,
        "field_result": pl.String,  # correct or wrong
        "field_crop": pl.String,  # national code found in the field, or null
        "in_sample": pl.Boolean,  # drawn at random; others settle their parcel but estimate nothing
    }
)
ASSESSMENT = pl.Schema(
    {
        "measure": pl.String,  # a key of MEASURES
        "unit": pl.String,  # count or hectares (shares); parcels or total hectares (totals)
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,  # field results that the figure rests on
    }
)
MEASURES: Mapping[str, str] = {
    "commission": "correct, of the declarations contradicted (the false discovery rate)",
    "omission": "not contradicted, of the wrong declarations that imagery could judge (the miss rate)",
    "false_alarm_rate": "contradicted, of the correct declarations",
    "wrong_rate": "wrong, of all declarations",
    "commission_total": "contradicted and correct, in the whole population",
    "omission_total": "wrong, judged and not contradicted, in the whole population",
}
SETTLED = {CORRECT: ("confirmed", "field_correct"), WRONG: ("contradicted", "field_wrong")}
FEWEST_TO_CORRECT = 60  # below it a 95% interval of a 5% rate spans more than 1 to 14%
SHOWN = 10


class AssessmentError(CropcheckError):
    """Field results that cannot be used."""


@dataclass(frozen=True)
class Assessment:
    """What field results gave.

    Attributes
    ----------
    results
        Schema RESULTS, one row per visited parcel.
    table
        Schema ASSESSMENT.
    by_intervention
        The same shares of each intervention alone, with its name in `stratum`.
    counted
        Rows of the file: results, and not yet visited.
    """

    results: pl.DataFrame
    table: pl.DataFrame
    by_intervention: pl.DataFrame
    counted: Tally


def assess(reviewed: Path, verdicts: pl.DataFrame, sample: pl.DataFrame) -> Assessment:
    """Read field results and estimate how well the verdicts did.

    Raises
    ------
    AssessmentError
        Naming the rows that cannot be used, and why; or that there is no result at all.
    """
    results, counted = read_results(reviewed, verdicts, sample)
    if results.is_empty():
        raise AssessmentError(
            f"{reviewed} has no field result yet; fill `field_result` with correct or wrong."
        )
    return Assessment(
        results, estimate(results, verdicts, sample), by_intervention(results, verdicts, sample), counted
    )


def read_results(reviewed: Path, verdicts: pl.DataFrame, sample: pl.DataFrame) -> tuple[pl.DataFrame, Tally]:
    """Read the sample back with its columns filled in.

    Parameters
    ----------
    reviewed
        CSV with `parcel_id`, `field_result` (correct, wrong, or empty while not visited) and optionally
        `field_crop` (the national code found). Parcels outside the sample may be added: they are settled,
        but as they were not drawn at random no rate is estimated from them.

    Raises
    ------
    AssessmentError
        Where ids are unknown or doubled, or values are none of those above; the message names the rows as a
        spreadsheet counts them.
    """
    table = _columns(read_text_table(reviewed), reviewed)
    known = verdicts.select("parcel_id", "season", "declared").with_columns(key=_safe(pl.col("parcel_id")))
    keyed = table.with_columns(key=_safe(pl.col("parcel_id")))
    rows = keyed.drop("parcel_id").join(known, on="key", how="left", maintain_order="left", validate="m:1")
    faults = [*_unknown(keyed, known), *_doubled(rows), *_wrong_values(rows)]
    if faults:
        more = f"\n  and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        shown = "\n  ".join(text for _, text in sorted(faults)[:SHOWN])
        raise AssessmentError(
            f"{len(faults)} rows of {reviewed} cannot be used; nothing was read:\n  {shown}{more}"
        )
    drawn = pl.col("parcel_id").is_in(sample["parcel_id"].to_list())
    visited = rows.filter(pl.col("field_result").is_not_null()).with_columns(in_sample=drawn)
    results = visited.select(pl.col(name).cast(kind) for name, kind in RESULTS.items())
    open_ = rows.height - results.height
    set_aside = {"not_visited": open_} if open_ else {}
    return results, Tally("assess", "rows", rows.height, results.height, set_aside)


def _columns(table: pl.DataFrame, reviewed: Path) -> pl.DataFrame:
    missing = [name for name in ("parcel_id", "field_result") if name not in table.columns]
    if missing:
        raise AssessmentError(f"{reviewed} lacks the columns {missing}; it has {table.columns}.")
    crop = pl.col("field_crop") if "field_crop" in table.columns else pl.lit(None, pl.String)
    written = table.with_row_index("row", offset=2).filter(
        pl.any_horizontal(pl.all().exclude("row").is_not_null())
    )
    return written.select(
        "row", "parcel_id", pl.col("field_result").str.to_lowercase(), crop.alias("field_crop")
    )


def _safe(ids: pl.Expr) -> pl.Expr:
    """Return ids without the apostrophe by which an export neutralises formulas."""
    return ids.str.strip_prefix("'")


def _unknown(keyed: pl.DataFrame, known: pl.DataFrame) -> list[tuple[int, str]]:
    """Say which rows name no parcel; a number that lost its zeros in a spreadsheet is recognised."""
    ids = set(known["key"].to_list())
    stripped = {name.lstrip("0"): name for name in ids}
    faults = []
    for row, key in keyed.select("row", "key").iter_rows():
        if key is None:
            faults.append((row, f"row {row}: there is no parcel_id"))
        elif key not in ids:
            near = stripped.get(key) or next(iter(difflib.get_close_matches(key, ids, 1, 0.8)), None)
            hint = f"; was {near!r} meant (a spreadsheet drops leading zeros)?" if near else ""
            faults.append((row, f"row {row}: {key!r} is no parcel of this run{hint}"))
    return faults


def _doubled(rows: pl.DataFrame) -> list[tuple[int, str]]:
    known = rows.filter(pl.col("parcel_id").is_not_null())
    later = known.filter(~pl.col("parcel_id").is_first_distinct())
    return [
        (row, f"row {row}: {name!r} stands twice")
        for row, name in later.select("row", "parcel_id").iter_rows()
    ]


def _wrong_values(rows: pl.DataFrame) -> list[tuple[int, str]]:
    faults = []
    for row, result, crop, declared in rows.select(
        "row", "field_result", "field_crop", "declared"
    ).iter_rows():
        if result not in (None, CORRECT, WRONG):
            faults.append((row, f"row {row}: field_result {result!r} is neither {CORRECT} nor {WRONG}"))
        elif result == CORRECT and crop is not None and crop != declared:
            faults.append(
                (row, f"row {row}: {CORRECT}, but field_crop {crop!r} is not the declared {declared!r}")
            )
        elif result == WRONG and crop is not None and crop == declared:
            faults.append((row, f"row {row}: {WRONG}, but field_crop is the declared {declared!r}"))
        elif result is None and crop is not None:
            faults.append((row, f"row {row}: field_crop without a field_result"))
    return faults


def estimate(results: pl.DataFrame, verdicts: pl.DataFrame, sample: pl.DataFrame) -> pl.DataFrame:
    """Estimate the errors of all verdicts from the visited part of the sample.

    A visited parcel stands for `stratum size / visited` parcels of its intervention, and shares are ratios
    of such sums (the combined ratio estimator of a stratified sample: Cochran 1977, Sampling Techniques,
    section 6.11). Interventions where nothing was visited are not covered. Totals multiply a share by what
    is known without error: how many parcels and hectares were contradicted, or judged and not.

    Returns
    -------
    pl.DataFrame
        Schema ASSESSMENT.
    """
    check_columns(verdicts.columns, ("parcel_id", "verdict", "area_ha"), "The verdicts")
    table = results.filter("in_sample").join(
        sample.select("parcel_id", "stratum", "stratum_size"), on="parcel_id", validate="1:1"
    )
    table = table.join(verdicts.select("parcel_id", "verdict", "area_ha"), on="parcel_id", validate="1:1")
    wrong = (table["field_result"] == WRONG).to_numpy()
    flagged = (table["verdict"] == "contradicted").to_numpy()
    passed = table["verdict"].is_in([name for name in JUDGED if name != "contradicted"]).to_numpy()
    shares = {  # measure: who is hit, of whom
        "commission": (~wrong, flagged),
        "omission": (passed, wrong & (flagged | passed)),
        "false_alarm_rate": (flagged, ~wrong),
        "wrong_rate": (wrong, np.ones(len(wrong), bool)),
    }
    totals = {
        "commission_total": (~wrong, flagged, ["contradicted"]),
        "omission_total": (wrong, passed, _passing()),
    }
    rows = []
    for unit, size in (
        ("count", np.ones(len(wrong))),
        ("hectares", table["area_ha"].cast(pl.Float64).to_numpy()),
    ):
        for measure, (hit, domain) in shares.items():
            rows.append(_row(measure, unit, weighted_share(hit, domain, size, table)))
        for measure, (hit, domain, names) in totals.items():
            known = verdicts.filter(pl.col("verdict").is_in(names))
            whole = float(known.height if unit == "count" else known["area_ha"].cast(pl.Float64).sum())
            name = "parcels" if unit == "count" else "total hectares"
            rows.append(_row(measure, name, weighted_share(hit, domain, size, table), whole))
    return pl.DataFrame(rows, schema=ASSESSMENT, orient="row")


def by_intervention(results: pl.DataFrame, verdicts: pl.DataFrame, sample: pl.DataFrame) -> pl.DataFrame:
    """Estimate the shares of each intervention alone: `stratum`, then schema ASSESSMENT without totals."""
    parts = []
    for (name,), drawn in sorted(sample.group_by("stratum"), key=lambda part: str(part[0])):
        visited = results.filter(pl.col("parcel_id").is_in(drawn["parcel_id"].to_list()))
        shares = estimate(visited, verdicts, drawn).filter(~pl.col("measure").str.ends_with("_total"))
        parts.append(shares.select(pl.lit(name, pl.String).alias("stratum"), *ASSESSMENT))
    return pl.concat(parts) if parts else pl.DataFrame(schema={"stratum": pl.String, **ASSESSMENT})


def _passing() -> list[str]:
    return [name for name in JUDGED if name != "contradicted"]


def _row(
    measure: str, unit: str, share: Estimate, whole: float = 1.0
) -> tuple[str, str, float, float, float, int]:
    return measure, unit, share.value * whole, share.low * whole, share.high * whole, share.n


def weighted_share(hit: np.ndarray, domain: np.ndarray, size: np.ndarray, table: pl.DataFrame) -> Estimate:
    """Estimate which share of a domain is hit, with a 95% interval.

    The variance is that of the linearised ratio (Cochran 1977, 6.11 and 5A.9); the interval is Clopper and
    Pearson's at the effective sample size (Korn & Graubard 1998, Survey Methodology 24), which stays honest
    for rare errors and for none at all.

    Parameters
    ----------
    hit, domain
        `(visited)` bool.
    size
        `(visited)` 1, or hectares.
    table
        `stratum, stratum_size` of the visited parcels.
    """
    n = int(domain.sum())
    visited = table.select(pl.len().over("stratum")).to_series().to_numpy().astype(float)
    population = table["stratum_size"].to_numpy().astype(float)
    weight = population / visited
    lower = weight * size * domain
    if n == 0 or lower.sum() <= 0:
        return Estimate(np.nan, np.nan, np.nan, n)
    share = float((lower * hit).sum() / lower.sum())
    residual = size * domain * (hit - share)
    variance = _variance(residual, table["stratum"].to_numpy(), visited, population) / lower.sum() ** 2
    kish = lower.sum() ** 2 / (lower**2).sum()
    effective = min(kish, share * (1 - share) / variance) if variance > 0 else kish
    return Estimate(share, *clopper_pearson(share, effective), n)


def _variance(
    residual: np.ndarray, stratum: np.ndarray, visited: np.ndarray, population: np.ndarray
) -> float:
    """Variance of the estimated total of residuals; strata with one visit take the spread of all."""
    total = 0.0
    overall = float(residual.var(ddof=1)) if len(residual) > 1 else 0.0
    for name in np.unique(stratum):
        rows = np.flatnonzero(stratum == name)
        n, whole = visited[rows[0]], population[rows[0]]
        spread = float(residual[rows].var(ddof=1)) if len(rows) > 1 else overall
        total += whole**2 * max(0.0, 1 - n / whole) * spread / n
    return total


def settle(verdicts: pl.DataFrame, results: pl.DataFrame) -> pl.DataFrame:
    """Give visited parcels the verdict that the field gave; they leave the follow-up list for good.

    A result holds for the season and the declared code that were visited: an amended declaration is judged
    anew, unless it now names the crop that was found.
    """
    seen = results.select("parcel_id", "season", "field_result", "field_crop", visited_code="declared")
    joined = verdicts.join(
        seen, on=["parcel_id", "season"], how="left", maintain_order="left", validate="1:1"
    )
    same = pl.col("declared").eq_missing(pl.col("visited_code"))
    amended = pl.col("field_crop").is_not_null() & (pl.col("field_crop") == pl.col("declared"))
    result = pl.when(same).then("field_result").when(amended).then(pl.lit(CORRECT)).otherwise(None)
    settled = joined.with_columns(result.alias("field"))
    known = pl.col("field").is_not_null()
    return settled.with_columns(
        verdict=pl.when(known).then(_settled(0)).otherwise("verdict"),
        reason=pl.when(known).then(_settled(1)).otherwise("reason"),
        q_value=pl.when(known).then(None).otherwise("q_value"),
    ).select(verdicts.columns)


def _settled(place: int) -> pl.Expr:
    return pl.col("field").replace_strict({name: pair[place] for name, pair in SETTLED.items()}, default=None)


def corrected_rates(
    promised: Mapping[str, float], table: pl.DataFrame, fewest: int = FEWEST_TO_CORRECT
) -> dict[str, dict[str, float | int | str]]:
    """Replace promised rates by what the field showed, where it showed enough.

    A promise is kept while fewer than `fewest` results bear on it or the interval still holds it; otherwise
    the estimate takes its place.

    Parameters
    ----------
    promised
        Rates by measure (`false_alarm_rate`, `commission`, `omission`, `wrong_rate`), over counts.
    table
        Schema ASSESSMENT.

    Returns
    -------
    dict
        By measure `promised, value, low, high, n` and `source`: promise or field.
    """
    counts = {row["measure"]: row for row in table.filter(pl.col("unit") == "count").to_dicts()}
    corrected: dict[str, dict[str, float | int | str]] = {}
    for name, rate in promised.items():
        found = counts.get(name)
        if found is None or found["n"] < fewest or found["low"] <= rate <= found["high"]:
            corrected[name] = {
                "promised": rate,
                "value": rate,
                "source": "promise",
                "n": found["n"] if found else 0,
            }
        else:
            figures = {key: found[key] for key in ("value", "low", "high", "n")}
            corrected[name] = {"promised": rate, "source": "field", **figures}
    return corrected
