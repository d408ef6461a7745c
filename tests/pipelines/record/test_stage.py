"""A stage runs again where something it stands on changed, says what, and else leaves everything alone."""

import json
from pathlib import Path

import pytest

from features.accounting import Tally
from features.errors import StageError
from features.files import write_text
from features.workers import Progress
from pipelines.config import RunConfig, load_config
from pipelines.record.inputs import Entries, Inputs
from pipelines.record.stage import Outcome, Stage, plan_stage, run_stage
from pipelines.workspace import Workspace

TINY = Path(__file__).parents[3] / "conf" / "tiny.yaml"


def config_of(*settings: str) -> RunConfig:
    return load_config(TINY, list(settings))


def quiet(done: int, total: int) -> None:
    pass


def writer(name: str, inputs: Inputs, output: str, text: str = "text") -> Stage:
    """A stage that writes one file."""

    def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
        return Outcome([write_text(workspace.folder / output, text)])

    return Stage(name, "features.files", inputs, run)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "run")


def test_a_finished_stage_is_not_run_twice_and_nothing_is_touched(workspace: Workspace) -> None:
    stage = writer("fill", Inputs(("fill",)), "filled.nc")
    assert run_stage(stage, config_of(), workspace, quiet)[1]
    before = {path: path.stat().st_mtime_ns for path in workspace.folder.rglob("*")}
    assert not run_stage(stage, config_of(), workspace, quiet)[1]
    assert {path: path.stat().st_mtime_ns for path in workspace.folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("setting", "reasons"),
    [
        ("judge.alpha=0.05", ("judge.alpha was 0.1, is 0.05",)),
        ("train.threads=1", ()),  # how many cores work changes no result
        ("fill.method=linear", ()),  # not declared
        ("judge.schemes=elsewhere.yaml", ()),  # where a file lies: its content is declared apart
    ],
)
def test_only_declared_options_with_an_effect_count(
    workspace: Workspace, setting: str, reasons: tuple[str, ...]
) -> None:
    stage = writer("judge", Inputs(("judge", "train")), "verdicts.parquet")
    run_stage(stage, config_of(), workspace, quiet)
    assert plan_stage(stage, config_of(setting), workspace).reasons == reasons


def test_an_option_that_is_not_declared_cannot_be_read(workspace: Workspace) -> None:
    def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
        assert config.season.year == 2024
        return Outcome([], facts={"start": str(config.season.start)})

    stage = Stage("fill", "features.files", Inputs(("season.year",)), run)
    with pytest.raises(StageError, match=r"fill reads the option season\.start, which it does not declare"):
        run_stage(stage, config_of(), workspace, quiet)


@pytest.mark.parametrize("sibling", [".dbf", ".shx", ".prj", ".cpg", ".DBF"])
def test_the_files_of_a_shapefile_count(workspace: Workspace, tmp_path: Path, sibling: str) -> None:
    (tmp_path / "parcels.shp").write_text("shapes")
    (tmp_path / f"parcels{sibling}").write_text("before")
    (tmp_path / "other.dbf").write_text("of another file")
    inputs = Inputs(files=lambda config, workspace: {"declarations.path": tmp_path / "parcels.shp"})
    stage = writer("read", inputs, "declarations.parquet")
    run_stage(stage, config_of(), workspace, quiet)
    (tmp_path / "other.dbf").write_text("changed")
    assert plan_stage(stage, config_of(), workspace).reasons == ()
    (tmp_path / f"parcels{sibling}").write_text("after")
    (reason,) = plan_stage(stage, config_of(), workspace).reasons
    assert reason == f"declarations.path (parcels{sibling}) changed"


@pytest.mark.parametrize(
    ("file", "beside"),
    [
        ("parcels.gpkg", "parcels.gpkg-wal"),  # edited in a GIS, not merged yet
        ("soil.tif", "soil.tif.msk"),
        ("soil.tif", "soil.tif.aux.xml"),
        ("soil.jp2", "soil.jp2.aux.xml"),
    ],
)
def test_what_lies_beside_a_file_and_changes_how_it_is_read_counts(
    workspace: Workspace, tmp_path: Path, file: str, beside: str
) -> None:
    (tmp_path / file).write_text("pages")
    stage = writer("read", Inputs(files=lambda config, workspace: {"role": tmp_path / file}), "made.parquet")
    run_stage(stage, config_of(), workspace, quiet)
    (tmp_path / beside).write_text("<PAMDataset><Scale>0.1</Scale></PAMDataset>")
    assert plan_stage(stage, config_of(), workspace).reasons == (f"role ({beside}) is new",)


