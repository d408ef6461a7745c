"""Observations onto a calendar: what is observed, what is filled, what stays missing."""

from datetime import date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import xarray as xr

from features.errors import ConfigError, CropcheckError, StageError
from features.schema import OBSERVATIONS
from features.series.calendar import make_calendar
from features.series.chunks import chunks_of
from features.series.options import CalendarName, SeriesOptions
from features.series.parcel_series import build_series, read_series, write_series
from features.series.quality import quality_in_chunks, series_quality

START, END = date(2022, 4, 1), date(2022, 4, 30)


def row(parcel: str, day: int, mean: float, feature: str = "ndvi", **changes: object) -> dict:
    values = {
        "parcel_id": parcel,
        "datetime": datetime(2022, 4, day, 10),
        "sensor": "s2",
        "relative_orbit": 8,
    }
    numbers = {
        "mean": mean,
        "std": 0.1,
        "pixel_count": 10.0,
        "valid_share": 1.0,
        "filled_share": 0.0,
        "sigma": 0.0,
    }
    return {**dict.fromkeys(OBSERVATIONS.names()), **values, **numbers, "feature": feature, **changes}


def table(*rows: dict) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=OBSERVATIONS)


def built(*rows: dict, parcels: tuple[str, ...] = ("a",), **options: object) -> xr.Dataset:
    return build_series(table(*rows), parcels, SeriesOptions(**options), START, END)


def means(series: xr.Dataset, feature: str = "ndvi", parcel: str = "a") -> list[float]:
    return series["value"].sel(parcel=parcel, feature=feature, statistic="mean").values.round(4).tolist()


def test_dates_of_a_step_are_averaged_by_their_pixels() -> None:
    series = built(row("a", 2, 0.2, pixel_count=30), row("a", 9, 0.6, pixel_count=10), row("a", 21, 0.5))
    np.testing.assert_allclose(means(series), [0.3, np.nan, 0.5])
    assert series["dates"].values[0, :, 0].tolist() == [2, 0, 1]


@pytest.mark.parametrize(("composite", "expected"), [("median", 0.6), ("least_cloudy", 0.2)])
def test_composites(composite: str, expected: float) -> None:
    rows = [row("a", 1, 0.6, valid_share=0.8), row("a", 5, 0.2), row("a", 9, 0.9, valid_share=0.7)]
    assert means(built(*rows, composite=composite))[0] == pytest.approx(expected)


def test_median_of_an_even_number_is_halfway() -> None:
    assert means(built(row("a", 1, 0.2), row("a", 5, 0.6), composite="median"))[0] == pytest.approx(0.4)


def test_a_step_is_observed_when_half_of_its_pixels_were_seen() -> None:
    series = built(
        row("a", 2, 0.2, valid_share=0.5),
        row("a", 12, 0.3, valid_share=0.49),
        row("a", 22, 0.4, valid_share=1.0, filled_share=0.6, sigma=0.05),
    )
    assert series["observed"].values[0, :, 0].tolist() == [True, False, False]
    np.testing.assert_allclose(means(series), [0.2, np.nan, 0.4])
    np.testing.assert_allclose(series["filled_share"].values[0, :, 0], [0, 0, 0.6])
    np.testing.assert_allclose(series["sigma"].values[0, :, 0], [0, 0, 0.05])


def test_a_filled_date_does_not_dilute_a_seen_one() -> None:
    assert means(built(row("a", 2, 0.2), row("a", 3, 0.9, filled_share=1.0)))[0] == pytest.approx(0.2)


def test_each_orbit_is_a_feature_and_an_absent_orbit_stays_missing() -> None:
    radar = {"sensor": "s1", "feature": "s0vh_db"}
    series = built(
        row("a", 2, -15, relative_orbit=37, **radar),
        row("b", 2, -18, relative_orbit=88, **radar),
        parcels=("a", "b", "c"),
    )
    assert series["feature"].values.tolist() == ["s0vh_db_r037", "s0vh_db_r088"]
    assert series["unit"].values.tolist() == ["dB", "dB"]
    assert means(series, "s0vh_db_r037")[0] == -15
    assert np.isnan(means(series, "s0vh_db_r088")).all()
    assert not series.sel(parcel="c")["observed"].any()


