"""How far a catalog may send us: which files and hosts its links may name, redirects included."""

import ipaddress
import socket
import time
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from requests import PreparedRequest, RequestException, Response, Session
from requests.adapters import HTTPAdapter

from features.catalog.access.hrefs import is_remote, without_secrets
from features.errors import CatalogError, ImageryError
from features.limits import DEFAULT_LIMITS, MIB, LimitOptions

MOST_REPEATS = 5  # of one request: a page that leads to itself
MOST_REDIRECTS = 5
FIRST_BYTE = {"Range": "bytes=0-0"}
TIMEOUT_SECONDS = 30.0
CHUNK = 2**20
KEPT_SECONDS = 240.0  # for which it is known where an asset's address leads to
RETRIES = 3
NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class Reach:
    """What the links of one catalog may name.

    Attributes
    ----------
    folder
        Of a catalog on disk: its documents lie below it. None for one that is read over http.
    hosts
        Hosts, or `host:port`, that links may name: the catalog's own and those that the config names. A name
        that begins with a dot stands for all hosts that end so.
    others
        Whether assets may lie on other hosts too, as long as these have public addresses.
    """

    folder: Path | None
    hosts: tuple[str, ...] = ()
    others: bool = False

    @classmethod
    def of(cls, location: str, hosts: tuple[str, ...] = (), *, others: bool = False) -> "Reach":
        """Return the reach of a catalog that lies at a path or URL."""
        if is_remote(location):
            return cls(None, (host_of(location), *hosts), others)
        return cls(Path(location).absolute().parent, hosts, others)

    def document(self, address: str) -> str:
        """Return the path or URL of a child, item, page or search, or refuse it.

        Raises
        ------
        CatalogError
            Where it lies outside the catalog's folder, or on a host that is not among `hosts`.
        """
        shown = without_secrets(address)
        if is_remote(address):
            if not self._names(address):
                raise CatalogError(
                    f"The catalog leads to {shown}, on another host; name it in imagery.hosts to allow that."
                )
            return address
        if self.folder is None or urlsplit(address).scheme:
            raise CatalogError(
                f"The catalog leads to {shown}, which is no http(s) link; such a link is never followed."
            )
        if not Path(address).resolve().is_relative_to(self.folder.resolve()):
            raise CatalogError(
                f"The catalog leads to {shown}, outside its folder {self.folder}; name the catalog of the "
                "folder above in imagery.catalog."
            )
        return address

    def allows_host(self, address: str) -> bool:
        """Whether an asset may lie at a URL: on a host among `hosts`, or on any public one where `others`."""
        return self._names(address) or (self.others and is_public(urlsplit(address).hostname or ""))

    def _names(self, address: str) -> bool:
        link = urlsplit(address)
        names = {(link.hostname or "").lower(), host_of(address)}
        return any(
            host in names or (host.startswith(".") and any(name.endswith(host) for name in names))
            for host in (named.lower() for named in self.hosts)
        )


def host_of(address: str) -> str:
    """Return host and port of a URL; the port is left out where it is the scheme's own.

    Examples
    --------
    >>> host_of("https://a.org/x"), host_of("http://127.0.0.1:8080/")
    ('a.org', '127.0.0.1:8080')
    """
    link = urlsplit(address)
    usual = {"http": 80, "https": 443}.get(link.scheme)
    host = (link.hostname or "").lower()
    return host if link.port in (None, usual) else f"{host}:{link.port}"


@lru_cache(maxsize=1024)
def is_public(host: str) -> bool:
    """Whether every address of a host is public: not loopback, link-local, private or reserved.

    So is a name that has no address now: nothing can be read from it either.

    Examples
    --------
    >>> is_public("127.0.0.1"), is_public("169.254.169.254"), is_public("10.0.0.1"), is_public("1.1.1.1")
    (False, False, False, True)
    """
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return True
    return all(_is_public(ipaddress.ip_address(str(one).partition("%")[0])) for one in found)


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is public, and so is the one that it carries (6to4, Teredo, NAT64: RFC 6052)."""
    carried: list[ipaddress.IPv4Address | None] = []
    if isinstance(address, ipaddress.IPv6Address):
        teredo = address.teredo
        nat64 = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else None
        carried = [address.ipv4_mapped, address.sixtofour, teredo[1] if teredo else None, nat64]
    return address.is_global and not address.is_multicast and all(map(_is_public, filter(None, carried)))


def final_address(address: str) -> str:
    """Return where an asset's address leads to: GDAL, which follows redirects anywhere, is given that one.

    It is asked as GDAL asks, for its first byte, and again after KEPT_SECONDS: many servers redirect to
    links that open for some minutes only.

    Raises
    ------
    ImageryError
        Where it is redirected to another host that is not public, or too often.
    """
    return _final_address(address, int(time.monotonic() // KEPT_SECONDS))


@lru_cache(maxsize=65_536)
def _final_address(address: str, _period: int) -> str:
    own = host_of(address)
    with Session() as session:
        for _ in range(MOST_REDIRECTS):
            try:
                with session.get(
                    address, headers=FIRST_BYTE, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True
                ) as answer:
                    target = session.get_redirect_target(answer)
            except RequestException:
                return address  # who opens it will say what is wrong
            if target is None:
                return address
            address = urljoin(address, target)
            if not address.startswith(("http://", "https://")) or not (
                host_of(address) == own or is_public(urlsplit(address).hostname or "")
            ):
                raise ImageryError(
                    f"{own} redirects to {host_of(address)}, which is no public address; it is not read.",
                    reason="refused_href",
                )
    raise ImageryError(
        f"{own} redirects more than {MOST_REDIRECTS} times; it is not read.", reason="refused_href"
    )


def session_within(reach: Reach, limits: LimitOptions = DEFAULT_LIMITS) -> Session:
    """Return an HTTP session that asks nothing outside the reach, redirects included, and reads no endless
    answer."""
    session = Session()
    session.max_redirects = MOST_REDIRECTS
    limit_to(session, reach, limits)
    return session


def limit_to(session: Session, reach: Reach, limits: LimitOptions = DEFAULT_LIMITS) -> None:
    """Let every request of a session, and every redirect that it follows, pass the reach first."""
    guard = _Guard(reach, limits)
    for scheme in ("https://", "http://"):
        session.mount(scheme, guard)


class _Guard(HTTPAdapter):
    """Sends a request only where the reach allows it; counts requests, and reads answers up to a size."""

    def __init__(self, reach: Reach, limits: LimitOptions) -> None:
        super().__init__(max_retries=RETRIES)
        self.reach, self.limits = reach, limits
        self.asked: Counter[Any] = Counter()

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        address = str(request.url)
        self.reach.document(address)
        key = (request.method, address, request.body)
        self.asked[key] += 1
        if self.asked[key] > MOST_REPEATS or self.asked.total() > self.limits.catalog_requests:
            raise CatalogError(
                f"{without_secrets(address)} was asked for {self.asked[key]} times, of {self.asked.total()} "
                "requests: the catalog leads round in circles or has no end. Name a smaller one, or raise "
                "limits.catalog_requests where it is that large."
            )
        kwargs["stream"] = True
        answer = super().send(request, *args, **kwargs)
        content = bytearray()
        for chunk in answer.iter_content(CHUNK):
            content += chunk
            if len(content) > self.limits.document_mib * MIB:
                answer.close()
                raise CatalogError(
                    f"{without_secrets(address)} is larger than {self.limits.document_mib} MiB. Ask for "
                    "smaller pages (imagery.page_size), or raise limits.document_mib."
                )
        answer._content, answer._content_consumed = bytes(content), True
        return answer
