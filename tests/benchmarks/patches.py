"""Crop maps and compositions beside their peers: a forest on pixels, and the rule on the spread of NDVI.

uv run python -m tests.benchmarks.patches [--json FILE] [--quick] [--work synthetic] [--seeds 21 22 23]

`synthetic`: simulated regions as `conf/mixed.yaml`, other seeds, which nothing was chosen on. Every pixel and
parcel is scored by a model that did not learn its parcel. Pixels are scored within the declared outlines,
parcels by the mean chances of their pixels (`majority`), by the parcel ensemble, and by both (weights learned
on the declarations of the other folds). `labels`: how much of the gap between a tenth of the labels and all
of them siamese pre-training closes (`patch_labels`; intervals: Student's t over seeds). `speed`: seconds of
a map per million pixels and date, reading included. `flanders`: two neighbours of a real patch taken for one
parcel (CROPCHECK_DATA). Intervals: bootstrap over holdings (parcels, pixels of parcels) of all regions.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rasterio.features import rasterize

from features.declarations.crop_codes import read_crop_table
from features.files import read_parquet
from features.imagery.blocks import Block
from features.indexing.folder import index_folder
from features.schema import ENSEMBLE, acquisition_rows
from features.series.parcel_series import read_series
from features.series.quality import series_quality
from models.crops.fitting.combination import combine, learn_weights
from models.evaluation.composition_scores import score_composition, true_shares
from models.evaluation.metrics import macro_f1, multiplicities, ratio
from models.patches.boosting import pixel_table, rows_of
from models.patches.by_name import build
from models.patches.calibration import Told, learn_temperatures, tempered, told
from models.patches.composition.parcel import compose
from models.patches.composition.tables import FINDINGS, composition_rows, finding_row
from models.patches.inputs.composites import Composites, edges_of
from models.patches.inputs.labels import UNKNOWN, ParcelPixels, labels_of, pixels_of
from models.patches.inputs.samples import LabelledBlock
from models.patches.options import PatchOptions
from models.patches.units import Imagery, labelled_blocks
from models.verdicts.rule import spread_deviation
from pipelines.config import RunConfig, load_config
from pipelines.inputs.crop_tables import crop_options
from pipelines.inputs.pixels.cloud_masks import read_masked
from pipelines.inputs.pixels.patch_inputs import Tile, mapped_classes, patch_tiles
from pipelines.inputs.pixels.tile_grids import finest_grid
from pipelines.main_job import run_one, run_until_read
from pipelines.tables import read_declared
from pipelines.workspace import Workspace
from tests.benchmarks import patch_labels
from tests.benchmarks.patch_training import Tensors, stored_reflectance

CONFIG = Path("conf/mixed.yaml")
SEEDS = (21, 22, 23)
BEFORE = ("synthesise", "clear", "extract", "fill", "train")
BUFFER_M = 5.0
TREES = 100  # of the forest
Row = dict[str, Any]


class PixelForest:
    """A random forest on the same values of the same pixels as the trees of `boosting`."""

    margin_px = 0

    def __init__(self, options: PatchOptions, classes: tuple[str, ...]) -> None:
        self.options, self.classes = options, classes

    def fit(self, blocks: list[LabelledBlock], fold: int | None, seed: int) -> "PixelForest":
        from sklearn.ensemble import RandomForestClassifier

        values, truth = pixel_table(blocks, fold, self.options.boosting.pixels_per_parcel, seed)
        self.forest = RandomForestClassifier(
            TREES, min_samples_leaf=2, class_weight="balanced_subsample", random_state=seed, n_jobs=1
        ).fit(values, truth)
        return self

    def chances(self, composites: Composites, wanted: np.ndarray | None = None) -> np.ndarray:
        known = composites.known if wanted is None else composites.known & wanted
        out = np.full((len(self.classes), *composites.shape), np.nan, np.float32)
        if known.any():
            found = np.zeros((int(known.sum()), len(self.classes)), np.float32)
            found[:, self.forest.classes_] = self.forest.predict_proba(rows_of(composites, known))
            out[:, known] = found.T
        return out


@dataclass
class Region:
    """A simulated region with its composites, labels and truth."""

    config: RunConfig
    workspace: Workspace
    classes: tuple[str, ...]
    tile: Tile
    block: LabelledBlock
    pixels: ParcelPixels
    truth: np.ndarray  # (y, x) class of what grows, -1 where none that is mapped
    class_of: dict[str, str | None]
    scored: dict[str, dict[str, Any]] = field(default_factory=dict)


def region_of(seed: int, folder: Path, quick: bool, more: list[str] | None = None) -> Region:
    """Make a region, and train its parcel ensemble; `more` are settings as `--set` takes them."""
    sets = [f"seed={seed}", "patches.method=boosting", "tracking.enabled=false", *(more or [])]
    sets += ["simulate.n_parcels=150"] if quick else []
    config = load_config(CONFIG, sets)
    workspace = Workspace(folder / f"region_{seed}{'_quick' if quick else ''}")
    for stage in BEFORE:
        run_one(stage, config, workspace)
    classes = mapped_classes(workspace, config.patches.least_parcels)
    (tile,) = patch_tiles(config, workspace, classes)
    grid = tile.imagery.grid
    whole = Block(slice(0, grid.shape[0]), slice(0, grid.shape[1]))
    (block,) = labelled_blocks(tile.imagery, tile.parcels, [whole], config.patches, BUFFER_M)
    crops = read_crop_table(crop_options(config, workspace))
    class_of = dict(crops.select("code", "crop_class").iter_rows())
    pixels = pixels_of(tile.parcels.geometry.to_numpy(), grid, BUFFER_M)
    return Region(
        config,
        workspace,
        classes,
        tile,
        block,
        pixels,
        _true_pixels(config, tile, classes, class_of),
        class_of,
    )


def tensors_of(region: Region) -> Tensors:
    """What networks learn from that are trained elsewhere."""
    grid, labels, pixels = region.tile.imagery.grid, region.block.labels, region.pixels
    stack = region.tile.imagery.stack(Block(slice(0, grid.shape[0]), slice(0, grid.shape[1])))
    return Tensors(
        stored_reflectance(stack["reflectance"].values, stack["clear"].values),
        stack["time"].values.astype("datetime64[D]"),
        (region.config.season.start, region.config.season.end),
        {"parcel": labels.parcel, "label": labels.label, "second": labels.second, "fold": labels.fold},
        {
            "parcel": pixels.parcel.astype(np.int32),
            "row": pixels.row.astype(np.int16),
            "column": pixels.column.astype(np.int16),
            "share": pixels.share,
            "inner": pixels.inner,
        },
        region.tile.parcels["fold"].to_numpy(),
        region.truth.astype(np.int16),
        region.classes,
    )


def _true_pixels(
    config: RunConfig, tile: Tile, classes: tuple[str, ...], class_of: dict[str, str | None]
) -> np.ndarray:
    """Class `(y, x)` of the field that holds a pixel's middle, from the simulated world itself."""
    from features.simulate.region.world import make_world

    assert config.simulate is not None
    world = make_world(config.simulate, config.season.year, config.seed)
    number = {name: k for k, name in enumerate(classes)}
    code = world.fields.code[: len(world.parcels) + len(world.parts)]
    values = [number.get(class_of.get(str(one)) or "", UNKNOWN) for one in code]
    shapes = list(zip([*world.parcels, *world.parts], values, strict=True))
    shapes += [(cover, UNKNOWN) for cover in world.covers]
    grid = tile.imagery.grid
    return np.asarray(rasterize(shapes, grid.shape, UNKNOWN, transform=grid.affine, dtype="int16"))


