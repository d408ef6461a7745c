"""Which images of a folder are parts of one acquisition: moment, satellite, orbit and place agree."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from features.catalog.place import shared_extent
from features.indexing.dated_image import BandImage, DatedImage

# Bands of one acquisition may cover different ground; chips of neighbouring farms share less than this part
# of what both cover.
SAME_PLACE = 0.5
_TOLD_BY = ("grid:code", "platform", "s2:processing_baseline", "sat:relative_orbit", "sat:orbit_state")


def group_images(images: Iterable[DatedImage]) -> tuple[list[DatedImage], list[str]]:
    """Put the bands of one acquisition together.

    Images belong together where moment, sensor, level (L1C or not), tile, satellite, baseline, orbit and
    direction agree and they cover about the same ground. Of a band that comes in several pixel sizes the
    finest is kept. Where a band comes twice in one size, images whose names share all other words belong
    together; what then still comes twice is an acquisition of its own.

    Returns
    -------
    tuple
        The acquisitions, in order of time; and the reason of every band that is set aside.
    """
    alike: defaultdict[tuple[object, ...], list[DatedImage]] = defaultdict(list)
    for image in images:
        told = [str(image.properties.get(name)) for name in _TOLD_BY]
        is_top = image.properties.get("processing:level") == "L1C"  # L2A often stands in some names only
        alike[(image.taken, image.sensor, is_top, *told)].append(image)
    found: list[DatedImage] = []
    lost: list[str] = []
    for _, members in sorted(alike.items(), key=lambda group: tuple(map(str, group[0]))):
        for place in _places(sorted(members, key=lambda image: (str(image.source), image.label))):
            for group in _once_each(place):
                image, coarser = _joined(group)
                found.append(image)
                lost += coarser
    return found, lost


def _places(images: Sequence[DatedImage]) -> Iterator[list[DatedImage]]:
    groups: defaultdict[int, list[DatedImage]] = defaultdict(list)
    for image, place in zip(images, place_of(images), strict=True):
        groups[place].append(image)
    yield from groups.values()


def _once_each(images: list[DatedImage]) -> Iterator[list[DatedImage]]:
    """Images of one place and moment, parted where they hold a band twice in one pixel size."""
    if not _repeats(images):
        yield images
        return
    labels: defaultdict[str, list[DatedImage]] = defaultdict(list)
    for image in images:
        labels[f"{image.source.parent} {image.label}"].append(image)
    for _, members in sorted(labels.items()):
        groups: list[list[DatedImage]] = []
        for image in members:
            free = next((group for group in groups if not _repeats([*group, image])), None)
            if free is None:
                groups.append([image])
            else:
                free.append(image)
        yield from groups


def _repeats(images: Sequence[DatedImage]) -> bool:
    keys = [(band.band, round(abs(band.transform.a), 9)) for image in images for band in image.bands]
    return len(set(keys)) < len(keys)


def _joined(group: Sequence[DatedImage]) -> tuple[DatedImage, list[str]]:
    finest: dict[str, BandImage] = {}
    bands = sorted((band for image in group for band in image.bands), key=lambda band: abs(band.transform.a))
    for band in bands:
        finest.setdefault(band.band, band)
    azimuth = next((image.view_azimuth for image in group if image.view_azimuth is not None), None)
    properties = {name: value for image in group for name, value in image.properties.items()}
    ordered = tuple(finest[name] for name in sorted(finest))
    joined = replace(group[0], bands=ordered, properties=properties, view_azimuth=azimuth)
    return joined, ["coarser_copy"] * (len(bands) - len(finest))


def place_of(images: Sequence[DatedImage]) -> list[int]:
    """Number the place of each image; images of one place share most of the ground of its first."""
    first: list[DatedImage] = []
    numbers = []
    for image in images:
        box = image.bands[0].bounds_wgs84
        shared = shared_extent(box, [held.bands[0].bounds_wgs84 for held in first])
        best = int(shared.argmax()) if len(shared) else -1
        if best < 0 or shared[best] < SAME_PLACE:
            best = len(first)
            first.append(image)
        numbers.append(best)
    return numbers
