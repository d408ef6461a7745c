"""What grows inside each parcel, one row a parcel, as exports and lists show it."""

from collections.abc import Callable

import polars as pl

from features.schema import Row
from reports.run import RunTables

SEPARATOR = "; "
LEAST_SHARE = 0.05  # of a parcel: what is less is left out of the words
MIXED, PARTS, ONE, NOT_ASSESSED = "mixed", "parts", "one", "not_assessed"
INSIDE = (MIXED, PARTS, ONE, NOT_ASSESSED)
COLUMNS = pl.Schema(
    {
        "parcel_id": pl.String,
        "composition": pl.String,  # "maize 0.62; wheat 0.38": class and share of the area that was seen
        "more_than_one_crop": pl.Boolean,  # null where pixels were not assessed
        "not_declared_ha": pl.Float32,
        "not_declared_low_ha": pl.Float32,  # 90% interval; null where too little was there to learn it
        "not_declared_high_ha": pl.Float32,
        "composition_reason": pl.String,  # why not assessed
    }
)


def composition_columns(run: RunTables) -> pl.DataFrame | None:
    """Return COLUMNS of every parcel; None where pixels were not looked at."""
    if run.composition is None or run.composition_findings is None:
        return None
    assessed = pl.col("reason").is_null()
    return (
        run.composition_findings.join(
            shares(run.composition, lambda name: name, "{:.2f}".format), on="parcel_id", how="left"
        )
        .select(
            "parcel_id",
            "composition",
            more_than_one_crop=pl.when(assessed).then("more_than_one_crop"),
            not_declared_ha="not_declared_ha",
            not_declared_low_ha="low_ha",
            not_declared_high_ha="high_ha",
            composition_reason="reason",
        )
        .cast(dict(COLUMNS))  # type: ignore[arg-type]
    )


def shares(
    composition: pl.DataFrame, name: Callable[[str], str], written: Callable[[float], str]
) -> pl.DataFrame:
    """Return `parcel_id, composition`: the classes and shares of each parcel as text, the largest first.

    Parameters
    ----------
    composition
        Schema `features.schema.COMPOSITION`.
    name, written
        Give the words of a class and of a share.
    """

    def words(row: Row) -> str:
        return f"{name(row['crop_class'])} {written(row['share'])}"

    return (
        composition.filter(pl.col("share") >= LEAST_SHARE)
        .sort("parcel_id", "share", "crop_class", descending=[False, True, False])
        .select("parcel_id", words=pl.struct("crop_class", "share").map_elements(words, pl.String))
        .group_by("parcel_id", maintain_order=True)
        .agg(composition=pl.col("words").str.join(SEPARATOR))
    )


def inside(findings: pl.DataFrame) -> pl.DataFrame:
    """Return `parcel_id, inside`: more than one crop, parts as declared, one crop, or not assessed."""
    kind = (
        pl.when(pl.col("reason").is_not_null())
        .then(pl.lit(NOT_ASSESSED))
        .when("more_than_one_crop")
        .then(pl.lit(MIXED))
        .when("heterogeneous")
        .then(pl.lit(PARTS))
        .otherwise(pl.lit(ONE))
    )
    return findings.select("parcel_id", inside=kind)
