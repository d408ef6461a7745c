from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from features.declarations.requirements import Requirement
from features.declarations.schemes import Schemes
from models.verdicts.cover import cover_of
from models.verdicts.marker_scores import marker_rates
from models.verdicts.markers import Facts, Season, at_least, breach, kept_by_labels, markers_of
from models.verdicts.outcome import join_outcomes

START, END = date(2024, 3, 1), date(2024, 10, 31)
WHOLE = Season(START, END, END)
LOOKS = [START + timedelta(days=k) for k in range(0, 240, 5)]
LATE = {"forbid": "mowing", "from": "03-01", "to": "07-15"}
HAY = {"require": "mowing", "from": "06-15", "to": "09-30"}


def cut(day: date, chance: float, length: int = 5, event: str = "mowing", part: bool = False) -> dict:
    start = day - timedelta(days=length)
    return {"event": event, "start": start, "end": day, "date": day, "chance": chance, "part": part}


def facts(*possible: dict, green: float = 0.8) -> Facts:
    return Facts(list(possible), LOOKS, [green] * len(LOOKS), [])


def one(**keys: object) -> Requirement:
    return Requirement.model_validate({"name": "r", **keys})


def mark(requirement: dict, known: Facts | None, season: Season = WHOLE, **changes: object) -> dict:
    schemes = Schemes.model_validate({"interventions": {"I": requirement}})
    declared = pl.DataFrame({"parcel_id": ["a"], "intervention": ["I"], "crop_class": ["grass"]})
    given = {"small": {}, "labels": {}, "alpha": 0.05, **changes}
    table = markers_of(declared, schemes, {"a": known} if known else {}, season=season, model_id="m", **given)
    return table.row(0, named=True)


def test_a_cut_in_the_forbidden_window_is_a_breach_and_one_after_it_is_none() -> None:
    assert mark(LATE, facts(cut(date(2024, 6, 10), 0.97)))["state"] == "not_met"
    assert mark(LATE, facts(cut(date(2024, 8, 10), 0.97)))["state"] == "met"


def test_an_interval_across_the_windows_end_counts_in_part() -> None:
    # five days from 14 to 18 July: two of them in the window
    found = breach(one(**LATE), facts(cut(date(2024, 7, 18), 1.0)), WHOLE)
    assert found.score == pytest.approx(2 / 5)
    assert mark(LATE, facts(cut(date(2024, 7, 18), 1.0)))["state"] == "inconclusive"


def test_a_required_cut_that_was_seen_is_met_before_the_window_is_over() -> None:
    early = Season(START, END, date(2024, 8, 1))
    assert mark(HAY, facts(cut(date(2024, 7, 10), 0.97)), early)["state"] == "met"
    assert mark(HAY, facts(), early)["state"] == "open"
    assert mark(HAY, facts())["reason"] == "required_event_absent"


def test_a_breach_is_told_while_its_window_is_open() -> None:
    early = Season(START, END, date(2024, 6, 1))
    assert mark(LATE, facts(cut(date(2024, 5, 10), 0.97)), early)["state"] == "not_met"
    assert mark(LATE, facts(), early)["reason"] == "window_not_over"


def test_a_window_to_come_is_open() -> None:
    winter = {"require": "green_cover", "share": 0.8, "from": "11-15", "to": "02-15"}
    assert mark(winter, facts())["reason"] == "window_not_begun"


@pytest.mark.parametrize(
    ("known", "small", "state", "reason"),
    [
        (None, {}, "no_data", "never_observed"),
        (facts(), {"a": "too_few_pixels"}, "not_monitorable", "too_few_pixels"),
        (Facts([], [date(2024, 4, 1)], [0.8], []), {}, "inconclusive", "few_observations"),
        (facts(cut(date(2024, 5, 10), 0.97, part=True)), {}, "inconclusive", "part_of_parcel"),
        (facts(cut(date(2024, 5, 10), 0.5)), {}, "inconclusive", "undecided"),
    ],
)
def test_what_cannot_be_told_says_why(known: Facts | None, small: dict, state: str, reason: str) -> None:
    found = mark(LATE, known, small=small)
    assert (found["state"], found["reason"]) == (state, reason)


