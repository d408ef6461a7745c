"""What a run would read, and every problem of it in one go, before anything is computed."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import geopandas as gpd
import polars as pl

from features.accounting import Tally
from features.catalog.place import Bounds
from features.catalog.reader import read_acquisitions
from features.context.embeddings import check_file
from features.declarations.crop_codes import read_crop_table
from features.declarations.reader import read_declarations, refuse_if_none_usable
from features.declarations.schemes import read_schemes
from features.declarations.unmapped import report_unmapped
from features.extraction.extract import without_contradictions
from features.extraction.units import Outcome
from features.imagery.checksums import has_checksums
from features.scratch import scratch_folder
from pipelines.commands.checks.check_tables import understood
from pipelines.commands.checks.estimate import estimate, load_of, load_of_simulation
from pipelines.config import RunConfig
from pipelines.faults import sentence_of
from pipelines.inputs.clear_context import check_rasters, clear_context, frame_times
from pipelines.inputs.points import write_points
from pipelines.stages.read import bounds_of, declaration_options, imagery_options
from pipelines.steps import tracking
from pipelines.workspace import Workspace

EVERYWHERE: Bounds = (-180.0, -90.0, 180.0, 90.0)
PROTECTION_LOOKED_AT = 3  # acquisitions of each sensor, whose files may carry checksums
LOOKED_AT = 40  # acquisitions of each sensor, whose offsets are looked at
Only = Literal["declarations"]
T = TypeVar("T")


@dataclass
class Findings:
    """What was found, and what stands in the way of a run."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def of(self, step: Callable[[], T]) -> T | None:
        """Return what a step returns; where it fails, note the problem and return None."""
        try:
            return step()
        except Exception as error:
            self.problems += [line for line in [sentence_of(error)[0]] if line not in self.problems]
            return None

    def __str__(self) -> str:
        problems = [f"problem: {problem}" for problem in self.problems]
        many = len(self.problems)
        last = [f"{many} problem{'s' if many > 1 else ''} to mend before a run."] if many else []
        return "\n".join([*self.lines, *problems, *last])


def check_inputs(config: RunConfig, workspace: Workspace, only: Only | None = None) -> Findings:
    """Read declarations, catalog and a few pixels; say what was found, every problem, and what a run takes.

    Parameters
    ----------
    only
        `declarations` leaves out imagery and what needs it.
    """
    findings = Findings()
    made_later = config.simulate is not None and not (workspace.region / "declarations.gpkg").is_file()
    declarations = None if made_later else _declared(config, workspace, findings)
    if only == "declarations":
        return findings
    findings.of(lambda: read_schemes(config.judge.schemes))
    findings.of(lambda: _check_transfer(config, workspace))
    findings.of(lambda: _check_output(workspace.folder))
    said = findings.of(lambda: tracking.warn_if_unusable(config))
    findings.lines += [said] if said else []
    if config.simulate is not None and made_later:
        findings.of(lambda: check_rasters(config, workspace))
        count = config.simulate.n_parcels
        findings.lines.append(
            f"The config {config.name} is valid; its region is simulated ({count} parcels) when it is run."
        )
        findings.lines += estimate(config, load_of_simulation(config, config.simulate))
        return findings
    if (embeddings := config.embeddings) is not None:
        findings.of(lambda: check_file(embeddings))
    if config.series.tables:
        lines = None if declarations is None else findings.of(lambda: understood(config, declarations))
        findings.lines += lines or []
        return findings
    acquisitions = _imagery(config, workspace, declarations, findings)
    if declarations is not None and acquisitions is not None:
        load = load_of(config, acquisitions, len(declarations), float(declarations["area_ha"].sum()))
        findings.lines += estimate(config, load)
    return findings


def _declared(config: RunConfig, workspace: Workspace, findings: Findings) -> gpd.GeoDataFrame | None:
    """Read the declarations; those that a table of series holds go through a folder that does not stay."""
    if config.series.labels is None:
        return _declarations(config, workspace, findings)
    with scratch_folder() as folder:
        passing = Workspace(folder)
        before = len(findings.problems)
        findings.of(lambda: write_points(config, passing))
        return _declarations(config, passing, findings) if len(findings.problems) == before else None


def _declarations(config: RunConfig, workspace: Workspace, findings: Findings) -> gpd.GeoDataFrame | None:
    """Read the parcels and the code tables, each problem of both noted."""
    options = declaration_options(config, workspace)
    findings.of(lambda: read_crop_table(options.crops))
    read = findings.of(lambda: read_declarations(options, config.season.year))
    if read is None:
        return None
    frame, parcels, checks = read
    findings.lines += _found(parcels, checks)
    before = len(findings.problems)
    findings.of(lambda: refuse_if_none_usable(frame, options))
    if len(findings.problems) == before:
        findings.lines += report_unmapped(frame, options.crops, options.fields)
        findings.lines += [_place_of(frame), _classes_of(frame)]
        return frame
    return None


