"""The settings of cloud removal."""

from typing import Literal

from pydantic import Field

from features.options import Options

METHODS = ("last", "mosaic", "closest", "linear", "whittaker", "unet", "uncrtaints", "diffusion")
BASELINES = METHODS[:5]
LEARNED = METHODS[5:]


class CloudRemovalOptions(Options):
    """Which method fills clouded pixels before the zonal step, and how it is trained."""

    method: Literal[
        "none", "last", "mosaic", "closest", "linear", "whittaker", "unet", "uncrtaints", "diffusion"
    ] = Field("linear", description="cloud removal applied to pixels; none leaves gaps to the parcel level")
    trust_all: bool | None = Field(
        None,
        description="fill from every pixel the mask calls clear, also from those that clouds surround, where "
        "haze and shadow are missed; null: the baselines do, the networks choose by hidden pixels",
    )
    size: Literal["small", "full"] = Field(
        "small", description="small trains in a minute on two cores; full is the paper's"
    )
    inputs: Literal["s1", "s2", "both"] = Field(
        "both", description="s1: radar and context only; s2: no radar; both"
    )
    neighbours: int = Field(2, ge=1, le=8, description="clear observations taken on each side of a gap")
    which: Literal["nearest", "recent"] = Field(
        "nearest",
        description="nearest: before and after the gap; recent: only before it, as on the day itself",
    )
    loss: Literal["mae", "mse", "likelihood"] = Field("mae", description="what training minimises")
    ndvi_weight: float = Field(
        0.5, ge=0, le=10, description="weight of the NDVI error beside the reflectance error"
    )
    agricultural_only: bool = Field(False, description="NDVI term on pixels inside parcels only")
    context: tuple[str, ...] = Field(
        (),
        description="extra channels of the networks: soil, elevation, weather, names of the config's rasters",
    )
    reduce: int | None = Field(
        None,
        ge=1,
        le=8,
        description="pixels on a side that networks see as one, detail coming from interpolation in time; "
        "null: 2 for small, 1 for full",
    )
    width: int | None = Field(None, ge=4, le=512, description="channels of the network; null: the size's own")
    epochs: int = Field(20, ge=1, le=10_000, description="most epochs; early stopping may end sooner")
    patience: int = Field(
        12, ge=1, le=1000, description="epochs without a better validation loss before stopping"
    )
    seconds: float | None = Field(
        None,
        gt=0,
        description="wall-clock limit of training; null: none, so that the result depends on the seed alone",
    )
    batch_size: int = Field(4, ge=1, le=512, description="windows a step")
    learning_rate: float = Field(3e-3, gt=0, le=0.1, description="peak of the cosine schedule")
    window_px: int = Field(
        16, ge=16, le=512, multiple_of=16, description="edge of a training window in the network's pixels"
    )
    windows: int = Field(48, ge=2, le=10_000, description="training windows drawn from the imagery")
    validation_share: float = Field(
        0.15, gt=0, lt=1, description="share of spatial blocks, and of dates, held out of training"
    )
    validation_years: tuple[int, ...] = Field(
        (), description="years whose frames are used for validation only; empty: split by block alone"
    )
    months: tuple[int, ...] = Field((), description="months whose frames are used for training; empty: all")
    hidden_share: float = Field(
        0.5, gt=0, le=0.5, description="share of frames of which parts are hidden at a time"
    )
    members: int = Field(
        2,
        ge=1,
        le=16,
        description="networks that learn beside each other, each from other parts of the "
        "imagery and without other dates; their mean fills",
    )
    samples: int = Field(4, ge=2, le=64, description="diffusion: samples drawn for mean and sigma")
    steps: int = Field(4, ge=1, le=100, description="diffusion: sampler steps")
    smoothness_days: float | None = Field(
        None, gt=0, le=365, description="whittaker: time scale; null: chosen on hidden pixels"
    )
    seed: int = Field(0, ge=0, description="of windows, hidden parts and weights")

    @property
    def trusts_all(self) -> bool:
        """Return whether a baseline fills from pixels that clouds surround."""
        return self.method in BASELINES if self.trust_all is None else self.trust_all

    @property
    def reduction(self) -> int:
        """Return how many pixels on a side the networks see as one."""
        return self.reduce or (2 if self.size == "small" else 1)
