"""Settings of a simulated region."""

from typing import Annotated

from pydantic import Field

from features.options import Options

Share = Annotated[float, Field(ge=0, le=1)]


class SimulationOptions(Options):
    """What region to make; the seed and the season are given beside it."""

    n_parcels: int = Field(
        2600, ge=20, le=200_000, description="Declared parcels; ignored with parcels_path."
    )
    median_ha: float = Field(1.6, gt=0.1, le=50, description="Median parcel size, hectares.")
    farmland_share: float = Field(0.86, gt=0.3, le=1, description="Share of the region that is farmed.")
    parcels_per_holding: float = Field(11.0, ge=2, le=200, description="Mean number of parcels of a holding.")
    parcels_path: str | None = Field(
        None, description="A real parcel file whose outlines replace the simulated ones."
    )
    epsg: int = Field(32631, description="Metric CRS of parcels and imagery, a UTM zone.")
    first_month: int = Field(3, ge=1, le=12, description="First month with imagery.")
    last_month: int = Field(10, ge=1, le=12, description="Last month with imagery.")
    optical_revisit_days: int = Field(5, ge=1, le=60, description="Days between Sentinel-2 passes.")
    optical_loss: float = Field(
        0.08, ge=0, le=0.9, description="Share of Sentinel-2 passes that were never published."
    )
    cloud_cover: float = Field(0.6, ge=0, le=0.98, description="Mean share of a scene under cloud or shadow.")
    radar_orbits: tuple[int, ...] = Field(
        (37, 139), description="Relative orbits of Sentinel-1; may be empty."
    )
    radar_revisit_days: int = Field(
        6, ge=1, le=60, description="Days between Sentinel-1 passes of one orbit."
    )
    coherence: bool = Field(
        True, description="Write the interferometric coherence of consecutive radar passes."
    )
    spread: float = Field(
        1.0, ge=0, le=3, description="Factor on the real differences between fields of one crop."
    )
    warmer_c: float = Field(
        0.0,
        ge=-6,
        le=10,
        description="Degrees by which the climate is warmer than that of the southern Low Countries (mean "
        "10.5 °C); crops grow by warmth, and spring sowing, first cuts and lifting come 7.6 days earlier a "
        "degree.",
    )
    rain_factor: float = Field(1.0, ge=0, le=4, description="Rain, as a multiple of what that climate has.")
    misdeclared_share: Share = Field(0.03, description="Share of parcels whose declaration is wrong.")
    second_crop_share: Share = Field(
        0.02, description="Share of parcels of which a part grows another crop; half of them declare it."
    )
    unsown_share: Share = Field(0.0, description="Share of parcels with a corner that was not sown.")
    pond_share: Share = Field(0.0, description="Share of parcels with a pond in them.")
    outline_error_m: float = Field(
        0.0,
        ge=0,
        le=20,
        description="Metres that declared outlines lie off, standard deviation on each axis.",
    )
    recorded_share: Share = Field(
        0.5, description="Share of holdings whose field records (what was done when) the agency has."
    )
    keep_truth_rasters: bool = Field(
        False, description="Also write the cloud-free reflectance, for scoring only."
    )
    threads: int = Field(2, ge=1, le=64, description="Scenes rendered at a time; never changes the result.")
