"""The command line: the only place that configures logging and draws progress."""

import logging
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import CropcheckError
from pipelines.faults import TO_MEND, sentence_of

if TYPE_CHECKING:
    from features.workers import Executor
    from pipelines.config import RunConfig
    from pipelines.workspace import Workspace

# libraries that log what only concerns their developers
NOISY = ("tensorflow", "rasterio", "pyogrio", "fiona", "matplotlib", "numba", "urllib3", "mlflow", "alembic")
app = typer.Typer(
    name="cropcheck",
    help="Check a season's crop declarations against Sentinel imagery, parcel by parcel.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Config = Annotated[
    Path, typer.Argument(help="The run's YAML file, e.g. conf/synthetic.yaml.", show_default=False)
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder to write; default out/<config name>/.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Override a config key, e.g. --set fill.method=linear.")
]
With = Annotated[list[Path] | None, typer.Option("--with", help="Lay this YAML file over the config.")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder that the config's relative paths lie in.")]
Until = Annotated[
    str | None, typer.Option("--until", help="Judge with what was seen by this date (YYYY-MM-DD).")
]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Extract in this many local processes.")]
Dask = Annotated[
    str | None, typer.Option("--dask", help="Extract on the Dask cluster at this scheduler address.")
]


def _add(name: str, help_text: str) -> None:
    """Add the command that runs one stage, or all of them."""

    def command(
        config: Config,
        out: Out = None,
        set_: Set = None,
        with_: With = None,
        data: Data = None,
        until: Until = None,
        workers: Workers = 1,
        dask: Dask = None,
    ) -> None:
        from pipelines.main_job import run_all, run_one

        loaded, workspace = _open(config, out, set_, with_, data, until)
        executor = _executor(workers, dask)
        all_of_them = name == "run"
        raise typer.Exit(
            run_all(loaded, workspace, executor)
            if all_of_them
            else run_one(name, loaded, workspace, executor)
        )

    app.command(name, help=help_text)(command)


_add("run", "Run every stage, from declarations and imagery to verdicts and reports; run again to resume.")
_add("synthesise", "Make the simulated region: declarations, imagery, catalog.")
_add("extract", "Aggregate imagery over parcels into observations.")
_add("fill", "Turn observations into regular series, gaps filled and marked.")
_add("train", "Fit the crop models, out of fold.")
_add("judge", "Turn probabilities into verdicts.")
_add("publish", "Write reports, exports and the manifest.")


@app.command()
def clear(
    config: Config,
    out: Out = None,
    set_: Set = None,
    with_: With = None,
    data: Data = None,
    write: Annotated[
        Path | None, typer.Option("--write", help="Also write cloud-free images to this folder.")
    ] = None,
) -> None:
    """Fit the cloud-removal model on the region's own imagery; with --write, write cloud-free products."""
    from pipelines.main_job import run_one

    loaded, workspace = _open(config, out, set_, with_, data, None)
    status = run_one("clear", loaded, workspace, _executor(1, None))
    if write is not None:
        from pipelines.commands.products import write_products
        from pipelines.main_job import display

        with display() as bars:
            bar = bars.add_task("products", total=None)
            catalog_path = write_products(
                loaded, workspace, write, lambda done, total: bars.update(bar, completed=done, total=total)
            )
        typer.echo(f"Wrote cloud-free images and their catalog {catalog_path}")
    raise typer.Exit(status)


@app.command()
def check(
    config: Config,
    out: Out = None,
    set_: Set = None,
    with_: With = None,
    data: Data = None,
    only: Annotated[
        str | None, typer.Option("--only", help="`declarations`: the parcel file and code tables alone.")
    ] = None,
) -> None:
    """Validate a config and its inputs, every problem in one go; estimate time, disk and memory."""
    from pipelines.commands.check import check_inputs

    if only not in (None, "declarations"):
        raise CropcheckError(f"--only {only} is nothing that can be checked alone; write declarations.")
    loaded, workspace = _open(config, out, set_, with_, data, None)
    findings = check_inputs(loaded, workspace, only="declarations" if only else None)
    typer.echo(str(findings))
    raise typer.Exit(TO_MEND if findings.problems else 0)


@app.command()
def catalog(
    folder: Annotated[
        Path, typer.Argument(help="Folder of NetCDF cubes or dated GeoTIFFs.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to write the catalog to.")] = Path("out/catalog"),
) -> None:
    """Index imagery one already has into a static STAC catalog."""
    from pipelines.commands.catalog import index

    typer.echo(index(folder, out))


@app.command()
def tune(
    config: Config,
    model: Annotated[str, typer.Option("--model", help="The crop model, or cloud-removal network.")],
    trials: Annotated[int, typer.Option("--trials", min=1, help="How many trials to run now.")] = 20,
    out: Out = None,
    set_: Set = None,
    with_: With = None,
    data: Data = None,
) -> None:
    """Search a model's settings with grouped folds; the best are written as a config that train reads."""
    from pipelines.commands.tune import tune_model

    loaded, workspace = _open(config, out, set_, with_, data, None)
    typer.echo(tune_model(loaded, workspace, model, trials))


@app.command()
def assess(
    folder: Annotated[Path, typer.Argument(help="A run's output folder.", show_default=False)],
    reviewed: Annotated[
        Path, typer.Argument(help="The quality sample with field results.", show_default=False)
    ],
) -> None:
    """Read field results back: commission and omission, by count and in hectares."""
    from pipelines.commands.assess import assess_run

    typer.echo(assess_run(folder, reviewed))


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="A run's output folder.", show_default=False)],
    expect: Annotated[
        str | None, typer.Option("--expect", help="The manifest's hash, as printed by the run.")
    ] = None,
) -> None:
    """Recompute every hash of the manifest and walk the log; name what was altered."""
    from pipelines.record.manifest import verify as recompute

    found = recompute(folder, expect)
    for fault in found:
        typer.echo(f"altered: {fault}")
    typer.echo("Nothing was altered." if not found else f"{len(found)} things do not hold.")
    raise typer.Exit(1 if found else 0)


