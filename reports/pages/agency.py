"""The officer's page: counts of verdicts, a map, and the parcels to follow up."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import geopandas as gpd
import polars as pl

from features.files import write_text
from features.schema import MARKER_STATES, VERDICTS_OF
from reports.embed import clean, embed_json, render, rounded
from reports.evidence import STRENGTHS
from reports.maps import encode_outlines, tiles
from reports.options import PublishOptions
from reports.page import frame
from reports.pages.finders import elsewhere, write_finders
from reports.pages.follow_up import recommended, turn_out
from reports.pages.sections.quality import quality_of
from reports.pages.sections.requirements import requirements_of
from reports.pages.sections.summary import Row, group, split
from reports.run import RunTables
from reports.translation import Text, translation

DIRECTIONS = ("below", "above")  # sides on which a parcel leaves its forecast
EXPORTS = (
    "verdicts.gpkg",
    "verdicts.csv",
    "quality_sample.csv",
    "exports/verdicts.geoparquet",
    "exports/fields_fiboa.parquet",
    "exports/gsa_population.gpkg",
    "exports/gsa_ua_claimed.csv",
    "exports/quality_sample.csv",
)
SAMPLED = 5000
MOST_ELSEWHERE = 20_000  # parcels that are on no list but whose numbers a page holds, so that it finds them
SCRIPTS = ["common.js", "map.js", "agency.js"]


def write_agency(run: RunTables, out: Path, options: PublishOptions, listed: pl.DataFrame) -> list[Path]:
    """Write `agency.html`, and its map's parts where one file would grow beyond its limit.

    Parameters
    ----------
    listed
        The follow-up list of `reports.pages.follow_up.candidates`.
    """
    text = translation(options.language)
    table = run.table.join(listed.select("parcel_id", "sheet"), on="parcel_id", how="left").sort("parcel_id")
    rate, context = _rate(run, options), _context(run, out, options, text, listed)
    room, each = options.page_limit_mb * 1e6 * 0.9, _bytes_a_parcel(run, table, options, text)
    parts = math.ceil(each * len(table) / room)
    if parts <= 1:
        return [_write(out / "agency.html", context, {**_data(run, table, options, text), "rate": rate})]
    chosen = listed.filter("listed")
    first = chosen.head(max(int(room / each), 1))
    inside = table.filter(pl.col("parcel_id").is_in(first["parcel_id"].implode()))
    shares = _parts(run, table, parts)
    written = []
    for number, part in enumerate(shares):
        part_data = {**_data(run, part, options, text), "rate": rate}
        written.append(_write_part(out / part_name(number), part_data, number, len(shares), context))
    data = {
        **_data(run, inside, options, text),
        "rate": rate,
        "parts": _frames(run, shares, chosen),
    }
    rest = elsewhere(inside, shares)
    if len(rest) <= MOST_ELSEWHERE:
        data["elsewhere"] = {
            "id": rest["id"].to_list(),
            "v": rest["v"].to_list(),
            "part": rest["part"].to_list(),
        }
    else:
        found = write_finders(rest, [part_name(k) for k in range(len(shares))], out, context, room, text)
        data["finders"] = [{"file": path.name, "first": name} for path, name in found]
        written += [path for path, _ in found]
    cut = {"shown": len(first), "total": len(chosen)} if len(first) < len(chosen) else None
    return [_write(out / "agency.html", {**context, "cut": cut}, data), *written]


def _bytes_a_parcel(run: RunTables, table: pl.DataFrame, options: PublishOptions, text: Text) -> float:
    """Return how much of a page a parcel takes, from SAMPLED of them; neighbours take less."""
    if table.is_empty():
        return 0.0
    sample = table.gather_every(max(1, len(table) // SAMPLED))
    return len(embed_json(_data(run, sample, options, text))) / len(sample)


def part_name(number: int) -> str:
    """Return the file name of a part of the map, counted from 0."""
    return f"agency-map-{number + 1:02d}.html"


def _write(path: Path, context: Mapping[str, object], data: Mapping[str, object]) -> Path:
    return write_text(
        path,
        render(
            "agency.html.j2", SCRIPTS, {**context, "data": embed_json(data), "parts": data.get("parts", [])}
        ),
    )


def _write_part(
    path: Path, data: Mapping[str, object], number: int, of: int, context: Mapping[str, object]
) -> Path:
    names = [part_name(k) for k in range(of)]
    values = {**context, "data": embed_json(data), "number": number + 1, "of": of, "names": names}
    return write_text(path, render("agency_part.html.j2", SCRIPTS, values))


def _parts(run: RunTables, table: pl.DataFrame, count: int) -> list[pl.DataFrame]:
    labels = tiles(_geometry(run, table), count)
    return [table.filter(pl.Series(labels == label)) for label in range(labels.max() + 1)]


def _frames(run: RunTables, parts: list[pl.DataFrame], chosen: pl.DataFrame) -> list[dict[str, object]]:
    """Return name, bounds and counts of every part: parcels, those on the list, and by verdict."""
    names = chosen["parcel_id"].implode()
    return [
        {
            "file": part_name(k),
            "box": [rounded(v, 1) for v in _geometry(run, part).total_bounds],
            "parcels": len(part),
            "listed": int(part["parcel_id"].is_in(names).sum()),
            "verdicts": dict(part["verdict"].value_counts().sort("verdict").iter_rows()),
        }
        for k, part in enumerate(parts)
    ]


def _geometry(run: RunTables, table: pl.DataFrame) -> gpd.GeoSeries:
    return run.shapes_of(table["parcel_id"])


def _context(
    run: RunTables, out: Path, options: PublishOptions, text: Text, listed: pl.DataFrame
) -> dict[str, object]:
    table, absent = run.table, text("agency.absent")
    groups = {
        "reason": ("r", group(table, "reason", lambda code: text.get(f"reason.{code}", clean(code)), absent)),
        "crop": ("c", group(table, "declared", lambda code: clean(run.crop(code)), absent)),
        "intervention": ("i", group(table, "intervention", clean, absent)),
        "region": ("g", group(table, "region", clean, absent)),
    }
    return {
        **frame(run, options, "agency.html", text),
        "total": split(table),
        "turn_out": turn_out(run, quality_of(run)),
        "recommended": recommended(run.table, options.list_rate),
        "groups": groups,
        "requirements": requirements_of(run, listed, text),
        "marker_states": MARKER_STATES,
        "asked_rate": options.list_rate,
        "anomalies": run.anomalies is not None and not run.anomalies.is_empty(),
        "rate_limit": options.list_rate_limit,
        "sample": _sample(run),
        "assessment": [] if run.assessment is None else run.assessment.to_dicts(),
        "exports": _exports(run, out, text),
        "parts": [],
        "cut": None,
    }


def _exports(run: RunTables, out: Path, text: Text) -> list[dict[str, str]]:
    """Return the files beside the reports for the officer: those of the lineage, else those found."""
    named = run.lineage.get("exports")
    if named is not None:
        return [{key: clean(value) for key, value in export.items()} for export in named]
    files = [(path, path.rsplit("/", 1)[-1].replace(".", "_")) for path in EXPORTS]
    return [
        {"path": path, "title": text(f"file.{key}")} for path, key in files if (out.parent / path).is_file()
    ]


def _sample(run: RunTables) -> list[Row]:
    """Return the quality sample by stratum."""
    if run.quality_sample is None or not len(run.quality_sample):
        return []
    strata = run.quality_sample.select("parcel_id", "stratum")
    return group(run.table.join(strata, on="parcel_id", how="inner"), "stratum", clean, "–")


def _codes(values: Iterable[str | None], names: list[str]) -> list[int]:
    """Return each value's place in `names`, which grows; -1 for a missing value."""
    places = {name: k for k, name in enumerate(names)}
    found = []
    for value in values:
        if value is not None and value not in places:
            places[value] = len(names)
            names.append(value)
        found.append(-1 if value is None else places[value])
    return found


