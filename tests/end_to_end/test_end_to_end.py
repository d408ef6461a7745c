"""The main job on the tiny region, as its user runs it: whole, stopped, resumed and damaged."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
import pytest
import rasterio
from polars import selectors
from polars.testing import assert_frame_equal

from features.errors import StageError
from features.extraction.observations import read_observations
from features.files import read_parquet
from features.series.parcel_series import read_series
from pipelines.commands.trace import trace_parcel
from pipelines.config import load_config
from pipelines.steps.estimate.disk import disk_of
from pipelines.steps.estimate.load import load_of_simulation

ROOT = Path(__file__).parents[2]
TINY = ROOT / "conf" / "tiny.yaml"
UNTRACKED = ("--set", "tracking.enabled=false")


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "pipelines.cli", *(str(word) for word in words)]


def cropcheck(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), cwd=ROOT, capture_output=True, text=True, check=False, timeout=500)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the tiny region, in a folder whose name some libraries would take for a pattern."""
    folder = tmp_path_factory.mktemp("tiny")
    run = folder / "run [a-z]*? \N{EAR OF RICE}"
    tracking = (
        f"tracking.store=sqlite:///{folder}/ml/mlflow.db",
        f"tracking.artifacts={folder}/ml/artifacts",
    )
    done = cropcheck("run", TINY, "--out", run, "--set", tracking[0], "--set", tracking[1])
    assert done.returncode == 0, done.stderr
    return run


@pytest.mark.slow
def test_a_network_on_patches_goes_through_the_whole_job(tmp_path: Path) -> None:
    network = "{width: 8, depth: 2, patch_px: 32, epochs: 3, patches: 16}"
    asked = ("--set", "patches.method=unet", "--set", f"patches.network={network}")
    done = cropcheck("run", TINY, "--out", tmp_path / "run", *UNTRACKED, *asked)
    assert done.returncode == 0, done.stderr
    declared = gpd.read_parquet(tmp_path / "run" / "declarations.parquet")["parcel_id"].tolist()
    findings = read_parquet(tmp_path / "run" / "composition_findings.parquet")
    assert findings["parcel_id"].to_list() == declared
    assessed = findings.filter(pl.col("reason").is_null())["parcel_id"]
    shares = read_parquet(tmp_path / "run" / "composition.parquet").group_by("parcel_id").agg(pl.sum("share"))
    assert assessed.is_in(shares["parcel_id"].implode()).all() and len(assessed) > 0
    assert shares["share"].to_list() == pytest.approx([1] * len(shares))
    frame = gpd.read_file(tmp_path / "run" / "verdicts.gpkg")
    assert frame["composition"].notna().sum() == len(shares)
    checked = cropcheck("verify", tmp_path / "run")
    assert checked.returncode == 0, checked.stderr
    mapped = cropcheck("map", TINY, *asked, "--out", tmp_path / "run", "--write", tmp_path / "map")
    assert mapped.returncode == 0, mapped.stderr
    assert list((tmp_path / "map").rglob("*_classes.tif"))


@pytest.mark.slow
def test_a_run_leaves_all_that_it_promises(tiny: Path) -> None:
    names = (
        "verdicts.parquet",
        "verdicts.gpkg",
        "verdicts.csv",
        "metrics.json",
        "manifest.json",
        "audit.jsonl",
    )
    pages = ("reports/agency.html", "reports/analyst.html", "reports/auditor.html")
    assert [name for name in (*names, *pages) if not (tiny / name).is_file()] == []


@pytest.mark.slow
def test_the_run_wrote_what_check_said_it_would(tiny: Path) -> None:
    config = load_config(TINY)
    assert config.simulate is not None
    said = sum(disk_of(config, load_of_simulation(config, config.simulate)).values())
    files = [path for folder in (tiny, tiny.parent / "ml") for path in folder.rglob("*") if path.is_file()]
    written = sum(path.stat().st_size for path in files)
    assert written / 1.5 < said < written * 1.5


@pytest.mark.slow
def test_every_parcel_that_came_in_comes_out(tiny: Path) -> None:
    declared = read_parquet(tiny / "declarations.parquet", columns=["parcel_id"])
    verdicts = read_parquet(tiny / "verdicts.parquet")
    assert verdicts["parcel_id"].to_list() == declared["parcel_id"].to_list()
    assert len(verdicts) == 200
    for receipt in (tiny / "receipts").glob("*.json"):
        for tally in json.loads(receipt.read_text())["tallies"]:
            assert tally["came_in"] == tally["went_out"] + sum(tally["set_aside"].values())


