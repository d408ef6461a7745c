"""A manifest names every file by hash; verify names what was altered."""

from pathlib import Path

import pytest

from features.errors import StageError
from pipelines.record import audit
from pipelines.record.manifest import UNSEALED, page_hash, verify, write_manifest


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, str]:
    (tmp_path / "verdicts.csv").write_text("parcel_id,verdict\n001,confirmed\n")
    page = tmp_path / "auditor.html"
    page.write_text(f"<code>{UNSEALED}</code>")
    outputs = {name: page_hash(tmp_path / name) for name in ("verdicts.csv", "auditor.html")}
    content = {"inputs": {}, "models": {}, "outputs": outputs}
    seal = write_manifest(tmp_path / "manifest.json", content, [page])
    audit.append(tmp_path / "audit.jsonl", "publish", manifest_hash=seal)
    return tmp_path, seal


def test_a_finished_run_holds(run: tuple[Path, str]) -> None:
    folder, seal = run
    assert verify(folder, seal) == []


def test_the_page_shows_the_manifest_hash(run: tuple[Path, str]) -> None:
    folder, seal = run
    assert seal in (folder / "auditor.html").read_text()


def test_an_altered_verdict_is_named(run: tuple[Path, str]) -> None:
    folder, _ = run
    (folder / "verdicts.csv").write_text("parcel_id,verdict\n001,contradicted\n")
    assert verify(folder) == ["verdicts.csv differs from the manifest"]


def test_a_removed_file_is_named(run: tuple[Path, str]) -> None:
    folder, _ = run
    (folder / "verdicts.csv").unlink()
    assert verify(folder) == ["verdicts.csv is missing"]


def test_a_rewritten_manifest_does_not_meet_the_expected_hash(run: tuple[Path, str]) -> None:
    folder, seal = run
    write_manifest(folder / "manifest.json", {"inputs": {}, "models": {}, "outputs": {}}, [])
    assert any("rewritten" in fault for fault in verify(folder, seal))
    assert any("not the one that the log names" in fault for fault in verify(folder))


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"manifest\.json"):
        verify(tmp_path)
