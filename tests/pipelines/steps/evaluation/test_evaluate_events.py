from datetime import date

import polars as pl

from pipelines.steps.evaluation.evaluate_events import dated


def test_an_event_of_an_interval_is_dated_by_its_middle_and_one_that_lasts_by_its_first_day() -> None:
    first, last = date(2024, 6, 1), date(2024, 6, 21)
    events = pl.DataFrame({"event": ["mowing", "bare_soil", "grazing"], "first": first, "last": last})
    assert dated(events)["first"].to_list() == [date(2024, 6, 11), first, first]
    assert dated(events).schema["first"] == pl.Date
