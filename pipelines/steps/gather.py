"""What the reports draw from: the stored tables of a run, read once."""

import json
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from features.catalog.access.hrefs import is_remote
from features.declarations.crop_codes import read_crop_groups, read_crop_table
from features.declarations.schemes import read_schemes
from features.errors import StageError
from features.files import read_parquet, refuse_unvouched, scan_parquet
from features.series.chunks import StoredSeries
from features.storage.siblings import beside_raster
from models.assessment.field_results import present
from pipelines.config import RunConfig
from pipelines.inputs.crop_tables import crop_options
from pipelines.inputs.field import design_of, entries_until, renew
from pipelines.inputs.named_files import previous_files
from pipelines.inputs.pixels.cloud_masks import showing_masks
from pipelines.record.audit import chain
from pipelines.record.audit.manifest import UNSEALED, git_commit, versions
from pipelines.record.hashes import hash_all
from pipelines.record.image_hashes import image_hashes
from pipelines.record.inputs import expanded
from pipelines.record.receipt import Receipt, read_receipt
from pipelines.record.stage import Stage
from pipelines.record.whole import refuse_altered
from pipelines.tables import hrefs_of, read_acquired, read_declared
from pipelines.workspace import Workspace
from reports.run import FieldTables, RunTables


def gather(
    config: RunConfig, workspace: Workspace, receipts: list[Receipt], inputs: dict[str, str]
) -> RunTables:
    """Read a run's tables into what the pages draw from.

    What grows with the steps of a season, with events or with classes stays on disk until some parcels of it
    are asked for.
    """
    renew(workspace, config.season.until)
    crops = read_crop_table(crop_options(config, workspace))
    verdicts = read_parquet(workspace.verdicts)
    names = {code: name for code, name in crops.select("code", "name").iter_rows() if name}
    return RunTables(
        name=config.name,
        season=config.season.year,
        declarations=read_declared(workspace),
        verdicts=verdicts,
        parcels=read_parquet(workspace.parcels),
        acquisitions=showing_masks(read_acquired(workspace), config.clear.mask, workspace),
        dates=read_parquet(workspace.table("dates")),
        series=StoredSeries(workspace.series),
        filled=StoredSeries(workspace.filled),
        probabilities=scan_parquet(workspace.probabilities),
        importance=read_parquet(workspace.importance),
        contributions=scan_parquet(workspace.contributions),
        evaluation={
            path.stem: read_parquet(refuse_unvouched(path, "run `cropcheck tune` again, or delete it"))
            for path in sorted(workspace.evaluation.glob("*.parquet"))
        },
        metrics=_read_json(workspace.metrics),
        rules=_rules(config),
        lineage=lineage(config, workspace, verdicts, receipts, inputs),
        crop_names=names,
        crop_groups=read_crop_groups(config.judge.groups).group_by_class,
        quality_sample=read_parquet(workspace.sample),
        quality_design=read_parquet(workspace.design),
        assessment=read_parquet(workspace.assessment) if workspace.assessment.is_file() else None,
        field_results=_field(workspace, config.season.until),
        events=_lazy(workspace.events),
        markers=_table(workspace.markers),
        forecast=_lazy(workspace.forecast),
        anomalies=_table(workspace.anomalies),
        composition=_composed(config, workspace.composition),
        composition_findings=_composed(config, workspace.composition_findings),
        composition_pixels=_lazy(workspace.composition_pixels) if config.patches.method != "none" else None,
        previous=_previous(config),
    )


def tables_read(workspace: Workspace) -> list[Path]:
    """Return the tables that `gather` reads but for the series, whose format has checksums of its own."""
    return [*workspace.folder.glob("*.parquet"), *workspace.evaluation.glob("*.parquet"), workspace.metrics]


def _field(workspace: Workspace, until: date | None) -> FieldTables | None:
    """Return what field results gave, or None where there are none."""
    entries = entries_until(workspace, until)
    if not entries or not workspace.assessment.is_file():
        return None
    return FieldTables(
        results=read_parquet(workspace.field_results),
        conflicts=present(entries).conflicts,
        by_stratum=read_parquet(workspace.by_stratum),
        assisted=read_parquet(workspace.assisted),
        design=design_of(workspace),
        entries=len(entries),
    )


def _composed(config: RunConfig, path: Path) -> pl.DataFrame | None:
    """Return a table of what the pixels of parcels say, where they were looked at."""
    return _table(path) if config.patches.method != "none" else None


def _lazy(path: Path) -> pl.LazyFrame | None:
    return scan_parquet(path) if path.is_file() else None


