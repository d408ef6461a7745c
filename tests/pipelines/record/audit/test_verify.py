"""A manifest names every file of a run by hash; verify names what was altered, lost or added."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from features.errors import StageError
from features.files import sha256, write_text
from features.journal.entries import Draft
from features.journal.file import FileJournal
from pipelines.record.audit import chain
from pipelines.record.audit.manifest import UNSEALED, write_manifest
from pipelines.record.audit.verify import examine, read_manifest, verify
from pipelines.record.receipt import Receipt, hash_outputs, read_receipt, receipt_fault, write_receipt
from pipelines.workspace import Workspace

FILES = {
    "verdicts.csv": "parcel_id,verdict\n001,confirmed\n",
    "metrics.json": "{}",
    "region/declarations.gpkg": "parcels",
    "models/lightgbm/booster.txt": "tree",
    "evaluation/imagery_verdicts.parquet": "what imagery said",
    "evaluation/quality_sample.parquet": "drawn",
    "observations/coverage/1.npz": "coverage",
    "observations/tiles/s2.parquet": "tiles",
    "field/results.parquet": "seen in the field",
    "tuned/lightgbm.yaml": "rounds: 20",
    "receipts/judge.json": "{}",
    ".holding_key": "k" * 32,
    "reports/auditor.html": f"<code>{UNSEALED}</code> made by <code>{UNSEALED}</code>",
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run's folder, made in the working folder that holds an input beside it."""
    monkeypatch.chdir(tmp_path)
    workspace = Workspace(tmp_path / "out")
    for name, text in FILES.items():
        write_text(workspace.folder / name, text)
    write_text(tmp_path / "parcels.gpkg", "declared")
    chain.append(workspace.audit, "judge")
    inputs = {
        "parcels.gpkg": sha256(tmp_path / "parcels.gpkg"),
        "region/declarations.gpkg": sha256(workspace.folder / "region" / "declarations.gpkg"),
    }
    seal = write_manifest(workspace, {"name": "mock"}, inputs, [Receipt("judge", {"option seed": 1})])
    chain.append(workspace.audit, "manifest", manifest_hash=seal)
    receipt = Receipt("publish", outputs=hash_outputs(workspace, [workspace.manifest]))
    chain.append(workspace.audit, "publish", key=receipt.key, digest=receipt.digest)
    write_receipt(workspace, receipt)
    return workspace.folder


def test_a_finished_run_holds_and_its_page_shows_the_manifests_hash(run: Path) -> None:
    seal = sha256(run / "manifest.json")
    assert verify(run, seal) == []
    assert (run / "reports" / "auditor.html").read_text().count(seal) == 2
    assert json.loads((run / "manifest.json").read_text())["records"]["judge"]["inputs"] == {"option seed": 1}


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_is_named_in_every_file(run: Path, name: str) -> None:
    content = bytearray((run / name).read_bytes())
    content[0] ^= 1
    (run / name).write_bytes(content)
    assert verify(run) == [f"{name} differs from the manifest"]


