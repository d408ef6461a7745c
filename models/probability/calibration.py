"""Calibration of probabilities, by temperature or isotonic, fitted without the parcels it is applied to."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from features.errors import ModelError

CalibrationName = Literal["none", "temperature", "isotonic", "choose"]
TINY = 1e-12
ROWS = 20_000  # in a fit, evenly taken: enough for a temperature to three digits


class Calibrator(Protocol):
    """Turns probabilities into probabilities."""

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities, `(parcel, class)`, rows summing to 1."""
        ...

    def to_dict(self) -> dict[str, object]:
        """Return what JSON can hold; `calibrator_from` reads it back."""
        ...


@dataclass(frozen=True)
class Identity:
    """Leaves probabilities as they are."""

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the probabilities `(parcel, class)` unchanged."""
        return probabilities

    def to_dict(self) -> dict[str, object]:
        """Return the name alone."""
        return {"name": "none"}


@dataclass(frozen=True)
class Temperature:
    """Divides log-probabilities by one temperature (Guo et al. 2017, ICML)."""

    temperature: float

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Return `softmax(log p / temperature)`, `(parcel, class)`."""
        logits = np.log(np.maximum(probabilities, TINY)) / self.temperature
        raised = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(raised / raised.sum(1, keepdims=True))

    def to_dict(self) -> dict[str, object]:
        """Return name and temperature."""
        return {"name": "temperature", "temperature": self.temperature}

    @classmethod
    def fit(
        cls, probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
    ) -> "Temperature":
        """Minimise the log-loss over temperatures between 0.05 and 20, for `probabilities (parcel, class)`,
        `labels` (class indices) and `weights (parcel,)`.
        """
        from scipy.optimize import minimize_scalar

        found = minimize_scalar(
            lambda t: log_loss(cls(float(np.exp(t))).apply(probabilities), labels, weights),
            bounds=(np.log(0.05), np.log(20)),
            method="bounded",
        )
        return cls(float(np.exp(found.x)))


