"""Windows of a region's imagery for labelling in CVAT, and their labels back as tiles."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from features.errors import ConfigError
from models.clouds.mask.classes import UNKNOWN
from models.clouds.mask.fitting import load_mask
from models.clouds.mask.frames import Frames, Mask, unknown_of
from models.clouds.mask.labels.cvat import Picture, read_export, read_index, write_task
from models.clouds.mask.labels.windows import Window, candidates, choose
from models.clouds.mask.methods.scene_class import SceneClassMask
from models.clouds.mask.methods.temporal import TemporalMask
from models.clouds.mask.options import FITTED
from models.clouds.removal.bundle import META
from pipelines.config import RunConfig
from pipelines.inputs.pixels.cloud_masks import model_folder
from pipelines.inputs.pixels.mask_frames import fitting_frames
from pipelines.main_job import run_until_read
from pipelines.tables import read_acquired
from pipelines.workspace import Workspace


def write_windows(
    config: RunConfig, workspace: Workspace, count: int, folder: Path, earlier: Sequence[Path] = ()
) -> str:
    """Choose windows and write them as a task; return what was written, in a sentence.

    Parameters
    ----------
    earlier
        Folders of tasks of the same imagery: their windows are not chosen again, nor what is like them.

    Raises
    ------
    ConfigError
        Where no window is known well enough, or all are in earlier tasks.
    ModelError
        Where a folder holds no task.
    """
    taken = {_place(said) for task in earlier for said in read_index(task)[1].values()}
    run_until_read(config, workspace)
    optical = read_acquired(workspace).filter(pl.col("sensor") == "s2")
    stacks = fitting_frames(optical, config, workspace)
    side, back = config.clear.mask.network.window_px, config.season.until is not None
    found: list[Window] = []
    answers: list[np.ndarray] = []
    for number, frames in enumerate(stacks):
        chances = [_chances(mask, frames) for mask in _masks(config, workspace, frames, back)]
        answers.append(chances[-1])
        found += candidates(number, frames, chances, side)
    labelled = [window for window in found if _place(_said(window, stacks[window.stack])) in taken]
    known = set(map(id, labelled))
    open_ = [window for window in found if id(window) not in known]
    if not open_:
        besides = " that no earlier task holds" if labelled else ""
        raise ConfigError(f"No window of the imagery{besides} is known well enough to be labelled.")
    chosen = choose(open_, count, np.random.default_rng(config.seed), labelled)
    pictures = [_picture(window, stacks[window.stack], answers[window.stack]) for window in chosen]
    write_task(folder, pictures)
    dates = len({window.date for window in chosen})
    return (
        f"Wrote {len(chosen)} windows of {dates} dates to {folder}: create a CVAT task with labels.json and "
        "images.zip, upload annotations.zip as 'CVAT 1.1', correct it, export, then "
        f"`cropcheck label --read EXPORT --task {folder}`."
    )


def _masks(config: RunConfig, workspace: Workspace, frames: Frames, back: bool) -> list[Mask]:
    """The masks that are compared; the last is the one that will learn."""
    masks: list[Mask] = [] if frames.scene_class is None else [SceneClassMask()]
    masks.append(TemporalMask(back))
    options = config.clear.mask
    if options.method in FITTED and (model_folder(workspace) / META).is_file():
        masks.append(load_mask(model_folder(workspace), options, back))
    return masks


def _chances(mask: Mask, frames: Frames) -> np.ndarray:
    out = np.stack(list(mask.chances(frames)))
    for number in range(len(frames)):
        out[number][:, unknown_of(frames, number, mask.needs or ((frames.bands[0],),)) > 0] = np.nan
    return out


def _picture(window: Window, frames: Frames, chances: np.ndarray) -> Picture:
    part = chances[window.date][(slice(None), *window.slices)]
    classes = np.where(np.isnan(part[0]), UNKNOWN, np.nan_to_num(part).argmax(axis=0)).astype(np.uint8)
    said = _said(window, frames)
    name = f"{said['date']}_{window.stack}_{window.top:04d}_{window.left:04d}"
    values = frames.reflectance[window.date][(slice(None), *window.slices)]
    return Picture(name, values, frames.bands, classes, said)


def _said(window: Window, frames: Frames) -> dict[str, object]:
    day = str(frames.times[window.date])[:10]
    return {"date": day, "stack": window.stack, "top": window.top, "left": window.left, "score": window.score}


def _place(said: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(said.get(name) for name in ("date", "stack", "top", "left"))


def read_labels(export: Path, task: Path | None, out: Path | None) -> str:
    """Turn CVAT's export into labelled tiles; return what was written, in a sentence."""
    task = task or export.parent
    out = out or task / "tiles"
    found = read_export(export, task, out)
    notes = []
    if found.all_clear:
        notes.append(f"{len(found.all_clear)} without any mark, read as clear throughout")
    if found.absent:
        notes.append(f"{len(found.absent)} more windows of the task are not in the export")
    besides = f" ({'; '.join(notes)})" if notes else ""
    return (
        f"Wrote {len(found.tiles)} labelled tiles to {out}{besides}; learn from them with "
        f"clear.mask.network.tiles: [{{path: {out}, layout: npz}}]."
    )
