"""The quality assessment: do the intervals hold the truth, what do verdicts save, how fast is the draw?

`uv run python -m tests.benchmarks.assessment [--quick] [--json FILE]`. Made-up populations with known
errors: holdings of uneven size, errors that gather in holdings (beta-binomial), hectares that vary, two
interventions.
From each, 1,000 samples are drawn by the rules of the Union Level Methodology, and every interval is compared
with the truth. `naive_binomial` takes the visited parcels as independent and equally likely.

`others` are 30 further populations of other seeds, sizes, spreads of hectares and errors on larger parcels:
the mean of their coverages, with the least and the largest as `low` and `high`. Where a population holds
some ten wrong parcels, how large these happen to be decides its variance, and three of them in a sample do
not tell: an interval that is right in 95% of the samples of all such populations is so in 90 to 98% of each.

- `coverage_count`, `coverage_hectares`: share of 95% intervals of the share of wrong declarations that hold
  the truth; its own interval is Clopper and Pearson's;
- `width_hectares`: mean width, in percentage points;
- subjects `satterthwaite_t` and `midp_gamma`: two other principled intervals (`interval_peers`);
- subject `assisted`: the same with the verdicts of all parcels as help; `visits_saved` is 1 less the squared
  ratio of mean widths;
- `seconds` of reading and drawing a list of 300,000 parcels in 8 groups, 2.4 million rows (`list_300k`).
"""

import argparse
import json
import os
import platform
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.exchange.ranked_list import read_ranked_list
from models.assessment.buckets import DrawRules, RankedRows, fill_buckets
from models.assessment.estimator import Visited, naive, share
from models.assessment.inclusion import inclusion, random_order
from models.assessment.sample import default_targets, draw_list
from models.evaluation.metrics import clopper_pearson
from tests.benchmarks.peers.interval_peers import peers

DRAWS = 1_000
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Population:
    """How a population is made.

    Attributes
    ----------
    rate, gathering
        Share of wrong declarations, and their correlation within a holding.
    drawn
        Share of parcels that the sample takes.
    spread
        Standard deviation of the logarithm of hectares.
    larger
        How much larger wrong parcels are than others of their draw.
    """

    name: str
    holdings: int
    per_holding: float
    rate: float
    gathering: float
    drawn: float
    seed: int
    spread: float = 0.9
    larger: float = 1.0


POPULATIONS = (
    Population("errors_2_holdings_1000_draw_3", 1_000, 6, 0.02, 0.1, 0.03, 1),
    Population("errors_5_holdings_1000_draw_3", 1_000, 6, 0.05, 0.1, 0.03, 2),
    Population("errors_10_holdings_1000_draw_3", 1_000, 6, 0.10, 0.3, 0.03, 3),
    Population("errors_2_holdings_1000_draw_10", 1_000, 6, 0.02, 0.05, 0.10, 4),
    Population("errors_2_holdings_30_draw_25", 30, 20, 0.02, 0.05, 0.25, 5),
    Population("errors_5_holdings_30_draw_25", 30, 20, 0.05, 0.1, 0.25, 6),
)
SHAPES = ((30, 20, 0.25), (60, 10, 0.15), (300, 8, 0.08), (1_000, 6, 0.03), (1_000, 6, 0.10))
OTHERS = tuple(
    Population(
        "others", *shape[:2], rate, (0.05, 0.1, 0.3)[number % 3], shape[2], 2_000 + number, spread,
        1.6 if number % 4 == 0 else 1.0,
    )
    for number, (rate, shape, spread) in enumerate(product((0.02, 0.05, 0.10), SHAPES, (0.5, 1.0)))
)  # fmt: skip


