"""What changed from one run of a folder to the next: acquisitions, verdicts, and what was new for them."""

from datetime import datetime
from typing import Any

import polars as pl

from features.catalog.duplicates import ONE_PASS
from models.assessment.field_results import SETTLED

ACQUISITION_CHANGES = pl.Schema(
    {
        "item_id": pl.String(),
        "sensor": pl.String(),
        "tile": pl.String(),
        "datetime": pl.Datetime("us"),
        "change": pl.String(),  # one of ACQUISITION_KINDS
        "replaces": pl.String(),  # item id of the earlier run
        "baseline_before": pl.String(),
        "baseline": pl.String(),
    }
)
NEW, LATE, REPROCESSED, RENEWED, GONE = ACQUISITION_KINDS = ("new", "late", "reprocessed", "renewed", "gone")
SEEN = ("item_id", "sensor", "tile", "datetime", "platform", "relative_orbit", "processing_baseline", "stamp")

VERDICT_CHANGES = pl.Schema(
    {
        "parcel_id": pl.String(),
        "change": pl.String(),  # one of PARCEL_KINDS
        "before": pl.String(),
        "now": pl.String(),
        "reason_before": pl.String(),
        "reason": pl.String(),
        "declared_before": pl.String(),
        "declared": pl.String(),
        "predicted_before": pl.String(),
        "predicted": pl.String(),
        "why": pl.List(pl.String()),  # of WHY
        "area_ha": pl.Float32(),
    }
)
CHANGED, NEW_PARCEL, GONE_PARCEL = PARCEL_KINDS = ("changed", "new", "gone")
WHY = ("declaration", "field_result", "new_dates", "model", "rules", "others")
JUDGED = ("parcel_id", "declared", "verdict", "reason", "predicted", "n_observations", "area_ha")
SETTLED_BY_FIELD = tuple(reason for _, reason in SETTLED.values())


def changed_acquisitions(before: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """Return ACQUISITION_CHANGES, in order of time.

    A scene that was not there is `new`; `late` where the earlier run had a later one of its sensor and tile;
    `reprocessed` where it stands in the place of another item or baseline of the same pass, within five
    minutes; `renewed` where the item is the same and its files are others. A scene that is no longer there,
    and that none replaces, is `gone`.

    Parameters
    ----------
    before, now
        Columns SEEN, one row an acquisition.
    """
    old = {row["item_id"]: row for row in before.iter_rows(named=True)}
    there = {row["item_id"]: row for row in now.iter_rows(named=True)}
    lost = [row for name, row in old.items() if name not in there]
    newest: dict[tuple[object, object], datetime] = {}
    for row in old.values():
        key = (row["sensor"], row["tile"])
        newest[key] = max(newest.get(key, row["datetime"]), row["datetime"])
    rows, replaced = [], set()
    for name, row in there.items():
        known = old.get(name)
        if known is not None:
            if known["processing_baseline"] != row["processing_baseline"]:
                rows.append(_acquisition(row, REPROCESSED, known))
            elif known["stamp"] != row["stamp"]:
                rows.append(_acquisition(row, RENEWED, known))
            continue
        earlier = next((other for other in lost if _one_pass(other, row)), None)
        if earlier is not None:
            replaced.add(earlier["item_id"])
            rows.append(_acquisition(row, REPROCESSED, earlier))
        else:
            last = newest.get((row["sensor"], row["tile"]))
            rows.append(_acquisition(row, LATE if last and row["datetime"] < last else NEW, None))
    rows += [_acquisition(row, GONE, None) for row in lost if row["item_id"] not in replaced]
    return pl.DataFrame(rows, schema=ACQUISITION_CHANGES, orient="row").sort("datetime", "item_id")


def _one_pass(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two rows are the same look of one satellite at one tile."""
    same = all(one[name] == other[name] for name in ("sensor", "tile", "platform", "relative_orbit"))
    return same and abs(one["datetime"] - other["datetime"]) <= ONE_PASS


def _acquisition(
    row: dict[str, object], change: str, replaced: dict[str, object] | None
) -> tuple[object, ...]:
    before = (replaced["item_id"], replaced["processing_baseline"]) if replaced else (None, None)
    return (
        *(row[name] for name in ("item_id", "sensor", "tile", "datetime")),
        change,
        *before,
        row["processing_baseline"],
    )


def changed_verdicts(
    before: pl.DataFrame, now: pl.DataFrame, *, model: bool = False, rules: bool = False
) -> pl.DataFrame:
    """Return VERDICT_CHANGES of the parcels whose verdict changed, that are new, or that are gone.

    `why` names what was new for a parcel, not what alone decided: its declaration, a field result, dates on
    which it was seen, the models, the rules; `others` where nothing of its own was, as calibration and error
    rates are learned from all parcels together.

    Parameters
    ----------
    before, now
        Columns JUDGED, one row a parcel.
    model, rules
        Whether models, or rules, are others than before.
    """
    old = before.select(JUDGED).rename({name: f"{name}_before" for name in JUDGED if name != "parcel_id"})
    both = old.join(now.select(JUDGED), on="parcel_id", how="full", coalesce=True, validate="1:1")
    change = (
        pl.when(pl.col("verdict_before").is_null())
        .then(pl.lit(NEW_PARCEL))
        .when(pl.col("verdict").is_null())
        .then(pl.lit(GONE_PARCEL))
        .when(pl.col("verdict") != pl.col("verdict_before"))
        .then(pl.lit(CHANGED))
    )
    settled = pl.col("reason").is_in(SETTLED_BY_FIELD), pl.col("reason_before").is_in(SETTLED_BY_FIELD)
    tests = {
        "declaration": pl.col("declared").ne_missing(pl.col("declared_before")),
        "field_result": settled[0] != settled[1],
        "new_dates": pl.col("n_observations").ne_missing(pl.col("n_observations_before")),
        "model": pl.lit(model),
        "rules": pl.lit(rules),
    }
    found = [pl.when(test).then(pl.lit(name)) for name, test in tests.items()]
    why = pl.concat_list(found).list.drop_nulls()
    others = pl.when(why.list.len() > 0).then(why).otherwise(pl.lit(["others"]))
    return (
        both.with_columns(change=change, before="verdict_before", now="verdict")
        .filter(pl.col("change").is_not_null())
        .with_columns(
            why=pl.when(pl.col("change") == CHANGED).then(others).otherwise(pl.lit([], pl.List(pl.String))),
            area_ha=pl.coalesce("area_ha", "area_ha_before"),
        )
        .select(VERDICT_CHANGES.names())
        .cast(VERDICT_CHANGES)
        .sort("parcel_id")
    )
