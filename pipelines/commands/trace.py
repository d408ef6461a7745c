"""What one verdict rests on: declaration, scenes, filled steps, models, rule and thresholds, with hashes."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.errors import StageError
from features.files import read_parquet, sha256
from features.messages.suggestions import did_you_mean
from features.schema import Row
from features.series.parcel_series import read_series
from pipelines.record.audit.verify import Manifest, read_manifest
from pipelines.record.fit_words import fit_sentence
from pipelines.tables import read_acquired, read_stamps
from pipelines.workspace import Workspace

DECLARED = [
    "declared", "declared_second", "crop_class", "hcat_code", "intervention", "area_ha", "holding_id",
    "reason",
]  # fmt: skip
THRESHOLDS = (
    "alpha", "noise_rate", "set_level", "max_set_size", "min_full_pixels", "max_buffer_loss",
    "min_observations", "max_filled_share", "max_sigma", "max_spread",
)  # fmt: skip


def trace_parcel(folder: Path, parcel_id: str) -> str:
    """Return all that a parcel's verdict rests on, in sections of text; every hash is a SHA-256.

    The tables are compared with the manifest before they are used.

    Raises
    ------
    StageError
        Where the folder holds no finished run, a table was altered since, or there is no such parcel.
    """
    workspace = Workspace(folder)
    manifest = read_manifest(workspace)
    _refuse_altered(workspace, manifest)
    verdict = _verdict(workspace, parcel_id)
    sections = {
        f"Parcel {parcel_id} of {manifest['name']}": _heading(workspace, manifest, verdict),
        "Declaration": _declaration(workspace, manifest, parcel_id),
        "Scenes": _scenes(workspace, manifest, parcel_id),
        "Filled": _filled(workspace, parcel_id),
        "Models": _models(workspace, manifest, verdict),
        "Rule": _rule(workspace, manifest, verdict),
        "Made by": _made_by(manifest),
    }
    return "\n\n".join("\n".join([title, *_indented(lines)]) for title, lines in sections.items())


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _refuse_altered(workspace: Workspace, manifest: Manifest) -> None:
    tables = [workspace.verdicts, workspace.declarations, workspace.acquisitions, workspace.assets]
    tables += [workspace.probabilities, workspace.series, workspace.filled, workspace.table("folds")]
    tables += [workspace.metrics, workspace.observations / "parts.parquet"]
    for path in tables:
        name = workspace.relative(path)
        if not path.is_file() or sha256(path) != manifest["outputs"].get(name):
            raise StageError(
                f"{name} is not as the manifest says; `cropcheck verify {workspace.folder}` names all that "
                "is not, and `cropcheck run CONFIG` makes it anew."
            )


def _verdict(workspace: Workspace, parcel_id: str) -> Row:
    verdicts = read_parquet(workspace.verdicts)
    found = verdicts.filter(pl.col("parcel_id") == parcel_id).to_dicts()
    if not found:
        near = did_you_mean(parcel_id, verdicts["parcel_id"].to_list())
        raise StageError(f"{workspace.folder} has no parcel {parcel_id!r}.{near}")
    return dict(found[0])


def _heading(workspace: Workspace, manifest: Manifest, verdict: Row) -> list[str]:
    until = manifest["config"]["season"]["until"]
    return [
        f"verdict     {verdict['verdict']} ({verdict['reason']}), season {verdict['season']}"
        + (f", with what was seen by {until}" if until else ""),
        f"model_id    {verdict['model_id']}",
        f"manifest    {sha256(workspace.manifest)}",
        f"verdicts    {manifest['outputs']['verdicts.parquet']}",
    ]


def _declaration(workspace: Workspace, manifest: Manifest, parcel_id: str) -> list[str]:
    names = (
        "declared",
        "declared_second",
        "crop_class",
        "hcat_code",
        "intervention",
        "area_ha",
        "holding_id",
    )
    table = read_parquet(workspace.declarations, columns=["parcel_id", "reason", *names])
    row = table.filter(pl.col("parcel_id") == parcel_id).row(0, named=True)
    read = manifest["records"].get("read", {}).get("inputs", {})
    files = {name: digest for name, digest in read.items() if name.startswith("file declarations")}
    files |= {name: digest for name, digest in read.items() if name.startswith("output synthesise")}
    return [
        *(f"{name:<16}{_plain(row[name])}" for name in DECLARED if row[name] is not None),
        f"{'table':<16}declarations.parquet {manifest['outputs']['declarations.parquet']}",
        *(f"{'read from':<16}{name.partition(' ')[2]} {digest}" for name, digest in files.items()),
    ]


def _scenes(workspace: Workspace, manifest: Manifest, parcel_id: str) -> list[str]:
    """One line a scene that saw the parcel, its weights, and a line for each of its assets."""
    parts = read_parquet(workspace.observations / "parts.parquet").sort("datetime", "item_id")
    assets = {row["item_id"]: row["assets"] for row in read_acquired(workspace).to_dicts()}
    stamps = read_stamps(workspace)
    lines = ["date and time        sensor  orbit  pixels  valid  filled  item and part"]
    for part in parts.iter_rows(named=True):
        seen = _seen(workspace.observations / part["part"], parcel_id)
        if seen is None:
            continue
        name = f"observations/{part['part']}"
        lines.append(
            f"{part['datetime']:%Y-%m-%d %H:%M:%S}  {part['sensor']:<6}  {seen['orbit']!s:>5}  "
            f"{seen['pixels']:>6.1f}  {seen['valid']:>5.2f}  {seen['filled']:>6.2f}  {part['item_id']}"
        )
        lines.append(f"  part {manifest['outputs'].get(name, 'not in the manifest')}")
        lines += [
            f"  {asset['band']:<5} {_known(asset['href'], manifest, stamps, workspace)}"
            for asset in assets.get(part["item_id"], ())
        ]
    return lines


def _seen(part: Path, parcel_id: str) -> Row | None:
    """Return orbit and weights of a parcel in one scene; None where it was not seen at all."""
    found = (
        pl.scan_parquet(part, glob=False)
        .filter(pl.col("parcel_id") == parcel_id)
        .select(
            orbit=pl.col("relative_orbit").first(),
            pixels=pl.col("pixel_count").max(),
            valid=pl.col("valid_share").max(),
            filled=pl.col("filled_share").max(),
        )
        .collect()
        .row(0, named=True)
    )
    return dict(found) if found["pixels"] else None


def _known(href: str, manifest: Manifest, stamps: dict[str, str], workspace: Workspace) -> str:
    """Return an asset's hash where the manifest has it, else what its server said of it."""
    path, working = Path(href), Path(str(manifest["working_folder"]["path"]))
    names = [href]
    for base in (workspace.folder.resolve(), working):
        names += [path.relative_to(base).as_posix()] if path.is_relative_to(base) else []
    digest = next((manifest["inputs"][name] for name in names if name in manifest["inputs"]), None)
    return f"{names[-1]} {digest or stamps.get(href) or 'of which nothing is known'}"


