"""Logging in and out, accounts, and what has been done: progress and the log."""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from urllib.parse import parse_qsl, urlencode

import polars as pl
from starlette.responses import Response

from features.journal.entries import Entry
from reports.desk.records.accounts import ROLES, SHORTEST_PASSWORD, TooManyGuessesError
from reports.desk.records.refusal import Refused
from reports.desk.state import Desk
from reports.desk.views.listing import show as show_list
from reports.desk.views.parcel import show as show_parcel
from reports.desk.web import COOKIE, Ask, came_by_https, go, number, page
from reports.evidence import with_strength
from reports.pages.follow_up import recommended

LOG_ROWS = 200
MOST_CHANGES = 200  # that a page lists of each kind


def login(desk: Desk, ask: Ask) -> Response:
    """Show the log-in, or log in; scripts cannot read the cookie, and other sites' forms do not send it."""
    kept = {name[5:]: value for name, value in ask.form.items() if name.startswith("kept_")}
    if ask.request.method == "GET":
        return page(desk, ask, "login.html.j2", message="", next=ask.query.get("next", "/"), kept={})
    where = ask.form.get("next", "/")
    try:
        token = desk.accounts.log_in(ask.form.get("name", ""), ask.form.get("password", ""), _address(ask))
    except TooManyGuessesError as wait:
        message = desk.text("desk.wait", seconds=wait.seconds)
        return page(desk, ask, "login.html.j2", 429, message=message, next=where, kept=kept)
    if token is None:
        message = desk.text("desk.wrong_login")
        return page(desk, ask, "login.html.j2", 401, message=message, next=where, kept=kept)
    answer = _resumed(desk, ask, token, kept) or go(_inside(where))
    secure = came_by_https(desk, ask.request)
    answer.set_cookie(
        COOKIE, token, max_age=12 * 3600, httponly=True, samesite="lax", secure=secure, path="/"
    )
    return answer


def logout(desk: Desk, ask: Ask) -> Response:
    """End the session."""
    desk.accounts.log_out(ask.request.cookies.get(COOKIE, ""), ask.session.name)
    answer = go("/login")
    answer.delete_cookie(COOKIE, path="/")
    return answer


def accounts(desk: Desk, ask: Ask) -> Response:
    """Show all accounts."""
    return page(desk, ask, "accounts.html.j2", accounts=desk.accounts.all(), roles=ROLES, form=ask.form)


def change_account(desk: Desk, ask: Ask) -> Response:
    """Create, close or open an account."""
    form, by = ask.form, ask.session.name
    name = form.get("name", "")
    if form.get("do") == "create":
        desk.accounts.create(name, form.get("role", ""), form.get("password", ""), by)
    elif form.get("do") == "password":
        desk.accounts.set_password(name, form.get("password", ""), by)
    elif form.get("do") in ("close", "reopen"):
        if name == by:
            raise Refused("refused.own_account")
        desk.accounts.set_active(name, form["do"] == "reopen", by)
    return go("/accounts")


def password(desk: Desk, ask: Ask) -> Response:
    """Show where a person changes their own password, or change it; they log in again with the new one."""
    message, status = "", 200
    if ask.request.method == "POST":
        try:
            known = desk.accounts.proves(ask.session.name, ask.form.get("old_password", ""), _address(ask))
        except TooManyGuessesError as wait:
            message, status = desk.text("desk.wait", seconds=wait.seconds), 429
        else:
            if known:
                desk.accounts.set_password(ask.session.name, ask.form.get("password", ""), ask.session.name)
                return go("/login")
            message, status = desk.text("desk.wrong_login"), 403
    return page(desk, ask, "password.html.j2", status, message=message, shortest=SHORTEST_PASSWORD)


def progress(desk: Desk, ask: Ask) -> Response:
    """Show what is done, open and late, decisions by week, and what changed since the last run."""
    standing = desk.decisions.standing()
    listed = desk.parcels.table.filter(pl.col("listed"))["parcel_id"].to_list()
    states = Counter(
        ("done" if made.done else "late" if made.late(desk.today) else "open") for made in standing.values()
    )
    todo = sum(name not in standing for name in listed)
    weeks: Counter[tuple[int, int, str]] = Counter()
    for entry in desk.store.entries():
        with suppress(ValueError):  # of a day that was altered by hand
            if entry.kind == "decision":
                year, week, _ = datetime.fromisoformat(entry.at).isocalendar()
                weeks[(year, week, entry.by)] += 1
    return page(
        desk, ask, "progress.html.j2", states=states, todo=todo, listed=len(listed),
        weeks=sorted(weeks.items(), reverse=True), changes=changes(desk), shown=MOST_CHANGES,
    )  # fmt: skip


