"""NDVI maps of days ahead: the pixels of parcels, block by block, as COGs with a STAC catalog."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from features.context.daily import Daily
from features.files import write_json
from features.imagery.blocks import Block
from features.imagery.grids import crop
from features.imagery.rasters.drafts import keep_block, open_draft, write_cog
from features.memory import fitting
from models.clouds.products import MEDIA_TYPE, MISSING, SCALE, make_item
from models.forecast.bundle import read_forecaster
from models.forecast.climatology import Curves
from models.forecast.forecaster import Forecaster, forecast
from models.forecast.history import History
from models.forecast.intervals import Intervals
from models.forecast.learning.samples import horizon_step, on_days
from models.forecast.options import ForecastOptions
from models.forecast.pixels.looks import NO_PARCEL, Imagery, looks_of, owners, pixel_history

AGE = "age.tif"
BOUNDS = ("low_90", "low_50", "high_50", "high_90")
BYTES_A_SAMPLE = 1000  # of a forecast: its row of the table, and what is computed of it
BYTES_A_PIXEL = 8000  # of a pixel's looks, radar and climatology
SHARE = 1 / 8  # of the memory that may be used
FORECAST = "https://stac-extensions.github.io/forecast/v0.1.0/schema.json"
DESCRIPTION = (
    "NDVI ahead of the pixels of declared parcels; other pixels are missing. value and interval: stored "
    "integers x 0.0001; interval: bounds of the 90% and the 50% interval; age: days from a pixel's last "
    "clear look to the day of the forecast. Crop, earlier years, radar and weather are those of the parcel, "
    "and each parcel is forecast by models that did not learn from it."
)


@dataclass(frozen=True)
class Models:
    """Forecast models in a folder, and the intervals of pixels, None where there are none.

    `sha256` is that of the folder's recipe, which names the hashes of all of its files; `curves` by fold are
    what is usual by now, since the models may have been fitted earlier.
    """

    folder: Path
    options: ForecastOptions
    sha256: str
    curves: Mapping[int, Curves]
    intervals: Intervals | None

    def forecaster(self) -> Forecaster:
        """Load the models; a process does it once."""
        loaded = _loaded(self.folder, self.options, self.sha256)
        folds = {fold: (self.curves[fold], models) for fold, (_, models) in loaded.folds.items()}
        return replace(loaded, folds=folds)


@lru_cache(maxsize=1)
def _loaded(folder: Path, options: ForecastOptions, digest: str) -> Forecaster:
    return read_forecaster(folder, options, digest)


@dataclass(frozen=True)
class Plan:
    """What is mapped, and with what.

    Attributes
    ----------
    origin
        The day that counts as 0, that of the histories.
    since, made_on, targets
        First day of the season's looks, the day of the forecast, and the days ahead, since `origin`.
    """

    models: Models
    origin: date
    since: int
    made_on: int
    targets: tuple[int, ...]

    def when(self, day: int) -> date:
        """Return the date of a day."""
        return self.origin + timedelta(days=day)

    def bounded(self, target: int) -> bool:
        """Whether any pixel has an interval on a day ahead."""
        intervals = self.models.intervals
        step = horizon_step(np.array([target - self.made_on]))[0]
        return intervals is not None and bool(np.isfinite(intervals.quantile[:, :, step]).any())


@dataclass(frozen=True)
class ForecastUnit:
    """One block of a tile.

    Attributes
    ----------
    shapes, parcels, fold
        Outlines `(parcel,)` of the parcels in the block, in the tile's CRS, their history, and the fold whose
        models did not see each.
    file
        Receives `(layer, y, x)` int16: value and bounds of each target, and at last the age.
    """

    imagery: Imagery
    place: Block
    shapes: np.ndarray
    parcels: History
    fold: np.ndarray
    ahead: Daily | None
    plan: Plan
    file: Path


def run_forecast_unit(unit: ForecastUnit) -> Path:
    """Forecast a block and write it, unless it lies there whole; return the file."""
    return keep_block(unit.file, lambda: _forecast_block(unit))


def _forecast_block(unit: ForecastUnit) -> np.ndarray:
    layers = len(unit.plan.targets) * (1 + len(BOUNDS)) + 1
    stored = np.full((layers, *unit.place.shape), MISSING, np.int16)
    owner = owners(unit.shapes, crop(unit.imagery.grid, unit.place))
    row, column = np.nonzero(owner != NO_PARCEL)
    if not len(row):
        return stored
    days, ndvi = unit.imagery.looks(unit.place)
    numbers = np.array([unit.parcels.day(day) for day in days], np.int64)
    each = BYTES_A_PIXEL + BYTES_A_SAMPLE * len(unit.plan.targets)
    at_once = fitting(each, SHARE, least=256, most=32_768)
    for start in range(0, len(row), at_once):
        here = row[start : start + at_once], column[start : start + at_once]
        stored[:, *here] = _forecast_pixels(unit, owner[here], numbers, ndvi[:, *here])
    return stored


def _forecast_pixels(unit: ForecastUnit, owner: np.ndarray, days: np.ndarray, ndvi: np.ndarray) -> np.ndarray:
    """Return `(layer, pixel)` int16 of pixels with looks `ndvi (day, pixel)`."""
    plan = unit.plan
    pixels = pixel_history(unit.parcels, owner, looks_of(days, ndvi), plan.since).until(plan.made_on)
    samples = on_days(np.arange(len(owner)), plan.made_on, np.array(plan.targets))
    ahead = None if unit.ahead is None else unit.ahead.take(owner)
    found = forecast(plan.models.forecaster(), pixels, samples, unit.fold[owner], ahead)
    bounds = np.full_like(found.bounds, np.nan)
    if plan.models.intervals is not None:
        bounds = plan.models.intervals.of(found.value, found.size, *found.cells)
    layers = np.column_stack([found.value, bounds]).reshape(len(owner), -1).T / SCALE
    last = np.where(np.isfinite(ndvi), days[:, None], -np.inf).max(0, initial=-np.inf)
    return _integers(np.concatenate([layers, plan.made_on - last[None]]))


def _integers(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    return np.where(known, np.rint(np.where(known, values, 0)), MISSING).astype(np.int16)


def assemble(
    tile: str, grid: GeoBox, plan: Plan, blocks: Sequence[tuple[Block, Path]], folder: Path
) -> list[dict[str, Any]]:
    """Put the blocks of a tile together as COGs and STAC items, one a day; return the items' links."""
    work = blocks[0][1].parent
    layers: dict[str, tuple[slice, tuple[str, ...]]] = {AGE: (slice(-1, None), ("age_days",))}
    for k, target in enumerate(plan.targets):
        begin = k * (1 + len(BOUNDS))
        layers[_draft(plan.when(target), "value")] = slice(begin, begin + 1), ("ndvi",)
        if plan.bounded(target):
            layers[_draft(plan.when(target), "interval")] = slice(begin + 1, begin + 1 + len(BOUNDS)), BOUNDS
    with ExitStack() as opened:
        rasters = {
            name: opened.enter_context(_create(work / name, grid, names))
            for name, (_, names) in layers.items()
        }
        for place, file in blocks:
            stored = np.load(file, mmap_mode="r", allow_pickle=False)
            for name, (of, _) in layers.items():
                rasters[name].write(np.asarray(stored[of]), window=Window.from_slices(*place.slices))
    write_cog(work / AGE, folder / tile / f"{tile}_{AGE}")
    return [_item(tile, grid, plan, target, (work, folder)) for target in plan.targets]


