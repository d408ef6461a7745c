import json
import re
import subprocess
import sys
import warnings
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import pytest
import shapely

from pipelines.commands.checks.check import check_inputs
from pipelines.config import RunConfig, load_config
from pipelines.main_job import short_before
from pipelines.steps.estimate.disk import disk_of
from pipelines.steps.estimate.load import load_of_simulation
from pipelines.steps.estimate.memory import STACKS_HELD, memory_of
from pipelines.workspace import Workspace
from tests.small_region import SmallRegion
from tests.watching.loaded import HEAVY, loaded_by, loaded_by_command

STAGES = ["synthesise", "clear", "extract", "fill", "train", "detect", "judge", "forecast", "publish"]
CONFIG = Path(__file__).parents[4] / "conf" / "synthetic.yaml"


def memory(method: str, block_px: int) -> float:
    """GiB of the stage that removes clouds."""
    config = load_config(CONFIG, [f"clear.method={method}", f"extract.clear_block_px={block_px}"])
    assert config.simulate is not None
    return memory_of(config, load_of_simulation(config, config.simulate))["extract"]


def test_removing_clouds_needs_memory_for_the_stacks_it_holds() -> None:
    plain, small, large = (memory(*of) for of in (("none", 416), ("linear", 64), ("linear", 416)))
    frames = 49  # eight months of a pass every five days
    assert large - plain == pytest.approx(STACKS_HELD * (416 + 64) ** 2 * frames * 10 * 4 / 2**30)
    assert plain < small < large < memory("unet", 416)


def test_the_estimate_of_disk_counts_what_is_written() -> None:
    """The embedded default left 747 MB, most of it the imagery that it makes."""
    config = load_config(CONFIG)
    assert config.simulate is not None
    parts = disk_of(config, load_of_simulation(config, config.simulate))
    assert sum(parts.values()) == pytest.approx(747e6 + 28e6, rel=0.15)  # and the models once more, in mlruns
    measured = {"synthesise": 598e6, "extract": 93e6, "fill": 29e6, "train": 56e6}
    for name, size in measured.items():
        assert parts[name] == pytest.approx(size, rel=0.25), name


def test_a_disk_that_is_too_small_is_told_with_the_stage_that_fills_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(CONFIG)
    free = {"bytes": 700e6}
    monkeypatch.setattr(
        "pipelines.steps.estimate.disk.shutil.disk_usage", lambda _: SimpleNamespace(free=free["bytes"])
    )
    [problem] = check_inputs(config, Workspace(tmp_path / "out")).problems
    assert "has 700 MB for this run" in problem
    assert "it will be full in fill" in problem, "598 MB of imagery and 93 MB of observations still fit"
    assert short_before("synthesise", config, Workspace(tmp_path / "out")) == problem
    free["bytes"] = 900e6
    assert check_inputs(config, Workspace(tmp_path / "out")).problems == []
    assert short_before("synthesise", config, Workspace(tmp_path / "out")) == ""


def test_time_and_memory_are_foretold_for_each_stage(tmp_path: Path) -> None:
    lines = check_inputs(load_config(CONFIG), Workspace(tmp_path)).lines
    for line in (line for line in lines if line.startswith(("Time", "Memory"))):
        assert re.findall("|".join(STAGES), line)[-9:] == STAGES


def region(folder: Path, **changes: Any) -> RunConfig:
    """A real region of three parcels, of which `changes` spoil one thing or another; no imagery."""
    shapes = [shapely.box(4e6 + 200 * n, 3e6, 4e6 + 200 * n + 100, 3e6 + 100) for n in range(3)]
    frame = gpd.GeoDataFrame(
        {"id": ["1", "2", "3"], "crop": ["1", "1", "2"]}, geometry=shapes, crs="EPSG:3035"
    )
    frame.to_parquet(folder / "p.parquet")
    (folder / "t.csv").write_text("code,name,hcat_code\n001,wheat,3301010101\n002,oats,3301010500\n")
    document = {
        "name": "real",
        "season": {"year": 2024, "start": "2024-03-01", "end": "2024-10-31"},
        "declarations": {
            "path": str(folder / "p.parquet"),
            "fields": {"parcel_id": "id", "code": "crop", **changes.get("fields", {})},
            "crops": {"tables": [changes.get("table", str(folder / "t.csv"))], **changes.get("crops", {})},
        },
        "imagery": {"catalog": str(folder / "none" / "catalog.json")},
        "tracking": {"enabled": False},
    }
    (folder / "real.yaml").write_text(json.dumps(document))
    return load_config(folder / "real.yaml")


