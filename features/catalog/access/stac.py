"""Where STAC items come from: a static catalog on disk or over http, an item collection, or a STAC API."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from stat import S_ISREG
from typing import Any

from requests import Session

from features.catalog.access.hrefs import is_remote, resolve, without_secrets
from features.catalog.access.item_files import parse_stac
from features.catalog.access.reach import Reach, limit_to, session_within
from features.catalog.place import Bounds, boxes_of, overlaps
from features.errors import CatalogError
from features.limits import DEFAULT_LIMITS, MIB, LimitOptions
from features.messages.listed import listed

log = logging.getLogger(__name__)

Item = dict[str, Any]

TIMEOUT_SECONDS = 60.0
BROKEN = "broken_link"
NAMED = 5  # broken links that are named in the log
GONE = (404, 410)
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


def fetch_items(
    catalog: str, query: Query, hosts: tuple[str, ...] = (), limits: LimitOptions = DEFAULT_LIMITS
) -> Iterator[tuple[Item | str, str]]:
    """Yield items and the path or URL each was read from.

    A STAC API answers the query itself, page by page; of a static catalog every item of the collections is
    yielded, and the caller filters. For a link of a static catalog to a document that is absent, damaged or
    no STAC object, the reason `broken_link` is yielded in place of an item.

    Parameters
    ----------
    hosts
        That links may lead to, beside the catalog's own (see `features.catalog.access.reach.Reach`).

    Raises
    ------
    CatalogError
        Where the catalog cannot be read, is no JSON or no STAC, leads elsewhere, or has no end; and where a
        server stops answering.
    """
    location = _location(catalog)
    reach = Reach.of(location, hosts)
    with session_within(reach, limits) as session:
        root = read_json(location, session, limits)
        if _is_api(root):
            yield from _search(location, query, reach, limits)
        else:
            yield from _Walk(query.collections, session, reach, limits).below_root(root, location)


def describe(
    catalog: str, query: Query, hosts: tuple[str, ...] = (), limits: LimitOptions = DEFAULT_LIMITS
) -> str:
    """Say in a sentence what a catalog holds, for the error of a search that found nothing."""
    location = _location(catalog)
    reach = Reach.of(location, hosts)
    with session_within(reach, limits) as session:
        root = read_json(location, session, limits)
        if _is_api(root):
            return _describe_api(location, query, reach, limits)
        found = _Walk((), session, reach, limits).below_root(root, location)
        return _describe_items([item for item, _ in found if not isinstance(item, str)], query)


def _describe_items(items: list[Item], query: Query) -> str:
    if not items:
        return "it holds no item at all"
    days = sorted(str((item.get("properties") or {}).get("datetime"))[:10] for item in items)
    boxes = [item["bbox"] for item in items if len(item.get("bbox") or ()) == 4]
    collections = sorted({str(item.get("collection")) for item in items})
    extent = f", bounds {_union(boxes)}{_if_swapped(_union(boxes), query)}" if boxes else ""
    return f"it holds {len(items)} items of {listed(collections)} from {days[0]} to {days[-1]}{extent}"


def _if_swapped(box: list[float], query: Query) -> str:
    """Say where latitude and longitude of a catalog's boxes, or of the parcels, are swapped."""
    west, south, east, north = box
    if overlaps((west, south, east, north), query.bounds) or not overlaps(
        (south, west, north, east), query.bounds
    ):
        return ""
    return (
        ", which would hold the region with latitude and longitude swapped: mend the boxes of its items, or "
        "set declarations.swap_axes where the parcel file has them swapped"
    )


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


