"""What one satellite pass leaves on disk: COGs, and an item when they are whole."""

from typing import Any

import numpy as np

from features.files import write_json
from features.schema import OPTICAL_BANDS
from features.simulate.grid import PIXEL, sun_position
from features.simulate.region.passes import render_pass
from features.simulate.region.schedule import Scene
from features.simulate.region.stac import OPTICAL, baseline_of, make_item, raster_asset
from features.simulate.region.studio import Studio
from features.simulate.region.world import World, double, halve
from features.simulate.sensors.clouds import Sky, View, classify_scene, make_sky, scene_cover
from features.simulate.sensors.optical import (
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

COARSE_BANDS = tuple(band for band in OPTICAL_BANDS if band not in FINE_BANDS)
PARTLY_COVERED = 1 / 15  # share of scenes whose swath ends within the region
FLAGGED = (3, 8, 9, 10)  # scene classes that count as cloud cover in the item


def render_scene(scene: Scene, studio: Studio) -> None:
    """Write one scene's COGs and, when they are whole, its item; nothing is done where the item exists."""
    item_file = studio.folder / "catalog" / scene.item_path
    if item_file.exists():
        return
    render = render_optical if scene.collection == OPTICAL else render_pass
    own = studio.for_one_scene()
    properties, assets = render(scene, own)
    own.wait()
    write_json(item_file, make_item(scene, studio.world.grid, properties, assets))


def render_optical(scene: Scene, studio: Studio) -> tuple[dict[str, object], dict[str, object]]:
    """Write a Sentinel-2 scene; return its item's properties and assets."""
    world, rng = studio.world, studio.chance(scene)
    stream, haze = int(rng.integers(2**62)), float(rng.normal())
    index = world.weather.index(scene.when.date())
    zenith, azimuth = sun_position(world.grid.centre_wgs84[1], scene.when.date())
    cover = scene_cover(studio.options.cloud_cover, _dullness(world, index), rng)
    sky = make_sky(
        (world.grid.shape[0] // 2, world.grid.shape[1] // 2), 2 * PIXEL, cover, (zenith, azimuth), rng
    )
    ground = _ground(studio, index, zenith)
    fine = observe(ground[0], sky.finer(), band_indices(FINE_BANDS), haze, stream)
    coarse = observe(ground[1], sky, band_indices(COARSE_BANDS), haze, stream ^ 0x5DEECE66D)
    blue, red, nir = (halve(fine[FINE_BANDS.index(name)]) for name in ("B02", "B04", "B08"))
    scl = double(classify_scene(sky, View(blue, red, nir), studio.canvas.water, 2 * PIXEL, rng))
    beyond = _swath_edge(world.grid.shape, rng)
    scl[beyond] = 0
    baseline, offset = baseline_of(scene.when.date())
    assets = _write_bands(scene, studio, (fine, double(coarse)), beyond, offset)
    studio.write(studio.place(scene) / "SCL.tif", scl, 0)
    scl_encoding = {"data_type": "uint8", "nodata": 0, "spatial_resolution": 20}
    assets["SCL"] = raster_asset("./SCL.tif", scl_encoding, world.grid)
    if studio.options.keep_truth_rasters:
        _write_truth(scene, studio, (ground[0], double(ground[1])), offset)
        _write_sky(scene, studio, sky)
    covered = np.isin(scl[~beyond], FLAGGED)
    properties = {
        "platform": scene.platform,
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "eo:cloud_cover": round(float(covered.mean()) * 100, 2) if covered.size else 100.0,
        "s2:processing_baseline": baseline,
        "s2:nodata_pixel_percentage": round(float(beyond.mean()) * 100, 2),
        "sat:orbit_state": "descending",
        "sat:relative_orbit": scene.relative_orbit,
        "view:sun_elevation": round(90 - zenith, 2),
        "view:sun_azimuth": round(azimuth, 2),
    }
    return properties, dict(sorted(assets.items()))


def _ground(studio: Studio, index: int, sun_zenith: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the reflectance of the ground: 10 m bands, and 20 m bands on their own grid."""
    canvas, colours = studio.canvas, palette(studio.world, index, sun_zenith)
    fine = surface(canvas.fine, colours, canvas.vigour[0], canvas.pattern[0], band_indices(FINE_BANDS))
    coarse = surface(canvas.coarse, colours, canvas.vigour[1], canvas.pattern[1], band_indices(COARSE_BANDS))
    return fine, coarse


def palette(world: World, index: int, sun_zenith: float) -> Palette:
    """Return the colours of all labels on a day (`index` counts in the weather)."""
    day, wetness = index - world.january, float(world.wetness[index])
    fields = field_palette(world.states, day, world.fields.brightness, wetness, sun_zenith)
    verge = cover_palette(["verge"], day, wetness, sun_zenith)
    covers = [cover_palette(world.cover_kinds, day, wetness, sun_zenith)] if world.cover_kinds else []
    return stack_palettes(verge, fields, *covers)


def _dullness(world: World, index: int) -> float:
    """Return how dull a day is among the season's, roughly standard normal: little light for the date."""
    light = world.weather.radiation_mj
    expected = np.convolve(light, np.ones(31) / 31, mode="same")
    relative = light / np.maximum(expected, 0.5)
    return float(np.clip((relative.mean() - relative[index]) / max(float(relative.std()), 1e-6), -2.5, 2.5))


def _swath_edge(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return which pixels lie beyond the swath: a slanted strip in some scenes."""
    if rng.random() > PARTLY_COVERED:
        return np.zeros(shape, bool)
    slope, at = rng.uniform(0.15, 0.25), rng.uniform(0.1, 0.5) * shape[1]
    return np.arange(shape[1])[None, :] < at - slope * np.arange(shape[0])[:, None]


def _write_bands(
    scene: Scene, studio: Studio, pixels: tuple[np.ndarray, np.ndarray], beyond: np.ndarray, offset: int
) -> dict[str, Any]:
    """Write the ten bands as digital numbers and return their assets."""
    assets = {}
    for names, values, metres in zip((FINE_BANDS, COARSE_BANDS), pixels, (10, 20), strict=True):
        encoding = {"data_type": "uint16", "nodata": 0, "scale": 0.0001, "offset": -offset / 10000}
        for name, band in zip(names, values, strict=True):
            numbers = digital_numbers(band, offset)
            numbers[beyond] = 0
            studio.write(studio.place(scene) / f"{name}.tif", numbers, 0)
            encoding = encoding | {"spatial_resolution": metres}
            assets[name] = raster_asset(f"./{name}.tif", encoding, studio.world.grid, band=name)
    return assets


def _write_truth(scene: Scene, studio: Studio, pixels: tuple[np.ndarray, np.ndarray], offset: int) -> None:
    """Write the ground as it was under the clouds, for scoring only."""
    place = studio.folder / "truth" / "reflectance"
    for names, values in zip((FINE_BANDS, COARSE_BANDS), pixels, strict=True):
        for name, band in zip(names, values, strict=True):
            studio.write(place / f"{scene.item_id}_{name}.tif", digital_numbers(band, offset), 0)


def _write_sky(scene: Scene, studio: Studio, sky: Sky) -> None:
    """Write opacity of cloud and depth of shadow in percent, for scoring only."""
    for name, values in (("opacity", sky.opacity), ("shade", sky.shade)):
        percent = np.rint(100 * double(values)).astype(np.uint8)
        studio.write(studio.folder / "truth" / "sky" / f"{scene.item_id}_{name}.tif", percent, None)
