"""A catalog leads only where the config lets it: hosts, folders, redirects, sizes and circles."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from features.catalog.access import reach, signing
from features.catalog.access.stac import Query, fetch_items
from features.catalog.reader import ImageryOptions, read_acquisitions
from features.errors import CatalogError, ImageryError
from features.imagery.rasters.opening import open_raster, source_of
from features.limits import LimitOptions
from tests.features.catalog.test_reader import BOUNDS, assets_of, optical, write_catalog

MAY = (date(2024, 4, 1), date(2024, 5, 30))
SEARCH = "https://api.stacspec.org/v1.0.0/item-search"


class Site:
    """A web site on loopback: answers by path, and the requests that came."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.answers_head = True
        site = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                site.asked.append(f"{self.command} {self.path}")
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                said = site.answers.get(self.path.partition("?")[0])
                if isinstance(said, str):
                    self.send_response(307)
                    self.send_header("Location", said)
                    self.end_headers()
                    return
                status = said if isinstance(said, int) else 200 if said else 404
                status = status if site.answers_head or self.command != "HEAD" else 405
                body = json.dumps(said or {}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/geo+json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_POST = do_HEAD = answer  # noqa: N815 (the names that http.server calls)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}).start()


@pytest.fixture
def sites() -> Iterator[tuple[Site, Site]]:
    """A site that has a catalog, and another that nobody allowed it to name."""
    pair = Site(), Site()
    yield pair
    for site in pair:
        site.server.shutdown()
        site.server.server_close()


def catalog(*links: dict[str, str]) -> dict[str, Any]:
    return {"type": "Catalog", "id": "c", "stac_version": "1.0.0", "description": "", "links": list(links)}


def api(address: str, search: str) -> dict[str, Any]:
    own = [{"rel": rel, "href": address} for rel in ("self", "root")]
    link = {"rel": "search", "href": search, "type": "application/geo+json", "method": "POST"}
    return catalog(*own, link) | {"conformsTo": ["https://api.stacspec.org/v1.0.0/core", SEARCH]}


def child(here: Site, there: Site) -> None:
    here.answers["/"] = catalog({"rel": "child", "href": f"{there.address}/latest"})


def item(here: Site, there: Site) -> None:
    here.answers["/"] = catalog({"rel": "item", "href": f"{there.address}/latest"})


def redirect(here: Site, there: Site) -> None:
    here.answers["/"] = catalog({"rel": "child", "href": "/moved"})
    here.answers["/moved"] = f"{there.address}/latest"


def root_redirect(here: Site, there: Site) -> None:
    here.answers["/"] = f"{there.address}/latest"


def search_elsewhere(here: Site, there: Site) -> None:
    here.answers["/"] = api(here.address, f"{there.address}/search")


def next_page(here: Site, there: Site) -> None:
    here.answers["/"] = api(here.address, f"{here.address}/search")
    page = {"type": "FeatureCollection", "features": [optical()]}
    here.answers["/search"] = page | {"links": [{"rel": "next", "href": f"{there.address}/search?page=2"}]}


WAYS = [child, item, redirect, root_redirect, search_elsewhere, next_page]


@pytest.mark.filterwarnings("ignore::pystac_client.warnings.PystacClientWarning")
@pytest.mark.parametrize("way", WAYS)
def test_no_link_leads_to_another_host_unless_the_config_names_it(
    way: Callable[[Site, Site], None], sites: tuple[Site, Site]
) -> None:
    here, there = sites
    way(here, there)
    options = ImageryOptions(catalog=f"{here.address}/", allow_remote=True)
    with pytest.raises(CatalogError, match=r"on another host; name it in imagery\.hosts"):
        read_acquisitions(options, BOUNDS, *MAY)
    assert there.asked == []
    there.answers |= {path: {"type": "FeatureCollection", "features": []} for path in ("/latest", "/search")}
    named = options.model_copy(update={"hosts": (there.address.removeprefix("http://"),)})
    if way is next_page:
        assert read_acquisitions(named, BOUNDS, *MAY)[1].came_in == 1
    else:
        with pytest.raises(CatalogError, match=r"No usable imagery|did not answer"):
            read_acquisitions(named, BOUNDS, *MAY)
    assert there.asked != []


def test_assets_on_another_host_are_set_aside_unless_the_config_names_it(sites: tuple[Site, Site]) -> None:
    here, there = sites
    lured = optical(datetime="2024-05-05T10:00:00Z")
    lured["assets"]["red"]["href"] = f"{there.address}/B04.tif"
    here.answers["/"] = {"type": "FeatureCollection", "features": [lured]}
    options = ImageryOptions(catalog=f"{here.address}/", allow_remote=True)  # which is for public hosts
    table, _ = read_acquisitions(options, BOUNDS, *MAY)
    assert "B04" not in assets_of(table)
    named = options.model_copy(update={"hosts": (there.address.removeprefix("http://"),)})
    table, _ = read_acquisitions(named, BOUNDS, *MAY)
    assert assets_of(table)["B04"]["href"] == f"{there.address}/B04.tif"


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("127.0.0.1", False), ("localhost", False), ("169.254.169.254", False), ("10.1.2.3", False),
        ("::1", False), ("fe80::1", False), ("0.0.0.0", False), ("2130706433", False), ("8.8.8.8", True),
        ("::ffff:127.0.0.1", False), ("64:ff9b::7f00:1", False), ("2002:7f00:1::", False),
        ("224.0.0.1", False), ("100.64.0.1", False), ("64:ff9b::808:808", True),
    ],
)  # fmt: skip
def test_public_addresses(host: str, public: bool) -> None:
    assert reach.is_public(host) is public


