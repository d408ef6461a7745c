"""What a run would read of a catalog, and a few pixels of it."""

from pathlib import Path

import geopandas as gpd
import polars as pl

from features.catalog.place import Bounds
from features.catalog.reader import read_acquisitions
from features.extraction.extract import without_contradictions
from features.extraction.units import Outcome
from features.imagery.rasters.checksums import has_checksums
from features.schema import acquisition_rows
from features.storage.scratch import scratch_folder
from pipelines.commands.checks.findings import Findings
from pipelines.config import RunConfig
from pipelines.inputs.region import bounds_of, imagery_options
from pipelines.workspace import Workspace

EVERYWHERE: Bounds = (-180.0, -90.0, 180.0, 90.0)
PROTECTION_LOOKED_AT = 3  # acquisitions of each sensor, whose files may carry checksums
LOOKED_AT = 40  # acquisitions of each sensor, whose offsets are looked at


def check_imagery(
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
    read = findings.of(lambda: read_acquisitions(options, bounds, season.start, season.end, config.limits))
    if read is None:
        return None
    acquisitions, items = read
    sensors = acquisitions["sensor"].value_counts().sort("sensor").iter_rows()
    counts = ", ".join(f"{count} of {sensor}" for sensor, count in sensors)
    findings.lines += [str(items), f"Acquisitions: {counts}."]
    findings.lines += _missing(acquisitions)
    if config.clear.context:
        findings.of(lambda: _check_context(config, workspace, acquisitions))
    if declarations is not None:
        doubtful = findings.of(lambda: _contradictions(config, acquisitions, declarations))
        findings.lines += [] if doubtful is None else [_offsets(doubtful)]
    findings.lines += findings.of(lambda: _unprotected(acquisitions)) or []
    return acquisitions


def _missing(acquisitions: pl.DataFrame) -> list[str]:
    """Say how many acquisitions name files that are not here."""
    rows = acquisition_rows(acquisitions)
    gone = [[asset["href"] for asset in row["assets"] if _is_gone(asset["href"])] for row in rows]
    lost = [hrefs for hrefs in gone if hrefs]
    if not lost:
        return []
    return [
        f"Images: {len(lost)} of {len(rows)} acquisitions name files that are not here, such as "
        f"{lost[0][0]}; a run sets them aside. Check where the catalog's links lead."
    ]


def _is_gone(href: str) -> bool:
    return href.startswith("/") and not href.startswith("/vsi") and not Path(href).is_file()


def _check_context(config: RunConfig, workspace: Workspace, acquisitions: pl.DataFrame) -> None:
    """Look at the maps that cloud removal reads; only these need their libraries."""
    from pipelines.inputs.pixels.clear_context import clear_context, frame_times

    clear_context(config, workspace).check(frame_times(acquisitions))


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


def _offsets(doubtful: list[Outcome]) -> str:
    if not doubtful:
        return "Reflectance offsets and units: plausible in the scenes looked at."
    named = " ".join(f"{outcome.item_id}: {outcome.detail}" for outcome in doubtful[:3])
    return f"Reflectance offsets and units: {len(doubtful)} of the scenes looked at cannot be. {named}"
