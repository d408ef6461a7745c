"""A working day at the desk, by its requests: who may do what, and that nothing typed is lost."""

import html
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from starlette.testclient import TestClient

from models.forecast.anomaly import ANOMALIES
from reports.desk.app import application
from reports.desk.records.store import Store, local_url
from reports.desk.state import Desk
from reports.options import PublishOptions
from tests.mock_run import make_run
from tests.reports.desk.records.test_photos import photo

RUN = make_run(120, light=True)
PASSWORD = "a long password"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    store = Store(local_url(tmp_path))
    made = Desk(
        RUN, store, tmp_path / "desk", PublishOptions(list_rate=0.2), (date(2025, 3, 1), date(2025, 10, 31))
    )
    for name in ("officer", "second", "auditor", "administrator"):
        role = "officer" if name == "second" else name
        made.accounts.create(name, role, PASSWORD, by="test")
    yield made
    store.close()


def client_of(desk: Desk, name: str | None = None) -> TestClient:
    client = TestClient(application(desk), follow_redirects=True)
    if name is not None:
        answer = client.post("/login", data={"name": name, "password": PASSWORD, "next": "/"})
        assert answer.status_code == 200
    return client


def token(text: str) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', text)
    assert found is not None
    return found[1]


def decide(client: TestClient, parcel_id: str, seen: int = 0, **more: str) -> "object":
    page = client.get("/parcel", params={"id": parcel_id})
    form = {"form_token": token(page.text), "id": parcel_id, "seen": str(seen), "decision": "visit", **more}
    return client.post("/parcel/decide", data=form)


def test_nobody_sees_anything_before_logging_in(desk: Desk) -> None:
    client = TestClient(application(desk), follow_redirects=False)
    for path in (
        "/",
        "/parcel?id=000001",
        "/log",
        "/accounts",
        "/export/parcels.csv",
        "/picture?id=000001",
        "/photo",
    ):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["location"].split("?")[0]) == (303, "/login"), path
    assert "000001" not in client.get("/login").text


def test_every_page_can_be_opened(desk: Desk) -> None:
    client = client_of(desk, "administrator")
    decide(client, "000001", remark="<script>alert(1)</script>", assigned_to="=cmd()", due="2025-06-01")
    for path in ("/", "/?text=wheat&sort=hectares", "/parcel?id=000001", "/progress", "/log", "/accounts",
                 "/letters?text=000001", "/sheets?text=000001", "/?page=2"):  # fmt: skip
        answer = client.get(path)
        assert answer.status_code == 200, (path, answer.text)
        assert "<script>alert" not in answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")


def test_german_is_complete(tmp_path: Path) -> None:
    german = PublishOptions(language="de")
    made = Desk(RUN, Store(local_url(tmp_path)), tmp_path, german, (date(2025, 3, 1), date(2025, 10, 31)))
    made.accounts.create("officer", "officer", PASSWORD, by="test")
    client = client_of(made, "officer")
    assert "Arbeitsplatz" in client.get("/parcel", params={"id": "000001"}).text
    assert "Betrieb" in client.get("/letters?text=000001").text


def test_a_decision_is_saved_shown_and_exported(desk: Desk) -> None:
    client = client_of(desk, "officer")
    answer = decide(client, "000001", decision="accept", remark="farmer agrees")
    assert "Saved." in answer.text
    assert "farmer agrees" in answer.text
    table = client.get("/export/parcels.csv?text=000001").content.decode("utf-8-sig").splitlines()
    assert table[0].endswith("decided_by,decided_at,field_result")
    assert ",accept,farmer agrees,,,officer," in table[1]
    assert table[1].endswith(",wrong"), "an accepted correction says that the declaration was wrong"


def test_a_due_day_is_shown_with_or_without_a_name(desk: Desk) -> None:
    client = client_of(desk, "officer")
    decide(client, "000001", due="2025-09-01")
    decide(client, "000002", due="2025-09-02", assigned_to="second")
    for path in ("/parcel?id=000001", "/?sort=due"):
        assert "Due: 1 Sep 2025" in client.get(path).text, path
    assert "<bdi>second</bdi> · Due: 2 Sep 2025" in client.get("/?sort=due").text