@pytest.mark.slow
def test_metrics_carry_their_n_and_interval(tiny: Path) -> None:
    metrics = json.loads((tiny / "metrics.json").read_text())
    assert set(metrics["models"]) == {"lightgbm", "dense", "lstm", "ensemble"}
    for model in metrics["models"].values():
        assert model["macro_f1"]["low"] <= model["macro_f1"]["value"] <= model["macro_f1"]["high"]
    for rate in ("false_alarm_rate", "miss_rate", "false_discovery_rate"):
        for unit in ("count", "hectares"):
            assert set(metrics["verdicts"][rate][unit]) == {"value", "low", "high", "n"}
    truth = read_parquet(tiny / "region" / "truth" / "truth.parquet")
    assert metrics["verdicts"]["miss_rate"]["count"]["n"] <= int(truth["misdeclared"].sum())


@pytest.mark.slow
def test_the_false_alarm_rate_can_be_recomputed_from_the_tables(tiny: Path) -> None:
    metrics = json.loads((tiny / "metrics.json").read_text())
    table = read_parquet(tiny / "verdicts.parquet").join(
        read_parquet(tiny / "region" / "truth" / "truth.parquet"), on="parcel_id"
    )
    correct = table.filter(~pl.col("misdeclared"))
    share = (correct["verdict"] == "contradicted").mean()
    assert metrics["verdicts"]["false_alarm_rate"]["count"]["value"] == pytest.approx(share)


@pytest.mark.slow
def test_no_holding_leaves_the_declarations(tiny: Path) -> None:
    region = tiny / "region"
    holdings = sorted(set(gpd.read_file(region / "declarations.gpkg")["holding"]))
    files = [path for path in tiny.parent.rglob("*") if path.is_file() and region not in path.parents]
    assert any("mlflow.db" in path.name for path in files)
    assert [path for path in files if names_any(path, holdings)] == []
    assert names_any(region / "declarations.gpkg", holdings)


@pytest.mark.slow
def test_the_holding_key_stands_in_its_own_file_alone(tiny: Path) -> None:
    own = tiny / ".holding_key"
    key = own.read_bytes()
    assert own.stat().st_mode & 0o777 == 0o600
    others = [path for path in tiny.parent.rglob("*") if path.is_file() and path != own]
    assert [path for path in others if names_any(path, [key.hex()]) or key in path.read_bytes()] == []


def names_any(path: Path, words: list[str]) -> bool:
    """Whether a file holds one of the words: in a text column of a Parquet file, or in its bytes."""
    if path.suffix in (".parquet", ".geoparquet"):
        columns = read_parquet(path).select(selectors.string())
        return any(column.is_in(words).any() for column in columns)
    content = path.read_bytes()
    return any(word.encode() in content for word in words)


