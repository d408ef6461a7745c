"""What tells an asset from another under the same link: stamps, and what its item states."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.catalog.access.stamps import UNKNOWN, stamps_of
from features.extraction.units import identity
from features.schema import acquisition_rows
from tests.features.catalog.access.test_reach import Site, sites  # noqa: F401 (a fixture)
from tests.features.catalog.test_reader import optical, read, write_catalog


def stated(folder: Path, of_item: str | None = None, **of_red: Any) -> pl.DataFrame:
    """A catalog of two items, of which the first states something of its content or its red band's."""
    first, second = optical("first"), optical("second", datetime="2024-05-11T10:50:31Z")
    if of_item is not None:
        first["properties"]["updated"] = of_item
    first["assets"]["red"] |= of_red
    return read(write_catalog(folder, first, second))[0]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"of_item": "2024-05-02T00:00:00Z"}, {"of_item": "2024-06-02T00:00:00Z"}),
        ({"updated": "2024-05-02T00:00:00Z"}, {"updated": "2024-06-02T00:00:00Z"}),
        ({"file:checksum": "1220aa"}, {"file:checksum": "1220bb"}),
        ({}, {"file:checksum": "1220bb"}),
    ],
)
def test_another_content_by_the_items_word_is_another_acquisition_and_no_other_changes(
    tmp_path: Path, one: dict[str, Any], two: dict[str, Any]
) -> None:
    before, after = (
        {row["item_id"]: identity(row, {}) for row in acquisition_rows(stated(tmp_path / name, **said))}
        for name, said in (("one", one), ("two", two))
    )
    assert before["first"] != after["first"]
    assert before["second"] == after["second"]


def test_an_item_that_was_written_anew_around_the_same_files_is_the_same(tmp_path: Path) -> None:
    """A checksum says more than a date: who re-indexes a catalog changes no image."""
    same = {"file:checksum": "1220aa"}
    one, two = (
        acquisition_rows(stated(tmp_path / day, f"{day}T00:00:00Z", **same))[0]
        for day in ("2024-05-02", "2024-06-02")
    )
    red = [next(asset for asset in row["assets"] if asset["band"] == "B04") for row in (one, two)]
    assert red[0]["version"] == red[1]["version"] == "1220aa"


@pytest.mark.parametrize("odd", [7, None, ["1220"], {"a": 1}, ""])
def test_odd_statements_state_nothing(tmp_path: Path, odd: Any) -> None:
    row = acquisition_rows(stated(tmp_path, **{"file:checksum": odd, "updated": odd}))[0]
    assert {asset["version"] for asset in row["assets"]} == {None}


def test_size_and_time_of_files(tmp_path: Path) -> None:
    path = tmp_path / "B04.tif"
    path.write_bytes(b"1234")
    stamps = stamps_of([str(path), str(tmp_path / "absent.tif")])
    assert stamps == {
        str(path): f"4 bytes, {path.stat().st_mtime_ns} ns",
        str(tmp_path / "absent.tif"): UNKNOWN,
    }


@pytest.mark.parametrize(
    ("ending", "one", "two"),
    [
        (".msk", "1", "12"),
        (".aux.xml", "<NoDataValue>0</NoDataValue>", "<NoDataValue>-9</NoDataValue>"),
        (".aux.xml", '<MDI key="processing_baseline">5</MDI>', "<Scale>0.1</Scale>"),
    ],
)
def test_a_mask_or_tags_beside_an_image_are_part_of_it(
    tmp_path: Path, ending: str, one: str, two: str
) -> None:
    path, beside = tmp_path / "B04.tif", tmp_path / f"B04.tif{ending}"
    path.write_bytes(b"1234")
    found = [stamps_of([str(path)])[str(path)]]
    for content in (one, two):
        beside.write_text(f"<PAMDataset>{content}</PAMDataset>")
        found += stamps_of([str(path)]).values()
    assert len(set(found)) == 3


def test_statistics_that_a_gis_leaves_beside_an_image_are_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "B04.tif"
    path.write_bytes(b"1234")
    before = stamps_of([str(path)])
    (tmp_path / "B04.tif.aux.xml").write_text(
        '<PAMDataset>\n  <PAMRasterBand band="1">\n    <Histograms><HistItem><HistMin>0</HistMin></HistItem>'
        '</Histograms>\n    <Metadata>\n      <MDI key="STATISTICS_MEAN">0.5</MDI>\n'
        '      <MDI key="STATISTICS_STDDEV">0.1</MDI>\n    </Metadata>\n  </PAMRasterBand>\n</PAMDataset>'
    )
    assert stamps_of([str(path)]) == before


def test_a_link_that_does_not_answer_keeps_its_stamp(sites: tuple[Site, Site]) -> None:  # noqa: F811
    here, _ = sites
    here.answers["/B04.tif"] = {"bytes": 1}
    link, absent = f"{here.address}/B04.tif", f"{here.address}/absent.tif"
    stamps = stamps_of([link, absent])
    assert (stamps[link], stamps[absent]) == ("12", UNKNOWN)
    del here.answers["/B04.tif"]
    assert stamps_of([link, absent], stamps) == stamps
    here.answers["/B04.tif"] = {"bytes": 12345}
    assert stamps_of([link], stamps) != {link: stamps[link]}


def test_what_lies_behind_a_redirect_counts_and_no_private_host_is_asked(
    sites: tuple[Site, Site],  # noqa: F811
) -> None:
    here, there = sites
    here.answers |= {"/B04.tif": "/moved.tif", "/moved.tif": {"bytes": 1}, "/B08.tif": f"{there.address}/x"}
    link, private = f"{here.address}/B04.tif", f"{here.address}/B08.tif"
    assert stamps_of([link, private]) == {link: "12", private: UNKNOWN}
    here.answers["/moved.tif"] = {"bytes": 12345}
    assert stamps_of([link]) == {link: "16"}
    assert there.asked == []


def test_a_server_that_answers_no_head_is_asked_for_the_first_byte(
    sites: tuple[Site, Site],  # noqa: F811
) -> None:
    here, _ = sites
    here.answers_head = False
    here.answers["/B04.tif"] = {"bytes": 1}
    assert stamps_of([f"{here.address}/B04.tif"]) == {f"{here.address}/B04.tif": "12"}
