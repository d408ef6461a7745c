"""TimeSen2Crop: Austrian pixels, `<tile>/dates.csv` and `<tile>/<class>/<n>.csv`.

A sample's table has one row a date and ten columns: nine bands (called B1 to B9 in some files), then the
condition of the pixel: 0 clear, 1 cloud, 2 shadow, 3 snow. Numbers are reflectance times 10,000. A tile of a
later year has that year in its name (`2019_33UVP`).
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from features.errors import ConfigError
from models.crops.sets.readers.unpacked import another_version, lost, refuse, unlike
from models.crops.sets.sample import (
    BROKEN,
    MISSING,
    TOO_LARGE,
    About,
    Looks,
    Lost,
    Sample,
    Unit,
    reflectance,
)

ABOUT = About(
    title="TimeSen2Crop",
    version="1.0 (Zenodo 4715631)",
    licence="CC-BY-4.0",
    citation="Weikmann, G., Paris, C., Bruzzone, L. (2021). TimeSen2Crop: A Million Labeled Samples Dataset "
    "of Sentinel 2 Image Time Series for Crop-Type Classification. IEEE JSTARS 14. "
    "doi:10.1109/JSTARS.2021.3073965",
    where="https://zenodo.org/records/4715631",
    size="one zip, 1.2 million small files when unpacked",
)
HCAT: dict[str, str | None] = {
    "0": "3301020000",  # legumes
    "1": "3302000000",  # grassland
    "2": "3301010600",  # maize
    "3": "3301030000",  # potato
    "4": "3301060500",  # sunflower
    "5": "3301160000",  # soy
    "6": "3301010401",  # winter barley
    "7": "3301061211",  # winter caraway
    "8": "3301010300",  # rye
    "9": "3301060400",  # rapeseed
    "10": "3301290700",  # beet, in Austria nearly all of it sugar beet
    "11": "3301011502",  # spring cereals
    "12": "3301010101",  # winter wheat
    "13": "3301010801",  # winter triticale
    "14": "3303000000",  # permanent plantations
    "15": None,  # other crops
}
BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12")
CLEAR = 0


def units(folder: Path, most: int) -> list[Unit]:
    """Return one unit a sample, those of tiles without dates are lost; raises a ConfigError where no tile has
    dates.
    """
    tiles = sorted(path.parent for path in folder.rglob("dates.csv"))
    if not tiles:
        raise refuse(ABOUT.title, folder, "a file <tile>/dates.csv")
    found = []
    for tile in tiles:
        dates = _dates(tile / "dates.csv")
        for path in sorted(tile.glob("*/*.csv")):
            label = path.parent.name
            found.append(
                Unit(f"{tile.name}/{label}/{path.stem}", label, partial(_read, path, tile.name, dates, most))
            )
    undated = (place for place in folder.rglob("*/") if place.name in HCAT and place.parent not in tiles)
    files = sorted(path for place in undated for path in place.glob("*.csv"))
    return found + [lost(f"{path.parts[-3]}/{path.parts[-2]}/{path.stem}", MISSING) for path in files]


def _dates(path: Path) -> np.ndarray:
    """Dates of a tile: YYYYMMDD, one a line, with or without a heading."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except ValueError as error:
        raise unlike(ABOUT.title, path, error) from error
    lines = [line.strip().strip('"').split(",")[-1] for line in text.splitlines()]
    digits = [line.replace("-", "") for line in lines if line[:1].isdigit()]
    try:
        return np.array([f"{d[:4]}-{d[4:6]}-{d[6:8]}" for d in digits], dtype="datetime64[D]")
    except ValueError as error:
        raise ConfigError(f"train.transfer.sets: {path} holds no dates as YYYYMMDD ({error}).") from error


def _read(path: Path, tile: str, dates: np.ndarray, most: int) -> Sequence[Sample | Lost]:
    name = f"{tile}/{path.parent.name}/{path.stem}"
    try:
        if path.stat().st_size > most:  # a value takes a byte at least
            return [Lost(name, TOO_LARGE)]
        table = np.genfromtxt(path, delimiter=",", skip_header=1, ndmin=2)
    except (OSError, ValueError):
        return [Lost(name, BROKEN)]
    if not table.size:
        return [Lost(name, BROKEN)]
    if table.shape[1] != len(BANDS) + 1:
        known = f"{len(BANDS)} bands and a condition"
        raise another_version(ABOUT.title, path, f"{table.shape[1]} columns", known)
    if len(table) != len(dates) or not np.isfinite(table).all():
        return [Lost(name, BROKEN)]
    values = reflectance(table[:, :-1], table[:, -1] != CLEAR)
    year = int(str(dates.max())[:4])  # there are as many dates as rows
    place = tile.rsplit("_", maxsplit=1)[-1]  # a tile of two years is one place
    return [Sample(name, path.parent.name, place, year, (Looks(dates, BANDS, values),))]
