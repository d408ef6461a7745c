"""What the id that every verdict carries depends on."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from features.declarations.options import SCHEMES_FILE
from features.files import write_text
from features.journal.entries import Draft
from models.assessment.field_results import RESULT
from pipelines.config import RunConfig, load_config
from pipelines.inputs.field import field_journal
from pipelines.plan import judge
from pipelines.record.receipt import Receipt, write_receipt
from pipelines.record.stage import stage_entries
from pipelines.stages.judge import model_id
from pipelines.workspace import Workspace

DECLARED = pl.DataFrame({"parcel_id": ["001"], "holding_id": ["a1"], "declared": ["011"]})


def config_of(*settings: str) -> RunConfig:
    return load_config(Path("conf/tiny.yaml"), list(settings))


def id_of_run(config: RunConfig, workspace: Workspace, declared: pl.DataFrame) -> str:
    return model_id(stage_entries(judge.stage(config), config, workspace), declared)


def leave(workspace: Workspace, stage: str, **outputs: str) -> None:
    """Leave the receipt of a stage with these hashes of its outputs."""
    write_receipt(workspace, Receipt(stage, outputs=outputs))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A run whose stages before `judge` have ended."""
    workspace = Workspace(tmp_path / "run")
    for stage in ("synthesise", "read", "extract", "fill", "detect"):
        leave(workspace, stage)
    leave(workspace, "train", **{"probabilities.parquet": "p", "models/dense/weights.npz": "w"})
    return workspace


def test_rules_count_by_their_content_not_by_where_they_lie(workspace: Workspace, tmp_path: Path) -> None:
    copy = Path(shutil.copy(SCHEMES_FILE, tmp_path / "schemes.yaml"))
    here, there = (config_of(f"judge.schemes={path}") for path in (SCHEMES_FILE, copy))
    before = id_of_run(there, workspace, DECLARED)
    assert before == id_of_run(here, workspace, DECLARED)
    copy.write_text(copy.read_text() + "# changed\n")
    assert id_of_run(there, workspace, DECLARED) != before


@pytest.mark.parametrize(
    ("stage", "outputs"),
    [
        ("train", {"probabilities.parquet": "q", "models/dense/weights.npz": "w"}),
        ("train", {"probabilities.parquet": "p", "models/dense/weights.npz": "v"}),
        ("fill", {"filled.nc": "f"}),
        ("extract", {"parcels.parquet": "p"}),
    ],
)
def test_weights_and_whatever_verdicts_are_made_of_count(
    workspace: Workspace, stage: str, outputs: dict[str, str]
) -> None:
    before = id_of_run(config_of(), workspace, DECLARED)
    leave(workspace, stage, **outputs)
    assert id_of_run(config_of(), workspace, DECLARED) != before


def test_field_results_and_the_design_of_their_sample_count(workspace: Workspace) -> None:
    ids = [id_of_run(config_of(), workspace, DECLARED)]
    journal = field_journal(workspace)
    journal.append([Draft(RESULT, "001", {"field_result": "wrong"})], "inspector")
    ids.append(id_of_run(config_of(), workspace, DECLARED))
    write_text(workspace.field_design, "weights")
    ids.append(id_of_run(config_of(), workspace, DECLARED))
    assert len(set(ids)) == 3


def test_options_that_change_verdicts_count_and_others_do_not(workspace: Workspace) -> None:
    def id_of(*settings: str) -> str:
        return id_of_run(config_of(*settings), workspace, DECLARED)

    assert id_of("judge.alpha=0.05") != id_of()
    assert id_of("seed=2") != id_of()
    assert id_of("season.until=2024-06-20") != id_of()
    for setting in (
        "train.threads=1",
        "extract.threads=1",
        "publish.list_rate=0.1",
        "tracking.enabled=false",
    ):
        assert id_of(setting) == id_of()


def test_declarations_count_but_not_the_pseudonyms_of_holdings(workspace: Workspace) -> None:
    before = id_of_run(config_of(), workspace, DECLARED)
    leave(workspace, "read", **{"declarations.parquet": "written with another key"})
    other_key = DECLARED.with_columns(holding_id=pl.lit("b2"))
    assert id_of_run(config_of(), workspace, other_key) == before
    amended = DECLARED.with_columns(declared=pl.lit("012"))
    assert id_of_run(config_of(), workspace, amended) != before


def test_how_long_a_fit_took_does_not_count(workspace: Workspace) -> None:
    outputs = {"probabilities.parquet": "p", "models/dense/weights.npz": "w", "models/dense/job.json": "3 s"}
    leave(workspace, "train", **outputs)
    before = id_of_run(config_of(), workspace, DECLARED)
    leave(workspace, "train", **{**outputs, "models/dense/job.json": "4 s"})
    assert id_of_run(config_of(), workspace, DECLARED) == before
