"""Forecasts by several methods, combined by horizon with weights learned out of fold, with intervals."""

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from features.context.daily import Daily
from features.errors import ModelError
from models.forecast.climatology import NODES, YEAR, Curves, class_curves
from models.forecast.history import History
from models.forecast.intervals import Intervals, calibrate, season_of
from models.forecast.learning.basis import Basis, Damped, basis_of, fit_damped
from models.forecast.learning.boosting import binned, fit_booster, fit_scale, predict, scale_of, size_of
from models.forecast.learning.inputs import Table, table_of
from models.forecast.learning.network import LOOKED_BACK, fit_network, run_network, sequences_of
from models.forecast.learning.samples import AHEAD, STEP, Samples, clouded, horizon_step
from models.forecast.options import ForecastOptions

if TYPE_CHECKING:
    import lightgbm

log = logging.getLogger(__name__)
ALL = -1  # the fold of parcels that no model saw: the models of all parcels
STEPS = AHEAD // STEP
ALWAYS = ("persistence", "climatology", "damped")
TOO_FEW_LOOKS = "too_few_looks"
LEAST_SAMPLES = 200
LEAST_GROUPS = 4
CLOUDED = 1 / 3  # share of what is learned from over which a cloud is laid
ROUGH_SCALE = 0.1  # size of an error where too few samples tell


@dataclass
class Models:
    """The fitted methods of one fold."""

    damped: Damped
    boosters: dict[str, "lightgbm.Booster"] = field(default_factory=dict)
    weights: dict[str, list[np.ndarray]] = field(default_factory=dict)


@dataclass
class Forecaster:
    """Fitted models by fold, curves by fold, and what was learned of their errors out of fold.

    Attributes
    ----------
    folds
        Models and curves; those of ALL saw every parcel and serve parcels that none did.
    combination
        `(step, method)` weights, in the order of `names`.
    scale
        Booster of the expected size of an error; None where too few samples tell.
    columns
        Names of the columns that boosting learned from.
    """

    options: ForecastOptions
    names: tuple[str, ...]
    classes: tuple[str, ...]
    columns: tuple[str, ...]
    weather_ahead: str
    folds: dict[int, tuple[Curves, Models]]
    combination: np.ndarray
    scale: Any
    intervals: Intervals

    def knows(self, day_of_year: np.ndarray) -> np.ndarray:
        """Return `(n,)` bool: days of a time of year at which some parcel was seen in some year.

        Of the rest nothing is known: each method would carry on what it learned of another time of year.
        """
        curves = self.folds[ALL][0]
        node = (np.asarray(day_of_year) / YEAR * NODES).astype(int) % NODES
        return np.asarray(np.isfinite(curves.mean[-1, node]))


@dataclass(frozen=True)
class Forecast:
    """What is forecast of samples: `value (sample,)`, `bounds (sample, 4)` at 5, 25, 75 and 95%, every
    method's own value by name, the `size (sample,)` of error that is expected, and `cells`: step of the
    horizon, season and class, `(sample,)` each, that intervals are calibrated by. Value and bounds are NaN at
    a time of year at which no parcel was ever seen.
    """

    value: np.ndarray
    bounds: np.ndarray
    by_method: Mapping[str, np.ndarray]
    size: np.ndarray
    cells: tuple[np.ndarray, ...]


