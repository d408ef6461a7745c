"""Settings of forecasts."""

from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field

from features.options import Options

Ahead = Literal["none", "measured", "table", "climatology"]
Input = Literal["radar", "coherence", "crop", "soil", "elevation", "weather", "surface"]
INPUTS: tuple[Input, ...] = ("radar", "coherence", "crop", "soil", "elevation", "weather", "surface")


class ForecastOptions(Options):
    """How NDVI ahead is forecast, and from what."""

    enabled: bool = Field(True, description="Forecast NDVI in a run; false leaves the tables empty.")
    from_day: date | None = Field(
        None,
        description="Day to forecast from, with what was known by its end; season.until or the last day of "
        "the season where left out.",
    )
    methods: tuple[Literal["damped", "boosting", "lstm", "lstm_monthly"], ...] = Field(
        ("damped", "boosting"),
        min_length=1,
        description="What is combined, with weights by horizon learned out of fold; persistence, "
        "climatology and damped persistence are always among it.",
    )
    inputs: tuple[Input, ...] = Field(
        INPUTS, description="What is read beside optics; what the run has nothing of is left out."
    )
    history: tuple[Path, ...] = Field(
        (),
        description="Earlier seasons: output folders of runs, or tables of parcel_id, date, ndvi and, where "
        "known, crop_class. A simulated region brings its own.",
    )
    from_run: Path | None = Field(
        None, description="Output folder of another run whose forecast models are used, or trained further."
    )
    use: Literal["load", "judge", "continue"] = Field(
        "load",
        description="What from_run's models are for: forecast with them, only score them on this run, or go "
        "on training them here.",
    )
    weather_ahead: Ahead = Field(
        "none",
        description="Weather of the days ahead: none; climatology, the mean of earlier years in the weather "
        "table; table, a forecast's; or measured, which only a look back can have.",
    )
    weather_table: Path | None = Field(
        None, description="A weather forecast: columns as those of weather. For weather_ahead: table."
    )
    ahead_days: int = Field(100, ge=5, le=200, description="Days ahead.")
    rounds: int = Field(150, ge=1, description="Boosting rounds.")
    learning_rate: float = Field(0.05, gt=0, le=1, description="Shrinkage of each boosting round.")
    leaves: int = Field(15, ge=2, description="Leaves of a tree at most.")
    units: int = Field(48, ge=2, le=1024, description="Units of the recurrent networks.")
    epochs: int = Field(6, ge=1, description="Passes of a recurrent network over its samples.")
    most_samples: int = Field(
        60_000, ge=100, description="Samples that are learned from at most; drawn by parcel and day."
    )
    most_parcels: int = Field(
        20_000,
        ge=100,
        description="Parcels that are learned from and scored on at most; holdings and blocks whole, by "
        "chance. All are forecast.",
    )
    anomaly_looks: int = Field(
        3, ge=1, description="Looks in a row outside the 90% interval, on one side, that make an anomaly."
    )
    chunk: int = Field(10_000, ge=1, description="Parcels held in memory at a time.")
    threads: int = Field(2, ge=1, le=64, description="Threads of the boosting.")
    seed: int = Field(1, ge=0, description="Of what is drawn.")
