"""Series of a simulated region without its pixels: earlier seasons, or seasons to score forecasts on.

Land, people, weather, growth, passes and clouds are those of the region; a parcel is one field that is seen
whole or not at all, with noise of its own in place of pixels, speckle and edges.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
import shapely

from features.schema import OPTICAL_BANDS
from features.simulate.grid import PIXEL, sun_position
from features.simulate.land.crops import CODES
from features.simulate.options import SimulationOptions
from features.simulate.randomness import generator, sample
from features.simulate.region.schedule import Scene, plan_scenes
from features.simulate.region.stac import OPTICAL
from features.simulate.region.world import Land, World, make_world
from features.simulate.sensors.clouds import scene_cover
from features.simulate.sensors.optical import field_reflectance
from features.simulate.sensors.radar import Pass, backscatter, coherence, incidence_of
from features.smooth_field import smooth_field

CELL = 200.0  # metres of the grid that clouds are drawn on
CLOUD_CELLS = 12.0  # outer scale of clouds, in such cells
NDVI_NOISE = 0.012  # of a parcel's mean: atmosphere and sensor
MISSED_CLOUDS = 0.02  # share of clear looks that a thin cloud was missed in
RADAR_NOISE_DB = 0.35
COHERENCE_NOISE = 0.03
NDVI_SCHEMA = pl.Schema(
    {"parcel_id": pl.String, "date": pl.Date, "ndvi": pl.Float32, "crop_class": pl.String}
)


@dataclass(frozen=True)
class SeasonSeries:
    """A season of a region, by parcel.

    Attributes
    ----------
    ndvi
        `parcel_id, date, ndvi, crop_class` of clear looks; the class is the declared one.
    radar
        `parcel_id, date, relative_orbit, s0vv_db, s0vh_db, cohvv, cohvh`.
    weather
        As the region publishes it.
    clear
        `parcel_id, date, ndvi` of every pass, without clouds and noise: for scoring only.
    holding
        `(parcel,)`.
    soil, elevation_m
        `(parcel,)` class of the soil, and height, in the middle of each parcel.
    """

    ndvi: pl.DataFrame
    radar: pl.DataFrame
    weather: pl.DataFrame
    clear: pl.DataFrame
    holding: np.ndarray
    soil: np.ndarray
    elevation_m: np.ndarray


def season_series(
    options: SimulationOptions, season: int, seed: int, radar: bool = True, land: Land | None = None
) -> SeasonSeries:
    """Return the series of one season; `land` is that of `make_land`, where it is at hand."""
    world = make_world(options, season, seed, land)
    scenes, _ = plan_scenes(options, season, seed, world.grid.tile)
    ids = [f"{number:06d}" for number in range(1, len(world.parcels) + 1)]
    optical = [scene for scene in scenes if scene.collection == OPTICAL]
    shape = (len(optical), len(world.parcels))
    truth = np.array([_ndvi(world, scene) for scene in optical], np.float32).reshape(shape)
    seen = np.array([_clear(world, options, scene, season, seed) for scene in optical], bool).reshape(shape)
    rng = generator(seed, "parcel noise", season)
    value = truth + rng.normal(0, NDVI_NOISE, truth.shape)
    hazy = rng.random(truth.shape) < MISSED_CLOUDS
    value = np.where(hazy, value * rng.uniform(0.3, 0.9, truth.shape), value).astype(np.float32)
    days = [scene.when.date() for scene in optical]
    class_of = {code.code: code.crop for code in CODES}
    declared = [class_of.get(code) for code in world.declared.code.tolist()]
    ndvi = _long(value, seen, days, ids).join(
        pl.DataFrame({"parcel_id": ids, "crop_class": declared}, schema_overrides={"crop_class": pl.String}),
        on="parcel_id",
        how="left",
    )
    passes = [scene for scene in scenes if scene.collection != OPTICAL] if radar else []
    return SeasonSeries(
        ndvi.select(NDVI_SCHEMA.names()).cast(dict(NDVI_SCHEMA)),  # type: ignore[arg-type]
        _radar(world, passes, options, ids, generator(seed, "radar noise", season)),
        world.weather.table(),
        _long(truth, np.ones(truth.shape, bool), days, ids),
        world.holding,
        *_ground(world),
    )


def _ground(world: World) -> tuple[np.ndarray, np.ndarray]:
    """Return `(parcel,)` soil class and elevation in the middle of each parcel."""
    left, _, _, top = world.grid.bounds
    middles = shapely.point_on_surface(np.array(world.parcels, object))
    row, column = (top - shapely.get_y(middles)) / PIXEL, (shapely.get_x(middles) - left) / PIXEL
    return sample(world.terrain.soil, row, column), sample(world.terrain.elevation, row, column)


def _ndvi(world: World, scene: Scene) -> np.ndarray:
    """Return `(parcel,)` NDVI of the fields as they were."""
    index = world.weather.index(scene.when.date())
    zenith, _ = sun_position(world.grid.centre_wgs84[1], scene.when.date())
    fields = field_reflectance(
        world.states, index - world.january, world.fields.brightness, float(world.wetness[index]), zenith
    )[: len(world.parcels)]
    red, nir = (fields[:, OPTICAL_BANDS.index(name)] for name in ("B04", "B08"))
    return np.asarray((nir - red) / (nir + red))


def _clear(world: World, options: SimulationOptions, scene: Scene, season: int, seed: int) -> np.ndarray:
    """Return `(parcel,)` bool: which parcels a scene shows, under clouds of its own day."""
    rng = generator(seed, "scene", season, scene.item_id)
    cover = scene_cover(options.cloud_cover, 0.0, rng)
    left, _, _, top = world.grid.bounds
    shape = tuple(int(np.ceil(n * 10 / CELL)) + 1 for n in world.grid.shape)
    sky = smooth_field((shape[0], shape[1]), CLOUD_CELLS, rng, slope=1.5)
    centres = shapely.centroid(np.array(world.parcels, object))
    row = (top - shapely.get_y(centres)) / CELL
    column = (shapely.get_x(centres) - left) / CELL
    limit = np.quantile(sky, 1 - cover)
    return np.asarray(sample(sky, row, column) < limit)


def _radar(
    world: World, passes: list[Scene], options: SimulationOptions, ids: list[str], rng: np.random.Generator
) -> pl.DataFrame:
    schema = {
        "parcel_id": pl.String, "date": pl.Date, "relative_orbit": pl.Int32,
        **dict.fromkeys(("s0vv_db", "s0vh_db", "cohvv", "cohvh"), pl.Float32),
    }  # fmt: skip
    n, parts = len(world.parcels), []
    for scene in passes:
        index = world.weather.index(scene.when.date())
        day = index - world.january
        at = Pass(incidence_of(scene.orbit), day, max(day - options.radar_revisit_days, 0))
        power = backscatter(world.states, world.fields, at, float(world.wetness[index]))[:n]
        rain = float(world.weather.precipitation_mm[max(index - 1, 0) : index + 1].sum())
        still = coherence(world.states, world.fields, at, rain)[:n]
        level = 10 * np.log10(power) + rng.normal(0, RADAR_NOISE_DB, power.shape)
        still = np.clip(still + rng.normal(0, COHERENCE_NOISE, still.shape), 0, 1)
        parts.append(
            pl.DataFrame(
                {
                    "parcel_id": ids,
                    "date": [scene.when.date()] * n,
                    "relative_orbit": [scene.relative_orbit] * n,
                    "s0vv_db": level[:, 0],
                    "s0vh_db": level[:, 1],
                    "cohvv": still[:, 0],
                    "cohvh": still[:, 1],
                },
                schema=schema,
            )
        )
    return pl.concat(parts) if parts else pl.DataFrame(schema=schema)


def _long(value: np.ndarray, seen: np.ndarray, days: list[date], ids: list[str]) -> pl.DataFrame:
    """Lay `(date, parcel)` out as rows, of what was seen."""
    at, parcel = np.nonzero(seen)
    return pl.DataFrame(
        {
            "parcel_id": pl.Series(ids)[parcel.tolist()] if len(parcel) else pl.Series([], dtype=pl.String),
            "date": pl.Series(days, dtype=pl.Date)[at.tolist()] if len(at) else pl.Series([], dtype=pl.Date),
            "ndvi": value[at, parcel].astype(np.float32),
        }
    )
