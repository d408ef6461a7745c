"""How observations become a ParcelSeries, and how its gaps are filled."""

from typing import Literal

from pydantic import Field

from features.options import Options
from features.tables.options import LabelOptions, TableOptions

CalendarName = Literal["dekad", "month", "thermal"]


class SeriesOptions(Options):
    """How observations become a ParcelSeries."""

    calendar: CalendarName = Field(
        "dekad", description="dekad, month, or thermal (equal bins of growing-degree days)"
    )
    composite: Literal["mean", "median", "least_cloudy"] = Field(
        "mean",
        description="several acquisitions in one step: mean weighted by pixels, median, or the least cloudy",
    )
    statistics: tuple[str, ...] = Field(
        ("mean", "std"), min_length=1, description="of the parcel's pixels, kept in the series"
    )
    features: tuple[str, ...] | None = Field(
        None, description="kept in the series, named without the orbit; null: all"
    )
    min_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="of a parcel's pixels: seen makes a step observed; seen or filled gives it a value",
    )
    tables: tuple[TableOptions, ...] = Field(
        (), description="Tables of series that others extracted, read in the place of imagery."
    )
    labels: LabelOptions | None = Field(
        None, description="Declarations in those tables themselves: points with a crop code."
    )
    thermal_steps: int = Field(24, ge=2, description="bins of the thermal calendar")
    base_temperature_c: float = Field(0.0, description="growing-degree days count above this")
    chunk_parcels: int = Field(
        5000, ge=1, description="Parcels whose series are built and filled at a time: what memory holds."
    )


class GapfillOptions(Options):
    """How gaps in a ParcelSeries are filled."""

    method: Literal["none", "linear", "whittaker"] = Field("linear", description="none leaves gaps missing")
    smoothness: float = Field(
        3.0, gt=0, description="Whittaker's lambda over divided differences, positions in units of ten days"
    )
