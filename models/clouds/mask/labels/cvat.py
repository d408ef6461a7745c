"""Windows as a task for CVAT, and CVAT's exports as labelled tiles.

CVAT's documented formats: "CVAT for images 1.1" (annotations.xml with masks in run lengths, polygons, boxes
and ellipses) and "Segmentation mask 1.1" (labelmap.txt, and one PNG for each image that has a shape).
"""

import io
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from features.errors import ModelError
from features.files import atomic_path, write_json
from models.arrays_file import UNREADABLE
from models.clouds.mask.classes import CLEAR, NAMES, UNKNOWN
from models.clouds.mask.labels.shapes import area_of, run_lengths

ZOOM = 8  # pixels of the picture for one of the imagery
LABELS = {**{name: number for number, name in enumerate(NAMES)}, "unknown": UNKNOWN}
COLOURS = {"clear": (52, 152, 79), "shadow": (64, 64, 160), "thin": (250, 200, 80), "cloud": (230, 80, 60),
           "unknown": (120, 120, 120)}  # fmt: skip
BACKGROUND = "background"  # of a segmentation mask: what nobody marked
INDEX = "windows.json"
LARGEST = 256 << 20  # bytes of one member of an export
Z_ORDER = ("unknown", "clear", "shadow", "thin", "cloud")


@dataclass(frozen=True)
class Picture:
    """A window for labelling.

    Attributes
    ----------
    values
        Reflectance `(band, y, x)`; NaN where unknown.
    classes
        The present mask `(y, x)`; 255 where unknown.
    """

    name: str
    values: np.ndarray
    bands: tuple[str, ...]
    classes: np.ndarray
    said: Mapping[str, object]


def write_task(folder: Path, pictures: Sequence[Picture]) -> list[Path]:
    """Write a task: `images.zip` (true colour, with false colour as related image), `labels.json`,
    `annotations.zip` (CVAT for images 1.1), `segmentation_mask.zip`, and the windows' reflectance.

    Raises
    ------
    ModelError
        Where the folder holds another task.
    """
    if (folder / INDEX).exists():
        raise ModelError(f"{folder} holds a task already; choose another folder for --write.")
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        with atomic_path(folder / "windows" / f"{picture.name}.npz") as partial, partial.open("wb") as stream:
            stored = np.clip(np.rint(np.nan_to_num(picture.values) * 10_000), 0, 65_535).astype(np.uint16)
            stored[(stored == 0) & np.isfinite(picture.values)] = 1
            np.savez_compressed(stream, image=stored, bands=np.array(picture.bands))
    images = {}
    for picture in pictures:
        images[f"{picture.name}.png"] = _png(_colours(picture, ("B04", "B03", "B02")))
        false = _png(_colours(picture, ("B08", "B04", "B03")))
        images[f"related_images/{picture.name}_png/false_colour.png"] = false
    labels = [{"name": name, "color": _hex(colour), "attributes": []} for name, colour in COLOURS.items()]
    masks = {f"SegmentationClass/{p.name}.png": _png(_painted(p.classes)) for p in pictures}
    masks["ImageSets/Segmentation/default.txt"] = "".join(f"{p.name}\n" for p in pictures).encode()
    masks["labelmap.txt"] = _labelmap().encode()
    written = [
        _zip(folder / "images.zip", images),
        write_json(folder / "labels.json", labels),
        _zip(folder / "annotations.zip", {"annotations.xml": _annotations(pictures)}),
        _zip(folder / "segmentation_mask.zip", masks),
    ]
    said = {p.name: {"height": p.classes.shape[0], "width": p.classes.shape[1], **p.said} for p in pictures}
    write_json(folder / INDEX, {"zoom": ZOOM, "windows": said})
    return written


def _colours(picture: Picture, bands: tuple[str, str, str]) -> np.ndarray:
    """Three bands `(y, x, 3)` uint8, enlarged; 0 to 0.3 of reflectance, near infrared to 0.5."""
    layers = []
    for band in bands:
        present = [name for name in (band, "B8A") if name in picture.bands][:1]
        values = (
            picture.values[picture.bands.index(present[0])] if present else np.zeros(picture.classes.shape)
        )
        top = 0.5 if band == "B08" else 0.3
        layers.append(np.sqrt(np.clip(np.nan_to_num(values) / top, 0, 1)))
    flat = (255 * np.stack(layers, axis=-1)).astype(np.uint8)
    return flat.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)


def _painted(classes: np.ndarray) -> np.ndarray:
    out = np.zeros((*classes.shape, 3), np.uint8)
    for name, number in LABELS.items():
        out[classes == number] = COLOURS[name]
    return out.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _hex(colour: tuple[int, int, int]) -> str:
    return "#" + "".join(f"{part:02x}" for part in colour)


