"""The parcels of a run as one table that the list filters, sorts and pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import geopandas as gpd
import numpy as np
import polars as pl

from reports.composition import INSIDE, MIXED, PARTS, inside, shares
from reports.desk.query import LARGEST_FIRST, PAGE_ROWS, Query
from reports.desk.records.decisions import Decision
from reports.run import RunTables

NEAR_DEGREES = 0.05  # a pasted place finds parcels within some five kilometres, the nearest first
SORT_KEYS = {
    "doubt": "rank",
    "hectares": "area_ha",
    "amount": "amount",
    "parcel": "place_by_parcel_id",
    "holding": "place_by_holding_id",
    "due": "due",
}
PLACED = ("parcel_id", "holding_id")  # texts that are sorted once, so that pages compare numbers
SIDES = {"parcel_id": pl.String, "direction": pl.String}  # on which side of its forecast a parcel went
FACETS = ("verdict", "reason", "crop", "intervention", "region", "anomaly", "inside")


@dataclass(frozen=True)
class Page:
    """One page of the list: `rows` as dicts, how many parcels fit, on how many pages, which this is."""

    rows: list[dict]
    found: int
    hectares: float
    pages: int
    page: int = 1
    amount: float | None = None


class Parcels:
    """All parcels of a run, with what the list shows and searches.

    Parameters
    ----------
    list_rate
        The recommended list's rate: parcels whose `q_value` is at most it are on the list.
        None: nothing is recommended.
    holdings
        Pseudonym to the agency's own number, where the agency's key is at hand.
    unit_amounts
        What an intervention pays for a hectare, where it is known: a parcel's hectares times it are at stake.
    """

    def __init__(
        self,
        run: RunTables,
        list_rate: float | None,
        holdings: Mapping[str, str] | None = None,
        unit_amounts: Mapping[str, float] | None = None,
    ) -> None:
        self.run, self.list_rate = run, list_rate
        self.holdings = dict(holdings or {})
        self.paid = bool(unit_amounts)
        self.composed = run.composition_findings is not None
        rates = pl.col("intervention").replace_strict(
            dict(unit_amounts or {"": 0.0}), default=None, return_dtype=pl.Float64
        )
        names = {code: run.crop(code) for code in run.table["declared"].unique().drop_nulls()}
        longitude, latitude = _places(run.declarations)
        place = pl.DataFrame(
            {"parcel_id": run.declarations["parcel_id"].astype(str).tolist(), "longitude": longitude,
             "latitude": latitude}
        )  # fmt: skip
        left = run.anomalies if run.anomalies is not None else pl.DataFrame(schema=SIDES)
        sides = dict(left.select(*SIDES).iter_rows())
        listed = (pl.col("q_value") <= (-1.0 if list_rate is None else list_rate)).fill_null(False)
        joined = _composed(run, run.table).join(place, on="parcel_id", how="left")
        table = joined.with_columns(
            crop=pl.col("declared").replace_strict(names, default=pl.col("declared"), return_dtype=pl.String),
            looks_like=pl.col("predicted").map_elements(run.class_name, return_dtype=pl.String),
            listed=listed,
            changed=pl.col("parcel_id").is_in(_changed(run)),
            anomaly=pl.col("parcel_id").replace_strict(sides, default=None, return_dtype=pl.String),
            amount=rates * pl.col("area_ha"),
            fits=pl.col("probability").cast(pl.Float64),
        )
        haystack = pl.concat_str(
            pl.col("parcel_id"),
            pl.col("crop").fill_null(""),
            pl.col("holding_id").fill_null(""),
            separator="\n",
        )
        order = ["q_value", "probability", "parcel_id"]
        self.table = (
            table.with_columns(haystack=haystack.str.to_lowercase())
            .with_columns(pl.col(name).rank("dense").alias(f"place_by_{name}") for name in PLACED)
            .sort(order, nulls_last=True, maintain_order=True)
            .with_row_index("rank", offset=1)
        )
        self._ground = Ground(*(self.table[name].to_numpy() for name in ("longitude", "latitude")))
        classes = self.table["crop_class"].to_numpy()
        self._alike = {name: np.flatnonzero(classes == name) for name in {*classes.tolist()} - {None}}
        self._row = {name: place for place, name in enumerate(self.table["parcel_id"].to_list())}
        self.facets = {name: self.table[name].drop_nulls().unique().sort().to_list() for name in FACETS}
        self.facets["inside"].sort(key=INSIDE.index)
        self.any_changed = bool(self.table["changed"].any())
        self._marked = _marked(run.markers)
        self.facets["marker"] = list(self._marked)

    def __contains__(self, parcel_id: str) -> bool:
        return parcel_id in self._row

    def row(self, parcel_id: str) -> dict:
        """Return one parcel's row; raises KeyError where the run has no such parcel."""
        return self.table.row(self._row[parcel_id], named=True)

    def search(self, query: Query, decisions: Mapping[str, Decision], today: date) -> Page:
        """Return the page of the list that a query asks for."""
        found = self._found(query, decisions, today)
        pages = max(-(-found.height // PAGE_ROWS), 1)
        page = min(query.page, pages)
        rows = self.table[found["rank"].slice((page - 1) * PAGE_ROWS, PAGE_ROWS) - 1].to_dicts()
        amount = float(found["amount"].sum() or 0) if self.paid else None
        return Page(rows, found.height, float(found["area_ha"].sum() or 0), pages, page, amount)

    def filtered(self, query: Query, decisions: Mapping[str, Decision], today: date) -> pl.DataFrame:
        """Return all parcels that fit a query, in its order."""
        return self.table[self._found(query, decisions, today)["rank"] - 1]

    def beside(
        self, parcel_id: str, query: Query, decisions: Mapping[str, Decision], today: date
    ) -> tuple[str, str] | None:
        """Return the parcels before and after one in a selection; empty at its ends, None where not in it."""
        rows = self._found(query, decisions, today)["rank"].to_numpy() - 1
        at = np.flatnonzero(rows == self._row[parcel_id])
        if not len(at):
            return None
        ids, place = self.table["parcel_id"], int(at[0])
        before = ids[int(rows[place - 1])] if place else ""
        return before, ids[int(rows[place + 1])] if place + 1 < len(rows) else ""

    def count(self, query: Query, decisions: Mapping[str, Decision], today: date) -> int:
        """Return how many parcels fit a query."""
        return self._found(query, decisions, today).height

    def _found(self, query: Query, decisions: Mapping[str, Decision], today: date) -> pl.DataFrame:
        """Return `rank, area_ha, amount` of what fits a query, in its order.

        Only the columns that the query names are touched; `rank` less 1 is the row of the table.
        """
        table = self.table.lazy().filter(_filters(query))
        if query.marker:
            marked = self._marked.get(query.marker, pl.Series("parcel_id", [], pl.String))
            table = table.join(marked.to_frame().lazy(), on="parcel_id", how="semi", maintain_order="left")
        if query.work or query.assignee or query.sort == "due":
            table = _by_work(table, query, decisions, today)
        if query.place is not None:
            table = _within_reach(table, query.place)
        else:
            if query.text:
                sought = query.text.lower().strip()
                fits = pl.col("haystack").str.contains(sought, literal=True)
                if query.also:
                    fits |= pl.col("holding_id").is_in(list(query.also)).fill_null(False)
                table = table.filter(fits)
            down = (query.sort in LARGEST_FIRST) != (query.down == "yes")
            if query.sort != "doubt" or down:
                table = table.sort(SORT_KEYS[query.sort], "rank", descending=[down, False], nulls_last=True)
        return table.select("rank", "area_ha", "amount").collect()

    def neighbours(self, parcel_id: str, count: int = 6) -> list[dict]:
        """Return the nearest parcels of the same declared class."""
        row = self._row[parcel_id]
        alike = self._alike.get(self.table["crop_class"][row], np.zeros(0, dtype=np.int64))
        return self.table[self._ground.nearest(row, alike[alike != row], count)].to_dicts()

    def around(self, parcel_id: str, count: int) -> pl.DataFrame:
        """Return a parcel and the nearest others, whatever grows there."""
        return self.table[self._ground.nearest(self._row[parcel_id], np.arange(self.table.height), count)]

    def of_holding(self, holding_id: str) -> list[dict]:
        """Return all parcels of a holding, those to follow up first."""
        return self.table.filter(pl.col("holding_id") == holding_id).sort("rank").to_dicts()

    def why_listed(self, row: Mapping) -> str:
        """Return the key of the sentence that says why a parcel is, or is not, on the recommended list."""
        if row["listed"]:
            return "desk.listed_yes"
        if str(row["reason"]).startswith("field_"):
            return "desk.listed_settled"
        if row["verdict"] == "contradicted":
            return "desk.listed_no_unsure"
        if row["verdict"] == "confirmed":
            return "desk.listed_no_confirmed"
        return "desk.listed_no_undecided"


def _places(declarations: gpd.GeoDataFrame) -> tuple[np.ndarray, np.ndarray]:
    points = declarations.geometry.representative_point().to_crs(4326)
    return points.x.to_numpy(), points.y.to_numpy()


def _marked(markers: pl.DataFrame | None) -> dict[str, pl.Series]:
    """Return the parcels of each requirement and state, by `requirement:state`."""
    if markers is None or markers.is_empty():
        return {}
    parts = markers.select("requirement", "state", "parcel_id").partition_by(
        "requirement", "state", as_dict=True
    )
    return {f"{name}:{state}": part["parcel_id"].unique() for (name, state), part in sorted(parts.items())}


def _changed(run: RunTables) -> list[str]:
    """Return the parcels that changed since the last run of the folder; none where there was none."""
    changes = run.evaluation.get("changes_verdicts")
    return [] if changes is None else changes["parcel_id"].to_list()


def _composed(run: RunTables, table: pl.DataFrame) -> pl.DataFrame:
    """Add `inside` and `composition`, what grows in a parcel of several parts; null without pixels."""
    if run.composition is None or run.composition_findings is None:
        return table.with_columns(inside=pl.lit(None, pl.String), composition=pl.lit(None, pl.String))
    kinds = inside(run.composition_findings)
    several = kinds.filter(pl.col("inside").is_in([MIXED, PARTS])).select("parcel_id")
    parts = run.composition.join(several, on="parcel_id", how="semi")
    words = shares(parts, run.class_name, "{:.0%}".format)
    for added in (kinds, words):
        table = table.join(added, on="parcel_id", how="left", maintain_order="left")
    return table


def _filters(query: Query) -> list[pl.Expr]:
    wanted = [pl.lit(True)]
    for name in FACETS:
        value = getattr(query, name)
        if value:
            wanted.append((pl.col(name) == value).fill_null(False))
    if query.parcel:
        wanted.append(pl.col("parcel_id") == query.parcel)
    if query.holding:
        wanted.append((pl.col("holding_id") == query.holding).fill_null(False))
    if query.listed == "yes":
        wanted.append(pl.col("listed"))
    if query.changed == "yes":
        wanted.append(pl.col("changed"))
    low, high = query.number("min_ha"), query.number("max_ha")
    if low is not None:
        wanted.append(pl.col("area_ha") >= low)
    if high is not None:
        wanted.append(pl.col("area_ha") <= high)
    return wanted


def _by_work(
    table: pl.LazyFrame, query: Query, decisions: Mapping[str, Decision], today: date
) -> pl.LazyFrame:
    made = [
        (name, d.decision, d.done, d.late(today), d.assigned_to, d.due or None)
        for name, d in decisions.items()
    ]
    standing = pl.LazyFrame(
        made,
        schema={"parcel_id": pl.String, "decision": pl.String, "done": pl.Boolean, "late": pl.Boolean,
                "assigned_to": pl.String, "due": pl.String},
        orient="row",
    )  # fmt: skip
    joined = table.join(standing, on="parcel_id", how="left", maintain_order="left")
    work = {"open": ~pl.col("done").fill_null(False), "done": pl.col("done"), "late": pl.col("late")}
    if query.work:
        wanted = work.get(query.work, pl.col("decision") == query.work)
        joined = joined.filter(wanted.fill_null(False))
    if query.assignee:
        joined = joined.filter((pl.col("assigned_to") == query.assignee).fill_null(False))
    return joined


def _within_reach(table: pl.LazyFrame, place: tuple[float, float]) -> pl.LazyFrame:
    longitude, latitude = place
    east = (pl.col("longitude") - longitude) * float(np.cos(np.radians(latitude)))
    away = (east**2 + (pl.col("latitude") - latitude) ** 2).sqrt()
    near = table.with_columns(away=away).filter(pl.col("away").is_finite() & (pl.col("away") <= NEAR_DEGREES))
    return near.sort("away", "rank")


@dataclass(frozen=True)
class Ground:
    """Where parcels lie, degrees, each `(parcel)`; NaN where a parcel has no geometry."""

    longitude: np.ndarray
    latitude: np.ndarray

    def nearest(self, row: int, among: np.ndarray, count: int) -> np.ndarray:
        """Return the rows among others `(n)` that lie nearest to one, nearest first: `(count)` or fewer; none
        where it has no place.
        """
        if not np.isfinite(self.longitude[row]):
            return np.zeros(0, dtype=np.int64)
        east = (self.longitude[among] - self.longitude[row]) * np.cos(np.radians(self.latitude[row]))
        away = east**2 + (self.latitude[among] - self.latitude[row]) ** 2
        known = np.isfinite(away)
        among, away = among[known], away[known]
        if len(among) > count:
            best = np.argpartition(away, count - 1)[:count]
            among, away = among[best], away[best]
        return np.asarray(among[np.lexsort((among, away))])
