"""From acquisitions and declarations to observations: which units are run, what stands, and the account."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import polars as pl

from features.accounting import Tally, tally
from features.catalog.radiometry import baseline_rank
from features.code.version import code_version
from features.declarations.geometry.repair import inner_buffer
from features.errors import ImageryError
from features.extraction.kept_samples import SamplesFile
from features.extraction.observations import remarks_table
from features.extraction.options import ExtractOptions
from features.extraction.passes import number_passes
from features.extraction.scene_check import contradictory
from features.extraction.tiles.tile_parcels import (
    check_overlap,
    cover_tiles,
    parcel_table,
    safe_name,
    write_tiles,
)
from features.extraction.tiles.tiling import Assignment, assign_tiles
from features.extraction.units import Outcome, Unit, forget_tiles, identity, run_unit
from features.extraction.work_plan import Work, plan, tell_of_bands
from features.files import atomic_path, fingerprint, read_parquet, voucher_of
from features.schema import Acquisition
from features.workers import Executor, Progress, one_by_one

if TYPE_CHECKING:  # cloud removal's own libraries are loaded where clouds are removed
    from features.context.blocks import BlockContext
    from features.extraction.filling.remover import Remover
    from features.extraction.filling.tiles import Fill

__all__ = ["ExtractOptions", "extract", "read_set_aside"]

log = logging.getLogger(__name__)
CODE = "features.extraction.extract"  # with all that it imports: what the numbers depend on
UNTOLD = ("unknown_offset", "unknown_radar_unit")  # why numbers cannot be read of which nothing says how
NOTES = {
    "nodata_differs": "Item and file name other nodata values; neither is used",
    "scaling_differs": "Item and file state another scale or offset; the item's is used",
}


def extract(
    acquisitions: pl.DataFrame,
    declarations: gpd.GeoDataFrame,
    options: ExtractOptions,
    folder: Path,
    remover: "Remover | None" = None,
    progress: Progress | None = None,
    executor: Executor = one_by_one,
    context: "BlockContext | None" = None,
    stamps: Mapping[str, str] | None = None,
    known_aside: Mapping[str, tuple[str, str, str]] | None = None,
) -> tuple[pl.DataFrame, Tally]:
    """Extract every acquisition over every parcel of its tile into `folder`.

    Parameters
    ----------
    acquisitions
        `features.schema.ACQUISITIONS`.
    declarations
        As `features.schema.DECLARATION_COLUMNS`; parcels with an empty geometry come out without a tile.
    folder
        Receives the parts (`features.extraction.observations.read_observations` reads them back), the
        coverage cache and `set_aside.parquet`. What an earlier run has written there under the same inputs,
        options and code is not done again.
    remover
        A fitted cloud remover with `fill(stack)`; with it, what clouds hid is filled before aggregation.
    progress
        Called with units done and in all.
    executor
        Where the units run; `one_by_one` runs them in this process.
    context
        Maps and weather that the remover reads with every block; nothing by default.

    stamps
        What tells assets from others under the same link (`features.catalog.access.stamps.stamps_of`);
        those of local files are taken here where absent.
    known_aside
        Acquisitions that are not among these, because they were set aside before: item id to tile, reason and
        detail. They are accounted for.

    Returns
    -------
    tuple
        `features.schema.PARCELS`, one row per declaration in its order; and the account of the acquisitions:
        those that could not be read stand set aside by reason, with details in `read_set_aside(folder)`.

    Raises
    ------
    ImageryError
        Where no raster covers any parcel.
    """
    work, buffered, tiles, files = _prepared(acquisitions, declarations, options, folder)
    tell_of_bands(work, options)
    ran = _run(work, work.rows, files, options, folder, remover, progress, executor, context, stamps)
    outcomes = _with_unread(work, ran.outcomes)
    outcomes += [Outcome(item, *why) for item, why in (known_aside or {}).items()]
    _write_index(folder, ran.units, outcomes)
    views = {sensor: work.views_of(sensor) for sensor in work.sensors}
    table = parcel_table(declarations, buffered, tiles, ran.pixels, views)
    return table, _account(outcomes)


Prepared = tuple[
    Work, gpd.GeoSeries, dict[str, Assignment], dict[tuple[str, str], Path]
]  # what is to be read, the parcels as shrunk, the tile each is read from by sensor, each tile's parcels


def _prepared(
    acquisitions: pl.DataFrame, declarations: gpd.GeoDataFrame, options: ExtractOptions, folder: Path
) -> Prepared:
    work = plan(acquisitions, options)
    if not work.references:
        reasons = tally("plan", "acquisitions", (outcome.reason for outcome in work.aside))
        first = f" The first: {work.aside[0].detail}" if work.aside else ""
        counts = ", ".join(f"{reason} {count}" for reason, count in reasons.set_aside.items())
        raise ImageryError(f"No acquisition can be used ({counts}).{first}", reason="nothing_read")
    buffered = inner_buffer(declarations.geometry, options.inner_buffer_m).reset_index(drop=True)
    if buffered.is_empty.all() and not declarations.geometry.is_empty.all():
        raise ImageryError(
            f"Nothing is left of any of {len(declarations)} parcels once they are shrunk by "
            f"{options.inner_buffer_m:g} m; lower extract.inner_buffer_m, or check the coordinates' unit.",
            reason="nothing_read",
        )
    tiles = {sensor: assign_tiles(buffered, work.views_of(sensor)) for sensor in work.sensors}
    check_overlap(tiles, declarations, work.references)
    files = write_tiles(folder, work.references, buffered, declarations["parcel_id"].to_numpy(), tiles)
    return work, buffered, tiles, files


def without_contradictions(
    acquisitions: pl.DataFrame,
    declarations: gpd.GeoDataFrame,
    options: ExtractOptions,
    folder: Path,
    executor: Executor = one_by_one,
    stamps: Mapping[str, str] | None = None,
    filled: bool = False,
) -> tuple[pl.DataFrame, list[Outcome]]:
    """The acquisitions whose scale, offset and unit are known and plausible, as `extract` uses them, and the
    others with their reasons; what cannot be opened is left to `extract`.

    Parameters
    ----------
    folder
        Where `extract` keeps the parcels of tiles and their coverage.
    stamps
        As of `extract`; where given, what is seen of each acquisition is kept in the folder, and found there
        by `extract` with these options.
    filled
        Whether clouds will be removed: the bands in which they are, are looked at too.
    """
    work, _, _, files = _prepared(acquisitions, declarations, options, folder)
    aside = [outcome for outcome in work.aside if outcome.reason in UNTOLD]
    bands = _bands_filled(work.rows) if filled else ()
    aside += _contradictions(work.rows, files, options, folder, executor, bands, stamps)
    lost = [outcome.item_id for outcome in aside]
    return acquisitions.filter(~pl.col("item_id").is_in(lost)), aside


def _contradictions(
    rows: Sequence[Acquisition],
    files: Mapping[tuple[str, str], Path],
    options: ExtractOptions,
    folder: Path,
    executor: Executor,
    filled: Sequence[str] = (),
    stamps: Mapping[str, str] | None = None,
) -> list[Outcome]:
    """What `features.extraction.scene_check` sets aside of every sensor and tile with parcels; where there
    are stamps, an acquisition that was looked at before is not read again.

    Nothing is written: the units need no name that tells one version of the code from another.
    """
    found: list[Outcome] = []
    for key, parcels in files.items():
        own = [row for row in rows if (row["sensor"], row["tile"]) == key]
        units = [Unit(row, row["tile"], parcels, folder / "coverage", folder, options) for row in own]
        path = folder / "samples" / f"{key[0]}-{safe_name(key[1])}.parquet"
        found += contradictory(units, executor, filled, None if stamps is None else SamplesFile(path, stamps))
    return found


def _bands_filled(rows: Sequence[Acquisition]) -> tuple[str, ...]:
    from features.extraction.filling.tiles import bands_of_all

    return bands_of_all(rows)


@dataclass(frozen=True)
class _Ran:
    units: list[Unit]
    outcomes: list[Outcome]
    pixels: dict[str, pl.DataFrame]  # full and covered pixels by parcel, by sensor


def _run(
    work: Work,
    rows: Sequence[Acquisition],
    files: Mapping[tuple[str, str], Path],
    options: ExtractOptions,
    folder: Path,
    remover: "Remover | None",
    progress: Progress | None,
    executor: Executor,
    context: "BlockContext | None" = None,
    stamps: Mapping[str, str] | None = None,
) -> _Ran:
    """Coverage, then every unit of these rows whose tile holds parcels."""
    lost = {outcome.item_id for outcome in work.aside}
    rows = [row for row in rows if (row["sensor"], row["tile"]) in files and row["item_id"] not in lost]
    pixels = cover_tiles(rows, work.headers, files, options, folder, executor)
    known = stamps or {}
    filled = () if remover is None else _bands_filled(rows)
    aside = _contradictions(rows, files, options, folder, executor, filled, known)
    lost = {outcome.item_id for outcome in aside}
    rows = [row for row in rows if row["item_id"] not in lost]
    plain = [row for row in rows if remover is None or row["sensor"] != "s2"]
    units = [_unit(row, files[row["sensor"], row["tile"]], options, folder, known) for row in plain]
    fills, unopened = (
        ([], []) if remover is None else _plan_fills(rows, files, options, folder, remover, context, known)
    )
    counter = _Counter(len(units) + sum(len(fill.blocks) for fill in fills if not fill.is_done), progress)
    outcomes = aside + unopened
    for outcome in executor(run_unit, units):
        outcomes.append(outcome)
        counter.tick()
    if fills:
        from features.extraction.filling.tiles import run_fill
    for fill in fills:
        outcomes += run_fill(fill, executor, counter.tick)
        units += fill.units
    return _Ran(units, outcomes, pixels)


def _with_unread(work: Work, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """All outcomes, with those known beforehand and of tiles that no parcel is read from."""
    known = [*work.aside, *outcomes]
    outside = {row["item_id"] for row in work.rows} - {outcome.item_id for outcome in known}
    detail = "no parcel is read from this tile"
    return known + [Outcome(item, "", "no_parcel_in_tile", detail) for item in sorted(outside)]


Tile = tuple[str, gpd.GeoDataFrame, gpd.GeoSeries, dict[str, Assignment]]


def extract_tiles(
    work: Work,
    tiles: Iterable[Tile],
    options: ExtractOptions,
    folder: Path,
    progress: Progress | None = None,
    executor: Executor = one_by_one,
) -> Tally:
    """As `extract`, tile by tile, for parcels that are not to be held in memory together.

    Parameters
    ----------
    tiles
        Name, parcels, their buffered geometries, and by sensor which are read from it; every tile's parcels
        are let go before the next is asked for.
    """
    units: list[Unit] = []
    outcomes: list[Outcome] = []
    for tile, parcels, buffered, chosen in tiles:
        here = {key: grid for key, grid in work.references.items() if key[1] == tile}
        files = write_tiles(folder, here, buffered, parcels["parcel_id"].to_numpy(), chosen)
        rows = [row for row in work.rows if row["tile"] == tile]
        ran = _run(work, rows, files, options, folder, None, progress, executor)
        units += ran.units
        outcomes += ran.outcomes
        table = parcel_table(parcels, buffered, chosen, ran.pixels).filter(pl.col("tile").is_not_null())
        with atomic_path(folder / "parcels" / f"{safe_name(tile)}.parquet") as partial:
            table.write_parquet(partial)
        forget_tiles()
    outcomes = _with_unread(work, outcomes)
    _write_index(folder, units, outcomes)
    return _account(outcomes)


class _Counter:
    """Tells progress how many of the units are done."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.done, self.progress = total, 0, progress

    def tick(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)


