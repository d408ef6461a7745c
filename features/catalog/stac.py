"""Where STAC items come from: a static catalog on disk or over http, an item collection, or a STAC API."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from features.catalog.hrefs import is_remote, resolve
from features.catalog.item_files import parse_stac
from features.catalog.place import Bounds, boxes_of
from features.errors import CatalogError

log = logging.getLogger(__name__)

Item = dict[str, Any]

TIMEOUT_SECONDS = 60.0
DEEPEST = 12
# What a folder that is named as a catalog is read from, the first that it holds.
ROOTS = ("catalog.json", "collection.json", "items.json", "items.ndjson", "items.parquet")


@dataclass(frozen=True)
class Query:
    """What is asked of a catalog: bounds west, south, east, north in degrees, both dates included.

    West lies beyond east where the region crosses the antimeridian: a STAC API is then asked for two boxes.
    """

    bounds: Bounds
    start: date
    end: date
    collections: tuple[str, ...] = ()
    page_size: int = 100


def fetch_items(catalog: str, query: Query) -> Iterator[tuple[Item, str]]:
    """Yield items and the path or URL each was read from.

    A STAC API answers the query itself, page by page; of a static catalog every item of the collections is
    yielded, and the caller filters.

    Raises
    ------
    CatalogError
        Where the catalog cannot be read, is no JSON or no STAC.
    """
    location = _location(catalog)
    root = read_json(location)
    if _is_api(root):
        yield from _search(location, query)
    else:
        yield from _walk(root, location, query.collections, DEEPEST, {location})


def describe(catalog: str, query: Query) -> str:
    """Say in a sentence what a catalog holds, for the error of a search that found nothing."""
    location = _location(catalog)
    root = read_json(location)
    if _is_api(root):
        return _describe_api(location, query)
    items = [item for item, _ in _walk(root, location, (), DEEPEST, {location})]
    return _describe_items(items)


def _describe_items(items: list[Item]) -> str:
    if not items:
        return "it holds no item at all"
    days = sorted(str((item.get("properties") or {}).get("datetime"))[:10] for item in items)
    boxes = [item["bbox"] for item in items if len(item.get("bbox") or ()) == 4]
    collections = sorted({str(item.get("collection")) for item in items})
    extent = f", bounds {_union(boxes)}" if boxes else ""
    return f"it holds {len(items)} items of {collections} from {days[0]} to {days[-1]}{extent}"


def _union(boxes: list[list[float]]) -> list[float]:
    west, south, east, north = zip(*boxes, strict=True)
    return [round(value, 3) for value in (min(west), min(south), max(east), max(north))]


def _location(catalog: str) -> str:
    if is_remote(catalog):
        return catalog
    path = Path(catalog).expanduser()
    if path.is_dir():
        inside = (path / name for name in ROOTS)
        path = next((file for file in inside if file.is_file()), path / ROOTS[0])
    return str(path.absolute())


def read_json(location: str) -> dict[str, Any]:
    """Read a STAC object from a path or URL; see `features.catalog.item_files.parse_stac`.

    Raises
    ------
    CatalogError
        Where there is nothing, or something else than STAC.
    """
    try:
        content = _read_remote(location) if is_remote(location) else Path(location).read_bytes()
    except FileNotFoundError as error:
        raise CatalogError(
            f"There is no catalog file {location}; check imagery.catalog and the links to it."
        ) from error
    except OSError as error:
        raise CatalogError(
            f"{location} cannot be read: {error}. Check the address and your access to it."
        ) from error
    return parse_stac(content, location)


def _read_remote(location: str) -> bytes:
    import requests

    answer = requests.get(
        location, timeout=TIMEOUT_SECONDS, headers={"Accept": "application/json, application/geo+json"}
    )
    answer.raise_for_status()
    return bytes(answer.content)


def _is_api(root: Mapping[str, Any]) -> bool:
    return "conformsTo" in root or any(link.get("rel") == "search" for link in _links(root))


def _links(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [link for link in node.get("links") or [] if isinstance(link, Mapping) and link.get("href")]


def _walk(
    node: dict[str, Any], location: str, collections: tuple[str, ...], depth: int, seen: set[str]
) -> Iterator[tuple[Item, str]]:
    """Yield the items below a node of a static catalog, depth first, in the order of its links."""
    if not isinstance(node, dict):
        raise CatalogError(f"{location} holds {node!r} where a STAC object should be; mend or remove it.")
    kind = node.get("type")
    if kind == "Feature":
        if not collections or node.get("collection") in collections:
            yield node, location
        return
    if kind == "FeatureCollection":
        for item in node.get("features") or []:
            yield from _walk(item, location, collections, depth, seen)
        return
    if kind not in {"Catalog", "Collection"} and "links" not in node:
        raise CatalogError(
            f"{location} is JSON but no STAC catalog, collection or item (its type is {kind!r})."
        )
    if depth == 0:
        raise CatalogError(
            f"{location} lies more than {DEEPEST} catalogs deep; name a nearer one in imagery.catalog."
        )
    for link in _links(node):
        target = resolve(str(link["href"]), location)
        if link.get("rel") in {"child", "item"} and target not in seen:
            seen.add(target)
            yield from _walk(read_json(target), target, collections, depth - 1, seen)


def _search(location: str, query: Query) -> Iterator[tuple[Item, str]]:
    seen: set[tuple[Any, Any]] = set()
    with _answered(location):
        client = _client(location)
        for box in boxes_of(query.bounds):
            found = client.search(
                collections=list(query.collections) or None,
                bbox=box,
                datetime=f"{query.start}T00:00:00Z/{query.end}T23:59:59Z",
                limit=query.page_size,
            )
            for item in found.items_as_dicts():
                key = (item.get("collection"), item.get("id"))
                if len(boxes_of(query.bounds)) == 1 or key not in seen:
                    seen.add(key)
                    yield item, location


def _describe_api(location: str, query: Query) -> str:
    with _answered(location):
        client = _client(location)
        names = sorted(collection.id for collection in client.get_collections())
        known = [name for name in query.collections if name in names]
        box = boxes_of(query.bounds)[0]
        anywhen = client.search(collections=known or None, bbox=box, limit=20, max_items=20)
        items = list(anywhen.items_as_dicts())
    there = (
        f"; at these bounds, among others, {_describe_items(items)}" if items else "; nothing at these bounds"
    )
    return f"it offers the collections {names}{there}"


def _client(location: str) -> Any:
    import pystac_client

    return pystac_client.Client.open(location, timeout=TIMEOUT_SECONDS)


@contextmanager
def _answered(location: str) -> Iterator[None]:
    """Turn whatever a STAC API fails with into one error; a missing page fails the whole search."""
    from pystac.errors import STACError
    from pystac_client.errors import ClientTypeError
    from pystac_client.exceptions import APIError

    try:
        yield
    except (
        APIError,
        STACError,
        ClientTypeError,
        NotImplementedError,
        KeyError,
        ValueError,
        OSError,
    ) as error:
        raise CatalogError(f"The STAC API {location} did not answer the search: {error}") from error
