"""A finished run on a very small region, made once for all tests of a process."""

from dataclasses import dataclass

import pytest

from pipelines.config import RunConfig, load_config
from pipelines.workspace import Workspace
from tests.soak import SETTINGS, TINY
from tests.watching.undeclared import undeclared


@dataclass(frozen=True)
class SmallRun:
    """The run, its config, and what its stages opened beyond what they declare."""

    workspace: Workspace
    config: RunConfig
    undeclared: dict[str, list[str]]


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """A finished run that tests read, and copy where they change it."""
    config = load_config(TINY, list(SETTINGS))
    workspace = Workspace(tmp_path_factory.mktemp("small") / "run")
    return SmallRun(workspace, config, undeclared(config, workspace))
