"""How training series are varied, and what is done about classes of unequal size."""

from typing import Literal

from pydantic import Field

from features.options import Options


class AugmentationOptions(Options):
    """How training series of the networks are varied; zero switches a way off."""

    shift_steps: float = Field(0.0, ge=0, description="Largest shift in time, in steps of the calendar.")
    warp_steps: float = Field(0.0, ge=0, description="Largest slow bend of the time axis, in steps.")
    dropped_dates: float = Field(0.0, ge=0, lt=1, description="Share of a parcel's dates that is hidden.")
    scaled_reflectance: float = Field(
        0.0, ge=0, lt=1, description="Largest relative change of all optical bands."
    )
    noise: float = Field(0.0, ge=0, description="Standard deviation of the noise, in those of the channel.")

    @property
    def active(self) -> bool:
        """Whether anything is switched on."""
        return any(value > 0 for value in self.model_dump().values())


class BalanceOptions(Options):
    """What is done in the training folds about classes of unequal size."""

    method: Literal["none", "class_weight", "resample"] = Field(
        "none",
        description="Nothing, weights, or under-sampling of large and noisy over-sampling of small classes.",
    )
    power: float = Field(
        0.5, ge=0, le=1, description="class_weight: 1 gives every class the same total, 0 none."
    )
    most: float = Field(
        3.0, ge=1, description="resample: a class keeps at most this many times the median size."
    )
    least: float = Field(
        0.5, ge=0, le=1, description="resample: a class gets at least this share of the median."
    )
    noise: float = Field(
        0.1, ge=0, description="resample: noise of a copy, in the channel's standard deviations."
    )
