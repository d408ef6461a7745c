"""The errors of the verdicts, from field results and the design of the sample: by count and in hectares."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from features.schema import check_columns
from models.assessment.estimator import Visited, share
from models.assessment.reviewed import WRONG
from models.evaluation.metrics import Estimate
from models.evaluation.verdict_scores import JUDGED

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
BY_STRATUM = pl.Schema([("stratum", pl.String), *ASSESSMENT.items()])
MEASURES: Mapping[str, str] = {
    "error": "confirmed though wrong, or contradicted though correct, of all declarations",
    "confirmed_wrong": "wrong, of the declarations confirmed",
    "commission": "correct, of the declarations contradicted (the false discovery rate)",
    "omission": "not contradicted, of the wrong declarations that imagery could judge (the miss rate)",
    "false_alarm_rate": "contradicted, of the correct declarations",
    "wrong_rate": "wrong, of all declarations",
    "error_total": "confirmed though wrong, or contradicted though correct, in the whole population",
    "confirmed_wrong_total": "confirmed though wrong, in the whole population",
    "commission_total": "contradicted though correct, in the whole population",
    "omission_total": "wrong, judged and not contradicted, in the whole population",
}
CONFIRMED, CONTRADICTED = "confirmed", "contradicted"
ALL = "all"
FEWEST_IN_CELL = 5  # visited parcels of a verdict, below which it is joined with the rest
SHARES = {"count": "parcels", "hectares": "total hectares"}


def estimate(
    results: pl.DataFrame, verdicts: pl.DataFrame, design: pl.DataFrame, *, assisted: bool = False
) -> pl.DataFrame:
    """Estimate the errors of all verdicts from the visited part of the sample.

    A visited parcel stands for `1 / probability` parcels, scaled so that each stratum has its known size (see
    `models.assessment.estimator`). Strata where nothing was visited are not covered. Totals multiply a share
    by what is known without error: how many parcels and hectares have that verdict.

    Parameters
    ----------
    results
        `parcel_id, field_result`; parcels outside the design are not counted.
    verdicts
        `parcel_id, verdict, area_ha` of the whole population, as the imagery gave them.
    design
        Schema `models.assessment.quality_sample.DESIGN`.
    assisted
        Whether the verdicts of all parcels help: parcels are then weighed so that each verdict has its known
        number and hectares (the calibration, or post-stratified, estimator; Deville & Sarndal 1992, JASA 87).

    Returns
    -------
    pl.DataFrame
        Schema ASSESSMENT.
    """
    check_columns(verdicts.columns, ("parcel_id", "verdict", "area_ha"), "The verdicts")
    table = _visited(results, verdicts, _one_row_a_parcel(design))
    rows = []
    for unit, whole_unit in SHARES.items():
        visited, known, totals = _assisted(table, verdicts, unit) if assisted else _design(table, unit)
        facts = _Facts(table)
        for measure, (hit, domain) in facts.shares().items():
            rows.append(_row(measure, unit, share(hit, domain, visited, totals, known)))
        for measure, (hit, domain, names) in facts.totals().items():
            of = verdicts.filter(pl.col("verdict").is_in(names))
            whole = float(of.height if unit == "count" else of["area_ha"].cast(pl.Float64).sum())
            rows.append(_row(measure, whole_unit, share(hit, domain, visited, totals, known), whole))
    return pl.DataFrame(rows, schema=ASSESSMENT, orient="row")


def by_stratum(results: pl.DataFrame, verdicts: pl.DataFrame, design: pl.DataFrame) -> pl.DataFrame:
    """Estimate the errors of each stratum alone, schema BY_STRATUM.

    Totals are of the stratum where its hectares are known, and left out where not.
    """
    parts = []
    for (name,), drawn in sorted(design.group_by("stratum"), key=lambda part: str(part[0])):
        table = _visited(results, verdicts, drawn)
        for unit, whole_unit in SHARES.items():
            visited, known, totals = _design(table, unit)
            facts = _Facts(table)
            found = {key: share(*pair, visited, totals, known) for key, pair in facts.shares().items()}
            parts += [(name, *_row(measure, unit, figure)) for measure, figure in found.items()]
            whole = drawn["stratum_parcels" if unit == "count" else "stratum_hectares"][0]
            if whole is not None:
                parts.append((name, *_row("error_total", whole_unit, found["error"], float(whole))))
    return pl.DataFrame(parts, schema=BY_STRATUM, orient="row")


def field_visits_saved(table: pl.DataFrame, assisted: pl.DataFrame, measure: str = "error") -> float | None:
    """Return the share of visits that the verdicts of all parcels save at equal width of the interval.

    Width falls with the square root of the number of visits; None where either width is not known.
    """
    widths = []
    for found in (table, assisted):
        row = found.filter((pl.col("measure") == measure) & (pl.col("unit") == "hectares")).to_dicts()
        widths.append(row[0]["high"] - row[0]["low"] if row and row[0]["value"] is not None else np.nan)
    if not np.isfinite(widths).all() or widths[0] <= 0:
        return None
    return float(1 - (widths[1] / widths[0]) ** 2)


class _Facts:
    """Who is hit, of whom, by measure; each `(visited)` bool."""

    def __init__(self, table: pl.DataFrame) -> None:
        self.wrong = (table["field_result"] == WRONG).to_numpy()
        verdict = table["verdict"]
        self.flagged = (verdict == CONTRADICTED).to_numpy()
        self.confirmed = (verdict == CONFIRMED).to_numpy()
        self.passed = verdict.is_in(_passing()).to_numpy()
        self.error = (self.wrong & self.confirmed) | (~self.wrong & self.flagged)

    def shares(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        every = np.ones(len(self.wrong), bool)
        return {
            "error": (self.error, every),
            "confirmed_wrong": (self.wrong, self.confirmed),
            "commission": (~self.wrong, self.flagged),
            "omission": (self.passed, self.wrong & (self.flagged | self.passed)),
            "false_alarm_rate": (self.flagged, ~self.wrong),
            "wrong_rate": (self.wrong, every),
        }

    def totals(self) -> dict[str, tuple[np.ndarray, np.ndarray, list[str]]]:
        decided = self.confirmed | self.flagged
        return {
            "error_total": (self.error, decided, [CONFIRMED, CONTRADICTED]),
            "confirmed_wrong_total": (self.wrong, self.confirmed, [CONFIRMED]),
            "commission_total": (~self.wrong, self.flagged, [CONTRADICTED]),
            "omission_total": (self.wrong, self.passed, _passing()),
        }


def _passing() -> list[str]:
    return [name for name in JUDGED if name != CONTRADICTED]


def _visited(results: pl.DataFrame, verdicts: pl.DataFrame, design: pl.DataFrame) -> pl.DataFrame:
    """Return the visited part of the design, with each parcel's chance that it was drawn and visited.

    While visits go on, those made count as drawn at random from each stratum's sample: the chance is the
    design's, times the share visited (response homogeneity groups; Sarndal, Swensson & Wretman 1992, 15.6).
    """
    found = results.select("parcel_id", "field_result")
    known = verdicts.select("parcel_id", "verdict", "area_ha")
    drawn = design.filter(pl.col("probability") > 0).join(
        found, on="parcel_id", how="left", validate="m:1", maintain_order="left"
    )
    seen = pl.col("field_result").is_not_null()
    holding = pl.col("holding")
    probability = pl.col("probability") * seen.mean().over("stratum")
    met = pl.col("holding_probability") * (
        holding.filter(seen).n_unique().over("stratum") / holding.n_unique().over("stratum")
    )
    drawn = drawn.with_columns(
        probability=probability, holding_probability=pl.max_horizontal(met, probability)
    )
    return drawn.filter(seen).join(known, on="parcel_id", validate="m:1", maintain_order="left")


def _one_row_a_parcel(design: pl.DataFrame) -> pl.DataFrame:
    """Return the design of the whole: as it is, or, where parcels are in several strata, as one stratum."""
    if not design["parcel_id"].is_duplicated().any():
        return design
    return design.unique("parcel_id", keep="first", maintain_order=True).with_columns(
        probability=pl.col("parcel_probability"),
        stratum=pl.lit(ALL),
        stratum_parcels=pl.lit(1, pl.Int64),
        stratum_hectares=pl.lit(None, pl.Float64),
    )


def _design(table: pl.DataFrame, unit: str) -> tuple[Visited, np.ndarray, np.ndarray]:
    """Return the visited parcels, what the strata's totals are of, and these totals."""
    area = table["area_ha"].cast(pl.Float64).to_numpy()
    ones = np.ones(table.height)
    by_area = unit == "hectares" and table["stratum_hectares"].null_count() == 0
    _, stratum = np.unique(table["stratum"].to_numpy(), return_inverse=True)
    totals = np.zeros(int(stratum.max(initial=-1)) + 1)
    totals[stratum] = table["stratum_hectares" if by_area else "stratum_parcels"].to_numpy()
    return (
        _as_visited(table, stratum, area if unit == "hectares" else ones),
        area if by_area else ones,
        totals,
    )


