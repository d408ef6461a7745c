"""LightGBM's model text is read by ourselves first: what would end the library's process is refused."""

import re
import time
from collections.abc import Callable
from dataclasses import replace

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import ModelError
from models.booster_text import BoosterShape, check_booster_text

CLASSES, COLUMNS, LEAVES, ROUNDS = 3, 5, 4, 2
CATEGORICAL = 2  # the column that has categories, where there is one
SHAPE = BoosterShape(
    f"multiclass num_class:{CLASSES}", COLUMNS, CLASSES, most_leaves=LEAVES, most_trees=ROUNDS * CLASSES
)
ALONE = replace(SHAPE, objective="binary sigmoid:1", classes=1)
KINDS = {
    "multiclass": SHAPE,
    "binary": ALONE,
    "regression": replace(ALONE, objective="regression"),
    "quantile": replace(ALONE, objective="quantile"),
    "categories": replace(ALONE, objective="regression", categorical=frozenset({CATEGORICAL})),
}


def made(kind: str = "multiclass", least_in_leaf: int = 5) -> str:
    rng, shape = np.random.default_rng(0), KINDS[kind]
    table, codes = rng.normal(size=(600, COLUMNS)), np.arange(600) % CLASSES
    table[:, 0] += codes
    table[::7, 1] = np.nan
    table[:, CATEGORICAL] = rng.integers(0, 70, 600)
    target = {"multiclass": codes, "binary": codes > 0}.get(kind, codes + table[:, CATEGORICAL] * 29 % 7)
    parameters = {
        "objective": shape.objective.split(" ")[0], "num_class": shape.classes, "num_leaves": LEAVES,
        "min_data_in_leaf": least_in_leaf, "min_data_per_group": 5, "num_threads": 1, "verbosity": -1,
    }  # fmt: skip
    data = lightgbm.Dataset(table, target, params=parameters, categorical_feature=list(shape.categorical))
    return str(lightgbm.train(parameters, data, ROUNDS).model_to_string())


TEXT = made()
BY_CATEGORY = made("categories")


def resized(change: Callable[[str], str], text: str = TEXT) -> str:
    """Change the first tree, and its size with it."""
    start, end = text.index("Tree=0"), text.index("Tree=1")
    tree = change(text[start:end])
    sizes = re.search(r"tree_sizes=(\d+)", text)
    assert sizes is not None
    head = text[:start].replace(sizes[0], f"tree_sizes={len(tree)}")
    return head + tree + text[end:]


