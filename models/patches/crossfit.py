"""One model a fold: no parcel's composition comes from a model that learned its label."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import ModelError
from features.files import fingerprint, sha256, write_json
from features.workers import Progress
from models.backend import bring_up
from models.clouds.removal.bundle import read_bundle, write_bundle
from models.patches.by_name import RECIPE, build, load
from models.patches.calibration import Told, learn_temperatures, tempered, told
from models.patches.inputs.composites import Composites
from models.patches.inputs.samples import LabelledBlock, digest_of
from models.patches.options import PatchOptions
from models.patches.pixel_model import PixelModel

log = logging.getLogger(__name__)
WHOLE = -1  # the model that learned from every fold
JOB = "job.json"
PRETRAINED = "pretrained"
TEMPERATURES = "temperatures.json"


@dataclass(frozen=True)
class FoldModels:
    """The models of a run by folder: small enough to be sent to workers, which load them once.

    Attributes
    ----------
    sha256
        Of each model's recipe, by fold.
    temperatures
        By fold, as `models.patches.calibration` learns them; empty where there is one model of all folds.
    """

    folder: Path
    method: str
    classes: tuple[str, ...]
    margin_px: int
    sha256: tuple[tuple[int, str], ...]
    temperatures: tuple[tuple[int, float], ...] = ()

    @property
    def folds(self) -> list[int]:
        """The folds that were each left out once."""
        return [fold for fold, _ in self.sha256]

    def model(self, fold: int) -> PixelModel:
        """Load the model without a fold."""
        return _loaded(self, fold)

    def each(self, composites: Composites, folds: np.ndarray) -> dict[int, np.ndarray]:
        """Return calibrated chances `(class, y, x)` by the fold that a model was fitted without; by WHOLE the
        mean of all models, for parcels that none learned.

        Parameters
        ----------
        folds
            `(fold, y, x)` bool in the order of `folds`, and last where all models are wanted: NaN elsewhere.
        """
        by = dict(self.temperatures)
        found = {
            fold: tempered(self.model(fold).chances(composites, folds[k] | folds[-1]), by.get(fold, 1.0))
            for k, fold in enumerate(self.folds)
        }
        mean = np.mean(list(found.values()), axis=0) if folds[-1].any() else None
        empty = np.full((len(self.classes), *composites.shape), np.nan, np.float32)
        return {WHOLE: empty if mean is None else np.where(folds[-1], mean, np.nan), **found}


@lru_cache(maxsize=64)
def _loaded(models: FoldModels, fold: int) -> PixelModel:
    return load(models.method, models.folder / name_of(fold), dict(models.sha256)[fold])


def name_of(fold: int) -> str:
    """Return the folder's name of the model without a fold."""
    return "whole" if fold == WHOLE else f"fold_{fold}"


def cross_fit(
    blocks: Sequence[LabelledBlock],
    classes: tuple[str, ...],
    folds: Sequence[int],
    options: PatchOptions,
    seed: int,
    folder: Path,
    progress: Progress | None = None,
) -> FoldModels:
    """Fit one model without each of `folds` (WHOLE: on all labels) and keep it in `folder`; those that lie
    there already, of the same options and data, are not fitted again.

    Raises
    ------
    ModelError
        Where there is nothing to learn, or only one class; the reason code says which.
    """
    if not blocks:
        raise ModelError(
            "No block of imagery holds a labelled parcel; set patches.method: none.",
            reason="nothing_to_learn",
        )
    chosen = options.model_dump(
        mode="json", exclude={"composition", "threads", "block_px", "training_blocks"}
    )
    data = fingerprint([digest_of(blocks), chosen, list(classes), seed])
    start = _start(blocks, options, seed, folder / PRETRAINED, data)
    hashes, margin = {}, 0
    for done, fold in enumerate(folds):
        place = folder / name_of(fold)
        if not _is_done(place, data):
            said = None if progress is None else _within(progress, done, len(folds))
            model = build(options, classes, start).fit(blocks, None if fold == WHOLE else fold, seed, said)
            recipe = model.save(place)
            write_json(place / JOB, {"data": data, "sha256": sha256(recipe)})
        hashes[fold] = sha256(place / RECIPE)
        margin = build(options, classes).margin_px
        if progress:
            progress(100 * (done + 1), 100 * len(folds))
    models = FoldModels(folder.absolute(), options.method, classes, margin, tuple(hashes.items()))
    return replace(models, temperatures=_temperatures(blocks, models, seed, data))


def _temperatures(
    blocks: Sequence[LabelledBlock], models: FoldModels, seed: int, data: str
) -> tuple[tuple[int, float], ...]:
    """Learn how far to believe each model, unless that has been done for the same models."""
    if len(models.folds) < 2:
        return ()
    path, made_of = models.folder / TEMPERATURES, fingerprint([data, models.sha256])
    noted = _read(path)
    if noted.get("made_of") != made_of:

        def said(fold: int) -> Told:
            return told(
                blocks, lambda block, wanted: models.model(fold).chances(block.composites, wanted), fold, seed
            )

        found = learn_temperatures({fold: said(fold) for fold in models.folds})
        noted = {"made_of": made_of, "temperatures": list(found.items())}
        write_json(path, noted)
    return tuple((int(fold), float(value)) for fold, value in noted["temperatures"])


def _start(
    blocks: Sequence[LabelledBlock], options: PatchOptions, seed: int, place: Path, data: str
) -> list[np.ndarray] | None:
    """Pre-train the network's trunk without labels, where that is asked for and has not been done; return its
    weights."""
    if options.method != "unet" or not options.network.pretraining_epochs:
        return None
    if not _is_done(place, data):
        bring_up()
        from models.patches.networks.pretraining import pretrain

        weights, history = pretrain(blocks, options.network, options.input == "temporal", seed)
        arrays = {f"weight{k}": array for k, array in enumerate(weights)}
        recipe = write_bundle(place, {"name": PRETRAINED, "history": history}, arrays)
        write_json(place / JOB, {"data": data, "sha256": sha256(recipe)})
    _, stored = read_bundle(place, sha256(place / RECIPE), "compose")
    return [stored[f"weight{k}"] for k in range(len(stored))]


def _within(progress: Progress, done: int, count: int) -> Progress:
    return lambda part, parts: progress(100 * done + 100 * part // parts, 100 * count)


def _is_done(place: Path, data: str) -> bool:
    noted = _read(place / JOB)
    return (
        noted.get("data") == data
        and (place / RECIPE).is_file()
        and noted.get("sha256") == sha256(place / RECIPE)
    )


def _read(path: Path) -> dict[str, Any]:
    """Return what a note holds; nothing where it is absent or damaged."""
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}
