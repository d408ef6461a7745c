"""Ranked lists and targets as people hand them over: put right and said, or refused with the cure."""

from pathlib import Path

import pytest

from features.exchange.cells import ExchangeError
from features.exchange.ranked_list import read_ranked_list, read_targets

HEADING = "gsa_par_id,gsa_hol_id,ua_grp_id,covered,ranking\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "list.csv"
    path.write_bytes(text.encode())
    return path


def test_ids_keep_their_zeros_whatever_the_mark_and_separator(tmp_path: Path) -> None:
    text = "\ufeff" + (HEADING + "007,H1,04,1,2.0\n").replace(",", ";")
    listed = read_ranked_list(written(tmp_path, text))
    assert listed.table.rows() == [("007", "H1", "04", 1, 2)]
    assert listed.notes == []


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ("7.0,H,1,1,1\n12.0,H,1,1,2\n", "every id ends in .0"),
        ("7,H,1,1,1\n7,H,1,1,1\n", "1 rows repeat another row and were left out"),
        ("7,H,1,1,1\n8,H,1,1,1\n", "some ranks are shared"),
        ("7,H,1,1,1\n7,H,2,1,2\n", "Some parcels have several ranks"),
    ],
)
def test_what_is_put_right_or_doubtful_is_said(tmp_path: Path, rows: str, note: str) -> None:
    assert any(note in said for said in read_ranked_list(written(tmp_path, HEADING + rows)).notes)


def test_a_list_without_coverage_is_read(tmp_path: Path) -> None:
    text = "gsa_par_id,gsa_hol_id,ua_grp_id,ranking\n7,H,1,1\n8,H,1,2\n"
    listed = read_ranked_list(written(tmp_path, text))
    assert listed.table["covered"].to_list() == [None, None]
    assert "no column `covered`" in listed.notes[0]


@pytest.mark.parametrize(
    ("text", "reason", "said"),
    [
        (HEADING + "7,H,,1,1\n", "empty_cell", "no ua_grp_id in row 2"),
        (HEADING + "7,H,1,1,first\n", "ranking", "ranking in row 2 is no whole number"),
        (HEADING + "7,H,1,perhaps,1\n", "covered", "covered in row 2 is neither 0 nor 1"),
        (HEADING + "7,H,1,1,1\n7,H,1,1,2\n", "contradiction", "'7'"),
        (HEADING.replace("ranking", "rank") + "7,H,1,1,1\n", "missing_column", "Did you mean 'rank'"),
        (HEADING, "empty", "no rows"),
        ("", "empty", "heading"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_row(
    tmp_path: Path, text: str, reason: str, said: str
) -> None:
    with pytest.raises(ExchangeError) as caught:
        read_ranked_list(written(tmp_path, text))
    assert caught.value.reason == reason
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("1,5\n3,5\n", "unknown_group"),
        ("1,5\n", "targets"),
        ("1,5\n1,5\n2,1\n", "targets"),
        ("1,x\n2,1\n", "targets"),
    ],
)
def test_targets_name_every_group_once(tmp_path: Path, rows: str, reason: str) -> None:
    with pytest.raises(ExchangeError) as caught:
        read_targets(written(tmp_path, "ua_grp_id,target\n" + rows), ["1", "2"])
    assert caught.value.reason == reason
    assert read_targets(written(tmp_path, "ua_grp_id,target\n1,5\n2,0\n"), ["1", "2"]) == {"1": 5, "2": 0}