def main() -> None:
    """Run all works and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the samples, a tenth of the list")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    draws = DRAWS // 10 if arguments.quick else DRAWS
    rows = [row for population in POPULATIONS for row in coverage(population, draws)]
    rows += others(30 if arguments.quick else 300)
    rows += speed(30_000 if arguments.quick else 300_000)
    for row in rows:
        ends = f"[{row['low']:.4g}, {row['high']:.4g}]"
        name = f"{row['work']:32} {row['subject']:15} {row['metric']:18}"
        print(f"{name} {row['value']:9.4g} {ends:18} n={row['n']}")
    if arguments.json:
        machine = {
            "cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version(),
        }  # fmt: skip
        versions = {name: version(name) for name in ("numpy", "scipy", "polars")}
        stored = {"machine": machine, "versions": versions, "rows": rows}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(stored, indent=1) + "\n")


@dataclass(frozen=True)
class Truth:
    """A population: its list, hectares, which declarations are wrong, and which verdicts contradict them."""

    rows: RankedRows
    area: np.ndarray
    wrong: np.ndarray
    flagged: np.ndarray


def made(of: Population) -> Truth:
    """Make a population whose share of wrong declarations is near the one asked for."""
    rng = np.random.default_rng(of.seed)
    while True:
        size = np.maximum(1, rng.negative_binomial(1.5, 1.5 / (1.5 + of.per_holding), of.holdings))
        holding = np.repeat(np.arange(of.holdings), size)
        n = len(holding)
        scale = (1 - of.gathering) / of.gathering
        chance = rng.beta(of.rate * scale, (1 - of.rate) * scale, of.holdings)
        wrong = rng.random(n) < chance[holding]
        if abs(wrong.mean() - of.rate) < 0.15 * of.rate:
            break
    flagged = np.where(wrong, rng.random(n) < 0.6, rng.random(n) < 0.02)
    rows = RankedRows(holding, np.arange(n), rng.integers(0, 2, n), np.ones(n, bool))
    area = rng.lognormal(0.3, of.spread, n) * np.where(wrong, of.larger, 1.0)
    return Truth(rows, area, wrong, flagged)


def coverage(of: Population, draws: int) -> Rows:
    """Count how often intervals hold the truth."""
    truth, rng = made(of), np.random.default_rng(of.seed + 100)
    rows, wrong, n = truth.rows, truth.wrong, len(truth.wrong)
    targets = np.maximum(1, np.round(np.bincount(rows.group) * of.drawn)).astype(int)
    chances = inclusion(rows, targets, DrawRules(), rng)
    measures = {"count": np.ones(n), "hectares": truth.area}
    true = {name: size[wrong].sum() / size.sum() for name, size in measures.items()}
    held: dict[tuple[str, str], int] = {}
    width: dict[tuple[str, str], float] = {}
    for _ in range(draws):
        order = random_order(rows.parcel, rng)
        drawn = order[fill_buckets(rows.ordered(order), targets, DrawRules())]
        ends = {("naive_binomial", name): naive(int(wrong[drawn].sum()), len(drawn)) for name in measures}
        for name, size in measures.items():
            for subject, stratum in (("cropcheck", rows.group), ("assisted", truth.flagged.astype(int))):
                seen = (stratum, rows.holding, chances.row, chances.holding, size)
                visited = Visited(*(column[drawn] for column in seen))
                totals = np.bincount(stratum, size)
                found = share(wrong[drawn], np.ones(len(drawn), bool), visited, totals, size[drawn])
                ends[subject, name] = found.low, found.high
                if subject == "cropcheck":
                    beside = peers(wrong[drawn], visited, totals, size[drawn])
                    ends |= {(peer, name): pair for peer, pair in beside.items()}
        for key, (low, high) in ends.items():
            held[key] = held.get(key, 0) + (low <= true[key[1]] <= high)
            width[key] = width.get(key, 0.0) + 100 * (high - low) / draws
    return _rows(of.name, held, width, draws)


def _rows(
    work: str, held: dict[tuple[str, str], int], width: dict[tuple[str, str], float], draws: int
) -> Rows:
    rows = []
    for (subject, name), count in sorted(held.items()):
        figures = (count / draws, *clopper_pearson(count / draws, draws))
        rows.append(_row(work, subject, f"coverage_{name}", figures, draws, "1"))
    for (subject, name), mean in sorted(width.items()):
        if name == "hectares":
            rows.append(_row(work, subject, f"width_{name}", (mean, mean, mean), draws, "percentage points"))
    saved = 1 - (width["assisted", "hectares"] / width["cropcheck", "hectares"]) ** 2
    return [*rows, _row(work, "assisted", "visits_saved", (saved, saved, saved), draws, "1")]


def others(draws: int) -> Rows:
    """Summarise the coverage on further populations."""
    found: dict[tuple[str, str], list[float]] = {}
    for population in OTHERS:
        for row in coverage(population, draws):
            found.setdefault((row["subject"], row["metric"]), []).append(row["value"])
    kept = {key: values for key, values in found.items() if key[1].startswith("coverage")}
    return [
        _row("others", *key, (float(np.mean(values)), min(values), max(values)), len(values) * draws, "1")
        for key, values in kept.items()
    ] + [
        _row("others", *key[:1], f"within_93_97_{key[1].removeprefix('coverage_')}",
             (float(np.mean([0.93 <= value <= 0.97 for value in values])),) * 3, len(values), "1")
        for key, values in kept.items()
    ]  # fmt: skip


def speed(parcels: int) -> Rows:
    """Time reading and drawing a long list."""
    rng = np.random.default_rng(0)
    holding = np.minimum((rng.gamma(0.7, 1, parcels) * parcels / 15).astype(int), parcels // 6)
    rank, covered, groups = rng.permutation(parcels) + 1, (rng.random(parcels) < 0.7).astype(int), 8
    table = pl.DataFrame(
        {
            "gsa_par_id": np.repeat(np.char.zfill(np.arange(parcels).astype(str), 7), groups),
            "gsa_hol_id": np.repeat(np.char.add("H", holding.astype(str)), groups),
            "ua_grp_id": np.tile(np.arange(groups).astype(str), parcels),
            "covered": np.repeat(covered, groups),
            "ranking": np.repeat(rank, groups),
        }
    )
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list.csv"
        table.write_csv(path)
        for _ in range(3):
            started = time.perf_counter()
            listed = read_ranked_list(path).table
            sample = draw_list(listed, default_targets(listed), DrawRules())
            found.append(time.perf_counter() - started)
    figures = float(np.median(found)), min(found), max(found)
    return [_row(f"list_{parcels // 1000}k", "cropcheck", "seconds", figures, sample.rows.height, "s")]


def _row(
    work: str, subject: str, metric: str, figures: tuple[float, float, float], n: int, unit: str
) -> dict[str, Any]:
    value, low, high = figures
    return {
        "work": work, "subject": subject, "metric": metric, "value": value, "low": low, "high": high,
        "n": n, "unit": unit,
    }  # fmt: skip


if __name__ == "__main__":
    main()
