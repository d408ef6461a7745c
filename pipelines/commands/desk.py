"""The desk over a finished run: its tables read once, its database opened, its pages served."""

import os
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl
from jinja2 import TemplateSyntaxError
from jinja2.sandbox import SandboxedEnvironment

from features.declarations.pseudonym import KEY_VARIABLE, holding_key, pseudonym
from features.errors import ConfigError, StageError
from features.exchange.cells import need_columns, read_cells, rows_shown
from features.storage.database import refuse_password
from pipelines.config import RunConfig
from pipelines.record.audit.verify import read_manifest
from pipelines.record.whole import refuse_altered
from pipelines.steps.gather import gather, tables_read
from pipelines.workspace import HOLDING_KEY, Workspace
from reports.desk.app import application
from reports.desk.records.store import Store, open_store
from reports.desk.renewal import Renewal
from reports.desk.state import Desk
from reports.sheet.background import composite

LOOPBACK = "127.0.0.1"


def open_desk(
    folder: Path,
    database: str | None = None,
    language: str | None = None,
    proxy_header: str = "",
    letter: Path | None = None,
    amounts: Path | None = None,
    holdings: Path | None = None,
    products: Path | None = None,
    declared: date | None = None,
    https: bool = False,
    store: Store | None = None,
) -> Desk:
    """Open the desk of a run's folder.

    Parameters
    ----------
    store
        What the desk's entries are kept in, where it is open already.

    Raises
    ------
    StageError
        Where the folder holds no finished run, or the database cannot be opened.
    ConfigError
        Where the template of letters is none, the amounts or holdings cannot be used, or the folder of
        cloud-free images holds none.
    """
    if database is not None:
        refuse_password(database)  # before anything else can fail and be said
    config, workspace = finished_run(folder), Workspace(folder)
    if letter is not None:
        check_letter(letter)
    if products is not None:
        composite(products, None)
    options = config.publish if language is None else config.publish.model_copy(update={"language": language})
    refuse_altered(workspace, tables_read(workspace), "desk")
    tables = gather(config, workspace, [], {}).held()
    season = (config.season.start, config.season.end)
    store = store or open_store(folder, database, schema_of(config))
    return Desk(
        tables, store, folder / "desk", options, season, own_numbers(holdings, config, folder),
        proxy_header=proxy_header, letter=letter, unit_amounts=unit_amounts(amounts), products=products,
        declared=declared, https=https,
    )  # fmt: skip


def check_letter(path: Path) -> None:
    """Raise a ConfigError where an agency's letter, or one in a folder of them, is no template."""
    if not path.exists():
        raise ConfigError(
            f"--letter {path} does not exist; name a file with the text of a letter, or a folder."
        )
    if path.is_dir():
        for file in sorted(path.glob("letter_*.html")):
            check_letter(file)
        return
    try:
        SandboxedEnvironment().parse(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"--letter {path} is not UTF-8 ({error.reason}); save it as UTF-8.") from error
    except TemplateSyntaxError as error:
        raise ConfigError(
            f"--letter {path} cannot be used: {error.message} in line {error.lineno}; mend its "
            "{{ fields }}."
        ) from error


