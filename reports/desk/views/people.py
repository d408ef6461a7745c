"""Logging in and out, accounts, and what has been done: progress and the log."""

from collections import Counter
from datetime import datetime

import polars as pl
from starlette.responses import Response

from features.errors import ConfigError
from reports.desk.records.accounts import ROLES, TooManyGuessesError
from reports.desk.state import Desk
from reports.desk.views.listing import holding_name
from reports.desk.views.parcel import show as show_parcel
from reports.desk.web import COOKIE, Ask, go, page
from reports.evidence import with_strength
from reports.pages.follow_up import recommended

LOG_ROWS = 200


def login(desk: Desk, ask: Ask) -> Response:
    """Show the log-in, or log in; scripts cannot read the cookie, and other sites' forms do not send it."""
    kept = {name[5:]: value for name, value in ask.form.items() if name.startswith("kept_")}
    if ask.request.method == "GET":
        return page(desk, ask, "login.html.j2", message="", next=ask.query.get("next", "/"), kept={})
    where = ask.form.get("next", "/")
    address = ask.request.client.host if ask.request.client else ""
    try:
        token = desk.accounts.log_in(ask.form.get("name", ""), ask.form.get("password", ""), address)
    except TooManyGuessesError as wait:
        message = desk.text("desk.wait", seconds=wait.seconds)
        return page(desk, ask, "login.html.j2", 429, message=message, next=where, kept=kept)
    if token is None:
        message = desk.text("desk.wrong_login")
        return page(desk, ask, "login.html.j2", 401, message=message, next=where, kept=kept)
    answer = _resumed(desk, ask, token, kept) if kept.get("id") else go(_inside(where))
    secure = ask.request.url.scheme == "https"
    answer.set_cookie(
        COOKIE, token, max_age=12 * 3600, httponly=True, samesite="lax", secure=secure, path="/"
    )
    return answer


def logout(desk: Desk, ask: Ask) -> Response:
    """End the session."""
    desk.accounts.log_out(ask.request.cookies.get(COOKIE, ""))
    answer = go("/login")
    answer.delete_cookie(COOKIE, path="/")
    return answer


def accounts(desk: Desk, ask: Ask) -> Response:
    """Show all accounts."""
    return page(desk, ask, "accounts.html.j2", accounts=desk.accounts.all(), roles=ROLES)


def change_account(desk: Desk, ask: Ask) -> Response:
    """Create, close or open an account."""
    form, by = ask.form, ask.session.name
    name = form.get("name", "")
    if form.get("do") == "create":
        desk.accounts.create(name, form.get("role", ""), form.get("password", ""), by)
    elif form.get("do") in ("close", "reopen"):
        if name == by:
            raise ConfigError("Nobody closes their own account; ask another administrator.")
        desk.accounts.set_active(name, form["do"] == "reopen", by)
    return go("/accounts")


def progress(desk: Desk, ask: Ask) -> Response:
    """Show what is done, open and late, decisions by week, and what changed since the last run."""
    standing = desk.decisions.standing()
    listed = desk.parcels.table.filter(pl.col("listed"))["parcel_id"].to_list()
    states = Counter(
        ("done" if made.done else "late" if made.late(desk.today) else "open") for made in standing.values()
    )
    todo = sum(name not in standing for name in listed)
    weeks: Counter[tuple[str, str]] = Counter()
    for entry in desk.store.entries():
        if entry.kind == "decision":
            year, week, _ = datetime.fromisoformat(entry.at).isocalendar()
            weeks[(f"{year}-W{week:02d}", entry.by)] += 1
    return page(
        desk, ask, "progress.html.j2", states=states, todo=todo, listed=len(listed),
        weeks=sorted(weeks.items(), reverse=True), changes=changes(desk),
        holding=lambda name: holding_name(desk, ask, name),
    )  # fmt: skip


def log(desk: Desk, ask: Ask) -> Response:
    """Show the newest entries of the log, and whether it holds."""
    faults = desk.store.faults()
    newest = desk.store.entries(newest=LOG_ROWS)
    return page(desk, ask, "log.html.j2", faults=faults, entries=newest[::-1])


def changes(desk: Desk) -> dict[str, list[str]] | None:
    """Return the parcels that became doubtful, and those that ceased to be, since the run before."""
    if desk.earlier is None:
        return None
    rate = recommended(with_strength(desk.earlier), desk.options.list_rate).rate
    before = set(desk.earlier.filter(pl.col("q_value") <= (-1.0 if rate is None else rate))["parcel_id"])
    now = set(desk.parcels.table.filter(pl.col("listed"))["parcel_id"])
    return {"new_doubts": sorted(now - before), "settled_doubts": sorted(before - now)}


def _resumed(desk: Desk, ask: Ask, token: str, kept: dict[str, str]) -> Response:
    """Show the parcel with what had been typed before the session ended."""
    session = desk.accounts.session(token)
    assert session is not None
    return show_parcel(desk, Ask(ask.request, session, {}, kept))


def _inside(where: str) -> str:
    """Return a path of the desk; another site's address becomes the list.

    Examples
    --------
    >>> _inside("/parcel?id=7"), _inside("//evil.example"), _inside("https://evil.example")
    ('/parcel?id=7', '/', '/')
    """
    fine = where.startswith("/") and not where.startswith(("//", "/\\")) and "\\" not in where
    return where if fine and where.isprintable() else "/"