@pytest.mark.parametrize("name", FILES)
def test_a_lost_file_is_named_though_a_copy_lies_in_the_working_folder(
    run: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(run / name, tmp_path / name)
    assert verify(run) == [f"{name} is missing"]


def test_an_added_file_is_named(run: Path) -> None:
    (run / "verdicts_final.csv").write_text("mine")
    assert verify(run) == ["verdicts_final.csv was added: the manifest does not name it"]


def test_what_a_command_wrote_since_is_known_by_the_log(run: Path) -> None:
    (run / "field" / "results.parquet").write_text("more results")
    written = {"field/results.parquet": sha256(run / "field" / "results.parquet")}
    chain.append(run / "audit.jsonl", "assess", outputs=written)
    assert verify(run) == []
    (run / "field" / "results.parquet").write_text("altered")
    assert verify(run) == ["field/results.parquet differs from the manifest"]


@pytest.mark.parametrize("other", [UNSEALED, "f" * 64])
def test_a_page_with_another_manifests_hash_is_named(run: Path, other: str) -> None:
    page = run / "reports" / "auditor.html"
    page.write_text(page.read_text().replace(sha256(run / "manifest.json"), other))
    assert verify(run) == ["reports/auditor.html does not carry the hash of this manifest"]


def test_a_journal_may_grow_but_not_change(run: Path, tmp_path: Path) -> None:
    workspace = Workspace(run)
    journal = FileJournal(run / "field" / "journal.jsonl")
    journal.append([Draft("result", "7", {"field_result": "wrong"})], "anna")
    seal = write_manifest(workspace, {}, {}, [])
    chain.append(workspace.audit, "manifest", manifest_hash=seal)
    receipt = Receipt("publish")
    chain.append(workspace.audit, "publish", key=receipt.key, digest=receipt.digest)
    write_receipt(workspace, receipt)
    journal.append([Draft("result", "8", {"field_result": "correct"})], "anna")
    assert not [fault for fault in verify(run) if "journal" in fault]
    journal.path.write_text(journal.path.read_text().replace("wrong", "correct"))
    assert "field/journal.jsonl does not begin as it did: lines were altered or removed" in verify(run)


def test_a_rewritten_manifest_does_not_meet_the_expected_hash(run: Path) -> None:
    seal = sha256(run / "manifest.json")
    write_manifest(Workspace(run), {}, {}, [])
    assert any("it was rewritten" in fault for fault in verify(run, seal))
    assert "manifest.json is not the one that the log names" in verify(run)


@pytest.mark.parametrize("cut", [1, 2])
def test_a_log_cut_at_its_end_is_noticed(run: Path, cut: int) -> None:
    log = run / "audit.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-cut]))
    (run / "audit.head.json").unlink()
    assert "receipts/publish.json is not the one that the log names" in verify(run)


def test_it_is_the_same_from_any_working_folder_and_for_a_copy(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert examine(run).faults == examine(run).not_here == []
    both = shutil.copytree(run, tmp_path / "both" / "out").parent
    shutil.move(tmp_path / "parcels.gpkg", both / "parcels.gpkg")
    assert examine(both / "out").faults == examine(both / "out").not_here == []
    (both / "parcels.gpkg").write_text("amended")
    assert examine(both / "out").faults == ["parcels.gpkg differs from the manifest"]


def test_an_input_that_is_not_here_is_said_to_be_not_here(run: Path, tmp_path: Path) -> None:
    (tmp_path / "parcels.gpkg").unlink()
    found = examine(run)
    assert (found.faults, found.not_here) == ([], ["parcels.gpkg"])


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"\xff\xfe" + content,
        lambda content: b"[]",
        lambda content: b"null",
        lambda content: content.replace(b'"outputs": {', b'"outputs": 7, "other": {', 1),
        lambda content: content.replace(b'"format": 2', b'"format": 1'),
        lambda content: content.replace(b'"seals": {', b'"seals": 7, "other": {'),
        lambda content: content.replace(b'"bytes": ', b'"octets": '),
        lambda content: b"[" * 200_000,
    ],
)
@pytest.mark.parametrize("name", ["manifest.json", "audit.jsonl", "audit.head.json", "receipts/publish.json"])
def test_damaged_records_give_sentences(run: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    whole = (run / name).read_bytes()
    (run / name).write_bytes(damage(whole))
    assert verify(run) or (run / name).read_bytes() == whole


def test_a_manifest_that_was_edited_by_hand_is_not_told_from(run: Path) -> None:
    path = run / "manifest.json"
    path.write_text(path.read_text().replace('"option seed": 1', '"option seed": 2'))
    with pytest.raises(StageError, match=r"not the one that the log names.*cropcheck verify"):
        read_manifest(Workspace(run))


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"manifest\.json"):
        verify(tmp_path)


def test_very_many_files_are_listed_beside_the_manifest_and_each_is_still_held_against_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr("features.storage.listing.MOST", 1)
    run: Path = request.getfixturevalue("run")
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["inputs"]["listed in"]["files"] == 2
    listed = (run / "manifest.outputs.sha256").read_text().splitlines()
    assert f"{sha256(run / 'verdicts.csv')}  verdicts.csv" in listed
    assert verify(run) == []
    assert read_manifest(Workspace(run))["outputs"]["verdicts.csv"] == sha256(run / "verdicts.csv")
    (run / "verdicts.csv").write_text("other")
    assert verify(run) == ["verdicts.csv differs from the manifest"]
    (run / "manifest.outputs.sha256").write_text("")
    assert any("manifest.outputs.sha256 is missing or was altered" in fault for fault in verify(run))


def test_a_receipt_of_very_many_files_has_them_in_a_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("features.storage.listing.MOST", 2)
    workspace = Workspace(tmp_path)
    receipt = Receipt("extract", outputs={f"parts/{k}\n.parquet": f"{k:064d}" for k in range(3)})
    write_receipt(workspace, receipt)
    assert read_receipt(workspace, "extract") == receipt
    listed = workspace.receipts / "extract.outputs.sha256"
    listed.write_text(listed.read_text().replace("parts/1", "parts/9"))
    assert read_receipt(workspace, "extract") is None
    assert "extract.outputs.sha256" in str(receipt_fault(workspace, "extract"))
    write_receipt(workspace, Receipt("extract", outputs={"a": "0" * 64}))
    assert not listed.exists()
