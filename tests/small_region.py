"""A small region as an agency would have it: parcels, a crop table, a catalog of images, a config.

Sixty fields of 70 m by 70 m in rows, of three crops whose NDVI rises at different times; a field without a
code, one whose code no table has, and one far outside of the imagery.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely

from pipelines.config import RunConfig, load_config
from pipelines.main_job import run_all
from pipelines.workspace import Workspace
from tests.features.catalog.test_reader import write_catalog
from tests.small_imagery import write_tif

COLUMNS, ROWS, STEP = 10, 6, 80.0  # fields, and metres from one to the next
PEAKS = {"001": 0.35, "002": 0.65, "003": None}  # of the season; grassland is green throughout
TABLE = (
    "code,name,hcat_code,crop_class\n001,Winterweizen,3301010101,wheat\n002,Mais,3301010600,maize\n"
    "003,Wiese,3302000000,grassland\n"
)
CLOUD, CLEAR = 9, 4  # scene classes


@dataclass(frozen=True)
class Place:
    """A UTM zone, a corner in it, and the tile that lies there."""

    epsg: int
    left: float
    top: float
    tile: str


FLANDERS = Place(32631, 621_000.0, 5_641_000.0, "31UFS")
BLOEMFONTEIN = Place(32735, 350_000.0, 6_900_000.0, "35JLJ")


@dataclass(frozen=True)
class SmallRegion:
    """Writes the region's files; `cloudy` hides every optical pixel."""

    folder: Path
    place: Place = FLANDERS
    start: date = date(2024, 3, 1)
    end: date = date(2024, 10, 31)
    sensors: tuple[str, ...] = ("s1", "s2")
    cloudy: bool = False

    def write(self) -> "SmallRegion":
        """Write parcels, crop table and catalog, and return the region."""
        codes = self.declare()
        rng = np.random.default_rng(2)
        items = [self.item(sensor, day, codes, rng) for sensor in self.sensors for day in self.days]
        write_catalog(self.folder / "catalog", *items)
        return self

    @property
    def days(self) -> range:
        """Days of the season on which both satellites pass."""
        return range(5, (self.end - self.start).days, 15)

    def declare(self) -> np.ndarray:
        """Write parcels and crop table, and return the codes of the fields."""
        codes = np.random.default_rng(1).choice(sorted(PEAKS), COLUMNS * ROWS)
        self.parcels(codes).to_file(self.folder / "parcels.gpkg")
        (self.folder / "crops.csv").write_text(TABLE)
        return codes

    def run(self, *settings: str) -> Workspace:
        """Run all stages over the files, and return where the output lies."""
        workspace = Workspace(self.folder / "out")
        run_all(self.config(*settings), workspace)
        return workspace

    def config(self, *settings: str) -> RunConfig:
        """Return the config of a short run."""
        path = self.folder / "region.yaml"
        path.write_text(
            f"name: small\nseason: {{year: {self.end.year}, start: {self.start}, end: {self.end}}}\n"
            f"declarations:\n  path: {self.folder}/parcels.gpkg\n  fields: {{parcel_id: id, code: crop}}\n"
            f"  crops: {{tables: [{self.folder}/crops.csv]}}\n"
            f"imagery: {{catalog: {self.folder}/catalog/catalog.json}}\n"
            "clear: {method: none}\nfolds: {count: 2}\n"
            "train: {models: {lightgbm: {rounds: 8}}, explanation: {parcels: 4}}\n"
            "judge: {alpha: 0.2}\nforecast: {methods: [damped]}\n"
            "extract: {optical: [B04, B08, ndvi], radar: [s0vv_db, s0vh_db], threads: 1}\n"
            "tracking: {enabled: false}\n"
        )
        return load_config(path, list(settings))

    def parcels(self, codes: Iterable[str]) -> gpd.GeoDataFrame:
        """Return the declared fields, and three more that a run must set aside."""
        odd = [(self.square(0, -2), None), (self.square(1, -2), "999"), (self.square(400, 3), "001")]
        inside = [self.square(n % COLUMNS, n // COLUMNS) for n in range(COLUMNS * ROWS)]
        shapes, crops = zip(*odd, *zip(inside, codes, strict=True), strict=True)
        return gpd.GeoDataFrame(
            {"id": [f"{n:03d}" for n in range(len(shapes))], "crop": crops},
            geometry=list(shapes),
            crs=self.place.epsg,
        )

    def square(self, column: int, row: int) -> shapely.Polygon:
        left, top = self.place.left + column * STEP, self.place.top - row * STEP
        return shapely.box(left, top - 70, left + 70, top)

    def item(self, sensor: str, day: int, codes: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        """Return the STAC item of one image, whose files are written."""
        taken = datetime.combine(self.start, datetime.min.time()) + timedelta(days=day, hours=10)
        fields = self.ndvi(day, codes, rng)
        item_id = f"{sensor}_{taken:%Y%m%d}"
        there = self.folder / "catalog" / "items" / item_id
        files = optical(fields, self.cloudy) if sensor == "s2" else radar(fields)
        assets = {}
        for key, (values, stated) in files.items():
            corner, size = (self.place.left, self.place.top), STEP / 8 * (fields.shape[0] / values.shape[0])
            write_tif(there / f"{key}.tif", values, size, corner, self.place.epsg)
            assets[key] = {"href": f"./{key}.tif", **stated}
        return {
            "type": "Feature", "stac_version": "1.1.0", "id": item_id, "links": [], "assets": assets,
            "bbox": list(self.bounds()), "geometry": shapely.geometry.mapping(shapely.box(*self.bounds())),
            "properties": {
                "datetime": f"{taken:%Y-%m-%dT%H:%M:%SZ}", "proj:code": f"EPSG:{self.place.epsg}",
                "constellation": f"sentinel-{sensor[1]}", "platform": f"sentinel-{sensor[1]}a",
                "sat:orbit_state": "ascending", "sat:relative_orbit": 37,
                **({"grid:code": f"MGRS-{self.place.tile}", "s2:processing_baseline": "05.10"}
                   if sensor == "s2" else {}),
            },
        }  # fmt: skip

    def ndvi(self, day: int, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the region's NDVI on a day, `(y, x)` of 10 m, each field of one value and a little noise."""
        share = day / (self.end - self.start).days
        mean = np.array([0.7 if PEAKS[code] is None else _hill(share - PEAKS[code]) for code in codes])
        field = mean + rng.normal(0, 0.03, mean.shape)
        return np.repeat(np.repeat(field.reshape(ROWS, COLUMNS), 8, axis=0), 8, axis=1)

    def bounds(self) -> tuple[float, ...]:
        """West, south, east, north of the images, degrees."""
        left, top = self.place.left, self.place.top
        box = shapely.box(left, top - ROWS * STEP, left + COLUMNS * STEP, top)
        return tuple(map(float, gpd.GeoSeries([box], crs=self.place.epsg).to_crs(4326).total_bounds))


def _hill(distance: float) -> float:
    return float(0.2 + 0.6 * np.exp(-((distance / 0.15) ** 2)))


def optical(ndvi: np.ndarray, cloudy: bool = False) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    """Return Sentinel-2's stored numbers with ESA's offset, and what an item states of them."""
    red = np.round(2000 * (1 - ndvi)).astype(np.uint16)
    infrared = np.round(2000 * (1 + ndvi)).astype(np.uint16)
    stated = {"raster:scale": 1e-4, "raster:offset": -0.1, "nodata": 0}
    classes = np.full((ndvi.shape[0] // 2, ndvi.shape[1] // 2), CLOUD if cloudy else CLEAR, np.uint8)
    return {
        "red": (red + np.uint16(1000), stated),
        "nir": (infrared + np.uint16(1000), stated),
        "scl": (classes, {"nodata": 0}),
    }


def radar(ndvi: np.ndarray) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    """Return Sentinel-1's linear power, and what an item states of it."""
    power = {"vv": 0.05 + 0.05 * ndvi, "vh": 0.005 + 0.02 * ndvi}
    return {band: (values.astype(np.float32), {"unit": "linear"}) for band, values in power.items()}
