"""Figures as inline SVG, drawn by hand: deterministic bytes, no formula parsing, a millisecond each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from markupsafe import Markup, escape

SEQUENTIAL = (
    "#eef4f1",
    "#d6e8e0",
    "#b3d6c9",
    "#86bfad",
    "#57a58e",
    "#2f8871",
    "#176b57",
    "#0e4f40",
    "#08352b",
)

Place = TypeVar("Place", float, np.ndarray)
LETTER_PX = 6.0  # width of a letter of a tick, of 10.5 px, on average over long labels
ERROR_SHADES = ("#f7f4ef", "#f6ddcf", "#efc1a8", "#e59f7b", "#d8794c", "#b95323", "#9a3d12", "#7c2c08")


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers from `low` to `high`, about `count` of them.

    Examples
    --------
    >>> nice_ticks(0, 1), nice_ticks(-23, -9, 3)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [-20.0, -15.0, -10.0])
    """
    if not high > low:
        return [low]
    rough = (high - low) / max(1, count)
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(min((power * k for k in (1, 2, 2.5, 5, 10)), key=lambda s: abs(s - rough)))
    first = np.ceil(low / step - 1e-9)
    return [round(float(k * step), 10) + 0.0 for k in np.arange(first, high / step + 1e-9)]


def short(value: float) -> str:
    """Return a tick's label without needless zeros; the minus is a real one."""
    return f"{value:.10g}".replace("-", "−")


