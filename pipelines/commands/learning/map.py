"""A crop map of all imagery of a run, tile by tile, block by block."""

from pathlib import Path

from features.errors import ConfigError, StageError
from features.files import fingerprint
from features.workers import Executor, Progress, one_by_one
from models.patches.crossfit import WHOLE, cross_fit
from models.patches.maps import assemble, finish, map_units, run_map_unit
from pipelines.config import RunConfig
from pipelines.inputs.pixels.patch_inputs import mapped_classes, patch_tiles, training_blocks
from pipelines.record.whole import refuse_altered
from pipelines.workspace import Workspace

WORK = ".writing"
FIT, PREDICT = 30, 70  # percent of the progress


def write_map(
    config: RunConfig,
    workspace: Workspace,
    folder: Path,
    progress: Progress,
    executor: Executor = one_by_one,
) -> Path:
    """Write classes and chances of every tile, and their catalog; return the catalog's path.

    What a run that was stopped has finished is not done again.

    Raises
    ------
    ConfigError
        Where the config names no method.
    StageError
        Where `extract` and `train` have not ended.
    """
    options = config.patches
    if options.method == "none":
        raise ConfigError(
            "patches.method is none: choose what maps crops, e.g. --set patches.method=unet (or boosting)."
        )
    if not workspace.table("folds").is_file() or not workspace.parcels.is_file():
        raise StageError(
            f"{workspace.folder} holds no run whose models are trained; run `cropcheck run CONFIG` first."
        )
    read = (workspace.declarations, workspace.acquisitions, workspace.parcels, workspace.table("folds"))
    refuse_altered(workspace, read, "map")
    classes = mapped_classes(workspace, options.least_parcels)
    tiles = patch_tiles(config, workspace, classes)
    blocks = training_blocks(tiles, options, config.extract.inner_buffer_m, config.seed)
    models = cross_fit(
        blocks, classes, [WHOLE], options, config.seed, workspace.patches / "models",
        lambda done, total: progress(FIT * done // max(total, 1), FIT + PREDICT),
    )  # fmt: skip
    del blocks
    until = config.season.until or config.season.end
    times = (f"{config.season.start}T00:00:00Z", f"{until}T23:59:59Z")
    items = []
    for number, tile in enumerate(tiles):
        key = fingerprint([tile.key, models.sha256, options.block_px])[:16]
        work = (folder / WORK / f"{tile.name}_{key}").absolute()
        units = map_units(tile.imagery, models, options.block_px, work)
        for done, _ in enumerate(executor(run_map_unit, units), start=1):
            part = (number + done / len(units)) / len(tiles)
            progress(FIT + int(PREDICT * part), FIT + PREDICT)
        items.append(assemble(tile.name, units, classes, times, folder))
    title = f"{config.name}: crops of {config.season.year}"
    return finish(folder, items, title, folder / WORK)
