"""Files that may not be read and folders that may not be written: a sentence that names them, no traceback.

Whoever runs the tests may be the superuser, whom no permission stops: the commands run in a process that has
given those rights up.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from features.files import read_parquet
from pipelines.workspace import Workspace
from tests.small_region import SmallRegion

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="rights are given up by a call of Linux"),
]
COMMANDS = """
import contextlib, ctypes, io, json, sys
from pathlib import Path
none = (ctypes.c_uint32 * 6)()
assert ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), none) == 0
from pipelines.cli import main
found = {}
for name, path, argv in json.loads(sys.stdin.read()):
    before = Path(path).stat().st_mode
    Path(path).chmod(0)
    said, status = io.StringIO(), 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        sys.argv = ["cropcheck", *argv]
        try:
            main()
        except SystemExit as ended:
            status = ended.code
    Path(path).chmod(before)
    found[name] = [status, said.getvalue()]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    folder = tmp_path_factory.mktemp("region")
    region = SmallRegion(folder).write()
    run = region.run()
    for name in ("weather.csv", "list.csv", "labels.csv", "table.csv", "visited.csv", "interventions.csv"):
        (folder / name).write_text("parcel_id,gsa_par_id,date\n1,1,2024-05-01\n")
    given = [[name, str(path), [*map(str, argv)]] for name, path, argv in commands(folder, run)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMMANDS], input=json.dumps(given), text=True,
        capture_output=True, check=False, env={**os.environ, "COLUMNS": "400"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return {name: tuple(of) for name, of in json.loads(done.stdout.splitlines()[-1]).items()}


def commands(folder: Path, run: Workspace) -> list[tuple[str, Path, list[object]]]:
    """What is asked for while one file or folder may not be read: a name, that file, and the command."""
    config = folder / "region.yaml"
    check, of_run = ["check", config], [config, "--out", run.folder]
    one = read_parquet(run.parcels)["parcel_id"].to_list()[5]

    def with_(setting: str) -> list[object]:
        return [*check, "--set", setting]

    item = sorted((folder / "catalog" / "items").rglob("*.json"))[0]
    return [
        ("parcels", folder / "parcels.gpkg", check),
        ("crop table", folder / "crops.csv", check),
        ("catalog", folder / "catalog" / "catalog.json", check),
        ("item", item, check),
        ("weather", folder / "weather.csv", with_(f"weather={folder}/weather.csv")),
        ("labels", folder / "labels.csv", with_(f"events.labels={folder}/labels.csv")),
        ("history", folder / "table.csv", with_(f"forecast.history=[{folder}/table.csv]")),
        ("embeddings", folder / "table.csv", with_(f"embeddings={{path: {folder}/table.csv, year: 2024}}")),
        ("bundle", run.models / "bundle.json", with_(f"train.transfer={{use: load, runs: [{run.folder}]}}")),
        ("output", run.folder, [*check, "--out", run.folder]),
        ("ranked list", folder / "list.csv", ["sample", folder / "list.csv", "--out", folder / "s.csv"]),
        ("field results", folder / "visited.csv", ["assess", run.folder, folder / "visited.csv"]),
        ("exchange table", folder / "interventions.csv", ["validate", folder / "interventions.csv"]),
        ("verdicts", run.verdicts, ["publish", *of_run, "--set", "publish.title=another"]),
        ("booster", next(run.models.rglob("booster.txt")), ["judge", *of_run, "--set", "judge.alpha=0.3"]),
        ("receipt", run.receipts / "judge.json", ["publish", *of_run, "--set", "publish.title=another"]),
        ("series", run.series, ["trace", run.folder, one]),
        ("manifest", run.manifest, ["verify", run.folder]),
        ("log", run.audit, ["verify", run.folder]),
    ]


def test_each_is_a_sentence_that_names_the_file(said: dict[str, tuple[int, str]]) -> None:
    bad = ("Traceback", "fault of its own")
    wrong = {name: text[-300:] for name, (_, text) in said.items() if any(word in text for word in bad)}
    assert wrong == {}
    ended_well = {name for name, (status, _) in said.items() if status in (0, None)}
    assert ended_well == {"item"}, "an item that may not be read is set aside, the others are there"
    names = {
        "parcels": "parcels.gpkg", "crop table": "crops.csv", "catalog": "catalog.json",
        "weather": "weather.csv",
        "labels": "labels.csv", "history": "table.csv", "embeddings": "table.csv", "bundle": "bundle.json",
        "ranked list": "list.csv", "field results": "visited.csv", "exchange table": "interventions.csv",
        "verdicts": "verdicts.parquet", "booster": "booster.txt", "receipt": "judge.json", "output": "out",
        "manifest": "manifest.json", "log": "audit.jsonl",
    }  # fmt: skip
    assert {name for name, file in names.items() if file not in said[name][1]} == set()


def test_an_item_that_may_not_be_read_is_counted(said: dict[str, tuple[int, str]]) -> None:
    assert "broken_link 1" in said["item"][1]
