"""A seed becomes a region: declarations, imagery, catalog and the hidden truth."""

from features.errors import StageError
from features.simulate.region.region import simulate_region
from features.workers import Progress
from pipelines.config import RunConfig
from pipelines.record.stage import Outcome, Stage
from pipelines.workspace import Workspace


def run(config: RunConfig, workspace: Workspace, progress: Progress) -> Outcome:
    """Write the simulated region below `region/`."""
    if config.simulate is None:
        raise StageError(f"{config.name} has no `simulate` section; it reads a real region.")
    tally = simulate_region(config.simulate, config.season.year, config.seed, workspace.region, progress)
    return Outcome([workspace.region], [tally])


STAGE = Stage("synthesise", ("features/simulate",), ("simulate",), (), run)