@pytest.mark.parametrize(
    ("address", "headers", "https", "secure"),
    [
        ("http://testserver", {}, False, False),
        ("https://testserver", {}, False, True),
        ("http://testserver", {"X-Forwarded-Proto": "https"}, False, True),
        (
            "http://testserver",
            {"X-Forwarded-Proto": "https, http"},
            False,
            True,
        ),  # the browser's own is first
        ("http://testserver", {"X-Forwarded-Proto": "http"}, False, False),
        ("http://testserver", {"Forwarded": 'for=192.0.2.1;Proto="https";by=192.0.2.2'}, False, True),
        ("http://testserver", {"Forwarded": "for=192.0.2.1;proto=http, proto=https"}, False, False),
        ("http://testserver", {}, True, True),
    ],
)
def test_a_cookie_is_sent_by_https_alone_where_browsers_ask_by_it(
    desk: Desk, address: str, headers: dict[str, str], https: bool, secure: bool
) -> None:
    desk.https = https
    client = TestClient(application(desk), address, headers=headers, follow_redirects=False)
    form = {"name": "officer", "password": PASSWORD, "next": "/"}
    cookie = client.post("/login", data=form).headers["set-cookie"]
    assert ("; Secure" in cookie) == secure
    assert "; HttpOnly" in cookie and "SameSite=lax" in cookie


def test_formulas_do_not_leave_the_desk(desk: Desk) -> None:
    client = client_of(desk, "officer")
    decide(client, "000001", remark="=HYPERLINK(1)")
    assert ",=HYPERLINK" not in client.get("/export/parcels.csv?text=000001").text


def test_two_officers_at_one_parcel(desk: Desk) -> None:
    first, second = client_of(desk, "officer"), client_of(desk, "second")
    decide(first, "000001", decision="in_order")
    answer = decide(second, "000001", seen=0, decision="visit", remark="my own words")
    assert answer.status_code == 409
    assert "officer decided “In order”" in answer.text
    assert "my own words" in answer.text
    number = re.search(r'name="seen" value="(\d+)"', answer.text)
    assert number is not None
    assert "Saved." in decide(second, "000001", seen=int(number[1]), decision="visit").text


def test_what_was_typed_survives_the_end_of_a_session(desk: Desk) -> None:
    client = client_of(desk, "officer")
    page = client.get("/parcel", params={"id": "000001"})
    client.cookies.clear()
    form = {
        "form_token": token(page.text),
        "id": "000001",
        "seen": "0",
        "decision": "visit",
        "remark": "long words",
    }
    answer = client.post("/parcel/decide", data=form)
    assert answer.status_code == 401
    kept = dict(re.findall(r'name="(kept_\w+)" value="([^"]*)"', answer.text))
    assert kept["kept_remark"] == "long words"
    back = client.post("/login", data={"name": "officer", "password": PASSWORD, "next": "/", **kept})
    assert "long words</textarea>" in back.text
    assert desk.decisions.of("000001") is None, "nothing is saved in the name of nobody"


def resumed(client: TestClient, path: str, form: dict[str, str], name: str = "officer") -> str:
    """Send a form after the session has ended, log in again, and return the page that comes."""
    client.cookies.clear()
    answer = client.post(path, data=form)
    assert answer.status_code == 401
    kept = dict(re.findall(r'name="(kept_\w+)" value="([^"]*)"', answer.text))
    return client.post(
        "/login", data={"name": name, "password": PASSWORD, "next": "/", **unescaped(kept)}
    ).text


def unescaped(values: dict[str, str]) -> dict[str, str]:
    return {name: html.unescape(value) for name, value in values.items()}


def test_what_was_typed_for_a_selection_survives_the_end_of_a_session(desk: Desk) -> None:
    client = client_of(desk, "officer")
    form = dict(re.findall(r'name="(\w+)" value="([^"]*)"', client.get("/?listed=yes").text))
    typed = {"decision": "visit", "remark": "many words", "assigned_to": "second", "due": "2025-09-01"}
    back = resumed(client, "/decide", {**unescaped(form), **typed})
    assert "many words</textarea>" in back
    assert (
        'value="visit" required checked' in back and 'value="second"' in back and 'value="2025-09-01"' in back
    )
    assert back.count("data-id=") == client.get("/?listed=yes").text.count("data-id="), "the same selection"
    assert 'data-here="/?listed=yes"' in back and 'What you wrote is still there: <a href="#for-all"' in back
    assert not desk.decisions.standing()
    again = dict(re.findall(r'name="(form_token|run|selection|count|upto)" value="([^"]*)"', back))
    assert "Saved." in client.post("/decide", data={**unescaped(again), **typed}).text
    view = {**unescaped(again), "title": "my own view"}
    assert 'value="my own view"' in resumed(client, "/views", view)
    assert "Clear all" in client.post("/views", data={**view, "form_token": token(client.get("/").text)}).text
    renamed = {**view, "new_title": "a better name", "do": "rename"}
    assert 'name="new_title" maxlength="100" value="a better name"' in resumed(
        client, "/views/change", renamed
    )


