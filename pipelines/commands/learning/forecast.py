"""Forecasts of a run's parcels, and what they are worth, in a few lines."""

from datetime import date

import polars as pl

from features.errors import CropcheckError
from features.files import read_parquet
from pipelines.config import RunConfig
from pipelines.main_job import run_one
from pipelines.workspace import Workspace


def forecast_run(config: RunConfig, workspace: Workspace) -> tuple[str, int]:
    """Run the stage from what the stages before left; return what to print, and the exit code."""
    status = run_one("forecast", config, workspace)
    return summary(workspace), status


def summary(workspace: Workspace) -> str:
    """Return where the tables are, how many parcels are in them, and the error at a few horizons."""
    table, anomalies = read_parquet(workspace.forecast), read_parquet(workspace.anomalies)
    if table.is_empty():
        return "Nothing was forecast: forecast.enabled is false, or too little was seen."
    scores = read_parquet(workspace.table("forecast_scores"))
    made_on, last = table["made_on"].to_list()[0], table["date"].to_list()[-1]
    lines = [
        f"{table['parcel_id'].n_unique()} parcels forecast from {made_on} to {last}, weather "
        f"ahead {table['weather_ahead'][0]}: {workspace.forecast}",
        f"{anomalies.height} parcels left their 90% interval for long: {workspace.anomalies}",
    ]
    for horizon in sorted(scores["horizon_days"].unique().to_list()):
        rmse = dict(
            scores.filter((pl.col("horizon_days") == horizon) & (pl.col("metric") == "rmse"))
            .select("method", "value")
            .iter_rows()
        )
        n = scores.filter(pl.col("horizon_days") == horizon)["n"].to_list()[0]
        others = ", ".join(f"{name} {rmse[name]:.3f}" for name in ("persistence", "climatology", "damped"))
        lines.append(f"  {horizon} days ahead: RMSE {rmse['combined']:.3f} ({others}; n = {n})")
    return "\n".join(lines)


def days_in(text: str) -> list[date]:
    """Return the days of a list such as `2024-08-01,2024-08-31`, rising, each once.

    Raises
    ------
    CropcheckError
        Where one cannot be read.
    """
    days = set()
    for part in filter(None, (one.strip() for one in text.split(","))):
        try:
            days.add(date.fromisoformat(part))
        except ValueError as error:
            raise CropcheckError(
                f"--maps: {part!r} is no day; write days as 2024-08-01, with commas between them."
            ) from error
    return sorted(days)
