"""The commands, put together."""

from typing import Annotated

import typer

from pipelines.cli import imagery, inputs, learning, quality, results, stages
from pipelines.cli.process import in_sentences

app = typer.Typer(
    name="cropcheck",
    help="Check a season's crop declarations against Sentinel imagery, parcel by parcel.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for noun in (stages, inputs, imagery, learning, results, quality):
    app.add_typer(noun.commands)


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


def main() -> None:
    """Run the command line; whatever goes wrong is a sentence."""
    in_sentences(app)
