"""The recurrent network learns a change, repeats itself, and says where weights do not fit."""

import numpy as np
import pytest

from features.errors import ModelError
from models.forecast.climatology import class_curves
from models.forecast.learning.basis import basis_of
from models.forecast.learning.network import LOOKED_BACK, fit_network, run_network, sequences_of
from models.forecast.learning.samples import seen_ahead
from models.forecast.options import ForecastOptions
from tests.models.forecast.made import waves

OPTIONS = ForecastOptions(units=8, epochs=2, threads=1)


@pytest.mark.parametrize("name", list(LOOKED_BACK))
def test_it_learns_and_repeats_itself(name: str) -> None:
    known = waves(20)
    samples = seen_ahead(known, np.arange(370, 700, 10))
    basis = basis_of(known, samples, class_curves(known), 729)
    sequences = sequences_of(known, samples, basis, name, (), None)
    assert sequences.past.shape[1:] == (LOOKED_BACK[name][1], 4)
    change = samples.truth - basis.persistence
    weights = fit_network(sequences, change, OPTIONS)
    again = fit_network(sequences, change, OPTIONS)
    assert all(np.array_equal(a, b) for a, b in zip(weights, again, strict=True))
    found = run_network(weights, sequences, 8)
    assert np.mean((found - change) ** 2) < np.mean(change**2)


def test_weights_of_other_inputs_are_refused() -> None:
    known = waves(4)
    samples = seen_ahead(known, np.arange(370, 400, 10))
    basis = basis_of(known, samples, class_curves(known))
    sequences = sequences_of(known, samples, basis, "lstm", (), None)
    with pytest.raises(ModelError, match="of other inputs than the run has"):
        run_network([np.zeros((3, 3))], sequences, 8)
