"""Catalogs over http: a real STAC API server on loopback, a static one, signed links, odd servers."""

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from features.catalog.access import signing
from features.catalog.reader import CATALOGS, ImageryOptions, read_acquisitions
from features.errors import CatalogError
from tests.features.catalog.test_reader import BOUNDS, assets_of, optical, radar, write_catalog

MAY = (date(2024, 5, 2), date(2024, 5, 16))
BLOB = "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2"


def published(item: dict[str, Any]) -> dict[str, Any]:
    """The item as an API serves it: with a footprint and absolute links."""
    west, south, east, north = item["bbox"]
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    assets = {key: {**asset, "href": f"{BLOB}/{asset['href'][2:]}"} for key, asset in item["assets"].items()}
    return {**item, "geometry": {"type": "Polygon", "coordinates": [ring]}, "assets": assets}


def collection(name: str) -> dict[str, Any]:
    extent = {
        "spatial": {"bbox": [[-180, -90, 180, 90]]},
        "temporal": {"interval": [["2015-01-01T00:00:00Z", None]]},
    }
    described = {"description": name, "license": "other", "extent": extent, "links": []}
    return {"type": "Collection", "stac_version": "1.0.0", "id": name, **described}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def stac_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """rustac's STAC API server with seven optical scenes and two radar ones."""
    program = shutil.which("rustac", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("rustac is not installed")
    folder = tmp_path_factory.mktemp("api")
    scenes = [published(optical(f"S2A_{k}", datetime=f"2024-05-{1 + 3 * k:02d}T10:50:31Z")) for k in range(7)]
    slices = [published(radar(f"S1A_{k}", datetime=f"2024-05-{3 + 6 * k:02d}T17:32:10Z")) for k in range(2)]
    files = []
    for name, value in (
        ("s2", collection("sentinel-2-l2a")),
        ("s1", collection("sentinel-1")),
        ("items", {"type": "FeatureCollection", "features": scenes + slices}),
    ):
        files.append(folder / f"{name}.json")
        files[-1].write_text(json.dumps(value))
    address = f"127.0.0.1:{free_port()}"
    command = [program, "serve", "-a", address, *map(str, files)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(address, server)
    yield f"http://{address}"
    server.terminate()
    server.wait(10)


def wait_for(address: str, server: subprocess.Popen) -> None:
    host, port = address.split(":")
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        if server.poll() is not None:
            break
        time.sleep(0.05)
    pytest.skip("rustac's server did not start")


@pytest.fixture
def serve() -> Iterator[Any]:
    """Start an http server on loopback with a given handler; yields a function that returns its address."""
    running: list[ThreadingHTTPServer] = []

    def start(handler: type[BaseHTTPRequestHandler]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.01}).start()
        running.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def answering(body: str, status: int = 200, asked: list[Any] | None = None) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if asked is not None:
                asked.append((self.path, dict(self.headers)))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None: ...

    return Handler


def test_a_stac_api_is_searched_page_by_page(stac_api: str) -> None:
    options = ImageryOptions(catalog=stac_api, collections=("sentinel-2-l2a",), page_size=2)
    table, tally = read_acquisitions(options, BOUNDS, *MAY)
    assert table["item_id"].to_list() == [f"S2A_{k}" for k in range(1, 6)]
    assert (tally.came_in, tally.went_out) == (5, 5)
    assert assets_of(table)["B04"]["href"] == f"{BLOB}/B04.tif"


def test_both_sensors_come_from_one_search(stac_api: str) -> None:
    table, _ = read_acquisitions(ImageryOptions(catalog=stac_api), BOUNDS, *MAY)
    assert table["sensor"].value_counts().sort("sensor").rows() == [("s1", 2), ("s2", 5)]


@pytest.mark.parametrize(
    ("bounds", "days", "there"),
    [
        (BOUNDS, (date(2023, 5, 2), date(2023, 5, 16)), "from 2024-05-01 to 2024-05-19"),
        ((10.0, 10.0, 11.0, 11.0), MAY, "nothing at these bounds"),
    ],
)
def test_a_search_that_finds_nothing_says_what_is_there(
    stac_api: str, bounds: tuple[float, float, float, float], days: tuple[date, date], there: str
) -> None:
    with pytest.raises(CatalogError, match=there) as refusal:
        read_acquisitions(ImageryOptions(catalog=stac_api, collections=("sentinel-2-l2a",)), bounds, *days)
    assert "it offers the collections sentinel-1, sentinel-2-l2a" in str(refusal.value)


def test_an_unknown_collection_is_an_error_that_lists_the_known_ones(stac_api: str) -> None:
    with pytest.raises(CatalogError, match="sentinel-2-l2a"):
        read_acquisitions(ImageryOptions(catalog=stac_api, collections=("landsat",)), BOUNDS, *MAY)


def test_a_static_catalog_over_http_keeps_its_links_and_never_opens_local_files(
    tmp_path: Path, serve: Any
) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *_: Any) -> None: ...

    item = optical(datetime="2024-05-05T10:00:00Z")
    item["assets"]["blue"] = {"href": "file:///etc/passwd"}
    write_catalog(tmp_path, item)
    address = serve(Quiet)
    table, _ = read_acquisitions(ImageryOptions(catalog=f"{address}/catalog.json"), BOUNDS, *MAY)
    held = assets_of(table)
    assert "B02" not in held
    assert held["B04"]["href"] == f"{address}/items/{item['id']}/B04.tif"


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("<html>sign in</html>", 200, "is not JSON"),
        ("gone", 404, "cannot be read: 404"),
        ("broken", 503, "cannot be read: 503"),
        ('{"type": "Catalog", "conformsTo": [], "links": []}', 200, "did not answer the search"),
    ],
)
def test_servers_that_are_no_catalog(body: str, status: int, message: str, serve: Any) -> None:
    with pytest.raises(CatalogError, match=message):
        read_acquisitions(ImageryOptions(catalog=serve(answering(body, status))), BOUNDS, *MAY)


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(CatalogError, match=r"cannot be read.*Check the address"):
        read_acquisitions(ImageryOptions(catalog=f"http://127.0.0.1:{free_port()}"), BOUNDS, *MAY)


