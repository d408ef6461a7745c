"""A made-up run: valid tables with realistic shapes, for tests and pictures of the pages."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import polars as pl
import rasterio
import shapely
import xarray as xr
from affine import Affine

from features.schema import (
    ACQUISITIONS,
    CONTRIBUTIONS,
    IMPORTANCE,
    PARCELS,
    VERDICTS,
    check_table,
    make_series,
)
from reports.run import RunTables

CLASSES = {
    "winter_wheat": ("Winter wheat", 135, 50, 0.85),
    "winter_barley": ("Winter barley", 125, 45, 0.83),
    "winter_rye": ("Winter rye", 130, 50, 0.80),
    "maize": ("Maize", 215, 45, 0.86),
    "potatoes": ("Potatoes", 195, 40, 0.84),
    "sugar_beet": ("Sugar beet", 215, 60, 0.88),
    "winter_rapeseed": ("Winter rapeseed", 120, 55, 0.84),
    "peas": ("Field peas", 165, 30, 0.80),
    "grassland_mown": ("Grassland, mown", 180, 110, 0.80),
    "grassland_grazed": ("Grassland, grazed", 180, 120, 0.70),
    "fallow": ("Fallow", 190, 110, 0.55),
    "flower_strip": ("Flower strip", 195, 70, 0.62),
}
SHARES = np.array([20, 10, 4, 22, 8, 7, 8, 3, 9, 6, 2, 1.0]) / 100
FEATURES = ("ndvi", "B04", "B08", "B11", "psri", "s0vv_db_r037", "s0vh_db_r037", "cohvh_r037", "s0vh_db_r110")
MODELS = ("lightgbm", "dense", "lstm", "ensemble")


def make_run(n: int = 300, seed: int = 1, light: bool = False, **changes: Any) -> RunTables:
    """Return a valid made-up run of `n` parcels; another seed gives another. A light one has no series."""
    rng = np.random.default_rng(seed)
    names = list(CLASSES)
    declared = rng.choice(len(names), n, p=SHARES)
    grown = np.where(rng.random(n) < 0.03, rng.choice(len(names), n), declared)
    ids = [f"{i + 1:06d}" for i in range(n)]
    geometry, area = _fields(n, rng)
    probability = _probabilities(grown, len(names), rng)
    tables = {
        "name": "made-up",
        "season": 2025,
        "declarations": _declarations(ids, declared, geometry, area, rng),
        "verdicts": _verdicts(ids, declared, probability, area, rng),
        "parcels": _parcels(ids, area, rng),
        "acquisitions": acquisitions(),
        "dates": _dates(n, rng),
        **({} if light else _series(ids, grown, rng)),
        "probabilities": _stacked(ids, probability, rng),
        "importance": _importance(rng),
        "evaluation": _evaluation(rng),
        "metrics": _metrics(rng),
        "rules": {"false_alarm_rate": 0.05, "min_full_pixels": 8, "max_buffer_loss": 0.6, "set_level": 0.9},
        "lineage": _lineage(seed, n),
        "crop_names": {f"{k + 1:03d}": CLASSES[name][0] for k, name in enumerate(names)},
        "class_names": {name: CLASSES[name][0] for name in names},
    }
    tables["contributions"] = _contributions(tables["verdicts"], rng)
    return RunTables(**{**tables, **changes})


def _fields(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return quadrilateral fields on a jittered grid (EPSG:32631) and their hectares."""
    side = int(np.ceil(np.sqrt(n)))
    step = 160.0
    widths = np.exp(rng.normal(0, 0.25, side + 1)) * step
    x, y = np.cumsum(widths), np.cumsum(np.exp(rng.normal(0, 0.25, side + 1)) * step)
    jitter = rng.normal(0, 14, (2, side + 1, side + 1))
    px, py = 500_000 + x[None, :] + jitter[0], 5_650_000 + y[:, None] + jitter[1]
    cells = [(r, c) for r in range(side) for c in range(side)][:n]
    rings = [
        [(px[a, b], py[a, b]) for a, b in ((r, c), (r, c + 1), (r + 1, c + 1), (r + 1, c))] for r, c in cells
    ]
    polygons = np.array(
        [shapely.Polygon(ring).buffer(-4, join_style="mitre") for ring in rings], dtype=object
    )
    return polygons, shapely.area(polygons) / 1e4


