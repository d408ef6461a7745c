"""Commands before a run: a first config, and whether it and its inputs can be used."""

from pathlib import Path
from typing import Annotated

import typer

from features.errors import CropcheckError
from pipelines.cli.run_options import RunOptions, on_a_run
from pipelines.faults import TO_MEND

commands = typer.Typer()


@commands.command()
def init(
    parcels: Annotated[str, typer.Argument(help="The parcel file.", show_default=False)],
    out: Annotated[Path | None, typer.Option("--out", help="Config to write; default FILE's name.")] = None,
    codes: Annotated[
        Path | None, typer.Option("--codes", help="Code table, by which the column of crops is found.")
    ] = None,
    layer: Annotated[str | None, typer.Option("--layer", help="Layer, where the file holds several.")] = None,
    member: Annotated[str | None, typer.Option("--member", help="File inside a zip of several.")] = None,
) -> None:
    """Write a first config from a parcel file's columns, and print what was guessed."""
    from pipelines.commands.init import Source, write_config

    typer.echo(write_config(Source(parcels, layer, member, codes), out))


@commands.command()
@on_a_run
def check(
    run: RunOptions,
    only: Annotated[
        str | None, typer.Option("--only", help="`declarations`: the parcel file and code tables alone.")
    ] = None,
) -> None:
    """Validate a config and its inputs, every problem in one go; estimate time, disk and memory."""
    from pipelines.commands.checks.check import check_inputs

    if only not in (None, "declarations"):
        raise CropcheckError(f"--only {only} is nothing that can be checked alone; write declarations.")
    loaded, workspace = run.open()
    findings = check_inputs(loaded, workspace, only="declarations" if only else None)
    typer.echo(str(findings))
    raise typer.Exit(TO_MEND if findings.problems else 0)
