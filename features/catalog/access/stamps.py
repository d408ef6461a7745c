"""How assets are known to be as they were: size and time of files, ETag, size and time of what lies behind
a link or in object storage."""

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

from features.catalog.access.hrefs import is_remote
from features.catalog.access.reach import FIRST_BYTE, final_address
from features.catalog.access.signing import openable
from features.errors import CropcheckError
from features.storage.siblings import beside_raster, holds_statistics_alone

ASKED_AT_ONCE = 16
TIMEOUT_SECONDS = 10.0
UNKNOWN = ""
OBJECTS = "/vsis3/"
TRIES = 3  # of an object store
SETTINGS = ("AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_NO_SIGN_REQUEST", "AWS_VIRTUAL_HOSTING", "AWS_REGION")
WITHOUT_HEAD = (403, 405, 501)  # refused, not allowed, not implemented
YES = ("YES", "TRUE", "ON", "1")


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
        `size and time` of a file, of its mask and tags beside it, or of an object; `size, time and ETag` as
        the server states them (RFC 9110);
        `UNKNOWN` of what is absent, or does not answer and never did.
    """
    known = before or {}
    links = sorted(set(hrefs))
    remote = [href for href in links if is_remote(href) or href.startswith(OBJECTS)]
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        answers = dict(zip(remote, pool.map(_asked, remote), strict=True))
    return {
        href: (answers[href] or known.get(href, UNKNOWN)) if href in answers else file_stamp(href)
        for href in links
    }


def file_stamp(href: str) -> str:
    """Return size (bytes) and time of change (ns) of a file, and of its mask and tags where they lie beside
    it; `UNKNOWN` where there is no such file.
    """
    try:
        there = [path for path in beside_raster(href) if path.is_file()]
        beside = [(path.suffix, path) for path in there if not holds_statistics_alone(path)]
        return "; ".join(
            [_size_and_time(Path(href)), *(f"{end}: {_size_and_time(path)}" for end, path in beside)]
        )
    except (OSError, ValueError):
        return UNKNOWN


def _size_and_time(path: Path) -> str:
    stat = path.stat()
    return f"{stat.st_size} bytes, {stat.st_mtime_ns} ns"


def _asked(href: str) -> str:
    """Return the headers that a server gives for an asset, without reading more than its first byte.

    Redirects are followed as far as readers follow them. Where a server answers no `HEAD`, as behind links
    that are signed for reading, the first byte is asked for.
    """
    if href.startswith(OBJECTS):
        return _asked_store(href)
    import requests

    try:
        link = openable(href)
        answer = requests.head(link, timeout=TIMEOUT_SECONDS, allow_redirects=False)
        if answer.is_redirect:
            link = final_address(link)
            answer = requests.head(link, timeout=TIMEOUT_SECONDS, allow_redirects=False)
        if answer.status_code in WITHOUT_HEAD:
            answer = requests.get(
                link, timeout=TIMEOUT_SECONDS, headers=FIRST_BYTE, stream=True, allow_redirects=False
            )
            answer.close()
    except (requests.RequestException, CropcheckError, ValueError):
        return UNKNOWN
    if answer.status_code not in (requests.codes.ok, requests.codes.partial_content):
        return UNKNOWN
    size = answer.headers.get("Content-Range", "").rpartition("/")[2] or answer.headers.get("Content-Length")
    said = [size, *(answer.headers.get(name) for name in ("Last-Modified", "ETag"))]
    return ", ".join(part for part in said if part)


def _asked_store(href: str) -> str:
    """Return size and time of an object; `UNKNOWN` where it is absent or the store does not answer."""
    try:
        found = _store(*(os.environ.get(name) for name in SETTINGS)).get_file_info(href.removeprefix(OBJECTS))
    except (OSError, ValueError):
        return UNKNOWN
    return UNKNOWN if found.mtime_ns is None else f"{found.size} bytes, {found.mtime_ns} ns"


@lru_cache(maxsize=4)
def _store(
    endpoint: str | None, secure: str | None, unsigned: str | None, virtual: str | None, region: str | None
) -> Any:
    """Return the object store that GDAL would read from, by the same settings of the environment.

    Keys and tokens are found by the store's own library, as GDAL's are: `AWS_ACCESS_KEY_ID` and the like.
    """
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    return S3FileSystem(
        anonymous=(unsigned or "NO").upper() in YES,
        endpoint_override=endpoint,
        scheme="https" if (secure or "YES").upper() in YES else "http",
        force_virtual_addressing=endpoint is not None and (virtual or "YES").upper() in YES,
        region=region,
        connect_timeout=TIMEOUT_SECONDS,
        request_timeout=TIMEOUT_SECONDS,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=TRIES),
    )
