"""Commands that run stages: one of them, or all."""

from functools import partial
from typing import Annotated

import typer

from pipelines.cli.run_options import RunOptions, on_a_run
from pipelines.cli.work import Dask, Memory, Retrain, Workers, executor

FITTING = ("run", "train")  # commands that keep models or fit them anew
commands = typer.Typer()


def _add(name: str, help_text: str) -> None:
    """Add the command that runs one stage, or all of them."""

    def command(run: RunOptions, workers: Workers = 1, dask: Dask = None, memory: Memory = None) -> None:
        _go(name, run, workers, dask, memory)

    def fitting(
        run: RunOptions,
        workers: Workers = 1,
        dask: Dask = None,
        memory: Memory = None,
        retrain: Retrain = False,
    ) -> None:
        _go(name, run, workers, dask, memory, retrain)

    commands.command(name, help=help_text)(on_a_run(fitting if name in FITTING else command, until=True))


def _go(
    name: str, run: RunOptions, workers: int, dask: str | None, memory: str | None, retrain: bool = False
) -> None:
    from features.code.imports import uncollected

    with uncollected():
        from features.memory import allow
        from pipelines.main_job import run_all, run_one

    allow(memory, workers)
    loaded, workspace = run.open()
    units = executor(workers, dask)
    raise typer.Exit(
        run_all(loaded, workspace, units, retrain)
        if name == "run"
        else run_one(name, loaded, workspace, units, retrain)
    )


_add("run", "Run every stage, from declarations and imagery to verdicts and reports; run again to resume.")
_add("synthesise", "Make the simulated region: declarations, imagery, catalog.")
_add("extract", "Aggregate imagery over parcels into observations.")
_add("fill", "Turn observations into regular series, gaps filled and marked.")
_add("train", "Fit the crop models, out of fold.")
_add("compose", "Find what grows where inside each parcel, from pixels (patches.method).")
_add("detect", "Find what was done on every parcel, and when.")
_add("judge", "Turn probabilities into verdicts.")
_add("compare", "Find what changed since the last run of the same folder.")


@commands.command()
@partial(on_a_run, until=True)
def publish(
    run: RunOptions,
    sheets: Annotated[
        list[str] | None,
        typer.Option("--sheets", help="Write the sheet of this parcel alone; may be given several times."),
    ] = None,
    memory: Memory = None,
) -> None:
    """Write reports, exports and the manifest; with --sheets, sheets of a finished run's parcels."""
    from features.memory import allow
    from pipelines.main_job import run_one

    allow(memory, 1)
    loaded, workspace = run.open()
    if not sheets:
        raise typer.Exit(run_one("publish", loaded, workspace))
    from pipelines.commands.sheets import write_asked

    for path in write_asked(loaded, workspace, sheets):
        typer.echo(f"Wrote {path}")
