"""What a run would make of the parcel file and the code tables; no library that reads imagery is loaded."""

import geopandas as gpd
import polars as pl

from features.accounting import Tally
from features.declarations.crop_codes import read_crop_table
from features.declarations.reader import read_declarations, refuse_if_none_usable
from features.declarations.unmapped import report_unmapped
from features.storage.scratch import scratch_folder
from pipelines.commands.checks.findings import Findings
from pipelines.config import RunConfig
from pipelines.inputs.points import write_points
from pipelines.inputs.region import bounds_of, declaration_options
from pipelines.workspace import Workspace


def check_declarations(
    config: RunConfig, workspace: Workspace, findings: Findings
) -> gpd.GeoDataFrame | None:
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
    findings.of(lambda: refuse_if_none_usable(frame, options, checks))
    if len(findings.problems) == before:
        findings.lines += report_unmapped(frame, options.crops, options.fields)
        findings.lines += [_place_of(frame), _classes_of(frame)]
        return frame
    return None


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
