"""The quality sample: parcels drawn at random per intervention, by holding, to be visited in the field."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.exchange.cells import codes
from features.schema import check_columns
from models.assessment.buckets import DrawRules, RankedRows, fill_buckets
from models.assessment.inclusion import Inclusion, inclusion, random_order
from models.assessment.options import SampleOptions

NO_INTERVENTION = "none"
SAMPLE = pl.Schema(
    {
        "parcel_id": pl.String,
        "stratum": pl.String,  # the intervention, `none` where there is none; or the bucket of a list
        "order": pl.Int32,  # place in the stratum's draw, from 1
        "stratum_size": pl.Int32,  # parcels of the stratum
        "sample_size": pl.Int32,  # of them drawn
        "declared": pl.String,
        "crop_class": pl.String,
        "region": pl.String,
        "area_ha": pl.Float64,
    }
)
DESIGN = pl.Schema(
    {
        "parcel_id": pl.String,
        "stratum": pl.String,
        "holding": pl.String,  # the cluster: parcels of a holding are drawn together
        "probability": pl.Float64,  # that the parcel is drawn into this stratum's sample
        "parcel_probability": pl.Float64,  # that it is drawn into any stratum's
        "holding_probability": pl.Float64,  # that any parcel of the holding is drawn
        "stratum_parcels": pl.Int64,
        "stratum_hectares": pl.Float64,  # null where the areas of a list are not known
    }
)


@dataclass(frozen=True)
class QualitySample:
    """A drawn sample (schema SAMPLE, by stratum and order) and its design (schema DESIGN, row by row)."""

    sample: pl.DataFrame
    design: pl.DataFrame


def draw_sample(
    declarations: pl.DataFrame, options: SampleOptions, seed: int, targets: Mapping[str, int] | None = None
) -> QualitySample:
    """Draw a sample by the Union Level Methodology's rules from a random ranking of our own.

    All parcels with a geometry are put in one random order that depends on the seed and on the ids alone,
    and fill one bucket an intervention (see `models.assessment.buckets`). Chances are not equal: a holding
    with many parcels is met sooner, and brings in up to three. The design says what they were.

    Parameters
    ----------
    declarations
        DECLARATION_COLUMNS less the geometry.
    targets
        Parcels by intervention, in place of the sizes that the options give.

    Returns
    -------
    QualitySample
        Without the verdict: who visits should not know it.
    """
    needed = ("parcel_id", "holding_id", "intervention", "declared", "crop_class", "region", "area_ha")
    check_columns(declarations.columns, needed, "The declarations table")
    table = declarations.select(needed).filter(pl.col("area_ha") > 0).sort("parcel_id")
    table = table.with_columns(
        stratum=pl.col("intervention").fill_null(NO_INTERVENTION),
        holding=pl.col("holding_id").fill_null(pl.lit("parcel ") + pl.col("parcel_id")),
    )
    names, rows = _rows(table)
    sizes = np.bincount(rows.group, minlength=len(names)).tolist()
    wanted = targets or {name: options.size(count) for name, count in zip(names, sizes, strict=True)}
    quota = np.array([wanted.get(name, 0) for name in names], dtype=np.int64)
    rng = np.random.default_rng(seed)
    order = random_order(rows.parcel, rng)
    rules = _rules(table, options)
    taken = order[fill_buckets(rows.ordered(order), quota, rules)]
    chances = inclusion(rows, quota, rules, rng, drawn=taken)
    drawn = _with_sizes(table).with_row_index("row")[taken]
    drawn = drawn.with_columns(
        order=pl.int_range(1, pl.len() + 1).over("stratum"), sample_size=pl.len().over("stratum")
    ).sort("stratum", "order")
    return QualitySample(_shaped(drawn, SAMPLE), _shaped(_with_chances(drawn, chances), DESIGN))


def _rows(table: pl.DataFrame) -> tuple[list[str], RankedRows]:
    names = table["stratum"].unique(maintain_order=True).to_list()
    count = table.height
    columns = (codes(table["holding"]), np.arange(count), codes(table["stratum"]), np.ones(count, bool))
    return names, RankedRows(*columns)


def _rules(table: pl.DataFrame, options: SampleOptions) -> DrawRules:
    most = None
    if options.holdings_share is not None:
        most = max(1, int(table["holding"].n_unique() * options.holdings_share))
    return DrawRules(most, per_holding=options.per_holding)


def _with_sizes(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(
        stratum_size=pl.len().over("stratum"),
        stratum_parcels=pl.len().over("stratum"),
        stratum_hectares=pl.col("area_ha").sum().over("stratum"),
    )


def _with_chances(drawn: pl.DataFrame, chances: Inclusion) -> pl.DataFrame:
    rows = drawn["row"].to_numpy()
    return drawn.with_columns(
        probability=pl.Series(chances.row[rows]),
        parcel_probability=pl.Series(chances.parcel[rows]),
        holding_probability=pl.Series(chances.holding[rows]),
    )


def _shaped(table: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    return table.select(pl.col(name).cast(kind) for name, kind in schema.items())