def test_what_was_typed_for_an_account_comes_back_to_who_may_make_one(desk: Desk) -> None:
    typed = {"do": "create", "name": "new.person", "role": "auditor", "password": "a first password"}
    client = client_of(desk, "administrator")
    back = resumed(client, "/accounts", typed, "administrator")
    assert 'value="new.person"' in back and 'value="auditor" selected' in back
    assert "a first password" not in back
    assert "new.person" not in resumed(client, "/accounts", typed, "officer")


@pytest.mark.parametrize(
    "path", ["/parcel/decide", "/parcel/undo", "/decide", "/views", "/views/change", "/photos", "/logout"]
)
def test_a_form_of_another_site_is_refused(desk: Desk, path: str) -> None:
    client = client_of(desk, "officer")
    before = len(desk.store.entries())
    answer = client.post(path, data={"id": "000001", "decision": "visit", "seen": "0", "form_token": "guess"})
    assert answer.status_code == 403
    assert len(desk.store.entries()) == before


def test_roles_hold_on_the_server(desk: Desk) -> None:
    auditor = client_of(desk, "auditor")
    page = auditor.get("/parcel", params={"id": "000001"})
    assert "/parcel/decide" not in page.text
    form = {"form_token": token(page.text), "id": "000001", "seen": "0", "decision": "visit"}
    assert auditor.post("/parcel/decide", data=form).status_code == 403
    assert client_of(desk, "officer").get("/accounts").status_code == 403


def test_a_selection_is_decided_at_once_and_only_as_it_was_shown(desk: Desk) -> None:
    client = client_of(desk, "officer")
    page = client.get("/?verdict=inconclusive")
    count = re.search(r'name="count" value="(\d+)"', page.text)
    assert count is not None
    form = {"form_token": token(page.text), "selection": "verdict=inconclusive", "decision": "contact"}
    assert client.post("/decide", data={**form, "count": "1"}).status_code == 400
    assert client.post("/decide", data={**form, "count": count[1]}).status_code == 200
    assert len(desk.decisions.standing()) == int(count[1])


def test_photos_come_with_what_speaks_against_them(desk: Desk) -> None:
    client = client_of(desk, "officer")
    page = client.get("/parcel", params={"id": "000001"})
    files = [("photo", ("../x.jpg", io.BytesIO(photo(place=None, direction=None)), "image/jpeg"))]
    form = {"form_token": token(page.text), "id": "000001"}
    answer = client.post("/photos", data=form, files=files)
    assert "no position in the photo" in answer.text
    source = re.search(r"/photo\?sha256=(\w+)", answer.text)
    assert source is not None
    assert client.get(source[0]).headers["content-type"] == "image/jpeg"
    bad = [("photo", ("x.jpg", io.BytesIO(b"<svg>"), "image/jpeg"))]
    assert client.post("/photos", data=form, files=bad).status_code == 400


def test_a_decision_names_the_photos_that_were_there(desk: Desk) -> None:
    client = client_of(desk, "officer")
    form = {"form_token": token(client.get("/").text), "id": "000001"}
    for colour in (60, 200):
        files = [("photo", (f"{colour}.jpg", io.BytesIO(photo(colour=colour)), "image/jpeg"))]
        client.post("/photos", data=form, files=files)
        if colour == 60:
            decide(client, "000001", decision="in_order")
    first, second = (kept["sha256"] for kept in desk.photos.of("000001"))
    standing = desk.decisions.of("000001")
    assert standing is not None
    assert standing.evidence == (first,)
    decide(client, "000001", seen=standing.number, decision="accept")
    table = client.get("/export/parcels.csv?parcel=000001").content
    row = pl.read_csv(table, infer_schema=False).row(0, named=True)
    assert row["evidence"] == f"desk/photos/{first}; desk/photos/{second}"
    assert (desk.folder / "photos" / second).is_file()


