"""A catalog that gained or lost an item, or an image that changed, makes `read` run again and says what."""

import json
import os
import shutil
from pathlib import Path

import pytest

from pipelines.config import RunConfig, load_config
from pipelines.plan import read
from pipelines.plan.observing import extract
from pipelines.record.stage import plan_stage, run_stage
from pipelines.workspace import HOLDING_KEY, Workspace
from tests.pipelines.conftest import SmallRun
from tests.soak import SETTINGS, TINY


@pytest.fixture
def agency(small_run: SmallRun, tmp_path: Path) -> tuple[RunConfig, Workspace, Path]:
    """The small region's files read as an agency's, after `read` has ended; the catalog's folder."""
    region = small_run.workspace.region
    catalog = shutil.copytree(region / "catalog", tmp_path / "catalog")
    for name in ("declarations.gpkg", "crops.csv"):
        shutil.copy(region / name, tmp_path)
    text = TINY.read_text()
    (tmp_path / "agency.yaml").write_text(
        text[: text.index("simulate:")] + text[text.index("declarations:") :]
    )
    kept = [setting for setting in SETTINGS if not setting.startswith("simulate")]
    files = (
        f"declarations.path={tmp_path}/declarations.gpkg",
        f"declarations.crops.tables=[{tmp_path}/crops.csv]",
        f"imagery.catalog={catalog}/catalog.json",
        "clear.method=none",
    )
    config, workspace = load_config(tmp_path / "agency.yaml", [*kept, *files]), Workspace(tmp_path / "run")
    run_stage(read.stage(config), config, workspace, lambda done, total: None)
    return config, workspace, Path(catalog)


def changed(agency: tuple[RunConfig, Workspace, Path]) -> list[str]:
    """What `read` says has changed, without the hashes."""
    config, workspace, _ = agency
    return [
        reason.partition(" was ")[0] for reason in plan_stage(read.stage(config), config, workspace).reasons
    ]


def an_item(catalog: Path) -> tuple[Path, Path]:
    """The collection of an optical item, and the item."""
    item = min(catalog.rglob("S2*.json"))
    return item.parents[1] / "collection.json", item


def relink(collection: Path, item: Path, there: bool) -> None:
    content = json.loads(collection.read_text())
    link = {"rel": "item", "href": f"./{item.parent.name}/{item.name}", "type": "application/json"}
    others = [each for each in content["links"] if not each["href"].endswith(item.name)]
    collection.write_text(json.dumps({**content, "links": [*others, *([link] if there else [])]}))


def test_nothing_changed(agency: tuple[RunConfig, Workspace, Path]) -> None:
    assert changed(agency) == []


def test_an_item_that_went_and_came_back(agency: tuple[RunConfig, Workspace, Path]) -> None:
    collection, item = an_item(agency[2])
    relink(collection, item, there=False)
    assert changed(agency) == ["assets", "items", "what the items say"]
    relink(collection, item, there=True)
    assert changed(agency) == []


def test_an_image_that_changed_counts_and_one_of_no_item_does_not(
    agency: tuple[RunConfig, Workspace, Path],
) -> None:
    _, item = an_item(agency[2])
    (item.parent / "preview.tif").write_bytes(b"not of the item")
    assert changed(agency) == []
    image = min(item.parent.glob("B0*.tif"))
    image.write_bytes(image.read_bytes() + b"\0")
    assert changed(agency) == ["assets"]


@pytest.mark.slow
def test_a_damaged_image_that_was_downloaded_again_is_read_by_the_next_run(
    agency: tuple[RunConfig, Workspace, Path],
) -> None:
    config, workspace, catalog = agency
    image = min(an_item(catalog)[1].parent.glob("B04*.tif"))
    whole, when = image.read_bytes(), image.stat().st_mtime_ns
    found = []
    for content in (bytes(len(whole)), whole):
        image.write_bytes(content)
        os.utime(image, ns=(when, when))  # nothing that the catalog is compared by tells the two apart
        for stage in (read.stage(config), extract.stage(config)):
            receipt, _ = run_stage(stage, config, workspace, lambda done, total: None)
        found.append(receipt.tallies[0].set_aside)
    assert found == [{"unreadable": 1}, {}]


def test_another_time_of_an_item_counts(agency: tuple[RunConfig, Workspace, Path]) -> None:
    _, item = an_item(agency[2])
    content = json.loads(item.read_text())
    content["properties"]["datetime"] = content["properties"]["datetime"][:10] + "T11:11:11Z"
    item.write_text(json.dumps(content))
    assert "what the items say" in changed(agency)


def test_a_key_of_holdings_that_was_not_copied_is_missed_and_none_is_made(
    agency: tuple[RunConfig, Workspace, Path],
) -> None:
    key = agency[1].folder / HOLDING_KEY
    key.unlink()
    config, workspace, _ = agency
    (reason,) = plan_stage(read.stage(config), config, workspace).reasons
    assert reason.endswith("is gone; bring .holding_key back from where the run was")
    assert not key.exists()
