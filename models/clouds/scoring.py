"""One scorer for every method: only hidden pixels count."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import polars as pl
from scipy.ndimage import uniform_filter

from models.clouds.removal.intervals import GAP_EDGES, Z50, Z90, gap_bin
from models.clouds.removal.neighbours import gap_to_clear

PEAK = 1.0  # reflectance range for PSNR and SSIM, as SEN12MS-CR-TS scores it
SSIM_PX = 7
CLOUD_EDGES = (0.25, 0.5, 0.75, 0.999)


@dataclass
class Hidden:
    """What was hidden, what was filled in, and how sure it was: flat arrays over hidden pixels.

    Attributes
    ----------
    truth, value, sigma
        `(n, band)` reflectance.
    gap_days, cloud_share
        `(n,)`: days to the nearer clear date; cloud share of the frame after hiding.
    parcel
        `(n,)` integer label of the parcel, 0 outside.
    frame
        `(n,)` integer label of the frame.
    ssim
        One value a frame and band, over windows that hold a hidden pixel.
    """

    truth: np.ndarray
    value: np.ndarray
    sigma: np.ndarray
    gap_days: np.ndarray
    cloud_share: np.ndarray
    parcel: np.ndarray
    frame: np.ndarray
    bands: tuple[str, ...]
    ssim: np.ndarray = field(default_factory=lambda: np.empty(0))

    def where(self, keep: np.ndarray) -> "Hidden":
        """Return the part that `keep (n,)` chooses."""
        names = ("truth", "value", "sigma", "gap_days", "cloud_share", "parcel", "frame")
        return Hidden(**{name: getattr(self, name)[keep] for name in names}, bands=self.bands, ssim=self.ssim)


def collect(
    truth: np.ndarray,
    value: np.ndarray,
    sigma: np.ndarray,
    hidden: np.ndarray,
    clear: np.ndarray,
    days: np.ndarray,
    bands: Iterable[str],
    parcels: np.ndarray | None = None,
    first_frame: int = 0,
) -> Hidden:
    """Gather a filled stack's hidden pixels.

    Parameters
    ----------
    truth, value, sigma
        `(time, band, y, x)`.
    hidden, clear
        `(time, y, x)`: what is scored, and what the method could see.
    parcels
        `(y, x)` integer labels, 0 outside.
    """
    gap = gap_to_clear(clear, days)
    share = 1 - clear.mean(axis=(1, 2))
    t, y, x = np.nonzero(hidden)
    labels = np.zeros(hidden.shape[1:], np.int64) if parcels is None else parcels
    return Hidden(
        truth=truth[t, :, y, x],
        value=value[t, :, y, x],
        sigma=sigma[t, :, y, x],
        gap_days=gap[t, y, x],
        cloud_share=share[t],
        parcel=labels[y, x],
        frame=t + first_frame,
        bands=tuple(bands),
        ssim=structural_similarity(truth, value, hidden),
    )


def join(parts: list[Hidden]) -> Hidden:
    """Put the hidden pixels of several stacks or repetitions together."""
    names = ("truth", "value", "sigma", "gap_days", "cloud_share", "parcel", "frame", "ssim")
    return Hidden(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names}, bands=parts[0].bands)


def score(hidden: Hidden) -> dict[str, tuple[float, int]]:
    """Return each metric with its n (pixels, or parcel dates).

    MAE and RMSE over bands and pixels in reflectance, PSNR in dB for a range of 1, SAM in degrees (Kruse et
    al. 1993), SSIM with windows of 7 pixels (Wang et al. 2004); NDVI per pixel, and per parcel and date where
    at least half a dozen of its pixels were hidden; shares of band values within the 50% and 90% intervals.
    """
    known = np.isfinite(hidden.value).all(axis=1) & np.isfinite(hidden.truth).all(axis=1)
    kept, n = hidden.where(known), int(known.sum())
    scores = {"filled_share": (float(known.mean()) if len(known) else np.nan, len(known))}
    if not n:
        return scores
    error = kept.value - kept.truth
    rmse = float(np.sqrt(np.mean(np.square(error, dtype=np.float64))))
    scores |= {
        "mae_hidden": (float(np.abs(error).mean(dtype=np.float64)), n),
        "rmse_hidden": (rmse, n),
        "psnr_hidden": (float(20 * np.log10(PEAK / max(rmse, 1e-9))), n),
        "sam_hidden": (float(np.nanmean(spectral_angle(kept.truth, kept.value))), n),
        "interval_50_coverage": (_coverage(error, kept.sigma, Z50), n),
        "interval_90_coverage": (_coverage(error, kept.sigma, Z90), n),
    }
    if len(kept.ssim):
        scores["ssim_hidden"] = (float(np.nanmean(kept.ssim)), len(kept.ssim))
    inside = kept.parcel > 0
    if inside.any():
        scores["mae_hidden_parcels"] = (float(np.abs(error[inside]).mean()), int(inside.sum()))
    return scores | ndvi_scores(kept)


def ndvi_scores(hidden: Hidden) -> dict[str, tuple[float, int]]:
    """Return NDVI errors per pixel and per parcel and date; nothing where a band is absent."""
    if not {"B04", "B08"} <= set(hidden.bands) and not {"B04", "B8A"} <= set(hidden.bands):
        return {}
    truth, value = (ndvi(v, hidden.bands) for v in (hidden.truth, hidden.value))
    both = np.isfinite(truth) & np.isfinite(value)
    scores = _fit("pixel", truth[both], value[both])
    scores["ndvi_mae_hidden"] = scores.pop("ndvi_mae_pixel")
    means = parcel_means(hidden, truth, value)
    return scores | (
        _fit("parcel", means["truth"].to_numpy(), means["value"].to_numpy()) if len(means) else {}
    )


def parcel_means(hidden: Hidden, truth: np.ndarray, value: np.ndarray, least: int = 6) -> pl.DataFrame:
    """Return `parcel, frame, truth, value`: means over a parcel's hidden pixels on a date, of `truth` and
    `value (hidden)`.
    """
    table = pl.DataFrame({"parcel": hidden.parcel, "frame": hidden.frame, "truth": truth, "value": value})
    known = table.filter((pl.col("parcel") > 0) & pl.col("truth").is_finite() & pl.col("value").is_finite())
    means = known.group_by("parcel", "frame").agg(pl.col("truth", "value").mean(), pl.len().alias("n"))
    return means.filter(pl.col("n") >= least).sort("parcel", "frame")


def ndvi(values: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
    """Return NDVI of `(n, band)` reflectance, NaN where undefined; B8A stands in for an absent B08."""
    red = values[:, bands.index("B04")]
    near = values[:, bands.index("B08" if "B08" in bands else "B8A")]
    total = red + near
    return np.asarray(np.divide(near - red, total, out=np.full_like(total, np.nan), where=total > 0.01))


def spectral_angle(truth: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return the angle in degrees between spectra `(n, band)`; NaN where one is zero."""
    norm = np.linalg.norm(truth, axis=1) * np.linalg.norm(value, axis=1)
    cosine = np.divide((truth * value).sum(axis=1), norm, out=np.full(len(norm), np.nan), where=norm > 0)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def structural_similarity(truth: np.ndarray, value: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Return mean SSIM around pixels `hidden (frame, y, x)`, of `truth` and `value (frame, band, y, x)`: a
    value for each frame and band with all of the window known.
    """
    found = []
    for frame in np.flatnonzero(hidden.any(axis=(1, 2))):
        for a, b in zip(truth[frame].astype(np.float64), value[frame].astype(np.float64), strict=True):
            known = np.isfinite(a) & np.isfinite(b)
            whole = uniform_filter(known.astype(np.float64), SSIM_PX, mode="constant") > 0.999
            if (use := whole & hidden[frame]).any():
                found.append(_ssim(np.where(known, a, 0), np.where(known, b, 0))[use].mean())
    return np.asarray(found)


def by_gap(hidden: Hidden) -> dict[str, dict[str, tuple[float, int]]]:
    """Return the scores of each gap length, named by its days."""
    edges = [0.0, *GAP_EDGES, np.inf]
    bins = gap_bin(hidden.gap_days)
    names = [f"gap_{low:g}_{high:g}_days" for low, high in pairwise(edges)]
    return {name: score(hidden.where(bins == k)) for k, name in enumerate(names) if (bins == k).any()}


def by_cloud(hidden: Hidden) -> dict[str, dict[str, tuple[float, int]]]:
    """Return the scores by the cloud share of the frame."""
    bins = np.searchsorted(CLOUD_EDGES, hidden.cloud_share)
    edges = [0, *(round(100 * edge) for edge in CLOUD_EDGES), 100]
    names = [f"cloud_{low}_{high}_percent" for low, high in pairwise(edges)]
    return {name: score(hidden.where(bins == k)) for k, name in enumerate(names) if (bins == k).any()}


def _ssim(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    mean_a, mean_b = uniform_filter(a, SSIM_PX), uniform_filter(b, SSIM_PX)
    var_a = uniform_filter(a * a, SSIM_PX) - mean_a**2
    var_b = uniform_filter(b * b, SSIM_PX) - mean_b**2
    cov = uniform_filter(a * b, SSIM_PX) - mean_a * mean_b
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    return np.asarray(top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))


def _coverage(error: np.ndarray, sigma: np.ndarray, z: float) -> float:
    known = np.isfinite(sigma)
    return float((np.abs(error)[known] <= z * sigma[known]).mean()) if known.any() else float("nan")


def _fit(unit: str, truth: np.ndarray, value: np.ndarray) -> dict[str, tuple[float, int]]:
    n = len(truth)
    spread = float(np.square(truth - truth.mean()).sum()) if n else 0.0
    r2 = 1 - float(np.square(value - truth).sum()) / spread if spread > 0 else float("nan")
    mae = float(np.abs(value - truth).mean()) if n else float("nan")
    return {f"ndvi_mae_{unit}": (mae, n), f"ndvi_r2_{unit}": (r2, n)}
