"""How often markers are wrong, requirement by requirement, beside what was promised."""

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl

from features.declarations.schemes import Schemes
from models.evaluation.metrics import clopper_pearson
from models.verdicts.markers import Season, kept_by_labels

RATES = pl.Schema(
    {
        "requirement": pl.String,
        "metric": pl.String,  # false_alarm_rate, miss_rate, decided_share
        "promised": pl.Float64,  # null where nothing is
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,
    }
)


def marker_rates(
    markers: pl.DataFrame,
    schemes: Schemes,
    known: Mapping[str, Sequence[tuple[str, date, date]]],
    season: Season,
    alpha: float,
) -> pl.DataFrame:
    """Return the share of compliant parcels that are `not_met`, of breaches that are not, and of parcels that
    are decided (met or not met), by requirement, with Clopper-Pearson intervals.

    Parameters
    ----------
    known
        What was truly done: events, first and last day, for every parcel that is scored.
    """
    asked = {item.name: item for wanted in schemes.requirements.values() for item in wanted}
    rows: list[tuple] = []
    for (name,), table in markers.group_by("requirement", maintain_order=True):
        counts = {"kept": 0, "alarm": 0, "broken": 0, "missed": 0, "decided": 0, "all": 0}
        for parcel, state in table.select("parcel_id", "state").iter_rows():
            if parcel not in known:
                continue
            kept = kept_by_labels(asked[str(name)], known[parcel], season)
            if kept is None:
                continue
            counts["all"] += 1
            counts["decided"] += state in ("met", "not_met")
            counts["kept" if kept else "broken"] += 1
            counts["alarm"] += kept and state == "not_met"
            counts["missed"] += not kept and state != "not_met"
        for metric, promised, hits, n in (
            ("false_alarm_rate", alpha, counts["alarm"], counts["kept"]),
            ("miss_rate", None, counts["missed"], counts["broken"]),
            ("decided_share", None, counts["decided"], counts["all"]),
        ):
            value = hits / n if n else None
            low, high = clopper_pearson(hits / n, n) if n else (None, None)
            rows.append((str(name), metric, promised, value, low, high, n))
    return pl.DataFrame(rows, schema=RATES, orient="row")
