"""A task for CVAT, and what comes back from it."""

import io
import json
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays
from PIL import Image

from features.errors import ModelError
from models.clouds.mask.labels.cvat import (
    COLOURS,
    ZOOM,
    Labelled,
    Picture,
    read_export,
    write_task,
)
from models.clouds.mask.labels.shapes import from_run_lengths, run_lengths
from models.clouds.mask.labels.tiles import read_tiles
from models.clouds.mask.options import LabelledTiles

BANDS = ("B02", "B03", "B04", "B08")
CLASSES = np.array([[0, 0, 3, 3], [0, 1, 3, 255], [2, 1, 0, 0], [2, 2, 0, 0]], np.uint8)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    values = np.linspace(0.01, 0.4, 64).reshape(4, 4, 4)
    write_task(tmp_path / "task", [Picture("2024-05-01_0", values, BANDS, CLASSES, {"date": "2024-05-01"})])
    return tmp_path / "task"


def labels(task: Path, export: Path) -> np.ndarray:
    (path,) = read_export(export, task, task / "tiles").tiles
    with np.load(path) as tile:
        return np.asarray(tile["mask"])


def xml(task: Path, shapes: str, name: str = "2024-05-01_0.png", size: int = 4 * ZOOM) -> Path:
    image = f'<image id="0" name="{name}" width="{size}" height="{size}">{shapes}</image>'
    path = task / "annotations.xml"
    path.write_text(f"<annotations><version>1.1</version>{image}</annotations>")
    return path


@given(arrays(bool, some.tuples(some.integers(1, 6), some.integers(1, 6))))
def test_run_lengths_and_back(mask: np.ndarray) -> None:
    assert (from_run_lengths(run_lengths(mask), mask.shape) == mask).all()


@pytest.mark.parametrize("name", ["annotations.zip", "segmentation_mask.zip"])
def test_what_was_written_comes_back_as_it_was(task: Path, name: str) -> None:
    assert labels(task, task / name).tolist() == CLASSES.tolist()
    (tile,) = read_tiles(LabelledTiles(path=task / "tiles", layout="npz"))
    assert tile.values[0] == pytest.approx(np.linspace(0.01, 0.4, 64).reshape(4, 4, 4)[0], abs=6e-5)


def test_the_task_holds_pictures_labels_and_the_present_mask(task: Path) -> None:
    with zipfile.ZipFile(task / "images.zip") as archive:
        names = archive.namelist()
        size = Image.open(io.BytesIO(archive.read(names[0]))).size
    related = "related_images/2024-05-01_0_png/false_colour.png"
    assert (names, size) == (["2024-05-01_0.png", related], (4 * ZOOM, 4 * ZOOM))
    assert [one["name"] for one in json.loads((task / "labels.json").read_text())] == list(COLOURS)
    with zipfile.ZipFile(task / "annotations.zip") as archive:
        root = ElementTree.fromstring(archive.read("annotations.xml"))
    assert sorted(mask.attrib["label"] for mask in root.iter("mask")) == [
        "cloud",
        "shadow",
        "thin",
        "unknown",
    ]


def test_later_shapes_lie_above_earlier_ones_and_the_rest_is_clear(task: Path) -> None:
    z = ZOOM
    low, high = 0, 2 * z - 1
    shapes = (
        f'<box label="cloud" xtl="0" ytl="0" xbr="{z - 1}" ybr="{z - 1}" z_order="2"/>'
        f'<polygon label="shadow" points="{low},{low};{high},{low};{high},{high};{low},{high}" z_order="1"/>'
    )
    assert labels(task, xml(task, shapes)).tolist() == [[3, 1, 0, 0], [1, 1, 0, 0], [0] * 4, [0] * 4]


def test_a_polygon_that_reaches_beyond_the_image_is_cut_off_and_one_beyond_it_is_refused(task: Path) -> None:
    z = ZOOM
    over = f'<polygon label="cloud" points="{3 * z},-50;900,-50;900,{4 * z};{3 * z},{4 * z}"/>'
    assert labels(task, xml(task, over)).tolist() == [[0, 0, 0, 3]] * 4
    outside = '<polygon label="cloud" points="500,500;600,500;600,600"/>'
    with pytest.raises(ModelError, match="outside the image") as raised:
        labels(task, xml(task, outside))
    assert raised.value.reason == "outside"


def test_resized_images_are_refused(task: Path) -> None:
    with pytest.raises(ModelError, match="was resized") as raised:
        labels(task, xml(task, "", size=64))
    assert raised.value.reason == "resized"


def test_another_tasks_names_are_refused(task: Path) -> None:
    with pytest.raises(ModelError, match="none of this task") as raised:
        labels(task, xml(task, "", name="holiday.png"))
    assert raised.value.reason == "other_task"