def test_declarations_are_checked_without_imagery(tmp_path: Path) -> None:
    config = region(tmp_path, crops={"pad": 3})
    findings = check_inputs(config, Workspace(tmp_path / "out"), only="declarations")
    assert findings.problems == []
    assert str(findings).splitlines() == [
        "declarations: 3 parcels in, 3 out, 0 set aside",
        "Geometry checks: nothing found.",
        "Parcels: 3 ha between 5.52 and 5.52 degrees east, 50.02 and 50.03 degrees north, in "
        "ETRS89-extended / LAEA Europe.",
        "Crop classes: 2 (winter_wheat 2, oats 1).",
    ]
    assert not (tmp_path / "out").exists()


def test_every_problem_is_told_in_one_go(tmp_path: Path) -> None:
    config = region(
        tmp_path, table=str(tmp_path / "nowhere.csv"), fields={"holding": "farm", "region": "nuts"}
    )
    (tmp_path / "file").touch()
    problems = check_inputs(config, Workspace(tmp_path / "file" / "out")).problems
    assert [problem for problem in problems if "nowhere.csv cannot be read" in problem]
    assert [problem for problem in problems if "no column 'farm'; no column 'nuts'" in problem]
    assert [problem for problem in problems if "part of the path is a file" in problem]
    assert len(problems) == 3
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "catalog.json").write_text("{}")
    assert len(check_inputs(config, Workspace(tmp_path / "file" / "out")).problems) == 4


def test_all_that_is_wrong_with_a_file_is_told_at_once(tmp_path: Path) -> None:
    config = region(tmp_path, fields={"parcel_id": "crop", "claimed_area": "text"})
    path = tmp_path / "p.parquet"
    gpd.read_parquet(path).assign(text="none").set_crs(None, allow_override=True).to_parquet(path)
    [problem] = check_inputs(config, Workspace(tmp_path / "out"), only="declarations").problems
    for said in (
        "1 parcel ids",
        "does not say its coordinate system",
        "No cell of the column 'text' is a number",
    ):
        assert said in problem


def test_codes_that_map_to_nothing_are_a_problem_and_some_are_a_line(tmp_path: Path) -> None:
    config = region(tmp_path)
    [problem] = check_inputs(config, Workspace(tmp_path / "out"), only="declarations").problems
    assert "`declarations.crops.pad: 3` 3 of these parcels are mapped" in problem
    (tmp_path / "t.csv").write_text("code,name,hcat_code\n1,wheat,3301010101\n")
    findings = check_inputs(config, Workspace(tmp_path / "out"), only="declarations")
    assert findings.problems == []
    assert "  '2' on 1 parcels" in str(findings)


@pytest.mark.parametrize("gone", [1, 2])
def test_images_that_are_not_there_are_told(tmp_path: Path, gone: int) -> None:
    made = SmallRegion(tmp_path, start=date(2024, 5, 1), end=date(2024, 6, 1), sensors=("s2",)).write()
    for item in sorted((tmp_path / "catalog" / "items").iterdir())[:gone]:
        (item / "red.tif").unlink()
    findings = check_inputs(made.config(), Workspace(tmp_path / "out"))
    [line] = [line for line in findings.lines if line.startswith("Images: ")]
    assert f"{gone} of 2 acquisitions name files that are not here" in line


def test_a_check_of_declarations_loads_nothing_that_reads_imagery_or_fits_models(tmp_path: Path) -> None:
    """Their import takes twice as long as reading a thousand parcels."""
    region(tmp_path, crops={"pad": 3})
    loaded = loaded_by_command("check", str(tmp_path / "real.yaml"), "--only", "declarations")
    assert "features.declarations.reader" in loaded
    assert not loaded & {
        *HEAVY,
        "features.extraction.extract",
        "features.imagery.rasters.opening",
        "pipelines.stages",
    }


