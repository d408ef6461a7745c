"""Channels and parcels of cloud removal by config: named, found, keyed, and brought to every stack."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.errors import ConfigError
from features.extraction.observations import read_observations
from features.files import fingerprint
from models.clouds.methods import build
from models.clouds.removal.options import METHODS
from pipelines.commands.checks.check import check_inputs
from pipelines.commands.learning.products import write_products
from pipelines.config import RunConfig, load_config
from pipelines.executor import InProcesses
from pipelines.inputs.pixels.clear_context import clear_context
from pipelines.main_job import run_one, stages
from pipelines.plan.observing.clear import stage as clear_stage
from pipelines.record.stage import stage_entries
from pipelines.stages.observing import extract
from pipelines.stages.observing.clear import fitting_stacks
from pipelines.steps.gather import input_hashes
from pipelines.tables import read_acquired
from pipelines.workspace import Workspace
from tests.small_imagery import write_tif

ROOT = Path(__file__).parents[4]
BRIEF = (
    "clear.method=unet", "clear.epochs=1", "clear.windows=2", "clear.width=8", "clear.members=1",
    "clear.context=[soil, elevation, weather, flux]", "simulate.n_parcels=40", "season.start=2024-05-01",
    "season.end=2024-06-30",
)  # fmt: skip


def config_of(*settings: str) -> RunConfig:
    return load_config(ROOT / "conf" / "tiny.yaml", [*BRIEF, *settings])


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small region whose inputs have been read, and dated maps of flux beside it."""
    folder = tmp_path_factory.mktemp("region")
    config = config_of("rasters.flux=flux")
    workspace = Workspace(folder / "run")
    run_one("synthesise", config, workspace)
    write_flux(folder / "flux")
    from pipelines.plan import read
    from pipelines.record.stage import run_stage

    run_stage(read.stage(config), config, workspace, lambda done, total: None)
    return folder


def write_flux(folder: Path) -> None:
    """Two maps of pixels of 1 km, wide enough for any simulated region."""
    for name, value in (("et_20240401.tif", 1.0), ("et_20240615.tif", 3.0)):
        rng = np.random.default_rng(int(value))
        values = rng.normal(value, 1, (64, 64)).astype(np.float32)
        write_tif(folder / name, values, step=1000.0, corner=(600_000.0, 5_670_000.0), epsg=32631)


def clear_key(config: RunConfig, workspace: Workspace) -> str:
    return fingerprint(stage_entries(clear_stage(config), config, workspace))


def copy(region: Path, folder: Path) -> Workspace:
    shutil.copytree(region / "run", folder / "run")
    return Workspace(folder / "run")


def test_a_name_without_a_file_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"names flux.*gives soil, elevation, weather"):
        config_of()
    real = (ROOT / "conf" / "real-region.yaml", ["clear.context=[soil]"])
    with pytest.raises(ConfigError, match=r"names soil.*it gives none"):
        load_config(*real)
    given = load_config(real[0], [*real[1], "soil=soil.tif"])
    assert given.clear.context == ("soil",)
    with pytest.raises(ConfigError, match="keys of their own"):
        load_config(real[0], ["rasters.soil=soil.tif"])
    with pytest.raises(ConfigError, match="rasters"):
        load_config(real[0], ["rasters.a:b=soil.tif"])


