"""What a configuration says of a table of series: where it lies, its columns and their units."""

import re
from datetime import date as day
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from features.options import Options
from features.tables.templates import TEMPLATES, TemplateName

Conversion = Literal["none", "db_of_power", "db_of_amplitude"]
Repeated = Literal["refuse", "mean", "first", "last"]


class ColumnOptions(Options):
    """How the numbers of one column become a feature: `convert(raw * scale) + offset`."""

    name: str = Field(description="the feature's name here: B04, ndvi, s0vh_db, or a name of one's own")
    scale: float = Field(1.0, description="raw numbers are multiplied by this")
    convert: Conversion = Field(
        "none", description="db_of_power: 10 log10 of it; db_of_amplitude: 20 log10 of it; none: as it is"
    )
    offset: float = Field(0.0, description="added last, in the feature's own unit")


class TableOptions(Options):
    """A table of series: Parquet (a file, a pattern or a partitioned folder) or CSV.

    Three shapes are read. Long: one row a value (`parcel, date, feature, value`). Wide: one row a parcel and
    date, one column a feature (`columns`). Widest: one row a parcel, feature and date in the column's name
    (`pattern`).
    """

    path: str = Field(description="file, pattern (data/*.csv) or folder of one Parquet data set")
    template: TemplateName | None = Field(
        None, description="what wrote the table; its keys stand in for those that are left out here"
    )
    parcel: str = Field("parcel_id", description="column of parcel ids, as in the declarations")
    date: str | None = Field("date", description="column of dates; null where columns' names hold them")
    date_format: str | None = Field(
        None, description="of dates that are text, such as %Y%m%d; null: ISO 8601. `ms`: milliseconds of 1970"
    )
    feature: str | None = Field(None, description="long tables: column of feature names")
    value: str | None = Field(None, description="long tables: column of values")
    columns: dict[str, ColumnOptions] = Field(
        {}, description="column, or feature name of a long table, to feature; a bare name keeps the numbers"
    )
    pattern: str | None = Field(
        None,
        description="name of a column that holds values, with {feature} and {date} or {step}, such as "
        "'{feature}-ts{step}-{any}'",
    )
    first: day | str | None = Field(
        None, description="date of the first {step}: a date, or the column that holds each row's own"
    )
    first_step: int = Field(0, ge=0, description="number of the {step} that `first` is the date of")
    step: Literal["month", "dekad"] | int = Field(
        "month", description="from {step} to {step}; a number: days"
    )
    last: str | None = Field(
        None,
        description="column of the last {step}'s date: `step` and `first_step` are held against it and, "
        "where left out, follow from it",
    )
    nodata: tuple[float, ...] = Field((), description="raw numbers that mean nothing was measured")
    keep: dict[str, tuple[bool | int | float | str, ...]] = Field(
        {}, description="mask columns: the values with which a row counts; others are set aside"
    )
    repeated: Repeated = Field(
        "refuse",
        description="two different values of one parcel, date and feature: what is taken; of several tables, "
        "what the last says, and nothing where one says refuse",
    )
    derive: tuple[str, ...] = Field(
        (),
        description="indices to compute from the table's bands, such as ndvi; of means, not mean of pixels",
    )
    context: dict[str, str] = Field(
        {}, description="columns that hold one number a parcel (elevation, slope) and the names they get"
    )

    @field_validator("first", mode="before")
    @classmethod
    def _day_or_column(cls, given: Any) -> Any:
        """Read text such as 2024-03-01 as a day, any other as a column's name."""
        if not (isinstance(given, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", given)):
            return given
        try:
            return day.fromisoformat(given)
        except ValueError:
            raise ValueError("there is no such day; write YYYY-MM-DD") from None

    @model_validator(mode="before")
    @classmethod
    def _fill_from_template(cls, given: Any) -> Any:
        """Lay what is given over the template, and turn bare names of features into columns."""
        if not isinstance(given, dict):
            return given
        base = TEMPLATES.get(str(given.get("template")), {})
        filled = {**base, **given}
        own = given.get("columns") or {}
        if isinstance(own, dict):
            columns = {**base.get("columns", {}), **own}
            filled["columns"] = {
                key: {"name": value} if isinstance(value, str) else value for key, value in columns.items()
            }
        return filled

    @model_validator(mode="after")
    def _one_shape(self) -> "TableOptions":
        if (self.feature is None) != (self.value is None):
            raise ValueError("a long table needs both keys, `feature` and `value`")
        if self.pattern is not None:
            if "{feature}" not in self.pattern or ("{date}" in self.pattern) == ("{step}" in self.pattern):
                raise ValueError(
                    f"pattern {self.pattern!r} needs {{feature}} and one of {{date}} and {{step}}"
                )
            if "{step}" in self.pattern and self.first is None:
                raise ValueError("a pattern with {step} needs `first`: the date of step 0, or its column")
        elif self.date is None:
            raise ValueError("name the column of dates (`date`), or give a `pattern` of columns' names")
        if isinstance(self.step, int) and self.step < 1:
            raise ValueError("step counts days and must be at least 1")
        return self

    @property
    def shape(self) -> Literal["long", "wide", "widest"]:
        """How the values lie in the table."""
        if self.pattern is not None:
            return "widest"
        return "wide" if self.feature is None else "long"


class LabelOptions(Options):
    """Which columns of the tables say what a parcel is declared as and where it lies."""

    code: str = Field(description="column of crop codes")
    longitude: str = Field("lon", description="column, degrees")
    latitude: str = Field("lat", description="column, degrees")
    geometry: str | None = Field(
        None,
        description="column of points in their place: GeoParquet, WKT or GeoJSON; null: `geometry` or `.geo` "
        "where the table has no column of longitudes",
    )
    holding: str | None = Field(None, description="column of holdings")
    intervention: str | None = Field(None, description="column of interventions")
    region: str | None = Field(None, description="column of regions")
    pixel_m: float = Field(10.0, gt=0, description="a point stands for a square of this side, metres")
