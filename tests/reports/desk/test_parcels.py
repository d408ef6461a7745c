"""The list: every parcel is found, by id, crop, holding, place and state of work; decisions are kept."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from features.errors import ConfigError
from reports.desk.parcels import Parcels
from reports.desk.query import Query
from reports.desk.records.decisions import ConflictError, Decisions, Wish
from reports.desk.records.store import Store, local_url
from tests.mock_run import make_run

TODAY = date(2026, 5, 1)
RUN = make_run(300, light=True)
PARCELS = Parcels(RUN, list_rate=0.2)


@pytest.fixture
def decisions(tmp_path: Path) -> Decisions:
    return Decisions(Store(local_url(tmp_path)))


def ids(query: Query, made: Decisions | None = None) -> list[str]:
    return PARCELS.filtered(query, made.standing() if made else {}, TODAY)["parcel_id"].to_list()


def test_every_parcel_is_on_the_list_whatever_its_verdict() -> None:
    assert sorted(ids(Query())) == sorted(RUN.verdicts["parcel_id"])
    confirmed = RUN.verdicts.filter(pl.col("verdict") == "confirmed")["parcel_id"][0]
    assert ids(Query(text=confirmed)) == [confirmed]


def test_filters_are_those_of_the_table() -> None:
    for name in ("verdict", "reason", "intervention", "region"):
        value = PARCELS.facets[name][0]
        expected = RUN.table.filter(pl.col(name) == value)["parcel_id"]
        assert sorted(ids(Query(**{name: value}))) == sorted(expected), name
    assert set(ids(Query(listed="yes"))) == set(RUN.verdicts.filter(pl.col("q_value") <= 0.2)["parcel_id"])
    large = RUN.verdicts.filter(pl.col("area_ha") >= 2.5)["parcel_id"]
    assert sorted(ids(Query(min_ha="2,5"))) == sorted(large)


def test_a_pasted_place_finds_the_parcel_that_lies_there() -> None:
    row = PARCELS.row("000042")
    assert ids(Query(text=f"{row['latitude']:.6f}, {row['longitude']:.6f}"))[0] == "000042"


def test_text_is_no_pattern() -> None:
    assert ids(Query(text=".*")) == []
    assert ids(Query(text="[")) == []
    wheat = RUN.table.filter(pl.col("declared") == "001")["parcel_id"]
    assert sorted(ids(Query(text="WINTER WHEAT"))) == sorted(wheat)


def test_a_requirement_and_its_state_filter() -> None:
    names, states = ["2", "1", "3"], ["not_met", "met", "not_met"]
    markers = pl.DataFrame({"parcel_id": [f"00000{name}" for name in names], "requirement": "mown: by July",
                            "state": states})  # fmt: skip
    parcels = Parcels(replace(RUN, markers=markers), 0.2)
    assert parcels.facets["marker"] == ["mown: by July:met", "mown: by July:not_met"]
    found = parcels.filtered(Query(marker="mown: by July:not_met", sort="parcel"), {}, TODAY)
    assert found["parcel_id"].to_list() == ["000002", "000003"]
    assert parcels.filtered(Query(marker="other:met"), {}, TODAY).is_empty()


def test_amounts_at_stake_are_hectares_times_what_an_intervention_pays() -> None:
    one, other = PARCELS.facets["intervention"][:2]
    parcels = Parcels(RUN, 0.2, unit_amounts={one: 200.0, other: 50.0})
    table = parcels.filtered(Query(sort="amount"), {}, TODAY)
    known = table.drop_nulls("amount")
    assert known["amount"].to_list() == sorted(known["amount"], reverse=True)
    assert set(known["intervention"]) == {one, other}
    assert table["amount"].is_null()[known.height :].all(), "what is not known stands last"
    first = known.filter(pl.col("intervention") == one).row(0, named=True)
    assert first["amount"] == pytest.approx(200 * first["area_ha"])
    assert parcels.search(Query(), {}, TODAY).amount == pytest.approx(known["amount"].sum())
    assert PARCELS.search(Query(), {}, TODAY).amount is None


def test_orders() -> None:
    hectares = PARCELS.filtered(Query(sort="hectares"), {}, TODAY)["area_ha"].to_list()
    assert hectares == sorted(hectares, reverse=True)
    assert ids(Query(sort="parcel"))[:2] == ["000001", "000002"]
    assert ids(Query(sort="parcel", down="yes"))[0] == "000300"
    q = PARCELS.filtered(Query(), {}, TODAY)["q_value"].drop_nulls().to_list()
    assert q == sorted(q)


def test_pages_share_no_row_and_together_hold_all() -> None:
    first = PARCELS.search(Query(), {}, TODAY)
    assert (first.found, first.pages) == (300, 6)
    rows = [
        row["parcel_id"] for page in range(1, 7) for row in PARCELS.search(Query(page=page), {}, TODAY).rows
    ]
    assert len(rows) == len(set(rows)) == 300
    assert PARCELS.search(Query(page=99), {}, TODAY).rows == PARCELS.search(Query(page=6), {}, TODAY).rows


def test_the_address_holds_the_query() -> None:
    query = Query(text="a & b", verdict="confirmed", page=3, sort="hectares")
    from urllib.parse import parse_qsl

    assert Query.of(dict(parse_qsl(query.address()))) == query
    assert Query.of({"page": "-1", "sort": "x", "junk": "1"}) == Query()


def test_a_decision_stands_until_it_is_taken_back(decisions: Decisions) -> None:
    [entry] = decisions.save("anna", Wish("visit", "look", "bert", "2026-04-30"), [("000042", "m1")], {})
    standing = decisions.of("000042")
    assert standing is not None
    assert (standing.decision, standing.assigned_to, standing.model_id) == ("visit", "bert", "m1")
    assert ids(Query(work="late"), decisions) == ["000042"]
    assert ids(Query(assignee="bert"), decisions) == ["000042"]
    assert len(ids(Query(work="open"), decisions)) == 300
    decisions.undo("anna", entry.number)
    assert decisions.of("000042") is None
    with pytest.raises(ConfigError, match="no decision that stands"):
        decisions.undo("anna", entry.number)


def test_the_second_of_two_officers_sees_the_first(decisions: Decisions) -> None:
    other = Decisions(decisions.store)
    decisions.save("anna", Wish("in_order"), [("000042", "m1")], {"000042": 0})
    with pytest.raises(ConflictError) as seen:
        other.save("bert", Wish("visit"), [("000042", "m1")], {"000042": 0})
    assert seen.value.standing is not None
    assert (seen.value.standing.by, seen.value.standing.decision) == ("anna", "in_order")
    other.save("bert", Wish("visit"), [("000042", "m1")], {"000042": seen.value.standing.number})
    assert decisions.of("000042").decision == "visit"  # type: ignore[union-attr]


def test_many_at_once_are_saved_all_or_none(decisions: Decisions) -> None:
    decisions.save("anna", Wish("in_order"), [("000002", "m1")], {})
    with pytest.raises(ConflictError):
        decisions.save("bert", Wish("visit"), [("000001", "m1"), ("000002", "m1")], {})
    assert set(decisions.standing()) == {"000002"}


@pytest.mark.parametrize(
    ("wish", "said"),
    [(Wish("sanction"), "no decision 'sanction'"), (Wish("visit", due="31.5.2026"), "not a date"),
     (Wish("visit", "x" * 4001), "at most 4000")],
)  # fmt: skip
def test_decisions_that_cannot_be(decisions: Decisions, wish: Wish, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        decisions.save("anna", wish, [("000001", "m1")], {})


def test_why_a_parcel_is_on_the_list_or_not_is_always_said() -> None:
    said = {PARCELS.why_listed(row) for row in PARCELS.table.iter_rows(named=True)}
    assert {"desk.listed_yes", "desk.listed_no_confirmed", "desk.listed_no_undecided"} <= said


def test_neighbours_grow_what_was_declared_here() -> None:
    own = PARCELS.row("000042")["crop_class"]
    near = PARCELS.neighbours("000042")
    assert len(near) == 6
    assert {row["crop_class"] for row in near} == {own}


def test_before_and_after_are_those_of_the_selection() -> None:
    listed = ids(Query(sort="hectares"))
    assert PARCELS.beside(listed[0], Query(sort="hectares"), {}, TODAY) == ("", listed[1])
    assert PARCELS.beside(listed[7], Query(sort="hectares"), {}, TODAY) == (listed[6], listed[8])
    assert PARCELS.beside(listed[-1], Query(sort="hectares"), {}, TODAY) == (listed[-2], "")
    confirmed = ids(Query(verdict="confirmed"))[0]
    assert PARCELS.beside(confirmed, Query(verdict="contradicted"), {}, TODAY) is None


def test_the_nearest_come_first_and_a_parcel_without_a_place_has_none() -> None:
    own = PARCELS.row("000042")
    away = [
        abs(row["longitude"] - own["longitude"]) + abs(row["latitude"] - own["latitude"])
        for row in PARCELS.around("000042", 300).to_dicts()[:40]
    ]
    assert away[0] == 0
    assert away[1] < away[-1]
    placeless = PARCELS.table.filter(~pl.col("longitude").is_finite())["parcel_id"]
    assert [PARCELS.neighbours(name) for name in placeless] == [[]] * len(placeless)


def test_sorting_by_holding_or_parcel_is_by_their_texts() -> None:
    for sort, column in (("parcel", "parcel_id"), ("holding", "holding_id")):
        for down in ("", "yes"):
            found = PARCELS.filtered(Query(sort=sort, down=down), {}, TODAY)[column].to_list()
            assert found == sorted(found, reverse=bool(down))