def _probabilities(grown: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    logits = rng.normal(0, 1.0, (len(grown), k))
    logits[np.arange(len(grown)), grown] += rng.gamma(4.5, 1.1, len(grown))
    near = {0: (1, 2), 1: (0, 2), 2: (0, 1), 8: (9,), 9: (8, 10), 10: (9, 11)}
    for source, others in near.items():
        for other in others:
            logits[grown == source, other] += 1.5
    exp = np.exp(logits)
    return exp / exp.sum(1, keepdims=True)


def _declarations(
    ids: list[str], declared: np.ndarray, geometry: np.ndarray, area: np.ndarray, rng: np.random.Generator
) -> gpd.GeoDataFrame:
    n = len(ids)
    names = np.array(list(CLASSES))[declared]
    columns = {
        "parcel_id": ids,
        "holding_id": [f"h{h:05d}-holding-canary" for h in rng.integers(0, max(1, n // 8), n)],
        "season": 2025,
        "declared": [f"{k + 1:03d}" for k in declared],
        "declared_second": None,
        "hcat_code": [f"33010{k + 10}000" for k in declared],
        "crop_class": names,
        "intervention": rng.choice(["BISS", "Eco-scheme", "AECC grassland"], n, p=[0.7, 0.2, 0.1]),
        "region": rng.choice(["North", "Polders", "South", "East hills"], n),
        "area_ha": area,
        "claimed_area_ha": area,
        "reason": None,
    }
    return gpd.GeoDataFrame(columns, geometry=list(geometry), crs="EPSG:32631")


def _verdicts(
    ids: list[str], declared: np.ndarray, probability: np.ndarray, area: np.ndarray, rng: np.random.Generator
) -> pl.DataFrame:
    n, names = len(ids), list(CLASSES)
    own = probability[np.arange(n), declared]
    order = np.argsort(-probability, axis=1)
    p_value = np.clip(np.argsort(np.argsort(own)) / n + rng.normal(0, 0.004, n), 1 / n, 1)
    small, unseen = rng.random(n) < 0.03, rng.random(n) < 0.01
    doubt = (p_value < 0.04) & (order[:, 0] != declared)
    unsure = ~doubt & (order[:, 0] != declared)
    verdict = np.select(
        [small, unseen, doubt, unsure],
        ["not_monitorable", "no_data", "contradicted", "inconclusive"],
        "confirmed",
    )
    reason = np.select(
        [small, unseen, doubt, unsure],
        ["too_few_pixels", "never_observed", "other_crop", "set_too_wide"],
        "as_declared",
    )
    listed = np.isin(verdict, ["contradicted", "inconclusive"])
    q_value = np.full(n, np.nan)
    ranked = np.flatnonzero(listed)[np.argsort(own[listed], kind="stable")]
    q_value[ranked] = np.cumsum(np.minimum(3 * own[ranked], 1)) / np.arange(1, len(ranked) + 1)
    observed = ~np.isin(verdict, ["not_monitorable", "no_data"])
    rows = {
        "parcel_id": ids,
        "season": 2025,
        "declared": [f"{k + 1:03d}" for k in declared],
        "crop_class": [names[k] for k in declared],
        "predicted": [names[k] if ok else None for k, ok in zip(order[:, 0], observed, strict=True)],
        "probability": np.where(observed, own, np.nan),
        "top3": [
            [{"crop_class": names[k], "probability": float(probability[i, k])} for k in order[i, :3]]
            for i in range(n)
        ],
        "prediction_set": [[names[k] for k in order[i, : 1 + (own[i] < 0.7)]] for i in range(n)],
        "p_value": np.where(observed, p_value, np.nan),
        "q_value": q_value,
        "verdict": verdict,
        "reason": reason,
        "n_observations": np.where(unseen, 3, rng.integers(18, 70, n)),
        "filled_share": np.clip(rng.beta(2, 5, n), 0, 1),
        "sigma": rng.gamma(2, 0.01, n),
        "area_ha": area,
        "fold": rng.integers(0, 5, n),
        "model_id": "5f2d7c0e9a41b3f8",
    }
    nans = ("probability", "p_value", "q_value")
    table = pl.DataFrame(rows, nan_to_null=False).with_columns(pl.col(*nans).fill_nan(None))
    return check_table(table, VERDICTS, "made-up verdicts")


def _parcels(ids: list[str], area: np.ndarray, rng: np.random.Generator) -> pl.DataFrame:
    loss = np.clip(rng.beta(2, 9, len(ids)), 0, 1)
    rows = {
        "parcel_id": ids,
        "tile": "31UFS",
        "area_ha": area,
        "buffered_area_ha": area * (1 - loss),
        "full_pixels": (area * 100 * (1 - loss)).astype(int),
        "buffer_loss": loss,
    }
    return check_table(pl.DataFrame(rows), PARCELS, "made-up parcels")


def acquisitions(hrefs: dict[str, str] | None = None) -> pl.DataFrame:
    """Return a season of acquisitions; `hrefs` gives the file of each optical band, by default none."""
    rows = []
    bands = ("B02", "B03", "B04", "B08", "scl")
    for step in range(0, 240, 10):
        day = datetime(2025, 2, 1, 10, 40) + timedelta(days=step)
        assets = [
            _asset(band, (hrefs or {}).get(band, f"/nowhere/{day:%Y%m%d}_{band}.tif")) for band in bands
        ]
        rows.append(
            (
                f"S2B_31UFS_{day:%Y%m%d}_0_L2A",
                day,
                "s2",
                None,
                None,
                "sentinel-2b",
                "05.11",
                "31UFS",
                32631,
                None,
                assets,
            )
        )
        radar = day + timedelta(days=2, hours=7)
        rows.append(
            (
                f"S1A_IW_{radar:%Y%m%d}_037",
                radar,
                "s1",
                "ascending",
                37,
                "sentinel-1a",
                None,
                "31UFS",
                32631,
                None,
                [],
            )
        )
    return pl.DataFrame(rows, schema=ACQUISITIONS, orient="row")


def _asset(band: str, href: str) -> dict[str, Any]:
    if band == "scl":
        return {"band": band, "href": href, "scale": 1.0, "offset": 0.0, "nodata": 0.0, "unit": "class"}
    return {"band": band, "href": href, "scale": 1e-4, "offset": -0.1, "nodata": 0.0, "unit": "reflectance"}


def write_scenes(folder: Path) -> pl.DataFrame:
    """Write one small scene under the made-up parcels; return acquisitions that all point at it."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "GTiff",
        "width": 400,
        "height": 400,
        "count": 1,
        "crs": "EPSG:32631",
        "nodata": 0,
        "transform": Affine(10, 0, 499_500, 0, -10, 5_653_500),
    }
    hrefs = {}
    for band, level in {"B02": 1400, "B03": 1700, "B04": 1500, "B08": 4500, "scl": 4}.items():
        hrefs[band] = str(folder / f"{band}.tif")
        pixels = np.full((400, 400), level) if band == "scl" else rng.normal(level, 150, (400, 400))
        with rasterio.open(
            hrefs[band], "w", dtype="uint8" if band == "scl" else "uint16", **profile
        ) as raster:
            raster.write(pixels.astype(raster.dtypes[0]), 1)
    return acquisitions(hrefs)


def _dates(n: int, rng: np.random.Generator) -> pl.DataFrame:
    table = acquisitions().select("datetime", "sensor", "relative_orbit")
    share = np.where(table["sensor"] == "s2", rng.beta(0.9, 0.9, len(table)), 1.0)
    return table.with_columns(
        parcels=pl.Series((share > 0.1) * n).cast(pl.Int32), valid_share=pl.Series(share)
    )


def _times() -> np.ndarray:
    days = [date(2025, month, day) for month in range(2, 10) for day in (1, 11, 21)]
    return np.array(days, dtype="datetime64[ns]")


def _series(ids: list[str], grown: np.ndarray, rng: np.random.Generator) -> dict[str, xr.Dataset]:
    times = _times()
    doy = (times - np.datetime64("2025-01-01")).astype("timedelta64[D]").astype(int)
    peak, width, top = (
        np.array([row[k] for row in CLASSES.values()], float)[grown][:, None] for k in (1, 2, 3)
    )
    ndvi = 0.2 + (top - 0.2) * np.exp(-(((doy - peak - rng.normal(0, 6, peak.shape)) / width) ** 2))
    per_feature = [
        ndvi,
        0.14 - 0.12 * ndvi,
        0.1 + 0.35 * ndvi,
        0.3 - 0.15 * ndvi,
        0.2 - 0.25 * ndvi,
        -13 + 3 * ndvi,
        -21 + 7 * ndvi,
        0.62 - 0.45 * ndvi,
        -21.5 + 7 * ndvi,
    ]
    scale = np.array([0.03, 0.01, 0.02, 0.02, 0.03, 0.7, 0.8, 0.06, 0.8])
    value = np.stack(per_feature, -1) + rng.normal(0, 1, (*ndvi.shape, len(FEATURES))) * scale
    optical = rng.random(ndvi.shape) < 0.62
    observed = np.stack(
        [optical if k < 5 else rng.random(ndvi.shape) < 0.97 for k in range(len(FEATURES))], -1
    )
    filled = make_series(ids, times, FEATURES, ("mean",), value[..., None], observed)
    raw = make_series(ids, times, FEATURES, ("mean",), np.where(observed, value, np.nan)[..., None], observed)
    filled["sigma"] = filled["sigma"] + np.where(observed, 0, scale).astype(np.float32)
    return {"series": raw, "filled": filled}


def _stacked(ids: list[str], probability: np.ndarray, rng: np.random.Generator) -> pl.DataFrame:
    blocks = []
    fold = rng.integers(0, 5, len(ids))
    for model, noise in zip(MODELS, (0.5, 0.8, 0.7, 0.0), strict=True):
        mixed = probability * np.exp(rng.normal(0, noise, probability.shape))
        mixed /= mixed.sum(1, keepdims=True)
        columns = {name: mixed[:, k] for k, name in enumerate(CLASSES)}
        blocks.append(pl.DataFrame({"parcel_id": ids, "model": model, "fold": fold, **columns}))
    return pl.concat(blocks)


def _importance(rng: np.random.Generator) -> pl.DataFrame:
    times = _times().astype("datetime64[D]").tolist()
    peak = rng.uniform(90, 220, len(FEATURES))
    rows = []
    for method, model, classes in (
        ("shap", "lightgbm", ("all", *CLASSES)),
        ("permutation", "ensemble", ("all",)),
        ("impurity", "forest", ("all",)),
    ):
        for crop_class in classes:
            shift = rng.normal(0, 25)
            for f, feature in enumerate(FEATURES):
                for day in times:
                    value = (
                        np.exp(-(((day.timetuple().tm_yday - peak[f] - shift) / 30) ** 2)) * (1 + f % 4) / 40
                    )
                    rows.append(
                        (method, model, crop_class, feature, day, float(value + rng.gamma(1, 0.001)), 1000)
                    )
    return pl.DataFrame(rows, schema=IMPORTANCE, orient="row")


def _contributions(verdicts: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    flagged = verdicts.filter(pl.col("verdict").is_in(["contradicted", "inconclusive"])).head(300)
    times = _times().astype("datetime64[D]").tolist()
    rows = []
    for parcel, declared, predicted in flagged.select("parcel_id", "crop_class", "predicted").iter_rows():
        for crop_class, sign in ((declared, -1), (predicted, 1)):
            for feature in FEATURES:
                for day in times:
                    rows.append(  # noqa: PERF401
                        (
                            parcel,
                            "lightgbm",
                            crop_class,
                            feature,
                            day,
                            sign * rng.gamma(0.4, 0.12) + rng.normal(0, 0.02),
                        )
                    )
    return pl.DataFrame(rows, schema=CONTRIBUTIONS, orient="row")


def _evaluation(rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    days = [date(2025, 4, 1) + timedelta(days=20 * k) for k in range(9)]
    score = 0.45 + 0.4 * (1 - np.exp(-np.arange(9) / 2.5)) + rng.normal(0, 0.01, 9)
    differences = [
        {"model": name, "against": "ensemble", "metric": "macro_f1", **_estimate(0.02, 300)}
        for name in MODELS[:3]
    ]
    return {
        "model_differences": pl.DataFrame(differences),
        "in_season": pl.concat([_curve(days, score, "macro_f1"), _curve(days, score - 0.15, "decided_rate")]),
        "decidable": pl.DataFrame(
            {"crop_class": ["maize", "fallow"], "until": [days[4], None], "n": [66, 9]}
        ),
        "tuning": pl.DataFrame(
            {
                "number": range(12),
                "state": "complete",
                "value": np.sort(rng.beta(8, 3, 12)),
                "num_leaves": rng.integers(8, 128, 12),
            }
        ),
        "suspects": pl.DataFrame(
            {
                "parcel_id": [f"{k:06d}" for k in range(1, 7)],
                "crop_class": "maize",
                "suggested": "potatoes",
                "mislabel_score": rng.random(6),
                "weight": 0.25,
            }
        ),
    }


def _curve(days: list[date], score: np.ndarray, metric: str) -> pl.DataFrame:
    table = {
        "until": days,
        "metric": metric,
        "value": score,
        "low": score - 0.03,
        "high": score + 0.03,
        "n": 300,
    }
    return pl.DataFrame(table)


def _estimate(value: float, n: int, half: float = 0.02) -> dict[str, float]:
    return {"value": float(value), "low": float(max(0, value - half)), "high": float(value + half), "n": n}


def _metrics(rng: np.random.Generator) -> dict[str, Any]:
    models = {
        name: {
            "macro_f1": _estimate(0.78 + rng.random() * 0.1, 300),
            "accuracy": _estimate(0.85 + rng.random() * 0.1, 300),
            "ece": _estimate(0.02 + rng.random() * 0.02, 300, 0.01),
        }
        for name in MODELS
    }
    rate = {unit: _estimate(0.04 + rng.random() * 0.02, 290) for unit in ("count", "hectares")}
    miss = {unit: _estimate(0.3 + rng.random() * 0.1, 10, 0.2) for unit in ("count", "hectares")}
    verdicts = {"false_alarm_rate": rate, "miss_rate": miss, "false_discovery_rate": miss}
    return {"models": models, "verdicts": verdicts, "promised": {"false_alarm_rate": 0.05}}


def _lineage(seed: int, n: int) -> dict[str, Any]:
    return {
        "config": "name: made-up\nseason: 2025\n",
        "seed": seed,
        "versions": {"cropcheck": "0.1.0", "python": "3.11", "lightgbm": "4.6.0"},
        "git_commit": "0123456789abcdef",
        "model_id": "5f2d7c0e9a41b3f8",
        "inputs": [
            {"path": "region/declarations.gpkg", "sha256": "ab" * 32},
            {"path": "region/catalog/catalog.json", "sha256": "cd" * 32},
        ],
        "models": [{"path": "models/lightgbm/fold_0/model.txt", "sha256": "ef" * 32}],
        "stages": [
            {
                "stage": "declarations",
                "unit": "parcels",
                "came_in": n + 2,
                "went_out": n,
                "set_aside": {"empty_geometry": 2},
            },
            {
                "stage": "extract",
                "unit": "acquisitions",
                "came_in": 48,
                "went_out": 47,
                "set_aside": {"unreadable": 1},
            },
        ],
        "exports": [
            {"path": "verdicts.gpkg", "title": "GeoPackage"},
            {"path": "verdicts.csv", "title": "CSV"},
        ],
    }