def line(name: str, value: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    def change(tree: str) -> str:
        found = re.search(rf"^{name}=(.*)$", tree, re.MULTILINE)
        assert found is not None
        return tree.replace(found[0], f"{name}={' '.join(value(found[1].split(' ')))}", 1)

    return change


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("least_in_leaf", [5, 1000])  # 1000: trees of one leaf
def test_what_lightgbm_writes_passes_for_what_it_is(kind: str, least_in_leaf: int) -> None:
    text = made(kind, least_in_leaf)
    check_booster_text(text, KINDS[kind])
    for other in KINDS.values():
        if other.objective != KINDS[kind].objective:
            with pytest.raises(ModelError, match="objective is"):
                check_booster_text(text, other)


def test_a_split_between_known_and_missing_values_passes() -> None:
    known = np.random.default_rng(0).normal(size=(400, 1))
    values = np.where(np.arange(400)[:, None] < 200, np.nan, known)
    settings = {"objective": "regression", "verbosity": -1, "min_data_in_leaf": 5, "num_threads": 1}
    booster = lightgbm.train(settings, lightgbm.Dataset(values, np.repeat([1.0, 0.0], 200)), 2)
    text = booster.model_to_string()
    assert "threshold=inf" in text
    check_booster_text(text, BoosterShape("regression", 1))


def test_a_model_of_many_trees_is_checked_in_time() -> None:
    """Sizes are walked, not cut off one after another: 20,000 trees in seconds, not minutes."""
    start, end = TEXT.index("Tree=0"), TEXT.index("Tree=1")
    trees = [TEXT[start:end].replace("Tree=0", f"Tree={k}") for k in range(20_001)]
    header = re.sub(
        r"tree_sizes=.*", f"tree_sizes={' '.join(str(len(tree)) for tree in trees)}", TEXT[:start]
    )
    text = header + "".join(trees) + TEXT[TEXT.index("end of trees") :]
    begun = time.process_time()
    check_booster_text(text, replace(SHAPE, most_trees=30_000))
    assert time.process_time() - begun < 30


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
    "a threshold beyond": line("threshold", lambda values: ["-inf", *values[1:]]),
    "a threshold that is none": line("threshold", lambda values: ["nan", *values[1:]]),
    "a gain without end": line("split_gain", lambda values: ["inf", *values[1:]]),
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
        check_booster_text(changed, SHAPE)


def test_a_tree_that_is_not_changed_keeps_its_size() -> None:
    for text in (TEXT, BY_CATEGORY):
        assert resized(lambda tree: tree, text) == text


def words(change: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    return line("cat_threshold", change)


WRONG_CATEGORIES = {
    "a set that there is not": line("threshold", lambda values: ["7", *values[1:]]),
    "a set that is no whole number": line("threshold", lambda values: ["0.5", *values[1:]]),
    "sets without number": line("num_cat", lambda _: ["2000000000"]),
    "no sets": line("num_cat", lambda _: ["0"]),
    "words beyond the last": line("cat_boundaries", lambda values: [*values[:-1], "2000000000"]),
    "words before the first": line("cat_boundaries", lambda values: ["-1", *values[1:]]),
    "words that go back": line("cat_boundaries", lambda values: [values[0], *values[:0:-1]]),
    "a word too few": words(lambda values: values[:-1]),
    "a word beyond 32 bits": words(lambda values: ["9999999999", *values[1:]]),
    "a word below none": words(lambda values: ["-1", *values[1:]]),
    "no words": lambda tree: re.sub(r"cat_threshold=.*\n", "", tree),
    "no boundaries": lambda tree: re.sub(r"cat_boundaries=.*\n", "", tree),
    "another column by category": line("split_feature", lambda values: ["0", *values[1:]]),
}


@pytest.mark.parametrize("name", WRONG_CATEGORIES)
def test_categories_that_do_not_fit_are_refused(name: str) -> None:
    assert "num_cat=0" not in BY_CATEGORY[: BY_CATEGORY.index("Tree=1")]
    changed = resized(WRONG_CATEGORIES[name], BY_CATEGORY)
    assert changed != BY_CATEGORY
    with pytest.raises(ModelError, match="not as LightGBM writes it"):
        check_booster_text(changed, KINDS["categories"])


def test_categories_are_read_only_in_columns_that_have_some() -> None:
    for columns in (frozenset(), frozenset({CATEGORICAL + 1})):
        with pytest.raises(ModelError):
            check_booster_text(BY_CATEGORY, replace(KINDS["categories"], categorical=columns))


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
        check_booster_text(changed, SHAPE)


def test_limits_of_the_recipe_hold() -> None:
    for change in ({"most_leaves": 3}, {"most_trees": 5}, {"columns": 6}, {"classes": 2}):
        with pytest.raises(ModelError):
            check_booster_text(TEXT, replace(SHAPE, **change))


@pytest.mark.parametrize(("text", "shape"), [(TEXT, SHAPE), (BY_CATEGORY, KINDS["categories"])])
@settings(max_examples=200, deadline=None)
@given(share=st.floats(0, 1), letter=st.characters(codec="ascii"))
def test_whatever_passes_is_read_by_lightgbm_without_harm(
    text: str, shape: BoosterShape, share: float, letter: str
) -> None:
    """One letter changed anywhere: refused, or the library reads it and predicts."""
    place = int(share * text.index("end of trees"))
    changed = text[:place] + letter + text[place + 1 :]
    try:
        check_booster_text(changed, shape)
    except ModelError:
        return
    found = lightgbm.Booster(model_str=changed).predict(np.full((2, COLUMNS), [[0.0], [1e9]]))
    assert np.isfinite(found).all()
