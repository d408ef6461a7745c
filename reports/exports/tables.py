"""Verdicts for other programs: GeoPackage, GeoParquet (fiboa's names too), CSV and the European tables."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import polars as pl
import pyogrio

from features.exchange.interventions import flag, interventions_of, unit_amounts
from features.exchange.lpis import read_lpis, relate
from features.exchange.options import InterventionOptions, LpisOptions
from features.exchange.quap.reader import QuapFile
from features.exchange.quap.writer import write_quap
from features.files import atomic_path
from features.limits import DEFAULT_LIMITS
from features.schema import VERDICTS, check_table
from features.storage.geopackage import write_geopackage_parts
from models.assessment.reviewed import FIELD_COLUMNS
from reports.exports.neutral import neutral_table
from reports.exports.parts import by_place, slices, write_csv, write_geoparquet

# a GeoPackage stores when it was written: a fixed date keeps equal runs equal to the byte
FIXED_DATE = "2000-01-01T00:00:00.000Z"
LIST_SEPARATOR = "; "
FIBOA = {
    "fiboa_version": "0.2.0",
    "fiboa_extensions": [
        "https://fiboa.github.io/crop-extension/v0.1.0/schema.yaml",
        "https://fiboa.github.io/hcat-extension/v0.2.0/schema.yaml",
    ],
}
UNKNOWN_CODE_LIST = "https://example.org/unpublished-code-list"


def write_exports(
    verdicts: pl.DataFrame,
    declarations: gpd.GeoDataFrame,
    folder: Path,
    *,
    crop_names: Mapping[str, str] | None = None,
    code_list: str = UNKNOWN_CODE_LIST,
    agency: str = "",
    composition: pl.DataFrame | None = None,
    interventions: InterventionOptions | None = None,
) -> list[Path]:
    """Write every export, each atomically; equal runs give equal bytes.

    Parameters
    ----------
    verdicts
        Schema `VERDICTS`.
    declarations
        `DECLARATION_COLUMNS`; one row for each verdict.
    crop_names
        National code to the agency's name.
    code_list
        URI of the national code list, which fiboa's crop extension asks for.
    agency
        Code of the paying agency in the European tables (`gsa_code`).
    composition
        What grows inside parcels, schema `reports.composition.COLUMNS`: further columns of the verdicts.
    interventions
        Where the agency's list of unit amounts lies.

    Returns
    -------
    list[Path]
        `verdicts.gpkg`, `verdicts.csv`, and under `exports/` `verdicts.geoparquet`, `fields_fiboa.parquet`,
        `gsa_population.gpkg`, `gsa_ua_claimed.csv`, `interventions.csv`.
    """
    flat = _flat(check_table(verdicts, VERDICTS, "The verdicts"))
    if composition is not None:
        flat = flat.join(composition, on="parcel_id", how="left", validate="1:1", maintain_order="left")
    rows = _Rows(flat, declarations)
    names, more = crop_names or {}, folder / "exports"
    order = by_place(declarations)
    where = {name: place for place, name in enumerate(flat["parcel_id"])}
    near = np.array([where[name] for name in declarations["parcel_id"].iloc[order] if name in where], int)
    own = [declarations.iloc[part] for part in slices(len(declarations))]
    return [
        _write(folder / "verdicts.gpkg", lambda path: _geopackage(rows.parts, path, "verdicts")),
        _write(
            folder / "verdicts.csv",
            lambda path: write_csv((neutral_table(_plain(part)) for part in rows.parts()), path, digits=6),
        ),
        _write(more / "verdicts.geoparquet", lambda path: write_geoparquet(rows.parts(near), path)),
        _write(
            more / "fields_fiboa.parquet",
            lambda path: write_geoparquet(
                (_fiboa(part, names, code_list) for part in rows.parts(near)), path, {"fiboa": FIBOA}
            ),
        ),
        _write(
            more / "gsa_population.gpkg",
            lambda path: _geopackage(
                lambda: (_population(part, agency) for part in own), path, "gsa_population"
            ),
        ),
        _write(
            more / "gsa_ua_claimed.csv",
            lambda path: write_csv(
                (neutral_table(_claimed(part, agency)) for part in own), path, separator=";", digits=4
            ),
        ),
        write_quap(_neutral(interventions_of(declarations["intervention"], interventions)), more),
    ]


def _neutral(file: QuapFile) -> QuapFile:
    return replace(file, cells=neutral_table(file.cells))


class _Rows:
    """Verdicts with their outlines and what an officer filters by, some at a time; holdings stay out."""

    def __init__(self, verdicts: pl.DataFrame, declarations: gpd.GeoDataFrame) -> None:
        self._verdicts, self._declarations = verdicts, declarations
        self._place = {name: place for place, name in enumerate(declarations["parcel_id"])}

    def parts(self, order: np.ndarray | None = None) -> Iterator[gpd.GeoDataFrame]:
        """Yield all rows, in the verdicts' order or another, `(verdict)`."""
        rows = np.arange(len(self._verdicts)) if order is None else order
        for part in slices(len(rows)):
            yield self._joined(self._verdicts[rows[part]])

    def _joined(self, verdicts: pl.DataFrame) -> gpd.GeoDataFrame:
        names = ["parcel_id", "declared_second", "hcat_code", "intervention", "region", "geometry"]
        places = [self._place[name] for name in verdicts["parcel_id"] if name in self._place]
        kept = self._declarations.iloc[places][names]
        table = verdicts.to_pandas().merge(kept, on="parcel_id", how="left", validate="1:1")
        frame = gpd.GeoDataFrame(table, geometry="geometry", crs=self._declarations.crs)
        texts = [name for name, kind in verdicts.schema.items() if kind == pl.String]
        return frame.astype(dict.fromkeys([*texts, *names[1:-1]], "string"))


