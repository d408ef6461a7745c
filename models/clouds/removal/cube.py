"""A pixel stack as plain arrays: what every cloud-removal method works on."""

from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr
from scipy.ndimage import uniform_filter

from features.code.jit import njit
from features.context.blocks import WEATHER_DAYS
from features.errors import ModelError
from features.schema import check_stack

DAY = np.timedelta64(1, "D")
CLEAR_SCENE_CLASSES = (4, 5, 6, 7)
TRUST_PX, TRUST_SHARE = 29, 0.6


@dataclass(frozen=True)
class Cube:
    """One tile's frames in time.

    Attributes
    ----------
    reflectance
        `(time, band, y, x)` float32; wherever `clear` is false, NaN or a value not to be used.
    clear
        `(time, y, x)` bool; true only where every band is finite.
    days
        `(time,)` float64, days since 1970, ascending.
    backscatter, radar_days, radar_orbits
        `(radar_time, channel, y, x)` float32 with NaN where unseen, its dates and its orbit labels.
    context
        channel name -> `(y, x)` or `(time, y, x)` float32; weather as `weather:<variable>`.
    parcels
        `(y, x)` bool, pixels inside parcels; None where unknown.
    """

    reflectance: np.ndarray
    clear: np.ndarray
    days: np.ndarray
    bands: tuple[str, ...]
    backscatter: np.ndarray | None = None
    radar_days: np.ndarray = field(default_factory=lambda: np.empty(0))
    radar_orbits: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    context: dict[str, np.ndarray] = field(default_factory=dict)
    parcels: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return `(time, band, y, x)` sizes."""
        time, band, y, x = self.reflectance.shape
        return time, band, y, x

    def window(self, y: slice, x: slice) -> "Cube":
        """Return the same frames over a part of the tile."""
        return replace(
            self,
            reflectance=np.ascontiguousarray(self.reflectance[:, :, y, x]),
            clear=np.ascontiguousarray(self.clear[:, y, x]),
            backscatter=None
            if self.backscatter is None
            else np.ascontiguousarray(self.backscatter[:, :, y, x]),
            context={name: channel[..., y, x] for name, channel in self.context.items()},
            parcels=None if self.parcels is None else self.parcels[y, x],
        )

    def frames(self, keep: np.ndarray) -> "Cube":
        """Return only the frames where `keep (time,)` is true."""
        context = {n: c[keep] if c.ndim == 3 else c for n, c in self.context.items()}
        return replace(
            self,
            reflectance=self.reflectance[keep],
            clear=self.clear[keep],
            days=self.days[keep],
            context=context,
        )

    def padded(self, rows: int, columns: int) -> "Cube":
        """Add unseen rows below and columns to the right."""
        if not rows and not columns:
            return self
        edge = ((0, rows), (0, columns))

        def unseen(values: np.ndarray) -> np.ndarray:
            return np.pad(values, ((0, 0),) * (values.ndim - 2) + edge, constant_values=np.nan)

        return replace(
            self,
            reflectance=unseen(self.reflectance),
            clear=np.pad(self.clear, ((0, 0), *edge)),
            backscatter=None if self.backscatter is None else unseen(self.backscatter),
            context={name: unseen(channel) for name, channel in self.context.items()},
            parcels=None if self.parcels is None else np.pad(self.parcels, edge),
        )

    def without(self, hidden: np.ndarray) -> "Cube":
        """Return the cube as if `hidden (time, y, x)` had been clouded: the values are gone too."""
        reflectance = np.where(hidden[:, None], np.float32(np.nan), self.reflectance)
        return replace(self, reflectance=reflectance, clear=self.clear & ~hidden)


def trusted(cube: Cube) -> Cube:
    """Return the cube with observations that clouds surround unclear, but where a pixel has no other.

    Thin cloud, haze and shadow that a mask misses lie near what it finds: in simulated regions, whose truth
    is known, pixels less than 60% clear around (14 pixels each way) hold two thirds of the errors of more
    than 0.03 among 6% of the observations. A network trained on them would reproduce haze.
    """
    around = uniform_filter(cube.clear.astype(np.float32), (0, TRUST_PX, TRUST_PX), mode="nearest")
    good = cube.clear & (around >= TRUST_SHARE)
    return replace(cube, clear=np.where(good.any(axis=0), good, cube.clear))  # values stay: a copy is large


def cube_of(stack: xr.Dataset, reuse: bool = False) -> Cube:
    """Return the arrays of a pixel stack, `reflectance (time, band, y, x)` and what is beside it.

    `clear` comes from the stack's `clear`, else from its `scene_class`; a clear pixel without any band counts
    as unseen. Where a clear pixel lacks some bands only, the line between the dates on which they are known
    there stands in for them (the band's mean where it is known on none), so that one masked band hides no
    other: `missing_bands` says where. Frames are put in order of time.

    Parameters
    ----------
    reuse
        Write the cube's reflectance into the stack's own array.

    Raises
    ------
    ModelError
        Where neither mask is there, or the stack has no frame or no band.
    """
    check_stack(stack)
    if 0 in stack["reflectance"].shape:
        raise ModelError(
            f"The pixel stack is empty: {dict(stack['reflectance'].sizes)}; give it frames, bands and pixels."
        )
    stack = in_time_order(stack)
    values, clear = np.asarray(stack["reflectance"].values, np.float32), _clear(stack)
    target = values if reuse and values.flags.writeable else np.empty(values.shape, np.float32)
    days = to_days(stack["time"].values)
    reflectance, clear = _masked(values, clear, _means(values, clear), days, target)
    return Cube(
        reflectance=reflectance,
        clear=clear,
        days=days,
        bands=tuple(str(band) for band in stack["band"].values),
        **_radar(stack),
        context=_context(stack),
        parcels=np.asarray(stack["parcels"].values, bool) if "parcels" in stack else None,
    )


def missing_bands(stack: xr.Dataset) -> tuple[np.ndarray, np.ndarray] | None:
    """Where a clear pixel lacks some of its bands: bool (time, band, y, x), by time; and which bands a pixel
    that is seen has on no date: bool (band, y, x). None if no clear pixel lacks any.
    """
    stack = in_time_order(stack)
    values, clear = np.asarray(stack["reflectance"].values), _clear(stack)
    if not _partly_seen(values, clear):
        return None
    known = np.isfinite(values)
    seen = clear & known.any(axis=1)
    missing = ~known & seen[:, None]
    known &= seen[:, None]
    return missing, missing.any(axis=0) & ~known.any(axis=0)


def _means(values: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """The mean of each band where it is clear, `(band,)`; that of all where a band has no value."""
    if not _partly_seen(values, clear):
        return np.zeros(values.shape[1], np.float32)
    known = [band[clear & np.isfinite(band)] for band in np.moveaxis(values, 1, 0)]
    every = np.mean([part.mean() for part in known if len(part)])
    return np.array([part.mean() if len(part) else every for part in known], np.float32)


@njit(cache=True, nogil=True)
def _partly_seen(values: np.ndarray, clear: np.ndarray) -> bool:
    """Whether any clear pixel has some bands, and lacks others."""
    times, bands, height, width = values.shape
    found = np.empty(width, np.int64)
    for t in range(times):
        for y in range(height):
            found[:] = 0
            for b in range(bands):
                for x in range(width):
                    found[x] += np.isfinite(values[t, b, y, x])
            for x in range(width):
                if clear[t, y, x] and 0 < found[x] < bands:
                    return True
    return False


@njit(cache=True, nogil=True)
def _masked(
    values: np.ndarray, clear: np.ndarray, means: np.ndarray, days: np.ndarray, out: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Write `values (time, band, y, x)` into `out`, maybe the same, with NaN where a pixel is not clear
    and stand-ins where it lacks some bands; return it, and what is clear: not where no band is finite."""
    seen = np.zeros_like(clear)
    times, bands, height, width = values.shape
    for t in range(times):
        for y in range(height):
            for b in range(bands):
                for x in range(width):
                    seen[t, y, x] |= clear[t, y, x] and np.isfinite(values[t, b, y, x])
            for b in range(bands):
                for x in range(width):
                    value = values[t, b, y, x]
                    if seen[t, y, x] and not np.isfinite(value):
                        value = _between(values[:, b, y, x], clear[:, y, x], days, t, means[b])
                    out[t, b, y, x] = value if seen[t, y, x] else np.nan
    return out, seen


@njit(cache=True, nogil=True)
def _between(line: np.ndarray, clear: np.ndarray, days: np.ndarray, t: int, mean: np.float32) -> np.float32:
    """The value at `t` on the straight line between the nearest known dates of one band of one pixel; the
    nearest where they lie on one side, the mean where there is none. What stands in already lies on it.
    """
    before, after = t - 1, t + 1
    while before >= 0 and not (clear[before] and np.isfinite(line[before])):
        before -= 1
    while after < len(line) and not (clear[after] and np.isfinite(line[after])):
        after += 1
    value: np.float32 = mean
    if before < 0 and after < len(line):
        value = line[after]
    elif before >= 0 and (after == len(line) or days[after] == days[before]):
        value = line[before]
    elif before >= 0:
        share = (days[t] - days[before]) / (days[after] - days[before])
        value = line[before] + share * (line[after] - line[before])
    return value


def in_time_order(stack: xr.Dataset) -> xr.Dataset:
    """Return the stack with its frames in order of time."""
    order = time_order(stack)
    return stack if (np.diff(order) == 1).all() else stack.isel(time=order)  # which copies


def time_order(stack: xr.Dataset) -> np.ndarray:
    """Return `(time,)` indices of the frames in order of time; frames of one moment keep their order."""
    return np.argsort(stack["time"].values, kind="stable")


def to_days(times: np.ndarray) -> np.ndarray:
    """Return dates of any shape as float64 days since 1970, of the same shape.

    Examples
    --------
    >>> to_days(np.array(["1970-01-02T12:00"], "datetime64[ns]"))
    array([1.5])
    """
    return np.asarray((np.asarray(times, "datetime64[ns]") - np.datetime64(0, "ns")) / DAY, np.float64)


def _clear(stack: xr.Dataset) -> np.ndarray:
    if "clear" in stack:
        return np.asarray(stack["clear"].values, bool)
    if "scene_class" in stack:
        return np.isin(stack["scene_class"].values, CLEAR_SCENE_CLASSES)
    raise ModelError(
        "The pixel stack has neither `clear` nor `scene_class`, so clouds cannot be recognised; add one."
    )


def _radar(stack: xr.Dataset) -> dict[str, np.ndarray]:
    if "backscatter" not in stack or stack.sizes.get("radar_time", 0) == 0:
        return {}
    values = np.asarray(stack["backscatter"].values, np.float32)
    times = stack["radar_time"].values
    days = to_days(times)
    if "relative_orbit" in stack.coords and stack["relative_orbit"].dims == ("radar_time",):
        orbits = np.asarray(stack["relative_orbit"].values).astype(np.int64)
    else:  # passes of one orbit share their time of day to within a minute or two
        orbits = np.round((days % 1) * 24 * 12).astype(np.int64)
    return {
        "backscatter": np.where(np.isinf(values), np.float32(np.nan), values)
        if np.isinf(values).any()
        else values,
        "radar_days": days,
        "radar_orbits": orbits,
    }


def _context(stack: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the context channels by name."""
    channels: dict[str, np.ndarray] = {}
    for variable, names in (("context", "channel"), ("dated_context", "dated_channel")):
        if variable in stack:
            for name in stack[names].values:
                channels[str(name)] = np.asarray(stack[variable].sel({names: name}).values, np.float32)
    return channels | _weather(stack) if "weather" in stack else channels


def _weather(stack: xr.Dataset) -> dict[str, np.ndarray]:
    """Return `weather:<variable>`, constant over the tile: at each frame the mean of its own day (UTC) and of
    the 29 before, as far as the table goes back.

    Raises
    ------
    ModelError
        Where a day is left out of the table, or it does not hold a frame's own.
    """
    days = stack["day"].values.astype("datetime64[D]")
    frames = stack["time"].values.astype("datetime64[D]")
    if (np.diff(days) != DAY).any() or not np.isin(frames, days).all():
        raise ModelError(
            "The stack's weather must hold every day in order, from the first frame to the last."
        )
    means = stack["weather"].rolling(day=WEATHER_DAYS, min_periods=1).mean().transpose("day", "variable")
    at_frames = means.values[np.searchsorted(days, frames)].astype(np.float32)
    shape = (len(frames), stack.sizes["y"], stack.sizes["x"])
    return {
        f"weather:{name}": np.broadcast_to(values[:, None, None], shape)
        for name, values in zip(stack["variable"].values, at_frames.T, strict=True)
    }
