"""Links that open only with a token: Planetary Computer's shared access signatures.

A token is free, public and valid for under an hour, so the acquisitions table keeps the plain link, marked
with who signs it (`planetary_computer+https://…`), and whatever opens it calls `openable` at that moment: no
token is ever stored, and a run of many hours asks for new ones. `PC_SDK_SUBSCRIPTION_KEY` in the environment
raises the rate limit; `PC_SDK_SAS_URL` names another endpoint (both as Planetary Computer's own SDK has
them).

CDSE signs nothing: its assets are `s3://eodata/…`, opened by GDAL with
`AWS_S3_ENDPOINT=eodata.dataspace.copernicus.eu`, `AWS_VIRTUAL_HOSTING=FALSE`, `AWS_ACCESS_KEY_ID` and
`AWS_SECRET_ACCESS_KEY` in the environment, and only where the configuration says
`imagery.allow_object_storage: true`.
"""

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from features.catalog.access.hrefs import without_secrets
from features.errors import CatalogError

ENDPOINT = "https://planetarycomputer.microsoft.com/api/sas/v1/token"
MARK = "planetary_computer+"
# A token about to expire is not worth starting a read with.
SPARE = timedelta(minutes=5)
TIMEOUT_SECONDS = 30.0

YOUNG_SECONDS = 60.0
# A busy service is asked again after 1, 2, 4 and 8 seconds, or when it says.
RETRIES = Retry(4, backoff_factor=1, status_forcelist=(429, 500, 502, 503, 504))

_tokens: dict[str, tuple[str, datetime]] = {}
_asked: dict[str, float] = {}
_lock = threading.Lock()


def mark(href: str, signing: str) -> str:
    """Return `href` marked with who signs it, where that is someone and it is an https link.

    Examples
    --------
    >>> mark("https://a.blob.core.windows.net/s2/B04.tif", "planetary_computer")
    'planetary_computer+https://a.blob.core.windows.net/s2/B04.tif'
    """
    return MARK + href if signing == "planetary_computer" and href.startswith("http") else href


def openable(href: str) -> str:
    """Return what a reader can open: `href` itself, or, where it is marked, the same link with a fresh token.

    Raises
    ------
    CatalogError
        Where the token service cannot be reached or answers something else.

    Examples
    --------
    >>> openable("/data/B04.tif")
    '/data/B04.tif'
    """
    if not href.startswith(MARK):
        return href
    return f"{href.removeprefix(MARK)}?{_token(_store(href))}"


def renew(href: str) -> bool:
    """Forget the token of a marked link that was refused; whether another may be had.

    A token can end before its time: it is revoked, or a clock is wrong. One that is younger than a minute is
    not the reason of a refusal, and is kept.
    """
    if not href.startswith(MARK):
        return False
    store = _store(href)
    with _lock:
        asked = _asked.get(store, float("-inf"))
        if time.monotonic() - asked < YOUNG_SECONDS:
            return False
        _tokens.pop(store, None)
        return True


def _store(href: str) -> str:
    link = urlsplit(href.removeprefix(MARK))
    return f"{link.netloc.partition('.')[0]}/{link.path.lstrip('/').partition('/')[0]}"


def _token(store: str) -> str:
    with _lock:
        token, expiry = _tokens.get(store, ("", datetime.min.replace(tzinfo=UTC)))
        if datetime.now(UTC) + SPARE >= expiry:
            token, expiry = _tokens[store] = _ask(store)
            _asked[store] = time.monotonic()
        return token


def _ask(store: str) -> tuple[str, datetime]:
    endpoint = f"{os.environ.get('PC_SDK_SAS_URL', ENDPOINT).rstrip('/')}/{store}"
    key = os.environ.get("PC_SDK_SUBSCRIPTION_KEY")
    headers = {"Ocp-Apim-Subscription-Key": key} if key else {}
    try:
        with requests.Session() as session:
            for scheme in ("https://", "http://"):
                session.mount(scheme, HTTPAdapter(max_retries=RETRIES))
            answer = session.get(endpoint, timeout=TIMEOUT_SECONDS, headers=headers)
            answer.raise_for_status()
            said = answer.json()
        return str(said["token"]), datetime.fromisoformat(said["msft:expiry"]).astimezone(UTC)
    except (requests.RequestException, KeyError, TypeError, ValueError) as error:
        said = without_secrets(str(error))
        raise CatalogError(
            f"{endpoint} gave no token ({said}); check imagery.signing and the network."
        ) from error