def test_a_long_time_without_a_look_keeps_nothing() -> None:
    blind = Facts([], [*LOOKS[:4], *LOOKS[20:]], [0.8] * (len(LOOKS) - 16), [])
    assert mark(LATE, blind)["reason"] == "long_gap"


def test_a_bare_winter_and_eight_weeks_of_catch_crop() -> None:
    catch = {"require": "green_cover", "weeks": 8, "after": "harvest", "before": "10-31"}
    harvest = cut(date(2024, 7, 25), 0.97, event="harvest")
    green = [0.15 if date(2024, 7, 25) <= day < date(2024, 8, 10) else 0.7 for day in LOOKS]
    assert mark(catch, Facts([harvest], LOOKS, green, []))["state"] == "met"
    bare = [0.15 if day >= date(2024, 7, 25) else 0.7 for day in LOOKS]
    assert mark(catch, Facts([harvest], LOOKS, bare, []))["reason"] == "cover_absent"
    assert mark(catch, Facts([], LOOKS, green, []))["reason"] == "event_not_yet_seen"


def test_cover_is_not_known_across_long_gaps() -> None:
    assert cover_of([START, END], [0.8, 0.8], START, END) is None


def test_what_grows_by_itself_is_no_catch_crop_where_fields_that_have_one_are_known() -> None:
    """NDVI 0.5 for ten weeks, where 40 visited fields with a catch crop had 0.7 to 0.9."""
    sown = {f"sown_{k}": after_harvest(0.7 + 0.005 * k) for k in range(40)}
    weeds = {"weeds": after_harvest(0.5), "thin": after_harvest(0.68)}
    assert markers_beside(sown, {"weeds": weeds["weeds"]}, visited=False) == {"weeds": "met"}
    assert markers_beside(sown, weeds, visited=True) == {"weeds": "not_met", "thin": "met"}


def test_cover_is_not_called_absent_where_looks_are_as_far_apart_as_it_is_asked_for() -> None:
    sown = {f"sown_{k}": after_harvest(0.7 + 0.005 * k) for k in range(40)}
    bare = after_harvest(0.2)
    hidden = [k for k, day in enumerate(LOOKS) if not date(2024, 8, 5) < day < date(2024, 10, 5)]
    unseen = Facts(bare.possible, [LOOKS[k] for k in hidden], [bare.ndvi[k] for k in hidden], [])
    assert markers_beside(sown, {"bare": bare, "unseen": unseen}, visited=True) == {
        "bare": "not_met",
        "unseen": "inconclusive",
    }


def after_harvest(ndvi: float) -> Facts:
    """Return a field with this NDVI from 10 August on, harvested on 25 July."""
    harvest = cut(date(2024, 7, 25), 0.97, event="harvest")
    return Facts([harvest], LOOKS, [ndvi if day >= date(2024, 8, 10) else 0.2 for day in LOOKS], [])


def markers_beside(kept: dict[str, Facts], others: dict[str, Facts], visited: bool) -> dict[str, str]:
    """Return the state of `others` beside fields that were visited, or not, and had a catch crop."""
    catch = {"require": "green_cover", "weeks": 8, "after": "harvest", "before": "10-31"}
    names = [*kept, *others]
    declared = pl.DataFrame(
        {"parcel_id": names, "intervention": ["I"] * len(names), "crop_class": ["wheat"] * len(names)}
    )
    done = [("harvest", date(2024, 7, 25), date(2024, 7, 25)), ("green_cover", date(2024, 8, 10), END)]
    labels = dict.fromkeys(kept, done) if visited else {}
    schemes = Schemes.model_validate({"interventions": {"I": catch}})
    table = markers_of(declared, schemes, kept | others, {}, labels, WHOLE, 0.05, "m")
    states = dict(table.select("parcel_id", "state").iter_rows())
    return {name: states[name] for name in others}


def test_at_least_two_of_three() -> None:
    assert at_least(np.array([0.5, 0.5, 0.5]), 2) == pytest.approx(0.5)
    assert at_least(np.array([]), 1) == 0


