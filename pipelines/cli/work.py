"""Options of commands that do long work: how many processes, on which cluster, with how much memory."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from features.workers import Executor

Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        min=1,
        help="Work units (extraction, fits, predictions) run in this many local processes.",
    ),
]
Dask = Annotated[
    str | None, typer.Option("--dask", help="Work units run on the Dask cluster at this scheduler address.")
]
Memory = Annotated[
    str | None,
    typer.Option("--memory", help="Memory that all workers may use, e.g. 6GiB; default 3/4 of what is free."),
]
Retrain = Annotated[bool, typer.Option("--retrain", help="Fit models anew instead of keeping them.")]


def executor(workers: int, dask: str | None) -> "Executor":
    """Return what runs work units: local processes, or a Dask cluster."""
    from pipelines.executor import executor_for

    return executor_for(workers=workers, dask=dask)