def out_of_fold(
    region: Region, subject: str, options: PatchOptions, stored: Path | None = None
) -> tuple[dict[int, np.ndarray], float]:
    """Chances `(class, y, x)` by the fold that each model did not learn, and the seconds of fitting."""
    if stored is not None:
        return stored_chances(region, stored)
    folds = sorted({int(one) for one in region.tile.parcels["fold"] if one >= 0})
    found, started = {}, time.process_time()
    for fold in folds:
        model: Any = (
            PixelForest(options, region.classes) if subject == "forest" else build(options, region.classes)
        )
        model.fit([region.block], fold, region.config.seed)
        found[fold] = model.chances(region.block.composites)
    return found, time.process_time() - started


def calibrated(region: Region, found: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """The same chances, of temperatures as a run learns them."""

    def of(fold: int) -> Told:
        return told([region.block], lambda block, wanted: found[fold], fold, region.config.seed)

    by = learn_temperatures({fold: of(fold) for fold in found})
    return {fold: tempered(chances, by[fold]) for fold, chances in found.items()}


def stored_chances(region: Region, folder: Path) -> tuple[dict[int, np.ndarray], float]:
    """The same from what `patch_training` left: the mean over its seeds, within the parcels of each fold."""
    tensors, found, seconds = tensors_of(region), {}, 0.0
    for fold in sorted({int(one) for one in tensors.folds if one >= 0}):
        files = sorted(folder.glob(f"region_{region.config.seed}_{fold}_*.npz"))
        _, row, column = tensors.places(fold)
        chances = np.full((len(region.classes), *tensors.truth.shape), np.nan, np.float32)
        read = [np.load(file, allow_pickle=False) for file in files]
        chances[:, row, column] = np.mean([one["chances"].astype(np.float32) for one in read], axis=0).T
        seconds += sum(json.loads(str(one["task"]))["seconds"] for one in read)
        found[fold] = chances
    return found, seconds


def score(region: Region, subject: str, options: PatchOptions, stored: Path | None = None) -> dict[str, Any]:
    """Score one subject on one region: pixels, parcels and compositions, not yet summed up."""
    found, seconds = out_of_fold(region, subject, options, stored)
    chances = calibrated(region, found)
    parcels, pixels = region.tile.parcels, region.pixels
    fold = parcels["fold"].to_numpy()
    usable = (fold[pixels.parcel] >= 0) & (pixels.share >= 0.5)
    mine = pixels.take(usable)
    by = np.empty((len(mine), len(region.classes)), np.float32)
    for number, one in chances.items():
        own = fold[mine.parcel] == number
        by[own] = one[:, mine.row[own], mine.column[own]].T
    truth = region.truth[mine.row, mine.column]
    known = np.isfinite(by).all(axis=1)
    rows, findings = [], []
    means = np.full((len(parcels), len(region.classes)), np.nan)
    composition = options.composition
    for index, row in enumerate(parcels.itertuples(index=False)):
        if row.fold < 0:
            continue
        part = pixels.take(pixels.parcel == index)
        here = (part.row, part.column)
        own = chances[row.fold][:, *here].T
        seen = region.block.composites.values[:, :, *here].reshape(-1, len(part)).T
        parcel = compose(part, own, composition, seen)
        weight = composition.border_weight * part.share + (1 - composition.border_weight) * part.inner
        weight = np.where(np.isfinite(own).all(axis=1), weight, 0)
        if weight.any():
            means[index] = weight @ np.nan_to_num(own) / weight.sum()
        accepted = {number for number in (row.label, row.second) if number >= 0}
        rows += composition_rows(row.parcel_id, row.area_ha, parcel, region.classes)
        findings.append(finding_row(row.parcel_id, row.area_ha, parcel, accepted, composition))
    return {
        "pixels": (truth[known], by[known].argmax(axis=1), mine.parcel[known]),
        "means": means,
        "composition": pl.DataFrame(rows),
        "findings": pl.DataFrame(findings, schema=FINDINGS),
        "seconds": seconds,
    }


def parcel_truth(region: Region) -> np.ndarray:
    """Class `(parcel,)` that truly grows on most of a parcel; -1 where it is not mapped."""
    truth = read_parquet(region.workspace.truth).select("parcel_id", "true_code")
    of = dict(truth.iter_rows())
    number = {name: k for k, name in enumerate(region.classes)}
    ids = region.tile.parcels["parcel_id"]
    return np.array([number.get(region.class_of.get(of[name]) or "", UNKNOWN) for name in ids])


def ensemble_of(region: Region) -> np.ndarray:
    """The parcel ensemble's chances `(parcel, class)`, out of fold; NaN where it has none."""
    table = read_parquet(region.workspace.probabilities).filter(pl.col("model") == ENSEMBLE)
    for name in region.classes:
        if name not in table.columns:
            table = table.with_columns(pl.lit(0.0).alias(name))
    ids = pl.DataFrame({"parcel_id": region.tile.parcels["parcel_id"].tolist()})
    joined = ids.join(
        table.select("parcel_id", *region.classes), on="parcel_id", how="left", maintain_order="left"
    )
    return joined.select(region.classes).to_numpy().astype(float)


def together(region: Region, chances: np.ndarray) -> np.ndarray:
    """Pool what several models say of parcels, `(model, parcel, class)`, by weights that are learned, for
    each fold, on the declarations of the others; NaN where one says nothing."""
    parcels = region.tile.parcels
    fold, label = parcels["fold"].to_numpy(), parcels["label"].to_numpy()
    usable = np.isfinite(chances).all(axis=(0, 2)) & (fold >= 0)
    told_of = usable & (label >= 0) & (parcels["second"].to_numpy() < 0)
    out = np.full(chances.shape[1:], np.nan)
    for number in np.unique(fold[usable]):
        others, own = told_of & (fold != number), usable & (fold == number)
        out[own] = combine(chances[:, own], learn_weights(chances[:, others], label[others]))
    return out


def groups_of(region: Region) -> np.ndarray:
    """Holding and block `(parcel,)` of the parcels."""
    table = read_parquet(region.workspace.table("folds")).select("parcel_id", "group")
    ids = pl.DataFrame({"parcel_id": region.tile.parcels["parcel_id"].tolist()})
    joined = ids.join(table, on="parcel_id", how="left", maintain_order="left")
    return joined["group"].fill_null(-1).to_numpy() + 100_000 * region.config.seed


def f1_of(truth: np.ndarray, found: np.ndarray, groups: np.ndarray, weights: np.ndarray) -> tuple[float, ...]:
    """Macro-F1 with its 95% interval, groups redrawn; each thing has a weight."""
    k = int(max(truth.max(), found.max())) + 1
    _, group = np.unique(groups, return_inverse=True)
    matrices = np.zeros((group.max() + 1, k, k))
    np.add.at(matrices, (group, truth, found), weights)
    drawn = multiplicities(groups, np.random.default_rng(0), 400)
    values = [macro_f1(np.tensordot(times, matrices, 1)) for times in drawn]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(macro_f1(matrices.sum(axis=0))), float(low), float(high)


def by_spread(region: Region) -> pl.DataFrame:
    """What was declared on each parcel, its group, and whether the rule on the spread of NDVI flags it."""
    declared = read_declared(region.workspace)
    quality = series_quality(read_series(region.workspace.filled)).select("parcel_id", "ndvi_spread")
    crop = [name if isinstance(name, str) else None for name in declared["crop_class"]]
    table = pl.DataFrame(
        {
            "parcel_id": declared["parcel_id"].tolist(),
            "crop_class": crop,
            "second_class": [region.class_of.get(code) for code in declared["declared_second"]],
        },
        schema_overrides={"second_class": pl.String},
    ).join(quality, on="parcel_id", how="left", maintain_order="left")
    spread = spread_deviation(table["ndvi_spread"].to_numpy(), table["crop_class"].to_numpy())
    groups = dict(zip(region.tile.parcels["parcel_id"], groups_of(region).tolist(), strict=True))
    return table.with_columns(
        by_spread=pl.Series(spread > region.config.judge.max_spread),
        group=pl.col("parcel_id").replace_strict(groups, default=-1, return_dtype=pl.Int64),
    )


def synthetic(
    regions: list[Region], subjects: dict[str, PatchOptions], stored: dict[str, Path] | None = None
) -> Iterator[Row]:
    """Score every subject on all regions together; `stored` has the chances of those trained elsewhere."""
    names = sorted({name for region in regions for name in region.classes})
    common = [np.array([names.index(name) for name in region.classes]) for region in regions]
    truths = [parcel_truth(region) for region in regions]
    ensembles = [ensemble_of(region) for region in regions]
    groups = [groups_of(region) for region in regions]

    def row(subject: str, metric: str, figures: tuple[float, ...], n: int, unit: str = "share") -> Row:
        value, low, high = figures
        return {"work": "synthetic", "subject": subject, "metric": metric, "value": value, "low": low,
                "high": high, "n": n, "unit": unit}  # fmt: skip

    def parcels(chances: list[np.ndarray]) -> tuple[tuple[float, ...], int]:
        usable = [
            (truth >= 0) & np.isfinite(one).all(axis=1) & np.isfinite(other).all(axis=1)
            for truth, one, other in zip(truths, chances, ensembles, strict=True)
        ]
        truth = np.concatenate([of[t[u]] for of, t, u in zip(common, truths, usable, strict=True)])
        found = np.concatenate(
            [of[c[u].argmax(axis=1)] for of, c, u in zip(common, chances, usable, strict=True)]
        )
        group = np.concatenate([g[u] for g, u in zip(groups, usable, strict=True)])
        return f1_of(truth, found, group, np.ones(len(truth))), len(truth)

    yield row("ensemble", "macro_f1_parcel", *parcels(ensembles))
    for subject, options in subjects.items():
        found = [score(region, subject, options, (stored or {}).get(subject)) for region in regions]
        pixels = [one["pixels"] for one in found]
        mapped = [truth >= 0 for truth, _, _ in pixels]
        truth, guess = (
            np.concatenate([of[one[k][m]] for of, one, m in zip(common, pixels, mapped, strict=True)])
            for k in (0, 1)
        )
        group = np.concatenate([g[one[2][m]] for one, g, m in zip(pixels, groups, mapped, strict=True)])
        yield row(subject, "macro_f1_pixel", f1_of(truth, guess, group, np.ones(len(truth))), len(truth))
        yield row(subject, "macro_f1_parcel_majority", *parcels([one["means"] for one in found]))
        both = [
            together(region, np.stack([one["means"], other]))
            for region, one, other in zip(regions, found, ensembles, strict=True)
        ]
        yield row(subject, "macro_f1_parcel_with_ensemble", *parcels(both))
        if subject not in (stored or {}):
            seconds = float(np.mean([one["seconds"] for one in found]))
            yield row(subject, "fit_predict_cpu_seconds", (seconds, seconds, seconds), len(found), "s")
        yield from _mixed(regions, found, subject, row)


def _mixed(regions: list[Region], found: list[dict[str, Any]], subject: str, row: Any) -> Iterator[Row]:
    """Score the compositions of all regions as one table."""

    def renamed(tables: list[pl.DataFrame]) -> pl.DataFrame:
        named = [
            table.with_columns(parcel_id=pl.format("{}_{}", pl.lit(region.config.seed), "parcel_id"))
            for table, region in zip(tables, regions, strict=True)
        ]
        return pl.concat(named)

    covers = renamed([true_shares(read_parquet(r.workspace.truth_composition), r.class_of) for r in regions])
    table = score_composition(
        renamed([one["composition"] for one in found]),
        renamed([one["findings"] for one in found]),
        covers,
        renamed([by_spread(region) for region in regions]),
        np.random.default_rng(0),
    )
    for one in table.iter_rows(named=True):
        if not one["n"]:
            continue
        if one["by"] == "composition":
            unit = "ha" if one["metric"].endswith("_ha") else "share"
            yield row(subject, one["metric"], (one["value"], one["low"], one["high"]), one["n"], unit)
        elif subject == "boosting":
            yield row("spread_rule", one["metric"], (one["value"], one["low"], one["high"]), one["n"])


def labels_of_region(region: Region, network: PatchOptions, asked: argparse.Namespace) -> Iterator[Row]:
    """Rows of the network that is trained here, and of one trained elsewhere where its chances are given."""
    seeds = 2 if asked.quick else 5
    if asked.chances:
        yield from patch_labels.stored(region, asked.chances.parent, seeds)
    yield from patch_labels.labels(region, network, seeds, asked.folder)


def speed(regions: list[Region], subjects: dict[str, PatchOptions]) -> Iterator[Row]:
    """Time a map of a region by one fitted model, reading and composites included."""
    region = regions[0]
    grid = region.tile.imagery.grid
    whole = Block(slice(0, grid.shape[0]), slice(0, grid.shape[1]))
    work = grid.shape[0] * grid.shape[1] / 1e6 * len(region.tile.imagery.rows)
    for subject in ("unet", "boosting"):
        model = build(subjects[subject], region.classes).fit([region.block], None, region.config.seed)
        model.chances(region.block.composites)  # compiled before it is timed
        times: list[tuple[float, float]] = []
        for _ in range(3):
            wall, cpu = time.perf_counter(), time.process_time()
            model.chances(region.tile.imagery.composites(whole))
            times.append((time.perf_counter() - wall, time.process_time() - cpu))
        for name, values in (("seconds", [a for a, _ in times]), ("cpu_seconds", [b for _, b in times])):
            best, worst = min(values) / work, max(values) / work
            yield {"work": "speed", "subject": subject, "metric": f"{name}_per_mpix_and_date", "value": best,
                   "low": best, "high": worst, "n": 3, "unit": "s"}  # fmt: skip


def flanders(data: Path, folder: Path) -> Iterator[Row]:  # noqa: PLR0915
    """Take two neighbours of a real patch for one parcel, by a model that learned neither; and single fields.

    Few fields of few crops: the figures show a direction, no rate.
    """
    config = load_config(Path("conf/flanders.yaml"), ["tracking.enabled=false"], data=_catalog(data, folder))
    workspace = Workspace(folder / "flanders")
    run_until_read(config, workspace)
    declared = read_declared(workspace)
    classes = tuple(sorted(set(declared["crop_class"].dropna())))
    rows = read_masked(config, workspace).filter(pl.col("sensor") == "s2")
    grid = finest_grid(rows)
    options = PatchOptions(method="boosting", bands=("B02", "B03", "B04", "B08", "B11", "B12"))
    edges = tuple(edges_of(options, config.season.start, config.season.end))
    imagery = Imagery(tuple(acquisition_rows(rows)), grid, options.bands, edges, config.extract.mask)
    shapes = declared.to_crs(str(grid.crs)).geometry.to_numpy()
    number = {name: k for k, name in enumerate(classes)}
    label = np.array([number.get(name, UNKNOWN) for name in declared["crop_class"]])
    whole = Block(slice(0, grid.shape[0]), slice(0, grid.shape[1]))
    composites, pixels = imagery.composites(whole), pixels_of(shapes, grid, 0.0)
    near = [
        (a, b)
        for a in range(len(shapes))
        for b in range(a + 1, len(shapes))
        if label[a] != label[b] and min(label[a], label[b]) >= 0 and shapes[a].distance(shapes[b]) <= 20
    ]

    def without(group: tuple[int, ...]) -> tuple[LabelledBlock, np.ndarray] | None:
        """Return labels, some fields in fold 0, and chances by a model that did not learn them."""
        fold = np.where(np.isin(np.arange(len(shapes)), group), 0, 1)
        labels = labels_of(pixels, grid.shape, label, np.full(len(label), UNKNOWN), fold)
        block = LabelledBlock(composites, labels)
        if len(np.unique(labels.label[(labels.fold == 1) & (labels.label >= 0)])) < 2:
            return None
        return block, build(options, classes).fit([block], 0, 1).chances(composites)

    singles = [(k,) for k in range(len(shapes)) if label[k] >= 0]
    alone = {group[0]: fitted for group in singles if (fitted := without(group))}
    said = {k: told([one[0]], lambda _, __, of=one[1]: of, 0, 1) for k, one in alone.items()}  # type: ignore[misc]
    found: dict[str, list[tuple[bool, float, bool]]] = {"merged": [], "single": []}
    for kind, members in [("merged", near), ("single", singles)]:
        for group in members:
            part = pixels.take(np.isin(pixels.parcel, group))
            if len(part) < options.composition.least_pixels:
                continue
            fitted = alone.get(group[0]) if kind == "single" else without(group)
            if fitted is None:
                continue
            here = (part.row, part.column)
            seen = composites.values[:, :, *here].reshape(-1, len(part)).T
            others = {k: one for k, one in said.items() if k not in group}
            chances = tempered(fitted[1], learn_temperatures({-1: said[group[0]], **others})[-1])
            parcel = compose(part, chances[:, *here].T, options.composition, seen)
            if kind == "merged":
                areas = [float((part.parcel == one).sum()) for one in group]
                true = min(areas) / sum(areas)
                number_of = label[group[int(np.argmin(areas))]]
                share = next((one.share for one in parcel.parts if one.number == number_of), 0.0)
                even = options.composition.least_share <= true
                found[kind].append((parcel.heterogeneous(options.composition), abs(share - true), even))
            else:
                found[kind].append((parcel.heterogeneous(options.composition), 0.0, False))
    found["merged_30_to_70"] = [one for one in found["merged"] if one[2]]
    for kind, ones in found.items():
        flags = np.array([flagged for flagged, _, _ in ones], bool)
        one = ratio(flags, np.ones(len(flags)), np.arange(len(flags)), np.random.default_rng(0))
        yield {"work": "flanders", "subject": "boosting", "metric": f"{kind}_found_heterogeneous",
               **one.to_dict(), "unit": "share"}  # fmt: skip
    errors = [error for _, error, _ in found["merged"]]
    if errors:
        yield {"work": "flanders", "subject": "boosting", "metric": "merged_lesser_share_error_median",
               "value": float(np.median(errors)), "low": min(errors), "high": max(errors), "n": len(errors),
               "unit": "share"}  # fmt: skip


def _catalog(data: Path, folder: Path) -> Path:
    """Index the patches, once."""
    out = folder / "flanders_catalog"
    if not (out / "catalog.json").is_file():
        index_folder(data / "flanders-patches", out)
    return out


def machine() -> dict[str, Any]:
    libraries = ("keras", "lightgbm", "numpy", "scikit-learn", "tensorflow")
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: version(name) for name in libraries},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="one region of 150 parcels, a few epochs")
    parser.add_argument("--work", action="append", choices=["synthetic", "labels", "speed", "flanders"])
    parser.add_argument("--subject", action="append", choices=["unet", "boosting", "forest"])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--chances", type=Path, help="of the network, as `patch_training` wrote them")
    parser.add_argument("--write-tensors", type=Path, help="write what `patch_training` takes, and stop")
    parser.add_argument("--threads", type=int, default=2, help="of the trees; no score depends on it")
    parser.add_argument("--set", action="append", default=[], help="as `cropcheck run` takes it")
    parser.add_argument("--folder", type=Path, default=Path("out/benchmarks/patches"))
    asked = parser.parse_args()
    seeds = asked.seeds[:1] if asked.quick else asked.seeds
    if asked.write_tensors:
        for seed in seeds:
            region = region_of(seed, asked.folder, asked.quick, asked.set)
            tensors_of(region).write(asked.write_tensors / f"region_{seed}.tensors")
        return
    network = PatchOptions(method="unet")
    if asked.quick:
        few = network.network.model_copy(update={"epochs": 3})
        network = network.model_copy(update={"network": few})
    trees = PatchOptions(method="boosting", threads=asked.threads)
    subjects = {"boosting": trees, "forest": trees, "unet": network}
    wanted = {name: one for name, one in subjects.items() if asked.subject is None or name in asked.subject}
    chosen = asked.work or ["synthetic", "labels", "speed", "flanders"]
    regions = (
        []
        if chosen == ["flanders"]
        else [region_of(one, asked.folder, asked.quick, asked.set) for one in seeds]
    )
    data = Path(os.environ.get("CROPCHECK_DATA", "../shared/data"))
    works = {
        "synthetic": lambda: synthetic(regions, wanted, {"unet": asked.chances} if asked.chances else None),
        "labels": lambda: labels_of_region(regions[0], network, asked),
        "speed": lambda: speed(regions, subjects),
        "flanders": lambda: flanders(data, asked.folder),
    }
    kept: list[Row] = []
    settings: dict[str, Any] = {}
    if asked.json and asked.json.is_file():
        before = json.loads(asked.json.read_text(encoding="utf-8"))
        kept, settings = before["rows"], before.get("settings", {})
    for work in chosen:
        for one in works[work]():
            print(f"{one['work']:10} {one['subject']:12} {one['metric']:36} {one['value']} "
                  f"[{one['low']}, {one['high']}] n={one['n']} {one['unit']}", flush=True)  # fmt: skip
            same = ("work", "subject", "metric")
            kept = [old for old in kept if any(old[key] != one[key] for key in same)] + [one]
            if asked.json:
                asked.json.parent.mkdir(parents=True, exist_ok=True)
                text = json.dumps({"machine": machine(), "rows": kept, "settings": settings}, indent=1)
                asked.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