def read_json(location: str, session: Session, limits: LimitOptions = DEFAULT_LIMITS) -> dict[str, Any]:
    """Read a STAC object from a path or URL; see `features.catalog.access.item_files.parse_stac`.

    Raises
    ------
    CatalogError
        Where there is nothing, something else than STAC, or more than a document of a catalog can be: with
        the reason `broken_link` where the document itself is at fault, not the way to it.
    """
    shown = without_secrets(location)
    try:
        remote = is_remote(location)
        content = _read_remote(location, session) if remote else _read_file(Path(location), limits)
    except FileNotFoundError as error:
        raise CatalogError(
            f"There is no catalog file {shown}; check imagery.catalog and the links to it.", reason=BROKEN
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        answer = getattr(error, "response", None)
        is_its_own = not is_remote(location) or getattr(answer, "status_code", None) in GONE
        raise CatalogError(
            f"{shown} cannot be read: {without_secrets(str(error))}. Check the address and your access to "
            "it.",
            **({"reason": BROKEN} if is_its_own else {}),
        ) from error
    try:
        return parse_stac(content, location, limits)
    except CatalogError as error:
        raise CatalogError(str(error), reason=BROKEN) from error


def _read_remote(location: str, session: Session) -> bytes:
    answer = session.get(
        location, timeout=TIMEOUT_SECONDS, headers={"Accept": "application/json, application/geo+json"}
    )
    answer.raise_for_status()
    return bytes(answer.content)


def _read_file(path: Path, limits: LimitOptions) -> bytes:
    stat = path.stat()
    if not S_ISREG(stat.st_mode):
        raise CatalogError(f"{path} is no file; name a STAC catalog in imagery.catalog.", reason=BROKEN)
    if stat.st_size > limits.document_mib * MIB:
        raise CatalogError(
            f"{path} is larger than {limits.document_mib} MiB; split it into items, or raise "
            "limits.document_mib.",
            reason=BROKEN,
        )
    return path.read_bytes()


def _is_api(root: Mapping[str, Any]) -> bool:
    return "conformsTo" in root or any(link.get("rel") == "search" for link in _links(root))


def _links(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    links = node.get("links")
    held = links if isinstance(links, list) else []
    return [link for link in held if isinstance(link, Mapping) and isinstance(link.get("href"), str)]


@dataclass
class _Walk:
    """A static catalog, read link by link."""

    collections: tuple[str, ...]
    session: Session
    reach: Reach
    limits: LimitOptions
    seen: set[str] = field(default_factory=set)
    broken: int = 0

    def below_root(self, root: Any, location: str) -> Iterator[tuple[Item | str, str]]:
        self.seen.add(_one_name(location))
        yield from self._below(root, location, self.limits.catalog_depth)
        if self.broken > NAMED:
            log.warning("%d documents of the catalog cannot be read.", self.broken)

    def _below(self, node: Any, location: str, depth: int) -> Iterator[tuple[Item | str, str]]:
        """Yield the items below a node, depth first, in the order of its links."""
        if not isinstance(node, dict):
            raise CatalogError(
                f"{location} holds {node!r:.60} where a STAC object should be; mend or remove it.",
                reason=BROKEN,
            )
        kind = node.get("type")
        if kind == "Feature":
            if not self.collections or node.get("collection") in self.collections:
                yield node, location
            return
        if kind == "FeatureCollection":
            features = node.get("features") or []
            if not isinstance(features, list):
                raise CatalogError(
                    f"{location} holds {features!r:.60} where a list of items should be; mend it.",
                    reason=BROKEN,
                )
            for item in features:
                yield from self._or_reason(item, location, depth)
            return
        if kind not in {"Catalog", "Collection"} and "links" not in node:
            raise CatalogError(
                f"{location} is JSON but no STAC catalog, collection or item (its type is {kind!r:.60}).",
                reason=BROKEN,
            )
        if depth == 0:
            raise CatalogError(
                f"{location} lies more than {self.limits.catalog_depth} catalogs deep; name a nearer one in "
                "imagery.catalog, or raise limits.catalog_depth."
            )
        for link in _links(node):
            if link.get("rel") in {"child", "item"}:
                target = _followed(link["href"], location, self.reach)
                if _one_name(target) not in self.seen:
                    self.seen.add(_one_name(target))
                    yield from self._or_reason(None, target, depth - 1)

    def _or_reason(self, node: Any, location: str, depth: int) -> Iterator[tuple[Item | str, str]]:
        """Yield what lies at a link (`node` None) or in a list; the reason where it is at fault itself."""
        try:
            found = read_json(location, self.session, self.limits) if node is None else node
            yield from self._below(found, location, depth)
        except CatalogError as error:
            if error.reason != BROKEN:
                raise
            self.broken += 1
            log.log(logging.WARNING if self.broken <= NAMED else logging.DEBUG, "%s It is set aside.", error)
            yield BROKEN, location


def _one_name(location: str) -> str:
    """Return one name for a document that links of the file system give several."""
    return location if is_remote(location) else str(Path(location).resolve())


def _followed(href: str, location: str, reach: Reach) -> str:
    try:
        return reach.document(resolve(href, location))
    except (ValueError, OSError) as error:
        raise CatalogError(f"{location} has a link {href!r:.80} that is none ({error}); mend it.") from error


def _search(location: str, query: Query, reach: Reach, limits: LimitOptions) -> Iterator[tuple[Item, str]]:
    seen: set[tuple[Any, Any]] = set()
    with _answered(location):
        client = _client(location, reach, limits)
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


def _describe_api(location: str, query: Query, reach: Reach, limits: LimitOptions) -> str:
    """The collections of an API. Servers that only search list none; this hides no other error."""
    try:
        with _answered(location), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parts of the API that the server does not have
            client = _client(location, reach, limits)
            names = sorted(collection.id for collection in client.get_collections())
            known = [name for name in query.collections if name in names]
            box = boxes_of(query.bounds)[0]
            anywhen = client.search(collections=known or None, bbox=box, limit=20, max_items=20)
            items = list(anywhen.items_as_dicts())
    except CatalogError:
        return "it does not list its collections"
    there = (
        f"; at these bounds, among others, {_describe_items(items, query)}"
        if items
        else "; nothing at these bounds"
    )
    return f"it offers the collections {listed(names)}{there}"


def _client(location: str, reach: Reach, limits: LimitOptions) -> Any:
    import pystac_client
    from pystac_client.stac_api_io import StacApiIO

    io = StacApiIO(timeout=TIMEOUT_SECONDS)
    limit_to(io.session, reach, limits)
    return pystac_client.Client.open(location, stac_io=io)


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
        said = without_secrets(f"The STAC API {location} did not answer the search: {error}")
        raise CatalogError(said) from error
