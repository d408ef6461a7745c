"""What every request goes through: who asks, forged forms, headers that browsers heed, errors as pages."""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from features.errors import CropcheckError
from reports.desk.records.accounts import Session
from reports.desk.records.photos import MOST_BYTES
from reports.desk.records.refusal import Refused
from reports.desk.records.store import StoreError
from reports.desk.state import Desk
from reports.translation import Text

COOKIE = "cropcheck_desk"
MOST_FILES, MOST_FIELDS = 50, 100
MOST_FORM, MOST_UPLOAD = 1_000_000, 450_000_000  # bytes of a form, and of one with photos
SECRET = ("form_token", "password", "old_password")  # fields that no page shows again
log = logging.getLogger(__name__)
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Ask:
    """One request, read.

    `form` holds the last value of each field; `files` name, content and size of the uploads, the content of
    those that are too large left out; `trouble` is why the request could not be read; `here` is the address
    of the page that the answer shows, where the browser asked for another.
    """

    request: Request
    session: Session
    query: Mapping[str, str]
    form: Mapping[str, str] = field(default_factory=dict)
    files: tuple[tuple[str, bytes, int], ...] = ()
    trouble: Exception | None = None
    here: str = ""

    @property
    def kept(self) -> dict[str, str]:
        """What was typed, to be shown again."""
        return {name: value for name, value in self.form.items() if name not in SECRET}

    @property
    def address(self) -> str:
        """Path and query of the request."""
        query = self.request.url.query
        return self.request.url.path + (f"?{query}" if query else "")


Handler = Callable[[Desk, Ask], Response]
Source = Callable[[], Desk]  # gives the desk as it is when a request comes
ANONYMOUS = Session("", "", "")


def endpoint(
    source: Source, handler: Handler, act: str | None = None
) -> Callable[[Request], Awaitable[Response]]:
    """Return what a route calls: the person is known and may `act`, the form is theirs, errors are pages."""

    async def answer(request: Request) -> Response:
        desk = source()
        ask = await _read(desk, request)
        return _guarded(await run_in_threadpool(_answered, desk, handler, act, ask))

    return answer


