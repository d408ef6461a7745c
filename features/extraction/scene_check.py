"""Acquisitions whose numbers cannot be: compared, on clear pixels, with the same parcels on dates around.

A catalog that states a reflectance offset wrongly shifts a whole scene by 0.1: it is subtracted twice (fields
turn negative) or never (nothing is dark). Every scene is looked at in a few squares that hold many parcels,
in every band that is read. A scene is contradictory where

- two of three clear parcels are outside of the physical range of a band: digital numbers or percent called
  reflectance, linear power called decibels, or
- at least half of them are below -0.02 in a band, or
- all bands are ten times, or a tenth of, what the same parcels have on the dates around, or
- in one visible band, parcels differ from their own median on the dates around by an offset, and nine in ten
  of them do so alike; where scenes are too bright, nothing in them may be dark besides, as haze, too,
  brightens.

Half of a season may be wrong, so the impossible scenes are taken out before others are compared, and so on
until none is found.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Protocol

import numpy as np
from odc.geo.geobox import GeoBox

from features.catalog.radiometry import BASELINE_OFFSET
from features.errors import CropcheckError
from features.extraction.clear_mask import ClearMask, clear_weights, read_clear_mask
from features.extraction.units import LEAST_PIXELS, Outcome, Unit, Window, tile_coverage, windows_of
from features.imagery.blocks import Block, cut
from features.imagery.physical import Encoding, told_outside
from features.imagery.scenes import Layer, Scene, read_layer, scene_of
from features.indices.formulas import bands_of
from features.schema import SCENE_CLASS, assets_by_band
from features.workers import Executor, in_threads, one_by_one
from features.zonal.coverage import Coverage, sums
from features.zonal.engine import gathered, summarise_gathered

logger = logging.getLogger(__name__)

# Blue changes least from leaf to soil, so that an offset shows best in it; the first that a scene has.
VISIBLE = ("B02", "B03", "B04")
RADAR = ("vh", "vv", "cohvh", "cohvv")
FEATURES = {"vv": "s0vv_db", "vh": "s0vh_db"}  # of a band, where its name is not the band's
SQUARE_PX, SQUARES = 256, 2  # sampled squares: the densest of each of SQUARES x SQUARES parts of a tile
LEAST_SCENES = 5  # to say something of a season
LEAST_PARCELS = 3  # clear parcels, to tell an offset from a harvest
NEGATIVE = -0.02  # reflectance: ESA's own negative values, of shadow and deep water, stay above
AROUND = 3  # dates before and after that a parcel is compared with
STEP = -BASELINE_OFFSET
CLOSE = 0.04  # reflectance by which a shift may differ from the offset
ALIKE = 0.9  # of the parcels shift alike
DARK = 0.95 * STEP  # nothing is darker where the offset was never subtracted
TIMES = {1: "ten times", -1: "a tenth of"}  # by powers of ten: a scale that is wrong by a digit
CLOSE_POWER = 0.3  # of ten: twice or half as much

Said = tuple[str, str]  # reason and sentence


@dataclass(frozen=True)
class Seen:
    """What one band of an acquisition shows of some parcels.

    Attributes
    ----------
    parcels
        int (parcel,): their places among the tile's.
    mean
        float (parcel,): of clear pixels; NaN where stored numbers are no physical value at all.
    dark
        The fifth percentile of the clear pixels of a visible band; else NaN.
    """

    encoding: Encoding
    parcels: np.ndarray
    mean: np.ndarray
    dark: float

    @property
    def is_reflectance(self) -> bool:
        """Whether the band is one of reflectance."""
        return self.encoding.unit == "reflectance"


@dataclass(frozen=True)
class Sample:
    """What an acquisition shows in each band that is read and in which parcels are clear."""

    item_id: str
    tile: str
    bands: Mapping[str, Seen]

    @property
    def visible(self) -> str | None:
        """The band that is compared with the dates around; None where the acquisition has none."""
        return next((band for band in VISIBLE if band in self.bands), None)


def contradictory(
    units: Sequence[Unit],
    executor: Executor,
    filled: Iterable[str] = (),
    kept: "KeptSamples | None" = None,
) -> list[Outcome]:
    """Compare the acquisitions of one sensor and tile; those that cannot be are set aside by reason.

    Units whose files cannot be read are passed over: extraction itself says why.

    Parameters
    ----------
    filled
        Optical bands in which clouds are removed: they are read beside those of the features.
    kept
        Samples of an earlier look, to which those that are new are added; none by default.
    """
    time = {unit.row["item_id"]: unit.row["datetime"] for unit in units}
    samples = [sample for sample in _samples(units, executor, tuple(filled), kept) if sample.bands]
    samples.sort(key=lambda sample: (time[sample.item_id], sample.item_id))
    found = {sample.item_id: _impossible(sample) for sample in samples}
    new: dict[str, Said] | None = None
    while new is None or new:
        left = [one for one in samples if found[one.item_id] is None]
        new = _scaled(left) or _shifted(left)
        found |= new
    _tell_if_nothing_is_dark([one for one in samples if found[one.item_id] is None])
    return [
        Outcome(sample.item_id, sample.tile, *said)
        for sample in samples
        if (said := found[sample.item_id]) is not None
    ]


class KeptSamples(Protocol):
    """What was seen of acquisitions before."""

    def known(self, unit: Unit, bands: Sequence[str]) -> "Sample | None":
        """Return what a unit showed in these bands; None where that is not known."""
        ...

    def add(self, seen: "Iterable[tuple[Unit, Sequence[str], Sample]]") -> None:
        """Keep what units showed in these bands, of all units that are compared."""
        ...


def _samples(
    units: Sequence[Unit], executor: Executor, filled: tuple[str, ...], kept: KeptSamples | None
) -> list[Sample]:
    """What every unit that can be read shows."""
    bands = [bands_read(unit, filled) for unit in units]
    known = [None if kept is None else kept.known(*of) for of in zip(units, bands, strict=True)]
    found = {sample.item_id: sample for sample in known if sample is not None}
    missing = [unit for unit, sample in zip(units, known, strict=True) if sample is None]
    look = partial(sample_unit, filled=filled)
    if executor is one_by_one and missing:
        first, *others = missing  # it brings the tile's coverage, which threads would each make
        looked = chain([look(first)], in_threads(first.options.threads)(look, others))
    else:
        looked = chain(executor(look, missing))
    found |= {sample.item_id: sample for sample in looked if sample is not None}
    if kept is not None and any(unit.row["item_id"] in found for unit in missing):
        kept.add(
            (unit, of, found[unit.row["item_id"]])
            for unit, of in zip(units, bands, strict=True)
            if unit.row["item_id"] in found
        )
    return list(found.values())


def _tell_if_nothing_is_dark(samples: Sequence[Sample]) -> None:
    """Log where a whole season looks as if no offset was subtracted: scenes then agree with each other.

    Bare or dry land is bright too, so that nothing is set aside for it.
    """
    seen = [one.bands[one.visible] for one in samples if one.visible is not None]
    dark = [one.dark for one in seen if one.encoding.offset >= 0]
    if len(dark) < LEAST_SCENES or min(dark) < DARK:
        return
    logger.warning(
        "In none of %d scenes of tile %s is clear land darker than %.2f in visible light. Unless it is bare "
        "all season, their offset was never subtracted: correct it in the catalog's items, or set "
        "imagery.offsets for these (-1000 in digital numbers).",
        len(dark), samples[0].tile, min(dark),
    )  # fmt: skip


def bands_read(unit: Unit, filled: Sequence[str] = ()) -> list[str]:
    """The bands in which an acquisition is looked at, the one that is compared with the dates around first;
    none where it is not."""
    held, sensor = assets_by_band(unit.row), unit.row["sensor"]
    usual, more = (VISIBLE, filled) if sensor == "s2" else (RADAR, ())
    read = {*bands_of(unit.options.features_of(sensor)), *more} & held.keys()
    compared = [band for band in usual if band in held][:1]
    unmasked = SCENE_CLASS not in held and unit.options.mask.without_classes == "set_aside"
    return [] if sensor == "s2" and unmasked else list(dict.fromkeys([*compared, *sorted(read)]))


def sample_unit(unit: Unit, filled: Sequence[str] = ()) -> Sample | None:
    """Read the sampled squares of one acquisition; None where it is not looked at, or a file cannot be
    read."""
    bands = bands_read(unit, filled)
    if not bands:
        return None
    try:
        scene = scene_of(unit.row, (FEATURES.get(bands[0], bands[0]),), (SCENE_CLASS, *bands))
        return Sample(unit.row["item_id"], unit.tile, _seen(unit, scene, bands))
    except CropcheckError:
        return None


def _seen(unit: Unit, scene: Scene, bands: Sequence[str]) -> dict[str, Seen]:
    """What each band shows of the parcels in the squares that hold most of them; without bands that show
    nothing.
    """
    first = scene.layers[bands[0]]
    parts: dict[str, list[_Part]] = {band: [] for band in bands}
    for square in squares_of(tile_coverage(unit.parcels, first.grid, unit.cache)):
        block = _on_finest(first, square)
        mask = read_clear_mask(scene, block, unit.options.mask) if SCENE_CLASS in scene.layers else None
        covered: dict[GeoBox, _Covered] = {}
        for band in bands:
            layer = scene.layers[band]
            if layer.grid not in covered:
                covered[layer.grid] = _covered(unit, layer, block, mask)
            parts[band].append(_part(layer, block, covered[layer.grid]))
    joined = {band: _joined(scene.layers[band].encoding, parts[band], band in VISIBLE) for band in bands}
    return {band: seen for band, seen in joined.items() if seen is not None}


@dataclass(frozen=True)
class _Covered:
    """A square on one grid: the parcels in it, and the weights of their pixels that the clear mask leaves."""

    window: Window
    weights: np.ndarray


@dataclass(frozen=True)
class _Part:
    """A band's parcels in one square, their means, and its clear pixels."""

    parcels: np.ndarray
    mean: np.ndarray
    pixels: np.ndarray


