"""Cells of people's CSV files, as texts and as codes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.exchange.cells import ExchangeError, read_cells, read_coded

CELLS = st.sampled_from(["007", "7", " 7 ", "", "  ", "ä;b", 'say ""x""', "two\nlines", "1.0", "a,b"])


@given(rows=st.lists(st.tuples(CELLS, CELLS), max_size=8), mark=st.booleans())
def test_codes_stand_for_the_same_cells_as_texts(
    rows: list[tuple[str, str]], mark: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cells") / "list.csv"
    text = "a,b\n" + "".join(f'"{one}","{other}"\n' for one, other in rows)
    path.write_text(("\ufeff" if mark else "") + text, encoding="utf-8")
    cells, columns = read_cells(path), read_coded(path)
    assert list(columns) == cells.columns
    for name, column in columns.items():
        assert column.texts.gather(column.codes).to_list() == cells[name].to_list()
        assert column.texts.n_unique() == len(column.texts)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a,b\n1,2,3\n", "unreadable"),
        (b"a,b\n\xff,2\n", "unreadable"),
        (b"", "empty"),
        (b"a,a\n", "columns"),
    ],
)
def test_a_file_that_is_no_table_is_refused_alike(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    for read in (read_cells, read_coded):
        with pytest.raises(ExchangeError) as caught:
            read(path)
        assert caught.value.reason == reason


def test_short_rows_have_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("a,b\n1\n2,3\n")
    assert read_coded(path)["b"].texts.to_list() == [None, "3"]
