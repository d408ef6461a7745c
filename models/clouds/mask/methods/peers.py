"""Masks of other packages, where they are installed; nothing is downloaded at run time.

s2cloudless (Sinergise; `cropcheck[s2cloudless]`): a gradient-boosted classifier of cloud on ten bands of L1C.
ukis-csmask (DLR; `cropcheck[ukis-csmask]`): a U-Net for cloud and cloud shadow with models of four and of six
bands, for L1C and for L2A.
"""

import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np

from features.errors import ModelError
from models.clouds.mask.classes import CLEAR, CLOUD, SHADOW
from models.clouds.mask.frames import FOR_SNOW, NEAR_INFRARED, Frames, Mask, one_hot

L1C_BANDS = ("B01", "B02", "B04", "B05", "B08", "B8A", "B09", "B10", "B11", "B12")
CERTAINTY = 0.9
SMALLEST = 256  # ukis-csmask cuts images into squares of this side


def peer(name: str) -> Mask:
    """Return a peer's mask by its name in the config."""
    return S2CloudlessMask() if name == "s2cloudless" else UkisMask()


def installed(module: str) -> bool:
    """Return whether a peer's package can be imported."""
    try:
        _package(module, module)
    except ModelError:
        return False
    return True


def _package(module: str, extra: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(module)
    except ImportError as error:
        raise ModelError(
            f"clear.mask.method {module.partition('.')[0]} needs a package that is not installed ({error}); "
            f"pip install 'cropcheck[{extra}]', or choose temporal.",
            reason="not_installed",
        ) from error


class S2CloudlessMask:
    """Sinergise's s2cloudless: chance of cloud; no shadow, no thin cloud."""

    name = "s2cloudless"
    margin_px = 8
    needs = tuple((band,) for band in L1C_BANDS)
    uses = FOR_SNOW

    def chances(self, frames: Frames) -> Iterator[np.ndarray]:
        """Yield each date's chances `(class, y, x)`.

        Raises
        ------
        ModelError
            Where the package or a band is missing, or the imagery is L2A.
        """
        if frames.level != "L1C":
            raise ModelError(
                "s2cloudless is made for reflectance at the top of the atmosphere (L1C); this is L2A. Choose "
                "clear.mask.method: temporal, unet or ukis_csmask.",
                reason="other_level",
            )
        bands = np.stack([frames.band(name) for name in L1C_BANDS], axis=-1)
        detector = _package("s2cloudless", "s2cloudless").S2PixelCloudDetector(
            threshold=0.4, average_over=4, dilation_size=2, all_bands=False
        )
        for values in bands:
            known = np.isfinite(values).all(axis=-1)
            found = detector.get_cloud_probability_maps(np.where(known[..., None], values, 0)[None])[0]
            out = np.zeros((4, *known.shape), np.float32)
            out[CLOUD] = found
            out[CLEAR] = 1 - found
            out[:, ~known] = np.nan
            yield out


class UkisMask:
    """DLR's ukis-csmask: cloud and shadow; no thin cloud."""

    name = "ukis_csmask"
    margin_px = 64
    needs = (("B02",), ("B03",), ("B04",), NEAR_INFRARED)
    uses = (*FOR_SNOW, "B12")

    def chances(self, frames: Frames) -> Iterator[np.ndarray]:
        """Yield each date's chances `(class, y, x)`; the six-band model where B11 and B12 are there.

        Raises
        ------
        ModelError
            Where the package or a band is missing.
        """
        names = ["blue", "green", "red", "nir"]
        bands = [frames.band(*group) for group in self.needs]
        if frames.has("B11") and frames.has("B12"):
            names += ["swir16", "swir22"]
            bands += [frames.band("B11"), frames.band("B12")]
        make = _package("ukis_csmask.mask", "ukis-csmask").CSmask
        for number in range(len(frames)):
            values = np.stack([band[number] for band in bands], axis=-1)
            known = np.isfinite(values).all(axis=-1)
            image = np.where(known[..., None], values, 0).astype(np.float32)
            pad = [(0, max(0, SMALLEST - size)) for size in image.shape[:2]]
            image = np.pad(image, [*pad, (0, 0)], mode="symmetric")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                level, provider = frames.level.lower(), ["CPUExecutionProvider"]
                model = make(image, band_order=names, product_level=level, providers=provider)
            found = model.csm[..., 0]
            found = found[: known.shape[0], : known.shape[1]]
            classes = np.choose(found, [CLEAR, CLOUD, SHADOW]).astype(np.uint8)
            classes[~known] = 255
            yield one_hot(classes, CERTAINTY)