def _plan_fills(
    rows: Sequence[Acquisition],
    files: Mapping[tuple[str, str], Path],
    options: ExtractOptions,
    folder: Path,
    remover: "Remover",
    context: "BlockContext | None",
    stamps: Mapping[str, str],
) -> "tuple[list[Fill], list[Outcome]]":
    """One fill per optical tile, and the acquisitions of tiles of which none can be opened; the remover may
    draw on radar of the same coordinate system that nests in it."""
    from features.context.blocks import BlockContext
    from features.extraction.filling.tiles import bands_of_all, plan_fill

    context = context or BlockContext()
    bands, fills, aside = bands_of_all(rows), [], []
    for tile in sorted({row["tile"] for row in rows if row["sensor"] == "s2"}):
        own = [row for row in rows if row["sensor"] == "s2" and row["tile"] == tile]
        radar = [row for row in rows if row["sensor"] == "s1" and row["epsg"] == own[0]["epsg"]]
        units = [_unit(row, files["s2", tile], options, folder, stamps) for row in own]
        passes = [fingerprint(identity(row, stamps)) for row in radar]
        parcels = files["s2", tile]
        try:
            fill = plan_fill(
                tile, own, radar, units, parcels, folder, options, remover, bands, context, passes
            )
        except ImageryError as error:
            aside += [Outcome(row["item_id"], tile, error.reason, str(error)) for row in own]
        else:
            fills.append(fill)
    return fills, aside


