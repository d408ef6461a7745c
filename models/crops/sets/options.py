"""Which public sets are trained on, and how much of each."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from features.options import Options

SetName = Literal["timesen2crop", "eurocropsml", "breizhcrops", "pastis", "cropharvest", "sen4agrinet"]


class SetOptions(Options):
    """One public set, downloaded and unpacked."""

    name: SetName = Field(description="The set, by the format it is published in.")
    path: Path = Field(description="Its folder, unpacked.")
    per_class: int | None = Field(
        2000, ge=1, description="Samples of a class at most, drawn at random; null: all."
    )