@pytest.mark.slow
def test_a_second_run_does_nothing_twice(tiny: Path) -> None:
    settings = json.loads((tiny / "manifest.json").read_text())["config"]["tracking"]
    before = {path: path.stat().st_mtime_ns for path in tiny.rglob("*") if path.is_file()}
    done = cropcheck(
        "run", TINY, "--out", tiny, "--set", f"tracking.store={settings['store']}",
        "--set", f"tracking.artifacts={settings['artifacts']}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in tiny.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_verify_holds_and_names_what_was_altered(tiny: Path, tmp_path: Path) -> None:
    seal = json.loads((tiny / "receipts" / "publish.json").read_text())["facts"]["manifest_hash"]
    assert cropcheck("verify", tiny, "--expect", seal).returncode == 0
    copy = shutil.copytree(tiny, tmp_path / "copy")
    with (copy / "verdicts.csv").open("a") as csv:
        csv.write("one more line\n")
    altered = cropcheck("verify", copy)
    assert altered.returncode == 1
    assert "verdicts.csv differs" in altered.stdout


@pytest.mark.slow
def test_trace_lists_what_a_verdict_rests_on(tiny: Path) -> None:
    manifest = json.loads((tiny / "manifest.json").read_text())
    verdict = read_parquet(tiny / "verdicts.parquet").filter(pl.col("fold") == 1).row(0, named=True)
    parcel, fold = verdict["parcel_id"], verdict["fold"]
    traced = cropcheck("trace", tiny, parcel)
    assert traced.returncode == 0, traced.stderr
    seen = read_observations(tiny / "observations").filter(
        (pl.col("parcel_id") == parcel) & (pl.col("pixel_count") > 0)
    )
    for day in seen["datetime"].unique():
        assert f"{day:%Y-%m-%d %H:%M:%S}" in traced.stdout
    weights = f"models/dense/fold_{fold}/weights.npz"
    for said in (
        verdict["verdict"], verdict["reason"], verdict["model_id"], f"fold {fold}", "alpha 0.1",
        f"{weights} {manifest['models'][weights]}", manifest["outputs"]["declarations.parquet"],
    ):  # fmt: skip
        assert said in traced.stdout
    assert "fold_0" not in traced.stdout
    series = read_series(tiny / "series.nc")
    seen_at = series["observed"].sel(parcel=parcel, feature="ndvi").to_numpy()
    gaps = np.datetime_as_string(series["time"].to_numpy()[~seen_at], unit="D")
    filled = re.search(r"(?m)^  ([\w, ]*\bndvi\b[\w, ]*): (.*)$", traced.stdout)
    assert filled is not None and filled[2] == (", ".join(gaps) or "none")
    unknown = cropcheck("trace", tiny, "no such parcel")
    assert (unknown.returncode, "Traceback" in unknown.stderr) == (2, False)


@pytest.mark.slow
def test_trace_refuses_a_table_that_was_altered(tiny: Path, tmp_path: Path) -> None:
    altered = tmp_path / "altered"
    shutil.copytree(tiny, altered, copy_function=os.link)
    verdicts = read_parquet(altered / "verdicts.parquet")
    (altered / "verdicts.parquet").unlink()
    verdicts.reverse().write_parquet(altered / "verdicts.parquet")
    with pytest.raises(StageError, match=r"verdicts\.parquet is not as the manifest says"):
        trace_parcel(altered, verdicts["parcel_id"][0])


@pytest.mark.slow
def test_status_says_what_runs_and_why_and_writes_nothing(tiny: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny.rglob("*")}
    done = cropcheck("status", TINY, "--out", tiny, "--set", "judge.alpha=0.05")
    assert "train       fresh" in done.stdout
    assert "judge       will run\n             judge.alpha was 0.1, is 0.05" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in tiny.rglob("*")} == before
    absent = cropcheck("status", TINY, "--out", tmp_path / "absent")
    assert "it has not ended" in absent.stdout
    assert not (tmp_path / "absent").exists()


@pytest.fixture
def copied(tiny: Path, tmp_path: Path) -> tuple[Path, list[str]]:
    """A copy of the finished run that may be changed, and the settings that it was made with."""
    tracking = json.loads((tiny / "manifest.json").read_text())["config"]["tracking"]
    settings = [f"tracking.{name}={tracking[name]}" for name in ("store", "artifacts")]
    folder = Path(shutil.copytree(tiny, tmp_path / "run"))
    return folder, ["--out", str(folder), *(word for setting in settings for word in ("--set", setting))]


@pytest.mark.slow
def test_cloud_free_images_are_written_where_a_gis_expects_them(copied: tuple[Path, list[str]]) -> None:
    folder, settings = copied
    products = folder / "products"
    done = cropcheck("clear", TINY, *settings, "--write", products)
    assert done.returncode == 0, done.stderr
    item = json.loads(next(products.rglob("*_median.json")).read_text())
    image = next(products.rglob("*_median_value.tif"))
    with (
        rasterio.open(image) as written,
        rasterio.open(next((folder / "region").rglob("*B04*.tif"))) as source,
    ):
        assert (written.crs, written.transform, written.shape) == (source.crs, source.transform, source.shape)
    assert {"value", "sigma", "filled"} <= set(item["assets"])


@pytest.mark.slow
def test_tuning_writes_a_file_that_a_run_takes(copied: tuple[Path, list[str]]) -> None:
    folder, settings = copied
    done = cropcheck("tune", TINY, *settings, "--model", "lightgbm", "--trials", "2", *UNTRACKED)
    assert done.returncode == 0, done.stderr
    best = folder / "tuned" / "lightgbm.yaml"
    config = load_config(TINY, overlays=[best])
    assert config.train.models["lightgbm"] != load_config(TINY).train.models["lightgbm"]