def _open(
    config: Path,
    out: Path | None,
    settings: list[str] | None,
    overlays: list[Path] | None,
    data: Path | None,
    until: str | None,
) -> "tuple[RunConfig, Workspace]":
    from pipelines.config import load_config
    from pipelines.workspace import Workspace

    loaded = load_config(
        config, [*(settings or []), *([f"season.until={until}"] if until else [])], data, overlays
    )
    folder = out or Path("out") / loaded.name
    if folder.exists() and not folder.is_dir():
        raise CropcheckError(f"--out {folder} is a file; name a folder.")
    return loaded, Workspace(folder)


def _executor(workers: int, dask: str | None) -> "Executor":
    from pipelines.executor import executor_for

    return executor_for(workers=workers, dask=dask)


def main() -> None:
    """Run the command line; whatever goes wrong is a sentence, a traceback only with CROPCHECK_LOG=DEBUG.

    Exit code 2 is for what the user can mend, 1 for a fault of cropcheck, 130 or 143 for a stop from outside.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    signal.signal(signal.SIGTERM, _stop)
    level = _set_up_logging()
    try:
        app()
    except KeyboardInterrupt:
        typer.secho("stopped; run the same command again to resume.", err=True)
        sys.exit(130)
    except Exception as error:
        if level <= logging.DEBUG:
            traceback.print_exc()
        sentence, status = sentence_of(error)
        typer.secho(f"error: {sentence}", err=True, fg=typer.colors.RED)
        sys.exit(status)


def _stop(*_: object) -> None:
    """End on SIGTERM as on a key press: temporary files go, what is finished stays."""
    typer.secho("stopped; run the same command again to resume.", err=True)
    sys.exit(143)


def _set_up_logging() -> int:
    """Log to standard error at the level that CROPCHECK_LOG names; libraries' warnings only below WARNING."""
    named = os.environ.get("CROPCHECK_LOG", "WARNING").upper()
    level = logging.getLevelNamesMapping().get(named)
    if level is None:
        typer.secho(f"error: CROPCHECK_LOG is {named!r}; write DEBUG, INFO, WARNING or ERROR.", err=True)
        sys.exit(TO_MEND)
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    logging.captureWarnings(True)
    if level >= logging.WARNING:
        for name in ("py.warnings", *NOISY):
            logging.getLogger(name).setLevel(logging.ERROR)
    return level


if __name__ == "__main__":
    main()
