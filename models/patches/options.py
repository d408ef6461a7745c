"""What can be chosen about crop maps and composition."""

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from features.options import Options
from features.schema import OPTICAL_BANDS

Band = Literal["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
assert set(Band.__args__) == set(OPTICAL_BANDS)  # type: ignore[attr-defined]


class PixelBoostingOptions(Options):
    """Trees on single pixels: quick, and blind to what lies around a pixel."""

    rounds: int = Field(60, ge=1, le=5000, description="Boosting rounds.")
    learning_rate: float = Field(0.15, gt=0, le=1, description="Step of each round.")
    leaves: int = Field(31, ge=2, le=1024, description="Leaves of a tree.")
    pixels_per_parcel: int = Field(30, ge=1, description="Pixels of each parcel that trees learn from.")


class PatchNetworkOptions(Options):
    """The U-Net on patches."""

    width: int = Field(16, ge=4, le=256, description="Channels of the first level; each further has twice.")
    depth: int = Field(3, ge=2, le=5, description="Levels of the U.")
    patch_px: int = Field(64, ge=16, le=512, description="Side of the patches that it learns from.")
    encoder: Literal["attention", "convolution"] = Field(
        "attention",
        description="With input: temporal. attention: each pixel's steps are weighed and added up; "
        "convolution: three convolutions along its season, after TempCNN",
    )
    encoder_width: int = Field(16, ge=4, le=128, description="Channels of a date in the temporal encoder.")
    encoder_span: int = Field(5, ge=1, le=99, description="Steps that a convolution along the season sees.")
    heads: int = Field(4, ge=1, le=16, description="Attention heads of the temporal encoder.")
    epochs: int = Field(40, ge=1, le=1000, description="Times that the patches are gone through.")
    patches: int = Field(48, ge=1, le=100_000, description="Patches of an epoch, drawn anew in each.")
    batch_size: int = Field(8, ge=1, le=512, description="Patches of one step.")
    learning_rate: float = Field(0.004, gt=0, le=1, description="At the beginning; it falls to nothing.")
    brightness: float = Field(0.05, ge=0, le=1, description="Spread of the factor on a patch's reflectance.")
    lost_steps: float = Field(0.1, ge=0, lt=1, description="Share of time steps hidden from a patch.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of channels dropped while training.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Share of a label spread over all classes: declarations may be wrong."
    )
    members: int = Field(
        1,
        ge=1,
        le=50,
        description="Networks that are trained from other beginnings; their chances are averaged.",
    )

    pretraining_epochs: int = Field(
        0, ge=0, le=1000, description="Times that it goes through unlabelled patches first; 0: not at all."
    )
    pretraining_rate: float = Field(0.002, gt=0, le=1, description="Learning rate of that.")

    @property
    def reach_px(self) -> int:
        """Pixels on each side of a pixel that the network looks at: two 3x3 convolutions a level."""
        sides = sum(4 << level for level in range(self.depth - 1))
        return sides + (2 << (self.depth - 1))

    @model_validator(mode="after")
    def _patch_holds_reach(self) -> "PatchNetworkOptions":
        least = 2 * self.reach_px + 1
        if self.patch_px < least:
            raise ValueError(
                f"patch_px {self.patch_px} is smaller than what a network of depth {self.depth} looks at, "
                f"{least} pixels; choose larger patches or a lower depth"
            )
        if self.patch_px % 2 ** (self.depth - 1):
            raise ValueError(f"patch_px {self.patch_px} must be a multiple of {2 ** (self.depth - 1)}")
        return self


class CompositionOptions(Options):
    """When a parcel counts as growing more than one crop.

    The numbers are those of the Joint Research Centre's assessment of features of interest (ec-jrc/cbm,
    `docs/info_foi.md`): parcels of at least 40 pixels, clusters of at least 20, a class with 30 to 70%.
    """

    least_pixels: int = Field(40, ge=1, description="Parcels with fewer pixels are not assessed.")
    least_cluster: int = Field(20, ge=1, description="Pixels of a cluster that counts.")
    neighbours: Literal[4, 8] = Field(4, description="Pixels that touch: by sides, or by corners too.")
    least_share: float = Field(
        0.3, gt=0, lt=0.5, description="Share of a class in a heterogeneous parcel, at least."
    )
    most_share: float = Field(
        0.7, gt=0.5, lt=1, description="Share of a class in a heterogeneous parcel, at most."
    )
    border_weight: float = Field(
        0.25, ge=0, le=1, description="What pixels outside the inner buffer count, relative to those inside."
    )
    least_evidence: float = Field(
        2.0,
        ge=0,
        description="Mean log-odds between two classes over the pixels of either, at least, by chances that "
        "are as often right as they say; less is taken for confusion of one crop.",
    )
    least_contrast: float = Field(
        1.5,
        ge=0,
        description="Difference between the pixels of two classes in standard deviations within them, root "
        "mean square over dates and bands, at least.",
    )
    side_evidence: float = Field(
        0.5,
        ge=0,
        description="The same as least_evidence where a parcel is divided into the two sides that look least "
        "alike, over all pixels of a side.",
    )
    side_contrast: float = Field(
        2.0, ge=0, description="The same as least_contrast between those two sides; more than 100: no sides."
    )


class PatchOptions(Options):
    """Crop maps from pixels, and what they say of each parcel."""

    method: Literal["none", "boosting", "unet"] = Field(
        "none", description="none: no composition; boosting: trees on pixels; unet: network on patches"
    )
    bands: tuple[Band, ...] = Field(
        ("B03", "B04", "B05", "B08", "B11", "B12"), min_length=1, description="Bands of Sentinel-2 to read."
    )
    input: Literal["date", "stacked", "temporal"] = Field(
        "stacked",
        description="date: one composite; stacked: all steps side by side; temporal: an attention over steps "
        "in front of the network (unet only)",
    )
    day: date | None = Field(None, description="For input: date, the middle of the composite.")
    step_days: int = Field(20, ge=1, le=366, description="Days of clear looks that a composite averages.")
    labels: Literal["single", "multi"] = Field(
        "single",
        description="single: one crop a pixel, parcels that declare a second crop teach nothing; multi: both "
        "crops of such parcels may be there (unet only)",
    )
    least_parcels: int = Field(8, ge=1, description="Classes with fewer parcels are not mapped.")
    training_blocks: int = Field(24, ge=1, le=10_000, description="Blocks of imagery that models learn from.")
    block_px: int = Field(384, ge=64, le=4096, description="Side of the blocks that are read at a time.")
    threads: int = Field(2, ge=1, le=64, description="Threads of a worker; never changes the result.")
    boosting: PixelBoostingOptions = PixelBoostingOptions()
    network: PatchNetworkOptions = PatchNetworkOptions()
    composition: CompositionOptions = CompositionOptions()

    @model_validator(mode="after")
    def _method_fits(self) -> "PatchOptions":
        if self.method == "boosting" and (self.labels == "multi" or self.input == "temporal"):
            raise ValueError(
                "trees on pixels take labels: single and input: date or stacked; choose method: unet"
            )
        if self.input == "date" and self.day is None:
            raise ValueError("input: date needs the day that the composite lies around, e.g. day: 2024-06-10")
        return self