def fit_forecaster(
    history: History,
    samples: Samples,
    fold: np.ndarray,
    group: np.ndarray,
    options: ForecastOptions,
    ahead: Daily | None = None,
    start: "Forecaster | None" = None,
) -> Forecaster:
    """Fit every method out of fold and on all, learn their weights, and calibrate intervals.

    Parameters
    ----------
    samples
        With a truth; those of parcels of fold -1 are left out. At most `options.most_samples` are used.
    fold, group
        `(parcel,)`: fold by holding and block, and the holding or block itself.
    ahead
        Daily weather of the days ahead, as `options.weather_ahead` claims it.
    start
        Models that are trained further.

    Raises
    ------
    ModelError
        Where there are too few samples, or parcels lie in fewer than two folds.
    """
    history = _asked(history, options)
    if start is not None:  # trees of those models split by the numbers of their classes
        new = (name for name in history.classes if name not in start.classes)
        history = history.in_classes((*start.classes, *new))
    samples = _learned_from(history, samples, fold, options)
    own, n_groups = fold[samples.parcel], len(np.unique(group[samples.parcel]))
    if len(samples) < LEAST_SAMPLES or len(np.unique(own)) < 2:
        raise ModelError(
            f"{len(samples)} looks followed by another within {options.ahead_days} days, in "
            f"{len(np.unique(own))} folds of holdings and blocks, are too few to learn a forecast from "
            f"({LEAST_SAMPLES} in two folds are the least); give earlier seasons (forecast.history), or "
            "another run's models (forecast.from_run).",
            reason=TOO_FEW_LOOKS,
        )
    last = int(samples.target.max())
    names = (*ALWAYS, *(name for name in options.methods if name not in ALWAYS))
    found: dict[str, np.ndarray] = {name: np.full(len(samples), np.nan) for name in names}
    folds: dict[int, tuple[Curves, Models]] = {}
    tables: list[tuple[np.ndarray, Table]] = []
    columns: tuple[str, ...] = ()

    def of_fold(k: int) -> tuple[Curves, Models, np.ndarray, Table]:
        curves = class_curves(history, np.flatnonzero((fold != k) & (fold >= 0)), last)
        basis, damped, table = _inputs(history, samples, own != k, curves, options, ahead, last)
        earlier = _earlier(start, options, table.names)
        models = _fit(history, samples, own != k, basis, damped, table, options, ahead, earlier)
        held = np.flatnonzero(own == k)
        some = samples.take(held)
        part, of = _rows(basis, held), Table(table.value[held], table.names, table.group)
        if len(held):
            for name, value in _methods(models, history, some, part, of, options, ahead, names).items():
                found[name][held] = value
        return curves, models, held, of

    numbers = [*np.unique(own).tolist(), ALL]
    with ThreadPoolExecutor(_side_by_side(options)) as pool:
        for k, (curves, models, held, table) in zip(numbers, pool.map(of_fold, numbers), strict=True):
            folds[int(k)], columns = (curves, models), table.names
            if k != ALL:
                tables.append((held, table))
    step = horizon_step(samples.target - samples.origin)
    combination = _combination(found, samples.truth, step, group[samples.parcel], names)
    value = _combined(found, combination, step, names)
    at = np.concatenate([held for held, _ in tables])
    table = Table(np.concatenate([of.value for _, of in tables]), columns, tables[0][1].group)
    error = (samples.truth - value)[at]
    scale, size = _scales(table, error, own[at], options)
    season = season_of(history.day_of_year(samples.target))
    klass = history.crop_on(samples.parcel, samples.target).astype(int)
    intervals = calibrate(
        error / size, step[at], season[at], klass[at], group[samples.parcel][at], STEPS, len(history.classes)
    )
    log.info("forecasts learned from %d samples of %d groups", len(samples), n_groups)
    return Forecaster(
        options, names, history.classes, columns, options.weather_ahead, folds, combination, scale, intervals
    )


def forecast(
    forecaster: Forecaster,
    history: History,
    samples: Samples,
    fold: np.ndarray,
    ahead: Daily | None = None,
) -> Forecast:
    """Forecast samples, each by models that did not see its parcel.

    Parameters
    ----------
    fold
        `(parcel,)`: that of the models to use; ALL where none saw the parcel.

    Raises
    ------
    ModelError
        Where the history has other inputs than the models learned from; the difference is named.
    """
    options, names = forecaster.options, forecaster.names
    history = _asked(history, options).in_classes(forecaster.classes)
    found = {name: np.full(len(samples), np.nan) for name in names}
    size = np.full(len(samples), ROUGH_SCALE)
    own = fold[samples.parcel]
    for k, (curves, models) in forecaster.folds.items():
        rows = np.flatnonzero(
            own == k if k != ALL else ~np.isin(own, [f for f in forecaster.folds if f != ALL])
        )
        if not len(rows):
            continue
        some = samples.take(rows)
        basis = basis_of(history, some, curves, ahead=ahead)
        table = table_of(history, some, basis, models.damped, curves, options.inputs, ahead)
        _check_columns(forecaster.columns, table.names)
        for name, value in _methods(models, history, some, basis, table, options, ahead, names).items():
            found[name][rows] = value
        if forecaster.scale is not None:
            size[rows] = scale_of(forecaster.scale, table, options.threads)
    step = horizon_step(samples.target - samples.origin)
    value = _combined(found, forecaster.combination, step, names)
    value = np.where(forecaster.knows(history.day_of_year(samples.target)), value, np.nan)
    season = season_of(history.day_of_year(samples.target))
    crop = history.crop_on(samples.parcel, samples.target)
    cells = step, season, np.where(crop < 0, len(forecaster.classes), crop)
    return Forecast(value, forecaster.intervals.of(value, size, *cells), found, size, cells)