def write_lpis(
    declarations: gpd.GeoDataFrame,
    options: LpisOptions,
    folder: Path,
    most_gib: float = DEFAULT_LIMITS.table_gib,
) -> list[Path]:
    """Write `lpis_population.gpkg` and `gsa_lpis_relationship.csv` from an agency's reference parcels.

    Parameters
    ----------
    most_gib
        What a layer in Parquet may unpack to.
    """
    lpis = read_lpis(options, most_gib)
    with _fixed_date():
        return [write_quap(file, folder) for file in (lpis, relate(declarations, lpis, options.least_share))]


def _write(path: Path, write: Callable[[Path], None]) -> Path:
    with atomic_path(path) as partial:
        write(partial)
    return path


def _flat(verdicts: pl.DataFrame) -> pl.DataFrame:
    """Turn the lists into text: `winter_wheat 0.81; winter_rye 0.12`."""
    share = pl.element().struct.field("probability").cast(pl.Float64).round(3).cast(pl.String)
    ranked = pl.concat_str(pl.element().struct.field("crop_class"), pl.lit(" "), share)
    return verdicts.with_columns(
        top3=pl.col("top3").list.eval(ranked).list.join(LIST_SEPARATOR),
        prediction_set=pl.col("prediction_set").list.join(LIST_SEPARATOR),
    )


def _plain(parcels: gpd.GeoDataFrame) -> pl.DataFrame:
    table: pl.DataFrame = pl.from_pandas(parcels.drop(columns="geometry"))
    return table


def _csv(table: pl.DataFrame, path: Path) -> None:
    neutral_table(table).write_csv(path, float_precision=6)


def _geopackage(parts: Callable[[], Iterable[gpd.GeoDataFrame]], path: Path, layer: str) -> None:
    with _fixed_date():
        write_geopackage_parts(parts, path, layer)


@contextmanager
def _fixed_date() -> Iterator[None]:
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": FIXED_DATE})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})


def _fiboa(parcels: gpd.GeoDataFrame, crop_names: Mapping[str, str], code_list: str) -> gpd.GeoDataFrame:
    """Return the fields that fiboa's core, crop and HCAT extensions name; `area` in hectares.

    fiboa wants a geometry and a code: parcels without one are in the other exports.
    """
    whole = parcels[~parcels.geometry.is_empty & parcels["declared"].notna()]
    return gpd.GeoDataFrame(
        {
            "id": whole["parcel_id"],
            "area": whole["area_ha"],
            "crop:code_list": pd.Series(code_list, whole.index, dtype="string"),
            "crop:code": whole["declared"],
            "crop:name": whole["declared"].map(crop_names).astype("string"),
            "hcat:code": whole["hcat_code"].astype("Int64").astype("UInt32"),
            "cropcheck:verdict": whole["verdict"],
            "cropcheck:reason": whole["reason"],
            "cropcheck:probability": whole["probability"],
        },
        geometry=whole.geometry,
    )


def _population(declarations: gpd.GeoDataFrame, agency: str) -> gpd.GeoDataFrame:
    """Return `gsa_population` of the IACS quality assessment data exchange (JRC, November 2023)."""
    frame = gpd.GeoDataFrame(
        {
            "gsa_code": agency,
            "gsa_par_id": declarations["parcel_id"],
            "gsa_hol_id": declarations["holding_id"],
            "gsa_col_id": None,
            "main_crop": declarations["declared"],
            "catch_crop": declarations["declared_second"],
            "organic": declarations["organic"].map(flag) if "organic" in declarations else None,
        },
        geometry=declarations.geometry,
    )
    texts = [name for name in frame.columns if name != "geometry"]
    return frame.astype(dict.fromkeys(texts, "string")).to_crs("EPSG:4326")


def _claimed(declarations: gpd.GeoDataFrame, agency: str) -> pl.DataFrame:
    """Return `gsa_ua_claimed` of the same exchange: parcels with a unit amount and a claimed area, a row for
    each unit amount that a parcel is claimed under."""
    table = pl.DataFrame(
        {
            "gsa_code": [agency] * len(declarations),
            "gsa_par_id": declarations["parcel_id"].to_list(),
            "ua": [
                unit_amounts(cell)
                for cell in declarations["intervention"]
                .astype(object)
                .where(declarations["intervention"].notna(), None)
            ],
            "claim_area": declarations["claimed_area_ha"].to_numpy(),
        },
        schema_overrides={"gsa_par_id": pl.String, "ua": pl.List(pl.String)},
    )
    single = table.explode("ua", empty_as_null=True)
    return single.filter(pl.col("ua").is_not_null() & pl.col("claim_area").is_not_nan())


def write_sample(sample: pl.DataFrame, path: Path) -> Path:
    """Write the quality sample (`models.assessment.quality_sample.SAMPLE`) with empty columns for the field
    result.
    """
    empty = [pl.lit(None, pl.String).alias(name) for name in FIELD_COLUMNS]
    return _write(path, lambda partial: _csv(sample.with_columns(empty), partial))