@dataclass
class Plot:
    """A plot area with linear axes; methods add to it, `markup` gives the figure.

    Parameters
    ----------
    x, y
        Lowest and highest value of each axis.
    title
        What a screen reader says of it.
    """

    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]
    title: str
    left: float = 38
    right: float = 8
    top: float = 8
    bottom: float = 22
    parts: list[str] = field(default_factory=list)

    def px(self, value: Place) -> Place:
        """Return the horizontal place of a value, or of each of an array."""
        span = (self.x[1] - self.x[0]) or 1.0
        return self.left + (value - self.x[0]) / span * (self.width - self.left - self.right)

    def py(self, value: Place) -> Place:
        """Return the vertical place of a value, or of each of an array."""
        span = (self.y[1] - self.y[0]) or 1.0
        return self.height - self.bottom - (value - self.y[0]) / span * (self.height - self.top - self.bottom)

    def axis_x(self, ticks: Iterable[tuple[float, str]], label: str = "", grid: bool = False) -> "Plot":
        """Draw the lower axis."""
        base = self.height - self.bottom
        self.parts.append(
            f'<path class="axis" d="M{_n(self.left)} {_n(base)}H{_n(self.width - self.right)}"/>'
        )
        for value, text in ticks:
            at = self.px(value)
            rise = f"V{_n(self.top)}" if grid else "v4"
            self.parts.append(f'<path class="{"grid" if grid else "axis"}" d="M{_n(at)} {_n(base)}{rise}"/>')
            self.text(at, base + 13, text, "tick mid")
        if label:
            self.text((self.left + self.width - self.right) / 2, self.height - 2, label, "tick mid")
        return self

    def axis_y(self, ticks: Iterable[tuple[float, str]], label: str = "") -> "Plot":
        """Draw the left axis with hairlines across."""
        for value, text in ticks:
            at = self.py(value)
            self.parts.append(
                f'<path class="grid" d="M{_n(self.left)} {_n(at)}H{_n(self.width - self.right)}"/>'
            )
            self.text(self.left - 5, at + 3.5, text, "tick end")
        if label:
            self.text(2, self.top - 11, label, "tick")
        return self

    def line(self, xs: Sequence[float], ys: Sequence[float], style: str) -> "Plot":
        """Draw a line through the known points, broken where a value is unknown."""
        self.parts.append(f'<path class="{style}" fill="none" d="{self._path(xs, ys)}"/>')
        return self

    def band(self, xs: Sequence[float], low: Sequence[float], high: Sequence[float], style: str) -> "Plot":
        """Draw the area between two lines."""
        at, lower, upper = (np.asarray(values, float) for values in (xs, low, high))
        known = np.isfinite(lower) & np.isfinite(upper)
        if known.sum() > 1:
            around = (at[known], at[known][::-1]), (upper[known], lower[known][::-1])
            corners = self._points(*(np.concatenate(half) for half in around))
            self.parts.append(f'<path class="{style}" d="M{"L".join(corners)}z"/>')
        return self

    def dots(self, xs: Iterable[float], ys: Iterable[float], style: str, radius: float = 2.4) -> "Plot":
        """Draw a circle at every known point."""
        at, height = (np.asarray(list(values), float) for values in (xs, ys))
        known = np.isfinite(height)
        begin, end = f'<circle class="{style}"', f'r="{_n(radius)}"/>'
        for x, y in zip(_numbers(self.px(at[known])), _numbers(self.py(height[known])), strict=True):
            self.parts.append(f'{begin} cx="{x}" cy="{y}" {end}')
        return self

    def whisker(self, x: float, low: float, high: float, style: str = "whisker") -> "Plot":
        """Draw an upright interval."""
        self.parts.append(
            f'<path class="{style}" d="M{_n(self.px(x))} {_n(self.py(low))}V{_n(self.py(high))}"/>'
        )
        return self

    def across(self, y: float, low: float, high: float, style: str = "whisker") -> "Plot":
        """Draw a lying interval at the height of `y`."""
        self.parts.append(
            f'<path class="{style}" d="M{_n(self.px(low))} {_n(self.py(y))}H{_n(self.px(high))}"/>'
        )
        return self

    def box(self, x0: float, x1: float, y0: float, y1: float, style: str) -> "Plot":
        """Draw a rectangle between two values of each axis."""
        left, right = sorted((self.px(x0), self.px(x1)))
        upper, lower = sorted((self.py(y0), self.py(y1)))
        size = f'width="{_n(right - left)}" height="{_n(lower - upper)}"'
        self.parts.append(f'<rect class="{style}" x="{_n(left)}" y="{_n(upper)}" {size}/>')
        return self

    def text(self, px: float, py: float, text: str, style: str = "tick") -> "Plot":
        """Write text at a place of the figure, escaped."""
        self.parts.append(f'<text class="{style}" x="{_n(px)}" y="{_n(py)}">{escape(text)}</text>')
        return self

    def markup(self) -> Markup:
        """Return the figure."""
        return figure(self.width, self.height, self.title, self.parts)

    def _path(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        at, height = np.asarray(xs, float), np.asarray(ys, float)
        known = np.isfinite(height)
        begins = known & ~np.concatenate([[False], known[:-1]])
        points = self._points(at[known], height[known])
        pens = np.where(begins[known], "M", "L").tolist()
        return "".join([pen + point for pen, point in zip(pens, points, strict=True)])

    def _points(self, xs: np.ndarray, ys: np.ndarray) -> list[str]:
        """Return points as they stand in a path."""
        return [f"{x} {y}" for x, y in zip(_numbers(self.px(xs)), _numbers(self.py(ys)), strict=True)]


def figure(width: float, height: float, title: str, parts: Iterable[str]) -> Markup:
    """Return an SVG element around drawn parts, which the caller has escaped."""
    head = f'<svg viewBox="0 0 {_n(width)} {_n(height)}" role="img" aria-label="{escape(title)}">'
    return Markup(head + "".join(parts) + "</svg>")


def heat_map(
    rows: Sequence[str], columns: Sequence[str], values: np.ndarray, title: str, cell: float = 13
) -> Markup:
    """Return a heat map; a missing value stays blank. Cells of one shade are one path, which keeps it small.

    Parameters
    ----------
    values
        (rows, columns), not negative; shades run from 0 to the largest.
    columns
        Labels; an empty one is not written.
    """
    left, top = max(178.0, max(map(len, rows), default=0) * LETTER_PX + 12), 20.0
    most = float(np.nanmax(values)) if np.isfinite(values).any() else 0.0
    level = np.zeros(values.shape, int)
    if most > 0:
        level = np.clip((np.nan_to_num(values) / most * len(SEQUENTIAL)).astype(int), 0, len(SEQUENTIAL) - 1)
    wide, high = (16.0, cell)
    parts = []
    for shade, colour in enumerate(SEQUENTIAL):
        places = np.argwhere((level == shade) & np.isfinite(values))
        path = "".join(
            f"M{_n(left + c * wide)} {_n(top + r * high)}h{_n(wide - 1)}v{_n(high - 1)}h-{_n(wide - 1)}z"
            for r, c in places
        )
        if path:
            parts.append(f'<path fill="{colour}" d="{path}"/>')
    for r, name in enumerate(rows):
        parts.append(
            f'<text class="tick end" x="{left - 6}" y="{_n(top + r * high + 10)}">{escape(name)}</text>'
        )
    for c, name in enumerate(columns):
        if name:
            parts.append(f'<text class="tick" x="{_n(left + c * wide)}" y="{top - 7}">{escape(name)}</text>')
    return figure(left + len(columns) * wide + 8, top + len(rows) * high + 4, title, parts)


def _n(value: float) -> str:
    """Write a coordinate with one decimal at most."""
    return f"{value:.1f}".rstrip("0").rstrip(".") if value else "0"


def _numbers(values: np.ndarray) -> list[str]:
    """Write many coordinates as `_n` does, in one call."""
    written = "%.1f\n" * len(values) % tuple((values + 0.0).tolist())  # no minus before zero
    return written.replace(".0\n", "\n").split("\n")[:-1]