def test_reading_a_config_loads_no_library_of_geometry_or_models() -> None:
    loaded = loaded_by(f"import sys; from pathlib import Path; from pipelines.config import load_config\n"
                       f"load_config(Path({str(CONFIG)!r}))")  # fmt: skip
    assert not loaded & {*HEAVY, "pandas", "geopandas", "shapely", "pyogrio"}


def test_a_whole_check_loads_nothing_that_fits_models() -> None:
    loaded = loaded_by("import sys, pipelines.commands.checks.check_imagery, pipelines.steps.tracking")
    fitting = "sklearn scipy.stats scipy.optimize tensorflow keras lightgbm mlflow shap optuna"
    assert not loaded & set(fitting.split())


def test_no_warning_of_a_library_reaches_the_screen(tmp_path: Path) -> None:
    """A Shapefile with a name cut to ten letters, a polygon that crosses itself, and no .prj."""
    region(tmp_path)
    frame = gpd.read_parquet(tmp_path / "p.parquet")
    bowtie = [(0, 0), (80, 80), (80, 0), (0, 80)]
    frame.loc[2, "geometry"] = shapely.Polygon([(4e6 + x, 3e6 + y) for x, y in bowtie])
    frame["a_very_long_column_name"] = ["2024-13-45", "x", None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame.to_file(tmp_path / "p.shp", engine="pyogrio")
    (tmp_path / "p.prj").unlink()
    code = "import sys; from pipelines import cli; sys.argv[0] = 'cropcheck'; cli.main()"
    settings = [f"declarations.path={tmp_path / 'p.shp'}", "declarations.crs=EPSG:3035"]
    told = ["check", "--only", "declarations", str(tmp_path / "real.yaml")]
    told += [part for setting in (*settings, "declarations.crops.pad=3") for part in ("--set", setting)]
    done = subprocess.run([sys.executable, "-c", code, *told], capture_output=True, text=True, check=False)
    assert "3 parcels in, 3 out" in done.stdout
    said = (done.stdout + done.stderr).splitlines()
    assert not [line for line in said if re.search(r"Warning|warn\(|site-packages|pyogrio|GDAL", line)]


def test_every_file_that_the_config_names_and_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    config = region(tmp_path).model_dump(mode="json") | {
        "weather": gone,
        "soil": gone,
        "elevation": gone,
        "history": [{"year": 2023, "path": gone}],
        "rasters": {"slope": gone},
        "events": {"labels": gone},
        "forecast": {"history": [gone], "weather_table": gone},
        "previous": gone,
        "publish": {"lpis": {"path": gone}},
    }
    (tmp_path / "all.json").write_text(json.dumps(config))
    said = str(check_inputs(load_config(tmp_path / "all.json"), Workspace(tmp_path / "out")))
    for name in (
        "weather", "soil", "elevation", "history 0.path", "rasters.slope", "events.labels",
        "forecast.history 0", "forecast.weather_table", "previous", "publish.lpis.path",
    ):  # fmt: skip
        assert f"problem: {name} names '{gone}', which does not exist" in said, name


@pytest.mark.parametrize(
    ("key", "content", "said"),
    [
        ("weather", "date,t_min_c\n2024-03-01,5\n", "lacks the columns t_max_c, precipitation_mm; it has"),
        ("weather", None, "is a folder"),
        ("soil", "no raster", "not recognized as being in a supported file format"),
        ("elevation", "", "not recognized as being in a supported file format"),
    ],
)
def test_what_lies_beside_is_read_before_hours_of_work(
    key: str, content: str | None, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "beside"
    if content is None:
        path.mkdir()
    else:
        path.write_text(content)
    config = region(tmp_path).model_copy(update={key: path})
    assert said in str(check_inputs(config, Workspace(tmp_path / "out")))


def test_labels_are_read_by_check(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("parcel_id,event,date\n1,mown,2024-05-01\n")
    options = region(tmp_path, crops={"pad": 3})
    config = options.model_copy(
        update={"events": options.events.model_copy(update={"labels": tmp_path / "labels.csv"})}
    )
    assert "'mown'" in str(check_inputs(config, Workspace(tmp_path / "out")))
