"""What goes wrong in a day: broken forms, a database that is away, huge uploads; no typed word is lost."""

import html
import io
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from features.errors import ConfigError
from features.journal.database import ENTRIES
from reports.desk import web
from reports.desk.app import application
from reports.desk.records import photos
from reports.desk.records.store import Store, local_url
from reports.desk.state import Desk, letters_in
from reports.desk.views import pictures
from reports.options import PublishOptions
from reports.translation import translation
from tests.mock_run import make_run
from tests.reports.desk.records.test_photos import photo
from tests.reports.desk.test_app import PASSWORD, client_of, decide, token

RUN = make_run(60, light=True)
SEASON = (date(2025, 3, 1), date(2025, 10, 31))
SOURCES = sorted(Path(web.__file__).parent.rglob("*.py"))


def desk_in(folder: Path, language: str = "en", proxy_header: str = "", letter: str = "") -> Desk:
    template = folder / "letter.html"
    template.write_text(letter)
    made = Desk(
        RUN, Store(local_url(folder)), folder / "desk", PublishOptions(language=language, list_rate=0.2),
        SEASON, proxy_header=proxy_header, letter=template if letter else None,
    )  # fmt: skip
    for name in ("officer", "second", "administrator"):
        made.accounts.create(name, "officer" if name == "second" else name, PASSWORD, by="test")
    return made


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = desk_in(tmp_path)
    yield made
    made.store.close()


def fields(page: str) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page)
    return {name: html.unescape(value) for name, value in found}


def test_a_database_that_is_away_gives_the_form_back_and_takes_it_when_it_is_there_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(desk, "officer")
    page = client.get("/parcel", params={"id": "000001"}).text
    away = sa.create_engine("sqlite:////nowhere/desk.sqlite")
    with monkeypatch.context() as gone:
        gone.setattr(desk.store, "engine", away)
        form = {"form_token": token(page), "id": "000001", "seen": "0", "decision": "visit",
                "remark": "wet <corner>", "due": "2025-09-01"}  # fmt: skip
        answer = client.post("/parcel/decide", data=form)
        assert (answer.status_code, "cannot be reached" in answer.text) == (503, True)
        assert "wet &lt;corner&gt;" in answer.text
        assert client.get("/").status_code == 503
        login = client.post("/login", data={"name": "officer", "password": PASSWORD})
        assert login.status_code == 503
        assert PASSWORD not in login.text
    again = client.post("/parcel/decide", data=fields(answer.text))
    assert "Saved." in again.text
    standing = desk.decisions.of("000001")
    assert standing is not None
    assert (standing.remark, standing.due) == ("wet <corner>", "2025-09-01")


