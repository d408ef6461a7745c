"""Parcel ids: text as the agency wrote it, unique, of one column or of several that are unique together."""

import geopandas as gpd
import numpy as np
import pandas as pd

from features.declarations.cells.text import is_escaped, refuse_inexact, text_column
from features.declarations.field_map import FieldOptions
from features.declarations.vector_file import FEATURE_ID
from features.errors import DeclarationError
from features.messages.listed import listed

JOIN = "/"


def parcel_ids(raw: gpd.GeoDataFrame, fields: FieldOptions, path: str) -> tuple[list[str], np.ndarray]:
    """Return the ids, and which of them hold what text files cannot (NUL, half of a surrogate pair).

    Raises
    ------
    DeclarationError
        Where an id is blank, repeats, or came as a decimal number that does not hold all of its digits.
    """
    names = fields.id_columns or (FEATURE_ID,)
    for name in names:
        refuse_inexact(raw[name], name, path)
    parts = [text_column(raw[name]) for name in names]
    blank = np.any([part.isna() for part in parts], axis=0)
    if blank.any():
        raise DeclarationError(
            f"{int(blank.sum())} parcels have no id in {_said(names)}, "
            f"first in row {int(blank.argmax()) + 1}; fill it, or leave the option out."
        )
    ids = (
        parts[0] if len(parts) == 1 else pd.Series(map(JOIN.join, zip(*parts, strict=True)), index=raw.index)
    )
    repeated = ids[ids.duplicated()].unique()
    if len(repeated):
        raise DeclarationError(
            f"{len(repeated)} parcel ids of {path} repeat, first {listed(repeated[:3])}; {_cure(raw, names)}"
        )
    altered = np.any([[is_escaped(value) for value in raw[name]] for name in names], axis=0)
    return [str(one) for one in ids], altered


def _said(names: tuple[str, ...]) -> str:
    return repr(names[0]) if len(names) == 1 else f"one of {listed(names)}"


def _cure(raw: gpd.GeoDataFrame, names: tuple[str, ...]) -> str:
    """Offer columns that were read and make the id unique; else what an agency can do."""
    others = [name for name in raw.columns if name not in (*names, FEATURE_ID, raw.geometry.name)]
    texts = pd.DataFrame({name: text_column(raw[name]) for name in (*names, *others)})
    for more in others:
        together = [*names, more]
        if texts[more].notna().all() and not texts.duplicated(together).any():
            names_listed = ", ".join(together)
            return f"{names_listed} are unique together: set `fields.parcel_id: [{names_listed}]`."
    return (
        "name a unique column in `fields.parcel_id`, or several that are unique together, such as "
        "`[application, parcel]`; or dissolve multi-part parcels."
    )
