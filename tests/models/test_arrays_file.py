"""Stored arrays are those that were noted, or are refused before anything large is read."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.errors import ModelError
from models.arrays_file import describe_arrays, read_arrays, read_recipe_json


def stored(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


WEIGHTS = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(1.5)}
NOTED = {"w": [[2, 3], "<f4"], "b": [[], "<f8"]}


def test_arrays_come_back_as_they_were_noted(tmp_path: Path) -> None:
    path = stored(tmp_path / "w.npz", **WEIGHTS)
    assert describe_arrays(path) == NOTED
    found = read_arrays(path, NOTED)
    assert set(found) == {"w", "b"}
    np.testing.assert_array_equal(found["w"], WEIGHTS["w"])


@pytest.mark.parametrize(
    "noted",
    [None, [], {}, {"w": [[2, 3], "<f4"]}, NOTED | {"b": [[1], "<f8"]}, NOTED | {"w": [[2, 3], "<f8"]},
     NOTED | {"c": [[], "<f8"]}],
)  # fmt: skip
def test_other_arrays_than_noted_are_refused(noted: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="other arrays than its recipe names"):
        read_arrays(stored(tmp_path / "w.npz", **WEIGHTS), noted)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_are_finite(value: float, tmp_path: Path) -> None:
    path = stored(tmp_path / "w.npz", w=np.array([1, value]))
    with pytest.raises(ModelError, match="not finite, in w"):
        read_arrays(path, describe_arrays(path))


def test_nan_stands_for_unknown_where_it_may(tmp_path: Path) -> None:
    path = stored(tmp_path / "w.npz", w=np.array([1, np.nan]))
    assert np.isnan(read_arrays(path, describe_arrays(path), may_lack=("w",))["w"][1])


def packed(path: Path, name: str, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
    return path


def header(shape: tuple[int, ...], dtype: str) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("w.npy", header((10**9,), "<f8")),  # declares 8 GB, holds none
        ("w.npy", header((2,), "|O") + b"\0" * 16),  # objects
        ("w.npy", header((2,), "<U4") + b"\0" * 32),  # text
        ("w.npy", header((-1,), "<f8") + b"\0" * 8),
        ("w.npy", b"\x93NUMPY\x01\x00\xff\xffx"),
        ("w.txt", b"1 2 3"),
        ("w.npy", b""),
    ],
)
def test_members_that_are_no_arrays_are_refused(name: str, content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no file of arrays"):
        describe_arrays(packed(tmp_path / "w.npz", name, content))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """Arrays of a model are stored as they are: a file that unpacks to more than it has is none of ours."""
    path = packed(tmp_path / "w.npz", "w.npy", header((100_000,), "<f8") + b"\0" * 800_000)
    assert path.stat().st_size < 2_000
    with pytest.raises(ModelError, match="would unpack to 800,000 bytes, more than it has"):
        read_arrays(path, describe_arrays(path))


def test_no_archive_and_no_object_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "w.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ModelError, match="copy it anew"):
        describe_arrays(tmp_path / "w.npz")
    for text in ("[1]", "{", "[" * 100_000):
        (tmp_path / "recipe.json").write_text(text)
        with pytest.raises(ModelError, match="cannot be read"):
            read_recipe_json(tmp_path / "recipe.json")