@dataclass(frozen=True)
class Isotonic:
    """One rising step function a class, then rows rescaled to 1 (Zadrozny and Elkan 2002, KDD).

    Each ends within `1 / (n + 2)` of 0 and 1 (Laplace), so that a class with few examples does not get 0.
    """

    inputs: tuple[np.ndarray, ...]
    outputs: tuple[np.ndarray, ...]

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the class-wise values rescaled to a sum of 1, `(parcel, class)`."""
        columns = [
            np.interp(probabilities[:, k], x, y)
            for k, (x, y) in enumerate(zip(self.inputs, self.outputs, strict=True))
        ]
        table = np.column_stack(columns)
        return np.asarray(table / table.sum(1, keepdims=True))

    def to_dict(self) -> dict[str, object]:
        """Return name and the knots of each class."""
        return {
            "name": "isotonic",
            "inputs": [x.tolist() for x in self.inputs],
            "outputs": [y.tolist() for y in self.outputs],
        }

    @classmethod
    def fit(
        cls, probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
    ) -> "Isotonic":
        """Pool adjacent violators for each class against all others, for `probabilities (parcel, class)`,
        `labels` (class indices) and `weights (parcel,)`.
        """
        from sklearn.isotonic import IsotonicRegression

        knots = []
        for k in range(probabilities.shape[1]):
            hit = (labels == k).astype(float)
            floor = 1 / (len(hit) + 2)
            fitted = IsotonicRegression(y_min=floor, y_max=1 - floor).fit(
                probabilities[:, k], hit, sample_weight=weights
            )
            knots.append((fitted.X_thresholds_, fitted.y_thresholds_))
        return cls(tuple(x for x, _ in knots), tuple(y for _, y in knots))


def calibrator_from(stored: Mapping[str, Any]) -> Calibrator:
    """Rebuild a calibrator from what `to_dict` gave.

    Raises
    ------
    ModelError
        Where the name is not known, a temperature is not above 0, or steps are not finite, rising and within
        0 and 1.
    """
    match stored.get("name"):
        case "none":
            return Identity()
        case "temperature":
            temperature = float(stored["temperature"])
            if not (math.isfinite(temperature) and temperature > 0):
                raise ModelError(f"A calibration has the temperature {temperature}; it must be above 0.")
            return Temperature(temperature)
        case "isotonic":
            inputs, outputs = (
                [np.asarray(steps, float) for steps in stored[k]] for k in ("inputs", "outputs")
            )
            for x, y in zip(inputs, outputs, strict=True):
                _check_steps(x, y)
            return Isotonic(tuple(inputs), tuple(outputs))
    raise ModelError(
        f"There is no calibration called {stored.get('name')!r}; known are none, temperature and isotonic."
    )


def _check_steps(inputs: np.ndarray, outputs: np.ndarray) -> None:
    both = np.concatenate([inputs, outputs])
    rising = (np.diff(inputs) >= 0).all() and (np.diff(outputs) >= 0).all()
    if inputs.shape != outputs.shape or inputs.ndim != 1 or not len(inputs) or not rising:
        raise ModelError("A calibration has steps that do not rise; train again.")
    if not (np.isfinite(both).all() and (both >= 0).all() and (both <= 1).all()):
        raise ModelError("A calibration has steps outside 0 and 1; train again.")


def fit_calibrator(
    name: CalibrationName, probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray
) -> Calibrator:
    """Fit the calibration of that name; `choose` takes that of least log-loss on groups held out.

    Parameters
    ----------
    probabilities
        `(parcel, class)` of parcels the model did not train on.
    labels
        `(parcel)` class index.
    groups
        `(parcel)` fold or holding; with a single group nothing can be held out, and `choose` takes the
        temperature.
    """
    if name == "none" or len(labels) < 2:
        return Identity()
    kept = rows_fitted(len(labels))
    probabilities, labels, groups = probabilities[kept], labels[kept], groups[kept]
    if name == "choose":
        name = _choose(probabilities, labels, groups)
    return _FITS[name](probabilities, labels) if name in _FITS else Identity()


def rows_fitted(count: int) -> slice:
    """Return which of `count` rows `fit_calibrator` uses: ROWS at most, evenly taken.

    Examples
    --------
    >>> rows_fitted(5), rows_fitted(50_000)
    (slice(None, None, 1), slice(None, None, 3))
    """
    return slice(None, None, max(-(-count // ROWS), 1))


def cross_calibrate(
    probabilities: np.ndarray, labels: np.ndarray, folds: np.ndarray, name: CalibrationName = "choose"
) -> tuple[np.ndarray, dict[int, Calibrator]]:
    """Calibrate every fold by the labels of the others; no label of a fold touches that fold's probabilities.

    Parameters
    ----------
    probabilities
        `(parcel, class)`, out of fold.
    labels
        `(parcel)` index of the declared class; -1 (none of the classes) takes no part in the fit.
    folds
        `(parcel)`; fold -1 is calibrated by all others.

    Returns
    -------
    tuple
        Calibrated probabilities, and the calibrator of each fold.
    """
    out, fitted = probabilities.astype(float).copy(), {}
    for fold in np.unique(folds):
        others = (folds != fold) & (folds >= 0) & (labels >= 0)
        fitted[int(fold)] = fit_calibrator(name, probabilities[others], labels[others], folds[others])
        out[folds == fold] = fitted[int(fold)].apply(probabilities[folds == fold])
    return out, fitted


def log_loss(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the mean of `-log p` of the labels, for `probabilities (parcel, class)`, `labels` and `weights
    (parcel,)`.
    """
    chosen = np.maximum(probabilities[np.arange(len(labels)), labels], TINY)
    return float(np.average(-np.log(chosen), weights=weights))


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy of the top class, over bins of equal width (Guo et
    al. 2017), for `probabilities (parcel, class)` and `labels (parcel,)`.
    """
    table = reliability(probabilities, labels, bins)
    return float((np.abs(table[:, 1] - table[:, 2]) * table[:, 0]).sum() / max(table[:, 0].sum(), 1))


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> np.ndarray:
    """Count, mean confidence and accuracy of the top class by bin of confidence, `(bin, 3)`."""
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == labels
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(which, minlength=bins)
    sums = np.stack(
        [np.bincount(which, values, minlength=bins) for values in (confidence, hit.astype(float))]
    )
    return np.column_stack([count, *(sums / np.maximum(count, 1))])


def _choose(probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> CalibrationName:
    names: list[CalibrationName] = ["temperature", "isotonic", "none"]
    if len(np.unique(groups)) < 2:
        return "temperature"
    losses = [log_loss(cross_calibrate(probabilities, labels, groups, name)[0], labels) for name in names]
    return names[int(np.argmin(losses))]


_FITS: dict[str, Callable[[np.ndarray, np.ndarray], Calibrator]] = {
    "temperature": Temperature.fit,
    "isotonic": Isotonic.fit,
}
