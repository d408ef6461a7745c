"""The settings of the cloud mask."""

from typing import Literal

from pydantic import Field

from features.options import Options
from models.clouds.removal.options import CloudRemovalOptions

METHODS = ("scl", "fmask", "s2cloudless", "ukis_csmask", "temporal")


class ByClass(Options):
    """One number for each kind of pixel that is left out."""

    cloud: float = Field(0.5, ge=0, description="of cloud")
    thin: float = Field(0.5, ge=0, description="of semi-transparent cloud")
    shadow: float = Field(0.5, ge=0, description="of cloud shadow")


class Buffers(Options):
    """By how many pixels of the mask (20 m) each class is grown."""

    cloud: int = Field(2, ge=0, le=50, description="pixels around cloud")
    thin: int = Field(1, ge=0, le=50, description="pixels around semi-transparent cloud")
    shadow: int = Field(1, ge=0, le=50, description="pixels around cloud shadow")


class CloudMaskOptions(Options):
    """Which mask says what optical pixels are seen."""

    method: Literal["scl", "fmask", "s2cloudless", "ukis_csmask", "temporal"] = Field(
        "scl",
        description="scl: delivered scene classes; fmask: rules on one date; temporal: each date against the "
        "clear state of the same pixel; s2cloudless and ukis_csmask: packages of others (extras of those "
        "names)",
    )
    look: Literal["both", "back"] | None = Field(
        None,
        description="temporal: dates before and after, or only before; null: back where season.until is set",
    )
    least_chance: ByClass = Field(
        ByClass(), description="a pixel is left out from this chance of the class on; above 1: never"
    )
    together: float = Field(
        0.5, gt=0, description="a pixel is also left out from this sum of chances on; above 1: never"
    )
    buffer_px: Buffers | None = Field(
        None,
        description="growth of each class in 20 m pixels; null: 2, 1 and 1, and extract.mask.dilation_m for "
        "scl",
    )

    @property
    def as_delivered(self) -> bool:
        """Return whether the scene classes are used as they were delivered."""
        plain = self.least_chance == ByClass() and self.together == 0.5
        return self.method == "scl" and self.buffer_px is None and plain


class ClearOptions(CloudRemovalOptions):
    """Cloud mask and cloud removal."""

    mask: CloudMaskOptions = CloudMaskOptions()

    @property
    def removal(self) -> CloudRemovalOptions:
        """Return what cloud removal reads, without the mask."""
        return CloudRemovalOptions(**self.model_dump(exclude={"mask"}))