def test_unknown_labels_and_lines_are_refused(task: Path) -> None:
    with pytest.raises(ModelError, match="label 'fog'"):
        labels(task, xml(task, '<box label="fog" xtl="0" ytl="0" xbr="3" ybr="3"/>'))
    with pytest.raises(ModelError, match="polyline, which is no area"):
        labels(task, xml(task, '<polyline label="cloud" points="0,0;3,3"/>'))


@pytest.mark.parametrize("rle", ["1, 2", "0, -4, 8", "a"])
def test_run_lengths_that_do_not_fit_are_refused(task: Path, rle: str) -> None:
    mask = f'<mask label="cloud" rle="{rle}" left="0" top="0" width="2" height="2"/>'
    with pytest.raises(ModelError, match="cannot be read"):
        labels(task, xml(task, mask))


@pytest.mark.parametrize(
    ("rle", "width", "height", "left"),
    [
        ("90000000000", "300000", "300000", "0"),
        ("4", "2", "2", "inf"),
        ("4", "2", "2", "nan"),
        ("", "0", "0", "0"),
    ],
)
def test_masks_that_would_take_the_memory_are_refused_first(
    task: Path, rle: str, width: str, height: str, left: str
) -> None:
    mask = f'<mask label="cloud" rle="{rle}" left="{left}" top="0" width="{width}" height="{height}"/>'
    with pytest.raises(ModelError, match="cannot be read"):
        labels(task, xml(task, mask))


@pytest.mark.parametrize(("kind", "size"), [("PNG", 9000), ("JPEG", 4 * ZOOM)])
def test_a_picture_of_another_size_or_kind_is_not_unpacked(
    task: Path, kind: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.BytesIO()
    Image.new("L", (size, size)).save(stream, kind)
    export = task / "mask.zip"
    with zipfile.ZipFile(export, "w") as archive:
        archive.writestr("labelmap.txt", "background:0,0,0::\n")
        archive.writestr("SegmentationClass/2024-05-01_0.png", stream.getvalue())
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(ModelError):
        labels(task, export)


def test_a_colour_that_the_labelmap_does_not_name_is_refused(task: Path) -> None:
    export = task / "mask.zip"
    stream = io.BytesIO()
    Image.fromarray(np.full((4 * ZOOM, 4 * ZOOM, 3), 7, np.uint8)).save(stream, "PNG")
    with zipfile.ZipFile(export, "w") as archive:
        archive.writestr("labelmap.txt", "# label\nbackground:0,0,0::\ncloud:230,80,60::\n")
        archive.writestr("SegmentationClass/2024-05-01_0.png", stream.getvalue())
    with pytest.raises(ModelError, match="colour #070707"):
        labels(task, export)


@pytest.mark.parametrize("content", [b"", b"no xml", b"PK\x03\x04broken"])
def test_what_is_no_export_is_refused(task: Path, content: bytes) -> None:
    path = task / "x.zip"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"x\.zip"):
        labels(task, path)


def test_entities_are_not_expanded(task: Path) -> None:
    path = task / "annotations.xml"
    path.write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>')
    with pytest.raises(ModelError, match="entities"):
        labels(task, path)


def test_entities_in_another_encoding_are_not_expanded(task: Path) -> None:
    text = '<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>'
    (task / "utf16.xml").write_bytes(text.encode("utf-16"))
    with pytest.raises(ModelError, match="not in UTF-8"):
        read_export(task / "utf16.xml", task, task / "out")


def test_a_flipped_bit_of_a_zip_is_a_sentence_or_changes_nothing(task: Path) -> None:
    """What a broken, encrypted or exotic archive raises in a library never reaches the user."""
    path = task / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        box = '<box label="cloud" xtl="0" ytl="0" xbr="4" ybr="4"/>'
        archive.writestr("annotations.xml", xml(task, box).read_bytes())
    whole, expected = path.read_bytes(), labels(task, path)
    refused = 0
    for bit in range(0, 8 * len(whole), 3):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(content))
        try:
            assert np.array_equal(labels(task, path), expected)
        except ModelError:
            refused += 1
    assert refused > 100


def test_a_second_task_does_not_go_into_the_same_folder(task: Path) -> None:
    with pytest.raises(ModelError, match="already"):
        write_task(task, [])


def test_a_box_that_was_turned_and_an_ellipse_are_areas(task: Path) -> None:
    """A box of 4 x 2 pixels of the imagery, turned by a quarter around its middle, covers 2 x 4."""
    z = ZOOM
    turned = f'<box label="cloud" xtl="0" ytl="{z}" xbr="{4 * z - 1}" ybr="{3 * z - 1}" rotation="90.00"/>'
    assert labels(task, xml(task, turned)).tolist() == [[0, 3, 3, 0]] * 4
    round_ = f'<ellipse label="thin" cx="{2 * z}" cy="{2 * z}" rx="{2 * z}" ry="{z}"/>'
    assert labels(task, xml(task, round_)).tolist() == [[0] * 4, [2] * 4, [2] * 4, [0] * 4]
    upright = f'<ellipse label="thin" cx="{2 * z}" cy="{2 * z}" rx="{2 * z}" ry="{z}" rotation="90"/>'
    assert labels(task, xml(task, upright)).tolist() == [[0, 2, 2, 0]] * 4


