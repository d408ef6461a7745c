"""Zonal statistics beside the peers, on the same files: `python -m tests.benchmarks.zonal [--quick]`.

The case: 10 uint16 bands as DEFLATE-compressed tiled GeoTIFFs of 2,500 x 2,500 pixels with a field pattern,
cloudy pixels set to nodata (so that the peers mask them as we do) and a scene classification that says the
same; 5,000 parcels shrunk by 10 m; mean, standard deviation, minimum, maximum, median and count. The peers
read the same files with their own readers. Subjects take turns, round after round; value is the median of n
rounds, low and high their extremes. `decode_only` is our decoder with our threads on the same blocks and
nothing else. Dates are hard links of one. `--keep DIR` keeps the files that were made. FASTEST_PEER_ONLY=1
leaves the slower peers out, FULL_TILE_DATES=N takes other than 20 dates.
"""

import argparse
import json
import logging
import os
import platform
import resource
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from affine import Affine
from odc.geo.geobox import GeoBox

from features.extraction.extract import extract
from features.extraction.observations import read_observations
from features.extraction.options import ExtractOptions
from features.extraction.partitions import extract_partitioned, write_partitions
from features.extraction.units import Unit, forget_tiles, run_unit, tile_coverage
from features.imagery.grids import grid_of
from features.imagery.masks import MaskOptions
from features.imagery.rasters.header import layout_of
from features.imagery.windows import read_window
from features.schema import ACQUISITIONS, OPTICAL_BANDS
from features.zonal.coverage import coverage_of
from features.zonal.engine import summarise_bands
from tests.benchmarks.data.zonal_data import LEFT, TOP, acquisition, linked, make_case, parcel_grid, texture
from tests.benchmarks.peers.zonal_peers import (
    exactextract_arrays,
    exactextract_files,
    float_error,
    largest_errors,
    rasterstats_seconds,
)

STATISTICS = ("mean", "std", "min", "max", "median")
OPTIONS = ExtractOptions(
    optical=OPTICAL_BANDS,
    radar=(),
    statistics=STATISTICS,
    inner_buffer_m=10.0,
    mask=MaskOptions(dilation_m=0.0),
)
Row = dict[str, Any]


def row(work: str, subject: str, metric: str, values: Sequence[float], unit: str) -> Row:
    found = [float(value) for value in values]
    return {
        "work": work, "subject": subject, "metric": metric, "value": float(np.median(found)),
        "low": min(found), "high": max(found), "n": len(found), "unit": unit,
    }  # fmt: skip


def seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, and those of processors that the threads took together."""

    clock: np.ndarray
    cpu: np.ndarray


def rounds(subjects: dict[str, Callable[[], Any]], times: int) -> dict[str, Took]:
    """What every subject took, in turns, so that whatever else the machine does meets them alike."""
    found = np.empty((2, len(subjects), times))
    for turn in range(times):
        for at, function in enumerate(subjects.values()):
            start = time.process_time()
            found[0, at, turn] = seconds(function)
            found[1, at, turn] = time.process_time() - start
    return {name: Took(*found[:, at]) for at, name in enumerate(subjects)}


def peak_gib() -> float:
    """Largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def size_of(quick: bool) -> tuple[int, int]:
    return (1000, 800) if quick else (2500, 5000)


