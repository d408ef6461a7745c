"""From acquisitions and declarations to observations: tiles, work units, resumption, and the account of
both."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import geopandas as gpd
import numpy as np
import polars as pl
from odc.geo.geobox import GeoBox

from features.accounting import Tally, tally
from features.coverage import coverage_key
from features.errors import CropcheckError, ImageryError
from features.extract_options import ExtractOptions
from features.files import atomic_path, fingerprint
from features.fills import Fill, bands_of_all, plan_fill, run_fill
from features.geometry import inner_buffer
from features.imagery import assets_by_band, grid_of
from features.indices import bands_of
from features.scenes import scene_of
from features.schema import PARCELS
from features.tiling import assign_tiles
from features.units import Outcome, Unit, forget_tiles, reason_of, run_unit, tile_coverage

__all__ = ["ExtractOptions", "extract", "read_set_aside"]

log = logging.getLogger(__name__)
CODE_VERSION = 1  # raise where the same inputs and options would give other numbers
Progress = Callable[[int, int], None]
Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor(Protocol):
    """Runs a function over work units and yields the results as they come, in any order."""

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield one result per item."""
        ...


def one_by_one(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Run units one after another in this process."""
    return map(function, items)


@dataclass(frozen=True)
class TileJob:
    """Coverage to be computed ahead of a tile's units."""

    name: str
    parcels: Path
    grids: tuple[GeoBox, ...]  # the finest first
    cache: Path


def extract(
    acquisitions: pl.DataFrame,
    declarations: gpd.GeoDataFrame,
    options: ExtractOptions,
    folder: Path,
    remover: Any = None,
    progress: Progress | None = None,
    executor: Executor = one_by_one,
) -> tuple[pl.DataFrame, Tally]:
    """Extract every acquisition over every parcel of its tile into `folder`.

    Parameters
    ----------
    acquisitions
        `features.schema.ACQUISITIONS`.
    declarations
        As `features.schema.DECLARATION_COLUMNS`; parcels with an empty geometry come out without a tile.
    folder
        Receives the parts (`features.observations.read_observations` reads them back), the coverage cache and
        `set_aside.parquet`. What an earlier run has written there under the same inputs, options and code is
        not done again.
    remover
        A fitted cloud remover with `fill(stack)`; with it, what clouds hid is filled before aggregation.
    progress
        Called with units done and in all.
    executor
        Where the units run; `map` runs them one after another in this process.

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
    work = plan(acquisitions, options)
    buffered = inner_buffer(declarations.geometry, options.inner_buffer_m).reset_index(drop=True)
    tiles = {sensor: assign_tiles(buffered, grids) for sensor, grids in _by_sensor(work.references).items()}
    _check_overlap(tiles, declarations, work.references)
    files = _write_parcels(folder, work.references, buffered, declarations["parcel_id"].to_numpy(), tiles)
    ran = _run(work, work.rows, files, options, folder, remover, progress, executor)
    outcomes = _with_unread(work, ran.outcomes)
    _write_index(folder, ran.units, outcomes)
    return _parcels(declarations, buffered, tiles, ran.pixels), _account(outcomes)


@dataclass(frozen=True)
class Work:
    """The acquisitions in order of time, the grid of every sensor's tile, and what cannot be used at all."""

    rows: list[dict[str, Any]]
    references: dict[tuple[str, str], GeoBox]
    aside: list[Outcome]


@dataclass(frozen=True)
class _Ran:
    units: list[Unit]
    outcomes: list[Outcome]
    pixels: dict[str, pl.DataFrame]  # full pixels by parcel, by sensor


def plan(acquisitions: pl.DataFrame, options: ExtractOptions) -> Work:
    """Open one header of every acquisition, and settle the grid of every sensor's tile."""
    rows = acquisitions.sort("datetime", "item_id").to_dicts()
    headers, aside = _read_headers(rows, options)
    references, shifted = _reference_grids(rows, headers)
    return Work(rows, references, aside + shifted)


def _run(
    work: Work,
    rows: Sequence[Mapping[str, Any]],
    files: Mapping[tuple[str, str], Path],
    options: ExtractOptions,
    folder: Path,
    remover: Any,
    progress: Progress | None,
    executor: Executor,
) -> _Ran:
    """Coverage, then every unit of these rows whose tile holds parcels."""
    lost = {outcome.item_id for outcome in work.aside}
    rows = [row for row in rows if (row["sensor"], row["tile"]) in files and row["item_id"] not in lost]
    pixels = _prepare(rows, files, options, folder, executor)
    plain = [row for row in rows if remover is None or row["sensor"] != "s2"]
    units = [_unit(row, files[row["sensor"], row["tile"]], options, folder) for row in plain]
    fills = [] if remover is None else _plan_fills(rows, files, options, folder, remover)
    counter = _Counter(len(units) + sum(len(fill.blocks) for fill in fills if not fill.is_done), progress)
    outcomes = []
    for outcome in executor(run_unit, units):
        outcomes.append(outcome)
        counter.tick()
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


Tile = tuple[str, gpd.GeoDataFrame, gpd.GeoSeries, dict[str, np.ndarray]]


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
        Name, parcels, their buffered geometries, and by sensor the tile each is read from or None; every
        tile's parcels are let go before the next is asked for.
    """
    units: list[Unit] = []
    outcomes: list[Outcome] = []
    for tile, parcels, buffered, chosen in tiles:
        here = {key: grid for key, grid in work.references.items() if key[1] == tile}
        files = _write_parcels(folder, here, buffered, parcels["parcel_id"].to_numpy(), chosen)
        rows = [row for row in work.rows if row["tile"] == tile]
        ran = _run(work, rows, files, options, folder, None, progress, executor)
        units += ran.units
        outcomes += ran.outcomes
        table = _parcels(parcels, buffered, chosen, ran.pixels).filter(pl.col("tile").is_not_null())
        with atomic_path(folder / "parcels" / f"{_safe(tile)}.parquet") as partial:
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
    rows: Sequence[Mapping[str, Any]],
    files: Mapping[tuple[str, str], Path],
    options: ExtractOptions,
    folder: Path,
    remover: Any,
) -> list[Fill]:
    """One fill per optical tile; the remover may draw on radar of the same coordinate system that nests
    in it."""
    bands, fills = bands_of_all(rows), []
    for tile in sorted({row["tile"] for row in rows if row["sensor"] == "s2"}):
        own = [row for row in rows if row["sensor"] == "s2" and row["tile"] == tile]
        radar = [row for row in rows if row["sensor"] == "s1" and row["epsg"] == own[0]["epsg"]]
        units = [_unit(row, files["s2", tile], options, folder) for row in own]
        fills.append(plan_fill(tile, own, radar, units, files["s2", tile], folder, options, remover, bands))
    return fills


def read_set_aside(folder: Path) -> pl.DataFrame:
    """Acquisitions that the last extraction set aside: item_id, tile, reason, detail."""
    return pl.read_parquet(folder / "set_aside.parquet")


def _account(outcomes: Sequence[Outcome]) -> Tally:
    account = tally("extract", "acquisitions", (outcome.reason for outcome in outcomes))
    for outcome in outcomes:
        if outcome.reason not in (None, "no_parcel_in_tile"):
            log.warning("Set aside %s (%s): %s", outcome.item_id, outcome.reason, outcome.detail)
    log.info("%s", account)
    return account


def _needed(row: Mapping[str, Any], options: ExtractOptions) -> list[str]:
    assets = assets_by_band(row)
    return [band for band in bands_of(options.features_of(row["sensor"])) if band in assets]


def _read_headers(
    rows: Sequence[Mapping[str, Any]], options: ExtractOptions
) -> tuple[dict[str, GeoBox], list[Outcome]]:
    """The grid of one asset of every acquisition; those that cannot be opened, or lack a band others have."""
    headers: dict[str, GeoBox] = {}
    aside = []
    bands: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        bands.setdefault((row["sensor"], row["tile"]), set()).update(_needed(row, options))
    for row in rows:
        needed = _needed(row, options)
        missing = sorted(bands[row["sensor"], row["tile"]] - set(needed))
        try:
            if missing and (row["sensor"] == "s2" or not needed):
                lacks = f"{row['item_id']} lacks {missing}, which others of its tile hold"
                raise ImageryError(f"{lacks}: none of the features is made of it.")
            headers[row["item_id"]] = grid_of(assets_by_band(row)[needed[0]]["href"])
        except (CropcheckError, IndexError) as error:
            known = (
                error
                if isinstance(error, CropcheckError)
                else ImageryError(f"{row['item_id']}: none of the features")
            )
            aside.append(Outcome(row["item_id"], row["tile"], reason_of(known), str(known)))
    return headers, aside


def _lattice(grid: GeoBox) -> tuple[Any, ...]:
    """What grids share whose pixels lie on each other: CRS, pixel size and the place of a corner within
    a pixel."""
    a = grid.affine
    size = round(abs(a.a), 6)
    return str(grid.crs), size, round(a.c / size % 1, 3) % 1, round(a.f / size % 1, 3) % 1


def _reference_grids(
    rows: Sequence[Mapping[str, Any]], headers: Mapping[str, GeoBox]
) -> tuple[dict[tuple[str, str], GeoBox], list[Outcome]]:
    """The grid of each sensor and tile that most of its acquisitions have; those that lie off it."""
    members: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["item_id"] in headers:
            members.setdefault((row["sensor"], row["tile"]), []).append(row["item_id"])
    references, aside = {}, []
    for (sensor, tile), items in members.items():
        lattices = Counter(_lattice(headers[item]) for item in items)
        common = lattices.most_common(1)[0][0]
        same = [headers[item] for item in items if _lattice(headers[item]) == common]
        references[sensor, tile] = max(same, key=lambda grid: grid.shape[0] * grid.shape[1])
        for item in items:
            found = _lattice(headers[item])
            if found != common:
                reason = "other_crs" if found[0] != common[0] else "shifted_grid"
                aside.append(
                    Outcome(item, tile, reason, f"grid {found} where most of tile {tile} has {common}")
                )
    return references, aside


def _by_sensor(references: Mapping[tuple[str, str], GeoBox]) -> dict[str, dict[str, GeoBox]]:
    grids: dict[str, dict[str, GeoBox]] = {}
    for (sensor, tile), grid in references.items():
        grids.setdefault(sensor, {})[tile] = grid
    return grids


def _check_overlap(
    tiles: Mapping[str, np.ndarray],
    declarations: gpd.GeoDataFrame,
    references: Mapping[tuple[str, str], GeoBox],
) -> None:
    if not any((chosen != None).any() for chosen in tiles.values()):  # noqa: E711 - elementwise
        names = sorted({tile for _, tile in references})
        raise ImageryError(
            f"None of {len(declarations)} parcels lies on the imagery (tiles {names[:5]}); "
            "check the CRS of the declarations and the region of the catalog."
        )


def _write_parcels(
    folder: Path,
    references: Mapping[tuple[str, str], GeoBox],
    buffered: gpd.GeoSeries,
    ids: np.ndarray,
    tiles: Mapping[str, np.ndarray],
) -> dict[tuple[str, str], Path]:
    """Write each tile's parcels in its CRS, under a name that says what is in it; tiles without any are
    left out."""
    files = {}
    for (sensor, tile), grid in references.items():
        chosen = tiles[sensor] == tile
        if not chosen.any():
            continue
        shapes = buffered[chosen].to_crs(str(grid.crs))
        order = np.argsort(
            -shapes.bounds["maxy"].fillna(0).to_numpy(), kind="stable"
        )  # as the raster's rows come
        shapes, names = shapes.iloc[order], ids[chosen][order]
        key = coverage_key(np.asarray(shapes.array, dtype=object), names, grid)[:16]
        path = files[sensor, tile] = folder / "tiles" / f"{sensor}-{_safe(tile)}-{key}.parquet"
        if not path.exists():
            with atomic_path(path) as partial:
                frame = gpd.GeoDataFrame({"parcel_id": names}, geometry=shapes.to_numpy(), crs=shapes.crs)
                frame.to_parquet(partial)
    return files


def run_tile(job: TileJob) -> tuple[str, np.ndarray, np.ndarray]:
    """Compute and cache coverage; return the tile's name, its parcels and their full pixels on the
    finest grid."""
    finest = tile_coverage(job.parcels, job.grids[0], job.cache)
    for grid in job.grids[1:]:
        tile_coverage(job.parcels, grid, job.cache)
    return job.name, finest.parcel_ids, finest.full_pixels()


def _prepare(
    rows: Sequence[Mapping[str, Any]],
    files: Mapping[tuple[str, str], Path],
    options: ExtractOptions,
    folder: Path,
    executor: Executor,
) -> dict[str, pl.DataFrame]:
    """Coverage of every tile's grids ahead of its units; full pixels of the parcels, by sensor."""
    jobs = {}
    for row in rows:
        key = (row["sensor"], row["tile"])
        if key in jobs:
            continue
        try:
            scene = scene_of(row, options.features_of(row["sensor"]))
        except CropcheckError:
            continue
        targets = {scene.target(name).factor: scene.target(name).grid for name in scene.features}
        grids = tuple(targets[factor] for factor in sorted(targets))
        jobs[key] = TileJob(row["sensor"], files[key], grids, folder / "coverage")
    found: dict[str, list[pl.DataFrame]] = {}
    for sensor, ids, full in executor(run_tile, jobs.values()):
        found.setdefault(sensor, []).append(pl.DataFrame({"parcel_id": ids, "full_pixels": full}))
    return {sensor: pl.concat(tables) for sensor, tables in found.items()}


def _unit(row: Mapping[str, Any], parcels: Path, options: ExtractOptions, folder: Path) -> Unit:
    said = options.model_dump(exclude={"threads", "read_ahead_mb"})
    key = fingerprint([CODE_VERSION, parcels.name, _identity(row), said])
    part = folder / "parts" / _safe(row["tile"]) / f"{_safe(row['item_id'])}-{key[:16]}.parquet"
    return Unit(row, row["tile"], parcels, folder / "coverage", part, options)


def _identity(row: Mapping[str, Any]) -> list[Any]:
    """What the numbers of an acquisition depend on: its row, and size and time of its local files."""
    stamps = []
    for asset in row["assets"]:
        path = Path(asset["href"])
        stat = path.stat() if path.is_file() else None
        stamps.append([asset["href"], stat and stat.st_size, stat and stat.st_mtime_ns])
    return [{key: str(value) for key, value in row.items()}, stamps]


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:120]


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
        }
    ).with_columns(second=pl.col("datetime").dt.truncate("1s"))
    aside = [(o.item_id, o.tile, o.reason, o.detail) for o in outcomes if o.reason is not None]
    schema = dict.fromkeys(("item_id", "tile", "reason", "detail"), pl.String)
    for name, table in (("parts", index), ("set_aside", pl.DataFrame(aside, schema=schema, orient="row"))):
        with atomic_path(folder / f"{name}.parquet") as partial:
            table.write_parquet(partial)
    current = {unit.part for unit in units}
    for path in (folder / "parts").glob("*/*.parquet"):
        if path not in current:
            path.unlink()