def test_check_refuses_a_raster_that_is_missing_or_unreadable(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("no raster")
    cases = {"absent": r"flux.*no file .*absent", "text.tif": r"flux cannot be used.*text\.tif"}
    for name, said in cases.items():
        found = check_inputs(config_of(f"rasters.flux={tmp_path}/{name}"), Workspace(tmp_path / "run"))
        assert any(re.search(said, problem) for problem in found.problems), found.problems


def test_rasters_lie_in_the_data_folder_and_in_the_manifest(region: Path) -> None:
    used = ["rasters.flux=flux", "clear.method=unet", "clear.context=[flux]"]
    config = load_config(ROOT / "conf" / "tiny.yaml", used, data=region)
    assert config.rasters["flux"] == region / "flux"
    named = [Path(name).name for name in input_hashes(config, Workspace(region / "run"), stages(config)[:-1])]
    assert {"et_20240401.tif", "et_20240615.tif"} <= set(named)


def test_keys_follow_the_files_that_are_channels_and_no_others(region: Path, tmp_path: Path) -> None:
    write_flux(tmp_path / "flux")
    workspace = copy(region, tmp_path)
    used = config_of(f"rasters.flux={tmp_path}/flux")
    unused = config_of(f"rasters.flux={tmp_path}/flux", "clear.context=[]")
    keys = [clear_key(config, workspace) for config in (used, unused)]
    write_tif(tmp_path / "flux" / "et_20240615.tif", np.ones((4, 4), np.float32))
    again = [clear_key(config, workspace) for config in (used, unused)]
    assert again[0] != keys[0]
    assert again[1] == keys[1]
    for names in ("[soil]", "[elevation]"):  # a region's own maps count by what they hold, too
        config = config_of("rasters={}", f"clear.context={names}")
        before = clear_key(config, workspace)
        write_tif(workspace.region / "soil.tif", np.ones((4, 4), np.uint8))
        assert (clear_key(config, workspace) != before) == (names == "[soil]")
    one, two = (tmp_path / "flux" / name for name in ("et_20240401.tif", "et_20240615.tif"))
    pair = [
        config_of("clear.context=[a, b]", f"rasters.a={a}", f"rasters.b={b}")
        for a, b in ((one, two), (two, one))
    ]
    assert len({clear_key(config, workspace) for config in pair}) == 2


def test_baselines_read_no_channels(region: Path) -> None:
    config = config_of(f"rasters.flux={region}/flux", "clear.method=linear")
    assert clear_context(config, Workspace(region / "run")).files == []
    assert len(clear_context(config, Workspace(region / "run"), "unet").files) == 5


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_fills_by_config(region: Path, tmp_path: Path, method: str) -> None:
    few = ("clear.context=[]", "clear.samples=2", "clear.steps=1")
    config, workspace = config_of(f"clear.method={method}", *few), copy(region, tmp_path)
    run_one("clear", config, workspace)
    run_one("extract", config, workspace)
    filled = read_observations(workspace.observations).filter(pl.col("filled_share") > 0)
    assert len(filled) > 0
    assert filled["mean"].is_not_null().all()


@pytest.mark.slow
def test_channels_by_config_reach_fitting_filling_and_products(region: Path, tmp_path: Path) -> None:
    config, workspace = config_of(f"rasters.flux={region}/flux"), copy(region, tmp_path)
    run_one("clear", config, workspace)
    channels = json.loads((workspace.cloud_model / "model.json").read_text())["members"][0]["channels"]
    weather = ["weather:t_min_c", "weather:t_max_c", "weather:precipitation_mm", "weather:radiation_mj"]
    assert channels["context"] == ["soil", "elevation", *weather, "flux"]
    run_one("extract", config, workspace)
    one = read_observations(workspace.observations)
    assert one["filled_share"].max() > 0
    shutil.rmtree(workspace.observations)
    executor = InProcesses(2)
    try:
        run_one("extract", config, workspace, executor)
    finally:
        executor.close()
    assert read_observations(workspace.observations).equals(one)
    catalog = write_products(config, workspace, tmp_path / "products", lambda done, total: None)
    assert catalog.is_file()
    elevation = workspace.region / "elevation.tif"
    values = np.random.default_rng(0).normal(500, 400, (200, 200)).astype(np.float32)
    write_tif(elevation, values, step=100.0, corner=(615_000.0, 5_660_000.0), epsg=32631)
    extract.run(config, workspace, lambda done, total: None)  # with the same model, another map
    other = read_observations(workspace.observations)
    assert other.height == one.height
    assert not other["mean"].equals(one["mean"])


@pytest.mark.slow
def test_agricultural_only_learns_ndvi_inside_parcels(region: Path) -> None:
    def weights(only: bool) -> list[np.ndarray]:
        config = config_of("clear.context=[]", f"clear.agricultural_only={only}")
        workspace = Workspace(region / "run")
        acquisitions = read_acquired(workspace)
        (stack, *_), _ = fitting_stacks(acquisitions, config, workspace, "unet")
        assert ("parcels" in stack) == only
        assert not only or 0.1 < float(stack["parcels"].mean()) < 0.9
        model = build("unet", **config.clear.removal.model_dump(exclude={"method"}))
        model.fit([stack.isel(y=slice(20, 84), x=slice(20, 84))])
        return model.members[0].weights()

    inside, again, everywhere = weights(True), weights(True), weights(False)
    assert all((a == b).all() for a, b in zip(inside, again, strict=True))
    assert not all((a == b).all() for a, b in zip(inside, everywhere, strict=True))