def log(desk: Desk, ask: Ask) -> Response:
    """Show some entries of the log, the newest first, and whether all of it holds."""
    faults = desk.faults()
    before = number(ask.query.get("before", ""))
    if before is None:
        entries = desk.store.entries(newest=LOG_ROWS)
    else:
        after = max(before - LOG_ROWS - 1, 0)
        entries = [entry for entry in desk.store.entries(after=after) if entry.number < before]
    last = desk.store.entries(newest=1)
    return page(
        desk, ask, "log.html.j2", faults=faults, entries=entries[::-1], said=lambda entry: _said(desk, entry),
        total=last[0].number if last else 0, parcels=desk.parcels, newest=before is None,
    )  # fmt: skip


def changes(desk: Desk) -> dict[str, list[dict[str, str]]] | None:
    """Return the parcels that became doubtful, and those that ceased to be, since the run before.

    Each is `parcel_id`, what was said of it `before` and what is said `now`, and `why` that changed where the
    run knows it.
    """
    if desk.earlier is None:
        return None
    rate = recommended(with_strength(desk.earlier), desk.options.list_rate).rate
    before = set(desk.earlier.filter(pl.col("q_value") <= (-1.0 if rate is None else rate))["parcel_id"])
    now = set(desk.parcels.table.filter(pl.col("listed"))["parcel_id"])
    said = ("parcel_id", "verdict", "reason")
    verdicts = desk.earlier.select(said).join(
        desk.parcels.table.select(said), on="parcel_id", how="full", coalesce=True, suffix="_now"
    )
    rows = {row["parcel_id"]: row for row in verdicts.iter_rows(named=True)}
    return {
        name: [_change(desk, rows[parcel_id]) for parcel_id in sorted(found)]
        for name, found in (("new_doubts", now - before), ("settled_doubts", before - now))
    }


def _change(desk: Desk, row: Mapping[str, str | None]) -> dict[str, str]:
    def words(verdict: str | None, reason: str | None) -> str:
        said = desk.text(f"verdict.{verdict}") if verdict else "–"
        return f"{said} ({desk.text.get(f'reason.{reason}', reason)})" if reason else said

    known = desk.run.evaluation.get("changes_verdicts")
    causes = [] if known is None else known.filter(pl.col("parcel_id") == row["parcel_id"])["why"].to_list()
    return {
        "parcel_id": str(row["parcel_id"]),
        "before": words(row["verdict"], row["reason"]),
        "now": words(row["verdict_now"], row["reason_now"]),
        "why": ", ".join(desk.text.get(f"why.{name}", name) for cause in causes for name in cause or ()),
    }


def _said(desk: Desk, entry: Entry) -> str:
    """Return what an entry says, in a few words."""
    content = entry.content
    if entry.kind == "decision":
        return desk.text.get(f"decision.{content.get('decision')}", "")
    told = (str(content[name]) for name in ("name", "what", "title", "number") if content.get(name))
    return next(told, "")


def _address(ask: Ask) -> str:
    return ask.request.client.host if ask.request.client else ""


def _resumed(desk: Desk, ask: Ask, token: str, kept: dict[str, str]) -> Response | None:
    """Show the page of a form with what had been typed into it before the session ended; None without any."""
    session = desk.accounts.session(token)
    assert session is not None
    if kept.get("id"):
        here = f"/parcel?{urlencode({name: kept[name] for name in ('id', 'from') if kept.get(name)})}"
        return show_parcel(desk, Ask(ask.request, session, {}, kept, here=here))
    if "selection" in kept:
        query = desk.query(dict(parse_qsl(kept["selection"])), session)
        selected = dict(parse_qsl(query.address()))
        return show_list(desk, Ask(ask.request, session, selected, kept, here=f"/?{query.address()}"))
    if kept.get("do") == "create" and session.may("accounts"):
        return accounts(desk, Ask(ask.request, session, {}, kept, here="/accounts"))
    return None


def _inside(where: str) -> str:
    """Return a path of the desk; another site's address becomes the list.

    Examples
    --------
    >>> _inside("/parcel?id=7"), _inside("//evil.example"), _inside("https://evil.example")
    ('/parcel?id=7', '/', '/')
    """
    fine = where.startswith("/") and not where.startswith(("//", "/\\")) and "\\" not in where
    return where if fine and where.isprintable() else "/"
