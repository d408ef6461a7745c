"""Files that no receipt names have their hash beside them, at every moment."""

from pathlib import Path

import pytest

from features.errors import StageError
from features.files import is_vouched, refuse_unvouched, vouched_path, voucher_of


def write(path: Path, text: str) -> None:
    with vouched_path(path) as partial:
        partial.write_text(text)


def test_a_file_is_vouched_for_and_an_altered_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, "one")
    assert refuse_unvouched(path, "") == path
    path.write_text("two")
    with pytest.raises(StageError, match="journal was altered since it was written, and is not used; take"):
        refuse_unvouched(path, "take it from a backup")


def test_a_kill_at_any_moment_leaves_a_file_that_is_vouched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    write(path, "one")

    def killed(self: Path, target: Path) -> Path:
        if target == path:
            raise KeyboardInterrupt
        return renamed(self, target)

    renamed = Path.replace
    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write(path, "two")  # the note is there, the file is not renamed yet
    assert (path.read_text(), is_vouched(path)) == ("one", True)
    monkeypatch.undo()
    with vouched_path(path) as partial:
        partial.write_text("two")
        both = voucher_of(path)
    assert (path.read_text(), is_vouched(path), len(both.read_text().split())) == ("two", True, 1)


def test_what_an_earlier_version_left_is_used(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("one")
    assert refuse_unvouched(tmp_path / "old", "") == tmp_path / "old"
