"""How assets are known to be as they were: size and time of files, ETag, size and time of what lies behind
a link."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from features.catalog.hrefs import is_remote
from features.catalog.signing import openable
from features.errors import CatalogError

ASKED_AT_ONCE = 16
TIMEOUT_SECONDS = 10.0
UNKNOWN = ""


def stamps_of(hrefs: Iterable[str], before: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a stamp of each asset, by its link: another stamp, another asset.

    Parameters
    ----------
    before
        Stamps as they were; a remote asset that does not answer keeps its own, so that a fault of the network
        is not taken for another asset.

    Returns
    -------
    dict
        `size and time` of a file; `size, time and ETag` as the server states them (RFC 9110); `UNKNOWN` of
        what is absent, or does not answer and never did.
    """
    known = before or {}
    links = sorted(set(hrefs))
    remote = [href for href in links if is_remote(href)]
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        answers = dict(zip(remote, pool.map(_asked, remote), strict=True))
    return {
        href: (answers[href] or known.get(href, UNKNOWN)) if href in answers else file_stamp(href)
        for href in links
    }


def file_stamp(href: str) -> str:
    """Return size (bytes) and time of change (ns) of a file; `UNKNOWN` where there is none."""
    try:
        stat = Path(href).stat()
    except (OSError, ValueError):
        return UNKNOWN
    return f"{stat.st_size} bytes, {stat.st_mtime_ns} ns"


def _asked(href: str) -> str:
    """Return what a server says of an asset, without reading it; redirects are not followed."""
    import requests

    try:
        answer = requests.head(openable(href), timeout=TIMEOUT_SECONDS, allow_redirects=False)
    except (requests.RequestException, CatalogError, ValueError):
        return UNKNOWN
    if answer.status_code != requests.codes.ok:
        return UNKNOWN
    said = [answer.headers.get(name) for name in ("Content-Length", "Last-Modified", "ETag")]
    return ", ".join(part for part in said if part)
