"""Verdicts and their reasons, on tables small enough to check by eye."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from features.declarations.crop_codes import CropGroups
from features.declarations.schemes import Schemes
from features.schema import SchemaError
from models.probability.conformal import class_p_values
from models.probability.mislabel import cross_fit_mislabel
from models.verdicts.evidence import Scoring
from models.verdicts.judge import judge, verdict_tally
from models.verdicts.options import JudgeOptions
from models.verdicts.rule import REASONS, spread_deviation

CLASSES = ["barley", "maize", "wheat"]
GROUPS = CropGroups({}, {"wheat": "cereals", "barley": "cereals", "maize": "maize"}, frozenset(CLASSES))
SCHEMES = Schemes(interventions={"by_group": "group", "any": "agriculture"})


class World:
    """Two hundred parcels a class, the model sure and right; single parcels are then changed."""

    def __init__(self, seed: int = 0, n: int = 600) -> None:
        rng = np.random.default_rng(seed)
        self.ids = [f"{i:04d}" for i in range(n)]
        crop = np.arange(n) % 3
        values = rng.normal(0, 0.5, (n, 3))
        values[np.arange(n), crop] += 5
        self.values = np.exp(values) / np.exp(values).sum(1, keepdims=True)
        self.declared = [CLASSES[c] for c in crop]
        self.columns: dict[str, list] = {"intervention": [None] * n, "reason": [None] * n}
        self.parcels: dict[str, list] = {
            "tile": ["35VLF"] * n,
            "full_pixels": [50] * n,
            "buffer_loss": [0.1] * n,
        }
        self.quality: dict[str, list] = {
            "n_observations": [40] * n,
            "filled_share": [0.3] * n,
            "sigma": [0.1] * n,
            "ndvi_spread": list(np.exp(rng.normal(-3, 0.2, n))),
        }

    def says(self, index: int, **probabilities: float) -> None:
        self.values[index] = [probabilities.get(name, 1e-6) for name in CLASSES]

    def tables(self) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        key, n = {"parcel_id": self.ids}, len(self.ids)
        probabilities = pl.DataFrame(
            {**key, "fold": np.arange(n) // 3 % 5, **dict(zip(CLASSES, self.values.T, strict=True))}
        )
        facts = {"season": 2022, "declared": "001", "crop_class": self.declared, "area_ha": 2.0}
        types = {"intervention": pl.String, "reason": pl.String, "crop_class": pl.String}
        declarations = pl.DataFrame({**key, **self.columns, "crop_class": self.declared}).with_columns(
            **{name: pl.lit(value) for name, value in facts.items() if name != "crop_class"},
            **{name: pl.col(name).cast(kind) for name, kind in types.items()},
        )
        parcels = pl.DataFrame({**key, "tile": "t", "area_ha": 2.0, "buffered_area_ha": 1.8, **self.parcels})
        return probabilities, declarations, parcels, pl.DataFrame({**key, **self.quality})

    def judged(self, composed: pl.DataFrame | None = None, **options: object) -> pl.DataFrame:
        chosen = JudgeOptions(**{"calibration": "none", **options})  # type: ignore[arg-type]
        rules = {"schemes": SCHEMES, "groups": GROUPS}
        return judge(*self.tables(), chosen, model_id="m", composed=composed, **rules).verdicts  # type: ignore[arg-type]


def of(verdicts: pl.DataFrame, index: int) -> tuple[str, str]:
    return verdicts["verdict"][index], verdicts["reason"][index]


def test_most_of_a_well_known_region_is_confirmed_and_every_parcel_has_a_row() -> None:
    world = World()
    verdicts = world.judged()
    assert verdicts["parcel_id"].to_list() == world.ids
    assert (verdicts["verdict"] == "confirmed").mean() > 0.9
    assert verdict_tally(verdicts).came_in == 600


def test_another_crop_contradicts_and_leads_the_follow_up_list() -> None:
    world = World()
    world.says(1, wheat=0.988, maize=0.006, barley=0.006)
    verdicts = world.judged()
    assert of(verdicts, 1) == ("contradicted", "other_crop")
    row = verdicts.row(1, named=True)
    assert row["crop_class"] == "maize"
    assert row["predicted"] == "wheat"
    assert row["prediction_set"] == ["wheat"]
    assert row["top3"][0]["crop_class"] == "wheat"
    assert row["p_value"] <= 0.05
    assert row["q_value"] == verdicts["q_value"].min()


@pytest.mark.parametrize(("intervention", "expected"), [
    ("by_group", ("confirmed", "within_scheme")),
    ("any", ("confirmed", "within_scheme")),
    ("unlisted", ("contradicted", "other_crop")),
])  # fmt: skip
def test_a_wrong_crop_the_scheme_does_not_mind_is_not_red(
    intervention: str, expected: tuple[str, str]
) -> None:
    world = World()
    world.says(2, barley=0.98, wheat=0.01, maize=0.01)
    world.columns["intervention"][2] = intervention
    assert of(world.judged(), 2) == expected


def test_outside_the_group_is_red_under_the_group_rule_too() -> None:
    world = World()
    world.says(2, maize=0.98, wheat=0.01, barley=0.01)
    world.columns["intervention"][2] = "by_group"
    assert of(world.judged(), 2) == ("contradicted", "other_crop")


@pytest.mark.parametrize(("table", "column", "value", "expected"), [
    ("columns", "reason", "invalid_geometry", ("not_monitorable", "invalid_geometry")),
    ("columns", "reason", "unmapped_code", ("not_monitorable", "unmapped_code")),
    ("parcels", "tile", None, ("no_data", "outside_imagery")),
    ("parcels", "full_pixels", 7, ("not_monitorable", "too_few_pixels")),
    ("parcels", "buffer_loss", 0.61, ("not_monitorable", "lost_to_buffer")),
    ("quality", "n_observations", 0, ("no_data", "never_observed")),
    ("quality", "n_observations", 7, ("inconclusive", "few_observations")),
    ("quality", "filled_share", 0.95, ("inconclusive", "mostly_filled")),
    ("quality", "sigma", 1.5, ("inconclusive", "uncertain_filling")),
    ("quality", "ndvi_spread", 0.5, ("inconclusive", "heterogeneous")),
])  # fmt: skip
def test_reasons_come_before_the_crop(
    table: str, column: str, value: object, expected: tuple[str, str]
) -> None:
    world = World()
    world.says(1, wheat=0.98, maize=0.01, barley=0.01)
    getattr(world, table)[column][1] = value
    assert of(world.judged(), 1) == expected


def test_limits_are_where_the_options_put_them() -> None:
    world = World()
    world.parcels["full_pixels"][1] = 8
    world.parcels["buffer_loss"][1] = 0.6
    world.quality["n_observations"][1] = 8
    assert world.judged()["verdict"][1] == "confirmed"
    assert world.judged(min_full_pixels=9)["reason"][1] == "too_few_pixels"
    assert world.judged(min_observations=9)["reason"][1] == "few_observations"
    assert world.judged(max_buffer_loss=0.5)["reason"][1] == "lost_to_buffer"


def test_a_parcel_outside_the_imagery_or_the_model() -> None:
    world = World()
    world.declared[4] = "teff"
    probabilities, declarations, parcels, quality = world.tables()
    args = (probabilities[1:], declarations, parcels[[*range(3), *range(4, 600)]], quality[:599])
    verdicts = judge(*args, JudgeOptions(), model_id="m", schemes=SCHEMES, groups=GROUPS).verdicts
    assert of(verdicts, 3) == ("no_data", "outside_imagery")
    assert of(verdicts, 4) == ("inconclusive", "class_not_modelled")
    assert of(verdicts, 0) == ("inconclusive", "class_not_modelled")
    assert of(verdicts, 599) == ("no_data", "never_observed")
    assert verdicts["p_value"][4] is None
    assert verdicts["predicted"][0] is None
    assert verdicts["prediction_set"][0].to_list() == []


def test_a_class_too_small_to_promise_says_so() -> None:
    verdicts = World(n=60).judged()
    assert set(verdicts["reason"]) == {"class_too_small"}
    assert set(verdicts["verdict"]) == {"inconclusive"}
    assert "class_too_small" not in set(World(n=60).judged(alpha=0.1)["reason"])


def test_a_class_whose_parcels_are_in_doubt_needs_more_of_them() -> None:
    """19 parcels that are surely right can promise 5%; these are right with less than certainty."""
    verdicts = World(n=72).judged(noise_rate=0.01)
    nineteen = np.arange(72) // 3 % 5 != 4  # of a class outside these folds
    assert set(verdicts["reason"].filter(nineteen)) == {"class_too_small"}
    assert "class_too_small" not in set(World(n=105).judged(noise_rate=0.01)["reason"])  # 28 of them


def test_a_class_of_one_parcel_promises_nothing_and_spoils_nothing() -> None:
    world = World(n=300)
    world.declared = [
        "wheat" if name == "maize" and i != 1 else name for i, name in enumerate(world.declared)
    ]
    verdicts = world.judged()
    assert of(verdicts, 1) == ("inconclusive", "class_too_small")
    assert verdicts["q_value"].drop_nulls().is_finite().all()


def test_a_negative_rate_is_refused() -> None:
    with pytest.raises(ValidationError, match="noise_rate"):
        JudgeOptions(noise_rate=-0.01)


def test_a_wide_set_and_a_doubtful_second_choice_are_inconclusive() -> None:
    world = World()
    for index in range(600):  # barley and wheat look alike
        share, first = (index % 11) / 10, ("barley", "maize", "wheat")[index % 3]
        if first != "maize":
            second = "wheat" if first == "barley" else "barley"
            world.says(index, **{first: 0.9 - 0.6 * share, second: 0.1 + 0.6 * share})
    verdicts = world.judged(max_set_size=1)
    reasons = set(verdicts.filter(pl.col("crop_class") == "barley")["reason"])
    assert {"not_excluded", "set_too_wide"} <= reasons
    assert verdicts.filter(pl.col("reason") == "not_excluded")["verdict"].unique().to_list() == [
        "inconclusive"
    ]


def test_what_is_unlike_every_class_is_not_recognised() -> None:
    world = World()
    world.says(1, wheat=0.41, barley=0.585, maize=0.005)
    assert of(world.judged(), 1) == ("contradicted", "not_recognised")


def test_false_alarms_stay_within_the_promise() -> None:
    rng = np.random.default_rng(3)
    world = World(n=3000)
    noisy = np.log(world.values) * 0.35 + rng.normal(0, 0.6, world.values.shape)
    world.values = np.exp(noisy) / np.exp(noisy).sum(1, keepdims=True)
    verdicts = world.judged(alpha=0.05)
    assert 0.01 < (verdicts["verdict"] == "contradicted").mean() <= 0.055


def test_inner_rows_calibrate_when_given() -> None:
    world = World()
    probabilities, *rest = world.tables()
    blurred = probabilities.with_columns(pl.lit(1 / 3).alias(name) for name in CLASSES)
    shifted = pl.concat([blurred.with_columns(fold=(pl.col("fold") + step) % 5) for step in (1, 2)])
    judged = [
        judge(
            probabilities, *rest, JudgeOptions(), model_id="m", schemes=SCHEMES, groups=GROUPS, inner=inner
        ).verdicts
        for inner in (None, shifted, shifted.clear())
    ]
    assert judged[0].equals(judged[2])
    assert not judged[0]["probability"].equals(judged[1]["probability"])


def test_every_field_of_the_options_is_in_use_and_every_reason_has_a_verdict() -> None:
    assert set(REASONS.values()) == {
        "confirmed",
        "contradicted",
        "inconclusive",
        "not_monitorable",
        "no_data",
    }
    with pytest.raises(SchemaError, match="declarations table lacks"):
        probabilities, declarations, parcels, quality = World().tables()
        judge(probabilities, declarations.drop("reason"), parcels, quality, JudgeOptions(), model_id="m")


def test_spread_is_measured_against_the_own_class() -> None:
    spread = np.array([*np.linspace(0.09, 0.11, 20), *np.linspace(0.4, 0.5, 20), 0.45, np.nan])
    classes = np.array(["a"] * 20 + ["b"] * 20 + ["a", "a"], object)
    deviation = spread_deviation(spread, classes)
    assert deviation[40] > 10
    assert deviation[30] < 2
    assert deviation[41] == -np.inf


def test_more_than_one_crop_in_the_pixels_leaves_a_parcel_undecided_and_changes_no_other() -> None:
    world = World()
    plain = world.judged()
    composed = pl.DataFrame({"parcel_id": world.ids, "more_than_one_crop": [k == 3 for k in range(600)]})
    found = world.judged(composed=composed)
    assert found["reason"][3] == "more_than_one_crop" and found["verdict"][3] == "inconclusive"
    others = pl.col("parcel_id") != world.ids[3]
    names = ["parcel_id", "verdict", "reason", "p_value"]
    assert found.filter(others).select(names).equals(plain.filter(others).select(names))


def test_a_parcel_that_pixels_did_not_compose_is_judged_as_before() -> None:
    world = World()
    composed = pl.DataFrame({"parcel_id": world.ids[:1], "more_than_one_crop": [False]})
    assert world.judged(composed=composed)["verdict"].to_list() == world.judged()["verdict"].to_list()


def several_models(world: World, seed: int = 3) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return probabilities of the ensemble and two models, and inner rows of the ensemble."""
    rng = np.random.default_rng(seed)
    ensemble = world.tables()[0]

    def noisy(scale: float) -> pl.DataFrame:
        values = ensemble.select(CLASSES).to_numpy() * np.exp(rng.normal(0, scale, (len(ensemble), 3)))
        shares = values / values.sum(1, keepdims=True)
        return ensemble.with_columns(**dict(zip(CLASSES, map(pl.Series, shares.T), strict=True)))

    def named(table: pl.DataFrame, name: str) -> pl.DataFrame:
        return table.select("parcel_id", pl.lit(name).alias("model"), "fold", *CLASSES)

    shuffled = noisy(1.0).sample(fraction=1, shuffle=True, seed=seed)  # another order, and one parcel missing
    models = [named(ensemble, "ensemble"), named(noisy(0.5), "dense"), named(shuffled[1:], "lightgbm")]
    inner = pl.concat([noisy(0.5).filter(pl.col("fold") != k).with_columns(fold=pl.lit(k)) for k in range(5)])
    return pl.concat(models), named(inner, "ensemble")


