"""Change one thing, and exactly these stages run again; `publish` follows whatever changed."""

from dataclasses import replace
from pathlib import Path

import pytest

from features.declarations.options import GROUPS_FILE, SCHEMES_FILE
from features.files import sha256, write_text
from features.journal.entries import Draft
from models.assessment.field_results import RESULT
from pipelines.config import RunConfig, load_config
from pipelines.inputs.field import field_journal
from pipelines.main_job import stages
from pipelines.record.receipt import Receipt, read_receipt, write_receipt
from pipelines.record.stage import Stage, plan_stage, stage_entries
from pipelines.workspace import Workspace

CONFIG = """
name: agency
season: {year: 2024, start: 2024-03-01, end: 2024-10-31}
declarations:
  path: parcels.shp
  fields: {parcel_id: id, code: crop}
  crops: {tables: [crops.csv], groups: groups.csv}
weather: weather.csv
soil: soil.tif
elevation: elevation.tif
rasters: {flux: flux}
clear: {method: unet, context: [weather, flux]}
judge: {schemes: schemes.yaml}
"""
OUTPUTS = {
    "read": ("declarations.parquet", "acquisitions.parquet", "assets.parquet"),
    "clear": ("clear/model.json", "clear/example.png"),
    "extract": ("observations/parts/T/a.parquet", "observations/set_aside.parquet", "parcels.parquet"),
    "fill": ("series.nc", "filled.nc", "context.parquet", "weather.parquet"),
    "train": (
        "probabilities.parquet",
        "models/fitted/fit.json",
        "models/dense/weights.npz",
        "models/dense/job.json",
        "importance.parquet",
    ),
    "detect": ("event_chances.parquet", "event_looks.parquet", "events.parquet"),
    "compose": ("composition.parquet", "composition_findings.parquet", "patches/models/0/model.txt"),
    "judge": ("verdicts.parquet", "metrics.json"),
    "forecast": ("forecast.parquet", "anomalies.parquet", "forecast_models/forecast.json"),
    "compare": ("evaluation/changes_verdicts.parquet", "earlier/index.json"),
    "publish": ("reports/agency.html",),
}


