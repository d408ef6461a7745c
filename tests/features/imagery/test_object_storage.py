"""COGs in object storage, on a real S3 server (moto's) in a process of its own; skips where it is absent."""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from features.catalog.hrefs import admit
from features.catalog.stamps import UNKNOWN, stamps_of
from features.errors import ImageryError
from features.extraction.extract import extract
from features.extraction.observations import read_observations
from features.extraction.options import ExtractOptions
from features.imagery.grids import grid_of
from tests.small_imagery import all_clear, field, optical, parcels, scene, table

HOST = "127.0.0.1:5179"
SCOPE = "Credential=testing/20260101/us-east-1/s3/aws4_request"


def put(path: str, data: bytes = b"") -> None:
    """Make a bucket or an object. Proxies are left out: one would be asked for this machine's own address."""
    head = {
        "Authorization": f"AWS4-HMAC-SHA256 {SCOPE}, SignedHeaders=host, Signature=0",
        "Content-Type": "image/tiff",
    }
    request = urllib.request.Request(f"http://{HOST}/{path}", data, head, method="PUT")
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pytest.importorskip("moto", reason="moto[server] is in the dev group")
    settings = {
        "AWS_S3_ENDPOINT": HOST, "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE", "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    where = HOST.split(":")
    command = [sys.executable, "-m", "moto.server", "-H", where[0], "-p", where[1]]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                put("eodata")
                break
            except OSError:
                time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait()


def test_cogs_in_object_storage_give_what_local_ones_give(server: None, tmp_path: Path) -> None:
    options = ExtractOptions(optical=("B04", "ndvi"), inner_buffer_m=0.0)
    row = optical(tmp_path / "i", 0, scene(np.random.default_rng(1)), all_clear())
    fields = parcels(field(0, 0, 200, 200), field(210, 0, 300, 200))
    extract(table(row), fields, options, tmp_path / "local")
    assets = []
    for item in row["assets"]:
        name = Path(item["href"]).name
        put(f"eodata/{name}", Path(item["href"]).read_bytes())
        href = admit(f"s3://eodata/{name}", local=False, remote=True, object_storage=True)
        assets.append(item | {"href": href})
    extract(table(row | {"assets": assets}), fields, options, tmp_path / "remote")
    local, remote = (read_observations(tmp_path / name) for name in ("local", "remote"))
    assert remote.equals(local)
    hrefs = [item["href"] for item in assets]
    stamps = stamps_of([*hrefs, "/vsis3/eodata/absent.tif"])
    assert stamps.pop("/vsis3/eodata/absent.tif") == UNKNOWN
    assert all(
        stamps[href].startswith(f"{Path(item['href']).stat().st_size} bytes, ")
        for href, item in zip(hrefs, row["assets"], strict=True)
    )
    put(f"eodata/{Path(hrefs[0]).name}", b"another image")
    again = stamps_of(hrefs)
    assert [href for href in hrefs if again[href] != stamps[href]] == hrefs[:1]
    with pytest.raises(ImageryError, match="cannot be read"):
        grid_of("/vsis3/eodata/absent.tif")
