"""Random convolutions of a season, so that a linear model detects shapes at any date."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

LENGTH, HEAVY = 9, 3  # MiniRocket's kernels: nine weights, three of them 2, the others -1
MOST_CHANNELS = 9
POOLS = 3


@dataclass(frozen=True)
class Kernels:
    """Random kernels and the levels that their output is held against.

    After MiniRocket (Dempster, Schmidt and Webb, 2021): each kernel reads a few channels at one dilation.
    Pooled beside the share above the level: its mean, and where in the season it lies (as MultiRocket does,
    Tan et al., 2022), for in a season the date matters too.
    """

    heavy: tuple[tuple[int, ...], ...]  # places of the weights 2
    dilation: tuple[int, ...]
    channels: tuple[tuple[int, ...], ...]
    levels: tuple[tuple[float, ...], ...]

    @classmethod
    def drawn(cls, values: np.ndarray, n_kernels: int, n_levels: int, rng: np.random.Generator) -> Self:
        """Draw kernels for `(n, time, channel)`; the levels are quantiles of a kernel's output."""
        _, time, width = values.shape
        furthest = np.log2(max((time - 1) / (LENGTH - 1), 1))
        heavy, dilation, channels, levels = [], [], [], []
        for _ in range(n_kernels):
            heavy.append(tuple(sorted(rng.permutation(LENGTH)[:HEAVY].tolist())))
            dilation.append(int(2 ** rng.uniform(0, furthest)))
            many = int(2 ** rng.uniform(0, np.log2(min(width, MOST_CHANNELS) + 1)))
            channels.append(tuple(sorted(rng.permutation(width)[:many].tolist())))
            sample = values[rng.integers(len(values), size=min(len(values), 32))]
            output = _convolve(sample, heavy[-1], dilation[-1], channels[-1])
            levels.append(tuple(np.quantile(output, rng.uniform(0.05, 0.95, n_levels)).tolist()))
        return cls(tuple(heavy), tuple(dilation), tuple(channels), tuple(levels))

    def transform(self, values: np.ndarray) -> np.ndarray:
        """Return `(n, kernel * level * 3)` float32 of `(n, time, channel)`."""
        place = np.linspace(-1, 1, values.shape[1], dtype=np.float32)
        found = np.empty((len(values), self.columns), np.float32)
        column = 0
        for heavy, dilation, channels, levels in zip(
            self.heavy, self.dilation, self.channels, self.levels, strict=True
        ):
            output = _convolve(values, heavy, dilation, channels)
            for level in levels:
                above = np.maximum(output - np.float32(level), 0)
                found[:, column] = (above > 0).mean(1)
                found[:, column + 1] = above.mean(1)
                found[:, column + 2] = above @ place / len(place)
                column += POOLS
        return found

    def as_json(self) -> dict[str, Any]:
        """Return plain lists, for a bundle."""
        return {name: [_plain(item) for item in items] for name, items in asdict(self).items()}

    @classmethod
    def from_json(cls, value: dict[str, Any], steps: int, width: int) -> Self:
        """Rebuild what `as_json` returned, for seasons of so many steps and channels.

        Raises
        ------
        ValueError
            Where a kernel reads what is not there, reaches beyond the season, or a level is not finite.
        """
        kept: Any = {name: tuple(map(_tight, items)) for name, items in value.items()}
        kernels = cls(**kept)
        for heavy, dilation, channels, levels in zip(
            kernels.heavy, kernels.dilation, kernels.channels, kernels.levels, strict=True
        ):
            places = [*((place, LENGTH) for place in heavy), *((channel, width) for channel in channels)]
            inside = all(type(place) is int and 0 <= place < size for place, size in places)
            if not inside or type(dilation) is not int or not 1 <= dilation <= max(steps, 1):
                raise ValueError(f"a kernel of {channels} among {width} channels, at steps of {dilation}")
            if not np.isfinite(np.array(levels, float)).all():
                raise ValueError("a kernel whose levels are not finite")
        return kernels

    @property
    def columns(self) -> int:
        """Columns that `transform` gives."""
        return POOLS * sum(map(len, self.levels))


def _plain(item: Any) -> Any:
    return list(item) if isinstance(item, tuple) else item


def _tight(item: Any) -> Any:
    return tuple(item) if isinstance(item, list) else item


def _convolve(
    values: np.ndarray, heavy: tuple[int, ...], dilation: int, channels: tuple[int, ...]
) -> np.ndarray:
    """Return `(n, time)`: the kernel centred on each step, zeros beyond the season."""
    line: np.ndarray = values[:, :, list(channels)].sum(2)
    reach = dilation * (LENGTH // 2)
    padded = np.pad(line, ((0, 0), (reach, reach)))
    total: np.ndarray = np.zeros_like(line)
    for position in range(LENGTH):
        start = position * dilation
        total += padded[:, start : start + line.shape[1]] * np.float32(2 if position in heavy else -1)
    return total
