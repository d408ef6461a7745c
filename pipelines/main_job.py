"""All stages in order, with one progress display."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from features.errors import StageError
from features.files import read_parquet
from features.memory import budget, is_said
from features.workers import Executor
from pipelines.config import RunConfig
from pipelines.memory import give_back
from pipelines.plan import compare, compose, detect, fill, forecast, judge, publish, read, synthesise, train
from pipelines.plan.observing import clear, extract, tabulate
from pipelines.record.fit_words import fit_sentence
from pipelines.record.lock import locked
from pipelines.record.receipt import Receipt, read_receipt
from pipelines.record.stage import Stage, run_stage
from pipelines.tables import read_acquired
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.steps.estimate.load import Load

PARTIAL = 3
REFRESHES = 4  # of the display, a second
console = Console(stderr=True)


def stages(config: RunConfig, executor: Executor | None = None) -> list[Stage]:
    """Return the stages of a run in order; a real region has nothing to synthesise."""
    first = [synthesise.stage(config)] if config.simulate is not None else []
    earlier = [
        *first,
        read.stage(config),
        *_observing(config, executor),
        fill.stage(config),
        train.stage(config, executor),
        *([compose.stage(config, executor)] if config.patches.method != "none" else []),
        detect.stage(config),
        judge.stage(config),
        forecast.stage(config),
        compare.stage(config),
    ]
    return [*earlier, publish.stage(config, earlier)]


def _observing(config: RunConfig, executor: Executor | None) -> list[Stage]:
    """Return the stages that make observations: of imagery, or of tables that others extracted from it."""
    if config.series.tables:
        return [tabulate.stage(config)]
    return [clear.stage(config), extract.stage(config, executor)]


def run_all(
    config: RunConfig, workspace: Workspace, executor: Executor | None = None, retrain: bool = False
) -> int:
    """Run all stages; return the exit code: 0, or 3 where some acquisitions had to be set aside.

    Parameters
    ----------
    retrain
        Fit models anew on all that is there now, instead of keeping those that there are.
    """
    from pipelines.steps import tracking

    said = tracking.warn_if_unusable(config)
    if said:
        console.print(said, style="yellow", highlight=False, markup=False)
    with locked(workspace.folder, "run"), display() as bars:
        forget_models(workspace, retrain)
        receipts = []
        for stage in stages(config, executor):
            for told in (short_before, tight_before):
                if said_of := told(stage.name, config, workspace):
                    bars.console.print(said_of, style="yellow", highlight=False, markup=False)
            receipts.append(_run(stage, config, workspace, bars))
        seal = receipts[-1].facts.get("manifest_hash", "")
        if not said and tracking.record_waiting(config, workspace, seal):
            bars.console.print("MLflow's record, which waited, is written.", highlight=False)
    _summary(config, workspace, receipts)
    return _exit_code(receipts)


def run_one(
    name: str,
    config: RunConfig,
    workspace: Workspace,
    executor: Executor | None = None,
    retrain: bool = False,
) -> int:
    """Run one stage from what the one before left; inputs are read with the stages that need them."""
    by_name = {stage.name: stage for stage in stages(config, executor)}
    if name not in by_name and name == "compose":
        raise StageError(
            f"{config.name} looks at no pixels inside parcels: set patches.method to boosting or unet."
        )
    if name not in by_name:
        raise StageError(
            f"{config.name} is a real region (it has no `simulate` section): there is nothing to {name}."
        )
    wanted = [by_name[name]]
    if name in ("clear", "extract"):
        wanted.insert(0, by_name["read"])
    with locked(workspace.folder, name), display() as bars:
        forget_models(workspace, retrain)
        if tight := tight_alone([stage.name for stage in wanted], config):
            bars.console.print(tight, style="yellow", highlight=False, markup=False)
        receipts = [_run(stage, config, workspace, bars) for stage in wanted]
    return _exit_code(receipts)


def short_before(name: str, config: RunConfig, workspace: Workspace) -> str:
    """Say before a stage whether the disk is too small for it and what follows; empty where it is not.

    It is asked where a region is made, and where pixels begin to be read: how much there is, is known then.
    """
    if (
        name not in ("synthesise", "clear")
        or read_receipt(workspace, "extract")
        or read_receipt(workspace, name)
    ):
        return ""
    from pipelines.steps.estimate.disk import short_of_disk
    from pipelines.steps.estimate.load import load_of, load_of_simulation

    if config.simulate is not None:
        load = load_of_simulation(config, config.simulate)
        return short_of_disk(config, load, workspace.folder) if name == "synthesise" else ""
    areas = read_parquet(workspace.declarations, columns=["area_ha"])["area_ha"]
    load = load_of(config, read_acquired(workspace), len(areas), float(areas.sum() or 0))
    return short_of_disk(config, load, workspace.folder)


def tight_before(name: str, config: RunConfig, workspace: Workspace) -> str:
    """Say before a stage whether --memory is less than this or a later one needs; empty where it is not.

    What libraries take is told at first; what the parcels add, as soon as there is something to count.
    """
    if not is_said() or name not in ("synthesise", "read", "clear", "fill"):
        return ""
    from pipelines.steps.estimate.memory import GIB_TOGETHER, over_memory, over_memory_words

    left = budget() - int(GIB_TOGETHER * 2**30)
    floor = over_memory(config, None, left)
    if name == ("read" if config.simulate is None else "synthesise"):
        return over_memory_words(floor, budget(), counted=False, together=True)
    load = _counted(name, config, workspace)
    more = over_memory(config, load, left) if load else {}
    rest = {stage: gib for stage, gib in more.items() if stage not in floor}
    return over_memory_words(rest, budget(), counted=True, together=True)


def _counted(name: str, config: RunConfig, workspace: Workspace) -> "Load | None":
    """Return how much there is to do, before the stage by which it is known; None before others."""
    from pipelines.steps.estimate.load import load_of, load_of_tables

    known = "fill" if config.series.tables else "clear"
    if name != known:
        return None
    areas = read_parquet(workspace.declarations, columns=["area_ha"])["area_ha"]
    if not config.series.tables:
        return load_of(config, read_acquired(workspace), len(areas), float(areas.sum() or 0))
    found = read_parquet(workspace.table("series_tables"))
    return load_of_tables(config, len(areas), max(found["dates"].to_list(), default=0), len(found))


def tight_alone(names: list[str], config: RunConfig) -> str:
    """Say of stages that are run alone whether --memory is less than their libraries take."""
    if not is_said():
        return ""
    from pipelines.steps.estimate.memory import over_memory, over_memory_words

    over = over_memory(config, None, budget())
    return over_memory_words(
        {name: gib for name, gib in over.items() if name in names}, budget(), counted=False
    )


def forget_models(workspace: Workspace, wanted: bool) -> None:
    """Take away the notes by which models would be kept, where they are to be fitted anew."""
    if wanted:
        from models.crops.fitting.kept import forget_fit
        from pipelines.steps.keeping.kept_note import NOTE

        forget_fit(workspace.models)
        for folder in (workspace.event_models, workspace.cloud_model, workspace.forecast_models):
            (folder / NOTE).unlink(missing_ok=True)


def run_until_read(config: RunConfig, workspace: Workspace) -> None:
    """Run what comes before any pixel is read, as far as it is not done: the declarations are then there."""
    first = stages(config)
    names = [stage.name for stage in first]
    with display() as bars:
        for stage in first[: names.index("read") + 1]:
            _run(stage, config, workspace, bars)


def _run(stage: Stage, config: RunConfig, workspace: Workspace, bars: Progress) -> Receipt:
    bar = bars.add_task(stage.name, total=None)
    receipt, ran = run_stage(
        stage,
        config,
        workspace,
        lambda done, total: bars.update(bar, completed=done, total=total),
        lambda sentence: bars.console.print(sentence, highlight=False, markup=False),
    )
    if ran:
        give_back()
    total = bars.tasks[bar].total or 1
    bars.update(
        bar, completed=total, total=total, description=stage.name if ran else f"{stage.name} (already done)"
    )
    if said := fit_sentence(receipt.facts.get("fit", {})) if ran else "":
        bars.console.print(f"{stage.name}: {said}", highlight=False, markup=False)
    for said in receipt.facts.get("said", ()) if ran else ():
        bars.console.print(f"{stage.name}: {said}", highlight=False, markup=False)
    for tally in receipt.tallies if ran else ():
        bars.console.print(str(tally), style="dim", highlight=False)
    return receipt


@contextmanager
def display() -> Iterator[Progress]:
    """Yield the progress display, drawn while it is open."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<26}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=REFRESHES) as bars:
        yield bars


def _summary(config: RunConfig, workspace: Workspace, receipts: list[Receipt]) -> None:
    facts = receipts[-1].facts
    console.print(f"[bold]{config.name}[/bold]: {facts.get('summary', '')}")
    console.print(
        f"Open {workspace.reports / 'agency.html'} (officer), analyst.html, auditor.html", highlight=False
    )
    console.print(f"Manifest hash {facts.get('manifest_hash', '')}", highlight=False)


def _exit_code(receipts: list[Receipt]) -> int:
    partial = [receipt.stage for receipt in receipts if receipt.partial]
    if partial:
        console.print(
            f"Some acquisitions were set aside in {', '.join(partial)}; the lines above say why.",
            style="yellow",
        )
    return PARTIAL if partial else 0
