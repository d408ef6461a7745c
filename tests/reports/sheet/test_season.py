"""Usual ranges of a class, and rows of a parcel."""

import numpy as np
import polars as pl

from reports.rows import RowsByParcel
from reports.sheet.season import BAND, FEWEST_OF_CLASS, _quantiles


def test_ranges_are_the_quantiles_of_what_is_known() -> None:
    rng = np.random.default_rng(0)
    members = np.where(rng.random((40, 12)) < 0.3, np.nan, rng.normal(size=(40, 12)))
    np.testing.assert_allclose(_quantiles(members), np.nanquantile(members, BAND, axis=0))


def test_a_step_that_too_few_saw_has_no_range() -> None:
    members = np.full((8, 2), np.nan)
    members[: FEWEST_OF_CLASS - 1, 0] = 0.5
    members[:FEWEST_OF_CLASS, 1] = [0.1, 0.2, 0.3, 0.4, 0.5][:FEWEST_OF_CLASS]
    found = _quantiles(members)
    assert np.isnan(found[:, 0]).all()
    assert found[1, 1] == 0.3


def test_a_parcel_has_its_own_rows_in_their_order() -> None:
    table = pl.DataFrame({"parcel_id": ["07", "7", "07", "b"], "n": [1, 2, 3, 4]})
    rows = RowsByParcel(table)
    assert [row["n"] for row in rows.of("07")] == [1, 3]
    assert [row["n"] for row in rows.of("7")] == [2]
    assert rows.of("x") == []
