"""What truly lies within each declared outline of a simulated region: only evaluation may read it."""

import numpy as np
import polars as pl
import shapely

from features.simulate.region.world import World

TRUE_COMPOSITION = pl.Schema(
    {
        "parcel_id": pl.String,
        "kind": pl.String,  # crop, unsown, water, beyond (margins, roads and what else is not farmed)
        "true_code": pl.String,  # national code of what grows; null where nothing was sown
        "area_ha": pl.Float64,
        "share": pl.Float64,  # of the outline
    }
)


def true_composition(world: World, ids: list[str]) -> pl.DataFrame:
    """Return the areas of all that lies within each outline, schema TRUE_COMPOSITION; shares sum to one."""
    shapes, kind, code = _land(world)
    outlines = np.array(world.outlines, object)
    parcel, piece = shapely.STRtree(shapes).query(outlines, predicate="intersects")
    area = shapely.area(shapely.intersection(outlines[parcel], shapes[piece])) / 1e4
    inside = pl.DataFrame(
        {
            "parcel": parcel,
            "kind": kind[piece].tolist(),
            "true_code": [code[k] or None for k in piece],
            "area_ha": area,
        },
        schema={
            "parcel": pl.Int64, "kind": pl.String, "true_code": pl.String, "area_ha": pl.Float64,
        },
    )  # fmt: skip
    whole = pl.DataFrame(
        {"parcel": np.arange(len(outlines)), "parcel_id": ids, "whole": shapely.area(outlines) / 1e4}
    )
    known = inside.group_by("parcel", "kind", "true_code").agg(pl.col("area_ha").sum())
    rest = whole.join(inside.group_by("parcel").agg(found=pl.col("area_ha").sum()), on="parcel", how="left")
    beyond = rest.select(
        "parcel",
        kind=pl.lit("beyond"),
        true_code=pl.lit(None, pl.String),
        area_ha=pl.max_horizontal(pl.col("whole") - pl.col("found").fill_null(0), 0.0),
    )
    table = pl.concat([known, beyond]).filter(pl.col("area_ha") > 1e-6).join(whole, on="parcel")
    table = table.with_columns(share=pl.col("area_ha") / pl.col("whole"))
    return table.select(TRUE_COMPOSITION.names()).sort(
        "parcel_id", "area_ha", "kind", "true_code", descending=[False, True, False, False]
    )


def _land(world: World) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the shapes of the farmed land, which share no ground, and kind and code of each."""
    parcels, parts = np.array(world.parcels, object), np.array(world.parts, object)
    water = [shape for shape, name in zip(world.covers, world.cover_kinds, strict=True) if name == "water"]
    ponds = np.array(water, object)
    own = parcels.copy()
    for shape, mine in zip(parts, world.owner, strict=True):
        own[mine] = shapely.difference(own[mine], shape)
    shapes = np.concatenate([own, parts])
    touched = shapely.STRtree(shapes).query(ponds, predicate="intersects").T
    for pond, hit in touched:
        shapes[hit] = shapely.difference(shapes[hit], ponds[pond])
    code = world.fields.code[: len(shapes)].astype(object)
    kind = np.where(code == "", "unsown", "crop").astype(object)
    return (
        np.concatenate([shapes, ponds]),
        np.concatenate([kind, np.full(len(ponds), "water", object)]),
        np.concatenate([code, np.full(len(ponds), "", object)]),
    )
