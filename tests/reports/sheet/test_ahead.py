"""What a sheet shows of the days ahead."""

from datetime import date, timedelta

from reports.sheet.ahead import ahead_of
from reports.translation import translation

TEXT = translation("en")
MADE = date(2024, 7, 1)


def rows(n: int = 4) -> list[dict[str, object]]:
    return [
        {
            "made_on": MADE, "date": MADE + timedelta(days=5 * k), "ndvi": 0.5, "low_90": 0.2, "low_50": 0.4,
            "high_50": 0.6, "high_90": 0.8,
        }
        for k in range(1, n + 1)
    ]  # fmt: skip


def test_the_figure_has_the_forecast_its_bands_and_the_looks_before() -> None:
    seen = [
        (MADE - timedelta(days=100), 0.1),
        (MADE - timedelta(days=3), 0.55),
        (MADE + timedelta(days=9), 0.3),
    ]
    found = ahead_of(rows(), [], seen, TEXT)
    assert found.figure is not None
    assert found.figure.count('class="dot"') == 1  # the look of the last weeks; what came later is not shown
    assert "1 Jul" in found.note
    assert found.anomaly is None


def test_an_anomaly_is_a_sentence() -> None:
    row = {
        "since": date(2024, 6, 3), "until": date(2024, 6, 20), "direction": "below", "looks": 3,
        "events": ["mowing 2024-06-01"],
    }  # fmt: skip
    said = ahead_of([], [row], [], TEXT).anomaly
    assert said is not None
    assert "below" in said
    assert "3" in said
    assert "Mowing 1 Jun" in said


def test_without_a_forecast_there_is_no_figure() -> None:
    assert ahead_of([], [], [(MADE, 0.5)], TEXT).figure is None
