"""Commands of the quality assessment: draw the sample, take field results, check exchanged tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from features.errors import CropcheckError
from pipelines.cli.run_options import Data, RunOptions, Set, With

if TYPE_CHECKING:
    from models.assessment.buckets import Covered

By = Annotated[str | None, typer.Option("--by", help="Who enters this; default the name of your account.")]
commands = typer.Typer()


@commands.command()
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
    if to is not None:
        command.check_out(to)  # before a config's declarations are read
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


@commands.command()
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


@commands.command()
def validate(
    paths: Annotated[
        list[Path], typer.Argument(help="Folder or files of the QUAP exchange.", show_default=False)
    ],
    out: Annotated[Path | None, typer.Option("--out", help="CSV to write every finding to.")] = None,
    write: Annotated[
        Path | None,
        typer.Option("--write", help="Folder to write the tables to, as the platform takes them."),
    ] = None,
    most_gib: Annotated[
        float, typer.Option("--most-gib", min=0.001, help="GiB that a table in Parquet may unpack to.")
    ] = 8.0,
) -> None:
    """Check the tables of the QUAP exchange: columns, keys, relations, areas and geometry."""
    from pipelines.commands.quality.validate import validate_tables

    said, found = validate_tables(paths, out, write, most_gib)
    typer.echo(said)
    raise typer.Exit(1 if found else 0)
