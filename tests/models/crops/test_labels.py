"""Doubtful declarations: found when they were injected, capped, and told apart from rare but right ones."""

import numpy as np
import pytest

from models.crops.fitting.labels import confident_errors, find_suspects, recall_precision_at
from models.crops.fitting.options import LabelOptions
from tests.crop_worlds import CLASSES, crop_world


def injected(share: float, n: int = 200) -> tuple[object, np.ndarray, np.ndarray, np.ndarray]:
    series, y, folds = crop_world(n=n, noise=0.05)
    rng = np.random.default_rng(1)
    wrong = rng.random(n) < share
    swapped = np.array([rng.choice([c for c in CLASSES if c != name]) for name in y])
    return series, np.where(wrong, swapped, y), folds, wrong


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_injected_errors_lead_the_list(share: float) -> None:
    series, y, folds, wrong = injected(share)
    table = find_suspects(series, y, folds, LabelOptions(rounds=15, outliers=False), 0)
    recall, precision = recall_precision_at(table["mislabel_score"].to_numpy(), wrong, int(wrong.sum()))
    assert recall > 0.5
    assert precision == recall  # as many are listed as are wrong


def test_what_is_done_about_suspects_is_in_the_weights() -> None:
    series, y, folds, _ = injected(0.1)
    for method, weight in (("keep", 1.0), ("weigh", 0.25), ("drop", 0.0)):
        table = find_suspects(series, y, folds, LabelOptions(method=method, rounds=10), 0)
        assert set(table["weight"]) <= {weight, 1.0}
        assert (table["weight"].min() == weight) or method == "keep"


def test_no_class_loses_more_than_its_share() -> None:
    series, y, folds, _ = injected(0.2)
    table = find_suspects(series, y, folds, LabelOptions(method="drop", most=0.05, rounds=10), 0)
    for name in CLASSES:
        weight = table.filter(table["crop_class"] == name)["weight"]
        assert (weight == 0).sum() <= 0.05 * len(weight)


def test_one_fold_alone_suspects_nobody() -> None:
    series, y, _, _ = injected(0.2, n=40)
    table = find_suspects(series, y, np.zeros(40, int), LabelOptions(method="drop"), 0)
    assert table["weight"].min() == 1


def test_a_class_that_is_never_confident_is_not_emptied() -> None:
    flat = np.full((6, 2), 0.5)
    assert not confident_errors(flat, np.array([0, 0, 0, 1, 1, 1]))[:3].any()
