"""Stored methods of cloud removal: what somebody altered, with its hash, is a sentence before it is used."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.errors import ModelError
from features.files import sha256
from models.arrays_file import describe_arrays
from models.clouds.methods import build, load
from models.clouds.removal.bundle import META, WEIGHTS
from models.clouds.removal.remover import Remover
from tests.benchmarks.data.cloud_data import made_up

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def fitted() -> Remover:
    method = build("linear")
    assert method is not None
    return method.fit([made_up(2, size=24, dates=12).stack])


@pytest.mark.parametrize(
    "change",
    [
        lambda meta: meta.update(name="oracle"), lambda meta: meta.pop("name"),
        lambda meta: meta.update(parameters={"more": 1}), lambda meta: meta.update(parameters=[]),
        lambda meta: meta.update(bands=3), lambda meta: meta.pop("bands"),
        lambda meta: meta.update(name="unet", options={"width": 10**9}),
        lambda meta: meta.update(name="unet", options={}, members=[]),
    ],
)  # fmt: skip
def test_a_description_that_cannot_be_is_a_sentence(change: Change, fitted: Remover, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    meta = json.loads((tmp_path / META).read_text())
    change(meta)
    (tmp_path / META).write_text(json.dumps(meta))
    with pytest.raises(ModelError, match=r"cannot be read as a method of cloud removal"):
        load(tmp_path)


@pytest.mark.parametrize(
    "arrays",
    [{}, {"gap_sigma": np.full((7, 2), np.inf)}, {"gap_sigma": np.array(["a"])}, {"other": np.ones(3)}],
)
def test_other_arrays_are_refused_though_their_hash_is_right(
    arrays: dict[str, np.ndarray], fitted: Remover, tmp_path: Path
) -> None:
    fitted.save(tmp_path)
    np.savez(tmp_path / WEIGHTS, **arrays)  # type: ignore[arg-type]
    meta = json.loads((tmp_path / META).read_text()) | {"weights_sha256": sha256(tmp_path / WEIGHTS)}
    if arrays and arrays.get("gap_sigma", np.ones(1)).dtype.kind == "f":
        meta["arrays"] = describe_arrays(tmp_path / WEIGHTS)
    (tmp_path / META).write_text(json.dumps(meta))
    with pytest.raises(ModelError):
        load(tmp_path)
