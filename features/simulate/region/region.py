"""A region from nothing, written as the agencies publish real ones."""

import json
import logging
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
import pyogrio

from features.accounting import Tally
from features.code.version import code_version
from features.errors import StageError
from features.files import PARTIALS, atomic_path, fingerprint, write_json
from features.simulate.land.crops import CODES
from features.simulate.options import SimulationOptions
from features.simulate.randomness import generator
from features.simulate.region.cog import write_cog
from features.simulate.region.composition import true_composition
from features.simulate.region.earlier import season_series
from features.simulate.region.events import field_records, true_events
from features.simulate.region.scenes import render_scene
from features.simulate.region.schedule import Scene, plan_scenes
from features.simulate.region.stac import write_catalog
from features.simulate.region.studio import Studio
from features.simulate.region.world import Land, World, make_canvas, make_land, make_world
from features.storage.geopackage import write_geopackage
from features.workers import Progress

log = logging.getLogger(__name__)
CODE = "features.simulate.region.region"  # with all that it imports: other code, another region
NOTE, EARLIER_NOTE = "region.json", "region.sha256"
FOLDERS = ("catalog", "truth", "earlier")
EARLIER_SEASONS = 2  # whose NDVI and weather a region brings: what an agency has from the years before
FILES = ("crops.csv", "weather.csv", "declarations.gpkg", "field_records.csv", "soil.tif", "elevation.tif")


def simulate_region(
    options: SimulationOptions,
    season: int,
    seed: int,
    folder: Path,
    progress: Progress | None = None,
) -> Tally:
    """Write declarations, imagery, weather, soil, elevation and the hidden truth of a simulated region.

    The same seed gives the same land and holdings in every season, with other weather and crops. What is
    already written is kept: a run that was stopped goes on where it was, and ends with the same bytes. A
    region that other code made is deleted and made anew.

    Raises
    ------
    StageError
        Where the folder holds a region of other settings, or files that this did not make.
    """
    _claim(folder, options, season, seed)
    for leftover in folder.rglob(PARTIALS):
        leftover.unlink()
    land = make_land(options, seed)
    world = make_world(options, season, seed, land)
    scenes, lost = plan_scenes(options, season, seed, world.grid.tile)
    catalog = folder / "catalog"
    missing = [scene for scene in scenes if not (catalog / scene.item_path).exists()]

    def write_tables() -> None:
        _write_tables(world, options, season, seed, folder)
        if options.parcels_path is None:  # of real outlines nothing earlier is known
            _write_earlier(land, options, season, seed, folder / "earlier")

    if missing:
        studio = Studio(world, make_canvas(world, seed), options, season, seed, folder)
        _render(studio, missing, len(scenes), progress, write_tables)
    else:
        write_tables()
    write_catalog(catalog, world.grid, scenes)
    tally = Tally(
        "synthesise", "passes", len(scenes) + lost, len(scenes), {"not_published": lost} if lost else {}
    )
    log.info("%s", tally)
    return tally


