"""Where an asset lies, and whether a catalog may send us there."""

import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urljoin, urlsplit, urlunsplit

from features.errors import CatalogError

_REMOTE = ("http", "https")
# Parameters by which a link opens for whoever holds it: Azure's, AWS's, Google's and CloudFront's signatures.
_SECRETS = re.compile(
    r"^(sig|signature|token|access_token|key|api_?key|x-(amz|goog)-.*|awsaccesskeyid)$", re.I
)
_LINK = re.compile(r"\b[a-z][a-z0-9.-]*://[^\s'\"<>)\]]+")


def is_remote(href: str) -> bool:
    """Whether `href` is an http(s) URL, marked for signing (see `features.catalog.access.signing`) or not.

    Examples
    --------
    >>> is_remote("https://example.org/catalog.json"), is_remote("catalog/catalog.json")
    (True, False)
    """
    return urlsplit(href.removeprefix("planetary_computer+")).scheme in _REMOTE


def is_signed(href: str) -> bool:
    """Whether a link carries a signature, a key or a password: it opens for whoever reads it.

    Examples
    --------
    >>> is_signed("https://a.org/B04.tif?se=2026&sig=x"), is_signed("https://a.org/B04.tif?v=2")
    (True, False)
    """
    link = urlsplit(href)
    return "@" in link.netloc or any(_SECRETS.match(name) for name, _ in parse_qsl(link.query, True))


def without_secrets(text: str) -> str:
    """Return a text whose links have lost their queries and passwords, for errors and logs.

    Examples
    --------
    >>> without_secrets("'/vsicurl/https://me:pw@a.org/B04.tif?sig=x': 403")
    "'/vsicurl/https://a.org/B04.tif': 403"
    """
    return _LINK.sub(lambda found: _bare(found[0]), text)


def _bare(href: str) -> str:
    link = urlsplit(href)
    return urlunsplit((link.scheme, link.netloc.rpartition("@")[2], link.path, "", ""))


def resolve(href: str, base: str) -> str:
    """Return `href` as seen from the file or URL `base`.

    Examples
    --------
    >>> resolve("./B04.tif", "/data/items/a/a.json"), resolve("../b.tif", "https://example.org/x/y.json")
    ('/data/items/a/B04.tif', 'https://example.org/b.tif')
    """
    if urlsplit(href).scheme or href.startswith("/vsi"):
        return href
    if is_remote(base):
        return urljoin(base, href)
    return str(Path(base).parent.joinpath(href).absolute().resolve(strict=False))


def admit(href: str, *, local: bool, remote: bool, object_storage: bool) -> str:
    """Return the path or URL to open, or refuse.

    Parameters
    ----------
    href
        Resolved (see `resolve`).
    local, remote, object_storage
        Whether local files, http(s) and `s3://` or `/vsis3/` may be named: a catalog read over http never
        names local files; http(s) links lead only to the catalog's own host and to those that the
        configuration allows (`features.catalog.access.reach`), which must allow object storage too.

    Raises
    ------
    CatalogError
        For what is not allowed: every other scheme and every other `/vsi…` path. Its `reason` is
        refused_href.

    Examples
    --------
    >>> admit("s3://eodata/B04.jp2", local=False, remote=True, object_storage=True)
    '/vsis3/eodata/B04.jp2'
    """
    scheme = urlsplit(href).scheme
    if scheme == "s3" or href.startswith("/vsis3/"):
        return _allowed(href.replace("s3://", "/vsis3/", 1), object_storage, "imagery.allow_object_storage")
    if scheme in _REMOTE:
        return _allowed(href, remote, "imagery.hosts or imagery.allow_remote")
    if scheme not in {"", "file"} or href.startswith("/vsi"):
        raise CatalogError(
            f"{without_secrets(href)} is neither a local file, http(s) nor s3; copy what it names to one of "
            "these."
        )
    if not local:
        raise CatalogError(
            f"{href} is a local file but its catalog is remote; such a link is never followed."
        )
    return unquote(urlsplit(href).path) if scheme else href


def _allowed(href: str, allowed: bool, setting: str) -> str:
    if not allowed:
        raise CatalogError(f"{without_secrets(href)} may not be opened; set {setting} to allow it.")
    return href
