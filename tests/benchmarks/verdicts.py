"""Verdicts: the conformal rule and two common ones, on the same probabilities, at the same false-alarm rate.

`uv run python -m tests.benchmarks.verdicts [--seeds 0 1 2] [--runs DIR …] [--beyond] [--years DIR DIR]
[--quick] [--json FILE]`. `--beyond` adds crops never trained on and injected label errors (ucr_crop);
`--years` judges the second run, a later season of the same region, with a model of the first.
`ucr_crop`: 3% of the labels are swapped, each for a class that 5-NN confuses it with; the models see the
swapped labels only. `synthetic`: finished runs of a simulated region, judged by their own verdicts and scored
on their hidden truth.

The peers flag a declaration where another class is likelier and the model is sure enough of it: `top2_rule`
by the ratio of the highest to the second highest probability (2 as the Flemish tool publishes it:
`top2_rule_at_2`), `max_probability` by the highest. Their thresholds are set, on the truth, so that they
raise as many false alarms as cropcheck did: an advantage that no user has. Only parcels that every rule can
judge are compared.
"""

import argparse
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import polars as pl

from features.declarations.crop_codes import CropGroups
from features.declarations.schemes import Schemes
from features.schema import ENSEMBLE
from models.crops.fitting.crossfit import CrossFit, cross_fit
from models.crops.fitting.options import TrainOptions
from models.evaluation.metrics import Estimate, multiplicities, ratio
from models.verdicts.judge import judge
from models.verdicts.options import JudgeOptions
from tests.benchmarks.data.crop_sets import WorkSet, ucr_crop
from tests.benchmarks.verdicts_beyond import label_rows, thermal_pair, unknown_rows, years_rows

FOLDER = Path("out/benchmarks/verdicts")
SWAPPED = 0.03
KEYS = ("parcel_id", "model", "fold")
MODELS: dict[str, dict[str, Any]] = {"lightgbm": {"rounds": 80}, "forest": {}}
Rows = list[dict[str, Any]]


def main() -> None:
    """Run what is asked for and print the table."""
    arguments = _arguments()
    data = Path(os.environ.get("CROPCHECK_DATA", "../shared/data"))
    cases = [ucr_case(data, seed, arguments.quick) for seed in arguments.seeds]
    rows = score("ucr_crop", cases, same=True) if cases else []
    if arguments.runs:
        rows += score("synthetic", [run_case(folder) for folder in arguments.runs])
    if arguments.beyond:
        rows += beyond(ucr_crop(data), arguments.quick)
    if arguments.years:
        first, second = arguments.years
        rows += years_rows("synthetic", first, second, thermal_pair(first, second))
    print(table_of(rows))
    if arguments.json:
        machine = {
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        }
        versions = {name: version(name) for name in ("lightgbm", "scikit-learn", "numpy", "polars")}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        stored = {"machine": machine, "versions": versions, "rows": rows}
        arguments.json.write_text(json.dumps(stored, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2], help="of the swaps on ucr_crop")
    parser.add_argument("--runs", nargs="*", type=Path, default=[], help="folders of finished simulated runs")
    parser.add_argument("--beyond", action="store_true", help="unknown crops and injected label errors")
    parser.add_argument("--years", nargs=2, type=Path, help="runs of a season and of the next")
    parser.add_argument("--quick", action="store_true", help="few trees: shows that it works, not how well")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def beyond(work: WorkSet, quick: bool) -> Rows:
    """Leave classes out of training, and inject label errors."""
    names = np.unique(work.truth)
    left_out = np.random.default_rng(0).choice(names, 1 if quick else 3, replace=False)
    values = work.series["value"].values[:, :, 0, 0]
    shares = (0.1,) if quick else (0.05, 0.1, 0.2)
    swapped = {share: swap_labels(work.y, values, share, np.random.default_rng(0)) for share in shares}
    return unknown_rows(work, left_out.tolist()) + label_rows(work, swapped)


