"""What a run would read, and every problem of it in one go, before anything is computed.

A check of declarations alone takes two seconds, so the libraries of imagery and models, whose import takes
longer, are loaded only by the checks that need them.
"""

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import geopandas as gpd

from features.declarations.schemes import read_schemes
from pipelines.commands.checks.check_beside import check_beside
from pipelines.commands.checks.check_declarations import check_declarations
from pipelines.commands.checks.findings import Findings
from pipelines.config import RunConfig
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.steps.estimate.load import Load

Only = Literal["declarations"]


def check_inputs(config: RunConfig, workspace: Workspace, only: Only | None = None) -> Findings:
    """Read declarations, catalog and a few pixels; say what was found, every problem, and what a run takes.

    Parameters
    ----------
    only
        `declarations` leaves out imagery and what needs it.
    """
    findings = Findings()
    if config.simulate is not None and not (workspace.region / "declarations.gpkg").is_file():
        count = config.simulate.n_parcels
        findings.lines.append(
            f"The config {config.name} is valid; its region is simulated ({count} parcels) when it is run."
        )
        if only is None:
            _check_what_all_runs_need(config, workspace, findings)
            check_beside(config, None, findings)
            _check_simulation(config, workspace, findings)
        return findings
    declarations = check_declarations(config, workspace, findings)
    if only is None:
        _check_what_all_runs_need(config, workspace, findings)
        check_beside(config, declarations, findings)
        _check_observations(config, workspace, declarations, findings)
    return findings


def _check_what_all_runs_need(config: RunConfig, workspace: Workspace, findings: Findings) -> None:
    """Look at scheme rules, runs that models come from, the output and the record of runs."""
    from pipelines.steps import tracking

    findings.of(lambda: read_schemes(config.judge.schemes))
    findings.of(lambda: _check_transfer(config, workspace))
    findings.of(lambda: _check_output(workspace.folder))
    said = findings.of(lambda: tracking.warn_if_unusable(config))
    findings.lines += [said] if said else []


def _check_simulation(config: RunConfig, workspace: Workspace, findings: Findings) -> None:
    """Look at the maps beside a region that is still to be made, and say what making it takes."""
    from pipelines.inputs.pixels.clear_context import check_rasters
    from pipelines.steps.estimate.load import load_of_simulation

    findings.of(lambda: check_rasters(config, workspace))
    if config.simulate is not None:
        _foretell(config, load_of_simulation(config, config.simulate), workspace, findings)


def _check_observations(
    config: RunConfig, workspace: Workspace, declarations: gpd.GeoDataFrame | None, findings: Findings
) -> None:
    """Look at embeddings, and at the tables of series or the imagery that observations come from."""
    if (embeddings := config.embeddings) is not None:
        from features.context.embeddings import check_file
        from pipelines.inputs.bounded_tables import refuse_large

        findings.of(lambda: refuse_large(config, embeddings.path))
        findings.of(lambda: check_file(embeddings))
    if config.series.tables:
        from pipelines.commands.checks.check_tables import understood
        from pipelines.steps.estimate.load import load_of_tables

        told = None if declarations is None else findings.of(lambda: understood(config, declarations))
        if told is not None and declarations is not None:
            lines, dates, features = told
            findings.lines += lines
            _foretell(config, load_of_tables(config, len(declarations), dates, features), workspace, findings)
        return
    from pipelines.commands.checks.check_imagery import check_imagery
    from pipelines.steps.estimate.load import load_of

    acquisitions = check_imagery(config, workspace, declarations, findings)
    if declarations is not None and acquisitions is not None:
        load = load_of(config, acquisitions, len(declarations), float(declarations["area_ha"].sum()))
        _foretell(config, load, workspace, findings)


def _foretell(config: RunConfig, load: "Load", workspace: Workspace, findings: Findings) -> None:
    """Say what a run takes, and where the disk is too small for it."""
    from pipelines.steps.estimate.disk import short_of_disk
    from pipelines.steps.estimate.foretell import estimate

    findings.lines += estimate(config, load)
    short = short_of_disk(config, load, workspace.folder)
    findings.problems += [short] if short else []


def _check_transfer(config: RunConfig, workspace: Workspace) -> None:
    """Look at the runs that something is taken over from; only these need the models' libraries."""
    if config.train.transfer.runs:
        from pipelines.inputs.model_series import check_transfer

        check_transfer(config.train.transfer, workspace)


def _check_output(folder: Path) -> None:
    """Raise an OSError where the output cannot be written; nothing is made."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))
