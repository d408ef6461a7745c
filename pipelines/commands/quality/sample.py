"""A quality sample is drawn: from the Commission's ranked list, or from a run's own declarations."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from features.errors import ConfigError
from features.exchange.ranked_list import RankedList, read_ranked_list, read_targets
from features.files import read_parquet, refuse_overwriting
from features.messages.listed import listed
from features.messages.suggestions import did_you_mean
from models.assessment.buckets import Covered, DrawRules
from models.assessment.list_design import MOST_ROWS, list_design
from models.assessment.options import SampleOptions
from models.assessment.planning import Plan, plan_from_rate, plan_from_results
from models.assessment.quality_sample import NO_INTERVENTION, draw_sample
from models.assessment.sample import (
    HOLDINGS_SHARE,
    ListSample,
    default_targets,
    draw_list,
    groups_of,
    holding_list,
    three_percent,
)
from models.evaluation.metrics import Estimate
from pipelines.config import RunConfig
from pipelines.inputs.field import design_of, renew
from pipelines.record.receipt import outputs_of
from pipelines.tables import read_declared
from pipelines.workspace import Workspace
from reports.exports.samples import write_list_sample, written_beside

COVERED_WORDS = {0: "all parcels", 1: "covered parcels first", 2: "covered parcels only"}


@dataclass(frozen=True)
class SampleRequest:
    """What `cropcheck sample` was asked for."""

    targets: Path | None = None
    three_percent: bool = False
    most_holdings: int | None = None
    covered: Covered = 0
    keep_non_contributing: bool = False
    holding_level: tuple[str, ...] = ()
    design: bool | None = None
    seed: int = 1


def sample_from_list(path: Path, out: Path, request: SampleRequest) -> str:
    """Draw from a ranked list and write the sample beside its other lists.

    Raises
    ------
    ExchangeError
        Where the list or the targets cannot be used.
    ConfigError
        Where coverage is asked for that the list does not state, or a holding-level group is unknown.
    """
    check_out(out, path, request.targets)
    found = read_ranked_list(path)
    ranked, groups = found.table, groups_of(found.table)
    _check(request, found, groups)
    targets = read_targets(request.targets, groups) if request.targets else default_targets(ranked)
    most = three_percent(ranked) if request.three_percent else request.most_holdings
    rules = DrawRules(most, request.most_holdings is not None, request.covered, request.keep_non_contributing)
    drawn = draw_list(ranked, targets, rules)
    holdings = holding_list(ranked, drawn, request.holding_level, rules) if request.holding_level else None
    wanted = ranked.height <= MOST_ROWS if request.design is None else request.design
    rng = np.random.default_rng(request.seed)
    design = list_design(ranked, drawn, targets, rules, rng) if wanted else None
    settings = _settings(path, request, most, found.notes)
    written = write_list_sample(drawn, out, settings, holdings=holdings, design=design)
    more = (
        []
        if wanted
        else [f"No design was made for a list of {ranked.height} rows; ask for it with --design."]
    )
    return _said(drawn, written, [*found.notes, *more])


def sample_from_run(config: RunConfig, workspace: Workspace, out: Path, request: SampleRequest) -> str:
    """Draw from a run's declarations by the same rules, from a random ranking of our own.

    Raises
    ------
    ConfigError
        Where coverage is asked for: declarations do not know it.
    """
    for_lists = (request.covered, request.keep_non_contributing, request.holding_level, request.most_holdings)
    if any(for_lists):
        raise ConfigError(
            "--covered, --keep-non-contributing, --most-holdings and --holding-level are for the "
            "Commission's ranked list; name its CSV in place of the config."
        )
    check_out(out, request.targets, *outputs_of(workspace))
    declared = pl.from_pandas(read_declared(workspace).drop(columns="geometry"))
    usable = declared.filter(pl.col("area_ha") > 0)
    ranked = _as_ranked(usable)
    groups = groups_of(ranked)
    targets = read_targets(request.targets, groups) if request.targets else None
    options = _with_limit(config.sample, request)
    drawn = draw_sample(declared, options, config.seed, targets)
    sizes = {name: options.size(count) for name, count in ranked["ua_grp_id"].value_counts().iter_rows()}
    sample = _own_sample(drawn.sample, usable, groups, targets or sizes, ranked)
    settings = [f"Drawn from the declarations of {config.name}, {config.season.year}, seed {config.seed}."]
    written = write_list_sample(sample, out, settings, design=drawn.design)
    return _said(sample, written, [])


def plan_sample(workspace: Workspace, width: float, noise_rate: float, pilot: Path | None) -> Plan:
    """Say how many parcels and holdings an interval of that width needs.

    Parameters
    ----------
    width
        Upper less lower end of the interval of the error's share of area, as a share.
    noise_rate
        Rate of errors assumed where neither this run nor the pilot has field results.
    pilot
        Output folder of a run with field results: last year's, or a pilot.
    """
    population = read_declared(workspace).shape[0]
    of = Workspace(pilot) if pilot else workspace
    if not of.assessment.is_file():
        if pilot is not None:
            raise ConfigError(
                f"{pilot} has no field results; run `cropcheck assess` there, or leave --pilot out."
            )
        return plan_from_rate(noise_rate, population, width)
    renew(of)
    table = read_parquet(of.assessment)
    rows = table.filter((pl.col("measure") == "error") & (pl.col("unit") == "hectares")).to_dicts()
    if not rows:
        raise ConfigError(
            f"No field result in {of.folder} is of a sampled parcel, so nothing can be planned from them; "
            "give results of its sample to `cropcheck assess`, or another run's output folder as --pilot."
        )
    error = Estimate(*(rows[0][name] for name in ("value", "low", "high", "n")))
    results = read_parquet(of.field_results).filter("in_sample")
    design = design_of(of)
    visited = design.join(results, on="parcel_id", how="semi")
    holdings = visited["holding"].n_unique()
    return plan_from_results(error, visited["parcel_id"].n_unique(), holdings, population, width)


def parse_width(text: str) -> float:
    """Return a width given as `0.5%` or `0.005`, as a share.

    Raises
    ------
    ConfigError
        Where it is neither, or not between 0 and 1.

    Examples
    --------
    >>> parse_width("0.5%"), parse_width("0.02")
    (0.005, 0.02)
    """
    number = text.strip().removesuffix("%").strip()
    try:
        share = float(number) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise ConfigError(f"--width {text}: give the interval's width as 0.5% or 0.005.")
    return share


def plan_words(plan: Plan) -> str:
    """Return a plan in words."""
    return (
        f"For a 95% interval {100 * plan.width:.2f} percentage points wide: {plan.parcels} parcels in about "
        f"{plan.holdings} holdings. From {plan.basis}."
    )


def check_out(out: Path, *read: Path | None) -> None:
    """Raise a ConfigError where the sample, or a file beside it, would take the place of what is read."""
    if out.is_dir():
        raise ConfigError(f"--out {out} is a folder; name a file in it, such as {out / 'sample.csv'}.")
    if out.suffix.lower() != ".csv":
        raise ConfigError(f"--out {out} does not end in .csv; a sample is written as CSV.")
    refuse_overwriting(written_beside(out), [path for path in read if path is not None])


def _check(request: SampleRequest, ranked: RankedList, groups: list[str]) -> None:
    if request.covered and ranked.table["covered"].null_count():
        raise ConfigError(
            f"--covered {request.covered} needs the list's column `covered`, which is missing; "
            "use --covered 0."
        )
    if request.three_percent and request.most_holdings is not None:
        raise ConfigError("--three-percent and --most-holdings are two limits of holdings; give one of them.")
    unknown = [name for name in request.holding_level if name not in groups]
    if unknown:
        near = did_you_mean(unknown[0], groups)
        raise ConfigError(
            f"--holding-level {unknown[0]} is no group of the list.{near} It has {listed(groups)}."
        )


def _settings(path: Path, request: SampleRequest, most: int | None, notes: list[str]) -> list[str]:
    limit = "none" if most is None else f"{most}, then one for each bucket that stays empty"
    kept = "kept" if request.keep_non_contributing else "left out"
    return [
        f"List: {path}",
        f"Targets: {request.targets or 'default, 5% of a lot of up to 6,000 parcels, else 300'}",
        f"Limit of holdings: {limit}",
        f"Coverage: {COVERED_WORDS[request.covered]}",
        f"First parcel of a holding whose bucket is full: {kept}",
        f"Holding-level groups: {', '.join(request.holding_level) or 'none'}",
        *notes,
    ]


def _said(sample: ListSample, written: list[Path], notes: list[str]) -> str:
    lines = [f"{sample.rows.height} rows drawn into {sample.buckets.height} buckets: {written[0]}", *notes]
    for name, target, drawn, _ in sample.short.iter_rows():
        lines.append(
            f"Bucket {name} stays short: {drawn} of {target} parcels; the rules leave no further one."
        )
    return "\n".join([*lines, "Beside it: " + ", ".join(path.name for path in written[1:])])


def _as_ranked(usable: pl.DataFrame) -> pl.DataFrame:
    return usable.sort("parcel_id").select(
        gsa_par_id="parcel_id", ua_grp_id=pl.col("intervention").fill_null(NO_INTERVENTION)
    )


def _with_limit(options: SampleOptions, request: SampleRequest) -> SampleOptions:
    share = HOLDINGS_SHARE if request.three_percent else options.holdings_share
    return options.model_copy(update={"holdings_share": share})


def _own_sample(
    sample: pl.DataFrame, usable: pl.DataFrame, groups: list[str], sizes: dict[str, int], ranked: pl.DataFrame
) -> ListSample:
    """Return our own sample in the columns of a list's; the ranking is the place in the draw."""
    holdings = usable.select("parcel_id", gsa_hol_id="holding_id")
    rows = sample.join(holdings, on="parcel_id", maintain_order="left").select(
        bucket_id="stratum",
        gsa_par_id="parcel_id",
        gsa_hol_id="gsa_hol_id",
        ranking=pl.col("order").cast(pl.Int64),
        covered=pl.lit(None, pl.Int8),
        order_added=pl.col("order").cast(pl.Int64),
    )
    drawn = dict(rows["bucket_id"].value_counts().iter_rows())
    total = dict(ranked["ua_grp_id"].value_counts().iter_rows())
    buckets = [(name, sizes.get(name, 0), drawn.get(name, 0), total[name]) for name in groups]
    schema = {"bucket_id": pl.String, "target": pl.Int64, "drawn": pl.Int64, "total": pl.Int64}
    return ListSample(rows, pl.DataFrame(buckets, schema=schema, orient="row"))