@pytest.mark.slow
def test_a_network_that_removes_clouds_is_tuned_fitted_and_applied(copied: tuple[Path, list[str]]) -> None:
    folder, settings = copied
    brief = [w for s in ("epochs=1", "windows=4", "members=2", "width=8") for w in ("--set", f"clear.{s}")]
    tuned = ("--model", "unet", "--trials", "1", "--set", "tune.folds=2", *UNTRACKED)
    done = cropcheck("tune", TINY, *settings, *brief, *tuned)
    assert done.returncode == 0, done.stderr
    best = folder / "tuned" / "unet.yaml"
    assert load_config(TINY, overlays=[best]).clear.method == "unet"
    for stage in ("clear", "extract"):
        done = cropcheck(stage, TINY, *settings, "--set", "clear.method=unet", *brief)
        assert done.returncode == 0, done.stderr
    fitted = json.loads((folder / "clear" / "model.json").read_text())
    assert [len(member["history"]) for member in fitted["members"]] == [1, 1]
    assert read_observations(folder / "observations")["filled_share"].max() > 0.5


@pytest.mark.slow
def test_the_agencys_code_stands_in_the_european_tables(tiny: Path) -> None:
    text = (tiny / "exports" / "gsa_ua_claimed.csv").read_bytes()
    claimed = pl.read_csv(text, infer_schema=False, separator=";")
    population = gpd.read_file(tiny / "exports" / "gsa_population.gpkg")
    assert {*claimed["gsa_code"]} == {*population["gsa_code"]} == {"SIM"}


@pytest.mark.slow
def test_what_the_field_settled_does_not_come_back_as_a_doubt(copied: tuple[Path, list[str]]) -> None:
    folder, settings = copied
    sample = pl.read_csv(folder / "exports" / "quality_sample.csv", infer_schema=False)
    reviewed = folder / "reviewed.csv"
    sample.with_columns(field_result=pl.lit("correct")).write_csv(reviewed)
    assessed = cropcheck("assess", folder, reviewed)
    assert assessed.returncode == 0, assessed.stderr
    assert "false_alarm_rate" in assessed.stdout
    assert cropcheck("run", TINY, *settings).returncode == 0
    verdicts = read_parquet(folder / "verdicts.parquet")
    settled = verdicts.filter(pl.col("parcel_id").is_in(sample["parcel_id"].to_list()))
    assert settled["verdict"].unique().to_list() == ["confirmed"]
    assert settled["reason"].unique().to_list() == ["field_correct"]
    imagery = read_parquet(folder / "evaluation" / "imagery_verdicts.parquet")
    truth = read_parquet(folder / "region" / "truth" / "truth.parquet")
    correct = imagery.join(truth, on="parcel_id").filter(~pl.col("misdeclared"))
    assert (correct["verdict"] == "contradicted").any(), "else the field's results would give the same rate"
    scored = json.loads((folder / "metrics.json").read_text())["verdicts"]["false_alarm_rate"]["count"]
    assert scored["value"] == pytest.approx((correct["verdict"] == "contradicted").mean())


@pytest.mark.slow
def test_a_reviewed_file_with_unknown_parcels_is_refused_whole(copied: tuple[Path, list[str]]) -> None:
    folder, _ = copied
    (folder / "reviewed.csv").write_text("parcel_id,field_result\nnowhere,correct\n")
    done = cropcheck("assess", folder, folder / "reviewed.csv")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert not (folder / "field").exists()


