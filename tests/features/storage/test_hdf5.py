"""HDF5 and NetCDF of other people: too large, or leading elsewhere, is refused before anything is read."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from features.errors import ImageryError
from features.storage.hdf5 import check_hdf5


def made(path: Path, write: Callable[[h5py.File], object]) -> Path:
    with h5py.File(path, "w") as file:
        file["group/plain"] = np.ones((3, 4, 5))
        file["scalar"], file["text"] = 1.0, "a"
        file["again"] = file["group"]  # a circle of groups
        file["group/back"] = file["/"]
        write(file)
    return path


def check(path: Path, most: int = 1_000_000) -> None:
    with h5py.File(path) as opened:
        check_hdf5(opened, path.name, most)


def test_plain_values_pass_and_a_map_is_the_last_two_axes(tmp_path: Path) -> None:
    path = made(
        tmp_path / "a.nc", lambda file: file.create_dataset("many", (10**7, 10, 10), chunks=(1, 10, 10))
    )
    check(path)
    with pytest.raises(ImageryError, match=r"a\.nc: /many declares \(10000000, 10, 10\)"):
        check(path, most=99)


@pytest.mark.parametrize(
    "write",
    [
        lambda file: file.create_dataset("x", (200_000, 200_000), chunks=(100, 100)),
        lambda file: file.create_dataset("x", (10**10,), chunks=(1000,)),
        lambda file: file.create_dataset("x", (10**10, 20_000, 2_000), chunks=(10_000, 20_000, 2)),
    ],
)
def test_what_declares_too_much_is_refused_at_once(
    write: Callable[[h5py.File], object], tmp_path: Path
) -> None:
    path = made(tmp_path / "a.nc", write)
    assert path.stat().st_size < 100_000
    with pytest.raises(ImageryError) as refused:
        check(path)
    assert refused.value.reason == "too_large"


def test_where_variables_are_read_whole_all_axes_count(tmp_path: Path) -> None:
    path = made(
        tmp_path / "a.nc", lambda file: file.create_dataset("many", (10**7, 10, 10), chunks=(1, 10, 10))
    )
    with (
        h5py.File(path) as opened,
        pytest.raises(ImageryError, match="more than 1,000,000 in all") as refused,
    ):
        check_hdf5(opened, path.name, 1_000_000, whole=True)
    assert refused.value.reason == "too_large"


def test_values_stored_in_another_file_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"0123456789abcdef")
    other = made(tmp_path / "other.nc", lambda file: None)

    def stored_outside(file: h5py.File) -> None:
        file.create_dataset("x", (4, 4), np.uint8, external=[(str(secret), 0, 16)])

    def linked(file: h5py.File) -> None:
        file["group/x"] = h5py.ExternalLink(str(other), "/scalar")

    def put_together(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((3, 4, 5), np.float64)
        layout[:] = h5py.VirtualSource(str(other), "group/plain", (3, 4, 5))
        file.create_virtual_dataset("x", layout)

    for number, write in enumerate((stored_outside, linked, put_together)):
        with pytest.raises(ImageryError, match="stored in other files, which are not read") as refused:
            check(made(tmp_path / f"{number}.nc", write))
        assert refused.value.reason == "leads_elsewhere"
