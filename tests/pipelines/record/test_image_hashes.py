"""The hash of an image is kept from run to run, as long as the image lies as it did."""

import os
import time
from hashlib import sha256
from pathlib import Path

import pytest

from pipelines.record import hashes, image_hashes
from pipelines.record.image_hashes import image_hashes as hashes_of


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that were read for their hash; files that were written just now count as settled."""
    monkeypatch.setattr(image_hashes, "SETTLED_S", -1.0)
    monkeypatch.setattr(hashes, "SETTLED_S", 3600.0)  # nothing is remembered by this process
    found: list[Path] = []

    def noted(path: Path) -> str:
        found.append(path)
        return sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(hashes, "sha256", noted)
    return found


def test_what_lies_as_it_did_is_not_read_again(tmp_path: Path, read: list[Path]) -> None:
    one, two, kept = tmp_path / "1.tif", tmp_path / "2.tif", tmp_path / ".kept.parquet"
    one.write_bytes(b"one")
    two.write_bytes(b"two")
    first = hashes_of([one, two, tmp_path / "absent.tif"], kept)
    assert first == {one: sha256(b"one").hexdigest(), two: sha256(b"two").hexdigest()}
    assert hashes_of([two, one], kept) == first
    assert sorted(read) == [one, two]
    three = tmp_path / "3.tif"
    three.write_bytes(b"three")
    assert hashes_of([one, three], kept)[three] == sha256(b"three").hexdigest()
    assert read[2:] == [three]


def test_other_bytes_of_the_same_size_and_time_are_noticed(tmp_path: Path, read: list[Path]) -> None:
    image, kept = tmp_path / "1.tif", tmp_path / ".kept.parquet"
    image.write_bytes(b"one")
    hashes_of([image], kept)
    times = image.stat()
    time.sleep(0.02)
    image.write_bytes(b"two")
    os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert hashes_of([image], kept) == {image: sha256(b"two").hexdigest()}


def test_an_altered_list_of_hashes_is_not_believed(tmp_path: Path, read: list[Path]) -> None:
    image, kept = tmp_path / "1.tif", tmp_path / ".kept.parquet"
    image.write_bytes(b"one")
    right = hashes_of([image], kept)
    table = image_hashes.read_parquet(kept)
    table.with_columns(sha256=image_hashes.pl.lit("0" * 64)).write_parquet(kept)
    assert hashes_of([image], kept) == right
    assert len(read) == 2


def test_an_image_that_was_written_just_now_is_read_by_the_next_run_too(
    tmp_path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may change again within the same tick of the clock."""
    monkeypatch.setattr(image_hashes, "SETTLED_S", 60.0)
    image, kept = tmp_path / "1.tif", tmp_path / ".kept.parquet"
    image.write_bytes(b"one")
    hashes_of([image], kept)
    hashes_of([image], kept)
    assert read == [image, image]
