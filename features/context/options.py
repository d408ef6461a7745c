"""Settings of what is read beside imagery: embeddings, earlier declarations and land-surface products."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field

from features.errors import ConfigError
from features.options import Options

YEAR = re.compile(r"(?<!\d)(20\d\d)(?!\d)")


class EmbeddingOptions(Options):
    """Yearly embeddings that models read beside the series."""

    path: Path = Field(description="Raster of many bands, or a table with one row a parcel (Parquet, CSV).")
    year: int = Field(
        ge=2015, le=2100, description="Year that they sum up; that of the season, or the run is refused."
    )
    parcel: str = Field("parcel_id", description="Tables: column of parcel ids, as in the declarations.")
    columns: str = Field(r".*", description="Tables: pattern of the columns of the vector (numbers only).")


class HistoryOptions(Options):
    """A parcel file of an earlier year: what the same ground was declared as then."""

    path: Path = Field(description="Parcel file, in any format that declarations take.")
    year: int = Field(ge=2000, le=2100, description="Year of its harvest, before that of the season.")
    code: str | None = Field(
        None, description="Its column of crop codes; null: that of declarations.fields.code."
    )
    layer: str | None = Field(None, description="Layer, where the file holds several.")


def check_earlier(options: HistoryOptions, season: int) -> None:
    """Raise a ConfigError where a parcel file is not of an earlier year than the season."""
    if options.year >= season:
        raise ConfigError(
            f"history: {options.path} is of {options.year}, which is not before the season {season}; give "
            "the parcel file of an earlier year."
        )


def check_year(options: EmbeddingOptions, season: int, in_season: bool) -> None:
    """Raise a ConfigError where embeddings are not of the season, or look beyond the day of the run.

    A year in the file's name counts too, and so do a raster's tag `year` and a table's column `year`.
    """
    stated = {"its year in the config": options.year}
    in_name = set(map(int, YEAR.findall(options.path.name)))
    if in_name and options.year not in in_name:
        stated["its name"] = min(in_name)
    for what, year in stated.items():
        if year != season:
            raise ConfigError(
                f"embeddings: {options.path} is of {year} by {what}, and the season is {season}; give the "
                "embeddings of that year, or leave them out."
            )
    if in_season:
        raise ConfigError(
            f"embeddings: {options.path} sums up the whole of {season}, beyond season.until; leave "
            "embeddings out while the season runs."
        )


Aggregation = Literal["day", "dekad", "month"]


class LandSurfaceOptions(Options):
    """A folder of daily land-surface products."""

    product: Literal["lsa_saf"] = Field(description="Whose files they are.")
    path: Path = Field(description="Folder of the files, subfolders included.")
    aggregate: Aggregation = Field(
        "day", description="Mean over the day, over ten days (1, 11, 21) or over the month; known at its end."
    )
    most_missing: float = Field(
        20.0,
        ge=0,
        le=100,
        description="A day of which more of the slots are missing, percent, is set aside: its sum is low.",
    )