def read_set_aside(folder: Path) -> pl.DataFrame:
    """Acquisitions that the last extraction set aside: item_id, tile, reason, detail."""
    return read_parquet(folder / "set_aside.parquet")


def _account(outcomes: Sequence[Outcome]) -> Tally:
    account = tally("extract", "acquisitions", (outcome.reason for outcome in outcomes))
    for outcome in outcomes:
        if outcome.reason not in (None, "no_parcel_in_tile"):
            log.warning("Set aside %s (%s): %s", outcome.item_id, outcome.reason, outcome.detail)
    log.info("%s", account)
    return account


def _unit(
    row: Acquisition, parcels: Path, options: ExtractOptions, folder: Path, stamps: Mapping[str, str]
) -> Unit:
    said = options.model_dump(exclude={"threads", "read_ahead_mb"})
    key = fingerprint([code_version(CODE), parcels.name, identity(row, stamps), said])
    part = folder / "parts" / safe_name(row["tile"]) / f"{safe_name(row['item_id'])}-{key[:16]}.parquet"
    return Unit(row, row["tile"], parcels, folder / "coverage", part, options)


def _say(remarks: pl.DataFrame) -> None:
    """Tell of contradictions, and of values that cannot be, once for all acquisitions."""
    for code, sentence in NOTES.items():
        said = remarks.filter(pl.col("remark") == code)
        if len(said):
            first = said.row(0, named=True)
            log.warning(
                "%s: %d assets, first %s of %s.", sentence, len(said), first["name"], first["item_id"]
            )
    lost = remarks.filter(pl.col("remark") == "left_out")
    for name, pixels, items in (
        lost.group_by("name").agg(pl.col("pixels").sum(), pl.len()).sort("name").iter_rows()
    ):
        log.info("%s: %d pixels of %d acquisitions have a value that cannot be.", name, pixels, items)


