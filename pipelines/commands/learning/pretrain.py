"""Models are trained on public labelled sets, and left as a bundle that a run trains further."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from features.declarations.crop_codes import read_crop_groups
from features.declarations.options import CropTableOptions
from features.errors import ConfigError
from features.files import sha256, write_json
from features.schema import ENSEMBLE
from features.series.calendar import make_calendar
from features.series.gapfill import gapfill_series
from features.workers import Progress
from models.backend import bring_up
from models.crops.estimators.by_name import FAMILIES
from models.crops.fitting.bundle import write_bundle
from models.crops.fitting.crossfit import cross_fit
from models.crops.fitting.options import TransferOptions
from models.crops.inputs.ranges import ranges_of
from models.crops.inputs.source import InMemory
from models.crops.sets.gather import Gathered, gather
from models.evaluation.metrics import score_model
from models.folds import deal
from pipelines.config import RunConfig
from pipelines.main_job import display
from pipelines.record.lock import locked
from pipelines.tables import write_table

REPORT = "pretrained.json"


def pretrain_on_sets(config: RunConfig, folder: Path) -> str:
    """Train the config's models on `train.transfer.sets`; return what is to be said.

    Their calendar, gap filling and features are the config's, so that its run can train the models further.
    `folder` gets `models/` with its bundle, the classes, and `pretrained.json`: sets with licence and
    citation, what was set aside, and scores out of fold.

    Raises
    ------
    ConfigError
        Where the config names no set, or a set cannot be read.
    """
    sets, season = config.train.transfer.sets, config.season
    if not sets:
        raise ConfigError(
            "train.transfer.sets names no public set; give each its `name` and `path` (conf/pretrain.yaml)."
        )
    if config.series.calendar == "thermal":
        raise ConfigError("pretrain needs series.calendar dekad or month: public sets come without weather.")
    calendar = make_calendar(config.series.calendar, season.start, season.end)
    found = gather(
        sets,
        _class_of(config.declarations.crops),
        calendar,
        wanted(config),
        season.year,
        config.seed,
        config.limits,
    )
    with locked(folder, "pretrain"), display() as bars:
        bar = bars.add_task("pretrain", total=None)
        return _train(
            config, found, folder, lambda done, total: bars.update(bar, completed=done, total=total)
        )


def wanted(config: RunConfig) -> tuple[str, ...]:
    """Return the features of the config's run that a set may give; radar of imagery is named by its orbit,
    which no set can know.
    """
    if config.series.features is not None:
        return config.series.features
    if config.series.tables:
        named = [of.name for table in config.series.tables for of in table.columns.values()]
        return tuple(
            dict.fromkeys([*named, *(name for table in config.series.tables for name in table.derive)])
        )
    return config.extract.features_of("s2")


def _class_of(crops: CropTableOptions) -> Callable[[str], str | None]:
    groups = read_crop_groups(crops.groups)

    def class_of(code: str) -> str | None:
        name = groups.class_of(code)
        return None if name is None else crops.merge_classes.get(name, name)

    return class_of


def folds_of(found: Gathered, count: int, seed: int) -> tuple[np.ndarray, str]:
    """Return `(parcel,)` folds that keep places together, and what they go by."""
    groups, classes = np.array(found.groups), np.array(found.classes)
    by, places = "place", len(np.unique(groups))
    if places < 2:  # one place: its samples are dealt out singly
        groups, by, places = np.arange(len(groups)), "sample", len(groups)
    return deal(groups, classes, min(count, places), np.random.default_rng(seed)), by


def _train(config: RunConfig, found: Gathered, folder: Path, progress: Progress) -> str:
    options = config.train.model_copy(update={"transfer": TransferOptions()})
    if any(options.kind(name) not in FAMILIES for name in options.models):
        bring_up()
    series = gapfill_series(found.series, config.fill)
    folds, by = folds_of(found, config.folds.count, config.seed)
    models = folder / "models"
    fitted = cross_fit(series, found.classes, folds, options, models, progress)
    declared = pl.DataFrame({"parcel_id": series["parcel"].values.astype(str), "crop_class": found.classes})
    bundle = write_bundle(
        models,
        options,
        fitted.models,
        fitted.weights,
        fitted.probabilities,
        declared,
        found.about,
        ranges_of(InMemory(series)),
    )
    if bundle is None:
        raise ConfigError(
            "None of train.models can be stored; pretrain needs a network (lstm, tempcnn, ltae)."
        )
    write_table(fitted.classes, folder / "classes.parquet")
    score = _score(fitted.probabilities, declared, np.array(found.groups))
    write_json(
        folder / REPORT,
        {
            "config": config.model_dump(mode="json"),
            "bundle_sha256": sha256(bundle),
            "sets": found.about,
            "features": series["feature"].values.tolist(),
            "folds_by": by,
            "macro_f1": score,
        },
    )
    lines = [str(tally) for tally in found.tallies]
    lines += [f"{of['title']}: {of['licence']}. {of['citation']}" for of in found.about]
    lines.append(
        f"Macro-F1 out of fold {score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}], "
        f"n={score['n']}, folds by {by}; features {', '.join(series['feature'].values.tolist())}."
    )
    lines.append(f"Use it by train.transfer: {{use: tune, runs: [{folder.as_posix()}]}}")
    return "\n".join(lines)


def _score(probabilities: pl.DataFrame, declared: pl.DataFrame, groups: np.ndarray) -> dict[str, object]:
    table = probabilities.filter((pl.col("model") == ENSEMBLE) & (pl.col("fold") >= 0))
    classes = table.columns[3:]
    place = {name: row for row, name in enumerate(declared["parcel_id"])}
    rows = np.array([place[name] for name in table["parcel_id"]])
    codes = np.array([classes.index(name) for name in declared["crop_class"].gather(rows)])
    scores = score_model(table[:, 3:].to_numpy(), codes, groups[rows], np.random.default_rng(0))
    return dict(scores["macro_f1"].to_dict())