def test_labels_tell_what_was_kept() -> None:
    june, august = date(2024, 6, 20), date(2024, 8, 1)
    assert kept_by_labels(one(**LATE), [("mowing", august, august)], WHOLE) is True
    assert kept_by_labels(one(**LATE), [("mowing", june, june)], WHOLE) is False
    twice = one(**HAY, at_least=2)
    assert kept_by_labels(twice, [("mowing", june, june)], WHOLE) is False
    assert kept_by_labels(twice, [("mowing", june, june), ("mowing", august, august)], WHOLE) is True
    cover = one(require="green_cover", share=0.5, **{"from": "09-01", "to": "09-10"})
    assert kept_by_labels(cover, [("green_cover", date(2024, 9, 6), END)], WHOLE) is True
    assert kept_by_labels(cover, [("green_cover", date(2024, 9, 7), END)], WHOLE) is False


def test_at_most_alpha_of_compliant_parcels_are_not_met(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two thousand compliant parcels with some false cuts each; half of them labelled."""
    rng = np.random.default_rng(5)
    n = 2000
    ids = [f"{k}" for k in range(n)]
    known = {
        name: facts(cut(date(2024, 5, 10), float(chance)))
        for name, chance in zip(ids, rng.beta(0.6, 1.5, n), strict=True)
    }
    declared = pl.DataFrame({"parcel_id": ids, "intervention": ["I"] * n, "crop_class": ["grass"] * n})
    schemes = Schemes.model_validate({"interventions": {"I": LATE}})
    watched = {name: [] for name in ids[: n // 2]}
    table = markers_of(declared, schemes, known, {}, watched, WHOLE, 0.05, "m")
    truth = {name: [] for name in ids}
    monkeypatch.setattr("models.verdicts.markers.PARCELS_AT_ONCE", 700)
    parts = markers_of(
        declared, schemes, lambda names: {name: known[name] for name in names}, {}, watched, WHOLE, 0.05, "m"
    )
    assert parts.equals(table), "the same however many parcels are looked at together"
    rates = marker_rates(table, schemes, truth, WHOLE, 0.05)
    alarm = rates.filter(pl.col("metric") == "false_alarm_rate").row(0, named=True)
    assert alarm["n"] == n and alarm["low"] <= 0.05 <= alarm["high"] + 0.02


def test_without_labels_there_is_no_p_value() -> None:
    assert mark(LATE, facts())["p_value"] is None


def test_without_labels_many_doubtful_cuts_are_no_breach_and_a_sure_one_is() -> None:
    doubtful = [cut(date(2024, 4 + k // 2, 5 + 15 * (k % 2)), 0.4) for k in range(6)]
    assert breach(one(**LATE), facts(*doubtful), WHOLE).score > 0.9, "one of them is likely"
    assert mark(LATE, facts(*doubtful))["reason"] == "undecided"
    assert mark(LATE, facts(*doubtful, cut(date(2024, 6, 30), 0.95)))["state"] == "not_met"


def test_interventions_that_cannot_be_kept_together_are_named(caplog: pytest.LogCaptureFixture) -> None:
    early = {"require": "mowing", "from": "05-01", "to": "06-30"}
    schemes = Schemes.model_validate({"interventions": {"LATE": LATE, "EARLY": early}})
    declared = pl.DataFrame(
        {
            "parcel_id": ["a", "b", "c"],
            "intervention": ["LATE", "LATE;EARLY", None],
            "crop_class": ["grass"] * 3,
        }
    )
    markers_of(declared, schemes, {}, {}, {}, WHOLE, 0.05, "m")
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "What LATE;EARLY asks cannot be kept together (claimed on 1, first parcel b): EARLY requires mowing "
        "only while LATE forbids it."
    ]


def test_the_outcome_joins_crop_and_markers() -> None:
    verdicts = pl.DataFrame(
        {"parcel_id": ["a", "b", "c"], "verdict": ["confirmed"] * 3, "reason": ["crop_seen"] * 3}
    )
    markers = pl.DataFrame(
        {
            "parcel_id": ["a", "a", "b"],
            "requirement": ["r", "s", "r"],
            "state": ["met", "not_met", "open"],
            "reason": ["kept", "forbidden_event", "window_not_over"],
        }
    )
    joined = join_outcomes(verdicts, markers)
    assert joined["outcome"].to_list() == ["contradicted", "inconclusive", "confirmed"]
    assert joined["rests_on"].to_list() == ["s", "r", "crop"]