def test_undo_and_the_log(desk: Desk) -> None:
    client = client_of(desk, "officer")
    page = decide(client, "000001")
    number = re.search(r'name="number" value="(\d+)"', page.text)
    assert number is not None
    client.post("/parcel/undo", data={"form_token": token(page.text), "number": number[1]})
    assert desk.decisions.of("000001") is None
    assert "The log is intact" in client.get("/log").text


def test_a_view_is_kept_for_its_owner(desk: Desk) -> None:
    client = client_of(desk, "officer")
    page = client.get("/?verdict=contradicted")
    client.post(
        "/views",
        data={"form_token": token(page.text), "title": "My doubts", "selection": "verdict=contradicted"},
    )
    assert "My doubts" in client.get("/").text
    assert "My doubts" not in client_of(desk, "second").get("/").text


def test_a_view_is_renamed_and_deleted_by_its_owner(desk: Desk) -> None:
    client = client_of(desk, "officer")

    def titles() -> list[str]:
        return re.findall(
            r'<a href="/\?[^"]*"><bdi>([^<]+)</bdi></a>', client.get("/").text.split("<table")[0]
        )

    def post(path: str, **form: str) -> int:
        return client.post(path, data={"form_token": token(client.get("/").text), **form}).status_code

    for title in ("Doubts", "Wheat"):
        assert post("/views", title=title, selection="verdict=contradicted") == 200
    assert post("/views/change", title="Doubts", do="rename", new_title="To visit <b>") == 200
    assert titles() == ["To visit &lt;b&gt;", "Wheat"]
    assert post("/views/change", title="Wheat", do="rename", new_title="To visit <b>") == 409
    assert post("/views/change", title="Wheat", do="rename", new_title=" ") == 400
    assert post("/views/change", title="Doubts", do="delete") == 409, "it has another name now"
    second = client_of(desk, "second")
    theirs = {"form_token": token(second.get("/").text), "title": "Wheat", "do": "delete"}
    assert second.post("/views/change", data=theirs).status_code == 409
    assert titles() == ["To visit &lt;b&gt;", "Wheat"]
    assert post("/views/change", title="Wheat", do="delete") == 200
    assert titles() == ["To visit &lt;b&gt;"]
    said = [
        (entry.kind, dict(entry.content))
        for entry in desk.store.entries()
        if entry.kind in ("view_renamed", "view_deleted")
    ]
    assert said == [
        (
            "view_renamed",
            {"title": "Doubts", "new_title": "To visit <b>", "selection": "verdict=contradicted"},
        ),
        ("view_deleted", {"title": "Wheat", "selection": "verdict=contradicted"}),
    ]


def test_a_new_run_under_the_desk_keeps_decisions_and_says_which_run_they_saw(
    desk: Desk, tmp_path: Path
) -> None:
    import polars as pl

    decide(client_of(desk, "officer"), "000001")
    anew = make_run(120, light=True, seed=1)
    changed = anew.verdicts.with_columns(model_id=pl.lit("another"), q_value=pl.lit(0.9, pl.Float32))
    later = Desk(
        make_run(120, light=True, verdicts=changed), desk.store, tmp_path / "desk", desk.options,
        (date(2025, 3, 1), date(2025, 10, 31)),
    )  # fmt: skip
    client = client_of(later, "officer")
    assert "This decision looked at another run" in client.get("/parcel", params={"id": "000001"}).text
    assert "Doubts that are gone" in client.get("/progress").text


def test_strange_addresses_are_answered_calmly(desk: Desk) -> None:
    client = client_of(desk, "officer")
    assert client.get("/parcel?id=../../etc/passwd").status_code == 404
    assert client.get("/static/../../etc/passwd").status_code == 404
    assert client.get("/?page=x&min_ha=abc&sort='").status_code == 200
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_holdings_by_their_own_number_only_for_those_who_may(tmp_path: Path) -> None:
    own = {name: f"DE-{name[:6]}" for name in RUN.table["holding_id"].unique().to_list()}
    season = (date(2025, 3, 1), date(2025, 10, 31))
    made = Desk(RUN, Store(local_url(tmp_path)), tmp_path, PublishOptions(), season, holdings=own)
    for role in ("officer", "analyst"):
        made.accounts.create(role, role, PASSWORD, by="test")
    assert "DE-h0" in client_of(made, "officer").get("/").text
    assert "DE-h0" not in client_of(made, "analyst").get("/").text


