"""The settings of the cloud mask."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from features.options import Options
from models.clouds.removal.options import CloudRemovalOptions

METHODS = ("scl", "fmask", "s2cloudless", "ukis_csmask", "temporal", "unet", "combined")
FITTED = ("unet", "combined")


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


class LabelledTiles(Options):
    """A folder of images with masks that a person made."""

    path: Path = Field(description="folder of the images and masks")
    layout: Literal["kappaset", "cloudsen12", "pairs", "npz"] = Field(
        "pairs",
        description="kappaset: NetCDF files; cloudsen12: folders with image and label GeoTIFFs; pairs: "
        "NAME.tif beside NAME_mask.tif; npz: arrays image, mask, bands",
    )
    classes: dict[int, Literal["clear", "shadow", "thin", "cloud", "unknown"]] = Field(
        {}, description="meaning of the mask's codes, where they are not the layout's own"
    )
    bands: tuple[str, ...] = Field((), description="bands of the image in order, where the file does not say")
    scale: float = Field(1e-4, gt=0, description="reflectance = stored number * scale + offset")
    offset: float = Field(
        0.0, ge=-0.5, le=0.5, description="-0.1 for stored numbers of baseline 04.00 or later"
    )


class MaskNetworkOptions(Options):
    """The U-Net of the mask and its training."""

    width: int = Field(16, ge=4, le=128, description="channels at the finest of four levels; doubled at each")
    epochs: int = Field(12, ge=1, le=1000, description="epochs on the region")
    windows: int = Field(96, ge=4, le=100_000, description="training windows of the region")
    window_px: int = Field(64, ge=32, le=512, multiple_of=16, description="side of a window, in 20 m pixels")
    batch_size: int = Field(8, ge=1, le=256, description="windows a step")
    learning_rate: float = Field(3e-3, gt=0, le=0.1, description="peak of the cosine schedule")
    further_rate: float = Field(
        0.1, gt=0, le=1, description="share of learning_rate where training goes on from a network that has "
        "learned before: a few windows at the full rate would undo that"
    )  # fmt: skip
    painted_share: float = Field(
        0.7, ge=0, le=1, description="share of the windows over which clouds of known truth are painted"
    )
    teachers: tuple[Literal["temporal", "fmask", "ukis_csmask"], ...] = Field(
        ("temporal",),
        min_length=1,
        description="masks whose confident pixels are the region's labels; several: where they agree",
    )
    start: Literal["simulated", "nothing"] = Field(
        "simulated",
        description="what training begins from without `pretrained`: a network of width 16 that comes with "
        "cropcheck and has learned simulated regions, or nothing",
    )
    pretrained: Path | None = Field(
        None, description="folder of a mask network (`masks/model` of a run) that training begins from"
    )
    tiles: tuple[LabelledTiles, ...] = Field((), description="labelled tiles that the network also learns")
    fast: bool = Field(False, description="predict with OpenVINO (install cropcheck[openvino])")


class CloudMaskOptions(Options):
    """Which mask decides which optical pixels are clear."""

    method: Literal["scl", "fmask", "s2cloudless", "ukis_csmask", "temporal", "unet", "combined"] = Field(
        "scl",
        description="scl: delivered scene classes; fmask: rules on one date; temporal: each date against the "
        "clear state of the same pixel; unet: network trained on the region; combined: joint answer; "
        "s2cloudless and ukis_csmask: packages of others (extras of the same names)",
    )
    fallback: Literal["none", "fmask"] = Field(
        "none",
        description="scl: what masks scenes that come without scene classes; none: what becomes of them, "
        "extract.mask.without_classes says",
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
    network: MaskNetworkOptions = MaskNetworkOptions()

    @property
    def keeps_delivered(self) -> bool:
        """Return whether scene classes that are there are used as they were delivered."""
        plain = self.least_chance == ByClass() and self.together == 0.5
        return self.method == "scl" and self.buffer_px is None and plain

    @property
    def as_delivered(self) -> bool:
        """Return whether no mask is computed at all."""
        return self.keeps_delivered and self.fallback == "none"


class ClearOptions(CloudRemovalOptions):
    """Cloud mask and cloud removal."""

    mask: CloudMaskOptions = CloudMaskOptions()

    @property
    def removal(self) -> CloudRemovalOptions:
        """Return what cloud removal reads, without the mask."""
        return CloudRemovalOptions(**self.model_dump(exclude={"mask"}))
