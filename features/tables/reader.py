"""Tables of series that others extracted, as observations: every value taken in is kept or set aside."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import polars as pl

from features.accounting import Tally
from features.declarations.cells.numbers import NO_VALUE
from features.errors import ConfigError
from features.indices.formulas import compute, find_index, sensor_of
from features.memory import fitting
from features.messages.listed import listed
from features.schema import OBSERVATIONS, OPTICAL_BANDS, STATISTICS
from features.tables.chunks import chunk_numbers, chunks_of_parcels, values_of
from features.tables.files import id_text, need, open_table
from features.tables.options import Repeated, TableOptions
from features.tables.shapes import long_form, number_of, settled, undated

log = logging.getLogger(__name__)

VALUES_AT_ONCE = 4_000_000  # and that ranges of features are computed from
LEAST_VALUES, BYTES_A_VALUE, SHARE = 500_000, 200, 0.5  # where memory is short; as measured; of what there is
HUGE = 1e20  # fill values of several writers; nothing that is measured comes near
RADAR = ("s0vv_db", "s0vh_db", "ratio_db", "rvi", "cohvv", "cohvh", "vv", "vh")
NAMED = 3  # cells that are named in a message
CELL = ["parcel_id", "datetime", "feature"]
# What the middle half of a feature's values must lie in; else it is in another unit.
PLAUSIBLE = {"reflectance": (-0.1, 1.5), "dB": (-45.0, 0.0), "ratio": (-1.001, 1.001)}
# What any single value must lie in: beyond it, it was not measured (a resampled fill value, say).
POSSIBLE = {"reflectance": (-0.2, 2.0), "dB": (-80.0, 40.0), "ratio": (-1.001, 1.001)}
RATIOS = ("ndvi", "gndvi", "ndre", "ndwi", "ndmi", "nbr", "cohvv", "cohvh")


@dataclass(frozen=True)
class Read:
    """What reading in chunks found, beside the values themselves.

    `features` has one row a feature: `feature, dates, values, missing_share, low, high` (low and high are its
    1st and 99th percentiles). `context` has one row a parcel and one column a name of `TableOptions.context`.
    """

    features: pl.DataFrame
    context: pl.DataFrame
    tally: Tally


@dataclass(frozen=True)
class Understood(Read):
    """What was made of tables that fit in memory; `observations` has the schema OBSERVATIONS."""

    observations: pl.DataFrame


def read_tables(
    tables: Sequence[TableOptions], parcel_ids: Sequence[str], start: date, end: date
) -> Understood:
    """Read the season's values of the declared parcels, all at once; as `read_in_chunks`."""
    parts: list[pl.DataFrame] = []
    read = read_in_chunks(tables, parcel_ids, start, end, parts.append)
    observations = pl.concat([OBSERVATIONS.to_frame(), *parts])
    ordered = observations.sort("datetime", "sensor", "feature", "parcel_id")
    return Understood(read.features, read.context, read.tally, ordered)


