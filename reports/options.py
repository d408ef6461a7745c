"""What a user may choose about the reports."""

from pydantic import Field, field_validator

from features.exchange.options import InterventionOptions, LpisOptions
from features.options import Options
from reports.translation import languages


class PublishOptions(Options):
    """Settings of the three pages and the parcel sheets."""

    language: str = Field(
        "en", description="Language of all pages, sheets and the desk: a file of reports/translations."
    )
    title: str = Field("", description="Name of the region on the pages; the run's name where empty.")
    list_rate: float = Field(
        0.10, gt=0, le=1, description="Rate of expected false alarms the follow-up list opens with."
    )
    list_rate_limit: float = Field(
        0.50, gt=0, le=1, description="Highest rate the officer can choose; sheets are written up to it."
    )
    max_sheets: int = Field(
        2000, ge=0, description="At most this many parcel sheets, the most likely errors first."
    )
    pictures: bool = Field(True, description="Put satellite pictures on the parcel sheets.")
    picture_dates: int = Field(4, ge=1, le=6, description="Dates shown on a sheet.")
    picture_margin_m: float = Field(
        120.0, ge=20, le=2000, description="Metres of surroundings shown about a parcel."
    )
    map_tolerance_m: float = Field(
        3.0, ge=0, le=100, description="Metres by which map outlines are simplified."
    )
    page_limit_mb: float = Field(
        4.5, gt=0.1, le=50, description="A page's map is split by area beyond this many megabytes."
    )
    cell_parcels: int = Field(
        300, ge=10, le=10_000, description="Parcels a click on a cell of the confusion matrix lists at most."
    )
    show_holdings: bool = Field(False, description="Print (pseudonymised) holding ids on pages and sheets.")

    gsa_code: str = Field(
        "",
        max_length=40,
        description="Code of the agency's geospatial aid application, as the Commission's platform names it "
        "(`gsa_code` of gsa_population and gsa_ua_claimed). Empty: the column stays empty.",
    )
    interventions: InterventionOptions | None = Field(
        None, description="The agency's list of unit amounts, for the exchange's table of interventions."
    )
    lpis: LpisOptions | None = Field(
        None, description="Reference parcels, for the exchange's lpis_population and gsa_lpis_relationship."
    )

    @field_validator("language")
    @classmethod
    def _has_a_catalog(cls, language: str) -> str:
        if language not in languages():
            raise ValueError(
                f"there is no catalog of {language!r}; use one of {', '.join(languages())}, or add "
                f"reports/translations/{language}.yaml"
            )
        return language