def test_rotation_is_clockwise(task: Path) -> None:
    """A flat ellipse turned by 45 degrees falls from the upper left to the lower right."""
    z = ZOOM
    tilted = f'<ellipse label="thin" cx="{2 * z}" cy="{2 * z}" rx="{2 * z}" ry="{z / 2}" rotation="45"/>'
    found = labels(task, xml(task, tilted))
    assert (found[1, 1], found[2, 2], found[1, 2], found[2, 1]) == (2, 2, 0, 0)


@pytest.mark.parametrize("radii", ['rx="0" ry="1"', 'rx="-3" ry="1"', 'rx="nan" ry="1"', 'rx="1"'])
def test_an_ellipse_without_extent_is_refused(task: Path, radii: str) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        labels(task, xml(task, f'<ellipse label="cloud" cx="2" cy="2" {radii}/>'))


def test_an_export_of_a_video_says_which_format_to_choose(task: Path) -> None:
    path = task / "annotations.xml"
    path.write_text('<annotations><track id="0" label="cloud"><box frame="0"/></track></annotations>')
    with pytest.raises(ModelError, match=r"export it as 'CVAT for images 1\.1'"):
        labels(task, path)


def segmentation(task: Path, label_map: str, pictures: dict[str, np.ndarray], listed: str = "") -> Path:
    export = task / "mask.zip"
    with zipfile.ZipFile(export, "w") as archive:
        archive.writestr("labelmap.txt", "# label:color_rgb:parts:actions\n" + label_map)
        archive.writestr("ImageSets/Segmentation/default.txt", listed)
        for name, pixels in pictures.items():
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "PNG")
            archive.writestr(f"SegmentationClass/{name}.png", stream.getvalue())
    return export


def test_of_a_window_without_any_shape_a_segmentation_mask_has_a_line_and_no_picture(task: Path) -> None:
    export = segmentation(task, "background:0,0,0::\ncloud:230,80,60::\n", {}, listed="2024-05-01_0\n")
    assert read_export(export, task, task / "tiles") == Labelled(
        (task / "tiles" / "2024-05-01_0.npz",), ("2024-05-01_0",), ()
    )
    assert labels(task, export).tolist() == [[0] * 4] * 4


def test_a_list_of_another_tasks_windows_is_refused(task: Path) -> None:
    with pytest.raises(ModelError, match="none of this task"):
        labels(task, segmentation(task, "background:0,0,0::\n", {}, listed="holiday\n"))


def test_a_label_of_the_task_that_no_pixel_has_is_no_fault(task: Path) -> None:
    label_map = "background:0,0,0::\ncloud:230,80,60::\nfog:1,2,3::\n"
    cloud = np.tile(np.array(COLOURS["cloud"], np.uint8), (4 * ZOOM, 4 * ZOOM, 1))
    assert labels(task, segmentation(task, label_map, {"2024-05-01_0": cloud})).tolist() == [[3] * 4] * 4
    fog = np.tile(np.array([1, 2, 3], np.uint8), (4 * ZOOM, 4 * ZOOM, 1))
    with pytest.raises(ModelError, match="label 'fog'"):
        labels(task, segmentation(task, label_map, {"2024-05-01_0": fog}))


def test_pictures_of_one_channel_hold_the_number_of_a_line(task: Path) -> None:
    label_map = "background:0,0,0::\nthin:250,200,80::\ncloud:230,80,60::\n"
    numbers = np.repeat(np.repeat(np.array([[0, 1, 2, 2]] * 4, np.uint8), ZOOM, axis=0), ZOOM, axis=1)
    assert (
        labels(task, segmentation(task, label_map, {"2024-05-01_0": numbers})).tolist() == [[0, 2, 3, 3]] * 4
    )
    with pytest.raises(ModelError, match="number 9"):
        labels(task, segmentation(task, label_map, {"2024-05-01_0": np.full_like(numbers, 9)}))


def test_images_are_numbered_as_cvat_orders_them_and_windows_left_out_are_told(tmp_path: Path) -> None:
    values = np.full((4, 4, 4), 0.1)
    pictures = [Picture(name, values, BANDS, CLASSES, {}) for name in ("b", "a")]
    write_task(tmp_path / "two", pictures)
    with zipfile.ZipFile(tmp_path / "two" / "annotations.zip") as archive:
        images = list(ElementTree.fromstring(archive.read("annotations.xml")).iter("image"))
    assert [(image.attrib["id"], image.attrib["name"]) for image in images] == [
        ("0", "a.png"),
        ("1", "b.png"),
    ]
    found = read_export(xml(tmp_path / "two", "", name="b.png"), tmp_path / "two", tmp_path / "tiles")
    assert (found.all_clear, found.absent) == (("b",), ("a",))
