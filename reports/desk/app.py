"""The desk's routes, put together."""

from collections.abc import Sequence
from importlib.metadata import version

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from reports.desk import exports, listing, maps, parcel, people, pictures
from reports.desk.state import Desk
from reports.desk.web import HEADERS, endpoint, open_endpoint
from reports.embed import asset

SCRIPTS = ("common.js", "map.js", "desk/desk.js", "desk/map.js")
ASSETS = {"style.css": "text/css", "desk/desk.css": "text/css", **dict.fromkeys(SCRIPTS, "text/javascript")}
LOCAL = ("localhost", "127.0.0.1", "[::1]", "testserver")


def application(desk: Desk, hosts: Sequence[str] = ()) -> Starlette:
    """Return the web application of a desk.

    Parameters
    ----------
    hosts
        Names under which the desk may be asked for, besides this machine's own (a reverse proxy's).
    """
    get, post = ["GET"], ["POST"]
    routes = [
        Route("/", endpoint(desk, listing.show), methods=get),
        Route("/decide", endpoint(desk, listing.decide, "decide"), methods=post),
        Route("/views", endpoint(desk, listing.save_view), methods=post),
        Route("/parcel", endpoint(desk, parcel.show), methods=get),
        Route("/parcel/decide", endpoint(desk, parcel.decide, "decide"), methods=post),
        Route("/parcel/undo", endpoint(desk, parcel.undo, "decide"), methods=post),
        Route("/holding", endpoint(desk, parcel.holding), methods=get),
        Route("/picture", endpoint(desk, pictures.picture), methods=get),
        Route("/map", endpoint(desk, maps.show), methods=get),
        Route("/map.json", endpoint(desk, maps.data), methods=get),
        Route("/tile", endpoint(desk, maps.tile), methods=get),
        Route("/photos", endpoint(desk, pictures.add_photos, "photos"), methods=post),
        Route("/photos/place", endpoint(desk, pictures.place_photo, "photos"), methods=post),
        Route("/photo", endpoint(desk, pictures.photo), methods=get),
        Route("/export/parcels.csv", endpoint(desk, exports.as_csv), methods=get),
        Route("/export/parcels.gpkg", endpoint(desk, exports.as_geopackage), methods=get),
        Route("/export/route.gpx", endpoint(desk, exports.as_route), methods=get),
        Route("/letters", endpoint(desk, exports.letters, "letters"), methods=get),
        Route("/sheets", endpoint(desk, exports.sheets), methods=get),
        Route("/progress", endpoint(desk, people.progress), methods=get),
        Route("/log", endpoint(desk, people.log), methods=get),
        Route("/accounts", endpoint(desk, people.accounts, "accounts"), methods=get),
        Route("/accounts", endpoint(desk, people.change_account, "accounts"), methods=post),
        Route("/login", open_endpoint(desk, people.login), methods=["GET", "POST"]),
        Route("/logout", endpoint(desk, people.logout), methods=post),
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
