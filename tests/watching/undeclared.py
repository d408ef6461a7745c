"""Which files the stages of a run open that they do not declare as inputs."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from features.catalog.access.hrefs import is_remote
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.main_job import stages
from pipelines.record.inputs import expanded, outputs_read
from pipelines.record.receipt import Receipt, read_receipt
from pipelines.record.stage import Outcome, Stage, run_stage
from pipelines.tables import hrefs_of, read_acquired
from pipelines.workspace import Workspace
from tests.watching.opened_files import opened_files

# looked at by `look` and `other`, which name what was found there, not the file
LOOKED_AT = {
    "read": (".holding_key", "catalog/*"),
    # named by what they are made of, and checked by their hash
    "clear": ("observations/tiles/*", "observations/samples/*"),
    "detect": ("event_journal.parquet", ".event_journal.parquet.sha256"),
    "judge": ("field/*",),
}


def undeclared(config: RunConfig, workspace: Workspace, *beside: Path) -> dict[str, list[str]]:
    """Run all stages, and return which files each opened that it does not declare; stages without any are
    left out.

    `beside` are folders outside the run's own in which files are looked for too.
    """
    found = {stage.name: opened(stage, config, workspace, beside) for stage in stages(config)}
    return {name: sorted(map(str, files)) for name, files in found.items() if files}


def opened(stage: Stage, config: RunConfig, workspace: Workspace, beside: Iterable[Path]) -> set[Path]:
    found: set[Path] = set()

    def watched(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
        with opened_files([workspace.folder, *beside]) as files:
            outcome = stage.run(config, workspace, progress)
        found.update(file for file in files if ".partial" not in file.name)  # being written
        return outcome

    receipt, ran = run_stage(replace(stage, run=watched), config, workspace, lambda done, total: None)
    return found - allowed(stage, config, workspace, receipt) if ran else set()


def allowed(stage: Stage, config: RunConfig, workspace: Workspace, receipt: Receipt) -> set[Path]:
    """Return what a stage may open: what it declares, receipts of the stages it follows, what it wrote."""
    inputs, folder = stage.inputs, workspace.folder
    names = [*receipt.outputs]
    for before, patterns in inputs.after.items():
        made = read_receipt(workspace, before)
        names += [f"receipts/{before}.json", *(outputs_read(made, patterns) if made else ())]
    files = {folder / name for name in names} | set(expanded(inputs.files(config, workspace)).values())
    files |= {path.with_name(f".{path.name}.sha256") for path in files}  # hashes that a killed run left
    if "assets.parquet" in inputs.after.get("read", ()) or stage.name == "publish":  # the stamps of images
        hrefs = hrefs_of(read_acquired(workspace))
        files |= {Path(href) for href in hrefs if not is_remote(href)}
    for pattern in LOOKED_AT.get(stage.name, ()):
        files |= set(folder.rglob(pattern)) | set(catalog_files(config) if "catalog" in pattern else ())
    if stage.name == "read" and config.declarations.holding_key is not None:
        files.add(config.declarations.holding_key)  # its check value is looked at
    files |= manifests(stage, config)
    if stage.name == "publish":  # the manifest covers all that lies in the folder, and all that was read
        files |= set(folder.rglob("*"))
        for earlier in stages(config):
            files |= set(expanded(earlier.inputs.files(config, workspace)).values())
    return {file.absolute() for file in files}


def manifests(stage: Stage, config: RunConfig) -> set[Path]:
    """Return manifests and receipts of the runs that a stage takes something of: they say which files it may
    load, and change no result.
    """
    runs = {
        "train": config.train.transfer.runs,
        "detect": (config.events.from_run,),
        "forecast": (config.forecast.from_run,),
    }
    named = [run for run in runs.get(stage.name, ()) if run is not None]
    receipts = {path for run in [*named, *_pasts(stage, config)] for path in (run / "receipts").glob("*")}
    return {run / "manifest.json" for run in named} | receipts


def _pasts(stage: Stage, config: RunConfig) -> list[Path]:
    """Return the folders of earlier runs whose receipts say whether what is read of them is whole."""
    past = [*config.forecast.history] if stage.name == "forecast" else []
    if stage.name == "publish" and config.previous is not None:
        past.append(config.previous)
    return past


def catalog_files(config: RunConfig) -> list[Path]:
    address = config.imagery.address
    return list(Path(address).parent.rglob("*.json")) if address else []
