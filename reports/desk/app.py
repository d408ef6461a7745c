"""The desk's routes, put together."""

from collections.abc import Sequence
from importlib.metadata import version

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from reports.desk.state import Desk
from reports.desk.views import exports, listing, maps, parcel, people, pictures
from reports.desk.views import saved_views as views
from reports.desk.web import HEADERS, Source, endpoint, open_endpoint
from reports.embed import asset

SCRIPTS = ("common.js", "map.js", "desk/desk.js", "desk/map.js")
ASSETS = {"style.css": "text/css", "desk/desk.css": "text/css", **dict.fromkeys(SCRIPTS, "text/javascript")}
LOCAL = ("localhost", "127.0.0.1", "[::1]", "testserver")


def application(desk: Desk | Source, hosts: Sequence[str] = ()) -> Starlette:
    """Return the web application of a desk.

    Parameters
    ----------
    desk
        The desk, or what gives it as it is when a request comes.
    hosts
        Names under which the desk may be asked for, besides this machine's own (a reverse proxy's).
    """
    source: Source = (lambda: desk) if isinstance(desk, Desk) else desk
    get, post = ["GET"], ["POST"]
    routes = [
        Route("/", endpoint(source, listing.show), methods=get),
        Route("/decide", endpoint(source, listing.decide, "decide"), methods=post),
        Route("/undo", endpoint(source, listing.undo, "decide"), methods=post),
        Route("/views", endpoint(source, views.save), methods=post),
        Route("/views/change", endpoint(source, views.change), methods=post),
        Route("/parcel", endpoint(source, parcel.show), methods=get),
        Route("/parcel/decide", endpoint(source, parcel.decide, "decide"), methods=post),
        Route("/parcel/undo", endpoint(source, parcel.undo, "decide"), methods=post),
        Route("/holding", endpoint(source, parcel.holding), methods=get),
        Route("/picture", endpoint(source, pictures.picture), methods=get),
        Route("/map", endpoint(source, maps.show), methods=get),
        Route("/map.json", endpoint(source, maps.data), methods=get),
        Route("/tile", endpoint(source, maps.tile), methods=get),
        Route("/photos", endpoint(source, pictures.add_photos, "photos"), methods=post),
        Route("/photos/place", endpoint(source, pictures.place_photo, "photos"), methods=post),
        Route("/photo", endpoint(source, pictures.photo), methods=get),
        Route("/export/parcels.csv", endpoint(source, exports.as_csv), methods=get),
        Route("/export/parcels.gpkg", endpoint(source, exports.as_geopackage), methods=get),
        Route("/export/route.gpx", endpoint(source, exports.as_route), methods=get),
        Route("/letters", endpoint(source, exports.letters, "letters"), methods=get),
        Route("/sheets", endpoint(source, exports.sheets), methods=get),
        Route("/progress", endpoint(source, people.progress), methods=get),
        Route("/log", endpoint(source, people.log), methods=get),
        Route("/accounts", endpoint(source, people.accounts, "accounts"), methods=get),
        Route("/accounts", endpoint(source, people.change_account, "accounts"), methods=post),
        Route("/password", endpoint(source, people.password), methods=["GET", "POST"]),
        Route("/login", open_endpoint(source, people.login), methods=["GET", "POST"]),
        Route("/logout", endpoint(source, people.logout), methods=post),
        Route("/static/{name:path}", _static, methods=get),
        Route("/health", _health, methods=get),
    ]
    allowed = [*LOCAL, *hosts]
    return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=allowed)])


def _static(request: Request) -> Response:
    name = str(request.path_params["name"])
    if name not in ASSETS:
        return PlainTextResponse("not found", 404, dict(HEADERS))
    headers = {**HEADERS, "Cache-Control": "public, max-age=3600"}
    return Response(asset(name), media_type=ASSETS[name], headers=headers)


def _health(_: Request) -> Response:
    return PlainTextResponse(f"cropcheck {version('cropcheck')}", headers=dict(HEADERS))