def test_a_fault_of_the_program_loses_no_text(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(desk, "officer")
    page = client.get("/parcel", params={"id": "000001"}).text

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(desk.decisions, "save", broken)
    form = {"form_token": token(page), "id": "000001", "decision": "visit", "remark": "my words"}
    answer = client.post("/parcel/decide", data=form)
    assert (answer.status_code, "my words" in answer.text) == (500, True)


@pytest.mark.parametrize("digits", ["²", "9" * 5000, "-1", "1e3", "٣"])
def test_numbers_that_are_none_are_answered_calmly(desk: Desk, digits: str) -> None:
    client = client_of(desk, "officer")
    page = client.get("/parcel", params={"id": "000001"}).text
    for path in ("/", "/log", "/tile"):
        values = dict.fromkeys(("page", "before", "saved", "first", "level", "column", "row"), digits)
        assert client.get(path, params=values).status_code in (200, 404), path
    undo = client.post("/parcel/undo", data={"form_token": token(page), "number": digits})
    several = client.post("/undo", data={"form_token": token(page), "first": digits, "count": "1"})
    assert (undo.status_code, several.status_code) == (400, 400)


def test_an_upload_that_is_too_large_is_refused_before_it_is_read(desk: Desk) -> None:
    client = client_of(desk, "officer")
    kind = {"content-type": "multipart/form-data; boundary=x", "content-length": "900000000"}
    answer = client.post("/photos", content=b"--x", headers=kind)
    assert (answer.status_code, "900 MB; at most 450" in answer.text) == (413, True)
    stranger = TestClient(application(desk))
    assert stranger.post("/photos", content=b"--x", headers=kind).status_code == 401
    assert stranger.post("/login", content=b"name=" + b"x" * 1_100_000).status_code == 413
    assert client.post("/decide", content=iter([b"a=b"])).status_code == 411
    lone = {"content-type": "multipart/form-data"}
    assert client.post("/decide", content=b"--x", headers=lone).status_code == 400


def test_of_many_photos_the_good_ones_are_kept_and_the_others_named(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (web, pictures, photos):
        monkeypatch.setattr(module, "MOST_BYTES", 20_000)
    client = client_of(desk, "officer")
    page = client.get("/parcel", params={"id": "000001"}).text
    sent = {
        "good.jpg": photo(),
        "large.jpg": bytes(2_400_000),
        "script.jpg": b"\xff\xd8\xff<script>alert(1)</script>",
        "<b>.svg": b"<svg onload=alert(1)>",
    }
    files = [("photo", (name, io.BytesIO(content), "image/jpeg")) for name, content in sent.items()]
    answer = client.post("/photos", data={"form_token": token(page), "id": "000001"}, files=files)
    assert answer.status_code == 400
    assert [kept["file_name"] for kept in desk.photos.of("000001")] == ["good.jpg"]
    assert "large.jpg</bdi>: The photo has 2 MB" in answer.text
    assert "script.jpg</bdi>: This is no JPEG or HEIC photo" in answer.text
    assert "&lt;b&gt;.svg</bdi>" in answer.text


def test_a_selection_somebody_else_decided_about_is_not_decided_over(desk: Desk) -> None:
    first, second = client_of(desk, "officer"), client_of(desk, "second")
    form = {**fields(first.get("/").text), "selection": "", "decision": "contact", "remark": "all of them"}
    decide(second, "000007", decision="in_order")
    answer = first.post("/decide", data=form)
    assert answer.status_code == 409
    assert "second decided “In order” about parcel 000007" in html.unescape(answer.text)
    assert "all of them" in answer.text
    assert set(desk.decisions.standing()) == {"000007"}


def test_what_was_decided_at_once_is_taken_back_at_once(desk: Desk) -> None:
    client = client_of(desk, "officer")
    decide(client_of(desk, "second"), "000002", decision="refer")
    shown = fields(client.get("/?text=00000").text)
    done = client.post("/decide", data={**shown, "selection": "text=00000", "decision": "contact"})
    assert len(desk.decisions.standing()) == int(shown["count"])
    back = {
        name: value for name, value in fields(done.text).items() if name in ("form_token", "first", "count")
    }
    count = re.search(
        r'name="first" value="(\d+)"><input type="hidden" name="count" value="(\d+)"', done.text
    )
    assert count is not None
    undone = client.post("/undo", data={**back, "first": count[1], "count": count[2]})
    assert f"{shown['count']} decisions were taken back" in undone.text
    assert {name: made.decision for name, made in desk.decisions.standing().items()} == {"000002": "refer"}
    assert client.post("/undo", data={**back, "first": "1", "count": "9999"}).status_code == 400
    assert set(desk.decisions.standing()) == {"000002"}, "nobody takes back another's at once"


def test_a_holding_is_found_by_its_own_number_by_those_who_may_see_it(tmp_path: Path) -> None:
    holding = RUN.table["holding_id"].drop_nulls()[0]
    made = Desk(
        RUN, Store(local_url(tmp_path)), tmp_path, PublishOptions(), SEASON, holdings={holding: "DE 04/117"}
    )
    for role in ("officer", "analyst"):
        made.accounts.create(role, role, PASSWORD, by="test")
    wanted = set(RUN.table.filter(RUN.table["holding_id"] == holding)["parcel_id"])
    for role, expected in (("officer", wanted), ("analyst", set())):
        page = client_of(made, role).get("/", params={"text": "de 04/1"}).text
        assert set(re.findall(r'data-id="(\w+)"', page)) == expected
        assert (
            client_of(made, role).get("/", params={"text": "x", "also": holding}).text.count("data-id=") == 0
        )


def test_behind_a_proxy_a_form_needs_a_token_that_nobody_can_compute(tmp_path: Path) -> None:
    desk = desk_in(tmp_path, proxy_header="x-user")
    client = TestClient(application(desk), headers={"x-user": "officer"})
    page = client.get("/parcel", params={"id": "000001"}).text
    other = desk_in(tmp_path / "other") if (tmp_path / "other").mkdir() is None else None
    assert other is not None
    assert token(page) == token(client.get("/").text), "the same for all pages of a session"
    session = other.accounts.trusted("officer")
    assert session is not None
    assert token(page) != session.form_token
    form = {"id": "000001", "decision": "visit"}
    assert client.post("/parcel/decide", data={**form, "form_token": session.form_token}).status_code == 403
    assert client.post("/parcel/decide", data={**form, "form_token": token(page)}).status_code == 200
    desk.accounts.set_active("officer", False, by="test")
    assert client.get("/", follow_redirects=False).status_code == 303
    unknown = TestClient(application(desk), headers={"x-user": "new.name"})
    assert "/login" in str(unknown.get("/").url)
    answer = unknown.post("/login", data={"name": "administrator", "password": PASSWORD})
    assert answer.status_code == 200, "the first administrator makes the accounts of those the proxy names"
    assert unknown.get("/accounts").status_code == 200


def test_passwords_are_changed_by_their_owner_or_an_administrator(desk: Desk) -> None:
    client, new = client_of(desk, "officer"), "another password"
    form = {"form_token": token(client.get("/password").text), "password": new}
    assert client.post("/password", data={**form, "old_password": "guess"}).status_code == 403
    assert (
        client.post("/password", data={**form, "old_password": PASSWORD, "password": "short"}).status_code
        == 400
    )
    client.post("/password", data={**form, "old_password": PASSWORD})
    assert desk.accounts.log_in("officer", PASSWORD, "here") is None
    assert desk.accounts.log_in("officer", new, "here") is not None
    boss = client_of(desk, "administrator")
    reset = {
        "form_token": token(boss.get("/accounts").text),
        "do": "password",
        "name": "officer",
        "password": PASSWORD,
    }
    assert boss.post("/accounts", data=reset).status_code == 200
    assert desk.accounts.log_in("officer", PASSWORD, "here") is not None
    assert boss.post("/accounts", data={**reset, "name": "nobody"}).status_code == 400


def test_everything_that_is_done_stands_in_the_log_in_words(tmp_path: Path) -> None:
    desk = desk_in(tmp_path, "de")
    client = client_of(desk, "officer")
    page = client.get("/").text
    client.get("/export/parcels.csv?verdict=contradicted")
    client.get("/letters?text=000001")
    client.post("/views", data={"form_token": token(page), "title": "Meine", "selection": ""})
    decide(client, "000001", decision="visit")
    client.post("/logout", data={"form_token": token(page)})
    log = client_of(desk, "second").get("/log").text
    for words in (
        "Ausgegeben: <bdi>parcels.csv",
        "Ausgegeben: <bdi>letters",
        "Ansicht gespeichert: <bdi>Meine",
        "Entscheidung: <bdi>Besuchen",
        "Abgemeldet",
        "Konto angelegt: <bdi>second",
        "Lauf geöffnet",
    ):
        assert words in log, words
    assert f"/parcel?id={RUN.name}" not in log
    assert desk.store.faults() == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE {} SET content='7' WHERE number=2", "Eintrag 2 (Konto angelegt, von test) wurde verändert"),
        ("DELETE FROM {} WHERE number=2", "Eintrag 3 (Angemeldet, von officer) folgt nicht auf den vorigen"),
        (
            "UPDATE {} SET hash='x' WHERE number=3",
            "3 (Angemeldet, von officer) ist nicht der, der eingegeben",
        ),
        ("DELETE FROM {} WHERE number>1", "endet zu früh: Einträge 2 bis 3 fehlen"),
    ],
)
def test_a_german_page_says_in_german_what_does_not_hold(tmp_path: Path, damage: str, said: str) -> None:
    store = Store(local_url(tmp_path), tmp_path / "desk.head.json")
    desk = Desk(RUN, store, tmp_path / "desk", PublishOptions(language="de"), SEASON)
    desk.accounts.create("officer", "officer", PASSWORD, by="test")
    client = client_of(desk, "officer")
    assert desk.faults() == []
    with store.engine.begin() as connection:
        connection.execute(sa.text(damage.format("journal_entries")))
    sentences = desk.faults()
    assert any(said in sentence for sentence in sentences), sentences
    assert not re.search("entry|entries|was|does", " ".join(sentences))
    assert said in client.get("/log").text
    store.close()


