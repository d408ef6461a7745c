"""Make the canopy reflectance table from PROSAIL: `uv run --group lookup-table python -m
features.simulate.sensors.lookup.make_table`.

The table holds, for every node of its axes and every band, three coefficients of the soil's Lambertian
reflectance s, so that soil needs no axis and stays exact:

    canopy(s) = a + b s / (1 - c s)

This is the solution of the four-stream equations over a Lambertian ground (Verhoef 1984, Remote Sensing of
Environment 16, 125-141), where a is the canopy alone, b the two ways through it and c what the canopy sends
back down. Leaves: PROSPECT-D (Féret et al. 2017); canopy: 4SAIL with ellipsoidal leaf angles; viewed at
nadir.

`prosail` is under GPL-3.0: it is used here, in an optional dependency group, and nowhere in the product.
"""

from pathlib import Path
from typing import Any

import numpy as np
import prosail

from features.simulate.sensors.canopy import TABLE_FILE

WAVELENGTHS = np.arange(400, 2501)
# Sentinel-2A MSI band centres and full widths at half maximum, nm (ESA, Sentinel-2 MSI technical guide,
# spatial resolutions table). Each response is taken as a Gaussian, not as the measured curve.
BANDS = {
    "B02": (492.4, 66.0),
    "B03": (559.8, 36.0),
    "B04": (664.6, 31.0),
    "B05": (704.1, 15.0),
    "B06": (740.5, 15.0),
    "B07": (782.8, 20.0),
    "B08": (832.8, 106.0),
    "B8A": (864.7, 21.0),
    "B11": (1613.7, 91.0),
    "B12": (2202.4, 175.0),
}
AXES = {
    "leaf_area_index": (0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.5),
    "chlorophyll": (8.0, 20.0, 35.0, 50.0, 70.0),  # ug cm-2
    "senescence": (0.0, 0.35, 0.7, 1.0),  # share of leaf tissue that is brown and dry
    "leaf_angle": (35.0, 50.0, 65.0),  # mean leaf inclination, degrees
    "sun_zenith": (28.0, 40.0, 52.0, 66.0),  # degrees
}


def responses() -> np.ndarray:
    """Return the normalised spectral responses, (band, wavelength)."""
    centre, width = np.array(list(BANDS.values())).T[:, :, None]
    weight = np.exp(-4 * np.log(2) * ((WAVELENGTHS - centre) / width) ** 2)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def leaf(chlorophyll: float, senescence: float) -> dict[str, float]:
    """Return the PROSPECT-D leaf: as tissue browns it loses water and chlorophyll."""
    green = chlorophyll * (1 - 0.9 * senescence)
    water = 0.018 * (1 - senescence) + 0.002
    return {"n": 1.55, "cab": green, "car": 2 + green / 5, "cbrown": senescence, "cw": water, "cm": 0.0055}


def coefficients(node: dict[str, float], response: np.ndarray) -> np.ndarray:
    """Return a, b and c of one node, (3, band)."""
    out = prosail.run_prosail(
        **leaf(node["chlorophyll"], node["senescence"]),
        lai=max(node["leaf_area_index"], 1e-6),
        lidfa=node["leaf_angle"],
        hspot=0.1,
        tts=node["sun_zenith"],
        tto=5.0,
        psi=90.0,
        prospect_version="D",
        rsoil0=np.zeros(len(WAVELENGTHS)),
        factor="ALLALL",
    )
    tss, too, both_ways, back_down, _, _, tsd, _, tdo, alone = out[:10]
    through = both_ways + (tss + tsd) * tdo + tsd * too
    return np.stack([response @ np.broadcast_to(term, 2101) for term in (alone, through, back_down)])


def soils(response: np.ndarray) -> dict[str, np.ndarray]:
    """Return the reflectance `(band)` of prosail's dry and wet soil; `response` is `(band, wavelength)`."""
    library = prosail.get_spectra()
    return {"dry_soil": response @ library.soil.rsoil1, "wet_soil": response @ library.soil.rsoil2}


def main(path: Path = TABLE_FILE) -> None:
    """Compute every node and write the table."""
    response = responses()
    shape = tuple(len(levels) for levels in AXES.values())
    table = np.empty((*shape, 3, len(BANDS)), np.float32)
    for index in np.ndindex(shape):
        node = {name: AXES[name][i] for name, i in zip(AXES, index, strict=True)}
        table[index] = coefficients(node, response)
    arrays: dict[str, Any] = {f"axis_{name}": np.array(levels, np.float32) for name, levels in AXES.items()}
    arrays |= {name: values.astype(np.float32) for name, values in soils(response).items()}
    np.savez_compressed(
        path,
        table=table,
        bands=np.array(list(BANDS)),
        axes=np.array(list(AXES)),
        **arrays,
        provenance=np.array(
            "prosail 2.0.5 (PROSPECT-D, 4SAIL); n 1.55, cm 0.0055, "
            "cw 0.002-0.020 and cbrown 0-1 by senescence, "
            "car 2 + cab/5, hot spot 0.1, view zenith 5; Sentinel-2A bands as Gaussians of centre and width "
            f"{BANDS}; made by features/simulate/lookup/make_table.py"
        ),
    )


if __name__ == "__main__":
    main()
