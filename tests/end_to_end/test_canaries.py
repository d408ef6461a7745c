"""Secrets and holdings, marked as canaries: none of them is in anything that a whole run writes or says."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import polars as pl
import pytest
from polars import selectors
from starlette.testclient import TestClient
from typer.testing import CliRunner

from features.files import read_parquet, sha256
from pipelines.cli import app
from pipelines.commands.desk import open_desk
from pipelines.config import load_config
from pipelines.faults import sentence_of
from pipelines.main_job import run_all, run_one
from pipelines.workspace import Workspace
from reports.desk.app import application
from tests.soak import SETTINGS, TINY

CANARY = "CANARY"
ENVIRONMENT = (
    "CROPCHECK_HOLDING_KEY", "PC_SDK_SUBSCRIPTION_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "PGPASSWORD",
)  # fmt: skip
PASSWORD = "a password of nobody"
DESK = (
    "/", "/map", "/map.json", "/progress", "/log", "/export/parcels.csv", "/export/parcels.gpkg",
    "/export/route.gpx", "/sheets",
)  # fmt: skip
SIGNED = (
    "https://example.org/B04.tif?se=2026&sig=CANARY", "https://me:CANARY@example.org/B04.tif",
    "https://example.org/B04.tif?X-Amz-Signature=CANARY", "ftp://me:CANARY@example.org/B04.tif",
)  # fmt: skip


@pytest.mark.filterwarnings("default")  # of libraries within MLflow
@pytest.mark.slow
def test_no_secret_and_no_holding_is_written_or_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, f"{CANARY}-{name}-of-more-than-32-letters")
    config = load_config(TINY, list(SETTINGS))
    run_one("synthesise", config, Workspace(tmp_path / "made"))
    data = tmp_path / "made" / "region"
    parcels = gpd.read_file(data / "declarations.gpkg")
    parcels["holding"] = [f"{CANARY} holding {name}" for name in parcels["holding"]]
    parcels.to_file(data / "declarations.gpkg", driver="GPKG")
    assert sign_some(data / "catalog") == len(SIGNED)
    run = Workspace(tmp_path / "run")
    with caplog.at_level("INFO"):
        run_all(load_config(agency(data), real(data, tmp_path)), run)
    assert read_parquet(run.declarations)["holding_id"].n_unique() > 3  # they were read
    before = kept_of(run)
    assert [place for place, text in desk_pages(run) if CANARY in text] == []
    assert kept_of(run) == before  # the desk reads the run's files and writes none of them
    written = [
        path for folder in (run.folder, tmp_path / "ml") for path in folder.rglob("*") if path.is_file()
    ]
    assert any(path.name == "mlflow.db" for path in written)
    assert [path for path in written if CANARY in "\n".join(texts(path))] == []
    said = capsys.readouterr()
    assert CANARY not in caplog.text + said.out + said.err


def kept_of(run: Workspace) -> dict[str, str]:
    """The hash of every file of a run but those of its desk."""
    files = (path for path in run.folder.rglob("*") if path.is_file() and run.desk not in path.parents)
    return {run.relative(path): sha256(path) for path in files}


def desk_pages(run: Workspace) -> Iterator[tuple[str, str]]:
    """What an officer's desk over the run shows and exports."""
    desk = open_desk(run.folder)
    desk.accounts.create("officer", "officer", PASSWORD, by="test")
    client = TestClient(application(desk), follow_redirects=True)
    client.post("/login", data={"name": "officer", "password": PASSWORD, "next": "/"})
    parcel = read_parquet(run.verdicts)["parcel_id"][0]
    for place in (*DESK, f"/parcel?id={parcel}"):
        answer = client.get(place)
        assert answer.status_code == 200, place
        yield place, answer.content.decode("latin-1")
    parts = dict(re.findall(r'name="(form_token|run)" value="([^"]+)"', answer.text))
    form = {**parts, "id": parcel, "seen": "0", "decision": "visit"}
    assert client.post("/parcel/decide", data=form).status_code == 200
    assert parcel in desk.decisions.standing()
    desk.store.close()


def sign_some(catalog: Path) -> int:
    """Give the red band of a few optical items links with a secret in them."""
    items = sorted(path for path in catalog.rglob("S2*.json"))[: len(SIGNED)]
    for path, href in zip(items, SIGNED, strict=True):
        item = json.loads(path.read_text())
        key = next(key for key, asset in item["assets"].items() if asset["href"].endswith("B04.tif"))
        item["assets"][key]["href"] = href
        path.write_text(json.dumps(item))
    return len(items)


def agency(data: Path) -> Path:
    """The tiny config, less the simulation: the region's files are then read as anybody's."""
    text = TINY.read_text()
    path = data / "agency.yaml"
    path.write_text(text[: text.index("simulate:")] + text[text.index("declarations:") :])
    return path


def real(data: Path, folder: Path) -> list[str]:
    kept = [setting for setting in SETTINGS if not setting.startswith(("simulate", "tracking"))]
    return [
        *kept, "patches.method=boosting", f"declarations.path={data}/declarations.gpkg",
        f"declarations.crops.tables=[{data}/crops.csv]",
        f"imagery.catalog={data}/catalog/catalog.json", f"weather={data}/weather.csv",
        "imagery.allow_remote=true", f"tracking.store=sqlite:///{folder}/ml/mlflow.db",
        f"tracking.artifacts={folder}/ml/artifacts",
    ]  # fmt: skip


def texts(path: Path) -> Iterator[str]:
    """What a file says: its bytes, and the text columns of a table."""
    yield path.read_bytes().decode("latin-1")
    if path.suffix in (".parquet", ".geoparquet"):
        table = read_parquet(path)
        for column in table.select(selectors.string() | selectors.categorical()):
            yield "\n".join(column.cast(pl.String).drop_nulls().to_list())
        nested = [name for name, kind in table.schema.items() if kind.is_nested()]
        yield table.select(nested).write_json() if nested else ""


@pytest.mark.parametrize(
    "command",
    [
        ["export", "FOLDER", "--to", "postgresql://me:CANARY@127.0.0.1:1/db"],
        ["export", "FOLDER", "--to", "postgresql://me@127.0.0.1:1/db?password=CANARY"],
        ["desk", "FOLDER", "--database", "postgresql://me:CANARY@127.0.0.1:1/db"],
        ["check", "CONFIG", "--set", "declarations.path=postgresql://me:CANARY@127.0.0.1:1/db"],
        ["check", "CONFIG", "--set", "tracking.store=postgresql://me:CANARY@127.0.0.1:1/db"],
        ["check", "CONFIG", "--set", "imagery.catalog=https://me:CANARY@example.org/catalog.json"],
    ],
)
def test_no_password_of_a_database_is_said(
    command: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = {"FOLDER": str(tmp_path), "CONFIG": str(TINY)}
    (tmp_path / "manifest.json").write_text("{}")
    ended = CliRunner().invoke(app, [names.get(word, word) for word in command])
    said = ended.output
    if isinstance(ended.exception, Exception):  # what `main` makes of it
        sentence, code = sentence_of(ended.exception)
        said += sentence
        assert code == 2, sentence
    assert ended.exit_code != 0
    assert "password" in said.replace(str(tmp_path), "FOLDER")
    assert CANARY not in caplog.text + said