def test_an_altered_journal_closes_no_page(desk: Desk) -> None:
    client = client_of(desk, "officer")
    decide(client, "000001", remark="wet")
    files = [("photo", ("x.jpg", io.BytesIO(photo(place=None, direction=None)), "image/jpeg"))]
    form = {"form_token": token(client.get("/").text), "id": "000001"}
    client.post("/photos", data=form, files=files)
    placed = {**form, "sha256": desk.photos.of("000001")[0]["sha256"], "place": "0.1, 0.1"}
    client.post("/photos/place", data=placed)
    decided = next(entry for entry in desk.store.entries(subject="000001") if entry.kind == "decision")
    client.post("/parcel/undo", data={**form, "number": str(decided.number)})
    with desk.store.engine.begin() as connection:
        whole = [dict(row) for row in connection.execute(sa.select(ENTRIES)).mappings()]
    for damage in (
        "content='7'", "content='{'", "content='{}'", "content='[]'", "source='7'", "at='x'", "kind='none'",
        "subject=''", "hash=''", "previous='x'",
    ):  # fmt: skip
        with desk.store.engine.begin() as connection:
            connection.execute(sa.delete(ENTRIES))
            connection.execute(sa.insert(ENTRIES), whole)
            connection.execute(sa.text(f"UPDATE journal_entries SET {damage}"))
        anew = Desk(RUN, desk.store, desk.folder, PublishOptions(list_rate=0.2), SEASON)
        client = TestClient(application(anew), cookies=client.cookies, follow_redirects=True)
        for path in ("/", "/parcel?id=000001", "/progress", "/export/parcels.csv", "/map.json"):
            assert client.get(path).status_code == 200, (damage, path)
        assert "The log does not hold" in client.get("/log").text, damage
        assert "Saved." in decide(client, "000002").text, damage  # type: ignore[attr-defined]


