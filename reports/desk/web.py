"""What every request goes through: who asks, forged forms, headers that browsers heed, errors as pages."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from features.errors import CropcheckError
from reports.desk.records.accounts import Session
from reports.desk.state import Desk

COOKIE = "cropcheck_desk"
MOST_FILES, MOST_FIELDS = 50, 100
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
    """One request, read: `form` holds the last value of each field, `files` the uploads by name."""

    request: Request
    session: Session
    query: Mapping[str, str]
    form: Mapping[str, str] = field(default_factory=dict)
    files: tuple[tuple[str, bytes], ...] = ()

    @property
    def address(self) -> str:
        """Path and query of the request."""
        query = self.request.url.query
        return self.request.url.path + (f"?{query}" if query else "")


Handler = Callable[[Desk, Ask], Response]
Source = Callable[[], Desk]  # gives the desk as it is when a request comes
NOBODY = Session("", "", "")


class Refused(Exception):  # noqa: N818  (an answer, not a fault)
    """The request is answered with a page that says why it cannot be done."""

    def __init__(self, key: str, status: int) -> None:
        super().__init__(key)
        self.key, self.status = key, status


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
        "notice": desk.text(desk.notice) if desk.notice else "",
        "again": ask.address if ask.request.method == "GET" else "/",
    }
    return HTMLResponse(desk.template(f"desk/{template}").render(**frame, **values), status)


def go(path: str, **query: object) -> RedirectResponse:
    """Return the answer that sends the browser to another page of the desk."""
    return RedirectResponse(path + (f"?{urlencode(query)}" if query else ""), 303)


def _answered(desk: Desk, handler: Handler, act: str | None, ask: Ask) -> Response:
    if not ask.session.name:
        return _log_in_again(desk, ask)
    if act is not None and not ask.session.may(act):
        return page(desk, ask, "message.html.j2", 403, message=desk.text("desk.forbidden"), kept={})
    if ask.request.method == "POST" and ask.form.get("form_token") != ask.session.form_token:
        kept = {name: value for name, value in ask.form.items() if name != "form_token"}
        return page(desk, ask, "message.html.j2", 403, message=desk.text("desk.forged"), kept=kept)
    if act is not None and ask.form.get("run", desk.model_id) != desk.model_id:
        kept = {name: value for name, value in ask.form.items() if name != "form_token"}
        return page(desk, ask, "message.html.j2", 409, message=desk.text("desk.other_run"), kept=kept)
    return _told(desk, handler, ask)


def _told(desk: Desk, handler: Handler, ask: Ask) -> Response:
    try:
        return handler(desk, ask)
    except Refused as refused:
        return page(desk, ask, "message.html.j2", refused.status, message=desk.text(refused.key), kept={})
    except CropcheckError as error:
        kept = {name: value for name, value in ask.form.items() if name not in ("form_token", "password")}
        return page(desk, ask, "message.html.j2", 400, message=str(error), kept=kept)


def _log_in_again(desk: Desk, ask: Ask) -> Response:
    """Show the log-in; what was typed into a form stays on the page and comes back after it."""
    if ask.request.method == "GET":
        return go("/login", next=ask.address)
    kept = {name: value for name, value in ask.form.items() if name not in ("form_token", "password")}
    return page(desk, ask, "login.html.j2", 401, message=desk.text("desk.ended"), next=_back(ask), kept=kept)


def _back(ask: Ask) -> str:
    parcel = ask.form.get("id")
    return f"/parcel?{urlencode({'id': parcel})}" if parcel else "/"


async def _read(desk: Desk, request: Request) -> Ask:
    session = await run_in_threadpool(_session, desk, request)
    if request.method != "POST":
        return Ask(request, session, dict(request.query_params))
    values: dict[str, str] = {}
    files: list[tuple[str, bytes]] = []
    async with request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if value.filename:
                    files.append((value.filename, await value.read(desk.largest_upload + 1)))
            else:
                values[name] = str(value)
    return Ask(request, session, dict(request.query_params), values, tuple(files))


def _session(desk: Desk, request: Request) -> Session:
    if desk.proxy_header:
        name = request.headers.get(desk.proxy_header, "")
        return (desk.accounts.trusted(name) if name else None) or NOBODY
    return desk.accounts.session(request.cookies.get(COOKIE)) or NOBODY


def _guarded(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