def renewed(forecaster: Forecaster, history: History, fold: np.ndarray) -> Forecaster:
    """Return fitted models with the class curves of another history: what was seen since they were fitted is
    usual then, and times of year that were seen for the first time are forecast.

    Parameters
    ----------
    fold
        `(parcel,)`: curves of a fold are those of the parcels of the others; -1 is left out.
    """
    history = _asked(history, forecaster.options).in_classes(forecaster.classes)
    folds = {
        k: (class_curves(history, np.flatnonzero((fold != k) & (fold >= 0))), models)
        for k, (_, models) in forecaster.folds.items()
    }
    return replace(forecaster, folds=folds)


def _asked(history: History, options: ForecastOptions) -> History:
    """Return the history without the weather where that is not asked for: warmth shifts climatology too."""
    return history if "weather" in options.inputs else replace(history, weather=None)


def _check_columns(learned: tuple[str, ...], given: tuple[str, ...]) -> None:
    if learned == given:
        return
    missing, more = sorted(set(learned) - set(given)), sorted(set(given) - set(learned))
    said = [
        f"{what}: {', '.join(some)}"
        for what, some in (("not given here", missing), ("new here", more))
        if some
    ]
    raise ModelError(
        "The forecast models learned from other inputs than this run has ("
        f"{'; '.join(said) or 'another order'}). Give the same (forecast.inputs, "
        "forecast.weather_ahead and the files they need), or train anew."
    )


def _learned_from(history: History, samples: Samples, fold: np.ndarray, options: ForecastOptions) -> Samples:
    """Return samples with a truth of parcels in folds, at most so many, drawn alike from all."""
    usable = np.flatnonzero(np.isfinite(samples.truth) & (fold[samples.parcel] >= 0))
    if len(usable) > options.most_samples:
        rng = np.random.default_rng([options.seed, 23])
        usable = np.sort(rng.choice(usable, options.most_samples, replace=False))
    return clouded(history, samples.take(usable), CLOUDED, np.random.default_rng([options.seed, 29]))


def _side_by_side(options: ForecastOptions) -> int:
    """Return how many folds are fitted side by side; networks are one graph, and take turns."""
    return 1 if any(name in LOOKED_BACK for name in options.methods) else options.threads


def _inputs(
    history: History, samples: Samples, taught: np.ndarray, curves: Curves, options: ForecastOptions,
    ahead: Daily | None, last: int,
) -> tuple[Basis, Damped, Table]:  # fmt: skip
    basis = basis_of(history, samples, curves, last, ahead)
    rows = np.flatnonzero(taught)
    damped = fit_damped(samples.take(rows), _rows(basis, rows))
    return basis, damped, table_of(history, samples, basis, damped, curves, options.inputs, ahead)


def _rows(basis: Basis, rows: np.ndarray) -> Basis:
    return Basis(
        basis.last[rows], basis.last_day[rows], basis.usual_then[rows], basis.usual[rows], basis.spread[rows],
        basis.weight[rows], basis.climate, basis.pair[rows], basis.curve[rows], basis.phase[rows],
        basis.phase_then[rows],
    )  # fmt: skip


def _earlier(start: Forecaster | None, options: ForecastOptions, columns: tuple[str, ...]) -> Models | None:
    if start is None:
        return None
    _check_columns(start.columns, columns)
    if start.options.units != options.units and any(name in LOOKED_BACK for name in options.methods):
        raise ModelError(
            f"The models to train further have {start.options.units} units, the config asks for "
            f"{options.units}; set forecast.units alike."
        )
    return start.folds[ALL][1]