def cog_10_bands(folder: Path, quick: bool) -> list[Row]:
    """Ten bands of one date, from files to a written part, coverage cached."""
    work, (side, count) = "cog_10_bands", size_of(quick)
    assets = make_case(folder / "imagery", side)
    parcels = parcel_grid(side, count)
    shrunk = parcels.set_geometry(parcels.buffer(-10))
    one = pl.DataFrame([acquisition(assets)], schema=ACQUISITIONS)
    extract(one, parcels, OPTIONS, folder / "out")  # compiles, caches
    observations, unit = read_observations(folder / "out"), _unit(folder, assets)
    fastest = "exactextract_raster_sequential"
    took = rounds(
        {
            "cropcheck": lambda: _again(unit),
            "decode_only": lambda: _decode(unit),
            fastest: lambda: exactextract_files(assets, shrunk, "raster-sequential"),
        },
        3 if quick else 5,
    )
    rows = [row(work, name, "seconds", found.clock, "s") for name, found in took.items()]
    rows += [row(work, name, "cpu_seconds", found.cpu, "s") for name, found in took.items()]
    if not os.environ.get("FASTEST_PEER_ONLY"):
        default = seconds(lambda: exactextract_files(assets, shrunk, "feature-sequential"))
        rows.append(row(work, "exactextract", "seconds", [default], "s"))
        slow = rasterstats_seconds(assets, shrunk)
        metric = "seconds_extrapolated_from_50_parcels_of_one_band"
        rows += [] if slow is None else [row(work, "rasterstats", metric, [slow], "s")]
    ours, decoding = took["cropcheck"], took["decode_only"]
    rows += [
        row(work, "cropcheck", "times_faster_than_exactextract", took[fastest].clock / ours.clock, "1"),
        row(work, "cropcheck", "over_decode_only", ours.clock / decoding.clock, "1"),
        row(work, "cropcheck", "over_decode_only_in_cpu_seconds", ours.cpu / decoding.cpu, "1"),
    ]
    worst = largest_errors(assets, exactextract_files(assets, shrunk, "raster-sequential"), observations)
    exact = max(worst[name] for name in ("mean", "min", "max", "count"))
    return [
        *rows,
        row(work, "cropcheck", "max_relative_error", [exact], "1"),
        row(work, "cropcheck", "max_relative_error_std", [worst["std"]], "1"),
        row(work, "cropcheck", "max_relative_difference_median_on_integers", [worst["median"]], "1"),
    ]


def cog_many_dates(folder: Path, quick: bool) -> list[Row]:
    """1, 20 and 60 dates, coverage included: all measured for us; the peer, who pays every date alike, on
    some dates of the 60, of which the median counts for each."""
    work, (side, count) = "cog_10_bands", size_of(quick)
    assets = make_case(folder / "imagery", side)
    parcels = parcel_grid(side, count)
    shrunk = parcels.set_geometry(parcels.buffer(-10))
    dates = [linked(assets, folder / "dates" / f"{day:02d}") for day in range(60)]
    table = pl.DataFrame([acquisition(own, day) for day, own in enumerate(dates)], schema=ACQUISITIONS)
    extract(table.head(1), parcels, OPTIONS, folder / "warm")  # compiles

    def ours(number: int) -> float:
        shutil.rmtree(folder / "out", ignore_errors=True)
        forget_tiles()
        return seconds(lambda: extract(table.head(number), parcels, OPTIONS, folder / "out"))

    peer, found = [], {1: [], 20: [], 60: []}
    for number, own in zip((1, 20, 60), dates[::20], strict=True):
        found[number].append(ours(number))
        peer.append(seconds(lambda own=own: exactextract_files(own, shrunk, "raster-sequential")))
        print(f"  {number} dates in {found[number][-1]:.1f} s; the peer, one in {peer[-1]:.1f} s", flush=True)
    each = float(np.median(peer))
    rows = [row(work, "exactextract_raster_sequential", "seconds_per_date_of_60", peer, "s")]
    for number, spent in found.items():
        rows.append(row(work, "cropcheck", f"seconds_with_coverage_{number}", spent, "s"))
        times = number * each / np.array(spent)
        rows.append(row(work, "cropcheck", f"times_faster_with_coverage_{number}", times, "1"))
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

    def one(item: dict[str, Any]) -> None:
        layout = layout_of(item["href"])
        assert layout is not None
        coverage = tile_coverage(unit.parcels, grid_of(item["href"]), unit.cache)
        read_window(item["href"], touched=coverage.touched(layout.block))

    with ThreadPoolExecutor(unit.options.threads) as pool:
        list(pool.map(one, unit.row["assets"]))