def token(minutes: float, text: str = "sv=1&sig=abc") -> str:
    expiry = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")
    return json.dumps({"msft:expiry": expiry, "token": text})


@pytest.fixture
def no_tokens(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(signing, "_tokens", {})
    monkeypatch.setattr(signing, "RETRIES", signing.RETRIES.new(total=1, backoff_factor=0))
    monkeypatch.delenv("PC_SDK_SUBSCRIPTION_KEY", raising=False)
    return monkeypatch


def test_signed_links_are_marked_in_the_table_and_signed_when_opened(
    stac_api: str, serve: Any, no_tokens: pytest.MonkeyPatch
) -> None:
    options = ImageryOptions(catalog=stac_api, signing="planetary_computer", collections=("sentinel-2-l2a",))
    table, _ = read_acquisitions(options, BOUNDS, *MAY)
    href = assets_of(table)["B04"]["href"]
    assert href == f"planetary_computer+{BLOB}/B04.tif", "no token is ever kept"
    asked: list[Any] = []
    no_tokens.setenv("PC_SDK_SAS_URL", serve(answering(token(45), asked=asked)) + "/token")
    no_tokens.setenv("PC_SDK_SUBSCRIPTION_KEY", "key")
    assert signing.openable(href) == f"{BLOB}/B04.tif?sv=1&sig=abc"
    assert signing.openable(href.replace("B04", "B08")) == f"{BLOB}/B08.tif?sv=1&sig=abc"
    assert [path for path, _ in asked] == ["/token/sentinel2l2a01/sentinel2-l2"], (
        "one token serves a container"
    )
    assert asked[0][1]["Ocp-Apim-Subscription-Key"] == "key"


def test_a_token_about_to_expire_is_renewed(serve: Any, no_tokens: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    no_tokens.setenv("PC_SDK_SAS_URL", serve(answering(token(2), asked=asked)))
    for _ in range(2):
        signing.openable(f"planetary_computer+{BLOB}/B04.tif")
    assert len(asked) == 2


@pytest.mark.parametrize(("body", "status"), [("{}", 200), ("<html>", 200), ("no", 429)])
def test_no_token_is_an_error(body: str, status: int, serve: Any, no_tokens: pytest.MonkeyPatch) -> None:
    no_tokens.setenv("PC_SDK_SAS_URL", serve(answering(body, status)))
    with pytest.raises(CatalogError, match=r"gave no token .*check imagery\.signing"):
        signing.openable(f"planetary_computer+{BLOB}/B04.tif")


def test_catalogs_known_by_name() -> None:
    options = ImageryOptions(catalog="planetary_computer")
    assert options.address == CATALOGS["planetary_computer"].url
    assert options.collections_wanted == ("sentinel-2-l2a", "sentinel-1-rtc")
    assert options.signing_wanted == "planetary_computer"
    chosen = options.model_copy(update={"collections": ("sentinel-2-l2a",), "signing": "none"})
    assert (chosen.collections_wanted, chosen.signing_wanted) == (("sentinel-2-l2a",), "none")
