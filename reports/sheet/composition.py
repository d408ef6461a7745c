"""What grows where inside a parcel, by its pixels: hectares of each crop, and a picture of several."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from features.schema import Row
from reports.translation import Text

STYLES = ("bar-declared", "bar-predicted", "rail")  # of the declared crop, the largest other one, the rest
SIDE = 180.0  # of the picture


@dataclass(frozen=True)
class Composition:
    """The rows (crop, style, hectares, share, clusters), a sentence on the hectares, and the picture."""

    rows: list[tuple[str, str, str, str, str]]
    note: str
    figure: Markup | None


def composition_of(
    rows: Sequence[Row],
    findings: Sequence[Row],
    pixels: Sequence[Row],
    declared: str | None,
    name: Callable[[str | None], str],
    text: Text,
) -> Composition | None:
    """Return what a parcel's sheet shows of its composition; None where pixels were not looked at.

    Parameters
    ----------
    rows, findings, pixels
        The parcel's rows of `composition.parquet`, `composition_findings.parquet` and
        `composition_pixels.parquet`.
    declared
        The declared class.
    name
        Gives the name to print of a class.
    """
    if not rows or not findings or findings[0]["reason"] is not None:
        return None
    others = [row["crop_class"] for row in rows if row["crop_class"] != declared]
    style = {declared: STYLES[0]} | {other: STYLES[min(k, 1) + 1] for k, other in enumerate(others)}
    listed = [
        (
            name(row["crop_class"]),
            style[row["crop_class"]],
            text.number(row["area_ha"], 2),
            text.percent(row["share"], 0),
            text.number(row["clusters"]),
        )
        for row in rows
    ]
    return Composition(listed, _note(findings[0], text), _picture(pixels, style, text) if pixels else None)


def _note(finding: Row, text: Text) -> str:
    found, low, high = (finding[key] for key in ("not_declared_ha", "low_ha", "high_ha"))
    if found is None:
        return ""
    if low is None or high is None:
        return text("composition.not_declared", ha=text.number(found, 2))
    between = {"low": text.number(low, 2), "high": text.number(high, 2)}
    return text("composition.not_declared_between", ha=text.number(found, 2), **between)


def _picture(pixels: Sequence[Row], style: dict[str | None, str], text: Text) -> Markup:
    size = float(pixels[0]["pixel_m"])
    x, y = (np.array([pixel[axis] for pixel in pixels]) for axis in ("x", "y"))
    column, row = np.rint((x - x.min()) / size).astype(int), np.rint((y.max() - y) / size).astype(int)
    width, height = int(column.max()) + 1, int(row.max()) + 1
    paths: dict[str, list[str]] = {}
    for across, down, pixel in zip(column, row, pixels, strict=True):
        kind = style.get(pixel["crop_class"], STYLES[2]) if pixel["crop_class"] else STYLES[2]
        paths.setdefault(kind, []).append(f"M{across} {down}h1v1h-1z")
    drawn = "".join(f'<path class="{kind}" d="{"".join(parts)}"/>' for kind, parts in sorted(paths.items()))
    scale = SIDE / max(width, height)
    label = escape(text("composition.picture"))
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" width="{width * scale:.0f}" height="{height * scale:.0f}" '
        f'role="img" aria-label="{label}">{drawn}</svg>'
    )  # numbers, and names of our own styles