@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_same_verdicts_to_the_bit_however_many_parcels_are_judged_at_a_time(
    size: int, tmp_path: Path
) -> None:
    world = World(n=120)
    for index, name in enumerate(["any", "by_group", None] * 40):
        world.columns["intervention"][index] = name
    world.says(1, wheat=0.988, maize=0.006, barley=0.006)
    world.declared[5], world.columns["reason"][7] = "hops", "no_code"
    probabilities, inner = several_models(world)
    probabilities.write_parquet(tmp_path / "probabilities.parquet")
    on_disk = pl.scan_parquet(tmp_path / "probabilities.parquet")
    options = JudgeOptions(alpha=0.1)
    rules = {"model_id": "m", "schemes": SCHEMES, "groups": GROUPS}
    tables = world.tables()[1:]
    whole = judge(probabilities, *tables, options, inner=inner, **rules)  # type: ignore[arg-type]
    parts = judge(on_disk, *tables, options, inner=inner.lazy(), per_chunk=size, **rules)  # type: ignore[arg-type]
    assert parts.verdicts.equals(whole.verdicts)
    assert parts.calibrated.equals(whole.calibrated)


def test_chunks_are_compared_as_all_parcels_together_would_be() -> None:
    """The same figures from the formulas on whole arrays: each class's p-value among all who declare it."""
    world = World(n=150)
    probabilities, declared_table, *_ = world.tables()
    table = declared_table.select("parcel_id", "crop_class", "intervention")
    scoring = Scoring(probabilities, table, JudgeOptions(calibration="none"), SCHEMES, GROUPS, per_chunk=11)
    parts = [scoring.evidence(rows) for rows in scoring.chunks()]
    values, fold = probabilities.select(CLASSES).to_numpy(), probabilities["fold"].to_numpy()
    declared = np.array([CLASSES.index(name) for name in world.declared])
    mislabel = cross_fit_mislabel(lambda rows: values[None, rows], declared, fold, JudgeOptions().noise_rate)
    scores, chance = np.empty(values.shape), np.empty(len(values))
    for number in range(3):
        claim = np.full(len(values), number)
        scores[:, number], odds = mislabel.score(values[None], fold, claim, claim[:, None] == np.arange(3))
        mine = declared == number
        chance[mine] = 1 / (1 + np.exp(odds[mine]))
    p_values = class_p_values(-scores, declared, fold, chance)
    assert np.concatenate([part.sets for part in parts]).tolist() == (p_values > 1 - 0.9).tolist()
    own = p_values[np.arange(len(values)), declared]  # the scheme asks for the declared crop itself
    np.testing.assert_allclose(np.concatenate([part.p_value for part in parts]), own, rtol=1e-12)
    np.testing.assert_allclose(np.concatenate([part.right for part in parts]), chance, rtol=1e-12)
