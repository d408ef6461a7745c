"""Field results: read with care, kept in a journal, and what they settle."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from features.journal.entries import Entry, Source
from features.journal.file import FileJournal
from models.assessment.errors import ASSESSMENT
from models.assessment.field_results import (
    CORRECTION,
    RESULT,
    RESULTS,
    UNDO,
    corrected_rates,
    drafts_of,
    known_by,
    listing,
    present,
    settle,
    undo,
)
from models.assessment.reviewed import REVIEWED, AssessmentError, read_reviewed
from tests.mock_run import make_run

RUN = make_run(40)
IDS = RUN.verdicts["parcel_id"]
DECLARED = dict(RUN.verdicts.select("parcel_id", "declared").iter_rows())


def reviewed(folder: Path, **columns: list[str | None]) -> Path:
    path = folder / "reviewed.csv"
    pl.DataFrame(columns).write_csv(path)
    return path


@pytest.mark.parametrize(("separator", "bom"), [(";", True), (",", False), ("\t", True)])
def test_spellings_marks_and_separators_of_spreadsheets(tmp_path: Path, separator: str, bom: bool) -> None:
    table = pl.DataFrame(
        {
            "gsa_par_id": [*IDS[:3], None],
            "field_result": ["Correct", "wrong ", None, None],
            "field_date": ["45432", "20.05.2024", None, None],
        }
    )
    path = tmp_path / "reviewed.csv"
    table.write_csv(path, separator=separator, include_bom=bom)
    results, counted = read_reviewed(path, RUN.verdicts)
    assert results.schema == REVIEWED
    assert results["field_result"].to_list() == ["correct", "wrong"]
    assert results["field_date"].to_list() == ["2024-05-20", "2024-05-20"]
    assert str(counted) == "assess: 3 rows in, 2 out, 1 set aside (not_visited 1)"


def test_a_parcel_of_several_buckets_may_stand_there_several_times(tmp_path: Path) -> None:
    path = reviewed(tmp_path, parcel_id=[IDS[0], IDS[0]], field_result=["wrong", "wrong"])
    results, counted = read_reviewed(path, RUN.verdicts)
    assert results.height == 1
    assert dict(counted.set_aside) == {"same_parcel_again": 1}


def test_faulty_rows_are_named_as_a_spreadsheet_counts_them(tmp_path: Path) -> None:
    first, second, third = IDS[:3]
    ids = ["nobody", first, first, second, third, third.lstrip("0"), None, "zzz"]
    results = ["correct", "wrong", "correct", "yes", "wrong", "correct", "wrong", None]
    crops = [None, None, None, None, DECLARED[third], None, None, None]
    days = ["2024-05-01", "03/04/2024", *[None] * 6]
    path = reviewed(tmp_path, parcel_id=ids, field_result=results, field_crop=crops, field_date=days)
    with pytest.raises(AssessmentError) as caught:
        read_reviewed(path, RUN.verdicts)
    said = str(caught.value)
    assert "8 rows of" in said
    assert "nothing was read" in said
    assert "row 2: 'nobody' is no parcel of this run" in said
    assert "row 3: field_date '03/04/2024' is no date, or could be two; write YYYY-MM-DD" in said
    assert f"row 4: {first!r} stands twice, with another result in row 3" in said
    assert "row 5: field_result 'yes' is neither correct nor wrong" in said
    assert "row 6: wrong, but field_crop is the declared" in said
    assert f"row 7: {third.lstrip('0')!r} is no parcel of this run; was {third!r} meant" in said
    assert "row 8: there is no parcel_id" in said


def rows(*said: tuple[str, str], season: int = RUN.season) -> pl.DataFrame:
    table = [(name, season, DECLARED[name], result, None, None, None, None) for name, result in said]
    return pl.DataFrame(table, schema=REVIEWED, orient="row")


class Book:
    """A journal that files are entered into."""

    def __init__(self, folder: Path) -> None:
        self.journal = FileJournal(folder / "journal.jsonl")

    def enter(self, table: pl.DataFrame, file: str, by: str = "anna", *, correct: bool = False) -> int:
        source = Source(file, file.ljust(64, "0"))
        drafts, tally = drafts_of(table, source, self.entries, by, correct=correct)
        assert tally.came_in == table.height
        return len(self.journal.append(drafts, by))

    @property
    def entries(self) -> list[Entry]:
        return self.journal.entries()

    @property
    def now(self) -> list[tuple[str, str]]:
        return present(self.entries).results.select("parcel_id", "field_result").rows()


def test_a_second_file_adds_to_the_first_and_loses_nothing(tmp_path: Path) -> None:
    book = Book(tmp_path)
    assert book.enter(rows(*[(name, "wrong") for name in IDS[:5]]), "monday") == 5
    assert book.enter(rows(*[(name, "correct") for name in IDS[5:8]]), "tuesday", "ben") == 3
    assert book.now == [*[(name, "wrong") for name in IDS[:5]], *[(name, "correct") for name in IDS[5:8]]]


def test_a_file_read_twice_changes_nothing(tmp_path: Path) -> None:
    book = Book(tmp_path)
    table = rows((IDS[0], "wrong"), (IDS[1], "correct"))
    book.enter(table, "monday")
    before = book.journal.path.read_bytes()
    assert book.enter(table, "monday") == 0
    assert book.enter(table, "monday saved again") == 0
    assert book.journal.path.read_bytes() == before
    assert book.enter(rows((IDS[0], "wrong"), (IDS[2], "wrong")), "monday, one more row") == 1


def test_results_that_disagree_are_a_conflict_until_a_person_undoes_one(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.enter(rows((IDS[0], "wrong"), (IDS[1], "correct")), "monday")
    book.enter(rows((IDS[0], "correct")), "tuesday", "ben")
    assert book.now == [(IDS[1], "correct")]
    conflict = present(book.entries).conflicts.row(0, named=True)
    assert conflict["says"] == "wrong (entry 1, anna); correct (entry 3, ben)"
    assert sum("IN CONFLICT" in line for line in listing(book.entries)) == 2
    book.journal.append([undo(book.entries, 1)], "carla")
    assert book.now == [(IDS[0], "correct"), (IDS[1], "correct")]
    book.journal.append([undo(book.entries, 4)], "carla")  # an undo may be undone
    assert book.now == [(IDS[1], "correct")]


def test_a_correction_is_an_entry_of_its_own_and_can_be_undone(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.enter(rows((IDS[0], "wrong")), "monday")
    book.enter(rows((IDS[0], "correct")), "tuesday", correct=True)
    assert [entry.kind for entry in book.entries] == ["result", "correction"]
    assert book.now == [(IDS[0], "correct")]
    assert "corrected later" in listing(book.entries)[0]
    book.journal.append([undo(book.entries, 2)], "anna")
    assert book.now == [(IDS[0], "wrong")]


def test_two_people_who_agree_are_two_entries_of_one_result(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.enter(rows((IDS[0], "wrong")), "monday")
    assert book.enter(rows((IDS[0], "wrong")), "tuesday", "ben") == 1
    assert present(book.entries).results["entries"].to_list() == ["1, 2"]


def test_only_entries_that_are_there_and_hold_are_undone(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.enter(rows((IDS[0], "wrong")), "monday")
    with pytest.raises(AssessmentError, match="no entry 2"):
        undo(book.entries, 2)
    book.journal.append([undo(book.entries, 1)], "anna")
    with pytest.raises(AssessmentError, match="undone before"):
        undo(book.entries, 1)


def results(parcel: int, result: str, crop: str | None = None, season: int = RUN.season) -> pl.DataFrame:
    row = RUN.verdicts.row(parcel, named=True)
    values = [row["parcel_id"], season, row["declared"], result, crop, None, "1"]
    return pl.DataFrame([values], schema=RESULTS, orient="row")


def test_a_settled_parcel_does_not_come_back_as_a_doubt() -> None:
    right, wrong = settle(RUN.verdicts, results(0, "correct")), settle(RUN.verdicts, results(0, "wrong"))
    assert right.row(0, named=True)["verdict"] == "confirmed"
    assert wrong.select("verdict", "reason", "q_value").row(0) == ("contradicted", "field_wrong", None)
    assert right[1:].equals(RUN.verdicts[1:])
    assert right.schema == RUN.verdicts.schema


def test_a_result_holds_for_what_was_visited() -> None:
    assert settle(RUN.verdicts, results(0, "wrong", season=1999)).equals(RUN.verdicts)
    amended = RUN.verdicts.with_columns(declared=pl.lit("777"))
    assert settle(amended, results(0, "wrong", crop="555")).equals(amended)
    assert settle(amended, results(0, "wrong", crop="777")).row(0, named=True)["reason"] == "field_correct"
    again = pl.concat([results(0, "wrong"), results(0, "correct").with_columns(declared=pl.lit("777"))])
    assert settle(amended, again).row(0, named=True)["reason"] == "field_correct"


def test_promises_are_corrected_by_enough_results() -> None:
    figures = [
        ("false_alarm_rate", "count", 0.12, 0.08, 0.17, 200),
        ("commission", "count", 0.5, 0.3, 0.7, 25),
        ("wrong_rate", "count", 0.03, 0.01, 0.06, 200),
    ]
    table = pl.DataFrame(figures, schema=ASSESSMENT, orient="row")
    promised = {"false_alarm_rate": 0.05, "commission": 0.1, "wrong_rate": 0.03, "omission": 0.2}
    corrected = corrected_rates(promised, table)
    assert {name: (row["value"], row["source"]) for name, row in corrected.items()} == {
        "false_alarm_rate": (0.12, "field"),
        "commission": (0.1, "promise"),
        "wrong_rate": (0.03, "promise"),
        "omission": (0.2, "promise"),
    }
    assert corrected_rates(promised, table, fewest=20)["commission"]["source"] == "field"


def entry(
    number: int, kind: str, subject: str, at: str = "2025-01-01T00:00:00+00:00", **content: object
) -> Entry:
    return Entry(number, at, "inspector", kind, subject, content, None, "")


def test_what_the_field_said_after_a_day_is_not_known_on_it() -> None:
    said = [
        entry(1, RESULT, "001", field_result="correct", field_date="2024-06-20"),
        entry(2, RESULT, "002", field_result="wrong", field_date="2024-06-21"),
        entry(3, RESULT, "003", field_result="wrong", at="2024-06-22T08:00:00+00:00"),
        entry(4, CORRECTION, "001", field_result="wrong", field_date="2024-07-01", replaces=[1]),
        entry(5, UNDO, "2"),
    ]
    assert [one.number for one in known_by(said, date(2024, 6, 20))] == [1, 5]
    assert [one.number for one in known_by(said, date(2024, 6, 22))] == [1, 2, 3, 5]
    assert known_by(said, None) == said
    held = present(known_by(said, date(2024, 6, 20))).results
    assert held.select("parcel_id", "field_result").rows() == [("001", "correct")]