def _fit(
    history: History,
    samples: Samples,
    taught: np.ndarray,
    basis: Basis,
    damped: Damped,
    table: Table,
    options: ForecastOptions,
    ahead: Daily | None,
    earlier: Models | None,
) -> Models:
    """Fit the methods on the samples of which `taught (sample,)` is true; parcels weigh alike."""
    rows = np.flatnonzero(taught)
    some, part = samples.take(rows), _rows(basis, rows)
    of = Table(table.value[rows], table.names, table.group)
    counts = np.bincount(some.parcel, minlength=len(history))[some.parcel]
    weight = len(rows) / len(np.unique(some.parcel)) / counts
    models = Models(damped)
    if "boosting" in options.methods:
        # the change since the last clear value, beyond what damping already expects of it
        change = some.truth - damped.forecast(part, part.lead(some))
        begin = earlier.boosters.get("boosting") if earlier else None
        models.boosters["boosting"] = fit_booster(of, change, options, weight=weight, start=begin)
    for name in LOOKED_BACK:
        if name in options.methods:
            sequences = sequences_of(history, some, part, name, options.inputs, ahead)
            weights = earlier.weights.get(name) if earlier else None
            models.weights[name] = fit_network(sequences, some.truth - part.persistence, options, weights)
    return models


def _methods(
    models: Models,
    history: History,
    samples: Samples,
    basis: Basis,
    table: Table,
    options: ForecastOptions,
    ahead: Daily | None,
    names: tuple[str, ...],
) -> dict[str, np.ndarray]:
    found = {
        "persistence": basis.persistence,
        "climatology": basis.climatology,
        "damped": models.damped.forecast(basis, basis.lead(samples)),
    }
    if "boosting" in names:
        change = predict(models.boosters["boosting"], table, options.threads)
        found["boosting"] = found["damped"] + change
    for name in LOOKED_BACK:
        if name in names:
            sequences = sequences_of(history, samples, basis, name, options.inputs, ahead)
            found[name] = basis.persistence + run_network(models.weights[name], sequences, options.units)
    return found


def _combination(
    found: Mapping[str, np.ndarray], truth: np.ndarray, step: np.ndarray, group: np.ndarray,
    names: tuple[str, ...],
) -> np.ndarray:  # fmt: skip
    """Return `(step, method)` weights that are not negative and sum to one, of least squared error.

    Groups weigh alike. Each step is fitted with its neighbours; weights come from non-negative least squares.
    """
    from scipy.optimize import nnls

    values = np.column_stack([found[name] for name in names])
    known = np.isfinite(values).all(1)
    _, at, size = np.unique(group, return_inverse=True, return_counts=True)
    root = np.sqrt(1 / size[at])
    weights = np.zeros((STEPS, len(names)))
    for one in range(STEPS):
        near = known & (np.abs(step - one) <= 1)
        if near.sum() < 10:
            weights[one, names.index("climatology")] = 1
            continue
        # a heavy row asks for a sum of one
        x = np.vstack([values[near] * root[near, None], np.full(len(names), 1e3)])
        weights[one] = nnls(x, np.append(truth[near] * root[near], 1e3))[0]
        weights[one] /= max(weights[one].sum(), 1e-9)
    return weights


def _combined(
    found: Mapping[str, np.ndarray], combination: np.ndarray, step: np.ndarray, names: tuple[str, ...]
) -> np.ndarray:
    values = np.column_stack([found[name] for name in names])
    weight = combination[step] * np.isfinite(values)
    total = weight.sum(1)
    value = (np.nan_to_num(values) * weight).sum(1)
    mixed = np.divide(value, total, out=np.full(len(value), np.nan), where=total > 0)
    return np.asarray(np.where(np.isfinite(mixed), mixed, found["climatology"]).clip(-1, 1))


def _scales(
    table: Table, error: np.ndarray, fold: np.ndarray, options: ForecastOptions
) -> tuple[Any, np.ndarray]:
    """Return the booster of the expected size of an error, and that size of each sample, out of fold."""
    size = np.empty(len(error))
    data = binned(table, size_of(error), options).construct()

    def without(k: int) -> None:
        mine = np.flatnonzero(fold == k)
        booster = fit_scale(data, np.flatnonzero(fold != k), options)
        size[mine] = scale_of(booster, Table(table.value[mine], table.names, table.group), 1)

    with ThreadPoolExecutor(options.threads) as pool:
        whole = pool.submit(fit_scale, data, np.arange(len(error)), options)
        list(pool.map(without, np.unique(fold).tolist()))
        return whole.result(), size
