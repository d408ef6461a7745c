"""Zonal statistics beside the peers, on the same files: `python -m tests.benchmarks.zonal [--quick]`.

The case: 10 uint16 bands as DEFLATE-compressed tiled GeoTIFFs of 2,500 x 2,500 pixels with a field pattern,
cloudy pixels set to nodata (so that the peers mask them as we do) and a scene classification that says the
same; 5,000 parcels shrunk by 10 m; mean, standard deviation, minimum, maximum, median and count. The peers
read the same files with their own readers. Rows: work, subject, metric, value, low, high, n, unit; value is
the median of n runs, low and high their extremes. `decode_only` is our decoder with our threads on the same
blocks and nothing else.
"""

import argparse
import itertools
import json
import os
import platform
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import polars as pl
import rasterio
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from scipy import ndimage

from features.coverage import coverage_of
from features.extract_options import ExtractOptions
from features.extraction import extract
from features.imagery import MaskOptions, grid_of, layout_of, read_window
from features.observations import read_observations
from features.schema import ACQUISITIONS, OPTICAL_BANDS
from features.units import Unit, run_unit, tile_coverage
from features.zonal import summarise

LEFT, TOP = 500_000.0, 5_000_000.0
STATISTICS = ("mean", "std", "min", "max", "median")
PEER = {"mean": "mean", "std": "stdev", "min": "min", "max": "max", "median": "median", "count": "count"}
OPTIONS = ExtractOptions(
    optical=OPTICAL_BANDS,
    radar=(),
    statistics=STATISTICS,
    inner_buffer_m=10.0,
    mask=MaskOptions(dilation_m=0.0),
)
Row = dict[str, Any]


