"""What can be chosen about verdicts."""

from pathlib import Path

from pydantic import Field

from features.declarations.options import GROUPS_FILE, SCHEMES_FILE
from features.options import Options
from models.probability.calibration import CalibrationName


class JudgeOptions(Options):
    """How probabilities become verdicts."""

    alpha: float = Field(
        0.05,
        gt=0,
        lt=0.5,
        description="promised share of correct declarations that may be contradicted, within each class",
    )
    calibration: CalibrationName = Field(
        "choose", description="of probabilities, fitted outside each fold; choose: by log-loss"
    )
    noise_rate: float = Field(
        0.03,
        ge=0,
        lt=0.5,
        description="share of declarations that may be wrong, at most; lowered where fewer look wrong",
    )
    min_full_pixels: int = Field(8, ge=0, description="fewer full pixels inside the buffer: not monitorable")
    max_buffer_loss: float = Field(
        0.6, ge=0, le=1, description="a larger share of pixels lost to the buffer: not monitorable"
    )
    min_observations: int = Field(8, ge=0, description="fewer dates seen (optical and radar): inconclusive")
    max_filled_share: float = Field(
        0.9, ge=0, le=1, description="a larger share of filled steps: inconclusive"
    )
    max_sigma: float = Field(
        1.0,
        ge=0,
        description="a larger mean error of filling, in standard deviations between parcels: inconclusive",
    )
    max_spread: float = Field(
        4.0,
        gt=0,
        description="robust deviations of a parcel's NDVI spread above its class's median: heterogeneous",
    )
    set_level: float = Field(
        0.9, gt=0.5, lt=1, description="share of correct declarations whose prediction set holds their class"
    )
    max_set_size: int = Field(5, ge=1, description="more classes that cannot be excluded: inconclusive")
    season_dates: int = Field(
        6, ge=0, description="dates at which crops are typed anew for the in-season curve; 0: none"
    )
    season_parcels: int = Field(
        10_000, ge=100, description="parcels, of holdings drawn at random, that the in-season curve rests on"
    )
    schemes: Path = Field(
        SCHEMES_FILE, description="what must hold for each intervention: crop, group or agriculture"
    )
    groups: Path = Field(GROUPS_FILE, description="group of each crop class")