def _covered(unit: Unit, layer: Layer, block: Block, mask: ClearMask | None) -> _Covered:
    rows, columns = ((part.start, part.stop) for part in layer.own(block).slices)
    window = windows_of(unit.parcels, layer.grid, unit.cache, rows, columns)
    whole = window.coverage.weights
    return _Covered(window, whole if mask is None else clear_weights(mask, layer, block, window.coverage))


def _part(layer: Layer, block: Block, covered: _Covered) -> _Part:
    coverage = covered.window.coverage
    line = gathered(read_layer(layer, layer.own(block)), coverage)
    stored = ~layer.encoding.unknown(line)
    weights = np.where(stored, covered.weights, np.float32(0))
    line = layer.encoding.physical(line, reuse=True)
    moments = summarise_gathered(line, coverage.offsets, weights, ("mean",)).moments
    seen = sums(weights, coverage.offsets) >= LEAST_PIXELS
    return _Part(covered.window.present[seen], moments[seen, 1], line[weights > 0])


def _joined(encoding: Encoding, parts: Sequence[_Part], is_visible: bool) -> Seen | None:
    """All squares of a band; None where no parcel is seen."""
    owners = np.concatenate([np.zeros(0, np.int64), *(part.parcels for part in parts)])
    owners, first = np.unique(owners, return_index=True)  # a parcel cut by two squares counts once
    if not len(owners):
        return None
    values = np.concatenate([part.mean for part in parts])
    dark = np.nan
    if is_visible:
        shown = np.concatenate([part.pixels for part in parts])
        shown = shown[np.isfinite(shown)]
        dark = float(np.quantile(shown, 0.05)) if shown.size else np.nan
    return Seen(encoding, owners, values[first], dark)


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


