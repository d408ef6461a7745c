"""COGs in object storage, on a real S3 server (moto's) in a process of its own; skips where it is absent."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from features.catalog.access.hrefs import admit
from features.catalog.access.stamps import UNKNOWN, stamps_of
from features.catalog.reader import ImageryOptions, read_acquisitions
from features.errors import CatalogError, ImageryError
from features.extraction.extract import extract
from features.extraction.observations import read_observations
from features.extraction.options import ExtractOptions
from features.imagery.grids import grid_of
from tests.features.catalog.published_items import cdse
from tests.small_imagery import all_clear, field, optical, parcels, scene, table, write_tif

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


def test_an_item_of_cdse_is_read_from_its_object_storage(server: None, tmp_path: Path) -> None:
    """As CDSE publishes it: links into the bucket `eodata`, ESA's pixels with offset, bands by resolution."""
    folder = "Sentinel-2/MSI/L2A/2024/05/01/S2A.SAFE/GRANULE/IMG_DATA"
    corner = {"corner": (621_000.0, 5_641_000.0), "epsg": 32631}
    for name, number in (("offset", 2000), ("offset-nir", 4000)):
        path = write_tif(tmp_path / f"{name}.tif", np.full((40, 40), number, np.uint16), **corner)
        put(f"eodata/{folder}/{name}.tif", path.read_bytes())
    classes = write_tif(tmp_path / "scl.tif", np.full((20, 20), 4, np.uint8), 20.0, **corner)
    put(f"eodata/{folder}/scl.tif", classes.read_bytes())
    (tmp_path / "items.json").write_text(json.dumps(cdse(f"s3://eodata/{folder}")))
    options = ImageryOptions(catalog=str(tmp_path / "items.json"))
    season, bounds = (date(2024, 3, 1), date(2024, 10, 31)), (4.70, 50.89, 4.75, 50.93)
    with pytest.raises(CatalogError, match=r"refused_href.*allow_object_storage"):
        read_acquisitions(options, bounds, *season)
    allowed = options.model_copy(update={"allow_object_storage": True})
    acquisitions, _ = read_acquisitions(allowed, bounds, *season)
    x, y = corner["corner"]
    shape = shapely.box(x + 100, y - 200, x + 200, y - 100)
    fields = gpd.GeoDataFrame({"parcel_id": ["1"]}, geometry=[shape], crs=32631)
    chosen = ExtractOptions(optical=("B04", "ndvi"), radar=(), inner_buffer_m=0)
    extract(acquisitions, fields, chosen, tmp_path / "o")
    found = read_observations(tmp_path / "o")
    values = dict(zip(found["feature"], found["mean"], strict=True))
    assert values == {"B04": pytest.approx(0.1, abs=1e-6), "ndvi": pytest.approx(0.5, abs=1e-6)}