@dataclass(frozen=True)
class Address:
    """Where the desk listens, the further names by which it is asked for, and its certificate and key (PEM),
    where it encrypts by itself.
    """

    host: str
    port: int
    names: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None

    @property
    def is_local(self) -> bool:
        """Whether no other machine can ask."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    def check(self) -> None:
        """Raise a ConfigError where nothing can listen here, before a first password is shown."""
        try:
            family = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0][0]
            socket.create_server((self.host, self.port), family=family).close()
        except OSError as error:
            raise ConfigError(
                f"The desk cannot listen at {self.host}, port {self.port} ({error.strerror or error}); name "
                "another --port, or an address of this machine with --host."
            ) from error
        if self.certificate is None:
            return
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key, password="")
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise ConfigError(
                f"--certificate {self.certificate} cannot be used ({error}); name a certificate in PEM and, "
                "with --key, its key, without a password."
            ) from error


def unit_amounts(path: Path | None) -> dict[str, float]:
    """Read `intervention, amount`: what an intervention pays for a hectare.

    Raises
    ------
    ConfigError
        Where an amount is no number from 0, or an intervention stands twice.
    """
    if path is None:
        return {}
    cells = read_cells(path)
    need_columns(cells, ("intervention", "amount"), path)
    number = cells["amount"].str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    bad = number.is_null() | ~number.is_finite() | (number < 0) | cells["intervention"].is_null()
    if bad.any():
        where = rows_shown(bad.arg_true())
        raise ConfigError(f"{path}: {where} need an intervention and an amount a hectare, a number from 0.")
    if cells["intervention"].is_duplicated().any():
        raise ConfigError(f"{path} names an intervention twice; keep one row of each.")
    return dict(zip(cells["intervention"].to_list(), number.to_list(), strict=True))


def own_numbers(path: Path | None, config: RunConfig, folder: Path) -> dict[str, str]:
    """Read `holding_id`, the agency's own numbers; return them by their pseudonyms, by the run's key.

    Raises
    ------
    ConfigError
        Where the run's key is not here: pseudonyms cannot be made without it.
    """
    if path is None:
        return {}
    cells = read_cells(path)
    need_columns(cells, ("holding_id",), path)
    here = config.declarations.holding_key or folder / HOLDING_KEY
    if not (os.environ.get(KEY_VARIABLE) or here.is_file()):
        raise ConfigError(
            f"The key of this run's holdings, {here}, is not here, so --holdings cannot be used; bring it, "
            f"or set {KEY_VARIABLE}."
        )
    key = holding_key(folder / HOLDING_KEY, config.declarations.holding_key)
    return {pseudonym(name, key): name for name in cells["holding_id"].drop_nulls().unique()}


def finished_run(folder: Path) -> RunConfig:
    """Return the config of the run that a folder holds, from its manifest.

    Raises
    ------
    StageError
        Where there is no manifest, it is damaged or of another version, or not the one that the log names.
    """
    manifest = read_manifest(Workspace(folder))
    try:
        return RunConfig.model_validate(manifest["config"])
    except (ValueError, KeyError, TypeError) as error:
        raise StageError(
            f"The config in the manifest of {folder} is of another version; run `cropcheck run CONFIG` again."
        ) from error


def schema_of(config: RunConfig) -> str:
    """Return the schema of PostgreSQL of a run's desk: one a season, the same for a run made anew."""
    name = re.sub(r"[^a-z0-9]+", "_", config.name.lower()).strip("_")
    return f"cropcheck_desk_{name[:30]}_{config.season.end.year}"


def renewed(desk: Desk, reopen: Callable[[Store], Desk], folder: Path) -> Renewal:
    """Return what notices that a run was made anew: its last receipt is another."""
    return Renewal(desk, reopen, Workspace(folder).receipts / "publish.json")


def serve(desk: Desk, address: Address, reopen: Callable[[Store], Desk], folder: Path) -> None:
    """Serve the desk until it is stopped; the address, and a first administrator's password, are printed.

    Where the run in `folder` is made anew, the desk is opened again.
    """
    import uvicorn

    address.check()
    password = desk.accounts.first()
    if password is not None:
        print(desk.text("desk.first_password", password=password), flush=True)
    found = desk.faults()
    if found:
        print(desk.text("desk.broken", faults="; ".join(found[:3])), flush=True)
    encrypts = address.certificate is not None
    if not (address.is_local or encrypts or desk.https):
        print(desk.text("desk.unencrypted"), flush=True)
    name = "localhost" if address.host == LOOPBACK else address.host
    print(f"http{'s' if encrypts else ''}://{name}:{address.port}/", flush=True)
    served = application(renewed(desk, reopen, folder).desk, [*address.names, address.host])
    uvicorn.run(
        served, host=address.host, port=address.port, log_level="warning", access_log=False,
        server_header=False, date_header=True, proxy_headers=False,
        ssl_certfile=address.certificate, ssl_keyfile=address.key,
    )  # fmt: skip
