"""Where each parcel of a large region is drawn: pages that find a parcel by the beginning of its number."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from features.files import write_text
from features.schema import VERDICTS_OF
from reports.embed import clean, embed_json, render
from reports.translation import Text

SCRIPTS = ["common.js", "find.js"]
BESIDE_ID = 12  # characters of a parcel on the page beside its number
PATTERN = "agency-find-*.html"


def elsewhere(inside: pl.DataFrame, parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return `id, v, part` of every parcel that a page has no outline of: its number, verdict and part of
    the map.
    """
    code = {verdict: number for number, verdict in enumerate(VERDICTS_OF)}
    tables = [
        part.join(inside.select("parcel_id"), on="parcel_id", how="anti", maintain_order="left").select(
            id=pl.col("parcel_id").map_elements(clean, return_dtype=pl.String),
            v=pl.col("verdict").replace_strict(code, return_dtype=pl.Int64),
            part=pl.lit(number, pl.Int64),
        )
        for number, part in enumerate(parts)
    ]
    return pl.concat(tables)


def write_finders(
    parcels: pl.DataFrame,
    files: Sequence[str],
    out: Path,
    context: Mapping[str, object],
    room: float,
    text: Text,
) -> list[tuple[Path, str]]:
    """Write `agency-find-NN.html`, each of a range of numbers; return them with the first number of each.

    Parameters
    ----------
    parcels
        As `elsewhere` gives them.
    files
        The parts of the map, in order.
    room
        Bytes of a page at most.
    """
    ordered = parcels.sort("id")
    each = ordered["id"].str.len_bytes().mean() or 0.0
    per_page = max(int(room / (float(each) + BESIDE_ID)), 1)  # type: ignore[arg-type]
    codes = [*VERDICTS_OF]
    found = []
    for number, page in enumerate(ordered.iter_slices(per_page), 1):
        data = {
            **page.to_dict(as_series=False),
            "files": list(files),
            "codes": codes,
            "verdicts": [text(f"verdict.{name}") for name in codes],
        }
        first, last = page["id"][0], page["id"][-1]
        path = out / f"agency-find-{number:02d}.html"
        values = {**context, "data": embed_json(data), "first": first, "last": last}
        found.append((write_text(path, render("agency_find.html.j2", SCRIPTS, values)), first))
    return found
