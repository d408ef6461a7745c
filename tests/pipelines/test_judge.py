"""What the id that every verdict carries depends on."""

import shutil
from pathlib import Path

from features.declarations.schemes import SCHEMES_FILE
from pipelines.config import load_config
from pipelines.stages.judge import model_id
from pipelines.workspace import Workspace


def test_rules_count_by_their_content_not_by_where_they_lie(tmp_path: Path) -> None:
    copy = Path(shutil.copy(SCHEMES_FILE, tmp_path / "schemes.yaml"))
    here, there = (
        load_config(Path("conf/tiny.yaml"), [f"judge.schemes={path}"]) for path in (SCHEMES_FILE, copy)
    )
    workspace = Workspace(tmp_path / "run")
    before = model_id(there, workspace)
    assert before == model_id(here, workspace)
    copy.write_text(copy.read_text() + "# changed\n")
    assert model_id(there, workspace) != before
