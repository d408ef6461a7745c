"""The databases that a desk may keep its entries in, for tests: SQLite, and a real PostgreSQL server."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reports.desk.records.store import Store, open_store

DATABASES = ("sqlite", "postgresql")


@contextmanager
def store_on(database: str, folder: Path, settings: str = "") -> Iterator[Store]:
    """Yield an empty store; a schema made for it on the server is removed afterwards."""
    if database == "sqlite":
        store = open_store(folder)
        yield store
        store.close()
        return
    import psycopg

    url, schema = server_url(), f"desk_{uuid.uuid4().hex[:12]}"
    store = open_store(folder, url + settings, schema)
    yield store
    store.close()
    with psycopg.connect(url) as connection:
        connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


def server_url() -> str:
    """Return the address of the server that `.ci/postgis` started; skips where there is none."""
    url = os.environ.get("CROPCHECK_TEST_POSTGIS")
    if not url:
        pytest.skip('no PostGIS server; start one with: eval "$(.ci/postgis start)"')
    return url
