"""What the usual programs write, as defaults of `series.tables`; a config's own keys stand above them.

- `worldcereal`: extractions of ESA WorldCereal (one row a sample and month): reflectance as integers of 1e-4,
  backscatter as integers with dB = 20 log10(DN) - 83, 65535 for nodata.
- `worldcereal_steps`: the older form, one row a sample, `OPTICAL-B02-ts0-10m`, `SAR-VH-ts0-20m`; months or
  dekads by its `start_date` and `end_date`.
- `openeo`: the CSV of `aggregate_spatial` with a mean: `date, feature_index, avg(B04)`.
- `earth_engine`: the CSV of `reduceRegions` over a collection, exported with `system:time_start`.
- `sits`: time series of a sits tibble, unnested: `sample_id, Index, B02`.
- `sits_predictors`: what that function returns: `sample_id, label, B021, B022`, steps from 1 on, without
  dates: give `first` and `step`.
"""

from typing import Any, Literal

TemplateName = Literal[
    "worldcereal", "worldcereal_steps", "openeo", "earth_engine", "sits", "sits_predictors"
]  # fmt: skip

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
NODATA = 65535
AMPLITUDE = {"convert": "db_of_amplitude", "offset": -83.0}
CENTI = 0.01


def _reflectance(column: str, band: str, scale: float = 1e-4) -> dict[str, Any]:
    return {column: {"name": band, "scale": scale}}


def _worldcereal() -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for band in BANDS:
        columns |= _reflectance(f"S2-L2A-{band}", band)
    columns |= {f"S1-SIGMA0-{p}": {"name": f"s0{p.lower()}_db", **AMPLITUDE} for p in ("VV", "VH")}
    columns["AGERA5-PRECIP"] = {"name": "weather_precipitation", "scale": CENTI}
    columns["AGERA5-TMEAN"] = {"name": "weather_t", "scale": CENTI}
    return {"parcel": "sample_id", "date": "timestamp", "nodata": (NODATA,), "columns": columns}


def _worldcereal_steps() -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for band in BANDS:
        columns |= _reflectance(f"OPTICAL-{band}", band)
    columns |= {f"SAR-{p}": {"name": f"s0{p.lower()}_db", **AMPLITUDE} for p in ("VV", "VH")}
    columns["METEO-precipitation_flux"] = {"name": "weather_precipitation", "scale": CENTI}
    columns["METEO-temperature_mean"] = {"name": "weather_t", "scale": CENTI}
    return {
        "parcel": "sample_id",
        "date": None,
        "pattern": "{feature}-ts{step}-{any}",
        "first": "start_date",
        "last": "end_date",
        "nodata": (NODATA,),
        "columns": columns,
    }


def _openeo() -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for band in BANDS:
        for name in (f"avg({band})", f"mean({band})", band):
            columns |= _reflectance(name, band)
    return {"parcel": "feature_index", "date": "date", "columns": columns}


def _earth_engine() -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for band in BANDS:
        short = "B8A" if band == "B8A" else f"B{int(band[1:])}"
        for name in (short, f"{short}_mean"):
            columns |= _reflectance(name, band)
    for p in ("VV", "VH"):
        columns |= {name: {"name": f"s0{p.lower()}_db"} for name in (p, f"{p}_mean")}
    return {"date": "system:time_start", "date_format": "ms", "columns": columns}


def _sits() -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for band in BANDS:
        columns |= _reflectance(band, band, 1.0)
    columns |= {"NDVI": {"name": "ndvi"}, "EVI": {"name": "evi"}}
    return {"parcel": "sample_id", "date": "Index", "columns": columns}


TEMPLATES: dict[str, dict[str, Any]] = {
    "worldcereal": _worldcereal(),
    "worldcereal_steps": _worldcereal_steps(),
    "openeo": _openeo(),
    "earth_engine": _earth_engine(),
    "sits": _sits(),
    "sits_predictors": {**_sits(), "date": None, "pattern": "{feature}{step}", "first_step": 1},
}
