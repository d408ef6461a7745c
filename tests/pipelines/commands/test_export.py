"""A run goes into PostGIS and its declarations come back; on a real server, which `.ci/postgis` starts."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import polars as pl
import pytest

from features.declarations.formats.postgis import table_digest
from features.declarations.formats.request import Request
from features.declarations.vector_file import read_vector
from features.errors import DeclarationError, StageError
from features.files import write_text
from features.schema import COMPOSITION
from features.storage.database import DatabaseError, connect, safe_url
from models.patches.composition.tables import FINDINGS
from pipelines.commands.export import export_run, tables_of
from pipelines.tables import write_table
from pipelines.workspace import Workspace
from reports.exports import postgis
from reports.exports.postgis import Exported, export_postgis
from tests.mock_run import make_run

SCHEMA = "cropcheck_test"


@pytest.fixture
def server() -> Iterator[str]:
    url = os.environ.get("CROPCHECK_TEST_POSTGIS")
    if not url:
        pytest.skip('no PostGIS server; start one with: eval "$(.ci/postgis start)"')
    _drop(url)
    yield url
    _drop(url)


def _drop(url: str) -> None:
    with connect(url) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def one(url: str, query: str) -> Any:
    with connect(url) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[arg-type]
    return row[0] if row else None


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(40)
    workspace = Workspace(tmp_path_factory.mktemp("finished"))
    run.declarations.to_parquet(workspace.declarations)
    write_table(run.verdicts, workspace.verdicts)
    return workspace.folder


def test_what_grows_inside_parcels_goes_in_where_pixels_were_looked_at(finished: Path) -> None:
    plain = [table.name for table in tables_of(Workspace(finished))]
    assert "composition_findings" not in plain
    workspace = Workspace(finished)
    parcel = {"parcel_id": make_run(40).verdicts["parcel_id"][0]}
    write_table(
        pl.DataFrame([parcel | {"crop_class": "maize", "share": 1.0}], schema=COMPOSITION),
        workspace.composition,
    )
    write_table(
        pl.DataFrame([parcel | {"more_than_one_crop": False}], schema=FINDINGS),
        workspace.composition_findings,
    )
    try:
        tables = {table.name: table for table in tables_of(workspace)}
        write_text(workspace.manifest, json.dumps({"outputs": {"composition.parquet": "..."}}))
        later = [table.name for table in tables_of(workspace)]  # an earlier run left findings
    finally:
        workspace.manifest.unlink()
        workspace.composition.unlink()
        workspace.composition_findings.unlink()
    assert [tables[name].table.height for name in ("composition", "composition_findings")] == [1, 1]
    assert tables["composition_findings"].parent == "declarations"
    assert "composition" in later and "composition_findings" not in later


def test_a_run_goes_in_and_its_declarations_come_back(server: str, finished: Path) -> None:
    assert f"{SCHEMA}.verdicts: 40 rows" in export_run(finished, server, SCHEMA)
    before = gpd.read_parquet(Workspace(finished).declarations)
    request = Request(["parcel_id", "declared", "area_ha"], layer=f"{SCHEMA}.declarations")
    after = read_vector(server, request).set_index("parcel_id").loc[before["parcel_id"]]
    assert after["declared"].tolist() == before["declared"].tolist()
    assert after.crs == before.crs
    same = after.geometry.geom_equals(before.set_index("parcel_id").geometry)
    assert (same | before.set_index("parcel_id").geometry.is_empty).all()
    assert one(server, f"SELECT count(*) FROM pg_indexes WHERE schemaname = '{SCHEMA}'") >= 6
    joined = f"SELECT count(*) FROM {SCHEMA}.verdicts JOIN {SCHEMA}.declarations USING (parcel_id)"
    assert one(server, joined) == 40


def test_a_second_export_changes_nothing_and_views_stay(server: str, finished: Path) -> None:
    export_run(finished, server, SCHEMA)
    digest = table_digest(server, f"{SCHEMA}.verdicts")
    with connect(server) as connection:
        connection.execute(f"CREATE VIEW {SCHEMA}.doubts AS SELECT * FROM {SCHEMA}.verdicts")
    export_run(finished, server, SCHEMA)
    assert table_digest(server, f"{SCHEMA}.verdicts") == digest
    assert one(server, f"SELECT count(*) FROM {SCHEMA}.doubts") == 40
    changed = [Exported("verdicts", pl.DataFrame({"parcel_id": ["1"]}), ("parcel_id",))]
    with pytest.raises(DatabaseError, match="drop them first") as caught:
        export_postgis(changed, server, SCHEMA)
    assert caught.value.reason == "dependent_views"
    assert one(server, f"SELECT count(*) FROM {SCHEMA}.doubts") == 40


def test_other_content_is_another_digest(server: str, finished: Path) -> None:
    export_run(finished, server, SCHEMA)
    digest = table_digest(server, f"{SCHEMA}.declarations")
    with connect(server) as connection:
        connection.execute(f"UPDATE {SCHEMA}.declarations SET declared = '999' WHERE season > 0")
    assert table_digest(server, f"{SCHEMA}.declarations") != digest


def rows_ended(server: str, name: str) -> Callable[[Exported], Iterator[tuple[Any, ...]]]:
    """Return what yields a table's rows; the server ends the session after 20 of table `name`."""
    rows = postgis._rows

    def ended(table: Exported) -> Iterator[tuple[Any, ...]]:
        for count, row in enumerate(rows(table)):
            if table.name == name and count == 20:
                with connect(server) as other:
                    other.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE pid <> pg_backend_pid() AND query LIKE 'COPY%'"
                    )
            yield row

    return ended