def test_parcels_unknown_dates_outside_and_until_are_left_out() -> None:
    rows = [row("a", 2, 0.2), row("z", 2, 0.9), row("a", 12, 0.3), row("a", 22, 0.5)]
    late = row("a", 1, 0.9, datetime=datetime(2022, 5, 1))
    series = build_series(table(*rows, late), ["a"], SeriesOptions(), START, END, until=date(2022, 4, 15))
    np.testing.assert_allclose(means(series), [0.2, 0.3])


def test_the_order_of_rows_and_laziness_change_nothing() -> None:
    rng = np.random.default_rng(0)
    rows = [
        row(str(i % 7), int(rng.integers(1, 30)), rng.random(), feature=f"B0{i % 3 + 2}") for i in range(200)
    ]
    whole = build_series(table(*rows), list("0123456"), SeriesOptions(), START, END)
    shuffled = build_series(table(*rows[::-1]).lazy(), list("0123456"), SeriesOptions(), START, END)
    xr.testing.assert_identical(whole, shuffled)


def test_infinities_and_nan_are_unknown() -> None:
    series = built(row("a", 2, np.inf), row("a", 12, np.nan), row("a", 13, 0.5))
    np.testing.assert_allclose(means(series), [np.nan, 0.5, np.nan])


def test_a_feature_nobody_observed_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"evi.*has ndvi"):
        built(row("a", 2, 0.2), features=("evi", "ndvi"))


def test_no_observations_at_all_gives_a_series_without_features() -> None:
    series = build_series(table(), ["a"], SeriesOptions(), START, END)
    assert dict(series.sizes) == {"parcel": 1, "time": 3, "feature": 0, "statistic": 2}


def test_written_twice_gives_the_same_bytes_and_reads_back(tmp_path: Path) -> None:
    series = built(row("a", 2, 0.2), row("b", 9, 0.6), parcels=("a", "b"))
    first, second = (write_series(series, tmp_path / name) for name in ("one.nc", "two.nc"))
    assert first.read_bytes() == second.read_bytes()
    xr.testing.assert_identical(read_series(first), series)


def test_an_absent_or_torn_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="cropcheck fill"):
        read_series(tmp_path / "none.nc")
    path = write_series(built(row("a", 2, 0.2)), tmp_path / "torn.nc")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CropcheckError, match="cannot be read"):
        read_series(path)


def weather(heat: list[float]) -> pl.DataFrame:
    days = [date(2022, 4, day + 1) for day in range(len(heat))]
    return pl.DataFrame({"date": days, "t_min_c": heat, "t_max_c": heat})


def test_thermal_steps_hold_equal_heat() -> None:
    heat = [0.0] * 10 + [10.0] * 20
    calendar = make_calendar("thermal", START, END, weather(heat), thermal_steps=4)
    assert [str(edge)[8:10] for edge in calendar.edges] == ["01", "16", "21", "26", "01"]
    assert calendar.degree_days is not None
    assert calendar.degree_days.tolist() == [0, 50, 100, 150]


def test_thermal_steps_are_distinct_days_whatever_the_weather() -> None:
    for heat in ([0.0] * 30, [0.0] * 29 + [30.0], [30.0] + [0.0] * 29):
        edges = make_calendar("thermal", START, END, weather(heat), thermal_steps=24).edges
        assert len(edges) == 25
        assert (np.diff(edges) > np.timedelta64(0)).all()


def test_thermal_time_without_weather_or_with_holes_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs daily weather"):
        make_calendar("thermal", START, END)
    with pytest.raises(ConfigError, match="lacks 10 days"):
        make_calendar("thermal", START, END, weather([5.0] * 20))


