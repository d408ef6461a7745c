"""What one Sentinel-1 pass leaves on disk: backscatter and coherence."""

from typing import Any

import numpy as np

from features.simulate.region.schedule import Scene
from features.simulate.region.stac import raster_asset
from features.simulate.region.studio import Studio
from features.simulate.region.world import double
from features.simulate.sensors.radar import (
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

CALIBRATION_DB = 0.25  # between scenes


def render_pass(scene: Scene, studio: Studio) -> tuple[dict[str, object], dict[str, object]]:
    """Write a Sentinel-1 scene; return its item's properties and assets."""
    world, rng = studio.world, studio.chance(scene)
    index = world.weather.index(scene.when.date())
    day = index - world.january
    at = Pass(incidence_of(scene.orbit), day, max(day - studio.options.radar_revisit_days, 0))
    assets = _write_backscatter(scene, studio, at, index, rng)
    if studio.options.coherence:
        assets |= _write_coherence(scene, studio, at, index, rng)
    properties = {
        "platform": scene.platform,
        "constellation": "sentinel-1",
        "instruments": ["c-sar"],
        "sar:instrument_mode": "IW",
        "sar:polarizations": ["VV", "VH"],
        "sar:product_type": "GRD",
        "sar:frequency_band": "C",
        "sat:orbit_state": "ascending" if scene.orbit % 2 else "descending",
        "sat:relative_orbit": scene.relative_orbit,
        "view:incidence_angle": at.incidence,
    }
    return properties, assets


def _write_backscatter(
    scene: Scene, studio: Studio, at: Pass, index: int, rng: np.random.Generator
) -> dict[str, Any]:
    world = studio.world
    level = np.float32(10 ** (rng.normal(0, CALIBRATION_DB) / 10))
    covers = np.array([COVERS_DB[kind] for kind in ["verge", *world.cover_kinds]], np.float32)
    fields = backscatter(world.states, world.fields, at, float(world.wetness[index]))
    power = _by_label(fields, 10 ** (covers / 10)) * level
    encoding = {"data_type": "int16", "nodata": DB_NODATA, "scale": DB_SCALE, "offset": 0.0, "unit": "dB"}
    assets = {}
    for k, name in enumerate(("vv", "vh")):
        stream = int(rng.integers(2**62))
        pixels = render_backscatter(
            studio.canvas.fine, np.ascontiguousarray(power[:, k]), studio.canvas.texture_db, stream
        )
        studio.write(studio.place(scene) / f"{name}.tif", pixels, DB_NODATA)
        assets[name] = raster_asset(f"./{name}.tif", encoding, world.grid)
    return assets


def _write_coherence(
    scene: Scene, studio: Studio, at: Pass, index: int, rng: np.random.Generator
) -> dict[str, Any]:
    world = studio.world
    rain_mm = float(world.weather.precipitation_mm[max(index - 1, 0) : index + 1].sum())
    covers = np.array([[COVERS_COHERENCE[kind]] * 2 for kind in ["verge", *world.cover_kinds]], np.float32)
    true = _by_label(coherence(world.states, world.fields, at, rain_mm), covers)
    encoding = {"data_type": "uint8", "nodata": COHERENCE_NODATA, "scale": COHERENCE_SCALE, "offset": 0.0}
    assets = {}
    for k, name in enumerate(("cohvv", "cohvh")):
        stream = int(rng.integers(2**62))
        pixels = double(render_coherence(studio.canvas.coarse, np.ascontiguousarray(true[:, k]), stream))
        studio.write(studio.place(scene) / f"{name}.tif", pixels, COHERENCE_NODATA)
        assets[name] = raster_asset(f"./{name}.tif", encoding | {"unit": "1"}, world.grid)
    return assets


def _by_label(fields: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return values by label: verge, fields, covers."""
    return np.concatenate([known[:1], fields, known[1:]]).astype(np.float32)
