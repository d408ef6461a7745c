"""A seed becomes a region: declarations, imagery, catalog and the hidden truth."""

from collections.abc import Iterable

from features.errors import StageError
from features.simulate.region.region import NOTE, simulate_region
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.record.stage import Outcome
from pipelines.workspace import Workspace


def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    """Write the simulated region below `region/`."""
    if config.simulate is None:
        raise StageError("The config has no `simulate` section; it reads a real region.")
    tally = simulate_region(config.simulate, config.season.year, config.seed, workspace.region, progress)
    return Outcome([workspace.region], [tally])


def discard(workspace: Workspace, names: Iterable[str]) -> None:
    """Delete damaged files, and the item of a damaged image: a scene is drawn where its item is missing.

    The note of what the region is stays, or is left empty: a region with a damaged note is made anew.
    """
    for name in names:
        path = workspace.folder / name
        if path == workspace.region / NOTE:
            path.touch()
            continue
        path.unlink(missing_ok=True)
        if path.suffix == ".tif" and path.parent != workspace.region:
            for item in path.parent.glob("*.json"):
                item.unlink()
