"""Tables that people give: what they would unpack to is held against the config's limits first."""

from pathlib import Path

from features.limits import refuse_large_tables
from pipelines.config import RunConfig
from pipelines.inputs.points import table_files


def refuse_large_series(config: RunConfig) -> None:
    """Raise a ConfigError where the tables of series would unpack to more than `limits.series_gib`."""
    refuse_large_tables(table_files(config).values(), config.limits.series_gib, "limits.series_gib")


def refuse_large(config: RunConfig, path: Path) -> None:
    """Raise a ConfigError where a table that is read whole would unpack to more than `limits.table_gib`."""
    refuse_large_tables([path] if path.is_file() else [], config.limits.table_gib, "limits.table_gib")