def in_memory(folder: Path, quick: bool) -> list[Row]:
    """Statistics alone: ten bands as uint16 arrays, coverage at hand, one thread and two."""
    del folder
    work, (side, count) = "in_memory", size_of(quick)
    rng = np.random.default_rng(2)
    across = side // 35
    fields = np.add.outer(np.arange(side) * across // side * across, np.arange(side) * across // side)
    blocks = [texture(rng, side, fields) for _ in range(10)]
    parcels = parcel_grid(side, count)
    parcels = parcels.set_geometry(parcels.buffer(-10))
    grid = GeoBox((side, side), Affine(10, 0, LEFT, 0, -10, TOP), "EPSG:32635")
    coverage = coverage_of(parcels.geometry, parcels["parcel_id"].to_numpy(), grid)
    ours = {
        f"cropcheck_{threads}_thread{'s' * (threads > 1)}": lambda threads=threads: summarise_bands(
            blocks, coverage, coverage.weights, STATISTICS, 0, threads
        )
        for threads in (1, 2)
    }
    rounds(ours, 2)  # compiles
    took = rounds(
        ours | {"exactextract": lambda: exactextract_arrays(blocks, parcels, grid)}, 3 if quick else 5
    )
    per = 1e6 / (count * len(blocks))
    metric = "microseconds_per_parcel_and_band"
    rows = [row(work, name, metric, found.clock * per, "us") for name, found in took.items()]
    rows += [row(work, name, f"cpu_{metric}", found.cpu * per, "us") for name, found in took.items()]
    metric, peer = "times_faster_than_exactextract", took["exactextract"]
    rows += [row(work, name, metric, peer.clock / took[name].clock, "1") for name in ours]
    rows += [row(work, name, f"{metric}_in_cpu_seconds", peer.cpu / took[name].cpu, "1") for name in ours]
    exact = float_error(blocks[0], coverage, parcels, grid, STATISTICS)
    return [*rows, row(work, "cropcheck", "max_relative_error_float_with_median", [exact], "1")]


def full_tile(folder: Path, quick: bool) -> list[Row]:
    """A whole Sentinel-2 tile, date after date: time, peak memory, and how much it grows."""
    work, side, count, dates = "full_tile", *((2745, 2500, 4) if quick else (10_980, 40_000, 20))
    dates = int(os.environ.get("FULL_TILE_DATES", dates))
    assets = make_case(folder / "imagery", side, one_file=True)
    table = pl.DataFrame([acquisition(assets, day) for day in range(dates)], schema=ACQUISITIONS)
    parcels, before = parcel_grid(side, count), peak_gib()
    start = time.perf_counter()
    peaks, spent = [], []

    def progress(done: int, total: int) -> None:
        peaks.append(peak_gib())
        spent.append(time.perf_counter() - start)
        print(f"  date {done}/{total} at {spent[-1]:.0f} s, peak {peaks[-1]:.3f} GiB", flush=True)

    extract(table, parcels, OPTIONS, folder / f"out-{time.time_ns()}", progress=progress)
    each = np.diff(spent)
    growth = [peaks[-1] / peaks[0] - 1]
    return [
        row(work, "cropcheck", "seconds_per_date", each, "s"),
        row(work, "cropcheck", "seconds_first_date_with_coverage", spent[:1], "s"),
        row(work, "cropcheck", "peak_gib", peaks[-1:], "GiB"),
        row(work, "cropcheck", "peak_gib_before", [before], "GiB"),
        row(work, "cropcheck", "peak_growth_after_first_date", growth, "1"),
        row(work, "cropcheck", "parcels_per_second", count / each, "1/s"),
    ]


def million_parcels(folder: Path, quick: bool) -> list[Row]:
    """Many parcels over one date, tile by tile, out of a partitioned file; with coverage, nothing cached.

    Tiles lie side by side; two bands and an index of them.
    """
    work, side, per_tile, tiles = "million_parcels", *((1000, 1000, 4) if quick else (10_980, 200_000, 5))
    assets = [
        make_case(
            folder / "imagery" / f"{k}", side, ("B04", "B08"), one_file=True, left=LEFT + k * side * 10.0
        )
        for k in range(tiles)
    ]
    rows_of = [acquisition(own, 0, f"35V{k:02d}") for k, own in enumerate(assets)]
    if not (folder / "parcels").exists():
        _write_million(folder / "parcels", side, per_tile, tiles)
    options = OPTIONS.model_copy(update={"optical": ("B04", "B08", "ndvi")})
    out, spent, start = folder / f"out-{time.time_ns()}", [0.0], time.perf_counter()

    def progress(done: int, total: int) -> None:
        del total
        if done == 1:  # of a tile
            spent.append(time.perf_counter() - start)
            print(f"  tile {len(spent) - 1}/{tiles} at {spent[-1]:.0f} s, {peak_gib():.3f} GiB", flush=True)

    table = pl.DataFrame(rows_of, schema=ACQUISITIONS)
    account = extract_partitioned(table, folder / "parcels", options, out, progress)
    assert account.went_out == tiles, account
    seen = read_observations(out, ["ndvi"])
    assert seen.height == tiles * per_tile, seen.height
    each = np.diff(spent)
    return [
        row(work, "cropcheck", "parcels", [tiles * per_tile], "1"),
        row(work, "cropcheck", "seconds_per_tile_with_coverage", each, "s"),
        row(work, "cropcheck", "parcels_per_second", per_tile / each, "1/s"),
        row(work, "cropcheck", "peak_gib", [peak_gib()], "GiB"),
    ]


def _write_million(target: Path, side: int, per_tile: int, tiles: int) -> None:
    one = parcel_grid(side, per_tile)

    def chunks() -> Any:
        for k in range(tiles):
            part = one.copy()
            part["parcel_id"] = [f"{k:02d}-{name}" for name in one["parcel_id"]]
            yield part.set_geometry(one.translate(xoff=k * side * 10.0))

    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    write_partitions(chunks(), partial)
    partial.rename(target)


def dask_2_workers(folder: Path, quick: bool) -> list[Row]:
    """The same units serially, on a local Dask cluster of two workers, and there with one of them killed in
    the middle; the tables must be identical."""
    from distributed import LocalCluster

    from pipelines.executor import executor_for

    work, side, count, dates = "dask_2_workers", 1000, 800, (4 if quick else 24)
    assets = make_case(folder / "imagery", side)
    options = OPTIONS.model_copy(update={"threads": 1})
    table = pl.DataFrame([acquisition(assets, day) for day in range(dates)], schema=ACQUISITIONS)
    parcels = parcel_grid(side, count)
    extract(table.head(1), parcels, options, folder / "warm")
    took, tables = {"serial": seconds(lambda: extract(table, parcels, options, folder / "serial"))}, {}
    logging.getLogger("distributed").setLevel(logging.ERROR)  # a worker is killed on purpose
    with LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        executor = executor_for(dask=cluster.scheduler_address)
        list(executor(grid_of, [assets[1]["href"]] * 4))  # workers import what they need
        for name in ("spread", "killed"):
            if name == "killed":
                victim = next(iter(cluster.workers.values())).process.process.pid
                threading.Thread(target=_kill_after, args=(folder / name, dates // 3, victim)).start()
            out = folder / name
            took[name] = seconds(lambda out=out: extract(table, parcels, options, out, executor=executor))
    for name in took:
        tables[name] = read_observations(folder / name)
    rows = [row(work, f"cropcheck_{name}", "seconds", [spent], "s") for name, spent in took.items()]
    for name in ("spread", "killed"):
        same = float(tables["serial"].equals(tables[name]))
        rows.append(row(work, f"cropcheck_{name}", "tables_identical", [same], "1"))
    return rows


def _kill_after(out: Path, parts: int, victim: int) -> None:
    """Kill a process as soon as so many parts are written."""
    while len(list(out.glob("parts/*/*.parquet"))) < parts:
        time.sleep(0.002)
    os.kill(victim, signal.SIGKILL)


WORKS = {
    f.__name__: f
    for f in (cog_10_bands, cog_many_dates, in_memory, full_tile, million_parcels, dask_2_workers)
}


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
    parser.add_argument("--keep", type=Path, help="make files and results here, and keep them")
    chosen = parser.parse_args()
    rows: list[Row] = []
    for name in chosen.work:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) if chosen.keep is None else chosen.keep / name
            found = WORKS[name](folder, chosen.quick)
        rows += found
        for entry in sorted(found, key=lambda entry: "error" not in entry["metric"]):
            label = f"{entry['work']:16} {entry['subject']:32} {entry['metric']:48}"
            print(
                f"{label} {entry['value']:12.4g} {entry['unit']:4} n={entry['n']}",
                flush=True,
            )
        if chosen.json:
            stored = {"machine": machine(), "quick": chosen.quick, "rows": rows}
            chosen.json.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
