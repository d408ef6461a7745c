"""What the ground of each parcel was declared as in earlier years, joined by overlap."""

from collections.abc import Callable, Sequence

import geopandas as gpd
import numpy as np
import polars as pl
import shapely

from features.context.options import HistoryOptions, check_earlier
from features.declarations.vector_file import Request, read_vector
from features.errors import ConfigError

PREFIX = "history_"
LEAST_KNOWN = 0.5  # share of a parcel that an earlier file must cover, else nothing is known of that year
AT_A_TIME = 20_000  # parcels whose overlaps are held at a time


def parcel_history(
    declarations: gpd.GeoDataFrame,
    sources: Sequence[HistoryOptions],
    season: int,
    class_of: Callable[[str], str | None],
    code: str,
) -> pl.DataFrame:
    """Return `parcel_id` and `history_<years back>_<class>`: the share of each parcel declared as a class.

    Shares are of the ground that the earlier file covers with a known class; null where that is less than
    half of the parcel.

    Parameters
    ----------
    class_of
        Gives the class of a national code, by this run's crop tables; None where they know none.
    code
        Column of crop codes, for sources that name none.

    Raises
    ------
    ConfigError
        Where a file is of no earlier year, lacks the column, holds no known code, or covers no parcel.
    """
    columns: dict[str, np.ndarray] = {}
    for source in sources:
        check_earlier(source, season)
        columns |= _of_year(declarations, source, season - source.year, class_of, source.code or code)
    ids = declarations["parcel_id"].astype(str).to_list()
    return pl.DataFrame({"parcel_id": ids, **columns}).with_columns(pl.exclude("parcel_id").fill_nan(None))


def _of_year(
    declarations: gpd.GeoDataFrame,
    source: HistoryOptions,
    back: int,
    class_of: Callable[[str], str | None],
    code: str,
) -> dict[str, np.ndarray]:
    before = read_vector(str(source.path), Request((code,), layer=source.layer))
    if before.crs is None:
        raise ConfigError(f"history: {source.path} names no coordinate system; write one into the file.")
    classes = np.array([class_of(str(one)) or "" for one in before[code]], object)
    known = (classes != "") & ~before.geometry.is_empty.to_numpy() & before.geometry.notna().to_numpy()
    if not known.any():
        raise ConfigError(
            f"history: {source.path} holds no code of this run's crop tables in {code!r}; name its column as "
            "history.code, or add its codes to declarations.crops.tables."
        )
    shapes = shapely.make_valid(before.geometry[known].to_crs(declarations.crs).to_numpy())
    names, number = np.unique(classes[known].astype(str), return_inverse=True)
    area = _overlaps(declarations.geometry.to_numpy(), shapes, number, len(names))
    whole = shapely.area(declarations.geometry.to_numpy())
    covered = area.sum(axis=1)
    if not (covered > 0).any():
        raise ConfigError(f"history: {source.path} covers no declared parcel; check where it lies.")
    enough = covered >= LEAST_KNOWN * np.maximum(whole, 1e-9)
    share = np.divide(area, covered[:, None], out=np.full(area.shape, np.nan), where=enough[:, None])
    return {f"{PREFIX}{back}_{name}": share[:, k] for k, name in enumerate(names)}


def _overlaps(parcels: np.ndarray, shapes: np.ndarray, number: np.ndarray, classes: int) -> np.ndarray:
    """Return `(parcel, class)`: the area of each parcel that shapes of a class cover, in square metres."""
    tree, area = shapely.STRtree(shapes), np.zeros((len(parcels), classes))
    for start in range(0, len(parcels), AT_A_TIME):
        some = parcels[start : start + AT_A_TIME]
        mine, theirs = tree.query(some, predicate="intersects")
        both = shapely.area(shapely.intersection(some[mine], shapes[theirs]))
        np.add.at(area, (start + mine, number[theirs]), both)
    return area


def likeliest_before(history: pl.DataFrame, back: int = 1) -> pl.Series:
    """Return `(parcel,)`: the class that most of a parcel was declared as so many years before; null where
    nothing is known."""
    start = f"{PREFIX}{back}_"
    names = [name for name in history.columns if name.startswith(start)]
    if not names:
        return pl.Series([None] * len(history), dtype=pl.String)
    values = history.select(pl.col(names).fill_null(-1.0)).to_numpy()
    best = values.argmax(axis=1)
    return pl.Series(
        [names[k].removeprefix(start) if values[row, k] > 0 else None for row, k in enumerate(best)],
        dtype=pl.String,
    )
