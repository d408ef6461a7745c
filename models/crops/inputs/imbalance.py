"""Large and small classes: weights, or fewer of the one and noisy copies of the other."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from models.crops.inputs.options import BalanceOptions


@dataclass(frozen=True)
class Training:
    """Parcels to fit on, with a class and a weight each."""

    series: xr.Dataset
    y: np.ndarray
    weight: np.ndarray


def balance(training: Training, options: BalanceOptions, rng: np.random.Generator) -> Training:
    """Return the training parcels balanced as the options say."""
    if options.method == "class_weight":
        return Training(training.series, training.y, training.weight * weights_of(training.y, options))
    if options.method == "resample":
        return _resampled(training, options, rng)
    return training


def weights_of(y: np.ndarray, options: BalanceOptions) -> np.ndarray:
    """Return `(n,)` sample weights: equal, or by class size with `class_weight`."""
    return class_weights(y, options.power if options.method == "class_weight" else 0.0)


def class_weights(y: np.ndarray, power: float) -> np.ndarray:
    """Return `(n,)` weights of mean 1 that fall with the size of the class.

    Examples
    --------
    >>> class_weights(np.array(["maize", "maize", "maize", "rye"]), power=1.0).round(2).tolist()
    [0.67, 0.67, 0.67, 2.0]
    """
    _, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    weight = (counts.astype(float) ** -power)[codes]
    return np.asarray(weight / weight.mean())


def _resampled(training: Training, options: BalanceOptions, rng: np.random.Generator) -> Training:
    names, counts = np.unique(training.y, return_counts=True)
    median = float(np.median(counts))
    rows, copies = [], []
    for name, count in zip(names, counts, strict=True):
        members = np.flatnonzero(training.y == name)
        most, least = int(options.most * median), int(np.ceil(options.least * median))
        kept = rng.permutation(members)[: max(most, 1)]
        rows.append(np.sort(kept))
        copies.append(rng.choice(members, max(least - int(count), 0)))
    originals, extra = np.concatenate(rows), np.concatenate(copies).astype(int)
    every = np.concatenate([originals, extra])
    series = _noisy(training.series.isel(parcel=every), len(originals), options.noise, rng)
    return Training(series, training.y[every], training.weight[every])


def _noisy(series: xr.Dataset, first: int, noise: float, rng: np.random.Generator) -> xr.Dataset:
    """Add noise to the values of the parcels from `first` on; what is unknown stays unknown."""
    value = series["value"].values.copy()
    if first == len(value):
        return series
    deviation = np.nan_to_num(series["value"].std(("parcel", "time")).values)
    value[first:] += rng.normal(size=value[first:].shape).astype(np.float32) * np.float32(noise) * deviation
    return series.assign(value=(series["value"].dims, value))
