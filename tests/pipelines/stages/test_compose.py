"""The stage that composes parcels from pixels: every declared parcel has a finding, or the reason why not."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
import pytest
import shapely

from features.errors import ConfigError, StageError
from features.files import read_parquet, write_text
from features.schema import ACQUISITIONS
from pipelines.commands.learning.map import write_map
from pipelines.config import RunConfig, load_config
from pipelines.main_job import run_one, stages
from pipelines.plan.compose import stage as compose_stage
from pipelines.record.inputs import handed
from pipelines.stages import compose
from pipelines.tables import write_table
from pipelines.workspace import Workspace
from tests.models.patches.imagery import field, make_imagery
from tests.small_imagery import LEFT, TOP

CONFIG = """
name: fields
season: {year: 2024, start: 2024-08-01, end: 2024-10-31}
declarations:
  path: parcels.gpkg
  fields: {parcel_id: id, code: crop}
  crops: {tables: [crops.csv]}
extract: {mask: {dilation_m: 0}}
patches: {method: boosting, bands: [B04, B08], least_parcels: 2, block_px: 64, boosting: {rounds: 40}}
"""


def config_in(folder: Path, *settings: str) -> RunConfig:
    codes = "code,name,hcat_code,crop_class\n1,maize,3301010699,maize\n2,wheat,3301010101,wheat\n"
    write_text(folder / "crops.csv", codes)
    path = write_text(folder / "fields.yaml", CONFIG)
    return load_config(path, [f"declarations.crops.tables=[{folder / 'crops.csv'}]", *settings])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """What earlier stages leave of six fields, an outline over two of them, and one that lies far away."""
    workspace = Workspace(tmp_path_factory.mktemp("run"))
    imagery = make_imagery(workspace.folder / "imagery")
    write_table(pl.DataFrame(list(imagery.rows), schema=ACQUISITIONS), workspace.acquisitions)
    ids = ["a", "b", "c", "d", "both", "far"]
    away = shapely.box(LEFT - 9000, TOP - 100, LEFT - 8900, TOP)
    table = gpd.GeoDataFrame(
        {
            "parcel_id": ids,
            "crop_class": ["maize", "wheat", "maize", "wheat", "maize", "wheat"],
            "declared_second": None,
            "area_ha": 5.8,
        },
        geometry=[field(10 * k, 10 * k + 10) for k in range(4)] + [field(40, 60), away],
        crs=32635,
    )
    table.to_parquet(workspace.declarations)
    tiles = ["35VLF"] * 5 + [None]
    write_table(pl.DataFrame({"parcel_id": ids, "tile": tiles}), workspace.parcels)
    folds = pl.DataFrame(
        {"parcel_id": ids, "fold": [0, 0, 1, 1, -1, -1]}, schema_overrides={"fold": pl.Int32}
    )
    write_table(folds.with_columns(group=pl.lit(0)), workspace.table("folds"))
    write_table(pl.DataFrame(schema={"item_id": pl.String}), workspace.observations / "set_aside.parquet")
    return workspace


def test_every_parcel_has_a_finding_or_the_reason_why_not(trained: Workspace, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    config = config_in(tmp_path)
    given = handed(config, "compose", compose_stage(config).inputs)  # nothing but what the stage declares
    outcome = compose.run(given, trained, lambda done, total: steps.append((done, total)))
    findings = read_parquet(trained.composition_findings)
    assert findings["parcel_id"].to_list() == ["a", "b", "c", "d", "both", "far"]
    assert dict(findings.select("parcel_id", "reason").iter_rows())["far"] == "outside_imagery"
    assert findings.filter("more_than_one_crop")["parcel_id"].to_list() == ["both"]
    assert (outcome.tallies[0].went_out, dict(outcome.tallies[0].set_aside)) == (5, {"outside_imagery": 1})
    assert steps == sorted(steps) and steps[-1][0] == steps[-1][1]
    assert read_parquet(trained.composition).group_by("parcel_id").agg(pl.col("share").sum())["share"].to_list() == pytest.approx([1] * 5)  # fmt: skip  # noqa: E501
    assert not (trained.patches / "parts").exists()


def test_a_second_run_ends_with_the_same_bytes(trained: Workspace, tmp_path: Path) -> None:
    config = config_in(tmp_path)
    names = ("composition", "composition_findings", "composition_pixels")
    compose.run(config, trained, lambda done, total: None)
    first = [getattr(trained, name).read_bytes() for name in names]
    compose.run(config, trained, lambda done, total: None)
    assert [getattr(trained, name).read_bytes() for name in names] == first


def test_a_map_is_written_from_what_the_run_left(trained: Workspace, tmp_path: Path) -> None:
    catalog = write_map(config_in(tmp_path), trained, tmp_path / "map", lambda done, total: None)
    assert catalog.is_file() and (tmp_path / "map" / "35VLF" / "crops" / "35VLF_crops_classes.tif").is_file()


def test_a_map_needs_a_method_and_a_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose what maps crops"):
        write_map(config_in(tmp_path, "patches.method=none"), Workspace(tmp_path), tmp_path, lambda *_: None)
    with pytest.raises(StageError, match="cropcheck run CONFIG"):
        write_map(config_in(tmp_path), Workspace(tmp_path), tmp_path, lambda *_: None)


def test_a_season_under_cloud_sets_every_parcel_aside_and_the_run_goes_on(
    trained: Workspace, tmp_path: Path
) -> None:
    before = read_parquet(trained.acquisitions)
    dark = make_imagery(tmp_path / "dark", hidden=60)
    write_table(pl.DataFrame(list(dark.rows), schema=ACQUISITIONS), trained.acquisitions)
    try:
        outcome = compose.run(config_in(tmp_path), trained, lambda *_: None)
    finally:
        write_table(before, trained.acquisitions)
    assert dict(outcome.tallies[0].set_aside) == {"never_seen": 6}
    assert not read_parquet(trained.composition_findings)["more_than_one_crop"].any()


@pytest.mark.slow
def test_a_network_on_patches_composes_the_same_parcels(trained: Workspace, tmp_path: Path) -> None:
    network = (
        "{width: 8, depth: 2, patch_px: 32, epochs: 12, patches: 16, batch_size: 4, learning_rate: 0.02}"
    )
    config = config_in(tmp_path, "patches.method=unet", f"patches.network={network}")
    outcome = compose.run(config, trained, lambda done, total: None)
    findings = read_parquet(trained.composition_findings)
    assert outcome.facts["method"] == "unet"
    assert (outcome.tallies[0].went_out, dict(outcome.tallies[0].set_aside)) == (5, {"outside_imagery": 1})
    assert findings.filter("more_than_one_crop")["parcel_id"].to_list() == ["both"]
    weights = next(path for path in outcome.outputs if path.is_dir()).rglob("*.npz")
    assert sorted(path.parent.name for path in weights) == ["fold_0", "fold_1"]


def test_bands_that_no_acquisition_has_are_refused(trained: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"B05, which no optical acquisition has"):
        compose.run(config_in(tmp_path, "patches.bands=[B04, B05]"), trained, lambda *_: None)


def test_the_stage_is_there_only_where_it_is_asked_for(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    names = [stage.name for stage in stages(config)]
    assert names.index("train") < names.index("compose") < names.index("judge")
    without = config_in(tmp_path, "patches.method=none")
    assert "compose" not in [stage.name for stage in stages(without)]
    with pytest.raises(StageError, match=r"set patches\.method to boosting or unet"):
        run_one("compose", without, Workspace(tmp_path))


def test_composition_needs_imagery(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a run from tables of series takes"):
        config_in(tmp_path, "series.tables=[{path: a.parquet, template: sits}]")


def test_folds_that_nothing_learned_take_the_mean_of_all_models(trained: Workspace, tmp_path: Path) -> None:
    compose.run(config_in(tmp_path), trained, lambda done, total: None)
    both = read_parquet(trained.composition).filter(pl.col("parcel_id") == "both")
    np.testing.assert_allclose(sorted(both["share"]), [0.5, 0.5], atol=0.05)
