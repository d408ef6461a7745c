from datetime import date

import polars as pl

from models.events.evaluate import event_scores
from models.events.table import SEEN


def test_a_season_may_cross_new_year_and_begin_in_october() -> None:
    """Found: 3 January for 28 December, and 20 October of the second year for that of the first: no hit."""
    found = pl.DataFrame(
        {
            "parcel_id": ["a", "b"],
            "event": ["ploughing", "ploughing"],
            "date": [date(2025, 1, 3), date(2025, 10, 20)],
            "reason": [SEEN, SEEN],
        }
    )
    known = found.select("parcel_id", "event", first=pl.Series([date(2024, 12, 28), date(2024, 10, 20)]))
    scores = event_scores(found, known, ["a", "b"], {}, {})
    value = dict(scores.filter(pl.col("event") == "ploughing").select("metric", "value").iter_rows())
    assert (value["precision"], value["recall"], value["date_bias_days"]) == (0.5, 0.5, 6)
