"""Everything about a region and season that no scene changes: land, people, fields, weather."""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import shapely
from shapely import affinity

from features.simulate.grid import PIXEL, Grid
from features.simulate.growth.diary import Diary
from features.simulate.growth.grassland import grow_grass
from features.simulate.growth.phenology import grow_annual
from features.simulate.land.care import claim_care, keep_promises
from features.simulate.land.crops import Annual, crop_named
from features.simulate.land.declare import Declared, declare, pseudonyms
from features.simulate.land.landscape import make_landscape
from features.simulate.land.mixed import declared_outlines, own_cuts, ponds, second_crops, unsown_corners
from features.simulate.land.outlines import read_outlines
from features.simulate.land.population import Population, choose_crops, make_fields, settle
from features.simulate.land.states import Fields, States
from features.simulate.land.terrain import Terrain, make_terrain
from features.simulate.land.weather import Climate, Season, Weather, make_weather, top_soil_moisture
from features.simulate.options import SimulationOptions
from features.simulate.randomness import generator
from features.simulate.sensors.mixing import FINE, Mixture, draw_labels, mixtures
from features.smooth_field import smooth_field

ORIGIN = (620_000.0, 5_640_000.0)  # lower left corner in the middle of a tile of zone 31N


@dataclass(frozen=True)
class Land:
    """What a region is in every season."""

    grid: Grid
    parcels: list[shapely.Geometry]
    covers: list[shapely.Geometry]  # what is not farmed
    cover_kinds: list[str]
    terrain: Terrain


@dataclass(frozen=True)
class World:
    """A region in a season.

    Labels of pixels: 0 is verge, then the fields (parcels first, parts of parcels after), then `cover_kinds`.
    """

    grid: Grid
    parcels: list[shapely.Geometry]
    parts: list[shapely.Geometry]
    owner: np.ndarray  # the parcel of every part
    covers: list[shapely.Geometry]
    cover_kinds: list[str]
    population: Population
    declared: Declared
    second_code: np.ndarray  # declared beside the main crop, "" where none is
    holding: np.ndarray
    terrain: Terrain
    weather: Weather
    fields: Fields
    states: States
    diary: Diary
    january: int
    wetness: np.ndarray
    outlines: list[shapely.Geometry]  # of the parcels, as they are declared


@dataclass(frozen=True)
class Canvas:
    """What rendering needs on the pixel grids of 10 m and of 20 m."""

    fine: Mixture
    coarse: Mixture
    vigour: tuple[np.ndarray, np.ndarray]
    pattern: tuple[np.ndarray, np.ndarray]
    texture_db: np.ndarray
    water: np.ndarray  # on 20 m


def make_world(options: SimulationOptions, season: int, seed: int, land: Land | None = None) -> World:
    """Make the region: the same seed gives the same land and people in every season.

    Parameters
    ----------
    land
        What `make_land` makes of these options and this seed, where it is at hand.
    """
    land = land or make_land(options, seed)
    grid, parcels, covers, kinds, terrain = (
        land.grid, land.parcels, land.covers, land.cover_kinds, land.terrain,
    )  # fmt: skip
    centres = np.array([shapely.point_on_surface(parcel).coords[0] for parcel in parcels])
    pixels = (centres - [grid.left, grid.top]) / [PIXEL, -PIXEL]
    height = terrain.elevation[tuple(np.clip(pixels[:, ::-1].astype(int), 0, np.array(grid.shape) - 1).T)]
    soil = terrain.soil[tuple(np.clip(pixels[:, ::-1].astype(int), 0, np.array(grid.shape) - 1).T)]
    holding, region = settle(centres, height, options.parcels_per_holding, seed)
    crop, code = choose_crops(holding, soil.astype(float), seed, season)
    population = Population(holding, region, code, crop)
    declared = declare(population, centres, options.misdeclared_share, seed, season)
    claimed = claim_care(declared.code, declared.intervention, seed, season)
    declared = replace(declared, intervention=claimed)
    parts, owner, part_crop, part_code, second = second_crops(
        parcels, population, options.second_crop_share, seed, season
    )
    corners, of = unsown_corners(parcels, population, owner, options.unsown_share, seed, season)
    parts, owner = [*parts, *corners], np.concatenate([owner, of])
    part_crop, part_code = (np.concatenate([names, np.full(len(of), "")]) for names in (part_crop, part_code))
    pools = ponds(parcels, options.pond_share, seed)
    covers, kinds = [*covers, *pools], [*kinds, *["water"] * len(pools)]
    everyone = Population(
        np.concatenate([holding, holding[owner]]),
        np.concatenate([region, region[owner]]),
        np.concatenate([code, part_code]),
        np.concatenate([crop, part_crop]),
    )
    fields = make_fields(everyone, np.concatenate([pixels, pixels[owner]]), terrain, seed, season)
    care, ploughed_up = keep_promises(population, claimed, seed, season)
    fields.care[: len(parcels)], fields.ploughed_up[: len(parcels)] = care, ploughed_up
    shapes, mown = own_cuts(parcels, population, owner, seed, season)
    parts, owner = [*parts, *shapes], np.concatenate([owner, mown])
    climate = Climate(options.warmer_c, options.rain_factor)
    weather = make_weather(season, seed, climate)
    january = weather.index(date(season, 1, 1))
    lived = Season(weather, january, options.spread, climate.days_ahead)
    states, diary = _grow(fields, lived, season, seed)
    if len(mown):
        others = replace(fields.take(mown), timing=-fields.timing[mown], care=np.full(len(mown), "", object))
        more, noted = _grow(others, lived, season, seed, "own cuts")
        diary.take_over(noted, len(fields) + np.arange(len(mown)))
        fields, states = fields.with_others(others), states.with_others(more)
    return World(
        grid,
        parcels,
        parts,
        owner,
        covers,
        kinds,
        population,
        declared,
        second,
        pseudonyms(holding, seed),
        terrain,
        weather,
        fields,
        states,
        diary,
        january,
        top_soil_moisture(weather),
        declared_outlines(parcels, options.outline_error_m, seed),
    )