def texture(rng: np.random.Generator, side: int, fields: np.ndarray) -> np.ndarray:
    """Raw reflectance: one level a field, smooth variation within, and noise."""
    level = rng.uniform(1300, 4500, fields.max() + 1)[fields]
    smooth = ndimage.zoom(rng.normal(0, 120, (side // 10 + 1, side // 10 + 1)), 10, order=1)[:side, :side]
    return (level + smooth + rng.normal(0, 25, (side, side))).clip(1, 20_000).astype(np.uint16)


def write_raster(path: Path, values: np.ndarray, step: float = 10.0) -> None:
    """A tiled GeoTIFF as agencies publish: blocks of 512, DEFLATE, horizontal differences."""
    shape = {"height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": values.dtype.name}
    layout = {
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "deflate",
        "predictor": 2,
        "zlevel": 6,
    }
    where = {"crs": "EPSG:32635", "transform": Affine(step, 0, LEFT, 0, -step, TOP), "nodata": 0}
    with rasterio.open(path, "w", driver="GTiff", **shape, **layout, **where) as raster:
        raster.write(values, 1)


def parcel_grid(side: int, count: int, seed: int = 0) -> gpd.GeoDataFrame:
    """`count` quadrilaterals in rows, their corners moved at random, that fill the raster but for gaps."""
    across = int(np.ceil(np.sqrt(count)))
    size = side * 10 / across
    rng = np.random.default_rng(seed)
    corner = np.array([[0.04, 0.04], [0.96, 0.04], [0.96, 0.96], [0.04, 0.96]])
    moved = corner[None] + rng.uniform(-0.035, 0.035, (count, 4, 2))
    at = np.column_stack([np.arange(count) % across, np.arange(count) // across])
    points = (at[:, None, :] + moved) * size
    points = np.stack([LEFT + points[..., 0], TOP - points[..., 1]], axis=-1)
    rings = np.concatenate([points, points[:, :1]], axis=1)
    ids = [f"{i:07d}" for i in range(count)]
    return gpd.GeoDataFrame({"parcel_id": ids}, geometry=shapely.polygons(rings), crs=32635)


def make_case(
    folder: Path, side: int, bands: Sequence[str] = OPTICAL_BANDS, one_file: bool = False
) -> list[dict[str, Any]]:
    """Write the bands and the scene classification; assets as the acquisitions table has them."""
    rng = np.random.default_rng(1)
    across = max(side // 35, 1)
    fields = np.add.outer(np.arange(side) * across // side * across, np.arange(side) * across // side)
    cloud = (
        ndimage.zoom(rng.random((side // 50 + 1, side // 50 + 1)), 25, order=0)[: side // 2, : side // 2]
        < 0.2
    )
    hidden = cloud.repeat(2, axis=0).repeat(2, axis=1)
    folder.mkdir(parents=True, exist_ok=True)
    write_raster(folder / "scl.tif", np.where(cloud, 9, 4).astype(np.uint8), 20.0)
    assets = [asset("scl", folder / "scl.tif")]
    for band in bands:
        path = folder / f"{band}.tif"
        if one_file and band != bands[0]:
            path.hardlink_to(folder / f"{bands[0]}.tif")
        else:
            values = texture(rng, side, fields)
            values[: hidden.shape[0], : hidden.shape[1]][hidden] = 0
            write_raster(path, values)
        assets.append(asset(band, path))
    return assets


def asset(band: str, path: Path) -> dict[str, Any]:
    unit = "class" if band == "scl" else "reflectance"
    return {"band": band, "href": str(path), "scale": 1.0, "offset": 0.0, "nodata": 0.0, "unit": unit}


def acquisition(assets: list[dict[str, Any]], day: int = 0, tile: str = "35VLF") -> dict[str, Any]:
    values = [
        f"S2_{tile}_{day:03d}",
        datetime(2024, 4, 1) + timedelta(days=day),
        "s2",
        None,
        None,
        "a",
        "05.10",
        tile,
        32635,
    ]
    return dict(zip(ACQUISITIONS.names(), [*values, assets], strict=True))


def row(work: str, subject: str, metric: str, values: Sequence[float], unit: str) -> Row:
    found = [float(value) for value in values]
    return {
        "work": work, "subject": subject, "metric": metric, "value": float(np.median(found)),
        "low": min(found), "high": max(found), "n": len(found), "unit": unit,
    }  # fmt: skip


def timed(function: Callable[[], Any], times: int) -> list[float]:
    found = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return found


def peak_gib() -> float:
    """Largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def cog_10_bands(folder: Path, quick: bool) -> list[Row]:
    """Ten bands of one date, from files to a written part."""
    work, side, count, times = (
        "cog_10_bands",
        (1000 if quick else 2500),
        (800 if quick else 5000),
        (3 if quick else 7),
    )
    assets = make_case(folder / "imagery", side)
    parcels = parcel_grid(side, count)
    shrunk = parcels.set_geometry(parcels.buffer(-10))
    start = time.perf_counter()
    coverage_of(shrunk.geometry, shrunk["parcel_id"].to_numpy(), grid_of(assets[1]["href"]))
    with_coverage = time.perf_counter() - start
    extract(
        pl.DataFrame([acquisition(assets)], schema=ACQUISITIONS), parcels, OPTIONS, folder / "out"
    )  # compiles, caches
    observations = read_observations(folder / "out")
    unit = _unit(folder, assets)
    ours = timed(lambda: _again(unit), times)
    decode = timed(lambda: _decode(unit), times)
    rows = [
        row(work, "cropcheck", "seconds", ours, "s"),
        row(work, "decode_only", "seconds", decode, "s"),
        row(work, "cropcheck", "over_decode_only", [np.median(ours) / np.median(decode)], "1"),
    ]
    peers = _exactextract_rows(work, assets, shrunk, observations, quick)
    fastest = min(r["value"] for r in peers if r["metric"] == "seconds")
    rows += [*peers, *_rasterstats_rows(work, assets, shrunk)]
    rows.append(row(work, "cropcheck", "times_faster_than_exactextract", [fastest / np.median(ours)], "1"))
    for dates in (1, 20, 60):
        spent = with_coverage + dates * float(np.median(ours))  # dates cost alike, as `full_tile` shows
        rows.append(row(work, "cropcheck", f"seconds_with_coverage_{dates}_extrapolated", [spent], "s"))
        rows.append(
            row(
                work,
                "exactextract_fastest",
                f"seconds_with_coverage_{dates}_extrapolated",
                [fastest * dates],
                "s",
            )
        )
        rows.append(row(work, "cropcheck", f"times_faster_{dates}", [fastest * dates / spent], "1"))
    return rows


def _unit(folder: Path, assets: list[dict[str, Any]]) -> Unit:
    (tile,) = (folder / "out" / "tiles").glob("*.parquet")
    return Unit(
        acquisition(assets), "35VLF", tile, folder / "out" / "coverage", folder / "part.parquet", OPTIONS
    )


def _again(unit: Unit) -> None:
    unit.part.unlink(missing_ok=True)
    outcome = run_unit(unit)
    assert outcome.reason is None, outcome


def _decode(unit: Unit) -> None:
    """Every block that a parcel touches, of all bands and the classification."""

    def one(item: dict[str, Any]) -> np.ndarray:
        layout = layout_of(item["href"])
        assert layout is not None
        coverage = tile_coverage(unit.parcels, layout.grid, unit.cache)
        return read_window(item["href"], touched=coverage.touched(layout.block))

    with ThreadPoolExecutor(unit.options.threads) as pool:
        list(pool.map(one, unit.row["assets"]))


def _exactextract_rows(
    work: str,
    assets: list[dict[str, Any]],
    parcels: gpd.GeoDataFrame,
    observations: pl.DataFrame,
    quick: bool,
) -> list[Row]:
    from exactextract import exact_extract

    bands = [item for item in assets if item["band"] != "scl"]
    rows, found = [], {}
    for name, strategy in (
        ("exactextract", "feature-sequential"),
        ("exactextract_raster_sequential", "raster-sequential"),
    ):
        if name == "exactextract" and not quick and os.environ.get("SKIP_SLOW_PEERS"):
            continue
        seconds = []
        for _ in range(1):
            start = time.perf_counter()
            found = exact_extract(
                [item["href"] for item in bands], parcels, list(PEER.values()),
                include_cols=["parcel_id"], strategy=strategy, output="pandas",
            )  # fmt: skip
            seconds.append(time.perf_counter() - start)
        rows.append(row(work, name, "seconds", seconds, "s"))
    rows += _errors(work, bands, found, observations)
    return rows


def _errors(work: str, bands: list[dict[str, Any]], found: Any, observations: pl.DataFrame) -> list[Row]:
    """Largest relative difference to exactextract; the median apart: on integers theirs is another."""
    worst = dict.fromkeys(PEER, 0.0)
    for item in bands:
        mine = observations.filter(pl.col("feature") == item["band"]).rename({"pixel_count": "count"})
        for name, theirs in PEER.items():
            column = next(
                c for c in found.columns if c.startswith(Path(item["href"]).stem) and c.endswith(f"_{theirs}")
            )
            joined = mine.join(
                pl.DataFrame({"parcel_id": found["parcel_id"].to_numpy(), "peer": found[column].to_numpy()}),
                on="parcel_id",
            )
            pair = joined.filter(pl.col("count") > 1e-6).select(pl.col(name).cast(pl.Float64), "peer")
            difference = ((pair[name] - pair["peer"]).abs() / pair["peer"].abs().clip(1e-9)).max()
            worst[name] = max(worst[name], float(difference or 0))
    exact = max(worst[name] for name in ("mean", "min", "max", "count"))
    return [
        row(work, "cropcheck", "max_relative_error", [exact], "1"),
        row(work, "cropcheck", "max_relative_error_std", [worst["std"]], "1"),
        row(work, "cropcheck", "max_relative_difference_median_on_integers", [worst["median"]], "1"),
    ]


def _rasterstats_rows(work: str, assets: list[dict[str, Any]], parcels: gpd.GeoDataFrame) -> list[Row]:
    try:
        from rasterstats import zonal_stats
    except ImportError:
        return []
    few = parcels.iloc[:: max(len(parcels) // 50, 1)]
    start = time.perf_counter()
    zonal_stats(
        few.geometry, assets[1]["href"], stats=["mean", "std", "min", "max", "median", "count"], nodata=0
    )
    spent = (time.perf_counter() - start) * len(parcels) / len(few) * (len(assets) - 1)
    return [row(work, "rasterstats", "seconds_extrapolated_from_50_parcels_of_one_band", [spent], "s")]


def in_memory(folder: Path, quick: bool) -> list[Row]:
    """Statistics alone: ten bands as float32 arrays, coverage at hand, one thread and two."""
    del folder
    from exactextract import exact_extract
    from exactextract.raster import NumPyRasterSource

    work, side, count = "in_memory", (1000 if quick else 2500), (800 if quick else 5000)
    rng = np.random.default_rng(2)
    across = side // 35
    fields = np.add.outer(np.arange(side) * across // side * across, np.arange(side) * across // side)
    blocks = [texture(rng, side, fields) for _ in range(10)]
    parcels = parcel_grid(side, count)
    parcels = parcels.set_geometry(parcels.buffer(-10))
    grid = GeoBox((side, side), Affine(10, 0, LEFT, 0, -10, TOP), "EPSG:32635")
    coverage = coverage_of(parcels.geometry, parcels["parcel_id"].to_numpy(), grid)

    def ours(pool: ThreadPoolExecutor | None) -> None:
        def one(block: np.ndarray) -> None:
            summarise(block, coverage, coverage.weights, STATISTICS, 0)

        list(map(one, blocks) if pool is None else pool.map(one, blocks))

    ours(None)
    one = timed(lambda: ours(None), 5)
    with ThreadPoolExecutor(2) as pool:
        two = timed(lambda: ours(pool), 5)
    wkt, bounds = parcels.crs.to_wkt(), grid.boundingbox
    sources = [
        NumPyRasterSource(block, *bounds, nodata=0, name=f"b{k}", srs_wkt=wkt)
        for k, block in enumerate(blocks)
    ]
    peer = timed(
        lambda: exact_extract(sources, parcels, list(PEER.values()), output="pandas"), 1 if quick else 2
    )
    per = 1e6 / (count * len(blocks))
    rows = [
        row(work, name, "microseconds_per_parcel_and_band", [t * per for t in found], "us")
        for name, found in (("cropcheck_1_thread", one), ("cropcheck_2_threads", two), ("exactextract", peer))
    ]
    rows.append(
        row(
            work,
            "cropcheck_1_thread",
            "times_faster_than_exactextract",
            [np.median(peer) / np.median(one)],
            "1",
        )
    )
    rows.append(
        row(
            work,
            "cropcheck_2_threads",
            "times_faster_than_exactextract",
            [np.median(peer) / np.median(two)],
            "1",
        )
    )
    exact = _float_error(blocks[0], coverage, parcels, grid)
    return [*rows, row(work, "cropcheck", "max_relative_error_float_with_median", [exact], "1")]


def _float_error(block: np.ndarray, coverage: Any, parcels: gpd.GeoDataFrame, grid: GeoBox) -> float:
    """Over parcels of a float raster without two pixels of one value, where both define the median alike."""
    from exactextract import exact_extract
    from exactextract.raster import NumPyRasterSource

    from features.zonal import gathered, zonal

    jitter = block.astype(np.float32) + np.random.default_rng(3).random(block.shape, np.float32)
    source = NumPyRasterSource(jitter, *grid.boundingbox, srs_wkt=parcels.crs.to_wkt())
    found = exact_extract(source, parcels, [PEER[name] for name in STATISTICS], output="pandas")
    values, _ = zonal(jitter, coverage, STATISTICS)
    peer = found[[PEER[name] for name in STATISTICS]].to_numpy(float)
    line, at = gathered(jitter, coverage), coverage.offsets
    distinct = [len(np.unique(line[a:b])) == b - a for a, b in itertools.pairwise(at)]
    return float(np.nanmax(np.abs(values / peer - 1)[np.array(distinct)]))


def full_tile(folder: Path, quick: bool) -> list[Row]:
    """A whole Sentinel-2 tile, date after date: time, peak memory, and how much it grows."""
    work, side, count, dates = (
        "full_tile",
        (2745 if quick else 10_980),
        (2500 if quick else 40_000),
        (4 if quick else 20),
    )
    if not quick:
        dates = int(os.environ.get("FULL_TILE_DATES", str(dates)))
    assets = make_case(folder / "imagery", side, one_file=True)
    start = time.perf_counter()
    rows_of = [acquisition(assets, day) for day in range(dates)]
    peaks, spent = [], []

    def progress(done: int, total: int) -> None:
        del done, total
        peaks.append(peak_gib())
        spent.append(time.perf_counter() - start)

    extract(
        pl.DataFrame(rows_of, schema=ACQUISITIONS),
        parcel_grid(side, count),
        OPTIONS,
        folder / "out",
        progress=progress,
    )
    each = np.diff(spent)
    return [
        row(work, "cropcheck", "seconds_per_date", each.tolist(), "s"),
        row(work, "cropcheck", "seconds_first_date_with_coverage", spent[:1], "s"),
        row(work, "cropcheck", "peak_gib", peaks[-1:], "GiB"),
        row(
            work,
            "cropcheck",
            "peak_growth_after_second_date",
            [peaks[-1] / peaks[min(1, dates - 1)] - 1],
            "1",
        ),
        row(work, "cropcheck", "parcels_per_second", (count / each).tolist(), "1/s"),
    ]


def million_parcels(folder: Path, quick: bool) -> list[Row]:
    """Many parcels over one date, tile by tile, out of a partitioned file; with coverage, nothing cached."""
    from features.partitions import extract_partitioned, write_partitions

    work = "million_parcels"
    total = int(os.environ.get("MILLION_PARCELS", "4000" if quick else "1000000"))
    side, per_tile = (1000, 1000) if quick else (10_980, 100_000)
    tiles = max(total // per_tile, 1)
    assets = make_case(folder / "imagery", side, bands=("B04", "B08"), one_file=True)
    # the same pixels under shifted coordinates: tiles side by side
    rows_of = [acquisition(_shifted(folder, assets, k, side), 0, f"35V{k:02d}") for k in range(tiles)]
    one = parcel_grid(side, per_tile)

    def chunks() -> Any:
        for k in range(tiles):
            part = one.copy()
            part["parcel_id"] = [f"{k:02d}-{name}" for name in one["parcel_id"]]
            yield part.set_geometry(one.translate(xoff=k * side * 10.0))

    write_partitions(chunks(), folder / "parcels")
    options = OPTIONS.model_copy(update={"optical": ("B04", "B08", "ndvi")})
    start = time.perf_counter()
    account = extract_partitioned(
        pl.DataFrame(rows_of, schema=ACQUISITIONS), folder / "parcels", options, folder / "out"
    )
    spent = time.perf_counter() - start
    assert account.went_out == tiles, account
    return [
        row(work, "cropcheck", "parcels", [tiles * per_tile], "1"),
        row(work, "cropcheck", "seconds_with_coverage", [spent], "s"),
        row(work, "cropcheck", "parcels_per_second", [tiles * per_tile / spent], "1/s"),
        row(work, "cropcheck", "peak_gib", [peak_gib()], "GiB"),
    ]


def _shifted(folder: Path, assets: list[dict[str, Any]], k: int, side: int) -> list[dict[str, Any]]:
    """Copies of the files whose corner lies k tiles further east: only 48 bytes of the header differ."""
    found = []
    for item in assets:
        path = folder / "imagery" / f"{k:02d}" / Path(item["href"]).name
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(item["href"], path)
        with rasterio.open(path, "r+") as raster:
            raster.transform = Affine.translation(k * side * 10.0, 0) @ raster.transform
        found.append(item | {"href": str(path)})
    return found


def dask_2_workers(folder: Path, quick: bool) -> list[Row]:
    """The same units on a local Dask cluster of two workers and serially; the tables must be identical."""
    from distributed import LocalCluster

    from pipelines.executor import executor_for

    work, side, count, dates = "dask_2_workers", 1000, 800, (4 if quick else 12)
    assets = make_case(folder / "imagery", side)
    options = OPTIONS.model_copy(update={"threads": 1})
    table = pl.DataFrame([acquisition(assets, day) for day in range(dates)], schema=ACQUISITIONS)
    parcels = parcel_grid(side, count)
    extract(table.head(1), parcels, options, folder / "warm")
    serial = timed(lambda: extract(table, parcels, options, folder / "serial"), 1)
    with LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        executor = executor_for(dask=cluster.scheduler_address)
        list(executor(grid_of, [assets[1]["href"]] * 4))  # workers import what they need
        spread = timed(lambda: extract(table, parcels, options, folder / "dask", executor=executor), 1)
    same = read_observations(folder / "serial").equals(read_observations(folder / "dask"))
    return [
        row(work, "cropcheck_serial", "seconds", serial, "s"),
        row(work, "cropcheck", "seconds", spread, "s"),
        row(work, "cropcheck", "tables_identical", [float(same)], "1"),
    ]


WORKS = {f.__name__: f for f in (cog_10_bands, in_memory, full_tile, million_parcels, dask_2_workers)}


def machine() -> dict[str, str]:
    """What the figures depend on."""
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "",
    )
    names = ("exactextract", "numba", "numpy", "imagecodecs", "rasterio", "polars", "rasterstats")
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except ImportError:
            versions[name] = "absent"
    return {"cpu": cpu, "processors": str(os.cpu_count()), "python": platform.python_version(), **versions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small inputs, fewer repeats")
    parser.add_argument("--work", nargs="*", choices=WORKS, default=list(WORKS))
    parser.add_argument("--json", type=Path, help="write the rows here")
    chosen = parser.parse_args()
    rows: list[Row] = []
    for name in chosen.work:
        with tempfile.TemporaryDirectory() as folder:
            found = WORKS[name](Path(folder), chosen.quick)
        rows += found
        for entry in sorted(found, key=lambda entry: "error" not in entry["metric"]):
            label = f"{entry['work']:16} {entry['subject']:32} {entry['metric']:48}"
            print(
                f"{label} {entry['value']:12.4g} {entry['unit']:4} n={entry['n']}",
                flush=True,
            )
    if chosen.json:
        chosen.json.write_text(
            json.dumps({"machine": machine(), "quick": chosen.quick, "rows": rows}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
