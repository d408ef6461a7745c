"""The desk over many parcels: how long an officer waits, and whether anything acknowledged is lost.

`uv run python -m tests.benchmarks.desk [--quick] [--json FILE]`. A made-up run of 100,000 parcels (10,000
with --quick) is served on loopback; one officer asks for pages of the list with changing searches and
filters, for parcels, and saves decisions. `p95_ms` is the 95th percentile of the time from request to whole
answer. `decisions_lost`: a desk in a process of its own is killed (signal 9) while four officers save as fast
as they can, at least AT_LEAST of them since it began; every decision that was acknowledged must stand in the
journal afterwards.
"""

import argparse
import http.client
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np

from reports.desk.records.store import Store, local_url
from reports.desk.state import Desk
from reports.options import PublishOptions
from tests.mock_run import make_run
from tests.reports.desk.served import served

SEASON = (date(2025, 3, 1), date(2025, 10, 31))
REPEATS, KILLS, OFFICERS = 200, 50, 4
AT_LEAST = 20  # decisions acknowledged before a kill
KILLED_PARCELS = 10_000


def main() -> None:
    """Measure, print, and keep where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        _serve(arguments.serve, arguments.port)
        return
    parcels, kills = (10_000, 5) if arguments.quick else (100_000, KILLS)
    rows = []
    for row in chain.from_iterable(work(size) for work, size in ((waiting, parcels), (losses, kills))):
        rows.append(row)
        figure = f"{row['value']:10.1f} {row['unit']} (n={row['n']})"
        print(f"{row['work']:14} {row['metric']:24} {figure}", flush=True)
    if arguments.json:
        machine = {
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        }
        versions = {name: version(name) for name in ("polars", "starlette", "sqlalchemy", "uvicorn")}
        stored = {"machine": machine, "versions": versions, "rows": rows}
        arguments.json.write_text(json.dumps(stored, indent=1) + "\n")


def waiting(parcels: int) -> list[dict]:
    """Time the list, a parcel and a decision over a run of so many parcels."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        desk = _desk(Path(folder), parcels, light=False)
        ids = desk.parcels.table["parcel_id"].to_list()
        cookie, token = _session(desk, "officer0")
        searches = ("", "wheat", "0004", "51.01, 3.01", "grass")
        verdicts = ("", "confirmed", "contradicted", "inconclusive")
        with served(desk) as address:
            ask = _asker(address, cookie)

            def a_list() -> None:
                query = {
                    "text": rng.choice(searches),
                    "verdict": rng.choice(verdicts),
                    "page": rng.integers(1, 20),
                    "sort": rng.choice(("doubt", "hectares", "holding")),
                }
                assert ask("GET", f"/?{urlencode(query)}") == 200

            def a_parcel() -> None:
                assert ask("GET", f"/parcel?{urlencode({'id': rng.choice(ids)})}") == 200

            left = iter(rng.permutation(ids).tolist())

            def a_decision() -> None:
                form = {"form_token": token, "id": next(left), "seen": "0", "decision": "visit"}
                assert ask("POST", "/parcel/decide", urlencode(form)) == 303

            work = f"parcels_{parcels // 1000}k"
            return [_timed(work, name, what) for name, what in
                    (("list", a_list), ("sheet", a_parcel), ("decide", a_decision))]  # fmt: skip


def losses(kills: int) -> list[dict]:
    """Kill a desk while decisions are being saved; count those acknowledged and not found afterwards."""
    lost = acknowledged = 0
    with tempfile.TemporaryDirectory() as folder:
        desk = _desk(Path(folder), KILLED_PARCELS)
        ids = desk.parcels.table["parcel_id"].to_list()
        left = [iter(ids[number::OFFICERS]) for number in range(OFFICERS)]  # a parcel is decided once
        people = [_session(desk, f"officer{number}") for number in range(OFFICERS)]
        desk.store.close()
        rng = np.random.default_rng(1)
        for _ in range(kills):
            port = _free_port()
            server = subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.desk", "--serve", folder, "--port", str(port)]
            )
            _wait_for(port)
            told: list[tuple[str, str]] = []
            threads = [
                threading.Thread(target=_save_on, args=(port, *person, left[number], told))
                for number, person in enumerate(people)
            ]
            for thread in threads:
                thread.start()
            while len(told) < AT_LEAST and any(thread.is_alive() for thread in threads):
                time.sleep(0.01)
            time.sleep(0.3 * rng.random())
            server.send_signal(signal.SIGKILL)
            server.wait()
            for thread in threads:
                thread.join()
            store = Store(local_url(Path(folder)))
            kept = {(entry.subject, entry.content.get("remark")) for entry in store.entries()}
            assert store.faults() == []
            store.close()
            lost += sum(entry not in kept for entry in told)
            acknowledged += len(told)
    row = {"work": "killed", "subject": "cropcheck", "low": None, "high": None, "n": kills}
    return [
        {**row, "metric": "decisions_lost", "value": float(lost), "unit": "decisions"},
        {**row, "metric": "decisions_acknowledged", "value": float(acknowledged), "unit": "decisions"},
    ]


def _timed(work: str, name: str, what: Callable[[], None]) -> dict:
    for _ in range(5):
        what()
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        what()
        taken.append(1000 * (time.perf_counter() - started))
    low, high = np.percentile(taken, [50, 99])
    return {
        "work": work,
        "subject": "cropcheck",
        "metric": f"p95_ms_{name}",
        "value": float(np.percentile(taken, 95)),
        "low": float(low),
        "high": float(high),
        "n": REPEATS,
        "unit": "ms",
    }


def _desk(folder: Path, parcels: int, light: bool = True) -> Desk:
    return Desk(
        make_run(parcels, light=light), Store(local_url(folder)), folder / "desk", PublishOptions(), SEASON
    )


def _session(desk: Desk, name: str) -> tuple[str, str]:
    desk.accounts.create(name, "officer", "a long password", by="benchmark")
    cookie = desk.accounts.open_session(name)
    session = desk.accounts.session(cookie)
    assert session is not None
    return cookie, session.form_token


def _asker(address: str, cookie: str) -> Callable[..., int]:
    connection = http.client.HTTPConnection(urlsplit(address).hostname or "", urlsplit(address).port)
    headers = {"Cookie": f"cropcheck_desk={cookie}", "Content-Type": "application/x-www-form-urlencoded"}

    def ask(method: str, path: str, body: str | None = None) -> int:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    return ask


def _save_on(port: int, cookie: str, token: str, left: Iterator[str], told: list[tuple[str, str]]) -> None:
    ask = _asker(f"http://localhost:{port}", cookie)
    for parcel in left:
        remark = f"{time.time_ns()}"
        form = {"form_token": token, "id": parcel, "seen": "0", "decision": "visit", "remark": remark}
        try:
            if ask("POST", "/parcel/decide", urlencode(form)) == 303:
                told.append((parcel, remark))
        except (OSError, http.client.HTTPException):
            return


def _serve(folder: Path, port: int) -> None:
    import uvicorn

    from reports.desk.app import application

    desk = application(_desk(folder, KILLED_PARCELS))
    uvicorn.run(desk, host="127.0.0.1", port=port, log_level="error", access_log=False)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(port: int) -> None:
    for _ in range(6000):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the desk did not start within five minutes")


if __name__ == "__main__":
    main()