def _labelmap() -> str:
    rows = [f"{name}:{','.join(map(str, colour))}::" for name, colour in COLOURS.items()]
    return "\n".join(["# label:color_rgb:parts:actions", "background:0,0,0::", *rows]) + "\n"


def _zip(path: Path, members: Mapping[str, bytes]) -> Path:
    with atomic_path(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


def _annotations(pictures: Sequence[Picture]) -> bytes:
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    for number, picture in enumerate(sorted(pictures, key=lambda one: one.name)):  # as CVAT numbers them
        height, width = (ZOOM * size for size in picture.classes.shape)
        image = ElementTree.SubElement(
            root, "image", id=str(number), name=f"{picture.name}.png", width=str(width), height=str(height)
        )
        for order, label in enumerate(Z_ORDER):
            mask = (picture.classes == LABELS[label]) & (label != "clear")
            if mask.any():
                _mask_element(image, label, mask.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1), order)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _mask_element(image: ElementTree.Element, label: str, mask: np.ndarray, order: int) -> None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    part = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    ElementTree.SubElement(
        image, "mask", label=label, source="auto", occluded="0", rle=", ".join(map(str, run_lengths(part))),
        left=str(left), top=str(top), width=str(part.shape[1]), height=str(part.shape[0]), z_order=str(order),
    )  # fmt: skip


@dataclass(frozen=True)
class Labelled:
    """What an export held.

    Attributes
    ----------
    tiles
        Files that were written, in order of the windows' names.
    all_clear
        Windows without any mark, which were read as clear throughout.
    absent
        Windows of the task that the export does not hold.
    """

    tiles: tuple[Path, ...]
    all_clear: tuple[str, ...]
    absent: tuple[str, ...]


def read_export(export: Path, task: Path, out: Path) -> Labelled:
    """Read what CVAT exported of a task, and write labelled tiles (layout `npz`).

    A pixel of the imagery takes the label of most of its pixels in the picture; what nobody marked is clear.

    Parameters
    ----------
    export
        A zip or annotations.xml of "CVAT for images 1.1", or a zip of "Segmentation mask 1.1".
    task
        The folder that `write_task` wrote.

    Raises
    ------
    ModelError
        Where the export is of another task, its images were resized, a label is unknown, or a shape lies
        outside its image or is of a kind that is no area.
    """
    zoom, windows = read_index(task)
    found = _labels_in(export, {n: (w["height"] * zoom, w["width"] * zoom) for n, w in windows.items()})
    if not found:
        raise ModelError(f"{export} holds no image; export the task with its annotations.")
    written = []
    found = dict(sorted(found.items()))
    for name, labels in found.items():
        with np.load(task / "windows" / f"{name}.npz", allow_pickle=False) as stored:
            image, bands = stored["image"], stored["bands"]
        with atomic_path(out / f"{name}.npz") as partial, partial.open("wb") as stream:
            np.savez_compressed(stream, image=image, mask=_reduced(labels, zoom), bands=bands)
        written.append(out / f"{name}.npz")
    all_clear = tuple(name for name, labels in found.items() if (labels == CLEAR).all())
    return Labelled(tuple(written), all_clear, tuple(sorted(set(windows) - set(found))))


