"""A Sentinel-1 pass: backscatter by the water-cloud model, speckle, and 6-day coherence."""

from dataclasses import dataclass

import numpy as np

from features.code.jit import njit
from features.simulate.land.states import Fields, States
from features.simulate.sensors.mixing import Mixture
from features.simulate.sensors.optical import _scramble

# Water-cloud model (Attema and Ulaby 1978): sigma0 = A V cos(t) (1 - T) + T soil, T = exp(-2 B V / cos(t)),
# V the plant water in kg m-2. (A_vv, B_vv, A_vh, B_vh) by how the canopy stands: upright cereal stems
# attenuate and scatter little, broad leaves and stalks scatter much. Set on the levels of published
# seasonal curves as recalled, not digitised (Veloso et al. 2017, Remote Sensing of Environment 199;
# Vreugdenhil et al. 2018, Remote Sensing 10, 1396; Khabbazan et al. 2019). Cereals differ after heading:
# the bent awned ears of barley and the panicles of oats depolarise more than the upright ears of wheat,
# tall rye attenuates more, triticale stands between rye and wheat. That they differ is published; the sizes
# of these differences are assumed.
SCATTER = {
    "winter_wheat": (0.0035, 0.135, 0.0011, 0.085),
    "barley": (0.0040, 0.125, 0.0017, 0.080),
    "oats": (0.0045, 0.120, 0.0024, 0.078),
    "winter_rye": (0.0035, 0.155, 0.0011, 0.095),
    "triticale": (0.0035, 0.145, 0.0011, 0.090),
    "winter_rapeseed": (0.0200, 0.10, 0.0105, 0.09),
    "peas_beans": (0.0150, 0.11, 0.0075, 0.09),
    "maize": (0.0310, 0.07, 0.0130, 0.06),
    "row": (0.0310, 0.07, 0.0120, 0.065),
    "grass": (0.0300, 0.12, 0.0180, 0.075),
}
ROWS = ("maize", "sugar_beet", "potatoes", "sunflower")
COVERS_DB = {"forest": (-9.6, -14.6), "built": (-4.5, -12.5), "water": (-18.5, -25.5), "verge": (-9.8, -16.8)}
COVERS_COHERENCE = {"forest": 0.12, "built": 0.72, "water": 0.03, "verge": 0.35}
LOOKS_COHERENCE = 22.0
DB_SCALE, COHERENCE_SCALE = 0.02, 0.004
DB_NODATA, COHERENCE_NODATA = -32768, 255


@dataclass(frozen=True)
class Pass:
    """One acquisition of one orbit: incidence angle in degrees and position of its day in the year."""

    incidence: float
    day: int
    previous_day: int


