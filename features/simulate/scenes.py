"""When the satellites pass, and what one pass leaves on disk."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from features.files import write_json
from features.schema import OPTICAL_BANDS
from features.simulate.clouds import Sky, classify_scene, make_sky, scene_cover
from features.simulate.cog import write_cog
from features.simulate.grid import PIXEL, sun_position
from features.simulate.optical import (
    FINE_BANDS,
    Palette,
    band_indices,
    cover_palette,
    digital_numbers,
    field_palette,
    observe,
    stack_palettes,
    surface,
)
from features.simulate.options import SimulationOptions
from features.simulate.radar import (
    COHERENCE_NODATA,
    COHERENCE_SCALE,
    COVERS_COHERENCE,
    COVERS_DB,
    DB_NODATA,
    DB_SCALE,
    Pass,
    backscatter,
    coherence,
    incidence_of,
    render_backscatter,
    render_coherence,
)
from features.simulate.randomness import generator
from features.simulate.stac import baseline_of, make_item, raster_asset
from features.simulate.world import Canvas, World, double, halve

OPTICAL, RADAR = "sentinel-2-l2a", "sentinel-1-sigma0"
COARSE_BANDS = tuple(band for band in OPTICAL_BANDS if band not in FINE_BANDS)


@dataclass(frozen=True)
class Scene:
    """One acquisition to be made; `orbit` counts the radar orbits."""

    collection: str
    item_id: str
    when: datetime
    platform: str
    relative_orbit: int
    orbit: int = 0


def plan_scenes(options: SimulationOptions, season: int, seed: int, tile: str) -> tuple[list[Scene], int]:
    """Return the season's published scenes in order of time, and how many optical passes were never published."""
    first = date(season, options.first_month, 1)
    last = (date(season, options.last_month, 1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    days = [first + timedelta(days=k) for k in range((last - first).days + 1)]
    lost = generator(seed, "lost scenes", season).random(len(days)) < options.optical_loss
    passes = list(range(int(generator(seed, "optical phase").integers(0, options.optical_revisit_days)), len(days), options.optical_revisit_days))  # fmt: skip
    scenes = [
        _optical_scene(days[k], k // options.optical_revisit_days % 2, tile) for k in passes if not lost[k]
    ]
    for orbit, relative_orbit in enumerate(options.radar_orbits):
        phase = (2 * orbit + 1) % options.radar_revisit_days
        for k in range(phase, len(days), options.radar_revisit_days):
            scenes.append(
                _radar_scene(days[k], orbit, relative_orbit, k // options.radar_revisit_days % 2, tile)
            )
    return sorted(scenes, key=lambda scene: scene.when), int(sum(lost[k] for k in passes))


def _optical_scene(day: date, satellite: int, tile: str) -> Scene:
    platform = "AB"[satellite]
    when = datetime.combine(day, time(10, 50, 31))
    return Scene(
        OPTICAL, f"S2{platform}_{tile}_{day:%Y%m%d}_0_L2A", when, f"sentinel-2{platform.lower()}", 51
    )


def _radar_scene(day: date, orbit: int, relative_orbit: int, satellite: int, tile: str) -> Scene:
    platform = "AB"[satellite]
    when = datetime.combine(day, time(5, 58, 12) if orbit % 2 == 0 else time(17, 25, 46))
    item_id = f"S1{platform}_IW_{tile}_{when:%Y%m%dT%H%M%S}_{relative_orbit:03d}"
    return Scene(RADAR, item_id, when, f"sentinel-1{platform.lower()}", relative_orbit, orbit)


def render_scene(scene: Scene, world: World, canvas: Canvas, options: SimulationOptions, season: int, seed: int, folder: Path) -> None:  # fmt: skip
    """Write one scene's COGs and, when they are whole, its item; nothing is done where the item exists."""
    place = folder / "catalog" / scene.collection / scene.item_id
    item_file = place / f"{scene.item_id}.json"
    if item_file.exists():
        return
    render = _render_optical if scene.collection == OPTICAL else _render_radar
    properties, assets = render(scene, world, canvas, options, season, seed, place)
    write_json(
        item_file, make_item(scene.item_id, scene.collection, scene.when, world.grid, properties, assets)
    )


def _render_optical(
    scene: Scene,
    world: World,
    canvas: Canvas,
    options: SimulationOptions,
    season: int,
    seed: int,
    place: Path,
) -> tuple[dict[str, Any], dict[str, Any]]:
    rng = generator(seed, "optical", season, scene.item_id)
    stream = int(rng.integers(2**62))
    day = scene.when.date()
    index = world.weather.index(day)
    zenith, azimuth = sun_position(world.grid.centre_wgs84[1], day)
    palette = _palette(world, index, zenith)
    coarse_shape = canvas.coarse.label.shape[:2]
    cover = scene_cover(options.cloud_cover, _dullness(world, index), rng)
    coarse_sky = make_sky(coarse_shape, 2 * PIXEL, cover, zenith, azimuth, rng)
    fine_sky = Sky(*(double(part) for part in (coarse_sky.opacity, coarse_sky.shade, coarse_sky.brightness)))
    fine, coarse = band_indices(FINE_BANDS), band_indices(COARSE_BANDS)
    ground_fine = surface(canvas.fine, palette, canvas.vigour[0], canvas.pattern[0], fine)
    ground_coarse = surface(canvas.coarse, palette, canvas.vigour[1], canvas.pattern[1], coarse)
    haze = float(rng.normal())
    seen_fine = observe(ground_fine, fine_sky, fine, haze, stream)
    seen_coarse = observe(ground_coarse, coarse_sky, coarse, haze, stream ^ 0x5DEECE66D)
    blue, red, nir = (halve(seen_fine[FINE_BANDS.index(name)]) for name in ("B02", "B04", "B08"))
    scl = double(classify_scene(coarse_sky, red, nir, blue, canvas.water, 2 * PIXEL, rng))
    edge = _swath_edge(world.grid.shape, rng)
    scl[edge] = 0
    baseline, offset = baseline_of(day)
    encoding = {
        "data_type": "uint16",
        "nodata": 0,
        "scale": 0.0001,
        "offset": -offset / 10000,
        "spatial_resolution": 10,
    }
    assets = {}
    for names, pixels in ((FINE_BANDS, seen_fine), (COARSE_BANDS, double(seen_coarse))):
        for name, values in zip(names, pixels, strict=True):
            numbers = digital_numbers(values, offset)
            numbers[edge] = 0
            write_cog(place / f"{name}.tif", numbers, world.grid.transform, world.grid.epsg, 0)
            assets[name] = raster_asset(
                f"./{name}.tif", encoding, world.grid, **{"eo:bands": [{"name": name}]}
            )
    write_cog(place / "SCL.tif", scl, world.grid.transform, world.grid.epsg, 0)
    assets["SCL"] = raster_asset(
        "./SCL.tif", {"data_type": "uint8", "nodata": 0, "spatial_resolution": 20}, world.grid
    )
    if options.keep_truth_rasters:
        _write_truth(scene, world, ground_fine, double(ground_coarse), offset, place.parents[2])
    properties = {
        "platform": scene.platform,
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "eo:cloud_cover": round(float(np.isin(scl[~edge], (3, 8, 9, 10)).mean()) * 100, 2)
        if (~edge).any()
        else 100.0,
        "s2:processing_baseline": baseline,
        "s2:nodata_pixel_percentage": round(float(edge.mean()) * 100, 2),
        "sat:orbit_state": "descending",
        "sat:relative_orbit": scene.relative_orbit,
        "view:sun_elevation": round(90 - zenith, 2),
        "view:sun_azimuth": round(azimuth, 2),
    }
    return properties, dict(sorted(assets.items()))


def _palette(world: World, index: int, sun_zenith: float) -> Palette:
    """Return the colours of all labels on a day."""
    day, wetness = index - world.january, float(world.wetness[index])
    fields = field_palette(world.states, day, world.fields.brightness, wetness, sun_zenith)
    verge = cover_palette(["verge"], day, wetness, sun_zenith)
    covers = [cover_palette(world.cover_kinds, day, wetness, sun_zenith)] if world.cover_kinds else []
    return stack_palettes(verge, fields, *covers)


def _dullness(world: World, index: int) -> float:
    """Return how dull a day is among the season's, roughly standard normal: little light for the date, rain."""
    light = world.weather.radiation_mj
    expected = np.convolve(light, np.ones(31) / 31, mode="same")
    relative = light / np.maximum(expected, 0.5)
    return float(np.clip((relative.mean() - relative[index]) / max(float(relative.std()), 1e-6), -2.5, 2.5))


def _swath_edge(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return which pixels lie beyond the swath: a slanted strip in one scene of fifteen."""
    if rng.random() > 1 / 15:
        return np.zeros(shape, bool)
    slope, at = rng.uniform(0.15, 0.25), rng.uniform(0.1, 0.5) * shape[1]
    return np.arange(shape[1])[None, :] < at - slope * np.arange(shape[0])[:, None]


def _write_truth(
    scene: Scene, world: World, fine: np.ndarray, coarse: np.ndarray, offset: int, folder: Path
) -> None:
    """Write the ground as it was under the clouds, for scoring only."""
    place = folder / "truth" / "reflectance"
    for names, pixels in ((FINE_BANDS, fine), (COARSE_BANDS, coarse)):
        for name, values in zip(names, pixels, strict=True):
            numbers = digital_numbers(values, offset)
            write_cog(
                place / f"{scene.item_id}_{name}.tif", numbers, world.grid.transform, world.grid.epsg, 0
            )


def _render_radar(
    scene: Scene,
    world: World,
    canvas: Canvas,
    options: SimulationOptions,
    season: int,
    seed: int,
    place: Path,
) -> tuple[dict[str, Any], dict[str, Any]]:
    rng = generator(seed, "radar", season, scene.item_id)
    index = world.weather.index(scene.when.date())
    day = index - world.january
    at = Pass(incidence_of(scene.orbit), day, max(day - options.radar_revisit_days, 0))
    wetness = float(world.wetness[index])
    level = rng.normal(0, 0.25)  # calibration of one scene, dB
    power = _with_covers(
        backscatter(world.states, world.fields, at, wetness), _covers_power(world, COVERS_DB)
    )
    assets: dict[str, Any] = {}
    encoding = {"data_type": "int16", "nodata": DB_NODATA, "scale": DB_SCALE, "offset": 0.0, "unit": "dB"}
    for k, name in enumerate(("vv", "vh")):
        pixels = render_backscatter(
            canvas.fine,
            power[:, k] * np.float32(10 ** (level / 10)),
            canvas.texture_db,
            int(rng.integers(2**62)),
        )
        write_cog(place / f"{name}.tif", pixels, world.grid.transform, world.grid.epsg, DB_NODATA)
        assets[name] = raster_asset(f"./{name}.tif", encoding, world.grid)
    if options.coherence:
        rain = float(world.weather.precipitation_mm[max(index - 1, 0) : index + 1].sum())
        known = np.array([[COVERS_COHERENCE[k]] * 2 for k in ["verge", *world.cover_kinds]], np.float32)
        true = _with_covers(coherence(world.states, world.fields, at, rain), known)
        encoding = {
            "data_type": "uint8",
            "nodata": COHERENCE_NODATA,
            "scale": COHERENCE_SCALE,
            "offset": 0.0,
            "unit": "1",
        }
        for k, name in enumerate(("cohvv", "cohvh")):
            pixels = double(
                render_coherence(canvas.coarse, np.ascontiguousarray(true[:, k]), int(rng.integers(2**62)))
            )
            write_cog(place / f"{name}.tif", pixels, world.grid.transform, world.grid.epsg, COHERENCE_NODATA)
            assets[name] = raster_asset(f"./{name}.tif", encoding, world.grid)
    properties = {
        "platform": scene.platform,
        "constellation": "sentinel-1",
        "instruments": ["c-sar"],
        "sar:instrument_mode": "IW",
        "sar:polarizations": ["VV", "VH"],
        "sar:product_type": "GRD",
        "sat:orbit_state": "descending" if scene.orbit % 2 == 0 else "ascending",
        "sat:relative_orbit": scene.relative_orbit,
        "view:incidence_angle": at.incidence,
    }
    return properties, assets


def _covers_power(world: World, table: dict[str, tuple[float, float]]) -> np.ndarray:
    return 10 ** (np.array([table[kind] for kind in ["verge", *world.cover_kinds]], np.float32) / 10)


def _with_covers(fields: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return values by label: verge, fields, covers."""
    return np.ascontiguousarray(np.concatenate([known[:1], fields, known[1:]]).astype(np.float32))