def test_a_folder_counts_by_its_files_and_a_missing_file_as_missing(
    workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "a.tif").write_text("a")
    inputs = Inputs(
        files=lambda config, workspace: {"maps": tmp_path / "maps", "weather": tmp_path / "weather.csv"}
    )
    stage = writer("fill", inputs, "filled.nc")
    run_stage(stage, config_of(), workspace, quiet)
    assert plan_stage(stage, config_of(), workspace).reasons == ()
    (tmp_path / "maps" / "b.tif").write_text("b")
    (tmp_path / "weather.csv").write_text("date")
    assert plan_stage(stage, config_of(), workspace).reasons == ("maps b.tif is new", "weather is new")


def test_a_stage_stands_on_the_outputs_it_declares_and_on_no_others(workspace: Workspace) -> None:
    first = writer("extract", Inputs(("seed",)), "observations/parts/a.parquet")
    run_stage(first, config_of(), workspace, quiet)
    second = writer("fill", Inputs(after={"extract": ("observations/parts/*",)}), "filled.nc")
    third = writer("train", Inputs(after={"extract": ("parcels.parquet",)}), "probabilities.parquet")
    for stage in (second, third):
        run_stage(stage, config_of(), workspace, quiet)
    again = writer("extract", Inputs(("seed",)), "observations/parts/a.parquet", "other")
    run_stage(again, config_of("seed=2"), workspace, quiet)
    assert plan_stage(second, config_of(), workspace).reasons == (
        "what extract left changed (observations/parts/*)",
    )
    assert plan_stage(third, config_of(), workspace).reasons == ()


def test_an_altered_input_is_refused_by_name_with_the_cure(workspace: Workspace) -> None:
    first = writer("extract", Inputs(), "parcels.parquet")
    run_stage(first, config_of(), workspace, quiet)
    flip(workspace.parcels)
    second = writer("fill", Inputs(after={"extract": ("*",)}), "filled.nc")
    with pytest.raises(
        StageError, match=r"parcels\.parquet was altered since extract .*cropcheck run CONFIG"
    ):
        run_stage(second, config_of(), workspace, quiet)
    assert not workspace.filled.exists()
    workspace.parcels.unlink()
    with pytest.raises(StageError, match=r"parcels\.parquet is missing"):
        run_stage(second, config_of(), workspace, quiet)


def test_an_altered_output_is_made_anew_and_what_follows_is_not(workspace: Workspace) -> None:
    first = writer("extract", Inputs(), "parcels.parquet")
    second = writer("fill", Inputs(after={"extract": ("*",)}), "filled.nc")
    for stage in (first, second):
        run_stage(stage, config_of(), workspace, quiet)
    record = {path: path.read_bytes() for path in (*workspace.receipts.iterdir(), workspace.audit)}
    flip(workspace.parcels)
    said: list[str] = []
    assert run_stage(first, config_of(), workspace, quiet, said.append)[1]
    assert said == ["extract runs again: parcels.parquet was altered"]
    assert workspace.parcels.read_text() == "text"
    assert not run_stage(second, config_of(), workspace, quiet)[1]
    assert {path: path.read_bytes() for path in record} == record


