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


@pytest.mark.usefixtures("imagery")
def test_a_later_task_has_other_windows(tmp_path: Path) -> None:
    first, later, out = tmp_path / "first", tmp_path / "later", ["--out", tmp_path / "run"]
    assert cropcheck("label", "conf/tiny.yaml", "--windows", 3, "--write", first, *out)[0] == 0
    code, said = cropcheck(
        "label", "conf/tiny.yaml", "--windows", 3, "--write", later, "--after", first, *out
    )
    assert code == 0, said
    names = [{path.stem for path in (task / "windows").iterdir()} for task in (first, later)]
    assert [len(each) for each in names] == [3, 3] and not names[0] & names[1]
    none = cropcheck(
        "label", "conf/tiny.yaml", "--write", tmp_path / "none", "--after", first, "--after", later, *out
    )
    assert none[0] != 0 and "that no earlier task holds" in none[1]


@pytest.mark.usefixtures("imagery")
@pytest.mark.parametrize("index", ["", "[]", '{"zoom": 8, "windows": {"a": {"height": "x"}}}'])
def test_a_damaged_task_is_a_sentence(tmp_path: Path, index: str) -> None:
    (tmp_path / "windows.json").write_text(index)
    code, said = cropcheck("label", "conf/tiny.yaml", "--write", tmp_path / "later", "--after", tmp_path)
    assert code != 0 and "is damaged" in said


def test_without_write_or_read_it_says_what_to_name() -> None:
    code, said = cropcheck("label", "conf/tiny.yaml")
    assert code != 0 and "--write" in said and "--read" in said
    code, said = cropcheck("label", "--write", "x")
    assert code != 0 and "cropcheck label CONFIG" in said
