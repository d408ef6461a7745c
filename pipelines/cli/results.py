"""Commands on a run that is there: its state, its hashes, what a verdict rests on, the desk, a database."""

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.run_options import RunOptions, on_a_run

commands = typer.Typer()


@commands.command()
@partial(on_a_run, until=True)
def status(run: RunOptions) -> None:
    """Say which stages are fresh, which will run, and why; nothing is written."""
    from pipelines.commands.status import status_of

    loaded, workspace = run.open()
    typer.echo(status_of(loaded, workspace))


@commands.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="A run's output folder.", show_default=False)],
    expect: Annotated[
        str | None, typer.Option("--expect", help="The manifest's hash, as printed by the run.")
    ] = None,
) -> None:
    """Recompute every hash of the manifest and walk the log; name what was altered, lost or added."""
    from pipelines.record.audit.verify import examine

    found = examine(folder, expect)
    for fault in found.faults:
        typer.echo(fault)
    for name in found.not_here:
        typer.echo(f"not here: {name}; nothing can be said of it")
    typer.echo("Nothing was altered." if not found.faults else f"{len(found.faults)} things do not hold.")
    raise typer.Exit(1 if found.faults else 0)


@commands.command()
def trace(
    folder: Annotated[Path, typer.Argument(help="A run's output folder.", show_default=False)],
    parcel: Annotated[str, typer.Argument(help="A parcel's id.", show_default=False)],
) -> None:
    """List what a parcel's verdict rests on: declaration, scenes, fillings, models, rule, with hashes."""
    from pipelines.commands.trace import trace_parcel

    typer.echo(trace_parcel(folder, parcel))


@commands.command()
def desk(
    folder: Annotated[Path, typer.Argument(help="A run's output folder.", show_default=False)],
    host: Annotated[
        str, typer.Option(help="Address to listen on; this machine only by default.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8765,
    database: Annotated[
        str | None, typer.Option(help="postgresql://USER@HOST/NAME for a team; SQLite where left out.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="en or de; as the run's pages else.")] = None,
    letter: Annotated[
        Path | None,
        typer.Option(
            help="The agency's own letter: HTML with {{ fields }}, or a folder with letter_de.html."
        ),
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="Name by which a reverse proxy asks for the desk.")
    ] = None,
    amounts: Annotated[
        Path | None, typer.Option(help="CSV with intervention, amount: what a hectare is paid.")
    ] = None,
    holdings: Annotated[
        Path | None, typer.Option(help="CSV with holding_id: the agency's own numbers, to be shown again.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Cloud-free images for the map: what `clear --write` wrote.")
    ] = None,
    proxy_header: Annotated[str, typer.Option(help="Header in which a reverse proxy names the user.")] = "",
    https: Annotated[
        bool,
        typer.Option(
            "--https",
            help="A reverse proxy is asked by https but does not say so (X-Forwarded-Proto, Forwarded): "
            "cookies are sent by https alone.",
        ),
    ] = False,
    certificate: Annotated[
        Path | None, typer.Option(help="Certificate (PEM) with which the desk itself is asked by https.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Key of the certificate (PEM), where it is a file of its own.")
    ] = None,
    declared: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], help="Day by which farmers had declared: photos are of later days."
        ),
    ] = None,
) -> None:
    """Open the desk: officers work through the parcels of a finished run in their browser."""
    from pipelines.commands.desk import Address, open_desk, serve

    day = declared.date() if declared is not None else None
    asked = (folder, database, language, proxy_header, letter, amounts, holdings, images, day, https)
    address = Address(host, port, tuple(name or ()), certificate, key)
    serve(open_desk(*asked), address, lambda store: open_desk(*asked, store), folder)


@commands.command()
def export(
    folder: Annotated[Path, typer.Argument(help="A run's output folder.", show_default=False)],
    to: Annotated[
        str,
        typer.Option("--to", help="postgresql://user@host/database; password in PGPASSWORD or ~/.pgpass."),
    ],
    schema: Annotated[
        str | None, typer.Option("--schema", help="Schema to write; default cropcheck_<folder's name>.")
    ] = None,
) -> None:
    """Write a run into PostGIS: declarations, verdicts, markers, sample and field results, all or none."""
    from pipelines.commands.export import export_run

    typer.echo(export_run(folder, to, schema))