def _imagery(
    config: RunConfig, workspace: Workspace, declarations: gpd.GeoDataFrame | None, findings: Findings
) -> pl.DataFrame | None:
    """Read the catalog where the parcels lie, or everywhere in a catalog on disk where they are not known."""
    options, season = imagery_options(config, workspace), config.season
    if declarations is None and not Path(options.catalog).exists():
        findings.lines.append("Imagery: not asked for, since the declarations cannot be read.")
        return None
    bounds = EVERYWHERE if declarations is None else findings.of(lambda: bounds_of(declarations))
    if bounds is None:
        return None
    read = findings.of(lambda: read_acquisitions(options, bounds, season.start, season.end))
    if read is None:
        return None
    acquisitions, items = read
    sensors = acquisitions["sensor"].value_counts().sort("sensor").iter_rows()
    counts = ", ".join(f"{count} of {sensor}" for sensor, count in sensors)
    findings.lines += [str(items), f"Acquisitions: {counts}."]
    findings.of(lambda: clear_context(config, workspace).check(frame_times(acquisitions)))
    if declarations is not None:
        doubtful = findings.of(lambda: _contradictions(config, acquisitions, declarations))
        findings.lines += [] if doubtful is None else [_offsets(doubtful)]
    findings.lines += findings.of(lambda: _unprotected(acquisitions)) or []
    return acquisitions


def _contradictions(
    config: RunConfig, acquisitions: pl.DataFrame, declarations: gpd.GeoDataFrame
) -> list[Outcome]:
    """Return which of some acquisitions a run would set aside for numbers that cannot be."""
    with scratch_folder() as folder:
        some = evenly(acquisitions, LOOKED_AT)
        return without_contradictions(some, declarations, config.extract, folder)[1]


def _unprotected(acquisitions: pl.DataFrame) -> list[str]:
    """Say of how many images, of some that lie here, nothing would show that bytes were altered."""
    some = evenly(acquisitions, PROTECTION_LOOKED_AT)
    links = [assets[0]["href"] for assets in some["assets"].to_list() if assets]
    here = [href for href in links if Path(href).is_file()]
    bare = [href for href in here if not has_checksums(href)]
    if not bare:
        return []
    return [
        f"Damage to images: {len(bare)} of {len(here)} looked at carry no checksum, as {Path(bare[0]).name}; "
        "altered bytes would not be noticed. Keep hashes of what you download, or write them with deflate."
    ]


def evenly(acquisitions: pl.DataFrame, most: int) -> pl.DataFrame:
    """Return at most so many acquisitions of each sensor, spread evenly over the season."""
    ordered = acquisitions.sort("sensor", "datetime", "item_id")
    place, size = pl.int_range(pl.len()).over("sensor"), pl.len().over("sensor")
    return ordered.filter((place * most) // size != ((place - 1) * most) // size)


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


def _found(parcels: Tally, checks: pl.DataFrame) -> list[str]:
    found = checks["check"].value_counts().sort("check").iter_rows() if len(checks) else ()
    told = ", ".join(f"{count} {name}" for name, count in found) or "nothing found"
    placed = checks.filter(pl.col("check") == "misplaced").select("parcel_id", "detail").head(5).iter_rows()
    misplaced = [f"  parcel {parcel_id}: {detail}" for parcel_id, detail in placed]
    return [str(parcels), f"Geometry checks: {told}.", *misplaced]


def _place_of(declarations: gpd.GeoDataFrame) -> str:
    west, south, east, north = bounds_of(declarations)
    hectares = float(declarations["area_ha"].sum())
    return (
        f"Parcels: {hectares:,.0f} ha between {west:.2f} and {east:.2f} degrees east, {south:.2f} and "
        f"{north:.2f} degrees north, in {declarations.crs.name}."
    )


def _classes_of(declarations: gpd.GeoDataFrame) -> str:
    counts = declarations["crop_class"].value_counts()
    listed = ", ".join(f"{name} {count}" for name, count in counts.head(8).items())
    more = f" and {len(counts) - 8} more" if len(counts) > 8 else ""
    return f"Crop classes: {len(counts)} ({listed}{more})."


def _offsets(doubtful: list[Outcome]) -> str:
    if not doubtful:
        return "Reflectance offsets and units: plausible in the scenes looked at."
    named = " ".join(f"{outcome.item_id}: {outcome.detail}" for outcome in doubtful[:3])
    return f"Reflectance offsets and units: {len(doubtful)} of the scenes looked at cannot be. {named}"
