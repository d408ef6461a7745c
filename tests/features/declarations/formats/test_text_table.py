"""Code tables as FileMaker, Excel and databases write them."""

from pathlib import Path

import pytest

from features.declarations.formats.text_table import read_text_table
from features.errors import DeclarationError


def cells(folder: Path, text: str | bytes, encoding: str | None = None) -> list[tuple[str | None, ...]]:
    path = folder / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_text_table(path, encoding).rows()


@pytest.mark.parametrize("odd", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\u00a0"])
def test_only_cr_and_lf_end_a_row(tmp_path: Path, odd: str) -> None:
    for quote in ("", '"'):
        assert cells(tmp_path, f"code,name\n1,{quote}barley{odd}two{quote}\n2,oats\n") == [
            ("1", "barley two"), ("2", "oats"),
        ]  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_three_systems_and_breaks_inside_quotes(tmp_path: Path, end: str) -> None:
    text = f'# codes of 2024{end}{end}code;"name;\nlong"{end}1;"two{end}lines"{end}2;x{end}'
    assert cells(tmp_path, text) == [("1", "two lines"), ("2", "x")]


@pytest.mark.parametrize(
    ("line", "name"),
    [('1,12" rows', '12" rows'), ('1,"barley "two-row""', 'barley "two-row"'), ('1,"a ""b"""', 'a "b"')],
)
def test_quotes_inside_cells(tmp_path: Path, line: str, name: str) -> None:
    assert cells(tmp_path, f"code,name\n{line}\n2,x\n") == [("1", name), ("2", "x")]


def test_a_quote_that_is_never_closed_does_not_swallow_rows(tmp_path: Path) -> None:
    assert cells(tmp_path, 'code,name\n1,"wheat\n2,oats\n') == [("1", '"wheat'), ("2", "oats")]


def test_what_a_spreadsheet_adds(tmp_path: Path) -> None:
    assert cells(tmp_path, "sep=;\ncode;name;;\n1;a;;\n;;;\n2;b;;\n") == [("1", "a"), ("2", "b")]
    assert cells(tmp_path, "code\tname\n1\tŽito\n".encode("utf-16")) == [("1", "Žito")]
    assert cells(tmp_path, 'code,name\n"=""001""",a\n="002",b\n') == [("001", "a"), ("002", "b")]


def test_another_encoding_is_named_or_asked_for(tmp_path: Path) -> None:
    content = "code,name\n1,Žito\n".encode("cp1250")
    assert cells(tmp_path, content, "CP1250") == [("1", "Žito")]
    with pytest.raises(DeclarationError, match=r"cannot be read as utf-8.*`declarations\.crops\.encoding`"):
        cells(tmp_path, content)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("code,code\n1,2\n", "two columns 'code'"),
        (b"PK\x03\x04....", "is a spreadsheet or archive"),
        ("code,name\n1,a,b\n2,c\n", "1 rows of .* do not have the heading's 2 cells, first row 1"),
        ("# only a comment\n", "is empty"),
        ('code,name\n1,"a\n2,b,c\n', "do not have the heading's|Close every quote"),
    ],
)
def test_what_cannot_be_a_table_says_why(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        cells(tmp_path, text)