@pytest.mark.parametrize("name", ["dekad", "month", "thermal"])
def test_weather_is_needed_no_further_than_the_day_that_is_looked_at(name: CalendarName) -> None:
    heat, until = [float(day) for day in range(30)], date(2022, 4, 20)
    known, later = (make_calendar(name, START, END, weather(days), until=until) for days in (heat[:20], heat))
    np.testing.assert_array_equal(known.edges, later.edges)
    np.testing.assert_array_equal(known.degree_days, later.degree_days)


def test_steps_that_begin_after_the_day_are_left_out() -> None:
    starts = make_calendar("dekad", START, END, until=date(2022, 4, 11)).starts
    assert [str(day)[:10] for day in starts] == ["2022-04-01", "2022-04-11"]
    assert len(make_calendar("dekad", START, END, until=date(2022, 4, 10))) == 1


def test_months_and_a_season_that_ends_before_it_starts() -> None:
    assert len(make_calendar("month", date(2022, 4, 10), date(2022, 6, 2))) == 3
    with pytest.raises(ConfigError, match="swap"):
        make_calendar("month", END, START)


def test_quality_counts_dates_by_sensor_and_orbit() -> None:
    radar = {"sensor": "s1", "feature": "s0vh_db"}
    series = built(
        row("a", 2, 0.2),
        row("a", 3, 0.2),
        row("a", 2, 0.2, feature="B04"),
        row("a", 12, 0.5, filled_share=1.0, sigma=0.1),
        row("a", 2, -15, relative_orbit=37, **radar),
        row("a", 2, -15, relative_orbit=88, **radar),
        parcels=("a", "b"),
    )
    quality = series_quality(series)
    assert quality["n_observations"].to_list() == [4, 0]
    assert quality["filled_share"][0] == pytest.approx(1 / 5)
    assert quality["ndvi_spread"][0] == pytest.approx(0.1)
    assert np.isnan(quality["filled_share"][1])


def test_one_sigma_that_runs_away_does_not_speak_for_all_steps() -> None:
    filled = {"filled_share": 1.0}
    series = built(
        row("a", 2, 0.2, sigma=0.1, **filled),
        row("a", 12, 0.2, sigma=1e6, **filled),
        row("b", 2, 0.4, **filled),
        row("b", 12, 0.4, **filled),
        parcels=("a", "b"),
    )
    spread = np.sqrt((0.1**2 + 0.1**2 + 0) / 3)  # of three dekads, the last without a value
    assert series_quality(series)["sigma"][0] == pytest.approx((0.1 / spread + 3) / 2)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_quality_is_the_same_however_many_parcels_come_at_a_time(size: int) -> None:
    rng = np.random.default_rng(size)
    rows = [row(f"p{n}", day, float(rng.normal())) for n in range(7) for day in (2, 12)]
    series = built(*rows, parcels=[f"p{n}" for n in range(7)])
    chunks = [series.isel(parcel=part) for part in chunks_of(7, size)]
    assert quality_in_chunks(lambda: chunks).equals(series_quality(series))


def test_a_value_of_unknown_share_counts_as_observed() -> None:
    unknown = dict.fromkeys(("valid_share", "filled_share", "pixel_count", "sigma"))
    series = built(row("a", 2, 0.2, **unknown), row("a", 9, 0.6, **unknown))
    assert means(series)[0] == pytest.approx(0.4), "no pixel counts: dates weigh alike"
    assert series["observed"].values[0, :, 0].tolist() == [True, False, False]


def test_what_no_satellite_measured_is_no_observation() -> None:
    weather = row("a", 2, 281.0, "weather_t", sensor="other", relative_orbit=None)
    series = built(row("a", 9, 0.5), weather)
    assert series_quality(series)["n_observations"].to_list() == [1]
