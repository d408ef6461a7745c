"""Out-of-fold probabilities of a run, read for some parcels at a time."""

import numpy as np
import polars as pl

from features.errors import StageError
from features.memory import fitting
from features.schema import ENSEMBLE

KEYS = ("parcel_id", "model", "fold")
LEAST_PARCELS, MOST_PARCELS = 1024, 32_768  # at a time
SHARE = 1 / 8  # of the memory that may be used
BYTES_A_CELL = 64  # of a probability: as it is read, ordered, calibrated, and the signals made of it
Table = pl.DataFrame | pl.LazyFrame


class Predicted:
    """The probabilities of the parcels that have some and stand in a table of declarations.

    Parameters
    ----------
    probabilities
        `parcel_id, fold`, one Float64 column a class, and `model` where there is more than the ensemble;
        a lazy table is never held whole.
    table
        At least `parcel_id, crop_class, intervention`, one row per parcel.

    Attributes
    ----------
    rows
        `parcel_id, fold`, and the table's columns with `at`, its row there; in the table's order.
    classes
        `(class,)` names.

    Raises
    ------
    StageError
        Where the probabilities hold no rows of the ensemble.
    """

    def __init__(self, probabilities: Table, table: pl.DataFrame) -> None:
        self._source = probabilities.lazy()
        names = self._source.collect_schema().names()
        self.classes = np.array([name for name in names if name not in KEYS], dtype=object)
        self._models = models_of(self._source)
        ensemble = ensemble_of(self._source).select("parcel_id", "fold").collect()
        joined = ensemble.join(table.with_row_index("at"), on="parcel_id", how="inner", validate="1:1")
        self.rows = joined.sort("at")

    def at_once(self) -> int:
        """Return how many parcels are scored at a time."""
        each = BYTES_A_CELL * len(self.classes) * max(len(self._models), 1)
        return fitting(each, SHARE, LEAST_PARCELS, MOST_PARCELS)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Return `(model, row, class)`: the ensemble's probabilities, and where it has several, each model's
        own; what a model does not say of a parcel is the same for every class.
        """
        wanted = self.rows.select("parcel_id").select(pl.col("parcel_id").gather(rows))
        found = taken(self._source, wanted)
        views = [_values(found, wanted, self.classes)] if not self._models else []
        for name in self._models:
            own = found.filter(pl.col("model") == name).drop("model")
            views.append(_values(own, wanted, self.classes))
        return np.stack(views)


def models_of(probabilities: pl.LazyFrame) -> list[str]:
    """Return the ensemble, and its models where there are several; none where the table names no models.

    Raises
    ------
    StageError
        Where it names models, and the ensemble is not among them.
    """
    if "model" not in probabilities.collect_schema().names():
        return []
    names = probabilities.select(pl.col("model").unique().sort()).collect()["model"].to_list()
    if names and ENSEMBLE not in names:
        raise StageError(f"The probabilities hold no model called {ENSEMBLE!r}; run cropcheck train again.")
    models = [name for name in names if name != ENSEMBLE]
    return [ENSEMBLE, *(models if len(models) > 1 else [])]


def ensemble_of(probabilities: pl.LazyFrame) -> pl.LazyFrame:
    """Return the ensemble's rows of a probability table, without the column that names the model."""
    if "model" not in probabilities.collect_schema().names():
        return probabilities
    return probabilities.filter(pl.col("model") == ENSEMBLE).drop("model")


def taken(source: pl.LazyFrame, wanted: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the parcels in `wanted`, which has the column `parcel_id`."""
    names = wanted["parcel_id"].unique().implode()
    return source.filter(pl.col("parcel_id").is_in(names)).collect(engine="streaming")


def _values(found: pl.DataFrame, wanted: pl.DataFrame, classes: np.ndarray) -> np.ndarray:
    joined = wanted.join(found, on="parcel_id", how="left", maintain_order="left", validate="m:1")
    filled = joined.select(classes.tolist()).fill_null(1 / max(len(classes), 1))
    return np.ascontiguousarray(filled.to_numpy())
