"""The arguments that every command on a run takes, in one place: its config and what is laid over it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from features.errors import CropcheckError

if TYPE_CHECKING:
    from pipelines.config import RunConfig
    from pipelines.workspace import Workspace

Config = Annotated[
    Path, typer.Argument(help="The run's YAML file, e.g. conf/synthetic.yaml.", show_default=False)
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder to write; default out/<config name>/.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Override a config key, e.g. --set fill.method=linear.")
]
With = Annotated[list[Path] | None, typer.Option("--with", help="Lay this YAML file over the config.")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder of the config's relative paths.")]
Until = Annotated[
    str | None, typer.Option("--until", help="Use only observations up to this date (YYYY-MM-DD).")
]
USUAL: dict[str, Any] = {"config": Config, "out": Out, "set_": Set, "with_": With, "data": Data}


@dataclass(frozen=True)
class RunOptions:
    """A config as the command line names it, and what is laid over it."""

    config: Path
    out: Path | None = None
    set_: list[str] | None = None
    with_: list[Path] | None = None
    data: Path | None = None
    until: str | None = None

    def open(self, *settings: str) -> "tuple[RunConfig, Workspace]":
        """Read the config, `settings` last, and name the folder of its run.

        Raises
        ------
        ConfigError
            Where the config cannot be used.
        CropcheckError
            Where the folder is a file.
        """
        from pipelines.config import load_config
        from pipelines.workspace import Workspace

        until = [f"season.until={self.until}"] if self.until else []
        loaded = load_config(self.config, [*(self.set_ or []), *until, *settings], self.data, self.with_)
        folder = self.out or Path("out") / loaded.name
        if folder.exists() and not folder.is_dir():
            raise CropcheckError(f"--out {folder} is a file; name a folder.")
        return loaded, Workspace(folder)


def on_a_run(command: Callable[..., None], until: bool = False) -> Callable[..., None]:
    """Give a command the arguments of RunOptions, `--until` if asked for, in place of its first parameter."""
    usual = {**USUAL, **({"until": Until} if until else {})}
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    @wraps(command)
    def taken(**given: Any) -> None:
        command(RunOptions(**{name: given.pop(name) for name in usual}), **given)

    kind = inspect.Parameter.KEYWORD_ONLY
    first, *rest = (
        inspect.Parameter(
            name, kind, annotation=of, default=inspect.Parameter.empty if name == "config" else None
        )
        for name, of in usual.items()
    )
    parameters = [first, *(each.replace(kind=kind) for each in own), *rest]
    taken.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    taken.__annotations__ = {each.name: each.annotation for each in parameters}
    return taken
