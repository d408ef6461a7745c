"""Which column of an agency's file holds what, and its cells as the text the agency meant."""

from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from features.options import Options

HECTARES_PER = {"ha": 1.0, "m2": 1e-4, "are": 1e-2}


class FieldOptions(Options):
    """Columns of the parcel file; what is left out is taken as absent."""

    parcel_id: str | None = Field(None, description="Parcel id; without it the layer's feature id serves.")
    holding: str | None = Field(None, description="Holding id; without it folds go by spatial block.")
    code: str = Field("crop_code", description="National code of the main crop.")
    code_second: str | None = Field(None, description="National code of the second crop.")
    intervention: str | None = Field(
        None, description="Aid scheme or intervention, which chooses the scheme rule."
    )
    region: str | None = Field(None, description="Administrative region.")
    claimed_area: str | None = Field(None, description="Claimed area.")
    claimed_area_unit: Literal["ha", "m2", "are"] = Field("ha", description="Unit of the claimed area.")

    def columns(self) -> list[str]:
        """Return the columns to read, each once."""
        codes = (self.code, self.code_second)
        named = (self.parcel_id, self.holding, *codes, self.intervention, self.region, self.claimed_area)
        return list(dict.fromkeys(name for name in named if name is not None))


def _cell_text(value: Any) -> str | None:
    """Return one cell as text: 120.0 as "120", "120.0" and "001" as they are, blanks and NaN as None.

    Examples
    --------
    >>> [_cell_text(value) for value in (120.0, "1.0", "001", "NO", 0.5, " ", float("nan"), None)]
    ['120', '1.0', '001', 'NO', '0.5', None, None, None]
    """
    if isinstance(value, str):
        return value.strip() or None
    if value is None or value is pd.NaT or value is pd.NA or value != value:  # noqa: PLR0124 (NaN alone differs from itself)
        return None
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def text_column(column: pd.Series) -> pd.Series:
    """Return a column as text, null where blank; each distinct value is rendered once."""
    keys, values = pd.factorize(column, use_na_sentinel=True)
    texts = np.array([*(_cell_text(value) for value in values), None], dtype=object)
    return pd.Series(texts[keys], index=column.index, dtype=object)


def number_column(column: pd.Series) -> np.ndarray:
    """Return a column as float64, NaN where blank or no number; a decimal comma is read as a point."""
    if column.dtype.kind in "iuf":
        return column.to_numpy(np.float64)
    points = column.astype("string").str.replace(",", ".", regex=False)
    return pd.to_numeric(points, errors="coerce").to_numpy(np.float64, na_value=np.nan)
