"""Acquisitions whose numbers cannot be: compared, on clear pixels, with the same parcels on dates around.

A catalog that states a reflectance offset wrongly shifts a whole scene by 0.1: it is subtracted twice (fields
turn negative) or never (nothing is dark). Every scene is looked at in a few squares that hold many parcels,
in one visible band. A scene is contradictory where

- at least half of its clear parcels are below -0.02, or
- they differ from their own median on the dates around by an offset, and nine in ten of them do so alike;
  where scenes are too bright, nothing in them may be dark besides, as haze, too, brightens.

Half of a season may be wrong, so the impossible scenes are taken out before others are compared, and so on
until none is found. Reflectance, backscatter and coherence outside their physical range (digital numbers
called reflectance, linear power called decibels) are refused on the same sample.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.catalog.radiometry import BASELINE_OFFSET
from features.errors import CropcheckError
from features.extraction.clear_mask import clear_weights, read_clear_mask
from features.extraction.options import ExtractOptions
from features.extraction.units import LEAST_PIXELS, Outcome, Unit, tile_coverage, windows_of
from features.imagery.blocks import Block, cut
from features.imagery.physical import RANGES, Encoding, are_outside
from features.imagery.scenes import Layer, Scene, read_layer, scene_of
from features.schema import SCENE_CLASS, assets_by_band
from features.workers import Executor
from features.zonal.coverage import Coverage, sums
from features.zonal.engine import gathered, summarise_gathered

logger = logging.getLogger(__name__)

# Blue changes least from leaf to soil, so that an offset shows best in it; the first that a scene has.
VISIBLE = ("B02", "B03", "B04")
RADAR = ("vh", "vv", "cohvh", "cohvv")
SQUARE_PX, SQUARES = 256, 2  # sampled squares: the densest of each of SQUARES x SQUARES parts of a tile
LEAST_SCENES = 5  # to say something of a season
LEAST_PARCELS = 3  # clear parcels, to tell an offset from a harvest
NEGATIVE = -0.02  # reflectance: ESA's own negative values, of shadow and deep water, stay above
AROUND = 3  # dates before and after that a parcel is compared with
STEP = -BASELINE_OFFSET
CLOSE = 0.04  # reflectance by which a shift may differ from the offset
ALIKE = 0.9  # of the parcels shift alike
DARK = 0.95 * STEP  # nothing is darker where the offset was never subtracted


@dataclass(frozen=True)
class Sample:
    """What an acquisition shows of some parcels.

    Attributes
    ----------
    parcels
        int (parcel,): their places among the tile's.
    mean
        float (parcel,): of clear pixels; NaN where stored numbers are no physical value at all.
    dark
        The fifth percentile of the clear pixels.
    """

    item_id: str
    tile: str
    encoding: Encoding
    parcels: np.ndarray
    mean: np.ndarray
    dark: float


def contradictory(units: Sequence[Unit], executor: Executor) -> list[Outcome]:
    """Compare the acquisitions of one sensor and tile; those that cannot be are set aside by reason.

    Units whose files cannot be read are passed over: extraction itself says why.
    """
    time = {unit.row["item_id"]: unit.row["datetime"] for unit in units}
    samples = [sample for sample in executor(sample_unit, units) if sample is not None]
    samples.sort(key=lambda sample: (time[sample.item_id], sample.item_id))
    found = {sample.item_id: _impossible(sample) for sample in samples}
    new: dict[str, tuple[str, str] | None] | None = None
    while new is None or new:
        left = [one for one in samples if found[one.item_id] is None and one.encoding.unit == "reflectance"]
        new = {item: said for item, said in _shifted(left).items() if said is not None}
        found |= new
    _tell_if_nothing_is_dark([one for one in samples if found[one.item_id] is None])
    return [
        Outcome(sample.item_id, sample.tile, *said)
        for sample in samples
        if (said := found[sample.item_id]) is not None
    ]


def _tell_if_nothing_is_dark(samples: Sequence[Sample]) -> None:
    """Log where a whole season looks as if no offset was subtracted: scenes then agree with each other.

    Bare or dry land is bright too, so that nothing is set aside for it.
    """
    dark = [one.dark for one in samples if one.encoding.unit == "reflectance" and one.encoding.offset >= 0]
    if len(dark) < LEAST_SCENES or min(dark) < DARK:
        return
    logger.warning(
        "In none of %d scenes of tile %s is clear land darker than %.2f in visible light. Unless it is bare "
        "all season, their offset was never subtracted: correct it in the catalog's items, or set "
        "imagery.offsets for these (-1000 in digital numbers).",
        len(dark), samples[0].tile, min(dark),
    )  # fmt: skip


def sample_unit(unit: Unit) -> Sample | None:
    """Read the sampled squares of one acquisition; None where nothing is seen, or a file cannot be read."""
    held = assets_by_band(unit.row)
    wanted = VISIBLE if unit.row["sensor"] == "s2" else RADAR
    band = next((name for name in wanted if name in held), None)
    unmasked = SCENE_CLASS not in held and unit.options.mask.without_classes == "set_aside"
    if band is None or (unit.row["sensor"] == "s2" and unmasked):
        return None
    try:
        feature = {"vv": "s0vv_db", "vh": "s0vh_db"}.get(band, band)
        return _sample(unit, scene_of(unit.row, (feature,), (SCENE_CLASS,)), band)
    except CropcheckError:
        return None


def _sample(unit: Unit, scene: Scene, band: str) -> Sample | None:
    layer = scene.layers[band]
    coverage = tile_coverage(unit.parcels, layer.grid, unit.cache)
    parcels, means, pixels = [], [], []
    for square in squares_of(coverage):
        rows, columns = ((part.start, part.stop) for part in square.slices)
        window = windows_of(unit.parcels, layer.grid, unit.cache, rows, columns)
        line, weights = _pixels(unit.options, scene, layer, square, window.coverage)
        moments = summarise_gathered(line, window.coverage.offsets, weights, ("mean",)).moments
        seen = sums(weights, window.coverage.offsets) >= LEAST_PIXELS
        parcels.append(window.present[seen])
        means.append(moments[seen, 1])
        pixels.append(line[weights > 0])
    owners, values = np.concatenate([*parcels, []]).astype(np.int64), np.concatenate([*means, []])
    owners, first = np.unique(owners, return_index=True)  # a parcel cut by two squares counts once
    if not len(owners):
        return None
    shown = np.concatenate(pixels)
    shown = shown[np.isfinite(shown)]
    dark = float(np.quantile(shown, 0.05)) if shown.size else np.nan
    return Sample(unit.row["item_id"], unit.tile, layer.encoding, owners, values[first], dark)


def _pixels(
    options: ExtractOptions, scene: Scene, layer: Layer, square: Block, coverage: Coverage
) -> tuple[np.ndarray, np.ndarray]:
    """Physical values of a square's covered pixels, and their weights that the clear mask leaves.

    `square` is of the layer's own rows and columns.
    """
    block = _on_finest(layer, square)
    raw = read_layer(layer, square)
    line, weights = gathered(raw, coverage), coverage.weights
    if SCENE_CLASS in scene.layers:
        weights = clear_weights(read_clear_mask(scene, block, options.mask), layer, block, coverage)
    stored = ~layer.encoding.unknown(line)
    return layer.encoding.physical(line, reuse=True), np.where(stored, weights, np.float32(0))


def _on_finest(layer: Layer, square: Block) -> Block:
    """A layer's own rows and columns as those of the scene's finest grid."""
    parts = zip(square.slices, (layer.top, layer.left), strict=True)
    return Block(
        *(slice(p.start * layer.factor - shift, p.stop * layer.factor - shift) for p, shift in parts)
    )


def squares_of(coverage: Coverage) -> list[Block]:
    """The squares in which most pixels of parcels lie: one of each part of the grid, none without parcels."""
    height, width = coverage.shape
    rows, columns = -(-height // SQUARE_PX), -(-width // SQUARE_PX)
    place = (
        coverage.rows.astype(np.int64) // SQUARE_PX * columns + coverage.columns.astype(np.int64) // SQUARE_PX
    )
    held = np.bincount(place, coverage.lengths.astype(float), rows * columns).reshape(rows, columns)
    found = []
    for part in cut((rows, columns), max(-(-max(rows, columns) // SQUARES), 1)):
        there = held[part.slices]
        row, column = np.unravel_index(int(there.argmax()), there.shape)
        if there[row, column] > 0:
            top, left = (
                (part.rows.start + int(row)) * SQUARE_PX,
                (part.columns.start + int(column)) * SQUARE_PX,
            )
            bottom, right = min(top + SQUARE_PX, height), min(left + SQUARE_PX, width)
            found.append(Block(slice(top, bottom), slice(left, right)))
    return found


def _impossible(sample: Sample) -> tuple[str, str] | None:
    """Why an acquisition's numbers cannot be, whatever others show: reason and sentence."""
    unit, mean = sample.encoding.unit, sample.mean
    low, high = RANGES[unit]
    if are_outside(mean, unit):
        name = {"db": "backscatter", "linear": "backscatter"}.get(unit, unit)
        shown = f"{np.nanmedian(mean):.4g}" if np.isfinite(mean).any() else "no number"
        return f"{name}_out_of_range", (
            f"{name} of {len(mean)} parcels is {shown} (median, read as {unit}), beyond {low:g} to {high:g}: "
            "scale, offset or unit are not those of the file; correct them in the catalog's item."
        )
    below = int((mean < NEGATIVE).sum())
    if unit == "reflectance" and 2 * below >= len(mean):
        said = f"reflectance of {below} of {len(mean)} clear parcels is below {NEGATIVE}; "
        return "offset_subtracted_twice", said + _cure(sample, 0.0)
    return None


