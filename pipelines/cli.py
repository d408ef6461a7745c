"""The command line: the only place that configures logging and draws progress."""

import logging
import os
import signal
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from features.errors import CropcheckError
from pipelines.faults import TO_MEND, sentence_of
from pipelines.run_options import Data, Out, RunOptions, Set, With, on_a_run

if TYPE_CHECKING:
    from features.workers import Executor
    from models.assessment.buckets import Covered

# libraries that log what only concerns their developers
NOISY = ("tensorflow", "rasterio", "pyogrio", "fiona", "matplotlib", "numba", "urllib3", "mlflow", "alembic")
FITTING = ("run", "train")  # commands that keep models or fit them anew
app = typer.Typer(
    name="cropcheck",
    help="Check a season's crop declarations against Sentinel imagery, parcel by parcel.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
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

    app.command(name, help=help_text)(on_a_run(fitting if name in FITTING else command, until=True))


def _go(
    name: str, run: RunOptions, workers: int, dask: str | None, memory: str | None, retrain: bool = False
) -> None:
    from features.memory import allow
    from pipelines.main_job import run_all, run_one

    allow(memory, workers)
    loaded, workspace = run.open()
    executor = _executor(workers, dask)
    raise typer.Exit(
        run_all(loaded, workspace, executor, retrain)
        if name == "run"
        else run_one(name, loaded, workspace, executor, retrain)
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


@app.command()
@partial(on_a_run, until=True)
def publish(
    run: RunOptions,
    sheets: Annotated[
        list[str] | None,
        typer.Option("--sheets", help="Write the sheet of this parcel alone; may be given several times."),
    ] = None,
) -> None:
    """Write reports, exports and the manifest; with --sheets, sheets of a finished run's parcels."""
    from pipelines.main_job import run_one

    loaded, workspace = run.open()
    if not sheets:
        raise typer.Exit(run_one("publish", loaded, workspace))
    from pipelines.commands.sheets import write_asked

    for path in write_asked(loaded, workspace, sheets):
        typer.echo(f"Wrote {path}")


@app.command()
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
    """Choose windows whose labels would teach the cloud mask most, or read labels back from CVAT."""
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


@app.command("map")
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
    with lent(_executor(workers, dask)) as units, locked(workspace.folder, "map"), display() as bars:
        bar = bars.add_task("map", total=None)
        catalog = write_map(
            loaded,
            workspace,
            write,
            lambda done, total: bars.update(bar, completed=done, total=total),
            units,
        )
    typer.echo(f"Wrote {catalog}")


@app.command()
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
    status = run_one("clear", loaded, workspace, _executor(1, None))
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


@app.command()
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


@app.command()
def init(
    parcels: Annotated[str, typer.Argument(help="The parcel file.", show_default=False)],
    out: Annotated[Path | None, typer.Option("--out", help="Config to write; default FILE's name.")] = None,
    codes: Annotated[
        Path | None, typer.Option("--codes", help="Code table, by which the column of crops is found.")
    ] = None,
    layer: Annotated[str | None, typer.Option("--layer", help="Layer, where the file holds several.")] = None,
    member: Annotated[str | None, typer.Option("--member", help="File inside a zip of several.")] = None,
) -> None:
    """Write a first config from a parcel file's own columns; says what was guessed, asks nothing."""
    from pipelines.commands.init import Source, write_config

    typer.echo(write_config(Source(parcels, layer, member, codes), out))


@app.command()
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


@app.command()
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


@app.command()
@on_a_run
def pretrain(run: RunOptions) -> None:
    """Train on the public sets of train.transfer.sets; a run takes the models by train.transfer.use: tune."""
    from pipelines.commands.learning.pretrain import pretrain_on_sets

    loaded, workspace = run.open()
    folder = workspace.folder if run.out else workspace.folder.with_name(f"{loaded.name}_pretrained")
    typer.echo(pretrain_on_sets(loaded, folder))


@app.command()
@partial(on_a_run, until=True)
def forecast(
    run: RunOptions,
    from_: Annotated[
        str | None,
        typer.Option("--from", help="Day to forecast from (YYYY-MM-DD); default the last that counts."),
    ] = None,
    ahead: Annotated[int | None, typer.Option("--ahead", min=5, max=200, help="Days ahead.")] = None,
) -> None:
    """Forecast every parcel's NDVI, with intervals, from what a run has left."""
    from pipelines.commands.learning.forecast import forecast_run

    settings = [f"forecast.from_day={from_}"] if from_ else []
    settings += [f"forecast.ahead_days={ahead}"] if ahead else []
    loaded, workspace = run.open(*settings)
    said, status = forecast_run(loaded, workspace)
    typer.echo(said)
    raise typer.Exit(status)


By = Annotated[str | None, typer.Option("--by", help="Who enters this; default the name of your account.")]


@app.command("detect-table")
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
) -> None:
    """Find what was done on the parcels of a table of series that others extracted, and when."""
    from pipelines.commands.learning.detect import detect_in_table

    typer.echo(detect_in_table(table, to, from_run, template))


@app.command()
def assess(
    folder: Annotated[Path, typer.Argument(help="A run's output folder.", show_default=False)],
    reviewed: Annotated[
        Path | None, typer.Argument(help="The quality sample with field results.", show_default=False)
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show every entry of the journal.")] = False,
    undo: Annotated[int | None, typer.Option("--undo", help="Take an entry back, by its number.")] = None,
    correct: Annotated[
        bool, typer.Option("--correct", help="Rows replace what the journal says of their parcel.")
    ] = False,
    sample: Annotated[
        Path | None, typer.Option("--design", help="The ..._design.csv of the sample that was visited.")
    ] = None,
    by: By = None,
) -> None:
    """Add field results to the journal: the error of the verdicts, by count and in hectares."""
    from pipelines.commands.quality.assess import assess_run, list_entries, undo_entry

    if sum((list_, undo is not None, reviewed is not None)) != 1:
        raise CropcheckError("Name a file of field results, or --list, or --undo ENTRY.")
    if reviewed is not None:
        typer.echo(assess_run(folder, reviewed, by=by, correct=correct, sample_design=sample))
    else:
        typer.echo(list_entries(folder) if undo is None else undo_entry(folder, undo, by))


@app.command()
def sample(
    source: Annotated[
        Path,
        typer.Argument(help="The Commission's ranked list (CSV), or a config.", show_default=False),
    ],
    to: Annotated[Path | None, typer.Option("--out", help="CSV to write the sample to.")] = None,
    targets: Annotated[
        Path | None, typer.Option("--targets", help="CSV with ua_grp_id, target; default 5%, at most 300.")
    ] = None,
    three_percent: Annotated[
        bool, typer.Option("--three-percent", help="Visit at most 3% of the holdings.")
    ] = False,
    most_holdings: Annotated[
        int | None,
        typer.Option("--most-holdings", min=1, help="Visit at most so many holdings; then new parcels only."),
    ] = None,
    covered: Annotated[
        int,
        typer.Option("--covered", min=0, max=2, help="0 all, 1 covered parcels first, 2 only these."),
    ] = 0,
    keep: Annotated[
        bool,
        typer.Option("--keep-non-contributing", help="Keep the first parcel of each holding."),
    ] = False,
    holding_level: Annotated[
        list[str] | None, typer.Option("--holding-level", help="Group checked on the whole holding.")
    ] = None,
    design: Annotated[
        bool | None, typer.Option("--design/--no-design", help="Write inclusion probabilities (large lists).")
    ] = None,
    width: Annotated[
        str | None, typer.Option("--width", help="Only say how large a sample this width needs, e.g. 0.5%.")
    ] = None,
    pilot: Annotated[
        Path | None, typer.Option("--pilot", help="Run with field results that --width is planned from.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--run", help="The run's output folder; default out/<config name>/.")
    ] = None,
    set_: Set = None,
    with_: With = None,
    data: Data = None,
) -> None:
    """Draw the quality sample: from the Commission's ranked list, or from a run's own declarations."""
    from pipelines.commands.quality import sample as command

    request = command.SampleRequest(
        targets=targets,
        three_percent=three_percent,
        most_holdings=most_holdings,
        covered=cast("Covered", covered),
        keep_non_contributing=keep,
        holding_level=tuple(holding_level or ()),
        design=design,
    )
    if to is None and width is None:
        raise CropcheckError("Name the file to write with --out, or plan with --width.")
    if source.suffix.lower() not in (".yaml", ".yml"):
        if width is not None or to is None:
            raise CropcheckError("--width plans from a run: name its config in place of a list.")
        typer.echo(command.sample_from_list(source, to, request))
        return
    from pipelines.main_job import run_until_read

    loaded, workspace = RunOptions(source, folder, set_, with_, data).open()
    run_until_read(loaded, workspace)
    if width is not None:
        share = command.parse_width(width)
        typer.echo(command.plan_words(command.plan_sample(workspace, share, loaded.judge.noise_rate, pilot)))
    if to is not None:
        typer.echo(command.sample_from_run(loaded, workspace, to, request))


@app.command()
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


@app.command()
def validate(
    paths: Annotated[
        list[Path], typer.Argument(help="Folder or files of the QUAP exchange.", show_default=False)
    ],
    out: Annotated[Path | None, typer.Option("--out", help="CSV to write every finding to.")] = None,
    write: Annotated[
        Path | None,
        typer.Option("--write", help="Folder to write the tables to, as the platform takes them."),
    ] = None,
) -> None:
    """Check the tables of the QUAP exchange: columns, keys, relations, areas and geometry."""
    from pipelines.commands.quality.validate import validate_tables

    said, found = validate_tables(paths, out, write)
    typer.echo(said)
    raise typer.Exit(1 if found else 0)


@app.command()
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
        Path | None, typer.Option(help="The agency's own letter to farmers: HTML with {{ fields }}.")
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
) -> None:
    """Open the desk: officers work through the parcels of a finished run in their browser."""
    from pipelines.commands.desk import open_desk, serve

    asked = (folder, database, language, proxy_header, letter, amounts, holdings, images)
    serve(open_desk(*asked), host, port, name or [], lambda store: open_desk(*asked, store), folder)


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="A run's output folder.", show_default=False)],
    expect: Annotated[
        str | None, typer.Option("--expect", help="The manifest's hash, as printed by the run.")
    ] = None,
) -> None:
    """Recompute every hash of the manifest and walk the log; name what was altered, lost or added."""
    from pipelines.record.verify import examine

    found = examine(folder, expect)
    for fault in found.faults:
        typer.echo(fault)
    for name in found.not_here:
        typer.echo(f"not here: {name}; nothing can be said of it")
    typer.echo("Nothing was altered." if not found.faults else f"{len(found.faults)} things do not hold.")
    raise typer.Exit(1 if found.faults else 0)


@app.command()
def trace(
    folder: Annotated[Path, typer.Argument(help="A run's output folder.", show_default=False)],
    parcel: Annotated[str, typer.Argument(help="A parcel's id.", show_default=False)],
) -> None:
    """List what a parcel's verdict rests on: declaration, scenes, fillings, models, rule, with hashes."""
    from pipelines.commands.trace import trace_parcel

    typer.echo(trace_parcel(folder, parcel))


@app.command()
@partial(on_a_run, until=True)
def status(run: RunOptions) -> None:
    """Say which stages are fresh, which will run, and why; nothing is written."""
    from pipelines.commands.status import status_of

    loaded, workspace = run.open()
    typer.echo(status_of(loaded, workspace))


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"cropcheck {version('cropcheck')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


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
