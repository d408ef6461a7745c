"""Commands that fit models or use them by themselves."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from features.errors import CropcheckError
from pipelines.cli.run_options import RunOptions, on_a_run
from pipelines.cli.work import Dask, Workers, executor

commands = typer.Typer()


@commands.command()
@on_a_run
def tune(
    run: RunOptions,
    model: Annotated[str, typer.Option("--model", help="The crop model, or cloud-removal network.")],
    trials: Annotated[int, typer.Option("--trials", min=1, help="How many trials to run now.")] = 20,
) -> None:
    """Search a model's settings with grouped folds; the best are written as a config that train reads."""
    from pipelines.commands.learning.tune import tune_model

    loaded, workspace = run.open()
    typer.echo(tune_model(loaded, workspace, model, trials))


@commands.command()
@on_a_run
def pretrain(run: RunOptions) -> None:
    """Train on the public sets of train.transfer.sets; a run takes the models by train.transfer.use: tune."""
    from pipelines.commands.learning.pretrain import pretrain_on_sets

    loaded, workspace = run.open()
    folder = workspace.folder if run.out else workspace.folder.with_name(f"{loaded.name}_pretrained")
    typer.echo(pretrain_on_sets(loaded, folder))


@commands.command()
@partial(on_a_run, until=True)
def forecast(
    run: RunOptions,
    from_: Annotated[
        str | None,
        typer.Option("--from", help="Day to forecast from (YYYY-MM-DD); default the last that counts."),
    ] = None,
    ahead: Annotated[int | None, typer.Option("--ahead", min=5, max=200, help="Days ahead.")] = None,
    maps: Annotated[
        str | None,
        typer.Option("--maps", help="Also map the pixels of these days, e.g. 2024-08-01,2024-08-31."),
    ] = None,
    write: Annotated[Path | None, typer.Option("--write", help="Folder to write the maps to.")] = None,
    workers: Workers = 1,
    dask: Dask = None,
) -> None:
    """Forecast every parcel's NDVI, with intervals, from what a run has left; with --maps, its pixels too."""
    from pipelines.commands.learning.forecast import days_in, forecast_run

    if (maps is None) != (write is None):
        raise CropcheckError("Name days of maps with --maps, and the folder to write them to with --write.")
    days = days_in(maps or "")
    settings = [f"forecast.from_day={from_}"] if from_ else []
    settings += [f"forecast.ahead_days={ahead}"] if ahead else []
    loaded, workspace = run.open(*settings)
    said, status = forecast_run(loaded, workspace)
    typer.echo(said)
    if write is not None:
        from features.workers import lent
        from pipelines.commands.learning.forecast_maps import write_forecast_maps
        from pipelines.main_job import display
        from pipelines.record.lock import locked

        with lent(executor(workers, dask)) as units, locked(workspace.folder, "maps"), display() as bars:
            bar = bars.add_task("maps", total=None)
            said = write_forecast_maps(
                loaded, workspace, days, write,
                lambda done, total: bars.update(bar, completed=done, total=total), units,
            )  # fmt: skip
        typer.echo(said)
    raise typer.Exit(status)


@commands.command("detect-table")
def detect_table(
    table: Annotated[
        Path, typer.Argument(help="Table of series: parcel_id, date, a column a feature.", show_default=False)
    ],
    to: Annotated[Path, typer.Option("--to", help="Parquet or CSV file to write.")] = Path("events.parquet"),
    from_run: Annotated[
        Path | None, typer.Option("--from-run", help="Run whose event models are used; else rules.")
    ] = None,
    template: Annotated[
        str | None, typer.Option("--template", help="What wrote the table: openeo, earth_engine, sits ...")
    ] = None,
    most_gib: Annotated[
        float, typer.Option("--most-gib", min=0.001, help="GiB that tables in Parquet may unpack to.")
    ] = 8.0,
) -> None:
    """Find what was done on the parcels of a table of series that others extracted, and when."""
    from pipelines.commands.learning.detect import detect_in_table

    typer.echo(detect_in_table(table, to, from_run, template, most_gib))