def _cure(sample: Sample, offset: float) -> str:
    """The offset to configure, in the numbers that the file stores."""
    stored = offset / sample.encoding.scale
    still = "still carry" if offset else "no longer carry"
    return f"if its pixels {still} an offset, set imagery.offsets: {{{sample.item_id}: {stored:g}}}."


def _shifted(samples: Sequence[Sample]) -> dict[str, tuple[str, str] | None]:
    """Scenes that lie an offset beside the same parcels' median on the dates around."""
    found: dict[str, tuple[str, str] | None] = {}
    values = [dict(zip(sample.parcels.tolist(), sample.mean.tolist(), strict=True)) for sample in samples]
    for number, sample in enumerate(samples):
        nearest = range(max(number - AROUND, 0), min(number + AROUND + 1, len(samples)))
        near = [k for k in nearest if k != number]
        differences = []
        for parcel, mean in values[number].items():
            around = [values[k][parcel] for k in near if parcel in values[k]]
            if len(around) > 1:
                differences.append(mean - float(np.median(around)))
        found[sample.item_id] = _offset_between(sample, np.array(differences))
    return found


def _offset_between(sample: Sample, differences: np.ndarray) -> tuple[str, str] | None:
    if len(differences) < LEAST_PARCELS:
        return None
    shift, subtracted = float(np.median(differences)), sample.encoding.offset < 0
    expected = -STEP if subtracted else STEP
    alike = float((np.abs(differences - expected) <= 1.5 * CLOSE).mean())
    if abs(shift - expected) > CLOSE or alike < ALIKE or (not subtracted and sample.dark < DARK):
        return None
    said = f"{len(differences)} clear parcels lie {shift:+.2f} beside their reflectance on the dates around; "
    if subtracted:
        return "offset_subtracted_twice", said + _cure(sample, 0.0)
    return "offset_not_subtracted", said + _cure(sample, BASELINE_OFFSET)
