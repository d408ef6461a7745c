"""LightGBM's model text, checked by ourselves before the library reads it.

Its own reader trusts what it reads: sizes that do not fit, indices out of range or trees that lead back to
themselves end the process, or never end. What passes here is of the plain kind that `lightgbm.train` writes
for us: one objective, numerical splits, categories only in the columns that have some, no linear leaves.
Format: LightGBM 4, its files `src/boosting/gbdt_model_text.cpp` and `src/io/tree.cpp`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from features.errors import ModelError

MOST_BYTES = 1 << 30
MOST_LEAVES = 131_072  # LightGBM's own limit
MOST_TREES = 100_000
END_OF_TREES = "end of trees"
VERSIONS = ("v3", "v4")
HEADER = {
    "version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective",
    "feature_names", "feature_infos", "tree_sizes", "monotone_constraints",
}  # fmt: skip
OF_SPLITS = (
    "split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child",
    "internal_value", "internal_weight", "internal_count",
)  # fmt: skip
OF_LEAVES = ("leaf_value", "leaf_weight", "leaf_count")
OF_CATEGORIES = ("cat_boundaries", "cat_threshold")
SCALARS = ("num_leaves", "num_cat", "is_linear", "shrinkage")
WHOLE = {
    "split_feature", "decision_type", "left_child", "right_child", "leaf_count", "internal_count",
    *OF_CATEGORIES,
}  # fmt: skip
DECISIONS = (0, 2, 4, 6, 8, 10)  # numerical; default to the right or left; missing: none, zero or NaN
BY_CATEGORY = (1, 5, 9)  # categorical; missing: none, zero or NaN
WORD = 1 << 32  # categories are bits of such words
_NUMBER = r"-?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?"
_NUMBERS = re.compile(rf"{_NUMBER}( {_NUMBER})*", re.ASCII)
_THRESHOLD = rf"({_NUMBER}|inf)"  # inf: known values to one side, missing ones to the other
_THRESHOLDS = re.compile(rf"{_THRESHOLD}( {_THRESHOLD})*", re.ASCII)
_WHOLE_NUMBERS = re.compile(r"-?\d{1,10}( -?\d{1,10})*", re.ASCII)
_NAME, _RANGE = re.compile(r"\w+", re.ASCII), re.compile(rf"none|\[{_NUMBER}:{_NUMBER}\]", re.ASCII)
_CATEGORIES = re.compile(r"-?\d{1,10}(:-?\d{1,10})*", re.ASCII)


@dataclass(frozen=True)
class BoosterShape:
    """What a model text must be, by what its reader expects of it.

    Attributes
    ----------
    objective
        As LightGBM writes it: `binary sigmoid:1`, `regression`, `multiclass num_class:9`.
    columns
        How many it reads.
    classes
        Trees of a round: one per class, one where there are no classes.
    categorical
        Columns, counted from 0, that a tree may split by category.
    most_leaves, most_trees
        Leaves of a tree, and trees of the model, at most.
    """

    objective: str
    columns: int
    classes: int = 1
    categorical: frozenset[int] = frozenset()
    most_leaves: int = MOST_LEAVES
    most_trees: int = MOST_TREES


def check_booster_text(text: str, shape: BoosterShape) -> None:
    """Check a LightGBM model text from its header to every tree's arrays.

    Raises
    ------
    ModelError
        Where anything is not as LightGBM writes it or as `shape` has it, a size does not fit, an index is out
        of range, a number is not finite, or a tree is no tree.
    """
    try:
        _check(text, shape)
    except (ValueError, OverflowError, KeyError, IndexError) as error:
        raise ModelError(f"The LightGBM model is not as LightGBM writes it: {error}.") from error


def _check(text: str, shape: BoosterShape) -> None:
    if len(text) > MOST_BYTES or not text.isascii() or "\0" in text:
        raise ValueError("it is too large, or no plain text")
    head, _, rest = text.partition("\n\n")
    sizes = _checked_header(head, shape)
    if len(sizes) > shape.most_trees or len(sizes) % shape.classes:
        raise ValueError(f"{len(sizes)} trees for {shape.classes} classes, of {shape.most_trees} at most")
    trees, start = rest.lstrip("\n"), 0
    for number, size in enumerate(sizes):
        _check_tree(trees[start : start + size], number, shape)
        start += size
    end = trees[start:]
    if not end.startswith(f"{END_OF_TREES}\n"):
        raise ValueError("the sizes of the trees do not add up")
    if "\nTree=" in end or "\npandas_categorical:" in end.removesuffix("\npandas_categorical:null\n"):
        raise ValueError("something stands after the trees that should not")


def _checked_header(head: str, shape: BoosterShape) -> list[int]:
    """Check the header, and return the size of each tree's text."""
    first, *lines = head.split("\n")
    fields = _fields(lines, HEADER)
    names, infos = fields["feature_names"].split(" "), fields["feature_infos"].split(" ")
    expected = {
        "version": fields["version"] if fields["version"] in VERSIONS else VERSIONS[-1],
        "num_class": str(shape.classes),
        "num_tree_per_iteration": str(shape.classes),
        "label_index": "0",
        "max_feature_idx": str(shape.columns - 1),
        "objective": shape.objective,
    }
    wrong = [f"{name} is {fields.get(name)}" for name, value in expected.items() if fields.get(name) != value]
    if first != "tree" or wrong:
        raise ValueError("; ".join(wrong) or "it does not begin with `tree`")
    known = (
        _RANGE.fullmatch(info) or (column in shape.categorical and _CATEGORIES.fullmatch(info))
        for column, info in enumerate(infos)
    )
    plain = all(map(_NAME.fullmatch, names)) and all(known)
    if not plain or not len(set(names)) == len(names) == len(infos) == shape.columns:
        raise ValueError(f"{len(names)} names and {len(infos)} ranges of {shape.columns} columns")
    sizes = [int(size) for size in _array(fields["tree_sizes"], _WHOLE_NUMBERS, np.int64)]
    if min(sizes) <= 0:
        raise ValueError("a tree has no size")
    return sizes


