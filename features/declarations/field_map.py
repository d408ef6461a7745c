"""Which column of an agency's file holds what."""

from typing import Literal

from pydantic import Field

from features.options import Options

HECTARES_PER = {"ha": 1.0, "m2": 1e-4, "are": 1e-2}


class FieldOptions(Options):
    """Columns of the parcel file; what is left out is taken as absent."""

    parcel_id: str | tuple[str, ...] | None = Field(
        None,
        description="Parcel id; several columns that are unique together are joined with `/`. Without it, or "
        "where it is `fid`, the layer's feature id serves.",
    )
    holding: str | None = Field(None, description="Holding id; without it folds go by spatial block.")
    code: str = Field("crop_code", description="National code of the main crop.")
    code_second: str | None = Field(None, description="National code of the second crop.")
    code_separator: str | None = Field(
        None,
        min_length=1,
        description="Mark between the crops where one cell names several: the first is the main crop, the "
        "second the second.",
    )
    intervention: str | None = Field(
        None, description="Aid scheme or intervention, which chooses the scheme rule."
    )
    organic: str | None = Field(
        None,
        description="Whether a parcel is farmed organically: 1 or 0, true or false, yes or no, ja or nein; "
        "for the exchange's gsa_population.",
    )
    region: str | None = Field(None, description="Administrative region.")
    claimed_area: str | None = Field(None, description="Claimed area.")
    claimed_area_unit: Literal["ha", "m2", "are"] = Field("ha", description="Unit of the claimed area.")

    @property
    def id_columns(self) -> tuple[str, ...]:
        """The columns of the parcel id, none where the feature id serves."""
        named = self.parcel_id
        return () if not named else (named,) if isinstance(named, str) else tuple(named)

    def columns(self) -> list[str]:
        """Return the columns to read, each once."""
        codes = (self.code, self.code_second)
        others = (self.intervention, self.organic, self.region, self.claimed_area)
        named = (*self.id_columns, self.holding, *codes, *others)
        return list(dict.fromkeys(name for name in named if name is not None))