def test_a_photo_without_a_place_is_placed_by_a_person_and_no_longer_lacks_one(desk: Desk) -> None:
    officer = client_of(desk, "officer")
    shape = desk.shape("000007").representative_point()
    page = officer.get("/parcel", params={"id": "000007"})
    files = [("photo", ("x.jpg", io.BytesIO(photo(place=None, direction=None)), "image/jpeg"))]
    officer.post("/photos", data={"form_token": token(page.text), "id": "000007"}, files=files)
    kept = desk.photos.of("000007")[0]
    assert "no_place" in kept["findings"]
    place = f"{shape.y:.6f}, {shape.x:.6f}"
    form = {"form_token": token(page.text), "id": "000007", "sha256": kept["sha256"], "place": place}
    shown = officer.post("/photos/place", data=form).text
    assert "no_place" not in desk.photos.of("000007")[0]["findings"]
    assert desk.text("photo_finding.no_place") not in shown
    assert f"Placed by officer at {shape.y:.6f}".rstrip("0") in shown
    far = {**form, "place": f"{shape.y + 0.01:.6f}, {shape.x:.6f}"}
    assert desk.text("photo_finding.outside") in officer.post("/photos/place", data=far).text
    assert desk.photos.of("000007")[0]["facts"]["longitude"] is None  # what the file says stays as it was


def test_a_run_made_anew_keeps_decisions_and_says_which_run_they_looked_at(
    desk: Desk, tmp_path: Path
) -> None:
    decide(client_of(desk, "officer"), "000003", remark="seen from the road")
    verdicts = RUN.verdicts.with_columns(model_id=pl.lit("made-anew"))
    anew = Desk(
        replace(RUN, verdicts=verdicts), desk.store, tmp_path / "desk", PublishOptions(), (date(2025, 3, 1),
        date(2025, 10, 31)),
    )  # fmt: skip
    officer = client_of(anew, "second")
    page = officer.get("/parcel", params={"id": "000003"}).text
    assert "seen from the road" in page
    assert anew.text("desk.stale", model=desk.model_id) in page
    standing = anew.decisions.of("000003")
    assert standing is not None
    assert standing.model_id == desk.model_id
    decide(officer, "000003", seen=standing.number, decision="contact")
    again = anew.decisions.of("000003")
    assert again is not None
    assert (again.decision, again.model_id) == ("contact", "made-anew")
    assert desk.decisions.of("000003") == again  # the desk that is still open on the earlier run sees it too
    assert anew.store.faults() == []


def test_amounts_at_stake_are_exported_where_they_are_known(tmp_path: Path) -> None:
    rates = dict.fromkeys(RUN.declarations["intervention"].dropna().unique(), 100.0)
    for known, expected in ((rates, True), ({}, False)):
        store = Store(local_url(tmp_path / str(expected)))
        made = Desk(
            RUN, store, tmp_path / str(expected), PublishOptions(), (date(2025, 3, 1), date(2025, 10, 31)),
            unit_amounts=known,
        )  # fmt: skip
        made.accounts.create("officer", "officer", PASSWORD, by="test")
        text = client_of(made, "officer").get("/export/parcels.csv").content.decode("utf-8-sig")
        table = pl.read_csv(io.StringIO(text), infer_schema_length=None)
        assert ("amount" in table.columns) is expected
        if expected:
            paid = table.filter(pl.col("amount").is_not_null())
            assert paid["amount"].to_list() == pytest.approx((100 * paid["area_ha"]).to_list())
        store.close()


def test_parcels_that_left_their_forecast_are_a_filter(tmp_path: Path) -> None:
    row = {"parcel_id": "000005", "since": date(2025, 6, 1), "until": date(2025, 6, 20), "direction": "below",
           "looks": 3, "departure": 0.2, "made_on": date(2025, 5, 20), "events": []}  # fmt: skip
    run = replace(RUN, anomalies=pl.DataFrame([row], schema=ANOMALIES))
    store = Store(local_url(tmp_path))
    made = Desk(run, store, tmp_path, PublishOptions(), (date(2025, 3, 1), date(2025, 10, 31)))
    made.accounts.create("officer", "officer", PASSWORD, by="test")
    page = client_of(made, "officer").get("/", params={"anomaly": "below"}).text
    assert "below its forecast" in page
    assert re.findall(r'href="/parcel\?id=(\d+)', page) in (["000005"], ["000005", "000005"])
    store.close()