AFTER_READ = ("clear", "extract", "fill", "train", "detect", "judge", "forecast")


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A run all of whose stages have ended, in a folder with what they read; the catalog is not looked at."""
    monkeypatch.chdir(tmp_path)
    for name in ("parcels.shp", "parcels.dbf", "parcels.prj", "parcels.cpg", "weather.csv", "soil.tif"):
        write_text(tmp_path / name, name)
    for name in ("elevation.tif", "crops.csv", "flux/et_20240401.tif", "flux/et_20240715.tif"):
        write_text(tmp_path / name, name)
    write_text(tmp_path / "groups.csv", GROUPS_FILE.read_text())
    write_text(tmp_path / "schemes.yaml", SCHEMES_FILE.read_text())
    write_text(tmp_path / "agency.yaml", CONFIG)
    workspace = Workspace(tmp_path / "out")
    for stage in stages_of(config_of()):
        for name in OUTPUTS[stage.name]:
            write_text(workspace.folder / name, name)
        leave(stage, config_of(), workspace)
    return workspace


def config_of(*settings: str) -> RunConfig:
    return load_config(Path("agency.yaml"), list(settings))


def stages_of(config: RunConfig) -> list[Stage]:
    return [replace(stage, look=None) for stage in stages(config)]


def leave(stage: Stage, config: RunConfig, workspace: Workspace) -> None:
    """Leave the receipt of a stage that has just ended."""
    outputs = {name: sha256(workspace.folder / name) for name in OUTPUTS[stage.name]}
    write_receipt(workspace, Receipt(stage.name, stage_entries(stage, config, workspace), outputs))


def run_again(workspace: Workspace, *settings: str) -> list[str]:
    """The stages that run again, where each leaves what it left before."""
    config = config_of(*settings)
    found = []
    for stage in stages_of(config):
        if plan_stage(stage, config, workspace).reasons:
            found.append(stage.name)
            leave(stage, config, workspace)
    return found


def test_nothing_changed_and_nothing_runs(finished: Workspace) -> None:
    assert run_again(finished) == []


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("season.until=2024-07-20", ["read", "clear", "extract", "fill", "detect", "judge", "forecast"]),
        (
            "season.end=2024-09-30",
            ["read", "fill", "detect", "judge", "forecast"],
        ),  # the rest follows from what these leave
        ("seed=2", ["clear", "train", "detect", "judge", "forecast"]),
        ("declarations.fields.code=code", ["read"]),
        ("imagery.max_cloud_cover=50", ["read"]),
        ("clear.epochs=3", ["clear"]),
        ("clear.method=linear", ["clear", "extract"]),
        ("clear.mask.method=temporal", ["clear", "extract"]),
        ("clear.mask.buffer_px={cloud: 3}", ["clear", "extract"]),
        ("extract.statistics=[mean]", ["clear", "extract"]),
        ("extract.inner_buffer_m=0", ["clear", "extract"]),
        ("series.min_share=0.4", ["fill"]),
        ("fill.method=whittaker", ["fill"]),
        ("folds.count=4", ["train"]),
        ("train.models={lightgbm: {}}", ["train"]),
        ("events.rounds=50", ["detect", "judge"]),
        ("judge.alpha=0.1", ["judge"]),
        ("forecast.rounds=20", ["forecast"]),
        ("forecast.from_day=2024-06-01", ["forecast"]),
        ("sample.large_size=10", ["judge"]),
        ("publish.list_rate=0.15", []),
        ("tracking.experiment=other", []),
    ],
)
def test_an_option(finished: Workspace, setting: str, expected: list[str]) -> None:
    assert run_again(finished, setting) == [*expected, "publish"]


@pytest.mark.parametrize("setting", ["train.threads=1", "extract.threads=1", "extract.read_ahead_mb=1"])
def test_how_many_cores_work_and_how_much_is_held_is_of_no_effect(finished: Workspace, setting: str) -> None:
    assert run_again(finished, setting) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("parcels.shp", ["read"]),
        ("parcels.dbf", ["read"]),
        ("parcels.prj", ["read"]),
        ("parcels.cpg", ["read"]),
        ("crops.csv", ["read"]),
        ("groups.csv", ["read"]),
        ("weather.csv", ["clear", "extract", "fill", "forecast"]),
        ("soil.tif", ["fill"]),
        ("elevation.tif", ["fill"]),
        ("flux/et_20240715.tif", ["clear", "extract"]),
        ("flux/et_20240801.tif", ["clear", "extract"]),  # a new one
        ("schemes.yaml", ["judge"]),
    ],
)
def test_a_file_that_is_read(finished: Workspace, name: str, expected: list[str]) -> None:
    path = finished.folder.parent / name
    write_text(path, (path.read_text() if path.is_file() else "") + "\n")
    assert run_again(finished) == [*expected, "publish"]


def test_files_that_moved_change_nothing(finished: Workspace) -> None:
    here = finished.folder.parent
    for name in ("weather.csv", "schemes.yaml", "groups.csv"):
        write_text(here / "elsewhere" / name, (here / name).read_text())
        (here / name).unlink()
    moved = ("weather=elsewhere/weather.csv", "judge.schemes=elsewhere/schemes.yaml")
    assert run_again(finished, *moved, "declarations.crops.groups=elsewhere/groups.csv") == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("declarations.parquet", [*AFTER_READ, "compare"]),
        ("assets.parquet", ["clear", "extract", "compare"]),
        ("clear/model.json", ["extract"]),
        ("clear/example.png", []),
        ("observations/parts/T/a.parquet", ["fill", "detect", "forecast"]),
        ("observations/set_aside.parquet", []),
        ("parcels.parquet", ["judge"]),
        ("filled.nc", ["train", "judge"]),
        ("context.parquet", ["train", "forecast"]),
        ("probabilities.parquet", ["judge"]),
        ("models/dense/weights.npz", ["judge"]),
        ("models/dense/job.json", []),  # how long a fit took
        ("models/fitted/fit.json", ["detect", "forecast", "compare"]),  # what is kept goes by it
        ("importance.parquet", []),
        ("event_chances.parquet", ["judge"]),
        ("events.parquet", ["forecast"]),
        ("forecast_models/forecast.json", []),
        ("metrics.json", []),
    ],
)
def test_what_an_earlier_stage_left(finished: Workspace, name: str, expected: list[str]) -> None:
    maker = next(stage for stage, names in OUTPUTS.items() if name in names)
    write_text(finished.folder / name, "another run of it")
    leave(next(s for s in stages_of(config_of()) if s.name == maker), config_of(), finished)
    assert run_again(finished) == [*expected, "publish"]


COMPOSED = "patches={method: boosting}"


@pytest.fixture
def composed(finished: Workspace) -> Workspace:
    """The same, where pixels were looked at too."""
    for name in OUTPUTS["compose"]:
        write_text(finished.folder / name, name)
    run_again(finished, COMPOSED)
    return finished


def test_asking_for_compositions_composes_and_judges_anew(finished: Workspace) -> None:
    for name in OUTPUTS["compose"]:
        write_text(finished.folder / name, name)
    assert run_again(finished, COMPOSED) == ["compose", "judge", "publish"]
    assert run_again(finished, COMPOSED) == []
    assert run_again(finished) == ["judge", "publish"]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("patches.bands=[B04, B08]", ["compose"]),
        ("patches.composition.least_cluster=10", ["compose"]),
        ("patches.network.epochs=2", ["compose"]),
        ("extract.inner_buffer_m=0", ["clear", "extract", "compose"]),
        ("judge.alpha=0.1", ["judge"]),
        ("events.rounds=50", ["detect", "judge"]),
        ("fill.method=whittaker", ["fill"]),
    ],
)
def test_an_option_where_pixels_are_looked_at(composed: Workspace, setting: str, expected: list[str]) -> None:
    assert run_again(composed, COMPOSED, setting) == [*expected, "publish"]


@pytest.mark.parametrize("setting", ["patches.threads=1"])
def test_how_many_threads_compose_is_of_no_effect(composed: Workspace, setting: str) -> None:
    assert run_again(composed, COMPOSED, setting) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "declarations.parquet",
            ["clear", "extract", "fill", "train", "compose", "detect", "judge", "forecast", "compare"],
        ),
        ("parcels.parquet", ["compose", "judge"]),
        ("observations/set_aside.parquet", ["compose"]),
        ("composition.parquet", ["judge"]),
        ("composition_findings.parquet", ["judge"]),
        ("patches/models/0/model.txt", []),
    ],
)
def test_what_an_earlier_stage_left_where_pixels_are_looked_at(
    composed: Workspace, name: str, expected: list[str]
) -> None:
    config = config_of(COMPOSED)
    maker = next(stage for stage, names in OUTPUTS.items() if name in names)
    write_text(composed.folder / name, "another run of it")
    leave(next(s for s in stages_of(config) if s.name == maker), config, composed)
    assert run_again(composed, COMPOSED) == [*expected, "publish"]


@pytest.mark.parametrize("stage", [name for name in OUTPUTS if name != "compose"])
def test_a_flipped_byte_in_what_a_stage_wrote_makes_that_stage_run_again(
    finished: Workspace, stage: str
) -> None:
    for name in OUTPUTS[stage]:
        path = finished.folder / name
        whole = path.read_bytes()
        path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        (plan,) = (plan_stage(s, config_of(), finished) for s in stages_of(config_of()) if s.name == stage)
        assert plan.reasons == (f"{name} was altered",)
        path.write_bytes(whole)


def test_a_receipt_that_was_written_anew_is_published_again(finished: Workspace) -> None:
    """The manifest names receipts by their bytes: it would not hold of one that only took another time."""
    receipt = read_receipt(finished, "fill")
    assert receipt is not None
    write_receipt(finished, replace(receipt, seconds=9.0))
    assert run_again(finished) == ["publish"]


def test_field_results_run_judge_again_and_one_that_is_undone_does_not(finished: Workspace) -> None:
    journal = field_journal(finished)
    journal.append([Draft(RESULT, "001", {"field_result": "wrong"})], "inspector")
    assert run_again(finished) == ["judge", "publish"]
    assert run_again(finished) == []


def test_a_simulated_season_before_the_last_day_reads_no_later_map(finished: Workspace) -> None:
    changed = finished.folder.parent / "flux" / "et_20240715.tif"
    run_again(finished, "season.until=2024-06-20")
    write_text(changed, "changed after the day up to which may be looked")
    assert run_again(finished, "season.until=2024-06-20") == []


def of_paths(model: type, prefix: str = "") -> list[str]:
    """The dotted keys of all options that name a file or folder."""
    found = []
    for name, field in model.model_fields.items():
        nested = field.annotation
        if hasattr(nested, "model_fields"):
            found += of_paths(nested, f"{prefix}{name}.")
        elif "Path" in str(nested):
            found.append(f"{prefix}{name}")
    return found


def test_every_option_that_names_a_file_is_declared_by_a_stage_or_known_to_change_nothing() -> None:
    declared = {
        "weather", "soil", "elevation", "rasters", "previous", "declarations.crops.tables",
        "declarations.crops.groups", "judge.schemes", "judge.groups", "train.transfer.runs",
        "events.labels", "events.from_run", "clear.mask.network.pretrained", "clear.mask.network.tiles.path",
        "forecast.history", "forecast.from_run", "forecast.weather_table",
    }  # fmt: skip
    key = {"declarations.holding_key"}  # looked at by its pseudonyms
    without_effect = {"tracking.artifacts"}
    assert set(of_paths(RunConfig)) <= declared | key | without_effect