def swap_labels(y: np.ndarray, values: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Swap a share of labels, each for another class as often as 5-NN takes one for the other."""
    from sklearn.model_selection import cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier

    names, codes = np.unique(y, return_inverse=True)
    near = cross_val_predict(KNeighborsClassifier(5), values, codes, cv=5, method="predict_proba")
    alike = np.zeros((len(names), len(names)))
    np.add.at(alike, codes, near)
    np.fill_diagonal(alike, 0)
    chosen = rng.choice(len(y), round(share * len(y)), replace=False)
    swapped = codes.copy()
    for index in chosen:
        swapped[index] = rng.choice(len(names), p=alike[codes[index]] / alike[codes[index]].sum())
    return np.asarray(names[swapped])


def ucr_case(data: Path, seed: int, quick: bool) -> pl.DataFrame:
    """Judge the UCR series with swapped labels; see `case_of` for the columns."""
    work = ucr_crop(data)
    declared = swap_labels(
        work.y, work.series["value"].values[:, :, 0, 0], SWAPPED, np.random.default_rng(seed)
    )
    fit = fit_models(work, declared, seed, quick)
    verdicts = judge_series(work, declared, fit)
    wrong = pl.DataFrame(
        {"parcel_id": work.series["parcel"].values.tolist(), "misdeclared": declared != work.truth}
    )
    groups = wrong.select("parcel_id", group=pl.col("parcel_id"))
    return case_of(verdicts, fit.probabilities, wrong, groups)


def fit_models(work: WorkSet, declared: np.ndarray, seed: int, quick: bool) -> CrossFit:
    """Cross-fit two light models and their combination; what is finished is not fitted again."""
    models = {"lightgbm": {"rounds": 5}, "forest": {"trees": 20}} if quick else MODELS
    options = TrainOptions.model_validate({"models": models, "seed": seed})
    folder = FOLDER / f"{work.name}_seed{seed}{'_quick' if quick else ''}"
    return cross_fit(work.series, declared.tolist(), work.folds, options, folder)


def judge_series(work: WorkSet, declared: np.ndarray, fit: CrossFit) -> pl.DataFrame:
    """Judge series that come without parcels: every one large enough and well seen."""
    key = pl.DataFrame({"parcel_id": work.series["parcel"].values.tolist()})
    absent = {"intervention": pl.lit(None, pl.String), "reason": pl.lit(None, pl.String)}
    facts = {"season": pl.lit(2006), "declared": pl.col("crop_class"), "area_ha": pl.lit(1.0)}
    declarations = key.with_columns(crop_class=pl.Series(declared.tolist())).with_columns(**facts, **absent)
    whole = {"tile": "none", "area_ha": 1.0, "buffered_area_ha": 1.0, "full_pixels": 100, "buffer_loss": 0.0}
    seen = {"n_observations": 46, "filled_share": 0.0, "sigma": 0.0, "ndvi_spread": float("nan")}
    return judge(
        fit.probabilities,
        declarations,
        key.with_columns(**{name: pl.lit(value) for name, value in whole.items()}),
        key.with_columns(**{name: pl.lit(value) for name, value in seen.items()}),
        JudgeOptions(),
        model_id="benchmark",
        schemes=Schemes(),
        groups=CropGroups({}, {}, frozenset()),
        inner=fit.inner,
    ).verdicts


def run_case(folder: Path) -> pl.DataFrame:
    """Judge a finished simulated run again, as the code is now."""
    declarations = pl.from_pandas(gpd.read_parquet(folder / "declarations.parquet").drop(columns="geometry"))
    probabilities = pl.read_parquet(folder / "probabilities.parquet")
    verdicts = judge(
        probabilities,
        declarations,
        pl.read_parquet(folder / "parcels.parquet"),
        pl.read_parquet(folder / "evaluation" / "quality.parquet"),
        JudgeOptions(),
        model_id="benchmark",
        inner=pl.read_parquet(folder / "inner_probabilities.parquet"),
    ).verdicts
    truth = pl.read_parquet(folder / "region" / "truth" / "truth.parquet").select("parcel_id", "misdeclared")
    groups = pl.read_parquet(folder / "evaluation" / "folds.parquet").select("parcel_id", "group")
    return case_of(verdicts, probabilities, truth, groups)


def case_of(
    verdicts: pl.DataFrame, probabilities: pl.DataFrame, wrong: pl.DataFrame, groups: pl.DataFrame
) -> pl.DataFrame:
    """One row a parcel that every rule can judge.

    `misdeclared, group, flagged, p_value, q_value, differs` (another class is likelier), `top`, `ratio`.
    """
    classes = [name for name in probabilities.columns if name not in KEYS]
    stated = probabilities.filter((pl.col("model") == ENSEMBLE) & (pl.col("fold") >= 0))
    ranked = np.sort(stated.select(classes).to_numpy(), axis=1)
    tops = stated.select("parcel_id").with_columns(
        top=pl.Series(ranked[:, -1]), ratio=pl.Series(ranked[:, -1] / np.maximum(ranked[:, -2], 1e-12))
    )
    judged = verdicts.filter(pl.col("verdict").is_in(["confirmed", "contradicted", "inconclusive"]))
    table = judged.join(tops, on="parcel_id").join(wrong, on="parcel_id").join(groups, on="parcel_id")
    flagged, differs = pl.col("verdict") == "contradicted", pl.col("predicted") != pl.col("crop_class")
    return table.with_columns(flagged=flagged, differs=differs)


def score(work: str, cases: list[pl.DataFrame], same: bool = False) -> Rows:
    """Rates of every rule over all seeds together; thresholds are set seed by seed.

    Parameters
    ----------
    same
        Whether all seeds are of the same parcels: an unusual one is then unusual in each, so that intervals
        draw parcels with all their seeds.
    """
    tables = [case.with_columns(seed=pl.lit(seed), **flags(case)) for seed, case in enumerate(cases)]
    table = pl.concat(tables, how="vertical_relaxed")
    unit = pl.col("group") if same else pl.format("{} {}", "seed", "group")
    group = table.select(unit=unit)["unit"].to_numpy()
    wrong = table["misdeclared"].to_numpy()
    rows: Rows = []
    for subject in ("cropcheck", "top2_rule", "max_probability", "top2_rule_at_2"):
        rows += _rates(work, subject, table[subject].to_numpy(), wrong, group)
    rows += _less_missed(work, table, wrong, group)
    return rows + _follow_up(work, table, wrong, group)


def flags(case: pl.DataFrame) -> dict[str, pl.Series]:
    """What each rule flags, peers at cropcheck's own rate of false alarms."""
    ours, wrong = case["flagged"].to_numpy(), case["misdeclared"].to_numpy()
    differs = case["differs"].to_numpy()
    alarms = int((ours & ~wrong).sum())
    found = {"cropcheck": ours, "top2_rule_at_2": differs & (case["ratio"].to_numpy() >= 2)}
    for subject, column in (("top2_rule", "ratio"), ("max_probability", "top")):
        sure = np.where(differs, case[column].to_numpy(), -np.inf)
        threshold = np.sort(sure[~wrong])[::-1][alarms]  # so many correct ones lie above it
        found[subject] = sure > threshold
    return {name: pl.Series(values) for name, values in found.items()}


def _rates(work: str, subject: str, flagged: np.ndarray, wrong: np.ndarray, group: np.ndarray) -> Rows:
    rng = np.random.default_rng(0)
    one = np.ones(len(wrong))
    found = {
        "false_alarm_rate": ratio(flagged[~wrong], one[~wrong], group[~wrong], rng),
        "miss_rate": ratio(~flagged[wrong], one[wrong], group[wrong], rng),
        "false_discovery_rate": ratio(~wrong[flagged], one[flagged], group[flagged], rng),
    }
    return [_row(work, subject, metric, estimate) for metric, estimate in found.items()]


def _less_missed(work: str, table: pl.DataFrame, wrong: np.ndarray, group: np.ndarray) -> Rows:
    """How much smaller cropcheck's miss rate is than each peer's, as a share of it."""
    _, number = np.unique(group[wrong], return_inverse=True)
    drawn = multiplicities(number, np.random.default_rng(0))
    missed = {
        name: np.bincount(number, ~table[name].to_numpy()[wrong])
        for name in ("cropcheck", "top2_rule", "max_probability")
    }
    rows = []
    for peer in ("top2_rule", "max_probability"):
        spread = 1 - (drawn @ missed["cropcheck"]) / np.maximum(drawn @ missed[peer], 1)
        low, high = np.quantile(spread, [0.025, 0.975])
        value = 1 - missed["cropcheck"].sum() / missed[peer].sum()
        estimate = Estimate(float(value), float(low), float(high), int(wrong.sum()))
        rows.append(_row(work, "cropcheck", f"miss_rate_below_{peer}", estimate))
    return rows


def _follow_up(work: str, table: pl.DataFrame, wrong: np.ndarray, group: np.ndarray) -> Rows:
    rows, rng = [], np.random.default_rng(0)
    one = np.ones(len(wrong))
    for q in (0.1, 0.2, 0.3, 0.5):
        listed = table.select((pl.col("q_value") <= q).fill_null(False).alias("listed"))["listed"].to_numpy()
        found = {
            "fdr": ratio(~wrong[listed], one[listed], group[listed], rng),
            "recall": ratio(listed[wrong], one[wrong], group[wrong], rng),
        }
        rows += [
            _row(work, "cropcheck", f"follow_up_{metric}_at_{q:g}", share) for metric, share in found.items()
        ]
    return rows


def _row(work: str, subject: str, metric: str, estimate: Estimate) -> dict[str, Any]:
    return {"work": work, "subject": subject, "metric": metric, **estimate.to_dict(), "unit": "share"}


def table_of(rows: Rows) -> str:
    """Lay the rows out for reading."""
    lines = [f"{'work':10} {'subject':16} {'metric':34} {'value':>7} {'low':>7} {'high':>7} {'n':>6}"]
    for row in rows:
        numbers = " ".join(
            f"{row[k]:7.3f}" if row[k] is not None else f"{'-':>7}" for k in ("value", "low", "high")
        )
        lines.append(f"{row['work']:10} {row['subject']:16} {row['metric']:34} {numbers} {row['n']:6d}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