def read_index(task: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return a task's zoom, and by name what it says of each window: size, and what `Picture.said` held.

    Raises
    ------
    ModelError
        Where the folder is no task, or its index is damaged.
    """
    if not (task / INDEX).is_file():
        raise ModelError(f"{task} holds no {INDEX}: name the folder that `cropcheck label --write` wrote.")
    try:
        index = json.loads((task / INDEX).read_text(encoding="utf-8"))
        windows = {
            str(name): {
                **said,
                **{key: int(said[key]) for key in ("height", "width")},
            }
            for name, said in index["windows"].items()
        }
        return int(index["zoom"]), windows
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{task / INDEX} is damaged ({error}): write the task anew.") from error


def _reduced(labels: np.ndarray, zoom: int) -> np.ndarray:
    height, width = (size // zoom for size in labels.shape)
    parts = labels.reshape(height, zoom, width, zoom)
    codes = list(LABELS.values())
    votes = np.stack([(parts == code).sum(axis=(1, 3)) for code in codes])
    return np.asarray(np.array(codes, np.uint8)[votes.argmax(axis=0)])


Sizes = Mapping[str, tuple[int, int]]


def _labels_in(export: Path, sizes: Sizes) -> dict[str, np.ndarray]:
    try:
        if not zipfile.is_zipfile(export):
            return _from_xml(export.read_bytes(), export, sizes)
        with zipfile.ZipFile(export) as archive:
            too_large = [info.filename for info in archive.infolist() if info.file_size > LARGEST]
            if too_large:
                raise ModelError(f"{export} holds {too_large[0]} of more than {LARGEST >> 20} MiB.")
            names = archive.namelist()
            if "annotations.xml" in names:
                return _from_xml(archive.read("annotations.xml"), export, sizes)
            if "labelmap.txt" in names:
                return _from_masks(archive, export, sizes)
    except (*UNREADABLE, ElementTree.ParseError, ArithmeticError) as error:
        raise ModelError(f"{export} cannot be read ({error}); export it from CVAT again.") from error
    raise ModelError(
        f"{export} is neither 'CVAT for images 1.1' nor 'Segmentation mask 1.1'; export one of these."
    )


def _known(name: str, export: Path, sizes: Sizes) -> str:
    stem = Path(name).name.removesuffix(".png")
    if stem not in sizes:
        raise ModelError(
            f"{export} holds the image {name}, which is none of this task ({min(sizes)} and others); name "
            "the task's own folder with --task.",
            reason="other_task",
        )
    return stem


def _checked(name: str, size: tuple[int, int], export: Path, sizes: Sizes) -> str:
    """Return the window's name of an image, where it is this task's and of its size."""
    stem = _known(name, export, sizes)
    if size != sizes[stem]:
        raise ModelError(
            f"{export}: the image {name} has {size[0]} x {size[1]} pixels, the task's {sizes[stem][0]} x "
            f"{sizes[stem][1]}; it was resized. Label the images as they were written.",
            reason="resized",
        )
    return stem


def _from_xml(text: bytes, export: Path, sizes: Sizes) -> dict[str, np.ndarray]:
    if b"\0" in text:  # in UTF-16 what is looked for below would not be found
        raise ValueError("its XML is not in UTF-8")
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise ModelError(f"{export} declares XML entities, which CVAT never does; export it again.")
    out, root = {}, ElementTree.fromstring(text)
    if root.find("track") is not None:
        raise ModelError(f"{export} is an export 'CVAT for video 1.1'; export it as 'CVAT for images 1.1'.")
    for image in root.iter("image"):
        size = (int(image.attrib["height"]), int(image.attrib["width"]))
        name = _checked(image.attrib["name"], size, export, sizes)
        labels = np.full(size, CLEAR, np.uint8)
        for shape in sorted(image, key=lambda one: int(one.get("z_order", "0"))):
            number = _number(shape.get("label", ""), export)
            labels[area_of(shape, size, f"{export}: {image.attrib['name']}")] = number
        out[name] = labels
    return out


def _number(label: str, export: Path) -> int:
    if label == BACKGROUND:
        return CLEAR
    if label not in LABELS:
        raise ModelError(
            f"{export} holds the label {label!r}; the labels are {', '.join(LABELS)}.", reason="unknown_label"
        )
    return LABELS[label]


def _from_masks(archive: zipfile.ZipFile, export: Path, sizes: Sizes) -> dict[str, np.ndarray]:
    table = _label_map(archive.read("labelmap.txt").decode("utf-8"))
    out = {name: np.full(sizes[name], CLEAR, np.uint8) for name in _listed(archive, export, sizes)}
    for member in archive.namelist():
        if not member.startswith("SegmentationClass/") or not member.endswith(".png"):
            continue
        with Image.open(io.BytesIO(archive.read(member)), formats=["PNG"]) as picture:
            name = _checked(member, (picture.height, picture.width), export, sizes)  # before it is unpacked
            numbered, pixels = picture.mode == "L", np.asarray(picture.convert("RGB"), np.int64)
        packed = pixels[..., 0] if numbered else pixels @ np.array([65536, 256, 1])
        names = dict(enumerate(label for _, label in table)) if numbered else dict(table)
        found, index = np.unique(packed, return_inverse=True)
        strange = [number for number in found.tolist() if number not in names]
        if strange:
            said = f"number {strange[0]}" if numbered else f"colour #{strange[0]:06x}"
            raise ModelError(
                f"{export}: {member} holds the {said}, which labelmap.txt does not name.",
                reason="unknown_label",
            )
        numbers = [_number(names[number], export) for number in found.tolist()]
        out[name] = np.array(numbers, np.uint8)[index.reshape(packed.shape)]
    return out


def _label_map(text: str) -> list[tuple[int, str]]:
    """Packed colour and label of every line; in an image of one channel, pixels hold the line's number."""
    rows = [line.split(":") for line in text.splitlines() if line.strip() and not line.startswith("#")]
    packed = [[int(part) for part in row[1].split(",")] for row in rows]
    return [((r << 16) + (g << 8) + b, row[0]) for row, (r, g, b) in zip(rows, packed, strict=True)]


def _listed(archive: zipfile.ZipFile, export: Path, sizes: Sizes) -> list[str]:
    """Windows that the export lists: CVAT writes no PNG of those without any shape."""
    lists = [name for name in archive.namelist() if re.fullmatch(r"ImageSets/Segmentation/[^/]+\.txt", name)]
    lines = [line.strip() for name in lists for line in archive.read(name).decode("utf-8").splitlines()]
    return [_known(line, export, sizes) for line in lines if line]