def make_land(options: SimulationOptions, seed: int) -> Land:
    """Return parcels, what is not farmed, and hills and soils, in the options' CRS."""
    grid, parcels, covers, kinds = _outlines(options, seed)
    return Land(grid, parcels, covers, kinds, make_terrain(grid.shape, PIXEL, seed))


def _outlines(
    options: SimulationOptions, seed: int
) -> tuple[Grid, list[shapely.Geometry], list[shapely.Geometry], list[str]]:
    if options.parcels_path is not None:
        return read_outlines(options.parcels_path, options.epsg)
    land = make_landscape(options.n_parcels, options.median_ha, options.farmland_share, seed)
    grid = Grid(
        options.epsg, ORIGIN[0], ORIGIN[1] + land.height, (int(land.height / PIXEL), int(land.width / PIXEL))
    )
    parcels, covers = (
        [affinity.translate(shape, *ORIGIN) for shape in shapes] for shapes in (land.parcels, land.covers)
    )
    return grid, parcels, covers, land.cover_kinds


def _grow(fields: Fields, season: Season, year: int, seed: int, *purpose: str) -> tuple[States, Diary]:
    """Grow every field through the year; what is not monitored looks like rough grass."""
    states, diary = States.empty(len(fields), season.days), Diary()
    for name in sorted(set(fields.crop)):
        rows = np.flatnonzero(fields.crop == name)
        growth = crop_named(name or "fallow").growth
        rng = generator(seed, "growth", year, name, *purpose)
        some = fields.take(rows)
        grown, noted = (
            grow_annual(growth, some, season, rng)
            if isinstance(growth, Annual)
            else grow_grass(growth, some, season, rng)
        )
        states.put(rows, grown)
        diary.take_over(noted, rows)
    return states, diary


def make_canvas(world: World, seed: int) -> Canvas:
    """Draw the labels finely and blur them to what pixels see; draw the pattern within fields."""
    first_cover = 1 + len(world.fields)
    shapes = [(shape, k + 1) for k, shape in enumerate([*world.parcels, *world.parts])]
    shapes += [(shape, first_cover + k) for k, shape in enumerate(world.covers)]
    labels = draw_labels(shapes, world.grid.transform, world.grid.shape)
    fine, coarse = mixtures(labels, FINE, 0.35 * FINE), mixtures(labels, 2 * FINE, 0.35 * 2 * FINE)
    shape = world.grid.shape
    own = smooth_field(shape, 70 / PIXEL, generator(seed, "vigour"), slope=1.2)
    streaks = smooth_field(shape, 22 / PIXEL, generator(seed, "streaks"))
    vigour = (0.55 * world.terrain.pattern + 0.65 * own + 0.4 * streaks).astype(np.float32)
    pattern = (
        0.85 * world.terrain.pattern + 0.5 * smooth_field(shape, 40 / PIXEL, generator(seed, "clods"))
    ).astype(np.float32)
    texture_db = 0.35 * smooth_field(shape, 60 / PIXEL, generator(seed, "radar texture"), slope=1.0)
    kinds = np.array(["verge", *["field"] * len(world.fields), *world.cover_kinds])
    water = kinds[coarse.label[..., 0]] == "water"
    return Canvas(fine, coarse, (vigour, halve(vigour)), (pattern, halve(pattern)), texture_db, water)


def halve(values: np.ndarray) -> np.ndarray:
    """Return the mean of every two by two pixels (y, x).

    Examples
    --------
    >>> halve(np.array([[1, 2, 0, 0], [3, 6, 0, 4]], np.float32)).tolist()
    [[3.0, 1.0]]
    """
    upper = values[::2, ::2] + values[::2, 1::2]
    lower = values[1::2, ::2] + values[1::2, 1::2]
    return np.asarray((upper + lower) / 4)


def double(values: np.ndarray) -> np.ndarray:
    """Repeat every pixel two by two, `(…, y, x)`."""
    return values.repeat(2, axis=-2).repeat(2, axis=-1)
