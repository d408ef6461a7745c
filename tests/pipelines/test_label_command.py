"""Windows of a run's imagery to CVAT and back."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from models.clouds.mask.labels.tiles import read_tiles
from models.clouds.mask.options import LabelledTiles
from pipelines.cli import app
from pipelines.commands.learning import label
from tests.models.clouds.mask.made import CLOUD, GRASS, frames


@pytest.fixture
def imagery(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six dates of grass with a cloud on the third, in place of the run's own."""
    half = np.tile(np.array(GRASS)[:, None, None], (1, 64, 64))
    half[:, :, :20] = np.array(CLOUD)[:, None, None]
    made = frames(GRASS, GRASS, half, GRASS, GRASS, GRASS, size=64)

    class Nothing:
        def filter(self, *_: object) -> None:
            return None

    monkeypatch.setattr(label, "run_until_read", lambda *_: None)
    monkeypatch.setattr(label, "read_acquired", lambda *_: Nothing())
    monkeypatch.setattr(label, "fitting_frames", lambda *_: [made])


def cropcheck(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.output + str(result.exception or "")


@pytest.mark.usefixtures("imagery")
def test_windows_are_written_and_their_labels_read_back(tmp_path: Path) -> None:
    task, out = tmp_path / "task", ["--out", tmp_path / "run"]
    code, said = cropcheck("label", "conf/tiny.yaml", "--windows", 3, "--write", task, *out)
    assert (code, "Wrote 3 windows of 3 dates" in said) == (0, True), said
    code, said = cropcheck("label", "--read", task / "annotations.zip")
    assert (code, "Wrote 3 labelled tiles" in said) == (0, True), said
    tiles = read_tiles(LabelledTiles(path=task / "tiles", layout="npz"))
    assert any((tile.labels[:, :18] == 3).all() for tile in tiles)


def test_without_write_or_read_it_says_what_to_name() -> None:
    code, said = cropcheck("label", "conf/tiny.yaml")
    assert code != 0 and "--write" in said and "--read" in said
    code, said = cropcheck("label", "--write", "x")
    assert code != 0 and "cropcheck label CONFIG" in said