def _data(run: RunTables, table: pl.DataFrame, options: PublishOptions, text: Text) -> dict[str, object]:
    """Return what the map and the list need of `table`'s parcels, as columns."""
    names: dict[str, list[str]] = {
        "v": [*VERDICTS_OF],
        "s": [*STRENGTHS],
        "n": [*DIRECTIONS],
        **{key: [] for key in "rcpgi"},
    }
    outlines = encode_outlines(_geometry(run, table), options.map_tolerance_m)
    columns: dict[str, Sequence[object]] = {
        "id": [clean(value) for value in table["parcel_id"]],
        "v": _codes(table["verdict"], names["v"]),
        "r": _codes(table["reason"], names["r"]),
        "c": _codes(table["declared"], names["c"]),
        "p": _codes(table["predicted"], names["p"]),
        "g": _codes(table["region"], names["g"]),
        "i": _codes(table["intervention"], names["i"]),
        "s": _codes(table["strength"], names["s"]),
        "n": _codes(_anomalies(run, table), names["n"]),
        "f": _scaled(table["probability"], 10_000),
        "q": _scaled(table["q_value"], 100_000),
        "o": _scaled(table["likely_right"], 10_000),
        "a": _scaled(table["area_ha"], 100),
    }
    if options.show_holdings:
        columns["h"] = [None if value is None else clean(value) for value in table["holding_id"]]
    return {
        "names": {
            "v": names["v"],
            "verdict": [text(f"verdict.{name}") for name in names["v"]],
            "r": [text.get(f"reason.{name}", clean(name)) for name in names["r"]],
            "c": [clean(run.crop(name)) for name in names["c"]],
            "p": [clean(run.class_name(name)) for name in names["p"]],
            "g": [clean(name) for name in names["g"]],
            "i": [clean(name) for name in names["i"]],
            "s": [text(f"evidence.{name}") for name in names["s"]],
            "n": [text(f"anomaly.{name}") for name in names["n"]],
        },
        "codes": {key: [clean(name) for name in names[key]] for key in "vrcigsn"},
        "grid": [outlines.x, outlines.y, outlines.step],
        "outlines": outlines.code,
        "parcels": columns,
        "sheets": {str(k): name for k, name in enumerate(table["sheet"]) if name is not None},
    }


def _anomalies(run: RunTables, table: pl.DataFrame) -> list[str | None]:
    """Return on which side each parcel left its forecast; None where it did not."""
    if run.anomalies is None:
        return [None] * table.height
    sides = dict(run.anomalies.select("parcel_id", "direction").iter_rows())
    return [sides.get(name) for name in table["parcel_id"]]


def _scaled(values: pl.Series, factor: int) -> list[int]:
    """Return values times `factor` as whole numbers, -1 where unknown (never shown so)."""
    return [-1 if value is None or math.isnan(value) else round(value * factor) for value in values.to_list()]


def _rate(run: RunTables, options: PublishOptions) -> float | None:
    """Return the rate of the recommended list, None where nothing is recommended."""
    rate = recommended(run.table, options.list_rate).rate
    return rounded(rate, 5) if rate is not None else None
