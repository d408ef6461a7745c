"""Explanations: contributions that add up, groups summed before their absolutes are taken."""

import numpy as np
import polars as pl
import pytest

from features.errors import ModelError
from features.schema import CONTRIBUTIONS, IMPORTANCE, check_columns
from models.crops.estimators.by_name import build
from models.crops.fitting.crossfit import CrossFit, cross_fit
from models.crops.fitting.options import ExplanationOptions, TrainOptions
from models.crops.inputs.table import wide_table
from models.explanation.ablation import ablation
from models.explanation.contributions import columns, forest_contributions, tree_contributions
from models.explanation.explain import explain
from models.explanation.permutation import permutation_importance
from reports.pages.sections.evaluation import TABLES
from tests.crop_worlds import crop_world


@pytest.fixture(scope="module")
def world() -> tuple[CrossFit, object, np.ndarray]:
    series, y, folds = crop_world()
    options = TrainOptions(models={"lightgbm": {"rounds": 20}}, threads=1)
    return cross_fit(series, y, folds, options), series, y


def test_one_class_by_its_own_trees_equals_the_whole_model() -> None:
    series, y, _ = crop_world(n=60)
    model = build("lightgbm", rounds=15, threads=1).fit(series, y)
    table = wide_table(series, summaries=True)
    whole = model.booster_.predict(table, pred_contrib=True).reshape(60, 4, -1)
    raw = model.booster_.predict(table, raw_score=True)
    for k, name in enumerate(model.classes_):
        contributions, base = tree_contributions(model, series, name)
        np.testing.assert_allclose(contributions, whole[:, k, :-1])
        np.testing.assert_allclose(contributions.sum(1) + base, raw[:, k])


@pytest.mark.parametrize("name", ["forest", "extratrees"])
def test_a_forests_contributions_add_up_to_its_probability(name: str) -> None:
    series, y, _ = crop_world(n=60)
    model = build(name, trees=5, threads=1).fit(series, y)
    probability = model.predict_proba(series)
    for k, crop_class in enumerate(model.classes_):
        contributions, base = forest_contributions(model, series, crop_class)
        np.testing.assert_allclose(contributions.sum(1) + base, probability[:, k], atol=1e-5)
        assert contributions.shape[1] == len(columns(model))


def test_tables_are_as_the_schema_says_and_contributions_of_flagged_parcels_only(world) -> None:
    fit, series, y = world
    importance, contributions = explain(fit, series, y, ExplanationOptions(parcels=80))
    assert importance.schema == IMPORTANCE
    assert contributions.schema == CONTRIBUTIONS
    ensemble = fit.probabilities.filter(pl.col("model") == "ensemble")
    predicted = np.array(ensemble.columns[3:])[ensemble[:, 3:].to_numpy().argmax(1)]
    assert set(contributions["parcel_id"]) == set(ensemble.filter(pl.Series(predicted != y))["parcel_id"])
    assert set(importance["crop_class"]) == {"all", "barley", "grass", "maize", "wheat"}
    grouped = {"shap", "shap_feature", "shap_date", "shap_sensor", "shap_statistic"}
    assert set(importance["method"]) == grouped | {"impurity", "permutation", "permutation_date"}
    impurity = importance.filter(pl.col("method") == "impurity")
    assert impurity.height == 36
    assert impurity["value"].sum() == pytest.approx(1)


def test_a_group_is_at_most_the_sum_of_its_parts(world) -> None:
    fit, series, y = world
    importance, _ = explain(fit, series, y, ExplanationOptions(parcels=80))
    overall = importance.filter(pl.col("crop_class") == "all")
    parts = overall.filter(pl.col("method") == "shap").group_by("feature").agg(pl.col("value").sum())
    both = parts.join(overall.filter(pl.col("method") == "shap_feature"), on="feature", validate="1:1")
    assert both.height == 3
    assert (both["value_right"] <= both["value"] + 1e-9).all()


def test_asked_parcels_get_declared_and_predicted(world) -> None:
    fit, series, y = world
    _, contributions = explain(fit, series, y, ExplanationOptions(parcels=80), parcels=["000004"])
    assert set(contributions["parcel_id"]) == {"000004"}
    assert y[4] in set(contributions["crop_class"])
    assert contributions.group_by("crop_class").len()["len"].unique().to_list() == [39]  # 36 dates, 3 seasons


def shuffled(fit: CrossFit, series, y: np.ndarray, some: slice = slice(None)) -> pl.DataFrame:
    block = fit.probabilities.filter(pl.col("model") == "lightgbm")
    folds, classes = block["fold"].to_numpy()[some], block.columns[3:]
    rng, models = np.random.default_rng(0), fit.models["lightgbm"]
    return permutation_importance(models, series.isel(parcel=some), y[some], folds, classes, "lightgbm", rng)


def test_shuffling_what_tells_classes_apart_costs_most(world) -> None:
    fit, series, y = world
    table = shuffled(fit, series, y)
    assert table.schema == IMPORTANCE
    assert table.filter(pl.col("method") == "permutation")["time"].null_count() == 3
    assert set(table.filter(pl.col("method") == "permutation_date")["feature"]) == {"all"}
    assert table["value"].max() > 0.05


def test_shuffling_is_measured_on_the_parcels_asked_for(world) -> None:
    fit, series, y = world
    table = shuffled(fit, series, y, slice(0, 20))
    assert set(table["n"]) == {20}


def test_a_model_without_contributions_says_so() -> None:
    series, y, folds = crop_world(n=60)
    fit = cross_fit(series, y, folds, TrainOptions(models={"ridge": {}}, threads=1))
    with pytest.raises(
        ModelError, match="ridge has no contributions; explain lightgbm, a forest or a network"
    ):
        explain(fit, series, y, ExplanationOptions())


def test_what_is_left_out_is_missed_where_it_tells_classes_apart() -> None:
    series, y, folds = crop_world(n=80)
    rng = np.random.default_rng(0)
    noise = series["value"].copy(data=rng.normal(size=series["value"].shape))
    series = series.assign(value=series["value"].where(series["feature"] != "s0vh_db_r037", noise))
    options = TrainOptions(models={"lightgbm": {"rounds": 15}}, threads=1)
    table = ablation(series, y.tolist(), folds, np.arange(80) // 5, options)
    check_columns(table.columns, TABLES["ablation"], "ablation")
    assert set(table["subject"]) == {"everything", "without s1", "without s2"}
    lost = table.filter(pl.col("metric") == "macro_f1_above_everything")
    lost = dict(lost.select("subject", "value").iter_rows())
    assert lost["without s2"] < -0.2 < lost["without s1"]
