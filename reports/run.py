"""What a page may draw from: the stored tables of one run, read once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import geopandas as gpd
import pandas as pd
import polars as pl
import xarray as xr

from features.schema import ACQUISITIONS, PARCELS, VERDICTS, Row, check_columns, check_declarations
from features.series.chunks import StoredSeries
from reports.embed import clean
from reports.evidence import with_strength
from reports.rows import RowsByParcel
from reports.translation import Text

Table = pl.DataFrame | pl.LazyFrame
LONG = (
    "events",
    "forecast",
    "composition_pixels",
    "contributions",
)  # many rows a parcel, drawn on its sheet alone


@dataclass(frozen=True)
class FieldTables:
    """What field results gave.

    Attributes
    ----------
    results
        Schema `models.assessment.field_results.RESULTS`, and `in_sample`.
    conflicts
        Parcels whose results disagree: `parcel_id, season, declared, says`.
    by_stratum
        Schema `models.assessment.errors.BY_STRATUM`.
    assisted
        Schema `ASSESSMENT`, with the verdicts of all parcels as help.
    design
        Schema `models.assessment.quality_sample.DESIGN`, of the sample that was visited.
    entries
        Entries of the journal.
    """

    results: pl.DataFrame
    conflicts: pl.DataFrame
    by_stratum: pl.DataFrame
    assisted: pl.DataFrame
    design: pl.DataFrame
    entries: int


@dataclass(frozen=True)
class RunTables:
    """The stored tables of one run; pages draw from them only.

    Only the first block is needed. A table that is None or missing makes the page say so.

    Parameters
    ----------
    name, season
        The run's name (`synthetic`) and its season's year.
    declarations
        `features.schema.DECLARATION_COLUMNS`, every parcel of the input.
    verdicts
        `features.schema.VERDICTS`, one row per parcel.
    parcels, acquisitions
        `features.schema.PARCELS` (what the buffer left) and `ACQUISITIONS` (their COGs give the pictures).
    dates
        Observations summed up, one row per acquisition: `datetime, sensor, relative_orbit, parcels`
        (how many were seen) and `valid_share` (mean over parcels).
    series, filled
        The ParcelSeries before and after gap filling, in memory or on disk; a sheet reads only its own
        parcels from them.
    probabilities
        `parcel_id, model, fold, <one column per class>`, out of fold, blocks of rows per model; may be lazy.
    importance, contributions
        `features.schema.IMPORTANCE` and `CONTRIBUTIONS`, which may be lazy.
    evaluation
        Stored evaluation tables by file stem; `reports.pages.sections.evaluation` lists those that are drawn.
    metrics
        `metrics.json`: `models`, `verdicts`, `promised`; an estimate is `{value, low, high, n}`.
    rules
        The rule and thresholds in force, by name (the judge's options, and the schemes under `schemes`).
    lineage
        `made` (day of the verdicts), `config` (text), `seed`, `versions`, `git_commit`, `model_id`,
        `inputs` and `models` (lists of `{path, sha256}`), `stages` (list of
        `{stage, unit, came_in, went_out, set_aside}`), `exports` (list of `{path, title}`; the known ones
        beside the reports where absent), `events_by` (rules, labels or another run's models), and
        `manifest_sha256`.
    crop_names
        National code to the name the agency gives it.
    class_names
        Modelling class to a name to print; where absent, the agency's names of its crops.
    class_words
        Modelling class to words of a language, for classes without any other name.
    crop_groups
        Modelling class to its crop group.
    quality_sample
        `parcel_id, stratum` and further columns of the drawn quality sample.
    quality_design
        Its design: schema `models.assessment.quality_sample.DESIGN`.
    assessment
        What field results gave: `measure, unit, value, low, high, n`.
    field_results
        The rest of what they gave.
    events, markers
        `features.schema.EVENTS` and `MARKERS`; events may be lazy.
    forecast, anomalies
        `features.schema.FORECAST`, which may be lazy, and `models.forecast.anomaly.ANOMALIES`.
    composition, composition_findings, composition_pixels
        What grows inside parcels: `features.schema.COMPOSITION`, and `FINDINGS` and `PICTURES` of
        `models.patches.composition.tables`; None where pixels were not looked at.
    previous
        The last season's run, for drift; None where none is given.
    """

    name: str
    season: int
    declarations: gpd.GeoDataFrame
    verdicts: pl.DataFrame
    parcels: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PARCELS))
    acquisitions: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ACQUISITIONS))
    dates: pl.DataFrame | None = None
    series: xr.Dataset | StoredSeries | None = None
    filled: xr.Dataset | StoredSeries | None = None
    probabilities: Table | None = None
    importance: pl.DataFrame | None = None
    contributions: Table | None = None
    evaluation: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    rules: Mapping[str, object] = field(default_factory=dict)
    lineage: Mapping[str, Any] = field(default_factory=dict)
    crop_names: Mapping[str, str] = field(default_factory=dict)
    class_names: Mapping[str, str] = field(default_factory=dict)
    class_words: Mapping[str, str] = field(default_factory=dict)
    crop_groups: Mapping[str, str] = field(default_factory=dict)
    quality_sample: pl.DataFrame | None = None
    quality_design: pl.DataFrame | None = None
    assessment: pl.DataFrame | None = None
    field_results: FieldTables | None = None
    events: Table | None = None
    markers: pl.DataFrame | None = None
    forecast: Table | None = None
    anomalies: pl.DataFrame | None = None
    composition: pl.DataFrame | None = None
    composition_findings: pl.DataFrame | None = None
    composition_pixels: Table | None = None
    previous: "RunTables | None" = None

    def __post_init__(self) -> None:
        check_declarations(self.declarations)
        check_columns(self.verdicts.columns, VERDICTS.names(), "The verdicts table")

    @cached_property
    def table(self) -> pl.DataFrame:
        """Verdicts with the declarations' `intervention`, `region`, `holding_id` and what the buffer left."""
        columns = ["parcel_id", "intervention", "region", "holding_id"]
        declared = pl.DataFrame({name: _strings(self.declarations[name]) for name in columns})
        left = self.parcels.select("parcel_id", "full_pixels", "buffer_loss").unique(
            "parcel_id", keep="first"
        )
        joined = with_strength(self.verdicts).join(declared, on="parcel_id", how="left", validate="1:1")
        return joined.join(left, on="parcel_id", how="left").sort("parcel_id")

    @cached_property
    def national_names(self) -> dict[str, str]:
        """Each modelling class with the agency's names of its two commonest crops."""
        known = self.verdicts.filter(pl.col("crop_class").is_not_null())
        counts = (
            known.group_by("crop_class", "declared")
            .len()
            .sort(["crop_class", "len", "declared"], descending=[False, True, False])
        )
        names: dict[str, list[str]] = {}
        for crop_class, code in counts.select("crop_class", "declared").iter_rows():
            names.setdefault(crop_class, []).append(clean(self.crop(code)))
        return {
            name: " / ".join(dict.fromkeys(crops[:2])) + (" …" if len(crops) > 2 else "")
            for name, crops in names.items()
        }

    def in_language(self, text: Text) -> "RunTables":
        """Return the same run, with its crops named in a language where its catalog knows them.

        Names of an agency's own table stay as the agency writes them.
        """
        named = {code: text.crop(name) for code, name in self.crop_names.items()}
        classes = {name: text.crop(word) for name, word in self.class_names.items()}
        seen = {*self.verdicts["crop_class"].drop_nulls(), *self.verdicts["predicted"].drop_nulls()}
        fallback = {name: word for name in seen if (word := text.crop(name.replace("_", " "))) != name}
        return replace(self, crop_names=named, class_names=classes, class_words=fallback)

    def of_parcels(self, parcel_ids: Sequence[str]) -> "RunTables":
        """Return the same run with no other parcels' rows in what is looked up by parcel (LONG)."""
        wanted = pl.col("parcel_id").is_in(pl.Series(parcel_ids, dtype=pl.String).implode())
        tables: dict[str, Any] = {
            name: table.lazy().filter(wanted).collect(engine="streaming")
            for name in LONG
            if (table := getattr(self, name)) is not None
        }
        return replace(self, **tables)

    def held(self) -> "RunTables":
        """Return the same run with every table in memory."""
        held: dict[str, Any] = {
            name: table.collect()
            for name in (*LONG, "probabilities")
            if isinstance(table := getattr(self, name), pl.LazyFrame)
        }
        return replace(self, **held)

    @cached_property
    def _by_parcel(self) -> dict[str, RowsByParcel]:
        return {}

    def rows_of(self, table: str, parcel_id: str) -> list[Row]:
        """Return a parcel's rows of a table, by the table's name; none where the run has no such table."""
        if table not in self._by_parcel:
            rows = getattr(self, table)
            self._by_parcel[table] = RowsByParcel(rows.collect() if isinstance(rows, pl.LazyFrame) else rows)
        return self._by_parcel[table].of(parcel_id)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {str(name): place for place, name in enumerate(self.declarations["parcel_id"])}

    def shapes_of(self, parcels: Iterable[str]) -> gpd.GeoSeries:
        """Return the geometry of some parcels, by their ids; those that were not declared are left out."""
        there = {name: place for name in parcels if (place := self._places.get(name)) is not None}
        shapes = self.declarations.geometry.iloc[list(there.values())]
        return gpd.GeoSeries(shapes.to_numpy(), index=list(there), crs=self.declarations.crs)

    def crop(self, code: str | None) -> str:
        """Return the agency's name of a national code, or the code itself."""
        return self.crop_names.get(code or "", code or "")

    def class_name(self, crop_class: str | None) -> str:
        """Return the name to print for a modelling class: one name on every page."""
        name = crop_class or ""
        for names in (self.class_names, self.national_names, self.class_words):
            if name in names:
                return names[name]
        return name.replace("_", " ")


def _strings(column: pd.Series) -> pl.Series:
    return pl.Series([None if pd.isna(value) else str(value) for value in column], dtype=pl.String)
