"""Settings of the detection of events."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from features.options import Options

Method = Literal["boosting", "network", "combined"]


class EventOptions(Options):
    """How events are found, and how sure one must be to report them."""

    enabled: bool = Field(True, description="Look for events; false leaves their tables empty.")
    labels: Path | None = Field(
        None,
        description="Table of what was done when: parcel_id, event, date and, for an interval, until (CSV or "
        "Parquet). A simulated region has its own. With neither labels nor from_run, rules decide.",
    )
    from_run: Path | None = Field(
        None, description="Output folder of another run whose event models are used, instead of labels."
    )
    wrong_share: float = Field(
        0.1, gt=0, lt=0.5, description="Promised share of wrong events among those reported, at most."
    )
    grazed_share: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Promised share of grazed parcels on which a cut is reported that was none, at most, "
        "where labels name grazing.",
    )
    shown_from: float = Field(
        0.3, gt=0, lt=1, description="Chance from which an undecided event is listed, with its reason."
    )
    min_pixels: float = Field(4, ge=0, description="Fewer pixels seen at best: no event is reported.")
    long_gap_days: int = Field(
        24, ge=1, description="A gap without clear looks that is longer is named as the reason of doubt."
    )
    min_share: float = Field(
        0.5, gt=0, le=1, description="Share of a parcel's pixels that a date must have seen, not filled."
    )
    method: Method = Field(
        "boosting",
        description="What learns from labels: boosting over the intervals between looks, a network over "
        "six-day steps, or both together. A network takes minutes where boosting takes seconds.",
    )
    epochs: int = Field(60, ge=1, description="Passes of the network over the labelled parcels.")
    filters: int = Field(32, ge=4, le=256, description="Filters of each of the network's convolutions.")
    rounds: int = Field(80, ge=1, description="Boosting rounds.")
    learning_rate: float = Field(0.1, gt=0, le=1, description="Shrinkage of each round.")
    leaves: int = Field(12, ge=2, description="Leaves of a tree at most.")
    column_share: float = Field(0.3, gt=0, le=1, description="Share of the columns that a tree may use.")
    rows_wanted: int = Field(
        60_000,
        ge=0,
        description="Few labels are learned from several times, each time with other looks left out, until "
        "there are about so many intervals; at most six times, and by five boosters whose mean counts.",
    )
    chunk: int = Field(2000, ge=1, description="Parcels held in memory at a time.")
    threads: int = Field(2, ge=1, le=64, description="Threads of the boosting.")
    seed: int = Field(1, ge=0, description="Of what is drawn.")