def read_remarks_table(folder: Path) -> pl.DataFrame:
    """What the last extraction had to say of its acquisitions: item_id, tile, name, remark, pixels."""
    return read_parquet(folder / "remarks.parquet")


def rank_of(baseline: str | None) -> int:
    """A processing baseline as one number, the higher the newer."""
    major, minor = baseline_rank(baseline)
    return 100 * major + minor


def _write_index(folder: Path, units: Sequence[Unit], outcomes: Sequence[Outcome]) -> None:
    """Name the parts that hold, delete those of other inputs or options, and list what was set aside."""
    written = {outcome.item_id for outcome in outcomes if outcome.reason is None}
    kept = [unit for unit in units if unit.row["item_id"] in written]
    index = pl.DataFrame(
        {
            "item_id": [unit.row["item_id"] for unit in kept],
            "tile": [unit.tile for unit in kept],
            "sensor": [unit.row["sensor"] for unit in kept],
            "datetime": pl.Series([unit.row["datetime"] for unit in kept], dtype=pl.Datetime("us")),
            "part": [str(unit.part.relative_to(folder)) for unit in kept],
            "pass": number_passes([unit.row for unit in kept]),
            "rank": [rank_of(unit.row["processing_baseline"]) for unit in kept],
        },
        schema_overrides={
            "item_id": pl.String,
            "tile": pl.String,
            "sensor": pl.String,
            "part": pl.String,
            "rank": pl.Int32,
        },
    )
    aside = [(o.item_id, o.tile, o.reason, o.detail) for o in outcomes if o.reason is not None]
    schema = dict.fromkeys(("item_id", "tile", "reason", "detail"), pl.String)
    remarks = remarks_table((unit.row["item_id"], unit.tile, unit.part) for unit in kept)
    _say(remarks)
    lost = pl.DataFrame(aside, schema=schema, orient="row")
    for name, table in (("parts", index), ("set_aside", lost), ("remarks", remarks)):
        with atomic_path(folder / f"{name}.parquet") as partial:
            table.write_parquet(partial)
    current = {unit.part for unit in units}
    for path in (folder / "parts").glob("*/*.parquet"):
        if path not in current:
            path.unlink()
            voucher_of(path).unlink(missing_ok=True)
