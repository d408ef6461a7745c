"""Pixels become compositions: what grows where inside each parcel, and where more than one crop does."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from features.accounting import tally
from features.errors import ModelError
from features.files import fingerprint, read_parquet
from features.schema import COMPOSITION
from features.workers import Executor, Progress, one_by_one
from models.patches.composition.tables import FINDINGS, PAIRS, with_intervals
from models.patches.crossfit import FoldModels, cross_fit
from models.patches.units import SCHEMAS, ParcelUnit, place_of, run_unit
from pipelines.config import RunConfig
from pipelines.inputs.pixels.patch_inputs import (
    OUTSIDE,
    TOO_LARGE,
    Tile,
    mapped_classes,
    patch_tiles,
    training_blocks,
)
from pipelines.record.stage import Outcome
from pipelines.tables import read_declared, write_table
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)
PARTS = "parts"
NEVER_SEEN = "never_seen"
FIT, COMPOSE = 60, 40  # percent of the stage's progress


def run(
    config: RunConfig, workspace: Workspace, progress: Progress, executor: Executor = one_by_one
) -> Outcome:
    """Fit a model a fold, and write `composition.parquet`, its findings, and how sure their hectares are."""
    options, buffer_m = config.patches, config.extract.inner_buffer_m
    classes = mapped_classes(workspace, options.least_parcels)
    tiles = patch_tiles(config, workspace, classes)
    folds = sorted({int(fold) for tile in tiles for fold in tile.parcels["fold"] if fold >= 0})
    blocks = training_blocks(tiles, options, buffer_m, config.seed)
    try:
        models = cross_fit(
            blocks, classes, folds, options, config.seed, workspace.patches / "models",
            lambda done, total: progress(FIT * done // max(total, 1), FIT + COMPOSE),
        )  # fmt: skip
    except ModelError as error:
        if error.reason != NEVER_SEEN:
            raise
        log.warning("No parcel is composed: %s", error)
        return _nothing(config, workspace, tiles, progress)
    del blocks
    units = list(_units(tiles, models, config, workspace))
    for done, _ in enumerate(executor(run_unit, units), start=1):
        progress(FIT + COMPOSE * done // len(units), FIT + COMPOSE)
    found = {
        name: pl.concat([schema.to_frame(), *(read_parquet(unit.table(name)) for unit in units)])
        for name, schema in SCHEMAS.items()
    }
    tables = _gather(found, tiles, workspace, OUTSIDE)
    for path, table in tables.items():
        write_table(table, path)
    shutil.rmtree(workspace.patches / PARTS, ignore_errors=True)
    progress(FIT + COMPOSE, FIT + COMPOSE)
    reasons = tables[workspace.composition_findings]["reason"].to_list()
    facts = {
        "classes": list(classes),
        "method": options.method,
        "pairs": len(tables[workspace.table("mixed_pairs")]),
    }
    return Outcome([*tables, models.folder], [tally("compose", "parcels", reasons)], facts)


def _units(
    tiles: list[Tile], models: FoldModels, config: RunConfig, workspace: Workspace
) -> Iterator[ParcelUnit]:
    """Yield one unit per block that holds the middle of a parcel."""
    options = config.patches
    for tile in tiles:
        key = fingerprint(
            [
                tile.key,
                models.sha256,
                models.temperatures,
                options.composition.model_dump(),
                config.extract.inner_buffer_m,
            ]
        )
        folder = (workspace.patches / PARTS / f"{tile.name}_{key[:16]}").absolute()
        home = tile.parcels["home"].to_numpy()
        for block in np.unique(home[home >= 0]).tolist():
            shapes = tile.parcels.geometry.to_numpy()[home == block]
            place = place_of(shapes, tile.imagery.grid, models.margin_px)
            yield ParcelUnit(
                tile.imagery,
                tile.file.absolute(),
                block,
                place,
                models,
                options,
                config.extract.inner_buffer_m,
                folder,
            )


def _nothing(config: RunConfig, workspace: Workspace, tiles: list[Tile], progress: Progress) -> Outcome:
    """Write tables that set every parcel aside: no pixel was ever seen, and the run goes on without."""
    empty = {name: schema.to_frame() for name, schema in SCHEMAS.items()}
    tables = _gather(empty, tiles, workspace, NEVER_SEEN)
    for path, table in tables.items():
        write_table(table, path)
    progress(1, 1)
    reasons = tables[workspace.composition_findings]["reason"].to_list()
    return Outcome([*tables], [tally("compose", "parcels", reasons)], {"method": config.patches.method})


def _gather(
    found: dict[str, pl.DataFrame], tiles: list[Tile], workspace: Workspace, otherwise: str
) -> dict[Path, pl.DataFrame]:
    """Put the units' tables together; every declared parcel has a finding, or the reason why not: `otherwise`
    where it was in no unit."""
    declared = read_declared(workspace)
    ids = declared["parcel_id"].tolist()
    large = {name for tile in tiles for name in tile.parcels["parcel_id"][tile.parcels["home"] < 0]}
    composed = set(found["findings"]["parcel_id"])
    rest = [name for name in ids if name not in composed]
    missing = pl.DataFrame(
        {"parcel_id": rest, "reason": [TOO_LARGE if name in large else otherwise for name in rest]},
        schema={"parcel_id": pl.String, "reason": pl.String},
    )
    findings = pl.concat([found["findings"], missing], how="diagonal").select(FINDINGS.names())
    findings = findings.with_columns(pl.col("heterogeneous", "more_than_one_crop").fill_null(False))
    areas = dict(zip(ids, declared["area_ha"].astype(float), strict=True))
    pairs = found["pairs"].sort("first", "second")
    findings = with_intervals(findings, areas, pairs)
    order = pl.DataFrame({"parcel_id": ids}).with_row_index("at")
    findings = order.join(findings, on="parcel_id", how="left").sort("at").drop("at")
    composition = found["composition"].join(order, on="parcel_id", how="left")
    composition = composition.sort("at", "share", "crop_class", descending=[False, True, False])
    return {
        workspace.composition: composition.select(COMPOSITION.names()),
        workspace.composition_findings: findings.select(FINDINGS.names()),
        workspace.composition_pixels: found["pictures"].sort("parcel_id", "y", "x"),
        workspace.table("mixed_pairs"): pairs.select(PAIRS.names()),
    }
