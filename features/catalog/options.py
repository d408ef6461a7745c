"""What a configuration says of its imagery: where the catalog is and how it speaks."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, field_validator

from features.catalog.access.hrefs import is_signed
from features.options import Options

Signing = Literal["none", "planetary_computer"]


@dataclass(frozen=True)
class KnownCatalog:
    """A public STAC API, the collections that suit us and how its links are signed."""

    url: str
    collections: tuple[str, ...]
    signing: Signing = "none"


# Public stores of Sentinel data, to which the catalogs below and copies of them lead.
STORES = (
    "sentinel-cogs.s3.us-west-2.amazonaws.com",
    "e84-earth-search-sentinel-data.s3.us-west-2.amazonaws.com",
    "sentinel2l2a01.blob.core.windows.net",
    "sentinel1euwestrtc.blob.core.windows.net",
)
# Asset names of all three are built in (features.catalog.bands). Earth Search's sentinel-1-grd and CDSE's are
# raw amplitudes in slant geometry, which no zonal statistic can use; Planetary Computer's sentinel-1-rtc is
# terrain-corrected gamma0.
CATALOGS = {
    "earth_search": KnownCatalog("https://earth-search.aws.element84.com/v1", ("sentinel-2-c1-l2a",)),
    "planetary_computer": KnownCatalog(
        "https://planetarycomputer.microsoft.com/api/stac/v1",
        ("sentinel-2-l2a", "sentinel-1-rtc"),
        "planetary_computer",
    ),
    "cdse": KnownCatalog("https://stac.dataspace.copernicus.eu/v1", ("sentinel-2-l2a",)),
}


class RadarOptions(Options):
    """What the Sentinel-1 product is, where its items do not say."""

    quantity: Literal["stated", "sigma0", "gamma0"] = Field(
        "stated",
        description="Use only backscatter of this kind; `stated` takes what there is, if it is one kind.",
    )
    unit: Literal["stated", "linear", "db"] = Field(
        "stated",
        description="Unit of vv and vh; `stated`: as the items say, else the files; else set aside.",
    )
    scale: float | None = Field(
        None, description="physical = raw * scale + offset; null: as the items state, else 1."
    )
    offset: float | None = Field(None, description="See scale; null: as the items state, else 0.")
    coherence_days: Literal["stated", 6, 12] = Field(
        "stated",
        description="Use only coherence over this many days; `stated` takes it all, if it is one kind.",
    )


class ImageryOptions(Options):
    """Which imagery is read, and the catalog's names and units for it."""

    catalog: str = Field(
        "catalog/catalog.json",
        description="STAC catalog or API: a path, a URL, or earth_search, planetary_computer or cdse.",
    )
    level: Literal["L2A", "L1C"] = Field(
        "L2A",
        description="Of optical imagery: surface reflectance, or reflectance at the top of the atmosphere, "
        "which the cloud mask s2cloudless needs; items that say another level are set aside.",
    )
    collections: tuple[str, ...] = Field(
        (), description="Only these collections; empty: those that suit a catalog known by name, else all."
    )
    bands: dict[str, str] = Field(
        {}, description="More asset keys and the band each holds, as in {'rot': 'B04'}."
    )
    radar: RadarOptions = Field(RadarOptions(), description="What the Sentinel-1 product is.")
    offsets: dict[str, float] = Field(
        {}, description="Reflectance offset in digital numbers (0 or -1000) by item id."
    )
    default_offset: float | None = Field(None, description="The same for items of which nothing is known.")
    max_cloud_cover: float = Field(
        100.0, ge=0, le=100, description="Leave out scenes cloudier than this, in percent."
    )
    page_size: int = Field(100, ge=1, le=10_000, description="Items per page asked of a STAC API.")
    hosts: tuple[str, ...] = Field(
        STORES,
        description="Other hosts (host or host:port; .example.org for all below it) that the links of a "
        "remote catalog may lead to, redirects included; by default public stores of Sentinel data. "
        "Loopback, link-local and private addresses are reached only where named here or in "
        "imagery.catalog.",
    )
    allow_remote: bool = Field(
        False, description="Assets may lie on any host of a public address, whatever the catalog is."
    )
    allow_object_storage: bool = Field(
        False, description="Assets may lie in object storage (s3://, /vsis3/)."
    )
    signing: Literal["default", "none", "planetary_computer"] = Field(
        "default", description="How links are signed; `default`: as the catalog known by name asks."
    )

    @field_validator("catalog")
    @classmethod
    def _no_secret(cls, catalog: str) -> str:
        if is_signed(catalog):
            raise ValueError("holds a password or key, which would be written into the run's record; "
                             "leave it out and put it into ~/.netrc")  # fmt: skip
        return catalog

    @property
    def address(self) -> str:
        """Path or URL of the catalog."""
        known = CATALOGS.get(self.catalog)
        return known.url if known else self.catalog

    @property
    def collections_wanted(self) -> tuple[str, ...]:
        """The collections to search."""
        known = CATALOGS.get(self.catalog)
        return self.collections or (known.collections if known else ())

    @property
    def signing_wanted(self) -> Signing:
        """How links are to be signed."""
        known = CATALOGS.get(self.catalog)
        if self.signing == "default":
            return known.signing if known else "none"
        return self.signing