def test_the_log_is_read_to_its_first_entry(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.desk.views.people.LOG_ROWS", 2)
    client, seen = client_of(desk, "officer"), []
    where: str | None = "/log"
    while where is not None:
        page = client.get(where).text
        seen += [int(number) for number in re.findall(r'<tr><td class="num">(\d+)</td>', page)]
        older = re.search(r'rel="next" href="([^"]+)"', page)
        where = older[1] if older else None
    assert seen == list(range(len(desk.store.entries()), 0, -1))


def test_every_kind_of_entry_has_words() -> None:
    sources = "".join(path.read_text() for path in SOURCES)
    kinds = set(re.findall(r'Draft\(\s*"(\w+)"', sources)) | {"photo", "photo_placed", "run_opened"}
    kinds |= {"account_opened", "account_closed"}
    assert {"decision", "undo", "exported"} <= kinds
    for language in ("en", "de"):
        assert {f"entry.{kind}" for kind in kinds} <= translation(language).phrases.keys()


def test_the_desk_refuses_in_the_reader_s_language(tmp_path: Path) -> None:
    answering = [path for path in SOURCES if path.name != "state.py"]  # which speaks before the desk opens
    assert not [
        path.name for path in answering if re.search(r"raise ConfigError|HTTPException\(", path.read_text())
    ]
    client = client_of(desk_in(tmp_path, "de"), "officer")
    answer = decide(client, "000001", due="31.5.2025", remark="Text bleibt")
    assert "ist kein Datum wie 2026-05-31" in answer.text  # type: ignore[attr-defined]
    assert "Text bleibt" in answer.text  # type: ignore[attr-defined]


def test_a_letter_may_have_styles_and_says_days_in_words(tmp_path: Path) -> None:
    desk = desk_in(tmp_path, letter="<style>p { color: navy }</style><p>{{ parcel }} {{ due }}</p>")
    client = client_of(desk, "officer")
    decide(client, "000001", due="20250901", decision="contact")
    answer = client.get("/letters?parcel=000001")
    assert "<p>000001 1 Sep 2025</p>" in answer.text
    assert "style-src 'self' 'unsafe-inline'" in answer.headers["content-security-policy"]
    assert "script-src 'self';" in answer.headers["content-security-policy"]
    assert "unsafe" not in client.get("/").headers["content-security-policy"]


@pytest.mark.parametrize("letter", ["{{ nobody }}", "{% if %}", "{{ 1 / 0 }}", "{{ ''.__class__.__mro__ }}"])
def test_a_letter_that_cannot_be_made_is_said(tmp_path: Path, letter: str) -> None:
    answer = client_of(desk_in(tmp_path, letter=letter), "officer").get("/letters?parcel=000001")
    assert (answer.status_code, "The template of letters" in answer.text) == (400, True)


def test_one_parcel_is_taken_alone_though_others_hold_its_id(desk: Desk) -> None:
    table = client_of(desk, "officer").get("/export/parcels.csv", params={"parcel": "000001"}).text
    assert len(table.splitlines()) == 2
    assert client_of(desk, "officer").get("/export/parcels.csv", params={"parcel": "1"}).text.count("\n") == 1


def test_a_selection_that_no_map_can_draw_is_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.desk.views.maps.MOST_DRAWN", 10)
    answer = client_of(desk, "officer").get("/map")
    assert (answer.status_code, "60 parcels are too many for one map" in answer.text) == (400, True)


def test_own_numbers_of_holdings_do_not_reach_the_disk(tmp_path: Path) -> None:
    names = RUN.table["holding_id"].drop_nulls().unique().sort().to_list()
    own = {name: f"DE 04/{place:03d}" for place, name in enumerate(names)}
    made = Desk(RUN, Store(local_url(tmp_path)), tmp_path / "desk", PublishOptions(), SEASON, holdings=own)
    made.accounts.create("officer", "officer", PASSWORD, by="test")
    client = client_of(made, "officer")
    page = client.get("/", params={"text": "DE 04/001"}).text
    client.get("/export/parcels.csv", params={"text": "DE 04/001"})
    form = {"form_token": token(page), "title": "one"}
    assert client.post("/views", data={**form, "selection": "text=DE+04%2F001"}).status_code == 200
    assert client.post("/views", data={**form, "selection": "text=DE+04"}).status_code == 400
    assert f"holding={names[1]}" in client.get("/").text
    made.store.close()
    assert b"DE 04" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"DE+04" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_letters_are_written_in_the_language_that_is_asked_for(tmp_path: Path) -> None:
    client = client_of(desk_in(tmp_path), "officer")
    assert "/letters?parcel=000001&amp;language=de" in client.get("/parcel?id=000001").text
    english, german = (client.get(f"/letters?parcel=000001&language={name}").text for name in ("en", "de"))
    assert "You declared" in english and "Sie haben" in german
    crop = re.search(r"You declared ([\w ,]+) on", english)
    assert crop is not None
    assert f"Sie haben {translation('de').crop(crop[1])} auf" in german


def test_an_agency_has_a_letter_for_each_language(tmp_path: Path) -> None:
    (tmp_path / "letter_fr.html").write_text("<p>Parcelle {{ parcel }}</p>")
    assert letters_in(tmp_path, "de") == {"fr": tmp_path / "letter_fr.html"}
    assert list(letters_in(None, "de")) == ["de", "en"]
    with pytest.raises(ConfigError, match=r"no template such as letter_de\.html"):
        letters_in(Path(__file__).parent, "de")