def _impossible(sample: Sample) -> Said | None:
    """Why an acquisition's numbers cannot be, whatever others show."""
    for band, seen in sample.bands.items():
        told = told_outside(seen.mean, seen.encoding.unit, band)
        below = int((seen.mean < NEGATIVE).sum())
        if told is not None:
            return told
        if seen.is_reflectance and 2 * below >= len(seen.mean):
            said = f"{band} of {below} of {len(seen.mean)} clear parcels is below {NEGATIVE}; "
            return "offset_subtracted_twice", said + _cure(sample, seen, 0.0)
    return None


def _cure(sample: Sample, seen: Seen, offset: float) -> str:
    """The offset to configure, in the numbers that the file stores."""
    stored = offset / seen.encoding.scale
    still = "still carry" if offset else "no longer carry"
    return f"if its pixels {still} an offset, set imagery.offsets: {{{sample.item_id}: {stored:g}}}."


def _beside(samples: Sequence[Sample], band: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By acquisition, means of its parcels in a band and their medians on the dates around; of parcels that
    were seen on several of these.
    """
    held = [one for one in samples if band in one.bands]
    owners = np.unique(np.concatenate([np.zeros(0, np.int64), *(one.bands[band].parcels for one in held)]))
    values = np.full((len(held), len(owners)), np.nan)
    for row, one in enumerate(held):
        values[row, np.searchsorted(owners, one.bands[band].parcels)] = one.bands[band].mean
    found = {}
    for row, one in enumerate(held):
        near = values[[k for k in range(row - AROUND, row + AROUND + 1) if k != row and 0 <= k < len(held)]]
        told = np.isfinite(values[row]) & (np.isfinite(near).sum(axis=0) > 1)
        found[one.item_id] = values[row, told], _medians(near[:, told])
    return found


def _medians(values: np.ndarray) -> np.ndarray:
    """The median of what is known, one at least, in each column of `values (date, parcel)`."""
    ordered, known = np.sort(values, axis=0), (~np.isnan(values)).sum(axis=0)
    middle = (np.take_along_axis(ordered, at[None], axis=0)[0] for at in ((known - 1) // 2, known // 2))
    return np.asarray(sum(middle) / 2)


def _scaled(samples: Sequence[Sample]) -> dict[str, Said]:
    """Scenes of which all bands are ten times, or a tenth of, what the same parcels have on the dates around.

    Snow, smoke, water or a harvest change some bands alone.
    """
    bands = sorted({band for one in samples for band, seen in one.bands.items() if seen.is_reflectance})
    beside = {band: _beside(samples, band) for band in bands}
    found: dict[str, Said] = {}
    for one in samples:
        powers = {_power(*beside[band][one.item_id]) for band in bands if band in one.bands}
        if len(powers) == 1 and not {*one.bands} <= {*VISIBLE} and (power := powers.pop()) in TIMES:
            said = f"all bands are {TIMES[power]} what the same parcels have on the dates around: "
            cure = "the scale is not that of the file; correct it in the catalog's item."
            found[one.item_id] = "other_scale", said + cure
    return found


def _power(mean: np.ndarray, around: np.ndarray) -> int:
    """The power of ten by which nine in ten parcels differ from the dates around; 0 where they do not."""
    told = (mean > 0) & (around > 0)
    if told.sum() < LEAST_PARCELS or told.mean() < ALIKE:
        return 0
    powers = np.log10(mean[told] / around[told])
    return next((power for power in TIMES if (np.abs(powers - power) <= CLOSE_POWER).mean() >= ALIKE), 0)


def _shifted(samples: Sequence[Sample]) -> dict[str, Said]:
    """Scenes that lie an offset beside the same parcels' median on the dates around."""
    found: dict[str, Said] = {}
    for band in VISIBLE:
        alike = [one for one in samples if one.visible == band]
        beside = _beside(alike, band)
        for one in alike:
            mean, around = beside[one.item_id]
            said = _offset_between(one, one.bands[band], mean - around)
            if said is not None:
                found[one.item_id] = said
    return found


def _offset_between(sample: Sample, seen: Seen, differences: np.ndarray) -> Said | None:
    if len(differences) < LEAST_PARCELS:
        return None
    shift, subtracted = float(np.median(differences)), seen.encoding.offset < 0
    expected = -STEP if subtracted else STEP
    alike = float((np.abs(differences - expected) <= 1.5 * CLOSE).mean())
    if abs(shift - expected) > CLOSE or alike < ALIKE or (not subtracted and seen.dark < DARK):
        return None
    said = f"{len(differences)} clear parcels lie {shift:+.2f} beside their reflectance on the dates around; "
    if subtracted:
        return "offset_subtracted_twice", said + _cure(sample, seen, 0.0)
    return "offset_not_subtracted", said + _cure(sample, seen, BASELINE_OFFSET)