def read_in_chunks(
    tables: Sequence[TableOptions],
    parcel_ids: Sequence[str] | pl.Series,
    start: date,
    end: date,
    take: Callable[[pl.DataFrame], None],
    values_at_once: int | None = None,
) -> Read:
    """Read the season's values of the declared parcels, one chunk of parcels after another.

    Parameters
    ----------
    parcel_ids
        The declared parcels; values of others are set aside.
    start, end
        First and last day of the season, both included.
    take
        Is given the observations of each chunk that has any: schema OBSERVATIONS, with null for what a table
        cannot say (pixel counts, shares and sigma). Only the statistic `mean` is given.
    values_at_once
        About how many values a chunk has, None: as many as memory allows; larger tables are divided by
        parcel, on disk, first. What is returned does not depend on it.

    Raises
    ------
    ConfigError
        Where a table cannot be read as its options say, no parcel is found in it, values repeat that differ,
        or a feature lies outside what its unit allows.
    """
    known = pl.Series("parcel_id", parcel_ids, pl.String).to_frame().with_columns(declared=pl.lit(True))
    tables = [settled(open_table(of.path), of) for of in tables]
    _tell_undated(tables)
    account = _Account()
    size = values_at_once or fitting(BYTES_A_VALUE, SHARE, LEAST_VALUES, VALUES_AT_ONCE)
    values = values_of(tables)
    stride = max(-(-values // VALUES_AT_ONCE), 1)
    count = max(-(-values // size), 1)
    chunk_of = chunk_numbers(known["parcel_id"], count)
    own = known.with_columns(chunk_of["chunk"]).partition_by("chunk", as_dict=True, include_key=False)
    with chunks_of_parcels(tables, chunk_of, count) as chunks:
        for number, chunk in enumerate(chunks):
            mine = own.get((number,), known.clear())
            rows = _chunk(chunk, tables, mine.lazy(), (start, end), account, stride)
            if rows.height:
                take(_observations(rows))
    _refuse_nothing_left(account.values, account.set_aside, tables)
    _refuse_units(account.sample())
    _refuse_underivable(tables, set(account.found))
    tally = account.tally()
    log.info("%s", tally)
    return Read(account.summary(len(known)), _context(tables, known.lazy()), tally)


class _Account:
    """What all chunks together held: counts by reason, and of each feature its dates and a sample."""

    def __init__(self) -> None:
        self.set_aside: dict[str, int] = {}
        self.values = 0
        self.found: dict[str, int] = {}
        self.dates: dict[str, set[datetime]] = {}
        self.samples: list[pl.DataFrame] = []
        self.kept: list[pl.DataFrame] = []

    def lose(self, counts: Mapping[str, int]) -> None:
        for reason, count in counts.items():
            self.set_aside[reason] = self.set_aside.get(reason, 0) + count

    def see(self, rows: pl.DataFrame) -> None:
        """Count values that are kept, derived ones too."""
        seen = rows.group_by("feature").agg(pl.len(), pl.col("datetime").unique())
        for feature, count, dates in seen.iter_rows():
            self.found[feature] = self.found.get(feature, 0) + count
            self.dates.setdefault(feature, set()).update(dates)

    def sample(self) -> pl.DataFrame:
        return pl.concat(self.samples)

    def tally(self) -> Tally:
        lost = sum(self.set_aside.values())
        return Tally("tabulate", "values", self.values + lost, self.values, self.set_aside)

    def summary(self, parcels: int) -> pl.DataFrame:
        rows = [
            (name, len(self.dates[name]), count, 1 - count / (len(self.dates[name]) * max(parcels, 1)))
            for name, count in self.found.items()
        ]
        counted = pl.DataFrame(
            rows,
            schema={
                "feature": pl.String,
                "dates": pl.UInt32,
                "values": pl.UInt32,
                "missing_share": pl.Float64,
            },
            orient="row",
        )
        ranges = (
            pl.concat(self.kept)
            .group_by("feature")
            .agg(low=pl.col("value").quantile(0.01), high=pl.col("value").quantile(0.99))
        )
        return counted.join(ranges, on="feature", how="left").sort("feature")


def _chunk(
    opened: Sequence[pl.LazyFrame],
    options: Sequence[TableOptions],
    known: pl.LazyFrame,
    season: tuple[date, date],
    account: _Account,
    stride: int,
) -> pl.DataFrame:
    """Return the usable values of one chunk, derived ones too: `parcel_id, datetime, feature, value`.

    Percentiles are those of about every `stride`-th value, whatever the chunks are.
    """
    parts = []
    for table, of in zip(opened, options, strict=True):
        rows, counts = _read(table, of, known, *season)
        account.lose(counts)
        parts.append(rows)
    rows, repeats = pl.concat(parts), 0
    if len(parts) > 1:  # one value of a date may stand in two tables
        rows, repeats = _once(rows, ", ".join(of.path for of in options), _together(options))
    account.lose({"repeated": repeats} if repeats else {})
    account.samples.append(_sampled(rows, stride))
    rows, impossible = _possible(rows)
    account.lose({"impossible": impossible} if impossible else {})
    account.values += rows.height
    wanted = dict.fromkeys(name for of in options for name in of.derive)
    rows = pl.concat([rows, *_derived(rows, list(wanted))])
    account.see(rows)
    account.kept.append(_sampled(rows, stride))
    return rows


def _sampled(rows: pl.DataFrame, stride: int) -> pl.DataFrame:
    """Return about every `stride`-th value and its feature, by a hash of what it is the value of."""
    if stride > 1:
        rows = rows.filter(sum(pl.col(name).hash() for name in CELL) % stride == 0)
    return rows.select("feature", "value")


def _read(
    opened: pl.LazyFrame, options: TableOptions, known: pl.LazyFrame, start: date, end: date
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return one table's values (`parcel_id, datetime, feature, value`) and what was set aside, by reason."""
    table = long_form(opened, options)
    names = pl.LazyFrame(
        [(column, to.name, to.scale, to.convert, to.offset) for column, to in options.columns.items()],
        schema={"column": pl.String, "feature": pl.String, "scale": pl.Float64, "convert": pl.String,
                "offset": pl.Float64},
        orient="row",
    )  # fmt: skip
    rows = table.join(names, on="column", how="left").join(known, on="parcel_id", how="left")
    if not options.columns:
        rows = rows.with_columns(feature="column", scale=1.0, convert=pl.lit("none"), offset=0.0)
    raw = pl.col("raw")
    value = _converted(pl.col("convert"), raw * pl.col("scale")) + pl.col("offset")
    reason = (
        pl.when(pl.col("declared").is_null()).then(pl.lit("unknown_parcel"))
        .when(pl.col("feature").is_null()).then(pl.lit("unknown_feature"))
        .when(pl.col("datetime").is_null()).then(pl.lit("no_date"))
        .when(~pl.col("datetime").dt.date().is_between(start, end)).then(pl.lit("outside_season"))
        .when(~pl.col("kept")).then(pl.lit("masked"))
        .when(raw.is_null()).then(pl.lit("empty"))
        .when(raw.is_nan()).then(pl.lit("not_a_number"))
        .when(raw.is_in(list(options.nodata)) | (raw.abs() >= HUGE)).then(pl.lit("nodata"))
        .when(~pl.col("value").is_finite()).then(pl.lit("not_finite"))
    )  # fmt: skip
    judged = rows.with_columns(value=value).with_columns(reason=reason)
    counts = judged.group_by("reason").agg(pl.len()).collect(engine="streaming")
    set_aside = {str(name): int(n) for name, n in counts.iter_rows() if name is not None}
    kept = judged.filter(pl.col("reason").is_null()).select(*CELL, "value").collect(engine="streaming")
    unique, repeats = _once(kept, options.path, options.repeated)
    return unique, set_aside | ({"repeated": repeats} if repeats else {})


def _converted(convert: pl.Expr, number: pl.Expr) -> pl.Expr:
    positive = pl.when(number > 0).then(number)
    return (
        pl.when(convert == "db_of_power").then(10 * positive.log10())
        .when(convert == "db_of_amplitude").then(20 * positive.log10())
        .otherwise(number).fill_null(float("nan"))
    )  # fmt: skip


def _together(tables: Sequence[TableOptions]) -> Repeated:
    """Return what is taken of values that two tables hold: what the last says, `refuse` if any says that."""
    return "refuse" if any(of.repeated == "refuse" for of in tables) else tables[-1].repeated


def _once(rows: pl.DataFrame, path: str, repeated: Repeated) -> tuple[pl.DataFrame, int]:
    """Return one value a parcel, date and feature, and how many more there were."""
    if not rows.select(pl.struct(CELL).is_duplicated().any()).item():
        return rows.sort(CELL), 0
    chosen = {
        "mean": pl.col("value").mean(),
        "first": pl.col("value").first(),
        "last": pl.col("value").last(),
    }
    if repeated == "refuse":
        spread = rows.group_by(CELL).agg(low=pl.col("value").min(), high=pl.col("value").max(), n=pl.len())
        differ = spread.filter(pl.col("low") != pl.col("high")).sort(CELL)
        if differ.height:
            parcel, when, feature, low, high, _ = differ.row(0)
            raise ConfigError(
                f"series.tables: {path} has {differ.height} cells with several values, first parcel "
                f"{parcel}, {when:%Y-%m-%d}, {feature}: {low:g} and {high:g}. Say which to take with "
                "`repeated: mean`, `first` or `last`."
            )
    value = chosen.get(repeated, chosen["first"])
    one = rows.group_by(CELL, maintain_order=True).agg(value).sort(CELL)
    return one, rows.height - one.height


def _tell_undated(tables: Sequence[TableOptions]) -> None:
    for options in tables:
        names = undated(open_table(options.path).collect_schema().names(), options)
        if names:
            log.warning(
                "series.tables: %d columns of %s fit %r but hold no date, first %s; their values count as "
                "no_date.",
                len(names),
                options.path,
                options.pattern,
                names[0],
            )


def _refuse_nothing_left(values: int, aside: dict[str, int], tables: Sequence[TableOptions]) -> None:
    if values or set(aside) == {"impossible"}:  # of these, `_refuse_units` says more
        return
    reasons = (
        ", ".join(f"{reason} {count}" for reason, count in sorted(aside.items())) or "the tables are empty"
    )
    paths = ", ".join(options.path for options in tables)
    cure = (
        " No parcel id of the tables is declared: check `parcel`, and leading zeros."
        if set(aside) == {"unknown_parcel"}
        else " Check the season's dates, `nodata` and `keep`."
    )
    raise ConfigError(f"series.tables: no value of {paths} can be used ({reasons}).{cure}")


def _refuse_units(rows: pl.DataFrame) -> None:
    """Raise a ConfigError where the middle half of a feature's values cannot be in the unit of its name."""
    ranges = rows.group_by("feature").agg(
        low=pl.col("value").quantile(0.25, "higher"), high=pl.col("value").quantile(0.75, "lower")
    )
    for feature, low, high in ranges.sort("feature").iter_rows():
        limits = PLAUSIBLE.get(_kind(feature))
        if limits is not None and (low < limits[0] or high > limits[1]):
            raise ConfigError(
                f"series.tables: half of the values of {feature} lie from {low:.4g} to {high:.4g}; "
                f"as {_kind(feature)} they would lie within {limits[0]:g} and {limits[1]:g}. Give its "
                "`scale`, `convert` and `offset` under `columns` (reflectance is a number from 0 to 1, "
                "not percent; backscatter is in dB, below 0 over fields)."
            )


def _possible(rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Return the values that can have been measured, and how many cannot."""
    limits = pl.DataFrame(
        [
            (name, *POSSIBLE.get(_kind(name), (-np.inf, np.inf)))
            for name in sorted(rows["feature"].unique().to_list())
        ],
        schema={"feature": pl.String, "lowest": pl.Float64, "highest": pl.Float64},
        orient="row",
    )
    joined = rows.join(limits, on="feature", how="left", maintain_order="left")
    kept = joined.filter(pl.col("value").is_between("lowest", "highest")).select(rows.columns)
    return kept, rows.height - kept.height


def _kind(feature: str) -> str:
    if feature in OPTICAL_BANDS:
        return "reflectance"
    if feature in RATIOS:
        return "ratio"
    return "dB" if feature.startswith("s0") and feature.endswith("_db") else "other"


def _operands(index: str) -> dict[str, str]:
    """Return what an index is computed from: band of its formula to feature of the tables."""
    return {band: {"vv": "s0vv_db", "vh": "s0vh_db"}.get(band, band) for band in find_index(index).bands}


def _refuse_underivable(tables: Sequence[TableOptions], found: set[str]) -> None:
    for name in (name for options in tables for name in options.derive):
        if absent := sorted(set(_operands(name).values()) - found):
            raise ConfigError(
                f"series.tables: derive names {name}, which needs {listed(absent)}; the tables lack them."
            )


def _derived(rows: pl.DataFrame, names: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Yield indices of the tables' own values, where every band of theirs is known on that date."""
    there = set(rows["feature"].unique())
    for name in names:
        operands = _operands(name)
        if not set(operands.values()) <= there:
            continue
        bands = rows.filter(pl.col("feature").is_in(list(operands.values())))
        wide = bands.pivot("feature", index=["parcel_id", "datetime"], values="value")
        arrays = {band: wide[column].fill_null(np.nan).to_numpy().astype(np.float32)
                  for band, column in operands.items()}  # fmt: skip
        value = pl.Series("value", compute(name, arrays).astype(float), nan_to_null=True)
        table = wide.select("parcel_id", "datetime").with_columns(pl.lit(name).alias("feature"), value)
        yield table.drop_nulls("value")


def _observations(rows: pl.DataFrame) -> pl.DataFrame:
    """Put the values into the schema OBSERVATIONS, in order of time."""
    sensors = {feature: _sensor(feature) for feature in rows["feature"].unique().to_list()}
    columns = {
        "sensor": pl.col("feature").replace_strict(sensors, return_dtype=pl.String),
        "relative_orbit": pl.lit(None),
        **{name: pl.lit(None) for name in STATISTICS},
        "mean": pl.col("value"),
        **{name: pl.lit(None) for name in ("pixel_count", "valid_share", "filled_share", "sigma")},
    }
    table = rows.with_columns(**columns)
    ordered = table.select(pl.col(name).cast(kind) for name, kind in OBSERVATIONS.items())
    return ordered.sort("datetime", "sensor", "feature", "parcel_id")


def _sensor(feature: str) -> str:
    """Return s1 or s2 for what they measure, `other` for everything else (weather, products of others)."""
    sensor = "s1" if feature in RADAR else sensor_of(feature, unknown="other")
    return "other" if sensor == "context" else sensor


def _context(tables: Sequence[TableOptions], known: pl.LazyFrame) -> pl.DataFrame:
    """Numbers that each parcel has once, by `TableOptions.context`: the first known value of each."""
    found = known.select("parcel_id").collect()
    for options in tables:
        if not options.context:
            continue
        table = open_table(options.path)
        names = table.collect_schema().names()
        numbers = []
        for column, name in options.context.items():
            raw = number_of(table, need(names, column, "series.tables.context"))
            _refuse_text(table, column, raw, options.path)
            usable = ~raw.is_in(list(options.nodata)) & raw.is_finite()
            numbers.append(raw.filter(usable.fill_null(False)).first().alias(name))
        once = (
            table.group_by(id_text(table, options.parcel).alias("parcel_id"))
            .agg(numbers)
            .collect(engine="streaming")
        )
        found = found.join(once, on="parcel_id", how="left", maintain_order="left")
    return found


def _refuse_text(table: pl.LazyFrame, column: str, number: pl.Expr, path: str) -> None:
    """Raise a ConfigError where cells of a column hold text that is no number."""
    if table.collect_schema()[column] != pl.String:
        return
    words = pl.col(column).str.strip_chars().str.to_lowercase().is_in(list(NO_VALUE))
    texts = (
        table.filter(number.is_nan() & ~words).select(column).unique().head(NAMED).collect()[column].sort()
    )
    if len(texts):
        raise ConfigError(
            f"series.tables.context: {path} has text for a number in {column!r}, such as "
            f"{listed(texts.to_list())}; mend or empty those cells."
        )