def _assisted(
    table: pl.DataFrame, verdicts: pl.DataFrame, unit: str
) -> tuple[Visited, np.ndarray, np.ndarray]:
    """The same with verdicts in place of strata; verdicts of few visited parcels are one."""
    counts = dict(table["verdict"].value_counts().iter_rows())
    names = sorted(name for name, count in counts.items() if count >= FEWEST_IN_CELL)
    cell = {name: place for place, name in enumerate(names)}
    if sum(counts[name] for name in names) == table.height and names:  # nobody stands for the rest
        largest = cell[max(names, key=lambda name: counts[name])]
        cell |= {name: largest for name in verdicts["verdict"].unique() if name not in cell}
    size = np.ones(verdicts.height) if unit == "count" else verdicts["area_ha"].cast(pl.Float64).to_numpy()
    every = [cell.get(name, len(names)) for name in verdicts["verdict"]]
    totals = np.bincount(np.array(every, dtype=np.int64), size, minlength=len(names) + 1)
    own = np.array([cell.get(name, len(names)) for name in table["verdict"]], dtype=np.int64)
    measured = np.ones(table.height) if unit == "count" else table["area_ha"].cast(pl.Float64).to_numpy()
    return _as_visited(table, own, measured), measured, totals


def _as_visited(table: pl.DataFrame, stratum: np.ndarray, size: np.ndarray) -> Visited:
    _, holding = np.unique(table["holding"].to_numpy(), return_inverse=True)
    own, of_holding = (table[name].to_numpy() for name in ("probability", "holding_probability"))
    return Visited(stratum, holding, own, of_holding, size)


def _row(
    measure: str, unit: str, figure: Estimate, whole: float = 1.0
) -> tuple[str, str, float, float, float, int]:
    return measure, unit, figure.value * whole, figure.low * whole, figure.high * whole, figure.n
