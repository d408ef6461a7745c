"""Compositions as tables: what grows in each parcel, and what it means for the declaration."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from models.patches.composition.parcel import Parcel
from models.patches.options import CompositionOptions

FINDINGS = pl.Schema(
    {
        "parcel_id": pl.String,
        "pixels": pl.Int32,  # seen, with half of their area or more within the outline
        "seen_share": pl.Float32,  # of the parcel's area
        "heterogeneous": pl.Boolean,  # the largest class holds 30 to 70%, and another has a cluster
        "clusters": pl.Int32,  # that count, of all classes: the cardinality, 1 where outline and field agree
        "more_than_one_crop": pl.Boolean,  # heterogeneous, and not as declared
        "not_declared_ha": pl.Float32,  # hectares whose pixels speak against the crops declared
        "low_ha": pl.Float32,
        "high_ha": pl.Float32,
        "reason": pl.String,  # why not assessed: too_few_pixels, never_seen, no_class; null where it was
    }
)
PAIRS = pl.Schema(
    {
        "first": pl.String,  # two neighbours that declare different crops, looked at as one parcel
        "second": pl.String,
        "fold": pl.Int32,
        "true_share": pl.Float64,  # of the second's area, by the declarations
        "found_share": pl.Float64,  # by pixels, of all that is not the first's class
        "flagged": pl.Boolean,
    }
)
PICTURES = pl.Schema(
    {
        "parcel_id": pl.String,
        "x": pl.Float64,  # of a pixel's centre, in the CRS of its tile
        "y": pl.Float64,
        "epsg": pl.Int32,
        "pixel_m": pl.Float32,
        "crop_class": pl.String,
    }
)
LEVEL = 0.9  # of the intervals of hectares
LEAST_PAIRS = 20  # made-up mixed parcels that an interval takes at least


def composition_rows(
    parcel_id: str, area_ha: float, parcel: Parcel, classes: Sequence[str]
) -> list[dict[str, object]]:
    """Return the rows of COMPOSITION of one parcel."""
    return [
        {
            "parcel_id": parcel_id,
            "crop_class": classes[part.number],
            "area_ha": part.share * area_ha,
            "share": part.share,
            "pixels": part.pixels,
            "clusters": len(part.clusters),
            "largest_cluster": max(part.clusters, default=0),
        }
        for part in parcel.parts
    ]


def finding_row(
    parcel_id: str, area_ha: float, parcel: Parcel, accepted: set[int], options: CompositionOptions
) -> dict[str, object]:
    """Return the row of FINDINGS of one parcel, its interval not yet known.

    Parameters
    ----------
    accepted
        Numbers of the classes that were declared; empty where none is known to the models.
    """
    reason = "never_seen" if not parcel.parts else "no_class" if not accepted else None
    if reason is None and parcel.pixels < options.least_pixels:
        reason = "too_few_pixels"
    mixed = reason is None and parcel.heterogeneous(options)
    large = {part.number for part in parcel.parts if part.clusters and part.share >= 1 - options.most_share}
    return {
        "parcel_id": parcel_id,
        "pixels": parcel.pixels,
        "seen_share": parcel.seen,
        "heterogeneous": mixed,
        "clusters": parcel.clusters,
        "more_than_one_crop": mixed and not large <= accepted,
        "not_declared_ha": None
        if reason
        else parcel.share_without(accepted, options.least_evidence) * area_ha,
        "low_ha": None,
        "high_ha": None,
        "reason": reason,
    }


def with_intervals(findings: pl.DataFrame, areas: Mapping[str, float], pairs: pl.DataFrame) -> pl.DataFrame:
    """Add intervals of `not_declared_ha`, from the errors of the shares found in made-up mixed parcels.

    The interval is empty (null) where fewer than LEAST_PAIRS of those exist.
    """
    if len(pairs) < LEAST_PAIRS:
        return findings
    errors = (pairs["found_share"] - pairs["true_share"]).to_numpy()
    over, under = np.quantile(errors, [(1 + LEVEL) / 2, (1 - LEVEL) / 2])
    area = findings["parcel_id"].replace_strict(areas, return_dtype=pl.Float64)
    found = pl.col("not_declared_ha")
    assessed = found.is_not_null()
    return findings.with_columns(
        low_ha=pl.when(assessed).then((found - area * max(float(over), 0.0)).clip(0)).cast(pl.Float32),
        high_ha=pl.when(assessed)
        .then(pl.min_horizontal(found + area * max(-float(under), 0.0), area))
        .cast(pl.Float32),
    )
