"""How an index follows one of its bands: the derivative of its formula."""

import numpy as np
import pytest

from features.indices.derivatives import derivative
from features.indices.formulas import INDICES, evaluate, find_index

STEP = 1e-3


@pytest.mark.parametrize("name", [*INDICES, "savi", "ireci", "mtci", "gari"])
def test_derivatives_are_those_of_small_differences(name: str) -> None:
    formula = find_index(name).formula
    rng = np.random.default_rng(0)
    bands = {band: np.float32(rng.uniform(0.1, 0.6, 50)) for band in find_index(name).bands}
    for band, line in bands.items():
        above, below = (evaluate(formula, bands | {band: line + np.float32(h)}) for h in (STEP, -STEP))
        expected = (above - below) / np.float32(2 * STEP)
        found = np.broadcast_to(evaluate(derivative(formula, band), bands), line.shape)
        smooth = np.isfinite(expected) & (np.abs(expected) < 50)
        assert smooth.any()
        np.testing.assert_allclose(found[smooth], expected[smooth], rtol=0.02, atol=2e-3)


@pytest.mark.parametrize(
    ("formula", "band", "expected"),
    [
        ("B04 * B04 - 3", "B04", "B04 + B04"),
        ("-B04 + +B08", "B04", "-1"),
        ("log10(B04)", "B04", "1 / (2.302585092994046 * B04)"),
        ("sqrt(B04)", "B04", "1 / (2 * sqrt(B04))"),
        ("B04 ** 2", "B04", "2 * power(B04, 2 - 1)"),
        ("B04", "B08", "0"),
    ],
)
def test_derivatives_on_paper(formula: str, band: str, expected: str) -> None:
    assert derivative(formula, band) == expected
