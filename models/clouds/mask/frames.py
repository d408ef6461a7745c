"""What a mask looks at: the dates of a block with their sun, and which of its pixels cannot be judged."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from features.errors import ModelError
from models.clouds.mask.classes import CLEAR, NODATA, SATURATED, SNOW

SATURATION = 2.0  # reflectance: no cloud reflects as much
SNOW_CLASS, SATURATED_CLASS, NODATA_CLASS = 11, 1, 0
NEAR_INFRARED = ("B8A", "B08")
FOR_SNOW = ("B03", "B11", "B8A")


@dataclass(frozen=True)
class Frames:
    """Acquisitions over one block.

    Attributes
    ----------
    bands
        Names, in the order of `reflectance`.
    reflectance
        `(time, band, y, x)` float32, offset subtracted, NaN where there is no data.
    times
        `datetime64 (time,)`, UTC, in order.
    sun
        `(time, 2)`: zenith and azimuth (clockwise from north) in degrees.
    pixel_m
        Side of a pixel in metres.
    scene_class
        `(time, y, x)` uint8, Sen2Cor's; 255 where a date has none. None where no date has any.
    level
        Surface reflectance (L2A) or reflectance at the top of the atmosphere (L1C).
    saturated
        bool `(time, y, x)`: the file marks a band of the pixel as too bright to be measured, which is NaN
        there. None where no pixel is marked.
    """

    bands: tuple[str, ...]
    reflectance: np.ndarray
    times: np.ndarray
    sun: np.ndarray
    pixel_m: float = 20.0
    scene_class: np.ndarray | None = None
    level: Literal["L1C", "L2A"] = "L2A"
    saturated: np.ndarray | None = None

    def __post_init__(self) -> None:
        expected = (len(self.times), len(self.bands), *self.reflectance.shape[2:])
        if self.reflectance.ndim != 4 or self.reflectance.shape != expected:
            raise ModelError(
                f"Reflectance of shape {self.reflectance.shape} does not fit {len(self.times)} dates and "
                f"{len(self.bands)} bands; it must be (time, band, y, x)."
            )
        if self.scene_class is not None and self.scene_class.shape != (len(self.times), *self.shape):
            raise ModelError(
                f"Scene classes of shape {self.scene_class.shape} lie on another grid than the reflectance, "
                f"{(len(self.times), *self.shape)}; resample them first.",
                reason="shifted_grid",
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Return height and width in pixels."""
        height, width = self.reflectance.shape[2:]
        return height, width

    @property
    def days(self) -> np.ndarray:
        """Return the moments in days, float `(time,)`."""
        return np.asarray(self.times.astype("datetime64[s]").astype(np.int64) / 86400.0)

    def __len__(self) -> int:
        return len(self.times)

    def has(self, band: str) -> bool:
        """Return whether a band is there."""
        return band in self.bands

    def band(self, *names: str) -> np.ndarray:
        """Return the first of these bands that is there, `(time, y, x)`.

        Raises
        ------
        ModelError
            Where none is; reason `missing_band`.
        """
        for name in names:
            if name in self.bands:
                return self.reflectance[:, self.bands.index(name)]
        raise ModelError(
            f"The mask needs {' or '.join(names)}, but the imagery holds {', '.join(self.bands) or 'none'};"
            " choose another clear.mask.method.",
            reason="missing_band",
        )

    def only(self, index: np.ndarray | slice) -> "Frames":
        """Return some of the dates, by number `(n)`."""
        classes = None if self.scene_class is None else self.scene_class[index]
        return replace(
            self,
            reflectance=self.reflectance[index],
            times=self.times[index],
            sun=self.sun[index],
            scene_class=classes,
            saturated=None if self.saturated is None else self.saturated[index],
        )


class Mask(Protocol):
    """A cloud mask, ready to be used."""

    name: str
    margin_px: int  # pixels around a block that influence its mask

    @property
    def needs(self) -> tuple[tuple[str, ...], ...]:
        """Bands it cannot do without: of each group the first that is there is used."""
        ...

    @property
    def uses(self) -> tuple[str, ...]:
        """Bands that it looks at where they are there, those for snow included."""
        ...

    def chances(self, frames: Frames) -> Iterator[np.ndarray]:
        """Yield each date's chances in order, float32 `(class, y, x)`, summing to 1; NaN where unknown."""
        ...


def unknown_of(frames: Frames, number: int, needs: tuple[tuple[str, ...], ...] = ()) -> np.ndarray:
    """Return why pixels of one date cannot be judged, uint8 `(y, x)`: 0, NODATA, SATURATED or SNOW.

    Snow is what the scene class says; where none is delivered, a high normalised difference of green and
    1.6 um (above 0.4, Hall et al. 1995) over ground that is bright in green and near infrared (Fmask's
    limits of 0.10 and 0.11).
    """
    values = frames.reflectance[number]
    out = np.zeros(frames.shape, np.uint8)
    classes = None if frames.scene_class is None else frames.scene_class[number]
    if classes is not None and not (classes == UNDELIVERED).all():
        out[classes == SNOW_CLASS] = SNOW
        out[classes == SATURATED_CLASS] = SATURATED
        out[classes == NODATA_CLASS] = NODATA
    elif {"B03", "B11"} <= set(frames.bands) and any(frames.has(name) for name in NEAR_INFRARED):
        green, swir = frames.band("B03")[number], frames.band("B11")[number]
        near = frames.band(*NEAR_INFRARED)[number]
        with np.errstate(invalid="ignore"):
            out[(green - swir > 0.4 * (green + swir)) & (green > 0.1) & (near > 0.11)] = SNOW
    with np.errstate(invalid="ignore"):
        bright = (values > SATURATION).any(axis=0)
    if frames.saturated is not None:
        bright |= frames.saturated[number]
    out[bright] = SATURATED
    needed = [frames.band(*group)[number] for group in needs] or list(values)
    out[~np.isfinite(np.stack(needed)).all(axis=0) & ~bright] = NODATA
    return out


UNDELIVERED = 255  # scene class of a date that has none


def one_hot(classes: np.ndarray, certainty: float) -> np.ndarray:
    """Return chances `(class, y, x)` of classes that come without any: `certainty` for the class, the rest
    shared; NaN where unknown.

    Examples
    --------
    >>> one_hot(np.array([[0, 255]]), 0.625)[:, 0].tolist()
    [[0.625, nan], [0.125, nan], [0.125, nan], [0.125, nan]]
    """
    out = np.full((4, *classes.shape), (1 - certainty) / 3, np.float32)
    for number in range(4):
        out[number][classes == number] = certainty
    out[:, classes > 3] = np.nan
    return out


def certain_clear(shape: tuple[int, int]) -> np.ndarray:
    """Return chances `(class, y, x)` that say clear everywhere."""
    out = np.zeros((4, *shape), np.float32)
    out[CLEAR] = 1
    return out
