"""How a search for settings is run."""

from typing import Literal

from pydantic import Field

from features.options import Options


class TuneOptions(Options):
    """The search."""

    trials: int = Field(
        20, ge=1, description="Trials in all, those of other processes and earlier runs included."
    )
    folds: int = Field(3, ge=2, description="Folds a trial is scored on, of those there are.")
    pruning: bool = Field(True, description="Stop a trial that does worse than half of those before it.")
    metric: Literal["macro_f1", "log_loss"] = Field(
        "macro_f1", description="Metric that the search maximises."
    )
    seed: int = Field(0, ge=0, description="Seed of the search and the fits.")