def _parcels(
    declarations: gpd.GeoDataFrame,
    buffered: gpd.GeoSeries,
    tiles: Mapping[str, np.ndarray],
    pixels: Mapping[str, pl.DataFrame],
) -> pl.DataFrame:
    """What geometry and grid leave of every parcel; by Sentinel-2's tiles, or Sentinel-1's where there
    are no others."""
    sensor = "s2" if "s2" in tiles else "s1"
    area = np.nan_to_num(declarations.geometry.area.to_numpy()) / 1e4
    kept = np.nan_to_num(buffered.area.to_numpy()) / 1e4
    loss = 1 - np.divide(kept, area, out=np.zeros(len(area)), where=area > 0)
    table = pl.DataFrame(
        {
            "parcel_id": declarations["parcel_id"].to_numpy(),
            "tile": pl.Series(tiles[sensor].tolist(), dtype=pl.String),
            "area_ha": area,
            "buffered_area_ha": kept,
            "buffer_loss": loss,
        }
    )
    empty = pl.DataFrame(schema={"parcel_id": pl.String, "full_pixels": pl.Int64})
    joined = table.join(pixels.get(sensor, empty), on="parcel_id", how="left", maintain_order="left")
    return joined.with_columns(pl.col("full_pixels").fill_null(0)).select(
        pl.col(name).cast(kind) for name, kind in PARCELS.items()
    )
