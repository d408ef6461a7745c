"""What an agency brings to the desk: amounts a hectare, its own numbers of holdings, its database."""

import shutil
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from features.declarations.pseudonym import pseudonym
from features.errors import ConfigError, StageError
from features.files import write_text
from pipelines.commands.desk import (
    Address,
    check_letter,
    finished_run,
    own_numbers,
    schema_of,
    serve,
    unit_amounts,
)
from pipelines.config import load_config
from pipelines.record.audit import chain
from pipelines.record.audit.manifest import write_manifest
from pipelines.workspace import Workspace
from reports.translation import translation

KEY = b"k" * 32
CONFIG = load_config(Path(__file__).parents[3] / "conf" / "tiny.yaml")


def written(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8-sig")
    return path


def test_amounts_may_have_commas_and_semicolons(tmp_path: Path) -> None:
    assert unit_amounts(None) == {}
    table = written(tmp_path, "intervention;amount\nECO-1;120,50\n07;0\n")
    assert unit_amounts(table) == {"ECO-1": 120.5, "07": 0.0}


@pytest.mark.parametrize(
    ("rows", "said"),
    [("a,-1", "row 2"), ("a,nan", "row 2"), ("a,1\nb,much", "row 3"), (",1", "row 2"), ("a,1\na,2", "twice")],
)
def test_amounts_that_cannot_be_are_refused(tmp_path: Path, rows: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        unit_amounts(written(tmp_path, f"intervention,amount\n{rows}\n"))


def test_holdings_get_their_own_numbers_back_by_the_runs_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CROPCHECK_HOLDING_KEY", raising=False)
    table = written(tmp_path, "holding_id\n007\n008\n")
    with pytest.raises(ConfigError, match="is not here, so --holdings cannot be used"):
        own_numbers(table, CONFIG, tmp_path)
    assert not (tmp_path / ".holding_key").exists(), "no other key is made in its place"
    (tmp_path / ".holding_key").write_bytes(KEY)
    assert own_numbers(table, CONFIG, tmp_path) == {
        pseudonym("007", KEY): "007",
        pseudonym("008", KEY): "008",
    }
    assert own_numbers(None, CONFIG, tmp_path) == {}


def test_a_config_that_was_edited_in_the_manifest_is_not_used(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_text(workspace.folder / "verdicts.csv", "1")
    seal = write_manifest(workspace, {"config": CONFIG.model_dump(mode="json")}, {}, [])
    chain.append(workspace.audit, "manifest", manifest_hash=seal)
    assert finished_run(tmp_path) == CONFIG
    workspace.manifest.write_text(workspace.manifest.read_text().replace('"seed": 1', '"seed": 2'))
    with pytest.raises(StageError, match="not the one that the log names"):
        finished_run(tmp_path)


def test_a_run_has_one_schema_a_season() -> None:
    assert schema_of(CONFIG) == "cropcheck_desk_tiny_2024"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{{ parcel }} {% if %}", "cannot be used: .* in line 1"),
        (b"\xff\xfe", "is not UTF-8"),
        (None, "does not exist"),
    ],
)
def test_a_letter_that_is_no_template_is_refused(content: bytes | None, said: str, tmp_path: Path) -> None:
    letter = tmp_path / "letter.html"
    if content is not None:
        letter.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        check_letter(letter)
    letter.write_text("{{ parcel }}")
    check_letter(letter)


def test_an_address_that_is_taken_or_none_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen at 127.0.0.1, port {port}"):
            Address("127.0.0.1", port).check()
    Address("127.0.0.1", port).check()
    with pytest.raises(ConfigError, match=r"cannot listen at 999\.1\.1\.1"):
        Address("999.1.1.1", port).check()


def certificate_in(folder: Path, password: str = "") -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not here")
    certificate, key = folder / "desk.pem", folder / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    closed = ["-passout", f"pass:{password}"] if password else ["-nodes"]
    named = ["-subj", "/CN=desk.example", "-days", "2", "-out", str(certificate), "-keyout", str(key)]
    subprocess.run([*made, *closed, *named], check=True, capture_output=True)
    return certificate, key


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def test_a_certificate_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    port, (certificate, key) = free_port(), certificate_in(tmp_path)
    Address("127.0.0.1", port, certificate=certificate, key=key).check()
    with pytest.raises(ConfigError, match=r"--certificate .*desk\.pem cannot be used"):
        Address("127.0.0.1", port, certificate=certificate).check()
    with pytest.raises(ConfigError, match=r"--certificate .*lost\.pem cannot be used"):
        Address("127.0.0.1", port, certificate=tmp_path / "lost.pem").check()
    certificate, key = certificate_in(tmp_path, password="a secret")
    with pytest.raises(ConfigError, match="its key, without a password"):
        Address("127.0.0.1", port, certificate=certificate, key=key).check()


@pytest.mark.parametrize(
    ("host", "encrypts", "https", "is_said"),
    [
        ("127.0.0.1", False, False, False),
        ("0.0.0.0", False, False, True),
        ("0.0.0.0", False, True, False),
        ("0.0.0.0", True, False, False),
    ],
)
def test_a_desk_that_others_ask_without_tls_says_so(
    host: str,
    encrypts: bool,
    https: bool,
    is_said: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn, "run", lambda _, **options: given.update(options))
    monkeypatch.setattr("pipelines.commands.desk.renewed", lambda *_: SimpleNamespace(desk=lambda: None))
    accounts = SimpleNamespace(first=lambda: None)
    desk: Any = SimpleNamespace(text=translation("en"), https=https, accounts=accounts, faults=list)
    certificate, key = certificate_in(tmp_path) if encrypts else (None, None)
    address = Address(host, free_port(), (), certificate, key)
    serve(desk, address, lambda _: desk, tmp_path)
    printed = capsys.readouterr().out
    assert ("is not encrypted, passwords included" in printed) == is_said
    assert printed.splitlines()[-1].startswith("https://" if encrypts else "http://")
    assert (given["ssl_certfile"], given["ssl_keyfile"]) == (certificate, key)