def _render(
    studio: Studio,
    missing: list[Scene],
    total: int,
    progress: Progress | None,
    meanwhile: Callable[[], None],
) -> None:
    """Render the scenes that are missing, some at a time, and do something else beside it, which takes one
    processor; the first fault stops the rest.
    """
    done, threads = total - len(missing), studio.options.threads
    with (
        ThreadPoolExecutor(1) as beside,
        ThreadPoolExecutor(threads) as writers,
        ThreadPoolExecutor(threads) as pool,
    ):
        studio = replace(studio, writers=writers)
        other = beside.submit(meanwhile)
        waiting = [pool.submit(render_scene, scene, studio) for scene in missing]
        try:
            for future in as_completed([other, *waiting]):
                future.result()
                done += future is not other
                if progress:
                    progress(done, total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _claim(folder: Path, options: SimulationOptions, season: int, seed: int) -> None:
    """Note what the folder holds; refuse another region, and clear away one that other code made."""
    said = {**options.model_dump(mode="json", exclude={"threads"}), "season": season, "seed": seed}
    mark = {"settings": said, "code": code_version(CODE)}
    noted = _noted(folder / NOTE)
    if noted == mark:
        return
    before = (noted or {}).get("settings")
    other = isinstance(before, dict) and any(
        said[name] != before[name] for name in said.keys() & before.keys()
    )
    there = any((folder / name).exists() for name in (*FOLDERS, *FILES))
    known = noted is not None or (folder / EARLIER_NOTE).is_file()
    if other or (there and not known):
        raise StageError(
            f"{folder} holds a region of other settings, season or seed; delete it or choose another folder."
        )
    if there:
        log.warning("The region in %s was made by another version of cropcheck; it is made anew.", folder)
        _clear(folder)
    write_json(folder / NOTE, {**mark, "hash": fingerprint(mark)})


def _noted(path: Path) -> dict[str, object] | None:
    """Return what the note says: nothing where it is damaged, None where there is none."""
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        claimed = noted.pop("hash")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return {}
    return noted if claimed == fingerprint(noted) else {}


def _clear(folder: Path) -> None:
    """Delete what this module writes, but the note: a run that is stopped here clears the rest."""
    for name in FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (*FILES, EARLIER_NOTE):
        (folder / name).unlink(missing_ok=True)


def _write_tables(world: World, options: SimulationOptions, season: int, seed: int, folder: Path) -> None:
    """Write everything but the imagery, each file only where it is missing."""
    ids = _ids(world)
    events = true_events(world, season, ids)
    records = field_records(world, events, options.recorded_share, seed, ids)
    files: dict[str, Callable[[Path], object]] = {
        "crops.csv": _write_codes,
        "weather.csv": lambda path: world.weather.table().write_csv(path),
        "declarations.gpkg": lambda path: _write_declarations(world, seed, path),
        "field_records.csv": records.write_csv,
        "truth/truth.parquet": lambda path: _truth(world).write_parquet(path),
        "truth/events.parquet": events.write_parquet,
        "truth/composition.parquet": lambda path: true_composition(world, ids).write_parquet(path),
    }
    for name, write in files.items():
        if not (folder / name).exists():
            with atomic_path(folder / name) as partial:
                write(partial)
    rasters = {"soil.tif": (world.terrain.soil, 0), "elevation.tif": (world.terrain.elevation, -9999)}
    for name, (values, nodata) in rasters.items():
        if not (folder / name).exists():
            write_cog(folder / name, values, world.grid.transform, world.grid.epsg, nodata)


def _write_earlier(land: Land, options: SimulationOptions, season: int, seed: int, folder: Path) -> None:
    """Write clear looks with the declared class, and the weather, of earlier seasons, where missing."""
    whole = options.model_copy(update={"last_month": 12})  # a forecast from autumn needs to know the winter
    for year in range(season - EARLIER_SEASONS, season):
        ndvi, weather = folder / f"ndvi_{year}.parquet", folder / f"weather_{year}.csv"
        if ndvi.exists() and weather.exists():
            continue
        drawn = season_series(whole, year, seed, radar=False, land=land)
        for path, write in ((ndvi, drawn.ndvi.write_parquet), (weather, drawn.weather.write_csv)):
            with atomic_path(path) as partial:
                write(partial)


def _ids(world: World) -> list[str]:
    return [f"{number:06d}" for number in range(1, len(world.parcels) + 1)]


def _write_codes(path: Path) -> None:
    """Write the national code table; a code that is not monitored has no class."""
    rows = [(c.code, c.name, c.hcat_code, c.crop) for c in CODES]
    pl.DataFrame(rows, schema=["code", "name", "hcat_code", "crop_class"], orient="row").write_csv(path)


def _truth(world: World) -> pl.DataFrame:
    """Return what truly grows: only evaluation may read it."""
    crop = [name or None for name in world.population.crop.tolist()]
    return pl.DataFrame(
        {
            "parcel_id": _ids(world),
            "true_code": world.population.code.tolist(),
            "true_class": pl.Series(crop, dtype=pl.String),
            "misdeclared": world.declared.wrong,
        }
    )


def _write_declarations(world: World, seed: int, path: Path) -> None:
    """Write the declarations as an agency's GeoPackage; areas are claimed from memory, some too high."""
    rng = generator(seed, "claims")
    area = np.array([outline.area for outline in world.outlines]) / 1e4
    claimed = area * (
        1
        + np.where(
            rng.random(len(area)) < 0.03, rng.uniform(0.03, 0.12, len(area)), rng.normal(0, 0.004, len(area))
        )
    )
    table = gpd.GeoDataFrame(
        {
            "parcel_id": _ids(world),
            "holding": world.holding,
            "crop_code": world.declared.code,
            "crop_code_2": [code or None for code in world.second_code.tolist()],
            "intervention": world.declared.intervention,
            "region": world.population.region,
            "claimed_ha": claimed.round(4),
        },
        geometry=list(world.outlines),
        crs=world.grid.epsg,
    )
    # GeoPackage notes when it was written; a fixed day keeps equal regions equal to the byte
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z"})
    try:
        write_geopackage(table, path, "declarations", multi=False)
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