@pytest.fixture(scope="session")
def real_like(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The tiny region's files as an agency would hand them over, and a config that reads them."""
    data = tmp_path_factory.mktemp("agency")
    shutil.copytree(tiny / "region" / "catalog", data / "catalog")
    for name in ("declarations.gpkg", "crops.csv"):
        shutil.copy(tiny / "region" / name, data / name)
    simulated = TINY.read_text(encoding="utf-8")
    start, end = simulated.index("simulate:"), simulated.index("declarations:")
    text = simulated[:start] + "imagery:\n  catalog: catalog/catalog.json\n\n" + simulated[end:]
    text = text.replace("declarations:\n", "declarations:\n  path: declarations.gpkg\n", 1)
    text = text.replace("  crops:\n", f"  crops:\n    tables: [{data / 'crops.csv'}]\n", 1)
    config = data / "agency.yaml"
    config.write_text(text, encoding="utf-8")
    return data, config


@pytest.mark.slow
def test_a_truncated_image_is_set_aside_and_the_run_goes_on(
    real_like: tuple[Path, Path], tmp_path: Path
) -> None:
    data, config = real_like
    cog = sorted((data / "catalog").rglob("*B04*.tif"))[0]
    whole = cog.read_bytes()
    cog.write_bytes(whole[: len(whole) // 2])
    try:
        done = cropcheck(
            "extract", config, "--data", data, "--out", tmp_path / "run", "--set", "clear.method=none"
        )
    finally:
        cog.write_bytes(whole)
    assert done.returncode == 3, done.stderr
    assert "1 set aside (unreadable 1)" in " ".join(done.stderr.split())
    assert (tmp_path / "run" / "parcels.parquet").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["declarations.path=nowhere.gpkg"], "nowhere.gpkg"),
        (["declarations.fields.code=crop_cod"], "crop_code"),
        (["declarations.path=/vsicurl/https://example.org/a.gpkg"], "/vsi"),
        (["declarations.path=https://example.org/a.gpkg"], "https://example.org/a.gpkg"),
        (["imagery.catalog=nowhere.json"], "nowhere.json"),
        (["season.start=2019-03-01", "season.end=2019-10-31"], "2019"),
        (["fill.method=spline"], "fill.method"),
        (["fill.metod=linear"], "did you mean method"),
        (["train.models={lightgbn: {}}"], "lightgbm"),
        (["judge.alpha=-0.1"], "judge.alpha"),
    ],
)
def test_a_bad_input_is_a_clear_error(
    real_like: tuple[Path, Path], tmp_path: Path, settings: list[str], message: str
) -> None:
    data, config = real_like
    words = [word for setting in ["clear.method=none", *settings] for word in ("--set", setting)]
    done = cropcheck("extract", config, "--data", data, "--out", tmp_path / "run", *words)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not any((tmp_path / "run").rglob("*.parquet"))


@pytest.mark.slow
def test_a_stage_before_its_time_says_what_to_run(tmp_path: Path) -> None:
    for words in (("judge",), ("tune", "--model", "lightgbm"), ("tune", "--model", "unet")):
        done = cropcheck(words[0], TINY, *words[1:], "--out", tmp_path / "run")
        assert done.returncode == 2
        assert "cropcheck run" in done.stderr and "cropcheck read" not in done.stderr
        assert "Traceback" not in done.stderr


def test_help_answers_at_once() -> None:
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        assert cropcheck("--help").returncode == 0
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 2.0  # 0.5 s on an idle machine; the bound leaves room for a busy one


def taken_over(tiny: Path, folder: Path, use: str) -> Path:
    """The tiny run trained anew with the parcels of another run (itself)."""
    shutil.copytree(tiny, folder)
    words = ("--set", f"train.transfer.runs=['{tiny}']", "--set", f"train.transfer.use={use}")
    done = cropcheck("run", TINY, "--out", folder, *UNTRACKED, *words)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_models_of_a_run_judge_another_as_they_judged_their_own(tiny: Path, tmp_path: Path) -> None:
    again = taken_over(tiny, tmp_path / "again", "load")
    first, second = (read_parquet(run / "probabilities.parquet") for run in (tiny, again))
    single = pl.col("model") != "ensemble"
    trained = pl.col("fold") >= 0
    assert_frame_equal(first.filter(single & trained), second.filter(single & trained), abs_tol=1e-6)
    inputs = json.loads((again / "manifest.json").read_text())["inputs"]
    assert any(path.endswith("models/bundle.json") for path in inputs)


@pytest.mark.slow
def test_a_pooled_run_accounts_for_its_own_parcels_alone(tiny: Path, tmp_path: Path) -> None:
    pooled = taken_over(tiny, tmp_path / "pooled", "pool")
    receipt = json.loads((pooled / "receipts" / "train.json").read_text())
    assert [tally["came_in"] for tally in receipt["tallies"]] == [200]
    assert receipt["facts"]["learnt_from"] == 400
    assert len(read_parquet(pooled / "verdicts.parquet")) == 200
    classes = read_parquet(pooled / "evaluation" / "classes.parquet")
    alone = read_parquet(tiny / "evaluation" / "classes.parquet")
    assert classes["parcels"].sum() > 1.9 * alone["parcels"].sum()