def test_where_an_asset_leads_to_is_asked_again_before_such_links_end(
    sites: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _ = sites
    now = [1000.0]
    monkeypatch.setattr(reach.time, "monotonic", lambda: now[0])
    here.answers |= {"/B04.tif": "/signed?one", "/signed": {"bytes": 1}}
    assert reach.final_address(f"{here.address}/B04.tif") == f"{here.address}/signed?one"
    here.answers["/B04.tif"] = "/signed?two"
    now[0] += reach.KEPT_SECONDS
    assert reach.final_address(f"{here.address}/B04.tif") == f"{here.address}/signed?two"


def test_an_asset_that_is_redirected_to_a_private_host_is_not_read(sites: tuple[Site, Site]) -> None:
    here, there = sites
    here.answers["/B04.tif"] = f"{there.address}/secret.tif"
    moved = f"{here.address}/B04.tif"
    with (
        pytest.raises(ImageryError, match=r"redirects to .* no public address") as refusal,
        open_raster(moved),
    ):
        pass
    assert refusal.value.reason == "refused_href"
    assert there.asked == []


def test_gdal_is_given_the_address_that_a_redirect_ends_at(sites: tuple[Site, Site]) -> None:
    here, _ = sites
    here.answers["/B04.tif"] = "/moved/B04.tif"
    here.answers["/moved/B04.tif"] = {"no": "raster"}
    assert source_of(f"{here.address}/B04.tif?key=1") == f"/vsicurl/{here.address}/moved/B04.tif"
    assert here.asked == ["GET /B04.tif?key=1", "GET /moved/B04.tif"]  # as GDAL reads, not as a mere look


def test_an_asset_that_is_redirected_for_ever_is_not_read(sites: tuple[Site, Site]) -> None:
    here, _ = sites
    here.answers["/B04.tif"] = "/B04.tif"
    with (
        pytest.raises(ImageryError, match="redirects more than 5 times"),
        open_raster(f"{here.address}/B04.tif"),
    ):
        pass
    assert len(here.asked) == 5


def test_a_catalog_on_disk_reads_only_below_its_folder(tmp_path: Path) -> None:
    options = write_catalog(tmp_path / "own", optical())
    (tmp_path / "other.json").write_text(json.dumps(optical("other")))
    for href in ("../other.json", str(tmp_path / "other.json"), "https://example.org/item.json", "/dev/zero"):
        root = catalog({"rel": "item", "href": href})
        Path(options.catalog).write_text(json.dumps(root))
        with pytest.raises(CatalogError, match="leads to"):
            list(fetch_items(options.catalog, Query(BOUNDS, *MAY)))


def test_an_item_that_is_gone_is_set_aside_and_a_server_that_fails_is_not(sites: tuple[Site, Site]) -> None:
    here, _ = sites
    here.answers["/"] = catalog({"rel": "item", "href": "/a"}, {"rel": "item", "href": "/gone"})
    here.answers["/a"] = optical()
    options = ImageryOptions(catalog=f"{here.address}/")
    table, tally = read_acquisitions(options, BOUNDS, *MAY)
    assert (table.height, tally.set_aside) == (1, {"broken_link": 1})
    here.answers["/"] = catalog({"rel": "item", "href": "/a"}, {"rel": "item", "href": "/fails"})
    here.answers["/fails"] = 503
    with pytest.raises(CatalogError, match="503"):
        read_acquisitions(options, BOUNDS, *MAY)


def test_a_page_that_leads_to_itself_ends(sites: tuple[Site, Site]) -> None:
    here, _ = sites
    here.answers["/"] = api(here.address, f"{here.address}/search")
    page = {"type": "FeatureCollection", "features": [optical()]}
    here.answers["/search"] = page | {"links": [{"rel": "next", "href": f"{here.address}/search?page=2"}]}
    with pytest.raises(CatalogError, match="round in circles"):
        read_acquisitions(ImageryOptions(catalog=f"{here.address}/"), BOUNDS, *MAY)


def test_catalogs_in_catalogs_end_somewhere(tmp_path: Path) -> None:
    for number in range(30):
        link = {"rel": "child", "href": f"./c{number + 1}.json"}
        (tmp_path / f"c{number}.json").write_text(json.dumps(catalog(link)))
    options = ImageryOptions(catalog=str(tmp_path / "c0.json"))
    with pytest.raises(CatalogError, match=r"more than 12 catalogs deep; .*or raise limits\.catalog_depth"):
        read_acquisitions(options, BOUNDS, *MAY)
    (tmp_path / "c30.json").write_text(json.dumps(optical()))
    assert read_acquisitions(options, BOUNDS, *MAY, LimitOptions(catalog_depth=31))[0].height == 1


def test_a_catalog_of_new_pages_without_end_is_left_off(sites: tuple[Site, Site]) -> None:
    here, _ = sites
    here.answers["/"] = catalog(*({"rel": "child", "href": f"/c{number}"} for number in range(100)))
    here.answers |= {f"/c{number}": catalog() for number in range(100)}
    few = LimitOptions(catalog_requests=40)
    with pytest.raises(CatalogError, match=r"of 41 requests.*raise limits\.catalog_requests"):
        read_acquisitions(ImageryOptions(catalog=f"{here.address}/"), BOUNDS, *MAY, few)
    assert len(here.asked) == 40


def test_a_large_file_on_disk_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "catalog.json").open("wb") as file:
        file.truncate(600 * 2**20)
    with pytest.raises(CatalogError, match=r"is larger than 512 MiB; split it into items"):
        read_acquisitions(ImageryOptions(catalog=str(tmp_path / "catalog.json")), BOUNDS, *MAY)


