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


def binned(
    table: Table,
    truth: np.ndarray,
    options: ForecastOptions,
    weight: np.ndarray | None = None,
    kept: bool = False,
) -> "lightgbm.Dataset":
    """Return LightGBM's data set of a table, its columns in bins, with `truth (sample,)`; where it is `kept`,
    with the table, for a booster that is trained further.
    """
    import lightgbm

    crop = [k for k, name in enumerate(table.names) if name == "crop"]
    return lightgbm.Dataset(
        table.value,
        truth,
        weight=weight,
        params=parameters(options),
        categorical_feature=crop,
        free_raw_data=not kept,
    )


def fit_booster(
    table: Table,
    change: np.ndarray,
    options: ForecastOptions,
    weight: np.ndarray | None = None,
    start: "lightgbm.Booster | None" = None,
) -> "lightgbm.Booster":
    """Fit boosted trees on changes `(sample,)`; `start` is a booster that is trained further."""
    import lightgbm

    data = binned(table, change, options, weight, kept=start is not None)
    return lightgbm.train(parameters(options), data, num_boost_round=options.rounds, init_model=start)


def fit_scale(data: "lightgbm.Dataset", rows: np.ndarray, options: ForecastOptions) -> "lightgbm.Booster":
    """Fit how large an error is to be expected on rows `(k,)` of `binned`, whose truth is `size_of`.

    Fits without a fold and that of all share the bins, which take as long as a fit.
    """
    import lightgbm

    small = parameters(options.model_copy(update={"leaves": 12, "learning_rate": 0.1}))
    return lightgbm.train(small, data.subset(rows.tolist()), num_boost_round=SCALE_ROUNDS)


def size_of(error: np.ndarray) -> np.ndarray:
    """Return the logarithm of the size of errors `(sample,)`."""
    return np.asarray(np.log(np.abs(error) + LEAST_SCALE))


def predict(booster: "lightgbm.Booster", table: Table, threads: int) -> np.ndarray:
    """Return `(sample,)`."""
    return np.asarray(booster.predict(table.value, num_threads=threads))


def scale_of(booster: "lightgbm.Booster", table: Table, threads: int) -> np.ndarray:
    """Return `(sample,)` the size of error to be expected, in NDVI."""
    return np.asarray(np.exp(predict(booster, table, threads)))
