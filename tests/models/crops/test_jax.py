"""The networks on JAX: the same weights to start from, the same updates, the same probabilities."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from models.crops.estimators.by_name import build
from models.explanation.gradients import network_contributions
from tests.crop_worlds import crop_world

# dropout draws from each backend's own generator, so that it is switched off
PLAIN = {"least_updates": 10, "epochs": 1, "batch": 32, "dropout": 0.0}
SMALL = {
    "dense": {"units": 8},
    "lstm": {"units": 8},
    "bilstm": {"units": 4},
    "tempcnn": {"filters": 4, "units": 8},
    "resnet": {"filters": 4, "widths": (3,)},
    "ltae": {"width": 16, "heads": 2, "units": 8},
}


def probabilities() -> dict[str, list[list[float]]]:
    """Return what each network says of a few parcels on the backend in force, and one's contributions."""
    series, y, _ = crop_world(n=64)
    few = series.isel(parcel=slice(0, 8))
    found = {}
    for name, own in SMALL.items():
        model = build(name, **PLAIN, **own).fit(series, y)
        found[name] = model.predict_proba(few).tolist()
        if name == "tempcnn":
            rng = np.random.default_rng(0)
            found["contributions"] = network_contributions(model, few, "maize", few, rng)[0].tolist()
    return found


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed (extra `gpu`)")
def test_jax_gives_what_tensorflow_gives() -> None:
    found = {}
    for backend in ("tensorflow", "jax"):
        ran = subprocess.run(
            [sys.executable, "-m", "tests.models.crops.test_jax"],
            env={**os.environ, "KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        found[backend] = json.loads(ran.stdout.splitlines()[-1])
    for name, expected in found["tensorflow"].items():
        np.testing.assert_allclose(found["jax"][name], expected, atol=2e-3, err_msg=name)


if __name__ == "__main__":
    print(json.dumps(probabilities()))