def test_a_document_without_end_is_left_off(sites: tuple[Site, Site], tmp_path: Path) -> None:
    here, _ = sites
    here.answers["/"] = catalog() | {"title": "x" * 2 * 2**20}
    one = LimitOptions(document_mib=1)
    for place in (f"{here.address}/", str(tmp_path)):
        (tmp_path / "catalog.json").write_text(json.dumps(here.answers["/"]))
        with pytest.raises(CatalogError, match=r"is larger than 1 MiB.*raise limits\.document_mib"):
            read_acquisitions(ImageryOptions(catalog=place), BOUNDS, *MAY, one)


@pytest.mark.parametrize(
    "root",
    [
        catalog() | {"links": 5},
        catalog({"rel": "child", "href": 7}),  # type: ignore[dict-item]
        catalog({"rel": "child", "href": "http://[::1"}),
        catalog({"rel": "child", "href": "a\0b"}),
        {"type": "FeatureCollection", "features": {"a": 1}},
        {"type": "FeatureCollection", "features": [5]},
    ],
)
def test_odd_types_and_links_are_a_sentence(root: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "catalog.json").write_text(json.dumps(root))
    with pytest.raises(CatalogError):
        read_acquisitions(ImageryOptions(catalog=str(tmp_path)), BOUNDS, *MAY)


