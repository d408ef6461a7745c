"""The sheet of a parcel: one page to print, put in the file and show to the farmer."""

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
import polars as pl
from markupsafe import Markup

from features.files import write_text
from features.indices.formulas import sensor_of
from features.workers import Progress
from reports.embed import clean, render
from reports.evidence import numbers
from reports.options import PublishOptions
from reports.page import frame
from reports.run import RunTables
from reports.sheet import reasons
from reports.sheet.ahead import ahead_of
from reports.sheet.calendar import calendar_of, looks_around
from reports.sheet.composition import Composition, composition_of
from reports.sheet.pictures.pictures import Picture, read_pictures
from reports.sheet.season import KINDS, Season
from reports.translation import Text, translation

SCENES_LISTED = 6
WRITERS = 4

AROUND = 4  # looks before and after events that are shown beside the others


class Ranked(TypedDict):
    """One of the three most probable classes."""

    crop_class: str
    probability: float


class SheetRow(TypedDict):
    """One parcel of the follow-up list: its verdict, and what `RunTables.table` and `candidates` add."""

    parcel_id: str
    sheet: str
    declared: str | None
    crop_class: str | None
    predicted: str | None
    top3: list[Ranked] | None
    p_value: float | None
    q_value: float | None
    probability: float | None
    likely_right: float | None
    strength: str | None
    verdict: str
    reason: str
    area_ha: float | None
    n_observations: int | None
    filled_share: float | None
    full_pixels: int | None
    buffer_loss: float | None
    intervention: str | None
    region: str | None
    holding_id: str | None


@dataclass(frozen=True)
class Materials:
    """What all sheets of a run draw from, computed once."""

    run: RunTables
    options: PublishOptions
    text: Text
    season: Season
    weights: reasons.Weights
    pictures: Mapping[str, list[Picture]]


def write_sheets(
    run: RunTables, out: Path, options: PublishOptions, listed: pl.DataFrame, progress: Progress | None = None
) -> list[Path]:
    """Write `parcels/<id>.html` for every parcel of the follow-up list that has a `sheet` name.

    Parameters
    ----------
    listed
        The list of `reports.pages.follow_up.candidates`.
    """
    rows = cast(list[SheetRow], listed.filter(pl.col("sheet").is_not_null()).to_dicts())
    ids = [row["parcel_id"] for row in rows]
    run = run.of_parcels(ids)
    season, weights = Season(run).fetch(ids), reasons.weights_of(run, ids)
    around = {row["parcel_id"]: looks_around(run.rows_of("events", row["parcel_id"]), AROUND) for row in rows}
    wanted = {
        row["parcel_id"]: sorted(
            {
                *around[row["parcel_id"]],
                *_dates(row["parcel_id"], season, weights, options.picture_dates),
            }
        )
        for row in rows
    }
    pictures = read_pictures(run, wanted, options.picture_margin_m) if options.pictures else {}
    materials = Materials(
        run,
        options,
        translation(options.language),
        season,
        weights,
        pictures,
    )
    written: list[Path] = []
    waiting: deque[Future[Path]] = deque()
    with ThreadPoolExecutor(WRITERS) as pool:  # a disk takes its time to confirm each file
        for done, row in enumerate(rows):
            page = render("sheet.html.j2", [], context_of(row, materials))
            waiting.append(pool.submit(write_text, out / "parcels" / row["sheet"], page))
            if len(waiting) > WRITERS:
                written.append(waiting.popleft().result())
            if progress:
                progress(done + 1, len(rows))
        return [*written, *(each.result() for each in waiting)]


def _dates(parcel_id: str, season: Season, weights: reasons.Weights, count: int) -> list[date]:
    """Return the steps to show: those with the largest optical contributions, then others spread out."""
    heavy = (
        weight.day for weight in weights.of(parcel_id) if weight.day and sensor_of(weight.feature) == "s2"
    )
    chosen: list[date] = []
    for day in heavy:
        if len(chosen) >= count - 1:
            break
        if all(abs((day - other).days) >= 15 for other in chosen):
            chosen.append(day)
    days = season.days if season.series is not None else []
    far = sorted(
        _spread(days, count), key=lambda day: -min((abs((day - other).days) for other in chosen), default=0)
    )
    return sorted((chosen + [day for day in far if day not in chosen])[:count])


def _spread(days: list[date], count: int) -> list[date]:
    places = np.linspace(0.15, 0.85, count) * (len(days) - 1)
    return [days[round(place)] for place in places] if days else []


def context_of(row: SheetRow, materials: Materials) -> dict[str, object]:
    """Return what the sheet's template draws of one row of the list."""
    run, text, season = materials.run, materials.text, materials.season
    place = season.parcels.get(row["parcel_id"]) if season.series is not None else None
    declared = clean(run.crop(row["declared"])) or text("agency.absent")
    context = {
        **frame(run, materials.options, "", text, "../"),
        "row": row,
        "id": clean(row["parcel_id"]),
        "declared": declared,
        "predicted": _name(row["predicted"], materials),
        "top3": [
            (_name(top["crop_class"], materials), top["probability"], top["crop_class"] == row["crop_class"])
            for top in row["top3"] or []
        ],
        "p_sentence": p_sentence(row["p_value"], declared, text),
        "strength": row["strength"],
        "numbers": numbers({**row}, text),
        "charts": _charts(row, place, materials),
        "calendar": calendar_of(
            run.rows_of("events", row["parcel_id"]),
            run.rows_of("markers", row["parcel_id"]),
            season.days if season.series is not None else [],
            text,
            str(run.lineage.get("events_by", "")).startswith("rules"),
        ),
        "ahead": ahead_of(
            run.rows_of("forecast", row["parcel_id"]),
            run.rows_of("anomalies", row["parcel_id"]),
            season.seen_ndvi(place),
            text,
        ),
        "composition": _composition(row, materials),
        "ranges": _ranges(row, declared, materials),
        "pictures": materials.pictures.get(row["parcel_id"], []),
        "seen_word": lambda picture: _seen(picture, text),
        "advice": text.get(f"advice.{row['reason']}", text(f"advice.{row['verdict']}")),
        "reason": text.get(f"reason.{row['reason']}", clean(row["reason"])),
        "facts": _facts(row, materials),
        "scenes": _scenes(run, materials.pictures.get(row["parcel_id"], [])),
        "manifest": clean(run.lineage.get("manifest_sha256") or text("sheet.manifest_later")),
    }
    return {**context, **_weights(row, place, declared, materials)}