def _check_tree(block: str, number: int, shape: BoosterShape) -> None:
    first, *lines = block.rstrip("\n").split("\n")
    if first != f"Tree={number}" or not block.endswith("\n\n"):
        raise ValueError(f"tree {number} does not begin and end where its size says")
    fields = _fields(lines, {*OF_SPLITS, *OF_LEAVES, *OF_CATEGORIES, *SCALARS})
    leaves, sets = (
        int(_array(fields[name], _WHOLE_NUMBERS, np.int64)[0]) for name in ("num_leaves", "num_cat")
    )
    if not 1 <= leaves <= shape.most_leaves or not 0 <= sets < leaves or fields["is_linear"] != "0":
        raise ValueError(
            f"tree {number} has {leaves} leaves, of {shape.most_leaves} at most, or is of another kind"
        )
    arrays = {
        name: _tree_array(name, fields[name], count, number)
        for names, count in ((OF_SPLITS, leaves - 1), (OF_LEAVES, leaves))
        for name in names
        if name in fields or name not in ("leaf_weight", "leaf_count")
    }
    if not np.isfinite(_array(fields["shrinkage"], _NUMBERS, np.float64)).all():
        raise ValueError(f"tree {number} has no shrinkage")
    _check_splits(arrays, leaves, number, shape)
    _check_categories(fields, arrays, sets, number)


def _tree_array(name: str, text: str, count: int, number: int) -> np.ndarray:
    """Numbers of one line of a tree; a tree of one leaf has no split, and may leave leaf counts out."""
    form = _WHOLE_NUMBERS if name in WHOLE else _THRESHOLDS if name == "threshold" else _NUMBERS
    values = _array(text, form, np.int64 if name in WHOLE else np.float64) if text else np.empty(0)
    absent = count == 1 and name in ("leaf_weight", "leaf_count") and not len(values)
    if len(values) != count and not absent:
        raise ValueError(f"tree {number} has {len(values)} numbers of {name}, where {count} belong")
    if not (np.isfinite(values) | ((name == "threshold") & (values == np.inf))).all():
        raise ValueError(f"tree {number} has {name} that is not finite")
    return values


def _check_splits(arrays: Mapping[str, np.ndarray], leaves: int, number: int, shape: BoosterShape) -> None:
    """Check that splits name columns, by category only where there are some, and that every node but the root
    has one parent.

    LightGBM appends nodes, so a child stands after its parent: with that, no path leads back.
    """
    feature, children = arrays["split_feature"], np.array([arrays["left_child"], arrays["right_child"]])
    inside = (feature >= 0) & (feature < shape.columns)
    by_category = np.isin(arrays["decision_type"], BY_CATEGORY) & np.isin(feature, list(shape.categorical))
    if not (inside & (np.isin(arrays["decision_type"], DECISIONS) | by_category)).all():
        raise ValueError(f"tree {number} splits by a column that there is not, or in another way")
    inner, ends = children[children >= 0], -children[children < 0] - 1
    whole = np.array_equal(np.sort(inner), np.arange(1, leaves - 1)) if leaves > 1 else not inner.size
    if not whole or not np.array_equal(np.sort(ends), np.arange(leaves if leaves > 1 else 0)):
        raise ValueError(f"tree {number} does not hold every node and leaf once")
    if ((children >= 0) & (children <= np.arange(max(leaves - 1, 0)))).any():
        raise ValueError(f"tree {number} leads back to a node before")


def _check_categories(
    fields: Mapping[str, str], arrays: Mapping[str, np.ndarray], sets: int, number: int
) -> None:
    """Check that each split by category names one set of categories, and that the sets fill their words.

    `threshold` of such a split is the number of its set; set k holds the words from `cat_boundaries[k]` to
    `cat_boundaries[k + 1]`.
    """
    named = arrays["threshold"][np.isin(arrays["decision_type"], BY_CATEGORY)]
    if not sets and not len(named) and not any(name in fields for name in OF_CATEGORIES):
        return
    bounds, words = (_array(fields[name], _WHOLE_NUMBERS, np.int64) for name in OF_CATEGORIES)
    rising = bounds[0] == 0 and (np.diff(bounds) > 0).all() and bounds[-1] == len(words)
    if not np.array_equal(named, np.arange(sets)) or len(bounds) != sets + 1 or not rising:
        raise ValueError(f"tree {number} has sets of categories that do not fit")
    if ((words < 0) | (words >= WORD)).any():
        raise ValueError(f"tree {number} has categories beyond 32 bits")


def _fields(lines: list[str], known: set[str]) -> dict[str, str]:
    pairs = [line.partition("=") for line in lines]
    names = [name for name, _, _ in pairs]
    odd = [name for name, equals, _ in pairs if name not in known or not equals]
    if odd or len(set(names)) != len(names):
        raise ValueError(f"{(odd or names)[0]!r:.40} is no line of a model, or stands twice")
    return {name: value for name, _, value in pairs}


def _array(text: str, form: re.Pattern[str], kind: type) -> np.ndarray:
    if not form.fullmatch(text):
        raise ValueError(f"{text!r:.40} is no list of numbers")
    return np.array(text.split(" "), dtype=kind)