def incidence_of(k: int) -> float:
    """Return the incidence angle of the k-th orbit: neighbouring orbits see a region 5 to 6 degrees apart."""
    return 36.5 + 5.8 * (k % 2) - 1.7 * (k // 2)


def soil_db(wetness: float, roughness_db: np.ndarray, fields: Fields, incidence: float) -> np.ndarray:
    """Return VV backscatter of bare soil in dB (field,): wetter and rougher is brighter, oblique is darker.

    About 0.2 dB per percent of moisture (Baghdadi et al. 2016), 16 percent between dry and wet.
    """
    return -10.8 + 3.2 * wetness + roughness_db + 0.7 * fields.roughness - 0.13 * (incidence - 38)


def backscatter(states: States, fields: Fields, at: Pass, wetness: float) -> np.ndarray:
    """Return sigma0 of every field, linear power (field, 2): VV and VH."""
    parameters = np.array([SCATTER[_scatter_of(name)] for name in fields.crop], np.float32)
    cosine = np.cos(np.radians(at.incidence))
    water = np.maximum(states.plant_water[:, at.day], 0)
    ground_vv = 10 ** (soil_db(wetness, states.roughness_db[:, at.day], fields, at.incidence) / 10)
    ground = np.stack([ground_vv, ground_vv * 10 ** (-0.77 - 0.03 * fields.roughness)], axis=1)
    scatter, attenuation = parameters[:, 0::2], parameters[:, 1::2]
    through = np.exp(-2 * attenuation * water[:, None] / cosine)
    plants = scatter * water[:, None] * cosine * (1 - through)
    variety = 10 ** (0.035 * fields.diligence + 0.03 * fields.earliness)
    own_db = np.stack([0.55 * fields.scatter, 0.4 * fields.scatter + 0.4 * fields.timing], axis=1)
    return np.asarray((plants * variety[:, None] + through * ground) * 10 ** (own_db / 10), np.float32)


def _scatter_of(name: str) -> str:
    if name in SCATTER:
        return name
    if name.endswith("barley"):
        return "barley"
    return "row" if name in ROWS else "grass"


def coherence(states: States, fields: Fields, at: Pass, rain_mm: float) -> np.ndarray:
    """Return the true coherence of every field between two passes (field, 2): VV and VH.

    It falls with what grows (wind and growth move it), with rain between the passes and with any work on the
    field, and stands high over bare or cut ground (Tamm et al. 2016, Remote Sensing 8, 802; Mestre-Quereda et
    al. 2020).
    """
    days = slice(at.previous_day + 1, at.day + 1)
    green = states.leaf_area[:, at.day] * (1 - 0.7 * states.senescence[:, at.day])
    moving = 0.42 * green + 0.10 * states.plant_water[:, at.day]
    kept = np.prod(1 - states.disturbance[:, days], axis=1)
    still = 0.74 * np.exp(-moving) * kept * np.exp(-0.006 * rain_mm) * (1 + 0.05 * fields.roughness)
    return np.asarray(np.clip(np.stack([still, 0.8 * still], axis=1), 0, 0.97).astype(np.float32))


def render_backscatter(
    mixture: Mixture, power: np.ndarray, texture_db: np.ndarray, stream: int
) -> np.ndarray:
    """Return int16 dB (y, x) with speckle of four looks that neighbouring pixels share, as in ground-range
    products.

    Four exponential looks on the corners of every pixel: a gamma distribution with an equivalent number of
    looks of 4, near the 4.4 of Sentinel-1 IW GRDH, correlated over the product's 20 m resolution.
    """
    pixels: np.ndarray = _speckle(mixture.label, mixture.share, power, texture_db, np.uint64(stream), _LOGS)
    return pixels


_LOGS = (-np.log((np.arange(16384) + 0.5) / 16384)).astype(np.float32)


@njit(cache=True, nogil=True)
def _speckle(
    label: np.ndarray,
    share: np.ndarray,
    power: np.ndarray,
    texture_db: np.ndarray,
    stream: np.uint64,
    logs: np.ndarray,
) -> np.ndarray:
    rows, columns, slots = label.shape
    out = np.empty((rows, columns), np.int16)
    above = np.empty(columns + 1, np.float32)
    here = np.empty(columns + 1, np.float32)
    for row in range(-1, rows):
        for column in range(columns + 1):
            bits = _scramble(stream + np.uint64((row + 1) * (columns + 1) + column))
            here[column] = logs[bits >> np.uint64(50)]
        if row >= 0:
            for column in range(columns):
                mean = np.float32(0.0)
                for slot in range(slots):
                    if share[row, column, slot] > 0:
                        mean += share[row, column, slot] * power[label[row, column, slot]]
                looks = here[column] + here[column + 1] + above[column] + above[column + 1]
                value = np.float32(10.0) * np.log10(mean * looks * np.float32(0.25)) + texture_db[row, column]
                out[row, column] = np.int16(max(min(np.rint(value * np.float32(50.0)), 32000.0), -32000.0))
        for column in range(columns + 1):
            above[column] = here[column]
    return out


def render_coherence(mixture: Mixture, true: np.ndarray, stream: int) -> np.ndarray:
    """Return uint8 coherence magnitude (y, x): the sample estimate of 22 looks, biased upwards where it is
    low.
    """
    pixels: np.ndarray = _estimate(
        mixture.label, mixture.share, true, np.uint64(stream), np.float32(LOOKS_COHERENCE)
    )
    return pixels


@njit(cache=True, nogil=True)
def _estimate(
    label: np.ndarray, share: np.ndarray, true: np.ndarray, stream: np.uint64, looks: np.float32
) -> np.ndarray:
    rows, columns, slots = label.shape
    out = np.empty((rows, columns), np.uint8)
    for row in range(rows):
        for column in range(columns):
            mean = np.float32(0.0)
            for slot in range(slots):
                if share[row, column, slot] > 0:
                    mean += share[row, column, slot] * true[label[row, column, slot]]
            bits = _scramble(stream + np.uint64(row * columns + column))
            half = np.float32(1 - mean * mean) / np.sqrt(2 * looks)
            real = np.float32((bits & np.uint64(0xFFFF)) + ((bits >> np.uint64(16)) & np.uint64(0xFFFF)))
            imaginary = np.float32(((bits >> np.uint64(32)) & np.uint64(0xFFFF)) + (bits >> np.uint64(48)))
            real = mean + half * (real / np.float32(65536.0) - np.float32(1.0)) * np.float32(2.4494898)
            imaginary = half * (imaginary / np.float32(65536.0) - np.float32(1.0)) * np.float32(2.4494898)
            out[row, column] = np.uint8(min(np.sqrt(real * real + imaginary * imaginary), 0.996) * 250 + 0.5)
    return out