def _composition(row: SheetRow, materials: Materials) -> Composition | None:
    run = materials.run
    rows, findings, pixels = (
        run.rows_of(table, row["parcel_id"])
        for table in ("composition", "composition_findings", "composition_pixels")
    )
    name = partial(_name, materials=materials)
    return composition_of(rows, findings, pixels, row["crop_class"], name, materials.text)


def _name(crop_class: str | None, materials: Materials) -> str:
    """Return the name of a class that all pages use."""
    return clean(materials.run.class_name(crop_class)) or "–"


def p_sentence(p_value: float | None, crop: str, text: Text) -> str:
    """Return what the p-value means in one plain sentence.

    Examples
    --------
    >>> print(p_sentence(0.021, "maize", translation("en")))
    Of 1,000 parcels that really grow what was declared (maize), about 21 look at least as unusual.
    """
    if p_value is None or not np.isfinite(p_value):
        return text("sheet.p_none")
    if p_value < 0.0015:
        return text("sheet.p_rare", crop=crop)
    of, n = (1000, round(1000 * p_value)) if p_value < 0.05 else (100, round(100 * p_value))
    return text("sheet.p", of=text.number(of), n=text.number(n), crop=crop)


def _charts(row: SheetRow, place: int | None, materials: Materials) -> list[tuple[str, Markup | None]]:
    """Return (title, figure or None) for NDVI, VH and coherence."""
    text, season = materials.text, materials.season
    found = []
    for kind in KINDS:
        feature = season.feature_of(kind, place) if place is not None else None
        drawn = (
            season.chart(place, feature, row["crop_class"], row["predicted"], text)
            if feature and place is not None
            else None
        )
        orbit = feature.rsplit("_r", 1)[1].lstrip("0") if feature and "_r" in feature else None
        title = text(f"chart.{kind}") + (f", {text('chart.orbit', orbit=orbit)}" if orbit else "")
        found.append((title, drawn))
    return found


def _ranges(row: SheetRow, declared: str, materials: Materials) -> list[tuple[str, str, bool]]:
    """Return (kind, crop, whether it has a usual range) of the declared and the predicted class."""
    season = materials.season
    pairs = [
        ("declared", declared, row["crop_class"]),
        ("predicted", _name(row["predicted"], materials), row["predicted"]),
    ]
    pairs = pairs[:1] if row["predicted"] in (None, row["crop_class"]) else pairs
    if season.series is None:
        return []
    return [
        (kind, crop, any(season.range_of(name, f) is not None for f in season.features))
        for kind, crop, name in pairs
    ]


def _seen(picture: Picture, text: Text) -> str:
    """Return how much of the parcel the picture saw, and for which date it stands."""
    if picture.stands_for is not None:
        share = text.percent(picture.clear_share, 0)
        return text("sheet.seen_instead", share=share, day=text.day(picture.stands_for))
    if not np.isfinite(picture.clear_share):
        return text("sheet.seen_unknown")
    key = (
        "sheet.seen_clear"
        if picture.clear_share >= 0.9
        else "sheet.seen_part"
        if picture.clear_share >= 0.1
        else "sheet.seen_not"
    )
    return text(key, share=text.percent(picture.clear_share, 0))


def _facts(row: SheetRow, materials: Materials) -> list[tuple[str, str]]:
    text, options = materials.text, materials.options
    facts = [
        ("area", f"{text.number(row['area_ha'], 2)} ha"),
        ("region", clean(row["region"] or "–")),
        ("intervention", clean(row["intervention"] or "–")),
        ("observations", text.number(row["n_observations"])),
        ("filled_share", text.percent(row["filled_share"], 0)),
        ("pixels", text.number(row["full_pixels"])),
        ("lost", text.percent(row["buffer_loss"], 0)),
    ]
    if options.show_holdings:
        facts.insert(1, ("holding", clean(row["holding_id"] or "–")))
    return [(text(f"fact.{name}"), value) for name, value in facts]


def _weights(row: SheetRow, place: int | None, declared: str, materials: Materials) -> dict[str, object]:
    weights = list(islice(materials.weights.of(row["parcel_id"]), reasons.MOST))
    crop = reasons.Crop(row["crop_class"], declared)
    words = [reasons.in_words(weight, materials.season, place, crop, materials.text) for weight in weights]
    bars = reasons.bars(weights, materials.text)
    return {"weights": [(*word, bar) for word, bar in zip(words, bars, strict=True)]}


def _scenes(run: RunTables, pictures: list[Picture]) -> tuple[list[str], int]:
    """Return the scenes pictured and how many further ones the verdict rests on."""
    shown = [clean(picture.item_id) for picture in pictures][:SCENES_LISTED]
    return shown, max(0, len(run.acquisitions) - len(shown))
