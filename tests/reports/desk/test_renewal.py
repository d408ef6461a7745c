"""A desk left open while its run is made anew reads it again, and a form of before does not count for it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from starlette.testclient import TestClient

from pipelines.steps.changes import VERDICT_CHANGES
from reports.desk.app import application
from reports.desk.records.store import Store, local_url
from reports.desk.renewal import Renewal
from reports.desk.state import Desk
from reports.options import PublishOptions
from reports.run import RunTables
from tests.mock_run import make_run
from tests.reports.desk.test_app import PASSWORD, token

RUN = make_run(40, light=True)
PARCEL = RUN.verdicts["parcel_id"][0]


def made_anew() -> RunTables:
    """The run with another model, and one changed verdict since."""
    rows = [(PARCEL, "changed", "confirmed", "inconclusive", *[None] * 6, ["new_dates"], 1.0)]
    changes = pl.DataFrame(rows, schema=VERDICT_CHANGES, orient="row")
    verdicts = RUN.verdicts.with_columns(model_id=pl.lit("of the new run"))
    return replace(RUN, verdicts=verdicts, evaluation={**RUN.evaluation, "changes_verdicts": changes})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(local_url(tmp_path))
    yield store
    store.close()


def desk_of(run: RunTables, store: Store, folder: Path) -> Desk:
    season = (date(2025, 3, 1), date(2025, 10, 31))
    return Desk(run, store, folder / "desk", PublishOptions(list_rate=0.2), season)


def client_of(renewal: Renewal) -> TestClient:
    client = TestClient(application(renewal.desk), follow_redirects=True)
    assert client.post("/login", data={"name": "officer", "password": PASSWORD}).status_code == 200
    return client


def opened(store: Store, folder: Path, anew: RunTables | None) -> tuple[Renewal, TestClient, Path]:
    """A desk on which somebody works, and the file that its run writes last."""
    seal = folder / "publish.json"
    seal.write_text("first")
    desk = desk_of(RUN, store, folder)
    desk.accounts.create("officer", "officer", PASSWORD, by="test")

    def reopen(store: Store) -> Desk:
        if anew is None:
            raise ValueError("half written")
        return desk_of(anew, store, folder)

    renewal = Renewal(desk, reopen, seal)
    return renewal, client_of(renewal), seal


def test_the_new_tables_are_shown_and_the_decision_of_before_is_asked_again(
    store: Store, tmp_path: Path
) -> None:
    renewal, client, seal = opened(store, tmp_path, made_anew())
    before = client.get("/parcel", params={"id": PARCEL})
    assert 'name="changed"' not in client.get("/").text
    seal.write_text("the second run")
    assert "is being read" in client.get("/").text
    assert renewal.reading is not None
    renewal.reading.join(30)
    listed = client.get("/", params={"changed": "yes"}).text
    assert "is being read" not in listed
    assert "of the new run" in listed
    assert listed.count("data-id=") == 1
    form = {"form_token": token(before.text), "run": str(RUN.verdicts["model_id"][0]), "id": PARCEL,
            "seen": "0", "decision": "visit", "remark": "wet corner"}  # fmt: skip
    answer = client.post("/parcel/decide", data=form)
    assert (answer.status_code, "wet corner" in answer.text) == (409, True)
    assert renewal.desk().decisions.standing() == {}


def test_a_run_that_cannot_be_read_leaves_the_open_one(store: Store, tmp_path: Path) -> None:
    renewal, client, seal = opened(store, tmp_path, None)
    seal.write_text("the second run")
    client.get("/")
    assert renewal.reading is not None
    renewal.reading.join(30)
    page = client.get("/").text
    assert "cannot be read yet" in page
    assert str(PARCEL) in page


def test_a_run_that_stays_is_not_read_again(store: Store, tmp_path: Path) -> None:
    renewal, client, seal = opened(store, tmp_path, None)
    client.get("/")
    seal.unlink()
    client.get("/")
    assert renewal.reading is None