def _filled(workspace: Workspace, parcel_id: str) -> list[str]:
    """The steps whose values were filled, by feature: what the models read there was seen by no sensor."""
    series = read_series(workspace.series)
    at = int(np.flatnonzero(series["parcel"].to_numpy().astype(str) == parcel_id)[0])
    observed = series["observed"].isel(parcel=at).transpose("time", "feature").to_numpy()
    days = series["time"].to_numpy().astype("datetime64[D]").astype(str)
    share = 1 - float(observed.mean())
    lines = [f"{share:.0%} of the values, on {len(days)} steps from {days[0]} to {days[-1]}"]
    by_gaps: dict[tuple[str, ...], list[str]] = {}
    for number, feature in enumerate(series["feature"].to_numpy().astype(str)):
        by_gaps.setdefault(tuple(days[~observed[:, number]]), []).append(feature)
    for gaps, features in by_gaps.items():
        lines.append(f"{', '.join(features)}: {', '.join(gaps) or 'none'}")
    return lines


def _models(workspace: Workspace, manifest: Manifest, verdict: Row) -> list[str]:
    """Each model that judged the parcel, none of which trained on it: probability, weight and file hashes."""
    fold = verdict["fold"]
    rows = read_parquet(workspace.probabilities).filter(pl.col("parcel_id") == verdict["parcel_id"])
    folds = read_parquet(workspace.table("folds")).filter(pl.col("parcel_id") == verdict["parcel_id"])
    weights = dict(
        read_parquet(workspace.table("ensemble_weights"))
        .filter(pl.col("fold") == fold)
        .select("model", "weight")
        .iter_rows()
    )
    group = folds["group"].to_list()
    lines = [f"fold {fold}, group {group[0] if group else 'none'}: judged by models fitted without this fold"]
    lines += [said] if (said := fit_sentence(manifest.get("fit", {}))) else []
    for row in rows.iter_rows(named=True):
        own = row.get(verdict["crop_class"])
        said = f"{own:.4f}" if own is not None else "not modelled"
        weight = f", weight {weights[row['model']]:.4f}" if row["model"] in weights else ""
        lines.append(f"{row['model']}: {said} for {verdict['crop_class']}{weight}")
        start = f"models/{row['model']}/fold_{fold}/"
        lines += [
            f"  {name} {digest}" for name, digest in manifest["models"].items() if name.startswith(start)
        ]
    cleared = {name: digest for name, digest in manifest["models"].items() if name.startswith("clear/")}
    return lines + [f"cloud removal: {name} {digest}" for name, digest in cleared.items()]


def _rule(workspace: Workspace, manifest: Manifest, verdict: Row) -> list[str]:
    options = manifest["config"]["judge"]
    metrics = json.loads(workspace.metrics.read_text(encoding="utf-8"))
    corrected = metrics.get("promised", {}).get("corrected")
    judged = manifest["records"].get("judge", {}).get("inputs", {})
    rules = {name: digest for name, digest in judged.items() if name.startswith("file judge.")}
    said = ("predicted", "probability", "p_value", "q_value", "prediction_set", "n_observations")
    return [
        *(f"{name:<16}{_plain(verdict[name])}" for name in (*said, "filled_share", "sigma")),
        f"{'thresholds':<16}{', '.join(f'{name} {options[name]}' for name in THRESHOLDS if name in options)}",
        *([f"{'from the field':<16}{json.dumps(corrected)}"] if corrected else []),
        *(f"{'table of rules':<16}{name.partition(' ')[2]} {digest}" for name, digest in rules.items()),
    ]


def _made_by(manifest: Manifest) -> list[str]:
    lines = [f"cropcheck {manifest['versions'].get('cropcheck')}, commit {manifest['git_commit']}"]
    for stage, record in manifest["records"].items():
        rooms = [name.partition(" ")[2] for name in record["inputs"] if name.startswith("code ")]
        lines.append(f"{stage:<11} key {record['key']} (code of {', '.join(rooms)})")
    return lines


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
