"""What an agency brings to the desk: amounts a hectare, its own numbers of holdings, its database."""

import socket
from pathlib import Path

import pytest

from features.declarations.pseudonym import pseudonym
from features.errors import ConfigError
from pipelines.commands.desk import check_address, check_letter, own_numbers, schema_of, unit_amounts
from pipelines.config import load_config

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
            check_address("127.0.0.1", port)
    check_address("127.0.0.1", port)
    with pytest.raises(ConfigError, match=r"cannot listen at 999\.1\.1\.1"):
        check_address("999.1.1.1", port)