def test_what_a_stage_no_longer_writes_is_deleted_unless_another_wrote_it(workspace: Workspace) -> None:
    names = ["events.parquet", "labels.parquet", "shared.parquet"]

    def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
        chosen = names if config.seed == 1 else names[:1]
        return Outcome([write_text(workspace.folder / name, "text") for name in chosen])

    stage = Stage("detect", "features.files", Inputs(("seed",)), run)
    run_stage(stage, config_of(), workspace, quiet)
    run_stage(writer("judge", Inputs(), "shared.parquet"), config_of(), workspace, quiet)
    run_stage(stage, config_of("seed=2"), workspace, quiet)
    assert sorted(path.name for path in workspace.folder.glob("*.parquet")) == [names[0], names[2]]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text[: len(text) // 2], "cannot be read"),
        (lambda text: "[]", "is not what cropcheck writes"),
        (lambda text: text.replace('"version": 2', '"version": 1'), "is of another version"),
        (lambda text: text.replace('"seconds": 0.0', '"seconds": 9.0'), "was altered"),
        (lambda text: "\x00" * 40, "cannot be read"),
        (lambda text: "[" * 200_000, "cannot be read"),
    ],
)
def test_a_receipt_that_cannot_be_used_means_run_again(workspace: Workspace, damage, reason: str) -> None:
    first = writer("extract", Inputs(), "parcels.parquet")
    run_stage(first, config_of(), workspace, quiet)
    path = workspace.receipts / "extract.json"
    content = json.loads(path.read_text())
    path.write_text(damage(path.read_text().replace(f'"seconds": {content["seconds"]}', '"seconds": 0.0')))
    second = writer("fill", Inputs(after={"extract": ("*",)}), "filled.nc")
    with pytest.raises(StageError, match=f"extract.json {reason}.*cropcheck run CONFIG"):
        run_stage(second, config_of(), workspace, quiet)
    (why,) = plan_stage(first, config_of(), workspace).reasons
    assert reason in why
    assert run_stage(first, config_of(), workspace, quiet)[1]
    assert not run_stage(first, config_of(), workspace, quiet)[1]


def test_a_receipt_cannot_name_files_outside_the_folder(workspace: Workspace, tmp_path: Path) -> None:
    from pipelines.record.receipt import Receipt, write_receipt

    mine = tmp_path / "mine.txt"
    mine.write_text("not of this run")
    write_receipt(workspace, Receipt("extract", outputs={"../mine.txt": "0" * 64}))
    run_stage(writer("extract", Inputs(), "parcels.parquet"), config_of(), workspace, quiet)
    assert mine.read_text() == "not of this run"


def test_what_lies_outside_is_looked_at_where_nothing_else_changed(workspace: Workspace) -> None:
    there = {"items": "60 items"}
    looks: list[int] = []

    def look(config: RunConfig, workspace: Workspace) -> Entries:
        looks.append(1)
        return dict(there)

    def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
        return Outcome([], looked_at=dict(there))

    stage = Stage("read", "features.files", Inputs(("seed",)), run, look=look)
    run_stage(stage, config_of(), workspace, quiet)
    assert not looks
    assert not run_stage(stage, config_of(), workspace, quiet)[1]
    assert run_stage(stage, config_of("seed=2"), workspace, quiet)[1]
    assert len(looks) == 1
    there["items"] = "61 items"
    assert plan_stage(stage, config_of("seed=2"), workspace).reasons == ("items was 60 items, is 61 items",)


def test_what_was_set_aside_is_tried_again_and_a_try_in_vain_leaves_no_trace(workspace: Workspace) -> None:
    aside = {"unreadable": 1}

    def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
        bad = sum(aside.values())
        return Outcome([], [Tally("extract", "acquisitions", 3, 3 - bad, dict(aside))])

    stage = Stage("extract", "features.files", Inputs(), run, try_again=lambda config, workspace: True)
    assert run_stage(stage, config_of(), workspace, quiet)[0].partial
    files = {path: path.read_bytes() for path in workspace.folder.rglob("*") if path.is_file()}
    assert run_stage(stage, config_of(), workspace, quiet)[1]
    assert {path: path.read_bytes() for path in workspace.folder.rglob("*") if path.is_file()} == files
    aside.clear()
    assert not run_stage(stage, config_of(), workspace, quiet)[0].partial
    assert not run_stage(stage, config_of(), workspace, quiet)[1]


def test_a_clock_set_back_changes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    import os

    stage = writer("fill", Inputs(files=lambda c, w: {"weather": tmp_path / "weather.csv"}), "filled.nc")
    (tmp_path / "weather.csv").write_text("date")
    run_stage(stage, config_of(), workspace, quiet)
    for path in (tmp_path / "weather.csv", workspace.filled):
        os.utime(path, (4e9, 4e9))  # written by a clock that ran ahead
    assert plan_stage(stage, config_of(), workspace).reasons == ()
