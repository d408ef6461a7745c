"""The peers of the zonal benchmark, and how far they and we agree."""

import itertools
import time
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import polars as pl
from odc.geo.geobox import GeoBox

from features.zonal.coverage import Coverage
from features.zonal.engine import gathered, zonal

PEER = {"mean": "mean", "std": "stdev", "min": "min", "max": "max", "median": "median", "count": "count"}


def exactextract_files(assets: list[dict[str, Any]], parcels: gpd.GeoDataFrame, strategy: str) -> Any:
    """exactextract on all bands' files at once; a data frame with a column per band and statistic."""
    from exactextract import exact_extract

    paths = [item["href"] for item in assets if item["band"] != "scl"]
    return exact_extract(
        paths, parcels, list(PEER.values()), include_cols=["parcel_id"], strategy=strategy, output="pandas"
    )


def exactextract_arrays(blocks: list[np.ndarray], parcels: gpd.GeoDataFrame, grid: GeoBox) -> Any:
    """exactextract on all bands at once, as arrays."""
    from exactextract import exact_extract
    from exactextract.raster import NumPyRasterSource

    wkt, bounds = parcels.crs.to_wkt(), grid.boundingbox
    sources = [
        NumPyRasterSource(block, *bounds, nodata=0, name=f"b{k}", srs_wkt=wkt)
        for k, block in enumerate(blocks)
    ]
    return exact_extract(sources, parcels, list(PEER.values()), output="pandas")


def rasterstats_seconds(assets: list[dict[str, Any]], parcels: gpd.GeoDataFrame) -> float | None:
    """Seconds of rasterstats for all, from 50 parcels of one band; None where it is not installed."""
    try:
        from rasterstats import zonal_stats
    except ImportError:
        return None
    few = parcels.iloc[:: max(len(parcels) // 50, 1)]
    start = time.perf_counter()
    names = ["mean", "std", "min", "max", "median", "count"]
    zonal_stats(few.geometry, assets[1]["href"], stats=names, nodata=0)
    return (time.perf_counter() - start) * len(parcels) / len(few) * (len(assets) - 1)


def largest_errors(assets: list[dict[str, Any]], found: Any, observations: pl.DataFrame) -> dict[str, float]:
    """Largest relative difference to exactextract, by statistic."""
    worst = dict.fromkeys(PEER, 0.0)
    for item in (item for item in assets if item["band"] != "scl"):
        mine = observations.filter(pl.col("feature") == item["band"]).rename({"pixel_count": "count"})
        for name, theirs in PEER.items():
            column = next(
                c for c in found.columns if c.startswith(Path(item["href"]).stem) and c.endswith(f"_{theirs}")
            )
            scale = 1.0 if name == "count" else item["scale"]
            peer = pl.DataFrame(
                {"parcel_id": found["parcel_id"].to_numpy(), "peer": found[column].to_numpy() * scale}
            )
            joined = mine.join(peer, on="parcel_id").filter(pl.col("count") > 1e-6)
            pair = joined.select(pl.col(name).cast(pl.Float64), "peer")
            difference = ((pair[name] - pair["peer"]).abs() / pair["peer"].abs().clip(1e-9)).max()
            worst[name] = max(worst[name], float(difference or 0))
    return worst


def float_error(
    block: np.ndarray,
    coverage: Coverage,
    parcels: gpd.GeoDataFrame,
    grid: GeoBox,
    statistics: tuple[str, ...],
) -> float:
    """Over parcels of a float raster without two pixels of one value, where both define the median alike."""
    from exactextract import exact_extract
    from exactextract.raster import NumPyRasterSource

    jitter = block.astype(np.float32) + np.random.default_rng(3).random(block.shape, np.float32)
    source = NumPyRasterSource(jitter, *grid.boundingbox, srs_wkt=parcels.crs.to_wkt())
    found = exact_extract(source, parcels, [PEER[name] for name in statistics], output="pandas")
    values, _ = zonal(jitter, coverage, statistics)
    peer = found[[PEER[name] for name in statistics]].to_numpy(float)
    line, at = gathered(jitter, coverage), coverage.offsets
    distinct = [len(np.unique(line[a:b])) == b - a for a, b in itertools.pairwise(at)]
    return float(np.nanmax(np.abs(values / peer - 1)[np.array(distinct)]))
