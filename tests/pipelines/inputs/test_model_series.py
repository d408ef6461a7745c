"""What crop models read: context where the region has it, parcels of other runs behind one's own."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
import pytest
import shapely

from features.declarations.pseudonym import key_check, pseudonym
from features.errors import ConfigError, ModelError, StageError
from features.files import read_parquet, write_json
from features.series.parcel_series import write_series
from models.crops.fitting.options import TrainOptions, TransferOptions
from models.explanation.ablation import kind_of, parts_of
from models.folds import plan_folds
from pipelines.inputs.model_series import (
    carried_plan,
    check_transfer,
    learning_set,
    model_series,
    source_runs,
    transferred_files,
    wanted_context,
)
from pipelines.tables import read_declared
from pipelines.workspace import Workspace
from tests.crop_worlds import crop_world

MAPS = ("elevation_m", "soil_1", "soil_2")


def run_in(
    folder: Path,
    *,
    start: str = "2024-03-01",
    known: bool = True,
    east: float = 0,
    key: bytes | None = None,
) -> Workspace:
    """A run whose fill stage has ended: 40 parcels in a row, 200 m apart."""
    workspace = Workspace(folder)
    folder.mkdir(parents=True)
    series, y, _ = crop_world(n=40, start=start)
    write_series(series, workspace.filled)
    places = [shapely.box(east + 200 * i, 0, east + 200 * i + 100, 100) for i in range(40)]
    ids = series["parcel"].values.astype(str)
    table = {
        "parcel_id": ids,
        "crop_class": y,
        "holding_id": _holdings(key),
        "region": "r",
        "season": int(start[:4]),
    }
    if key is not None:
        write_json(workspace.holdings, {"key_check": key_check(key)})
    gpd.GeoDataFrame(table, geometry=places, crs=32631).to_parquet(workspace.declarations)
    if known:
        pl.DataFrame({"parcel_id": ids} | {name: np.arange(40.0) for name in MAPS}).write_parquet(
            workspace.context
        )
        pl.DataFrame({"weather_gdd": np.arange(12.0)}).write_parquet(workspace.weather)
    return workspace


def _holdings(key: bytes | None) -> list[str] | None:
    """Ten farms of four parcels each, so far apart that no block joins two of them."""
    return None if key is None else [pseudonym(f"farm {i % 10}", key) for i in range(40)]


def names(workspace: Workspace, **options: object) -> tuple[list[str], list[str]]:
    series = model_series(TrainOptions.model_validate(options), workspace)
    maps = series["variable"].values.tolist() if "context" in series else []
    return maps, [name for name in series["feature"].values.tolist() if name.startswith("weather")]


def test_soil_and_elevation_are_read_where_the_region_has_them(tmp_path: Path) -> None:
    rich, poor = run_in(tmp_path / "rich"), run_in(tmp_path / "poor", known=False)
    assert names(rich) == (list(MAPS), [])
    assert names(rich, context=["elevation"]) == (["elevation_m"], [])
    assert names(rich, context=[]) == ([], [])
    assert names(rich, context=["weather", "soil"]) == (["soil_1", "soil_2"], ["weather_gdd"])
    assert names(poor) == ([], [])


def test_embeddings_are_a_block_of_their_own(tmp_path: Path) -> None:
    rich = run_in(tmp_path / "rich")
    table = read_parquet(rich.context).with_columns(embedding_00=pl.lit(0.5))
    table.write_parquet(rich.context)
    assert names(rich, context=["embedding"]) == (["embedding_00"], [])
    left = parts_of(model_series(TrainOptions(), rich))["without embedding"]
    assert left["variable"].values.tolist() == list(MAPS), "the ablation leaves out embeddings alone"


def test_weather_counts_where_seasons_meet(tmp_path: Path) -> None:
    rich = run_in(tmp_path / "rich")
    options = TrainOptions(transfer=TransferOptions(runs=(tmp_path / "other",)))
    assert wanted_context(options, rich) == ("weather", "soil", "elevation")


def test_land_surface_products_are_read_by_name_and_where_seasons_meet(tmp_path: Path) -> None:
    run = run_in(tmp_path / "rich")
    table = read_parquet(run.context).with_columns(surface_et_01=pl.lit(2.5))
    table.write_parquet(run.context)
    assert "surface" not in wanted_context(TrainOptions(), run)
    other = TransferOptions(runs=(tmp_path / "other",))
    assert wanted_context(TrainOptions(transfer=other), run)[-1] == "surface"
    series = model_series(TrainOptions(context=("surface",)), run)
    assert series["variable"].values.tolist() == ["surface_et_01"]
    assert kind_of("surface_et_01") == "surface"


def test_what_the_region_lacks_is_named(tmp_path: Path) -> None:
    poor = run_in(tmp_path / "poor", known=False)
    with pytest.raises(
        ConfigError, match=r"names soil, which the run has nothing of .* give the file under soil:"
    ):
        model_series(TrainOptions(context=("soil",)), poor)


def test_pooled_parcels_share_folds_by_place_and_own_come_first(tmp_path: Path) -> None:
    own, last = run_in(tmp_path / "now"), run_in(tmp_path / "last", start="2023-03-01")
    options = TrainOptions(transfer=TransferOptions(runs=(last.folder,)))
    learnt = learning_set(options, own)
    assert learnt.own == 40
    assert learnt.source.names().tolist() == learnt.declarations["parcel_id"].tolist()
    assert learnt.declarations["parcel_id"].tolist()[40] == "last/000000"
    whole, part = learnt.source.read(slice(0, 80)), learnt.source.read(slice(35, 45))
    assert part.identical(whole.isel(parcel=slice(35, 45))), "some of one run and some of the other"
    fold = plan_folds(learnt.declarations, 3, 0, "block", 400).fold
    np.testing.assert_array_equal(fold[:40], fold[40:])  # the same field lies on one side in both seasons


def test_a_run_whose_feature_is_in_another_unit_is_not_pooled(tmp_path: Path) -> None:
    own, last = run_in(tmp_path / "now"), run_in(tmp_path / "last", start="2023-03-01")
    series, _, _ = crop_world(n=40, start="2023-03-01")
    series["value"][:, :, 0] *= 100  # NDVI in percent
    write_series(series, last.filled)
    with pytest.raises(ModelError, match=r"values of ndvi lie from 0\..* in what last learned from: .* unit"):
        learning_set(TrainOptions(transfer=TransferOptions(runs=(last.folder,))), own)


KEY, OTHER = b"k" * 32, b"j" * 32


def test_pooled_seasons_of_one_key_have_no_holding_on_both_sides_of_a_fold(tmp_path: Path) -> None:
    own = run_in(tmp_path / "now", key=KEY)
    last = run_in(tmp_path / "last", start="2023-03-01", east=50_000, key=KEY)  # other fields of the farms
    learnt = learning_set(TrainOptions(transfer=TransferOptions(runs=(last.folder,))), own)
    plan = plan_folds(learnt.declarations, 3, 0, "holding_and_block", 50)
    sides = learnt.declarations.assign(fold=plan.fold).groupby("holding_id")["fold"].nunique()
    assert (len(sides), sides.max()) == (10, 1)


@pytest.mark.parametrize("theirs", [OTHER, None])
def test_runs_of_different_keys_are_not_pooled(tmp_path: Path, theirs: bytes | None) -> None:
    own, last = run_in(tmp_path / "now", key=KEY), run_in(tmp_path / "last", key=theirs or KEY)
    if theirs is None:
        last.holdings.unlink()  # made before runs said so
    transfer = TransferOptions(runs=(last.folder,))
    said = f"this run has {key_check(KEY)}, last has {key_check(theirs) if theirs else 'none'}"
    with pytest.raises(StageError, match=said) as refusal:
        learning_set(TrainOptions(transfer=transfer), own)
    with pytest.raises(StageError, match=r"declarations\.holding_key"):
        check_transfer(transfer, own)
    assert KEY.decode() not in str(refusal.value)


def test_a_run_without_holdings_needs_no_key(tmp_path: Path) -> None:
    own, last = run_in(tmp_path / "now", key=KEY), run_in(tmp_path / "last", start="2023-03-01")
    check_transfer(TransferOptions(runs=(last.folder,)), own)


def test_runs_of_one_name_are_told_apart_and_an_unfinished_one_is_refused(tmp_path: Path) -> None:
    for folder in ("a/run", "b/run"):
        run_in(tmp_path / folder)
    both = TransferOptions(runs=(tmp_path / "a/run", tmp_path / "b/run"))
    assert list(source_runs(both)) == [(tmp_path / "a/run").as_posix(), (tmp_path / "b/run").as_posix()]
    check_transfer(both, Workspace(tmp_path / "own"))
    with pytest.raises(StageError, match=r"names c, which lacks filled\.nc and declarations\.parquet"):
        check_transfer(TransferOptions(runs=(tmp_path / "c",)), Workspace(tmp_path / "own"))
    with pytest.raises(ModelError, match="holds no trained models"):
        check_transfer(TransferOptions(runs=(tmp_path / "a/run",), use="load"), Workspace(tmp_path / "own"))


def test_what_training_reads_of_other_runs_is_accounted_for(tmp_path: Path) -> None:
    pooled = transferred_files(TransferOptions(runs=(tmp_path,)))
    assert {path.name for path in pooled.values()} == {
        "filled.nc",
        "declarations.parquet",
        "holdings.json",
        "context.parquet",
        "weather.parquet",
    }
    loaded = transferred_files(TransferOptions(runs=(tmp_path,), use="load"))
    of_folds = ["folds.parquet", "declarations.parquet", "holdings.json"]
    assert [path.name for path in loaded.values()] == ["bundle.json", *of_folds]
    assert transferred_files(TransferOptions()) == {}


FARM_FOLDS = np.arange(40) % 10 % 3


def with_folds(run: Workspace) -> Workspace:
    """Note the folds of a run, in which each farm lies in one."""
    ids = read_declared(run)["parcel_id"].tolist()
    run.evaluation.mkdir()
    folds = pl.DataFrame({"parcel_id": ids, "fold": FARM_FOLDS}, schema_overrides={"fold": pl.Int32})
    folds.write_parquet(run.table("folds"))
    return run


@pytest.mark.parametrize("key", [b"k" * 32, b"other key of the other run, 32 by"])
def test_no_holding_is_judged_by_a_model_that_saw_its_other_season(tmp_path: Path, key: bytes) -> None:
    before = with_folds(run_in(tmp_path / "before", key=b"k" * 32))
    now = run_in(tmp_path / "now", start="2025-03-01", east=5_000_000, key=key)  # other ground
    declared, old = read_declared(now), read_declared(before)
    transfer = TransferOptions(runs=(before.folder,), use="load")
    plan = carried_plan(plan_folds(declared, 3, 1), declared, transfer, now)
    fold_of = dict(zip(old["holding_id"], FARM_FOLDS, strict=True))
    if key == b"k" * 32:
        assert plan.fold.tolist() == [fold_of[name] for name in declared["holding_id"]]
        assert plan.note.startswith("40 parcels have the fold")
    else:
        assert plan.note.endswith("its holdings have pseudonyms of another key and are not recognised")


def test_models_without_their_run_may_have_seen_anything_and_that_is_said(tmp_path: Path) -> None:
    now = run_in(tmp_path / "now", key=b"k" * 32)
    declared = read_declared(now)
    own = plan_folds(declared, 3, 1)
    plan = carried_plan(own, declared, TransferOptions(runs=(tmp_path / "models",), use="load"), now)
    assert (plan.fold == own.fold).all()
    assert "its models may have seen some of these parcels" in plan.note