def _item(tile: str, grid: GeoBox, plan: Plan, target: int, folders: tuple[Path, Path]) -> dict[str, Any]:
    """Write the COGs of one day, from the first folder to the second, and their item."""
    (work, folder), made_on, day = folders, plan.when(plan.made_on), plan.when(target)
    place, name = f"{day}_ndvi_ahead", f"{tile}_{day}_ndvi_ahead"
    assets = {"age": _asset(f"../{tile}_{AGE}", ("age_days",), None)}
    kinds: dict[str, tuple[str, ...]] = {"value": ("ndvi",)}
    if plan.bounded(target):
        kinds["interval"] = BOUNDS
    for kind, names in kinds.items():
        write_cog(work / _draft(day, kind), folder / tile / place / f"{name}_{kind}.tif")
        assets[kind] = _asset(f"./{name}_{kind}.tif", names, SCALE)
    assets["value"]["roles"] = ["data"]
    item = make_item(name, tile, grid, (f"{day}T00:00:00Z", f"{day}T23:59:59Z"), assets, (FORECAST,))
    item["properties"] |= {
        "forecast:reference_datetime": f"{made_on}T23:59:59Z",
        "forecast:horizon": f"P{(day - made_on).days}D",
    }
    write_json(folder / tile / place / f"{name}.json", item)
    return {"name": name, "href": f"./{tile}/{place}/{name}.json"}


def _draft(day: date, kind: str) -> str:
    return f"{day}_{kind}.tif"


def _create(path: Path, grid: GeoBox, bands: tuple[str, ...]) -> Any:
    raster = open_draft(path, grid, len(bands), "int16", MISSING)
    raster.descriptions = bands
    if path.name != AGE:
        raster.scales = (SCALE,) * len(bands)
    return raster


def _asset(href: str, bands: tuple[str, ...], scale: float | None) -> dict[str, Any]:
    scaled = {} if scale is None else {"raster:scale": scale, "raster:offset": 0.0}
    return {
        "href": href,
        "type": MEDIA_TYPE,
        "roles": ["metadata"],
        "nodata": MISSING,
        "bands": [{"name": name, "data_type": "int16", **scaled} for name in bands],
    }
