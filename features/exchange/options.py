"""What a user may choose about the tables of the exchange."""

from pathlib import Path

from pydantic import Field

from features.options import Options


class InterventionOptions(Options):
    """Where the agency's list of interventions and unit amounts lies, for the exchange's tables."""

    path: Path = Field(
        description="CSV with a row a unit amount: what declarations.fields.intervention holds, its group, "
        "its intervention, that one's level and type, and the estimated group."
    )
    columns: dict[str, str] = Field(
        {},
        description="Column of the exchange to column of the list, where the names differ: "
        "{ua: CODE, ua_grp: GROUP, interv: MEASURE, interv_lev: LEVEL, interv_typ: TYPE}.",
    )


class LpisOptions(Options):
    """Where the reference parcels (LPIS) lie, for the exchange's tables of 1 November."""

    path: Path = Field(description="Layer of reference parcels: GeoPackage, Shapefile or GeoParquet.")
    layer: str | None = Field(None, description="Layer of a file that has several.")
    code: str = Field("", description="`lpis_code` of all parcels, where the layer has no such column.")
    columns: dict[str, str] = Field(
        {},
        description="Column of the exchange to column of the layer, where the names differ: "
        "{lpis_rp_id: BLOCK_ID, tot_area: AREA_HA}.",
    )
    least_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Least share of a declared parcel that a reference parcel holds to be related to it.",
    )
