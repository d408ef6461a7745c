"""Codes keep their spelling, and a key stands once."""

from pathlib import Path

import pytest

from features.errors import ConfigError
from pipelines.yamlfile import parse_yaml, read_yaml

CODES = ("NO", "no", "on", "Yes", "001", "0x1F", "1e3", "1_000", "2023-01-01", "12:30:45")
VALUES = (("1", 1), ("-3", -3), ("0.5", 0.5), ("true", True), ("null", None), ("", None))


@pytest.mark.parametrize("code", CODES)
def test_codes_stay_text(code: str) -> None:
    assert parse_yaml(f"code: {code}") == {"code": code}


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_plain_values_are_typed(text: str, value: object) -> None:
    assert parse_yaml(f"key: {text}") == {"key": value}


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="keys seed stand twice"):
        parse_yaml("seed: 1\nseed: 2")


def test_a_missing_file_is_named_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text("a: 1")
    with pytest.raises(ConfigError, match=r"reel\.yaml.*real\.yaml"):
        read_yaml(tmp_path / "reel.yaml")


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_yaml(tmp_path / "x.yaml")
