"""Earlier seasons and weather as a run's forecasts take them."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.context.daily import Daily
from features.errors import ConfigError
from features.files import read_parquet
from pipelines.config import load_config
from pipelines.inputs.forecast_history import Known, _spliced, _table_of, daily_weather, usual_weather
from pipelines.stages.forecast import made_on, run
from pipelines.workspace import Workspace
from tests.models.forecast.made import ORIGIN, history


def weather(days: int, first: date = ORIGIN) -> pl.DataFrame:
    dates = [first + timedelta(days=k) for k in range(days)]
    ones = [float(k) for k in range(days)]
    return pl.DataFrame({"date": dates, "t_min_c": ones, "t_max_c": ones, "precipitation_mm": ones})


@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_a_table_of_an_earlier_season(tmp_path: Path, between: str) -> None:
    text = "parcel_id,date,ndvi\n007,2023-05-01,0.4\n"
    (tmp_path / "old.csv").write_text(text.replace(",", between))
    assert _table_of(tmp_path / "old.csv").rows() == [("007", date(2023, 5, 1), 0.4, None)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("parcel,date,ndvi\n1,2023-05-01,0.4\n", r"lacks the columns parcel_id"),
        ("parcel_id,date,ndvi\n1,1 May,0.4\n", "no table of parcel_id, date"),
        ("parcel_id,date,ndvi\n1,2023-05-01,high\n", "no table of parcel_id, date"),
    ],
)
def test_a_table_that_is_none_is_said(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "old.csv").write_text(text)
    with pytest.raises(ConfigError, match=said):
        _table_of(tmp_path / "old.csv")


def test_a_missing_table_or_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no"):
        _table_of(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="holds no declarations"):
        _table_of(tmp_path)


def test_weather_that_stops_or_has_gaps_is_unknown_there() -> None:
    daily = daily_weather(weather(5).filter(pl.col("t_min_c") != 2), ORIGIN, 3)
    temperature = daily.value[0, :, daily.names.index("t_mean_c")]
    assert np.array_equal(temperature, [0, 1, np.nan, 3, 4], equal_nan=True)
    assert daily.place.tolist() == [0, 0, 0]


def test_usual_weather_is_the_mean_of_the_years_before() -> None:
    value = np.repeat([1.0, 3.0, 100.0], 365)[None, :, None].astype(np.float32)
    usual = usual_weather(Daily(("t_mean_c",), 0, value, np.zeros(1, int)), ORIGIN)
    years = [usual.value[0, 100 + 365 * k, 0] for k in range(3)]
    assert np.isnan(years[0])  # nothing came before
    assert years[1:] == [1, 2]  # no year knows itself


def test_a_forecast_of_the_weather_follows_what_was_measured() -> None:
    before = daily_weather(weather(10), ORIGIN, 1).until(4)
    after = daily_weather(weather(3, ORIGIN + timedelta(days=4)), ORIGIN, 1)
    both = _spliced(before, after).value[0, :, 0]
    assert both.tolist() == [0, 1, 2, 3, 4, 1, 2]  # a measured day is not replaced


class Season:
    year, start, end, until = 2022, date(2022, 3, 1), date(2022, 10, 31), None


class Asked:
    season = Season

    def __init__(self, day: date | None) -> None:
        self.forecast = type("Forecast", (), {"from_day": day})


def test_the_day_of_a_forecast() -> None:
    known = history({"a": [(60, 0.3)]})
    assert made_on(Asked(None), known) == date(2022, 10, 31)  # type: ignore[arg-type]
    assert made_on(Asked(date(2022, 5, 1)), known) == date(2022, 5, 1)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"no clear image by 2022-02-01 \(the first is of 2022-03-02\)"):
        made_on(Asked(date(2022, 2, 1)), known)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="lies after 2022-10-31"):
        made_on(Asked(date(2022, 12, 1)), known)  # type: ignore[arg-type]


def test_a_run_without_any_look_ends_without_a_forecast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Known(history({"a": [], "b": []}), None)
    monkeypatch.setattr("pipelines.stages.forecast.known_history", lambda config, workspace: known)
    workspace = Workspace(tmp_path)
    outcome = run(load_config(Path("conf/tiny.yaml")), workspace, lambda done, total: None)
    assert [(t.came_in, t.set_aside) for t in outcome.tallies] == [(2, {"never_observed": 2})]
    assert read_parquet(workspace.forecast).is_empty()
    assert "no clear look" in str(outcome.facts["forecast_by"])
