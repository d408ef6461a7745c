"""What was done on the parcels of a simulated region: the hidden truth, and what an agency was told of it."""

from datetime import date, timedelta

import numpy as np
import polars as pl

from features.simulate.randomness import generator
from features.simulate.region.world import World

MAIN_SHARE = 0.5  # of a parcel's area: what was done on so much of it counts as done on the parcel
NOTHING = "none"


def true_events(world: World, season: int, ids: list[str]) -> pl.DataFrame:
    """Return every event of the season: `parcel_id, event, first, last, share` (of the parcel's area).

    Only evaluation may read it.
    """
    row, event, first, last = world.diary.table()
    n = len(world.parcels)
    area = np.array([parcel.area for parcel in world.parcels])
    part = np.array([shape.area for shape in world.parts])
    rest = area.copy()
    np.subtract.at(rest, world.owner, part)
    parcel = np.where(row < n, row, world.owner[np.maximum(row - n, 0)] if len(part) else row)
    own = np.concatenate([rest / area, part / area[world.owner]]) if len(part) else rest / area
    begins = date(season, 1, 1)
    inside = (first >= 0) & (first < (date(season + 1, 1, 1) - begins).days)
    return pl.DataFrame(
        {
            "parcel_id": [ids[k] for k in parcel[inside]],
            "event": event[inside].tolist(),
            "first": [begins + timedelta(days=int(day)) for day in first[inside]],
            "last": [begins + timedelta(days=int(day)) for day in last[inside]],
            "share": own[row[inside]],
        },
        schema={
            "parcel_id": pl.String, "event": pl.String, "first": pl.Date, "last": pl.Date,
            "share": pl.Float64,
        },
    )  # fmt: skip


def field_records(
    world: World, events: pl.DataFrame, share: float, seed: int, ids: list[str]
) -> pl.DataFrame:
    """Return what a share of the holdings wrote down and sent in: `parcel_id, event, date, until`.

    A parcel without any event has one row `none`. Only what was done on most of a parcel is written down.
    """
    rng = generator(seed, "records")
    holdings = np.unique(world.holding)
    told = rng.permutation(holdings)[: round(share * len(holdings))]
    writing = set(told.tolist())
    mine = [name for name, holding in zip(ids, world.holding, strict=True) if holding in writing]
    main = events.filter(pl.col("share") >= MAIN_SHARE).select(
        "parcel_id", "event", date="first", until="last"
    )
    written = main.filter(pl.col("parcel_id").is_in(mine)).with_columns(
        until=pl.when(pl.col("until") > pl.col("date")).then("until")
    )
    wrote = set(written["parcel_id"].to_list())
    quiet = [name for name in mine if name not in wrote]
    nothing = pl.DataFrame({"parcel_id": quiet}, schema={"parcel_id": pl.String}).with_columns(
        event=pl.lit(NOTHING), date=pl.lit(None, pl.Date), until=pl.lit(None, pl.Date)
    )
    return pl.concat([written, nothing]).sort("parcel_id", "date", "event")