SIGNED = "https://a.org/B04.tif?se=2026-01-01&sig=CANARY"


def test_signed_links_are_neither_kept_nor_shown(
    sites: tuple[Site, Site], caplog: pytest.LogCaptureFixture
) -> None:
    here, _ = sites
    lured = optical(datetime="2024-05-05T10:00:00Z")
    lured["assets"]["red"]["href"] = SIGNED
    lured["assets"]["nir"]["href"] = "ftp://me:CANARY@a.org/B08.tif"
    lured["assets"]["blue"]["href"] = f"{here.address}/B02.tif?X-Amz-Signature=CANARY"
    here.answers["/"] = {"type": "FeatureCollection", "features": [lured]}
    options = ImageryOptions(catalog=f"{here.address}/", allow_remote=True)
    with caplog.at_level("DEBUG"):
        table, _ = read_acquisitions(options, BOUNDS, *MAY)
    assert "CANARY" not in table.write_json()
    assert "CANARY" not in caplog.text
    assert set(assets_of(table)) == {"B8A", "scl"}


def test_a_link_that_is_signed_for_us_anew_loses_its_signature(sites: tuple[Site, Site]) -> None:
    here, _ = sites
    lured = optical(datetime="2024-05-05T10:00:00Z")
    store = "https://sentinel2l2a01.blob.core.windows.net/s2/B04.tif"
    lured["assets"]["red"]["href"] = f"{store}?sig=CANARY"
    here.answers["/"] = {"type": "FeatureCollection", "features": [lured]}
    options = ImageryOptions(catalog=f"{here.address}/", signing="planetary_computer")
    table, _ = read_acquisitions(options, BOUNDS, *MAY)
    assert assets_of(table)["B04"]["href"] == f"planetary_computer+{store}"


@pytest.mark.parametrize("catalog", ["https://me:CANARY@a.org/stac", "https://a.org/stac?api_key=CANARY"])
def test_a_catalog_address_with_a_key_is_refused(catalog: str) -> None:
    with pytest.raises(ValidationError, match=r"put it into ~/\.netrc"):
        ImageryOptions(catalog=catalog)


def test_the_token_of_a_link_that_cannot_be_read_is_not_shown(
    sites: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _ = sites
    asked = []

    def ask(store: str) -> tuple[str, Any]:
        asked.append(store)
        return f"sig=CANARY{len(asked)}", signing.datetime.max.replace(tzinfo=signing.UTC)

    monkeypatch.setattr(signing, "_tokens", {})
    monkeypatch.setattr(signing, "_asked", {})
    monkeypatch.setattr(signing, "_ask", ask)
    monkeypatch.setattr(signing, "YOUNG_SECONDS", 0.0)
    with pytest.raises(ImageryError) as refusal, open_raster(f"planetary_computer+{here.address}/s2/B04.tif"):
        pass
    assert "CANARY" not in str(refusal.value)
    assert len(asked) == 2  # a token that was refused is renewed once
    assert any("CANARY2" in path for path in here.asked)
