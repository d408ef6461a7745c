"""Standardisation with the moments of the training fold, and the masks that accompany the values."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import xarray as xr

from features.errors import ModelError
from models.crops.inputs.arrays import Layout, context_of, observed_of, values_of

LARGEST = 6.0  # standard deviations; values further out are clipped
SAME_MASK = 0.99  # masks that agree on this share of steps share one channel


@dataclass(frozen=True)
class Tensors:
    """Standardised inputs of `n` parcels: NaN where unknown, so that augmentation still sees what is."""

    values: np.ndarray  # (n, time, kept channel) float32
    observed: np.ndarray  # (n, time, kept observed mask) bool
    context: np.ndarray  # (n, 2 * variable) float32: values, then known flags

    def take(self, rows: np.ndarray) -> "Tensors":
        """Return the parcels at `rows (m,)`."""
        return Tensors(self.values[rows], self.observed[rows], self.context[rows])


@dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation of each channel that varies, and which masks are worth a channel."""

    channels: tuple[int, ...]  # of the layout's channels: those known somewhere and not constant
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    known_masks: tuple[int, ...]  # of `channels`: whose "known" pattern is a channel of its own
    observed_masks: tuple[
        int, ...
    ]  # of the layout's features: whose "observed" pattern is a channel of its own
    context_mean: tuple[float, ...]
    context_deviation: tuple[float, ...]

    @classmethod
    def fitted(cls, series: xr.Dataset) -> Self:
        """Return the moments of the training parcels `(parcel, time, feature, statistic)`.

        Raises
        ------
        ModelError
            Where no channel varies.
        """
        values = values_of(series)
        mean, deviation = _moments(values.reshape(-1, values.shape[-1]))
        channels = np.flatnonzero(np.isfinite(mean) & (deviation > 1e-6 * np.maximum(np.abs(mean), 1e-6)))
        if not len(channels):
            raise ModelError(
                "Every feature is missing or constant over the training parcels; add observations."
            )
        known, observed = _masks(np.isfinite(values[..., channels]), observed_of(series))
        context_mean, context_deviation = _moments(context_of(series))
        return cls(
            channels=tuple(map(int, channels)),
            mean=tuple(map(float, mean[channels])),
            deviation=tuple(map(float, deviation[channels])),
            known_masks=known,
            observed_masks=observed,
            context_mean=tuple(map(float, np.nan_to_num(context_mean))),
            context_deviation=tuple(float(d) if d > 0 else 1.0 for d in context_deviation),
        )

    @property
    def width(self) -> int:
        """Channels that a network sees: values, then masks."""
        return len(self.channels) + len(self.known_masks) + len(self.observed_masks)

    def tensors(self, series: xr.Dataset) -> Tensors:
        """Return a series `(parcel, time, feature, statistic)` of the layout that this was fitted on,
        standardised.
        """
        values = values_of(series)[..., list(self.channels)]
        values = (values - _row(self.mean)) / _row(self.deviation)
        context = context_of(series)
        scaled = (context - _row(self.context_mean)) / _row(self.context_deviation)
        flags = np.isfinite(scaled)
        return Tensors(
            values=np.clip(values, -LARGEST, LARGEST),
            observed=observed_of(series)[..., list(self.observed_masks)],
            context=np.concatenate([np.where(flags, scaled, 0), flags], axis=1).astype(np.float32),
        )

    def assemble(self, tensors: Tensors) -> np.ndarray:
        """Return `(n, time, width)` float32: values with the training mean where unknown, then the masks."""
        known = np.isfinite(tensors.values)
        parts = [np.where(known, tensors.values, 0), known[..., list(self.known_masks)], tensors.observed]
        return np.concatenate(parts, axis=-1, dtype=np.float32)

    def as_json(self) -> dict[str, object]:
        """Return plain lists, for a bundle."""
        return {name: list(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: dict[str, Any], layout: Layout) -> Self:
        """Rebuild what `as_json` returned, for a model of that layout.

        Raises
        ------
        ValueError
            Where a channel is none of the layout, or moments are too few, not finite, or of no spread.
        """
        scaler = cls(**{name: tuple(items) for name, items in value.items()})
        for places, size in (
            (scaler.channels, len(layout.channels)),
            (scaler.known_masks, len(scaler.channels)),
            (scaler.observed_masks, len(layout.features)),
        ):
            whole = all(type(place) is int and 0 <= place < size for place in places)
            if not whole or len(set(places)) != len(places):
                raise ValueError(f"{places[:3]} are not different places among {size}")
        for mean, deviation, size in (
            (scaler.mean, scaler.deviation, len(scaler.channels)),
            (scaler.context_mean, scaler.context_deviation, len(layout.context)),
        ):
            finite = np.isfinite(np.array([*mean, *deviation], float)).all()
            if not len(mean) == len(deviation) == size or not finite or min(deviation, default=1) <= 0:
                raise ValueError(f"{len(mean)} means and {len(deviation)} deviations of {size} channels")
        return scaler


def _row(values: tuple[float, ...]) -> np.ndarray:
    return np.asarray(values, np.float32)


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column's known values; NaN and 0 where nothing is known."""
    known = np.isfinite(rows)
    count = known.sum(0)
    some = np.maximum(count, 1)
    mean = np.where(known, rows, 0).astype(np.float64).sum(0) / some
    spread = np.sqrt((np.where(known, rows - mean, 0) ** 2).sum(0, dtype=np.float64) / some)
    return np.where(count > 0, mean, np.nan), spread


def _masks(known: np.ndarray, observed: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Choose masks that vary and that no chosen mask repeats; returns indices into `known` and `observed`."""
    columns = np.concatenate([known, observed], axis=-1).reshape(-1, known.shape[-1] + observed.shape[-1])
    share = columns.mean(0)
    chosen: list[int] = []
    for column in np.flatnonzero((share > 1 - SAME_MASK) & (share < SAME_MASK)):
        if all((columns[:, column] == columns[:, other]).mean() < SAME_MASK for other in chosen):
            chosen.append(int(column))
    border = known.shape[-1]
    return tuple(i for i in chosen if i < border), tuple(i - border for i in chosen if i >= border)