def test_an_export_that_fails_or_is_cut_off_leaves_what_was_there(
    server: str, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_run(finished, server, SCHEMA)
    before = table_digest(server, f"{SCHEMA}.declarations"), table_digest(server, f"{SCHEMA}.verdicts")
    tables = tables_of(Workspace(finished))
    twice = tables[1].table
    broken = [
        tables[0],
        Exported("verdicts", pl.concat([twice, twice]), tables[1].key, parent="declarations"),
    ]
    with pytest.raises(DatabaseError, match="nothing was changed"):
        export_postgis(broken, server, SCHEMA)

    monkeypatch.setattr(postgis, "_rows", rows_ended(server, "verdicts"))
    with pytest.raises(DatabaseError, match="nothing was changed"):
        export_postgis(tables, server, SCHEMA)
    after = table_digest(server, f"{SCHEMA}.declarations"), table_digest(server, f"{SCHEMA}.verdicts")
    assert after == before


def test_a_database_that_is_full_keeps_the_last_export(server: str, finished: Path) -> None:
    """The server says so in the middle of the work, here when the indexes are made."""
    full = "BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'; END"
    name = f"{SCHEMA}_full"
    with connect(server) as connection:
        connection.execute(
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS event_trigger LANGUAGE plpgsql AS $${full}$$"
        )
        connection.execute(
            f"CREATE EVENT TRIGGER {name} ON ddl_command_end WHEN TAG IN ('CREATE INDEX') "
            f"EXECUTE FUNCTION {name}()"
        )
    try:
        with pytest.raises(DatabaseError, match=r"it is full.*Nothing was changed") as caught:
            export_run(finished, server, SCHEMA)
    finally:
        with connect(server) as connection:
            connection.execute(f"DROP FUNCTION {name} CASCADE")
    assert caught.value.reason == "full"
    assert one(server, f"SELECT count(*) FROM pg_namespace WHERE nspname = '{SCHEMA}'") == 0


@pytest.fixture
def small_disk(server: str) -> Iterator[Path]:
    """Yield a disk of 2 MiB, mounted, that the server has as tablespace `cropcheck_small`."""
    data = Path(one(server, "SHOW data_directory"))
    disk = data.parent / "small"
    if not data.is_dir():
        pytest.skip("the server is on another machine")
    disk.mkdir()
    options = f"size=2m,mode=700,uid={data.stat().st_uid}"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", disk], check=False).returncode:
        disk.rmdir()
        pytest.skip("no right to mount a small disk")
    _alone(server, f"CREATE TABLESPACE cropcheck_small LOCATION '{disk}'")
    yield disk
    _drop(server)
    _alone(server, "CHECKPOINT")
    _alone(server, "DROP TABLESPACE cropcheck_small")
    subprocess.run(["umount", disk], check=True)
    disk.rmdir()


def _alone(url: str, command: str) -> None:
    """Run what PostgreSQL takes outside of a transaction only."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(command)  # type: ignore[arg-type]


def test_a_disk_that_fills_up_under_the_export_keeps_the_last_one(
    server: str, small_disk: Path, finished: Path
) -> None:
    there = f"{server}?options=-c%20default_tablespace%3Dcropcheck_small"
    export_run(finished, there, SCHEMA)
    before = digests(server)
    room = shutil.disk_usage(small_disk).free
    (small_disk / "filler").write_bytes(bytes(room - 3 * 8192))  # three of the server's pages are left
    with pytest.raises(DatabaseError, match=r"it is full.*Nothing was changed.*No space left") as caught:
        export_run(finished, there, SCHEMA)
    assert caught.value.reason == "full"
    assert digests(server) == before
    (small_disk / "filler").unlink()
    export_run(finished, there, SCHEMA)
    assert digests(server) == before


def digests(url: str) -> list[str]:
    return [table_digest(url, f"{SCHEMA}.{name}") for name in ("declarations", "verdicts")]


@pytest.mark.parametrize("right", ["nothing", "read"])
def test_a_user_without_the_right_changes_nothing(
    server: str, finished: Path, right: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may not make a schema, and who may read an export but not write it."""
    role = f"{SCHEMA}_reader"
    with connect(server) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'pass'")
    try:
        if right == "read":
            export_run(finished, server, SCHEMA)
            with connect(server) as connection:
                connection.execute(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role}")
                connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {role}")
        before = digests(server) if right == "read" else []
        with monkeypatch.context() as other, pytest.raises(DatabaseError, match="lacks a right") as caught:
            other.setenv("PGPASSWORD", "pass")
            export_run(finished, server.replace("//cropcheck@", f"//{role}@"), SCHEMA)
        assert caught.value.reason == "no_right"
        assert (digests(server) if right == "read" else []) == before
        made = one(server, f"SELECT count(*) FROM pg_namespace WHERE nspname = '{SCHEMA}'")
        assert made == (right == "read")
    finally:
        _drop(server)
        with connect(server) as connection:
            connection.execute(f"DROP ROLE {role}")


def test_an_export_that_dies_at_any_table_leaves_no_schema_behind(
    server: str, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends the session while rows of a table are written, where nothing was there before."""
    tables = tables_of(Workspace(finished))
    for dying in (table.name for table in tables):
        with monkeypatch.context() as dead:
            dead.setattr(postgis, "_rows", rows_ended(server, dying))
            with pytest.raises(DatabaseError, match="nothing was changed"):
                export_postgis(tables, server, SCHEMA)
        assert one(server, f"SELECT count(*) FROM pg_namespace WHERE nspname = '{SCHEMA}'") == 0, dying


def test_a_read_only_database_and_a_schema_of_others_are_left_alone(server: str, finished: Path) -> None:
    export_run(finished, server, SCHEMA)
    before = digests(server)
    with pytest.raises(DatabaseError) as caught:
        export_run(finished, f"{server}?options=-c%20default_transaction_read_only%3Don", SCHEMA)
    assert caught.value.reason == "read_only"
    assert digests(server) == before
    with pytest.raises(DatabaseError, match="no export made"):
        export_run(finished, server, "public")
    with pytest.raises(DatabaseError, match="small letters"):
        export_run(finished, server, "x; DROP SCHEMA public")


def test_a_table_is_found_or_the_nearest_is_named(server: str, finished: Path) -> None:
    export_run(finished, server, SCHEMA)
    with pytest.raises(DeclarationError, match=r"Did you mean 'cropcheck_test.declarations'\?"):
        read_vector(server, Request(["parcel_id"], layer=f"{SCHEMA}.declaration"))
    with pytest.raises(DeclarationError, match="name its table"):
        read_vector(server, Request(["parcel_id"]))
    with pytest.raises(DeclarationError, match=r"no column 'parcel'\. Did you mean 'parcel_id'"):
        read_vector(server, Request(["parcel"], layer=f"{SCHEMA}.declarations"))


def test_a_password_in_an_address_is_refused_and_not_repeated(finished: Path) -> None:
    for url in ("postgresql://anna:hush@host/db", "postgresql://anna@host/db?password=hush"):
        with pytest.raises(DatabaseError) as caught:
            export_run(finished, url, SCHEMA)
        assert "hush" not in str(caught.value)
        assert caught.value.reason == "password_in_url"
        with pytest.raises(DatabaseError):
            read_vector(url, Request(["parcel_id"], layer="a.b"))
        assert "hush" not in safe_url(url)


def test_a_database_that_is_down_is_said_so(finished: Path) -> None:
    with pytest.raises(DatabaseError, match="Check that the server runs") as caught:
        export_run(finished, "postgresql://127.0.0.1:1/db", SCHEMA)
    assert caught.value.reason == "database_down"


def test_a_wrong_password_is_not_repeated(
    server: str, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "hush")
    with pytest.raises(DatabaseError) as caught:
        export_run(finished, server, SCHEMA)
    assert "hush" not in str(caught.value)


def test_a_manifest_that_is_cut_short_is_told(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    (folder / "manifest.json").write_text("{")
    (folder / "events.parquet").write_bytes(b"")
    with pytest.raises(StageError, match="is no manifest; run `cropcheck publish CONFIG` again"):
        tables_of(Workspace(folder))
