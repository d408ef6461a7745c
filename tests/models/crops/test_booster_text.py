"""LightGBM's model text is read by ourselves first: what would end the library's process is refused."""

import re
from collections.abc import Callable

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import ModelError
from models.crops.estimators.booster_text import check_booster_text

CLASSES, COLUMNS, LEAVES, ROUNDS = 3, 5, 4, 2
LIMITS = {"classes": CLASSES, "columns": COLUMNS, "most_leaves": LEAVES, "most_trees": ROUNDS * CLASSES}


def made(least_in_leaf: int = 5) -> str:
    rng = np.random.default_rng(0)
    table, codes = rng.normal(size=(90, COLUMNS)), np.arange(90) % CLASSES
    table[:, 0] += codes
    table[::7, 1] = np.nan
    parameters = {
        "objective": "multiclass", "num_class": CLASSES, "num_leaves": LEAVES, "verbosity": -1,
        "min_data_in_leaf": least_in_leaf, "num_threads": 1,
    }  # fmt: skip
    data = lightgbm.Dataset(table, codes, params=parameters)
    return str(lightgbm.train(parameters, data, ROUNDS).model_to_string())


TEXT = made()


def resized(change: Callable[[str], str]) -> str:
    """Change the first tree, and its size with it."""
    start = TEXT.index("Tree=0")
    end = TEXT.index("Tree=1")
    tree = change(TEXT[start:end])
    sizes = re.search(r"tree_sizes=(\d+)", TEXT)
    assert sizes is not None
    head = TEXT[:start].replace(sizes[0], f"tree_sizes={len(tree)}")
    return head + tree + TEXT[end:]


def line(name: str, value: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    def change(tree: str) -> str:
        found = re.search(rf"^{name}=(.*)$", tree, re.MULTILINE)
        assert found is not None
        return tree.replace(found[0], f"{name}={' '.join(value(found[1].split(' ')))}", 1)

    return change


@pytest.mark.parametrize("least_in_leaf", [5, 1000])  # 1000: trees of one leaf
def test_what_lightgbm_writes_passes(least_in_leaf: int) -> None:
    check_booster_text(made(least_in_leaf), **LIMITS)
    assert resized(lambda tree: tree) == TEXT


WRONG_TREES = {
    "a leaf too few": line("num_leaves", lambda _: ["3"]),
    "leaves without number": line("num_leaves", lambda _: ["2000000000"]),
    "a column that there is not": line("split_feature", lambda values: [*values[:-1], str(COLUMNS)]),
    "a column below none": line("split_feature", lambda values: ["-1", *values[1:]]),
    "a child of its own": line("left_child", lambda values: ["0", *values[1:]]),
    "a child beyond": line("right_child", lambda values: ["77", *values[1:]]),
    "a leaf beyond": line("right_child", lambda values: ["-77", *values[1:]]),
    "a loop": line("right_child", lambda values: [*values[:-1], "1"]),
    "a leaf twice": line("left_child", lambda values: ["-2" if v == "-1" else v for v in values]),
    "a value that is none": line("leaf_value", lambda values: ["nan", *values[1:]]),
    "a value beyond": line("leaf_value", lambda values: ["1e999", *values[1:]]),
    "a threshold beyond": line("threshold", lambda values: ["inf", *values[1:]]),
    "categories": line("decision_type", lambda values: ["1", *values[1:]]),
    "category tables": line("num_cat", lambda _: ["1"]),
    "linear leaves": line("is_linear", lambda _: ["1"]),
    "a line of its own": lambda tree: tree.replace("num_cat=0", "num_cat=0\ncat_threshold=1 2 3"),
    "a line twice": lambda tree: tree.replace("num_cat=0", "num_cat=0\nnum_cat=0"),
    "a number with a tail": line("threshold", lambda values: [values[0] + "x", *values[1:]]),
}


@pytest.mark.parametrize("name", WRONG_TREES)
def test_a_tree_that_is_none_is_refused(name: str) -> None:
    changed = resized(WRONG_TREES[name])
    assert changed != TEXT
    with pytest.raises(ModelError, match="not as LightGBM writes it"):
        check_booster_text(changed, **LIMITS)


WRONG_TEXTS = {
    "other classes": ("num_class=3", "num_class=300000000"),
    "other trees a round": ("num_tree_per_iteration=3", "num_tree_per_iteration=1"),
    "other columns": ("max_feature_idx=4", "max_feature_idx=2000000000"),
    "another objective": ("objective=multiclass num_class:3", "objective=multiclass num_class:9"),
    "another version": ("version=v4", "version=v9"),
    "sizes that do not fit": ("tree_sizes=", "tree_sizes=9"),
    "a size below none": ("tree_sizes=", "tree_sizes=-"),
    "a tree after the last": ("end of trees", "end of trees\n\nTree=6\nnum_leaves=9"),
    "averages": ("label_index=0", "label_index=0\naverage_output"),
    "a python object": ("pandas_categorical:null", "pandas_categorical:[[1]]"),
    "no plain text": ("Column_0", "C\0lumn_0"),
}


@pytest.mark.parametrize("name", WRONG_TEXTS)
def test_a_text_that_is_none_is_refused(name: str) -> None:
    changed = TEXT.replace(*WRONG_TEXTS[name], 1)
    assert changed != TEXT
    with pytest.raises(ModelError, match="not as LightGBM writes it"):
        check_booster_text(changed, **LIMITS)


def test_limits_of_the_recipe_hold() -> None:
    for change in ({"most_leaves": 3}, {"most_trees": 5}, {"columns": 6}, {"classes": 2}):
        with pytest.raises(ModelError):
            check_booster_text(TEXT, **(LIMITS | change))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, TEXT.index("end of trees")), st.characters(codec="ascii"))
def test_whatever_passes_is_read_by_lightgbm_without_harm(place: int, letter: str) -> None:
    """One letter changed anywhere: refused, or the library reads it and predicts."""
    changed = TEXT[:place] + letter + TEXT[place + 1 :]
    try:
        check_booster_text(changed, **LIMITS)
    except ModelError:
        return
    found = lightgbm.Booster(model_str=changed).predict(np.zeros((2, COLUMNS)))
    assert np.isfinite(found).all()
