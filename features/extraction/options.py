"""What is extracted from imagery, and how."""

from typing import Literal

from pydantic import Field

from features.imagery.masks import MaskOptions
from features.indices.formulas import find_index
from features.options import Options
from features.schema import OPTICAL_BANDS

Statistics = Literal["mean", "std", "min", "max", "p25", "median", "p75"]
OPTICAL = (*OPTICAL_BANDS, "ndvi", "ndre", "ndmi", "ndti", "psri", "tcari", "tcg", "tcw")
RADAR = ("s0vv_db", "s0vh_db", "ratio_db", "rvi", "cohvv", "cohvh")


class ExtractOptions(Options):
    """Features, statistics, mask and the limits of the work of extraction."""

    optical: tuple[str, ...] = Field(
        OPTICAL, description="Bands and indices of Sentinel-2, by the names of `features.indices.formulas`."
    )
    radar: tuple[str, ...] = Field(
        RADAR, description="Features of Sentinel-1, by the names of `features.indices.formulas`."
    )
    statistics: tuple[Statistics, ...] = Field(
        ("mean", "std", "min", "max", "p25", "median", "p75"),
        description="Statistics to compute; the others are null in the observations.",
    )
    inner_buffer_m: float = Field(
        5.0, ge=0, le=100, description="Parcels are shrunk by this, so that mixed border pixels fall away."
    )
    mask: MaskOptions = Field(MaskOptions(), description="Which optical pixels count as seen.")
    block_px: int = Field(
        3072, ge=32, le=32768, description="Side of the blocks a raster is read by, in its finest pixels."
    )
    clear_block_px: int = Field(
        256,
        ge=16,
        le=4096,
        description="Side of the blocks whose whole time stack is held in memory where clouds are removed, "
        "in finest pixels.",
    )
    read_ahead_mb: int = Field(
        512,
        ge=0,
        le=65536,
        description="Pixels that may be read ahead, while earlier blocks are summarised; 0 reads one block "
        "at a time.",
    )
    most_megapixels: int = Field(
        4000,
        ge=1,
        description="Million pixels that a raster may declare; a larger one is set aside before it is read. "
        "A Sentinel-2 tile has 121.",
    )
    threads: int = Field(2, ge=1, le=64, description="Threads that decode and summarise within one worker.")

    def features_of(self, sensor: str) -> tuple[str, ...]:
        """Features of one sensor; each is in `features.indices.formulas`, else a ConfigError is raised."""
        names = self.radar if sensor == "s1" else self.optical
        for name in names:
            find_index(name)
        return names
