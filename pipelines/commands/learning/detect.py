"""Events of a table of series that others extracted, without a run."""

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from features.errors import ConfigError
from features.files import atomic_path, refuse_overwriting
from features.limits import DEFAULT_LIMITS, refuse_large_tables
from features.messages.listed import listed
from features.messages.suggestions import did_you_mean
from features.tables.files import files_of, open_table
from features.tables.options import TableOptions
from features.tables.reader import read_tables
from features.tables.shapes import long_form
from features.tables.templates import TEMPLATES
from models.events.learning.bundle import read_detector
from models.events.learning.detector import ALL, rule_detector
from models.events.options import EventOptions
from models.events.series import BANDS, OPTICAL, RADAR, from_observations
from models.events.table import SEEN, detect_events

EARLIEST, LATEST = date(2015, 1, 1), date(2100, 12, 31)


def detect_in_table(
    table: Path,
    out: Path,
    from_run: Path | None,
    template: str | None,
    most_gib: float = DEFAULT_LIMITS.table_gib,
) -> str:
    """Find the events of every parcel of a table of series; write them, and say how many.

    Parameters
    ----------
    table
        As `features.tables` reads it: one row a parcel and date, one column a feature, or what `template`
        names.
    out
        A Parquet or CSV file, schema EVENTS.
    from_run
        Output folder of a run whose event models are used; without it rules decide.
    most_gib
        What tables in Parquet may unpack to.

    Raises
    ------
    ConfigError
        Where the table cannot be read, unpacks to more, or holds no value, or `out` has another ending.
    """
    if out.suffix.lower() not in (".parquet", ".csv"):
        raise ConfigError(f"--to {out} must end in .parquet or .csv.")
    refuse_overwriting([out], [table])
    refuse_large_tables(files_of(str(table)), most_gib, "--most-gib")
    options = _options(table, template)
    rows = long_form(open_table(options.path), options)
    ids = rows.select(pl.col("parcel_id").unique().sort()).collect()["parcel_id"].drop_nulls().to_list()
    understood = read_tables([options], ids, EARLIEST, LATEST)
    first = understood.observations["datetime"].dt.date().min()
    if not isinstance(first, date):
        raise ConfigError(f"{table} holds no value of any parcel.")
    series = from_observations(understood.observations, ids, first)
    settings = EventOptions()
    detector = rule_detector(settings) if from_run is None else read_detector(from_run, settings)
    events = detect_events(detector, series, np.full(len(series), ALL)).events
    with atomic_path(out) as partial:
        if out.suffix.lower() == ".csv":
            events.with_columns(pl.col("sensors").list.join(" ")).write_csv(partial)
        else:
            events.write_parquet(partial)
    seen = int((events["reason"] == SEEN).sum())
    basis = "by rules, whose chances are not calibrated"
    if from_run is not None:
        basis = f"by the models of {from_run}"
    return f"{seen} events of {len(ids)} parcels reported {basis}, {len(events) - seen} in doubt: {out}"


def _options(table: Path, template: str | None) -> TableOptions:
    """Return how the table is read: by its template, or every column that is called as a feature is one."""
    if template is not None:
        if template not in TEMPLATES:
            raise ConfigError(
                f"--template {template} is none.{did_you_mean(template, TEMPLATES)} It may be one of "
                f"{', '.join(sorted(TEMPLATES))}."
            )
        return TableOptions.model_validate({"path": str(table), "template": template})
    names = open_table(str(table)).collect_schema().names()
    known = {name: name for name in (*BANDS, *OPTICAL, *RADAR) if name in names}
    if not known:
        raise ConfigError(
            f"No column of {table} is called as a feature ({', '.join((*BANDS, 'ndvi', *RADAR))}); it has "
            f"{listed(names)}. Rename its columns, or say what wrote it with --template."
        )
    return TableOptions.model_validate({"path": str(table), "columns": known})
