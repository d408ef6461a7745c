"""Boosted trees that predict the change since the last clear value, or how large an error will be."""

from typing import TYPE_CHECKING, Any

import numpy as np

from models.forecast.learning.inputs import Table
from models.forecast.options import ForecastOptions

if TYPE_CHECKING:
    import lightgbm

SCALE_ROUNDS = 60
LEAST_SCALE = 0.01  # of NDVI: what a sensor repeats


def parameters(options: ForecastOptions) -> dict[str, Any]:
    """Return LightGBM's parameters: a fit takes one thread, and several fits run side by side."""
    return {
        "objective": "l2", "learning_rate": options.learning_rate, "num_leaves": options.leaves,
        "feature_fraction": 0.3, "bagging_fraction": 0.6, "bagging_freq": 1, "min_data_in_leaf": 200,
        "lambda_l2": 50.0, "max_bin": 63, "num_threads": 1, "seed": options.seed,
        "deterministic": True, "force_col_wise": True, "verbosity": -1,
    }  # fmt: skip


def fit_booster(
    table: Table,
    change: np.ndarray,
    options: ForecastOptions,
    rounds: int | None = None,
    weight: np.ndarray | None = None,
    start: "lightgbm.Booster | None" = None,
) -> "lightgbm.Booster":
    """Fit boosted trees on changes `(sample,)`; `start` is a booster that is trained further."""
    import lightgbm

    settings = parameters(options)
    crop = [k for k, name in enumerate(table.names) if name == "crop"]
    data = lightgbm.Dataset(
        table.value,
        change,
        weight=weight,
        params=settings,
        categorical_feature=crop,
        free_raw_data=start is None,
    )
    return lightgbm.train(settings, data, num_boost_round=rounds or options.rounds, init_model=start)


def fit_scale(table: Table, error: np.ndarray, options: ForecastOptions) -> "lightgbm.Booster":
    """Fit how large an error is to be expected: the logarithm of its size, `(sample)`."""
    size = np.log(np.abs(error) + LEAST_SCALE)
    small = options.model_copy(update={"leaves": 12, "learning_rate": 0.1})
    return fit_booster(table, size, small, SCALE_ROUNDS)


def predict(booster: "lightgbm.Booster", table: Table, threads: int) -> np.ndarray:
    """Return `(sample,)`."""
    return np.asarray(booster.predict(table.value, num_threads=threads))


def scale_of(booster: "lightgbm.Booster", table: Table, threads: int) -> np.ndarray:
    """Return `(sample,)` the size of error to be expected, in NDVI."""
    return np.asarray(np.exp(predict(booster, table, threads)))
