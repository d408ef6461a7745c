"""Commands on imagery: index a folder, remove clouds, map crops, label masks."""

from pathlib import Path
from typing import Annotated

import typer

from features.errors import CropcheckError
from pipelines.cli.run_options import Data, Out, RunOptions, Set, With, on_a_run
from pipelines.cli.work import Dask, Workers, executor

commands = typer.Typer()


@commands.command()
def catalog(
    folder: Annotated[
        Path, typer.Argument(help="Folder of NetCDF cubes or dated GeoTIFFs.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to write the catalog to.")] = Path("out/catalog"),
    most_megapixels: Annotated[
        int, typer.Option("--most-megapixels", min=1, help="Million pixels that an image may declare.")
    ] = 500,
) -> None:
    """Index imagery one already has into a static STAC catalog."""
    from pipelines.commands.catalog import index

    typer.echo(index(folder, out, most_megapixels))


@commands.command()
@on_a_run
def clear(
    run: RunOptions,
    write: Annotated[
        Path | None, typer.Option("--write", help="Also write cloud-free images to this folder.")
    ] = None,
) -> None:
    """Fit the cloud-removal model on the region's own imagery; with --write, write cloud-free products."""
    from pipelines.main_job import run_one

    loaded, workspace = run.open()
    status = run_one("clear", loaded, workspace, executor(1, None))
    if write is not None:
        from pipelines.commands.learning.products import write_products
        from pipelines.main_job import display

        with display() as bars:
            bar = bars.add_task("products", total=None)
            catalog_path = write_products(
                loaded, workspace, write, lambda done, total: bars.update(bar, completed=done, total=total)
            )
        typer.echo(f"Wrote cloud-free images and their catalog {catalog_path}")
    raise typer.Exit(status)


@commands.command("map")
@on_a_run
def map_crops(
    run: RunOptions,
    write: Annotated[Path, typer.Option("--write", help="Folder to write the map to.", show_default=False)],
    workers: Workers = 1,
    dask: Dask = None,
) -> None:
    """Write a crop map of all imagery of a finished run: classes and chances as COGs, with a STAC catalog."""
    from features.workers import lent
    from pipelines.commands.learning.map import write_map
    from pipelines.main_job import display
    from pipelines.record.lock import locked

    loaded, workspace = run.open()
    with lent(executor(workers, dask)) as units, locked(workspace.folder, "map"), display() as bars:
        bar = bars.add_task("map", total=None)
        catalog = write_map(
            loaded,
            workspace,
            write,
            lambda done, total: bars.update(bar, completed=done, total=total),
            units,
        )
    typer.echo(f"Wrote {catalog}")


@commands.command()
def label(
    config: Annotated[Path | None, typer.Argument(help="Config of the run; not needed with --read.")] = None,
    out: Out = None,
    set_: Set = None,
    with_: With = None,
    data: Data = None,
    windows: Annotated[int, typer.Option("--windows", min=1, max=10_000, help="How many windows.")] = 40,
    write: Annotated[Path | None, typer.Option("--write", help="Folder to write a task for CVAT to.")] = None,
    read: Annotated[
        Path | None, typer.Option("--read", help="CVAT's export: CVAT for images 1.1, segmentation mask 1.1.")
    ] = None,
    after: Annotated[
        list[Path] | None,
        typer.Option("--after", help="Folder of an earlier task: other windows are chosen; may be repeated."),
    ] = None,
    task: Annotated[
        Path | None, typer.Option("--task", help="Folder that --write wrote; default the export's.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder of the labelled tiles; default tiles/ of the task.")
    ] = None,
) -> None:
    """Choose windows whose labels would improve the cloud mask most, or read labels back from CVAT."""
    from pipelines.commands.learning.label import read_labels, write_windows

    if (write is None) == (read is None):
        raise CropcheckError("Name the folder to write with --write, or CVAT's export with --read.")
    if read is not None:
        typer.echo(read_labels(read, task, to))
        return
    if config is None or write is None:
        raise CropcheckError("Name the config whose imagery is to be labelled: cropcheck label CONFIG.")
    loaded, workspace = RunOptions(config, out, set_, with_, data).open()
    typer.echo(write_windows(loaded, workspace, windows, write, after or ()))
