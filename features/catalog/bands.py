"""Which of our bands a catalog's asset is: the names that public catalogs give to the same measurement."""

import re
from collections.abc import Mapping
from typing import Any

from features.schema import ATMOSPHERE_BANDS, OPTICAL_BANDS, RADAR_BANDS, SCENE_CLASS

OF_PARCELS = (*OPTICAL_BANDS, SCENE_CLASS, *RADAR_BANDS)
BANDS = (*OF_PARCELS, *ATMOSPHERE_BANDS)
# Asset keys of the bands that are read of level 1C only.
OF_LEVEL_1C: dict[str, str] = {
    **{band.lower(): band for band in ATMOSPHERE_BANDS},
    **{"b1": "B01", "b9": "B09", "coastal": "B01", "nir09": "B09", "cirrus": "B10"},
}

# Asset keys in lower case. Earth Search names bands by colour (`nir` is B08, `nir08` is B8A), Planetary
# Computer by number, CDSE by number and resolution (`B04_10m`), older catalogs without the leading zero.
ALIASES: dict[str, str] = {
    **{band.lower(): band for band in OF_PARCELS},
    **{band.lower().replace("0", "", 1): band for band in OPTICAL_BANDS if band.startswith("B0")},
    "blue": "B02",
    "green": "B03",
    "red": "B04",
    "rededge1": "B05",
    "rededge2": "B06",
    "rededge3": "B07",
    "nir": "B08",
    "nir08": "B8A",
    "swir16": "B11",
    "swir22": "B12",
    "scene_classification": SCENE_CLASS,
    **{
        f"{quantity}_{band}{unit}": band  # as SNAP and pyroSAR name them
        for quantity in ("sigma0", "gamma0")
        for band in ("vv", "vh")
        for unit in ("", "_db")
    },
    "coh_vv": "cohvv",
    "coh_vh": "cohvh",
    "coherence_vv": "cohvv",
    "coherence_vh": "cohvh",
}
_ENDING = re.compile(r"\.(tiff?|jp2)$")  # keys that are names of files
_WITH_RESOLUTION = re.compile(r"^(?P<name>\w+?)_(?P<metres>\d+)m$")


def band_of(key: str, extra: Mapping[str, str] | None = None) -> tuple[str, int] | None:
    """Return our name of the band in the asset called `key` and the metres its name states (0 where none).

    Parameters
    ----------
    extra
        More asset keys and the band each holds; they win over the built-in ones.

    Examples
    --------
    >>> band_of("B04_10m"), band_of("nir08"), band_of("thumbnail")
    (('B04', 10), ('B8A', 0), None)
    >>> band_of("rot", {"rot": "B04"})
    ('B04', 0)
    """
    known = extra or {}
    if key in known:
        return known[key], 0
    plain = _ENDING.sub("", key.lower())
    stated = _WITH_RESOLUTION.match(plain)
    name, metres = (stated["name"], int(stated["metres"])) if stated else (plain, 0)
    band = known.get(name) or ALIASES.get(name)
    return (band, metres) if band else None


def pick_assets(assets: Mapping[str, Any], extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return, for each of our bands, the key of the asset that holds it; the finest where there are several.

    What no key tells, assets of one band each tell by the name that they give it (`bands`, or `eo:bands` of
    older items).

    Examples
    --------
    >>> pick_assets({"B05_60m": {}, "B05_20m": {}, "SCL_20m": {}, "PVI": {}})
    {'B05': 'B05_20m', 'scl': 'SCL_20m'}
    >>> pick_assets({"one": {"bands": [{"name": "B04"}]}, "two": {"eo:bands": [{"common_name": "nir"}]}})
    {'B04': 'one', 'B08': 'two'}
    """
    by_key = [(*held, key) for key in assets if (held := band_of(key, extra)) is not None]
    named = {key for *_, key in by_key}
    by_name = [
        (*held, key)
        for key, asset in assets.items()
        if key not in named and (held := _stated(asset)) is not None
    ]
    finest: dict[str, str] = {}
    for band, _, key in (*sorted(by_key), *sorted(by_name)):
        finest.setdefault(band, key)
    return {band: finest[band] for band in BANDS if band in finest}


def _stated(asset: object) -> tuple[str, int] | None:
    """Return the band that an asset of one band says it holds, as `band_of`."""
    said = asset.get("bands") or asset.get("eo:bands") if isinstance(asset, Mapping) else None
    if not (isinstance(said, list) and len(said) == 1 and isinstance(said[0], Mapping)):
        return None
    names = [said[0].get(key) for key in ("name", "common_name", "eo:common_name")]
    known = [band_of(name) for name in names if isinstance(name, str)]
    return next((band for band in known if band is not None), None)
