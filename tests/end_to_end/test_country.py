"""The generator of a country's series: what the benchmark stands on."""

import numpy as np
import polars as pl

from tests.benchmarks.country import BANDS, DERIVED, PER_FILE, RADAR, canopy, chunks


def test_every_parcel_is_there_once_in_one_file_with_its_features() -> None:
    tables = list(chunks(PER_FILE + 16))
    whole = pl.concat(tables)
    assert [table["parcel_id"].n_unique() for table in tables] == [PER_FILE, 16]
    assert whole["parcel_id"].n_unique() == PER_FILE + 16
    assert {*BANDS, *DERIVED, *RADAR} <= set(whole.columns)
    assert len({*BANDS, *DERIVED, *RADAR}) == 20
    assert whole["date"].n_unique() == 72
    holdings = whole.unique("parcel_id").group_by("farm").len()["len"]
    assert holdings.unique().to_list() == [8]


def test_clouds_hide_places_and_not_radar() -> None:
    table = next(chunks(400))
    optical, radar = table.filter(pl.col("B08").is_not_null()), table.filter(pl.col("cohvv").is_not_null())
    assert 0.45 < len(optical) / (400 * 36) < 0.65
    assert len(radar) == 400 * 36


def test_crops_differ_in_when_they_are_green() -> None:
    green = canopy(np.arange(20), np.zeros(20), np.arange(0, 252, 7))
    assert (green > 0).all() and (green < 1).all()
    apart = np.abs(green[:, None] - green[None]).max(2)
    assert apart[~np.eye(20, dtype=bool)].min() > 0.02
