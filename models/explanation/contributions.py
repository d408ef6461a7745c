"""What each value adds to a class's score: by LightGBM itself, and by shap for the forests."""

import re
import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from models.crops.estimators.boosting import LightgbmClassifier
from models.crops.estimators.forest import ForestClassifier
from models.crops.inputs.arrays import conform
from models.crops.inputs.table import Column, columns_of, wide_table

if TYPE_CHECKING:
    import lightgbm

TREE = re.compile(r"(?=^Tree=\d+$)", re.MULTILINE)


def booster_of_class(model: LightgbmClassifier, crop_class: str) -> "lightgbm.Booster":
    """Return a booster of one class's trees: the same contributions at a k-th of the cost."""
    import lightgbm

    made: dict[str, lightgbm.Booster] = model.__dict__.setdefault(
        "_of_class", {}
    )  # chunk after chunk asks for them
    if crop_class not in made:
        position = int(np.searchsorted(model.classes_, crop_class))
        text = _text_of_class(model.text(), position, len(model.classes_))
        made[crop_class] = lightgbm.Booster(model_str=text)
    return made[crop_class]


def _text_of_class(text: str, position: int, k: int) -> str:
    """Keep every k-th tree of LightGBM's text, renumbered; the header then says one class and their sizes."""
    head, trees, tail = _parts(text)
    kept = [re.sub(r"^Tree=\d+", f"Tree={i}", tree) for i, tree in enumerate(trees[position::k])]
    sizes = " ".join(str(len(tree.encode())) for tree in kept)
    for pattern, value in (
        (r"^num_class=.*$", "num_class=1"),
        (r"^num_tree_per_iteration=.*$", "num_tree_per_iteration=1"),
        (r"^objective=.*$", "objective=regression"),
        (r"^tree_sizes=.*$", f"tree_sizes={sizes}"),
    ):
        head = re.sub(pattern, value, head, flags=re.MULTILINE)
    return head + "".join(kept) + tail


@lru_cache(maxsize=8)  # the classes of a fold's model follow one another
def _parts(text: str) -> tuple[str, list[str], str]:
    """Header, trees, and what follows them."""
    head, *trees = TREE.split(text)
    trees[-1], end, tail = trees[-1].partition("end of trees")
    return head, trees, end + tail


def tree_contributions(
    model: LightgbmClassifier, series: xr.Dataset, crop_class: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return contributions to a class's raw score, `(n, column)`, and the `(n,)` base they add up with."""
    table = wide_table(conform(series, model.layout_), model.settings.summaries)
    found = booster_of_class(model, crop_class).predict(
        table, pred_contrib=True, num_threads=model.settings.threads
    )
    return np.asarray(found)[:, :-1], np.asarray(found)[:, -1]


def forest_contributions(
    model: ForestClassifier, series: xr.Dataset, crop_class: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return contributions to a class's probability, `(n, column)`, and the `(n,)` base they add up with.

    Exact for the trees as they are (TreeSHAP: Lundberg et al. 2020, doi:10.1038/s42256-019-0138-9), by shap.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its plots, which are not used, ask matplotlib for old names
        import shap

    table = model.filled_table(conform(series, model.layout_))
    position = int(np.searchsorted(model.classes_, crop_class))
    explainer = shap.TreeExplainer(model.forest_)
    found = np.asarray(explainer.shap_values(table, check_additivity=False))[..., position]
    return found, np.full(len(table), np.ravel(explainer.expected_value)[position])


def columns(model: LightgbmClassifier | ForestClassifier) -> list[Column]:
    """Return the meaning of the columns of `tree_contributions` and `forest_contributions`."""
    return columns_of(model.layout_, model.settings.summaries)


def sums_by(contributions: np.ndarray, keys: Iterable[object]) -> tuple[list[Any], np.ndarray]:
    """Sum signed columns that share a key: `(n, column)` to keys and `(n, key)`.

    Examples
    --------
    >>> keys, sums = sums_by(np.array([[1.0, -3.0, 2.0]]), ["a", "b", "a"])
    >>> keys, sums.tolist()
    (['a', 'b'], [[3.0, -3.0]])
    """
    every = list(keys)
    unique = list(dict.fromkeys(every))
    place = {key: i for i, key in enumerate(unique)}
    chooser = np.zeros((len(every), len(unique)))
    chooser[np.arange(len(every)), [place[key] for key in every]] = 1
    return unique, contributions @ chooser
