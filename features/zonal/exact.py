"""exactextract asked for one thing: which cells of a grid polygons cover, and how much of each.

Shapes go in as WKB and arrays come out as they are: through its GeoJSON dictionaries, as its own readers and
writers work, most of the time is spent on text.
"""

from collections.abc import Iterator

import numpy as np
import shapely
from exactextract import exact_extract
from exactextract.feature import Feature, FeatureSource
from exactextract.raster import NumPyRasterSource
from exactextract.writer import Writer


class _Shape(Feature):  # type: ignore[misc]
    def __init__(self, wkb: bytes) -> None:
        super().__init__()
        self.wkb = wkb

    def geometry(self) -> bytes:
        return self.wkb

    def fields(self) -> list[str]:
        return []


class _Shapes(FeatureSource):  # type: ignore[misc]
    def __init__(self, wkbs: list[bytes]) -> None:
        super().__init__()
        self.wkbs = wkbs

    def count(self) -> int:
        return len(self.wkbs)

    def __iter__(self) -> Iterator[_Shape]:
        return map(_Shape, self.wkbs)

    def srs_wkt(self) -> None:
        return None


class _Row(Feature):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, np.ndarray] = {}

    def set(self, name: str, value: np.ndarray) -> None:
        self.found[name] = value

    def set_geometry(self, _: object) -> None:
        pass

    def set_geometry_format(self) -> str:
        return "wkb"

    def fields(self) -> list[str]:
        return []


class _Rows(Writer):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[np.ndarray, np.ndarray]] = []

    def add_operation(self, _: object) -> None:
        pass

    def write(self, feature: Feature) -> None:
        row = _Row()
        feature.copy_to(row)
        self.rows.append((row.found["cell_id"], row.found["coverage"]))

    def features(self) -> list[tuple[np.ndarray, np.ndarray]]:
        return self.rows


def covered_cells(
    shapes: np.ndarray, shape: tuple[int, int], bounds: tuple[float, float, float, float]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cells (row * width + column) and the fraction covered of each, for every shape, in order.

    Parameters
    ----------
    shapes
        Polygons, none empty; object (n,).
    shape, bounds
        Height and width of the grid, and its left, bottom, right and top.
    """
    blank = np.broadcast_to(np.zeros(1, np.uint8), shape)  # takes no memory: only the grid matters
    found = exact_extract(
        NumPyRasterSource(blank, *bounds),
        _Shapes(shapely.to_wkb(shapes).tolist()),
        ["cell_id", "coverage"],
        output=_Rows(),
    )
    return list(found)
