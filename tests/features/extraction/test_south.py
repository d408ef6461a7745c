"""South of the equator, a season over New Year: from the catalog to a series of dekads."""

from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from features.catalog.reader import read_acquisitions
from features.extraction.extract import extract
from features.extraction.observations import read_observations
from features.extraction.options import ExtractOptions
from features.series.options import SeriesOptions
from features.series.parcel_series import build_series
from pipelines.inputs.region import bounds_of
from tests.features.catalog.test_reader import optical, write_catalog
from tests.small_imagery import write_tif

LEFT, TOP = 350_000.0, 6_900_000.0  # UTM 35S, near Bloemfontein
SEASON = (date(2023, 11, 1), date(2024, 2, 29))


def test_a_southern_season_over_new_year_is_read_step_by_step(tmp_path: Path) -> None:
    field = shapely.box(LEFT + 100, TOP - 200, LEFT + 200, TOP - 100)
    parcels = gpd.GeoDataFrame({"parcel_id": ["1"]}, geometry=[field], crs=32735)
    west, south, east, north = bounds_of(parcels)
    assert -29 < south < north < -27
    items = []
    for day, number in (("2023-12-25", 2000), ("2024-01-04", 3000)):
        item = optical(
            day, datetime=f"{day}T07:50:31Z", **{"grid:code": "MGRS-35JLJ", "proj:code": "EPSG:32735"}
        )
        item["bbox"] = [west - 0.01, south - 0.01, east + 0.01, north + 0.01]
        here = tmp_path / "catalog" / "items" / day
        for name, key, value in (("B04", "red", number), ("SCL", "scl", 4)):
            size = 40 if key == "red" else 20
            values = np.full((size, size), value, np.uint16 if key == "red" else np.uint8)
            write_tif(here / f"{name}.tif", values, 400 / size, corner=(LEFT, TOP), epsg=32735)
        item["assets"] = {key: item["assets"][key] for key in ("red", "scl")}
        items.append(item)
    acquisitions, tally = read_acquisitions(
        write_catalog(tmp_path / "catalog", *items), (west, south, east, north), *SEASON
    )
    assert (acquisitions["tile"].to_list(), tally.set_aside) == (["35JLJ", "35JLJ"], {})
    extract(
        acquisitions, parcels, ExtractOptions(optical=("B04",), radar=(), inner_buffer_m=0), tmp_path / "o"
    )
    series = build_series(
        read_observations(tmp_path / "o"), ["1"], SeriesOptions(statistics=("mean",)), *SEASON
    )
    values = series["value"].sel(parcel="1", feature="B04", statistic="mean").dropna("time")
    assert [str(time)[:10] for time in values["time"].values] == ["2023-12-21", "2024-01-01"]
    assert values.values.tolist() == pytest.approx([0.1, 0.2], abs=1e-6)