def open_endpoint(source: Source, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Return what a route calls that anybody may ask: the log-in."""

    async def answer(request: Request) -> Response:
        desk = source()
        ask = await _read(desk, request)
        return _guarded(await run_in_threadpool(_told, desk, handler, ask))

    return answer


def page(desk: Desk, ask: Ask, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page of the desk."""
    frame = {
        "t": desk.text,
        "lang": desk.text.language,
        "session": ask.session,
        "region": desk.title,
        "season": desk.run.season,
        "model_id": desk.model_id,
        "path": ask.request.url.path,
        "address": ask.address,
        "here": ask.here,
        "notice": desk.text(desk.notice) if desk.notice else "",
        "again": ask.address if ask.request.method == "GET" else "/",
        "moment": lambda at: moment(desk, at),
        "on_day": lambda day: on_day(desk.text, day),
    }
    return HTMLResponse(desk.template(f"desk/{template}").render(**frame, **values), status)


def moment(desk: Desk, at: str) -> str:
    """Return when an entry was made, by this machine's clock, in the desk's language."""
    try:
        here = datetime.fromisoformat(at).replace(tzinfo=UTC).astimezone()
    except ValueError:  # altered by hand
        return at
    return desk.text("desk.moment", day=desk.text.day(here.date(), year=True), time=f"{here:%H:%M}")


def on_day(text: Text, day: str) -> str:
    """Return a day such as 2026-05-31 in a language."""
    try:
        return text.day(date.fromisoformat(day), year=True)
    except ValueError:  # entered by an earlier version
        return day


def number(text: str) -> int | None:
    """Return a whole number of an address or a form, or None where it is none.

    Examples
    --------
    >>> number("12"), number("-1"), number("²"), number("9" * 5000)
    (12, None, None, None)
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None


def go(path: str, **query: object) -> RedirectResponse:
    """Return the answer that sends the browser to another page of the desk."""
    return RedirectResponse(path + (f"?{urlencode(query)}" if query else ""), 303)


def _answered(desk: Desk, handler: Handler, act: str | None, ask: Ask) -> Response:
    if isinstance(ask.trouble, StoreError):
        return _said(desk, ask, ask.trouble)
    if not ask.session.name:
        return _log_in_again(desk, ask)
    return _told(desk, handler, _allowed(desk, act, ask))


def _allowed(desk: Desk, act: str | None, ask: Ask) -> Ask:
    """Return the request, with any doubts about it."""
    if act is not None and not ask.session.may(act):
        return replace(ask, trouble=Refused("desk.forbidden", 403))
    if ask.trouble is not None:
        return ask
    if ask.request.method == "POST" and ask.form.get("form_token") != ask.session.form_token:
        return replace(ask, trouble=Refused("desk.forged", 403))
    if act is not None and ask.form.get("run", desk.model_id) != desk.model_id:
        return replace(ask, trouble=Refused("desk.other_run", 409))
    return ask


def _told(desk: Desk, handler: Handler, ask: Ask) -> Response:
    if ask.trouble is not None:
        return _said(desk, ask, ask.trouble)
    try:
        return handler(desk, ask)
    except Exception as error:  # whatever it is, what was typed comes back
        return _said(desk, ask, error)


def _said(desk: Desk, ask: Ask, error: Exception) -> Response:
    """Return the page that says what is wrong; where trying again may help, the form is there to be sent."""
    if isinstance(error, Refused):
        return _message(desk, ask, error)
    if isinstance(error, StoreError):
        log.warning("%s", error)
        return _message(desk, ask, Refused("refused.database", 503), again=True)
    if isinstance(error, CropcheckError):
        return page(desk, ask, "message.html.j2", 400, message=str(error), kept=ask.kept, resend={})
    log.error("%s %s", ask.request.method, ask.request.url.path, exc_info=error)
    return _message(desk, ask, Refused("refused.fault", 500), again=True)


def _message(desk: Desk, ask: Ask, why: Refused, again: bool = False) -> Response:
    sendable = again and not ask.files and "password" not in ask.form and "old_password" not in ask.form
    resend = dict(ask.form) if sendable else {}
    message = desk.text(why.key, **why.values)
    return page(desk, ask, "message.html.j2", why.status, message=message, kept=ask.kept, resend=resend)


def _log_in_again(desk: Desk, ask: Ask) -> Response:
    """Show the log-in; what was typed into a form stays on the page and comes back after it."""
    if ask.request.method == "GET":
        return go("/login", next=ask.address)
    kept = ask.kept
    return page(desk, ask, "login.html.j2", 401, message=desk.text("desk.ended"), next=_back(ask), kept=kept)


def _back(ask: Ask) -> str:
    parcel = ask.form.get("id")
    return f"/parcel?{urlencode({'id': parcel})}" if parcel else "/"


async def _read(desk: Desk, request: Request) -> Ask:
    session, trouble = ANONYMOUS, None
    try:
        session = await run_in_threadpool(_session, desk, request)
    except StoreError as error:
        trouble = error
    ask = Ask(request, session, dict(request.query_params), trouble=trouble)
    if request.method != "POST":
        return ask
    try:
        form, files = await _form(request, MOST_UPLOAD if session.may("photos") else MOST_FORM)
    except Refused as refused:
        return replace(ask, trouble=trouble or refused)
    return replace(ask, form=form, files=files)


async def _form(request: Request, most: int) -> tuple[dict[str, str], tuple[tuple[str, bytes, int], ...]]:
    """Read a form of at most so many bytes; a photo that is too large is not held in memory."""
    size = number(request.headers.get("content-length", ""))
    if size is None:
        raise Refused("refused.form", 411)
    if size > most:
        raise Refused("refused.form_bytes", 413, mb=f"{size / 1e6:.0f}", most=f"{most / 1e6:.0f}")
    values: dict[str, str] = {}
    files = []
    try:
        async with request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS) as form:
            for name, value in form.multi_items():
                if not isinstance(value, UploadFile):
                    values[name] = value
                elif value.filename:
                    large = (value.size or 0) > MOST_BYTES
                    files.append((value.filename, b"" if large else await value.read(), value.size or 0))
    except HTTPException as error:
        raise Refused("refused.form") from error
    return values, tuple(files)


def _session(desk: Desk, request: Request) -> Session:
    if desk.proxy_header:
        name = request.headers.get(desk.proxy_header, "")
        known = desk.accounts.trusted(name) if name else None
        if known is not None:
            return known  # else the log-in, by which the first administrator makes the accounts
    return desk.accounts.session(request.cookies.get(COOKIE)) or ANONYMOUS


def came_by_https(desk: Desk, request: Request) -> bool:
    """Whether a browser asked by https, of the desk or of a reverse proxy that says so.

    Anybody may write these headers: all that follows is that the cookie of their own session is sent by https
    alone (Forwarded: RFC 7239, section 4; X-Forwarded-Proto: as proxies write it).
    """
    listed = request.headers.get("x-forwarded-proto", "").partition(",")[0]
    said = re.search(
        r"\bproto=\"?(\w+)", request.headers.get("forwarded", "").partition(",")[0], re.IGNORECASE
    )
    schemes = (request.url.scheme, listed.strip().lower(), said.group(1).lower() if said else "")
    return desk.https or "https" in schemes


def _guarded(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