def _table(path: Path) -> pl.DataFrame | None:
    return read_parquet(path) if path.is_file() else None


def _previous(config: RunConfig) -> RunTables | None:
    """Return what drift is measured against: last season's run, where the config names one."""
    if config.previous is None:
        return None
    before = Workspace(config.previous)
    if not before.manifest.is_file():
        raise StageError(f"previous: {config.previous} holds no finished run; name its output folder.")
    refuse_altered(
        before, previous_files(config.previous).values(), "the comparison with last season (previous)"
    )
    manifest = _read_json(before.manifest)
    return RunTables(
        name=manifest["name"],
        season=manifest["config"]["season"]["year"],
        declarations=read_declared(before),
        verdicts=read_parquet(before.verdicts),
        parcels=read_parquet(before.parcels),
        series=StoredSeries(before.series),
        metrics=_read_json(before.metrics),
    )


def lineage(
    config: RunConfig,
    workspace: Workspace,
    verdicts: pl.DataFrame,
    receipts: list[Receipt],
    inputs: dict[str, str],
) -> dict[str, Any]:
    """Return where the verdicts come from: config, code, inputs, models and what each stage accounted for."""
    models = {
        name: digest for receipt in receipts for name, digest in receipt.outputs.items() if _is_model(name)
    }
    resolved = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return {
        "config": resolved,
        "seed": config.seed,
        "made": _made(workspace),
        "versions": versions(),
        "git_commit": git_commit(),
        "model_id": verdicts["model_id"][0] if len(verdicts) else None,
        "inputs": [{"path": name, "sha256": digest} for name, digest in inputs.items()],
        "models": [{"path": name, "sha256": digest} for name, digest in models.items()],
        "stages": [
            {**vars(tally), "set_aside": dict(tally.set_aside)}
            for receipt in receipts
            for tally in receipt.tallies
        ],
        "since": _facts_of(receipts, "compare").get("since"),
        "folds": _facts_of(receipts, "train"),
        "events_by": _facts_of(receipts, "detect").get("events_by", ""),
        "manifest_sha256": UNSEALED,
    }


def _facts_of(receipts: list[Receipt], stage: str) -> dict[str, Any]:
    return next((receipt.facts for receipt in receipts if receipt.stage == stage), {})


def _made(workspace: Workspace) -> date | None:
    """Return the day on which the verdicts were made, by the run's log."""
    times = [entry["time"] for entry in chain.entries(workspace.audit) if entry["event"] == "judge"]
    return date.fromisoformat(times[-1][:10]) if times else None


def input_hashes(config: RunConfig, workspace: Workspace, earlier: Sequence[Stage]) -> dict[str, str]:
    """Return path -> SHA-256 of everything that was read, as the stages declare it, and of local imagery.

    What lies behind a link is not hashed: `assets.parquet` holds what its server said of it.
    """
    made = read_receipt(workspace, "synthesise") if config.simulate is not None else None
    region = dict(made.outputs) if made else {}
    named = [path for stage in earlier for path in expanded(stage.inputs.files(config, workspace)).values()]
    images = _outside(_local_assets(workspace), workspace, bool(region))
    others = _outside(named, workspace, bool(region)) - images
    hashes = hash_all(sorted(others)) | image_hashes(sorted(images), workspace.image_hashes)
    return {**region, **{_named(path): hashes[path] for path in sorted(hashes)}}


def _outside(paths: Iterable[Path], workspace: Workspace, simulated: bool) -> set[Path]:
    """Return those files that the run did not make: outside its folder, or outside the region it made."""
    covered = (workspace.region if simulated else workspace.folder).resolve()
    return {path.absolute() for path in paths if not path.resolve().is_relative_to(covered)}


def _named(path: Path) -> str:
    """Return a path as it is named in the manifest: relative to the working folder where it lies below it."""
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.as_posix()


def _local_assets(workspace: Workspace) -> list[Path]:
    """Return the files of imagery, and where their masks and tags would lie beside them."""
    hrefs = hrefs_of(read_acquired(workspace))
    local = [href for href in hrefs if not is_remote(href) and not href.startswith(("s3://", "/vsi"))]
    return [path for href in local for path in (Path(href), *beside_raster(href))]


def _rules(config: RunConfig) -> dict[str, Any]:
    options = config.judge.model_dump(mode="json")
    return {
        **{
            name: Path(value).name if name in ("schemes", "groups") else value
            for name, value in options.items()
        },
        "schemes": read_schemes(config.judge.schemes).model_dump(mode="json"),
    }


def _is_model(name: str) -> bool:
    return name.startswith(("models/", "clear/", "event_models/"))


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
