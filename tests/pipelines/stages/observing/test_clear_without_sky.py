"""A season without clear sky: nothing is fitted, the run goes on, and the account says why."""

from pathlib import Path

import polars as pl
import pytest

from features.errors import ImageryError, ModelError
from models.clouds.removal.hiding import NOTHING_CLEAR
from pipelines.config import load_config
from pipelines.stages.observing import clear
from pipelines.workspace import Workspace

SEASON = pl.DataFrame({"item_id": ["a", "b", "c"], "sensor": ["s1", "s2", "s2"]})


@pytest.fixture
def season(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    workspace.cloud_model.mkdir(parents=True)
    (workspace.cloud_model / "model.json").write_text("{}")  # of an earlier run
    return workspace


def test_radar_goes_on_alone_where_no_sky_was_clear(
    season: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object) -> None:
        raise ModelError("0 of 2 frames have a clear pixel.", reason=NOTHING_CLEAR)

    monkeypatch.setattr(clear, "fitting_stacks", nothing)
    monkeypatch.setattr(clear, "read_acquired", lambda _: SEASON)
    config = load_config(Path("conf/tiny.yaml"))
    outcome = clear.run(config, season, lambda done, total: None)
    (tally,) = outcome.tallies
    assert (outcome.outputs, tally.came_in, tally.set_aside) == ([], 2, {NOTHING_CLEAR: 2})
    assert clear.fitted_remover(config, season) is None


def test_other_errors_end_the_stage(season: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ImageryError("The rasters are in two coordinate systems.", reason="other_crs")

    monkeypatch.setattr(clear, "fitting_stacks", broken)
    monkeypatch.setattr(clear, "read_acquired", lambda _: SEASON)
    with pytest.raises(ImageryError, match="two coordinate systems"):
        clear.run(load_config(Path("conf/tiny.yaml")), season, lambda done, total: None)
