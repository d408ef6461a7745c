"""Frames with a known truth, kept as plain arrays so that a machine without the imagery's libraries can score
masks on them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.files import atomic_path
from models.clouds.mask.frames import Frames


@dataclass(frozen=True)
class Known:
    """Frames and what is known about them.

    Attributes
    ----------
    truth
        Class `(time, y, x)`, 255 where not scored; of a real cube another mask's.
    border
        bool `(y, x)`: pixels at the border of a parcel.
    opacity, shade
        Of the simulated sky, `(time, y, x)` in 0 to 1.
    """

    name: str
    frames: Frames
    truth: np.ndarray | None = None
    border: np.ndarray | None = None
    opacity: np.ndarray | None = None
    shade: np.ndarray | None = None


def write_known(path: Path, known: Known) -> None:
    """Store everything of a simulated region."""
    frames = known.frames
    held = {name: getattr(known, name) for name in ("truth", "border", "opacity", "shade")}
    held |= {
        name: getattr(frames, name) for name in ("reflectance", "times", "sun", "pixel_m", "scene_class")
    }
    with atomic_path(path) as partial, partial.open("wb") as stream:
        np.savez(stream, bands=np.array(frames.bands), **held)  # type: ignore[arg-type]


def read_known(path: Path) -> Known:
    """Read what `write_known` wrote; no pickled object is read."""
    with np.load(path, allow_pickle=False) as held:
        frames = Frames(
            tuple(held["bands"].tolist()), held["reflectance"].astype(np.float32), held["times"], held["sun"],
            float(held["pixel_m"]), held["scene_class"],
        )  # fmt: skip
        rest = {name: held[name] for name in ("truth", "border", "opacity", "shade")}
    return Known(path.stem, frames, **rest)


def known_region(seed: int, folder: Path) -> Known:
    """Return a simulated region of 150 parcels with its truth, made where it is not there yet."""
    arrays = folder / f"masks_150_0.6_{seed}.npz"
    if arrays.is_file():
        return read_known(arrays)
    from tests.benchmarks.data.mask_data import region

    return region(seed, folder)
