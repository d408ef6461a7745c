"""National crop code -> HCAT3 code -> modelling class -> crop group, by tables that the config names."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from features.declarations.formats.text_table import read_text_table
from features.declarations.options import GROUPS_FILE, CropTableOptions
from features.errors import DeclarationError
from features.messages.listed import listed
from features.messages.suggestions import did_you_mean
from features.schema import RESERVED_CLASSES

logger = logging.getLogger(__name__)

# headings that a column may have when the config does not name it: ours, then EuroCrops'
HEADINGS = {
    "code": ("code", "original_code"),
    "name": ("name", "original_name"),
    "hcat_code": ("hcat_code", "HCAT3_code"),
    "crop_class": ("crop_class",),
}
CROPS = pl.Schema(dict.fromkeys(("code", "name", "hcat_code", "crop_class", "crop_group"), pl.String()))


@dataclass(frozen=True)
class CropGroups:
    """The group table: HCAT3 prefixes without trailing zero pairs, their class, and each class's group.

    Attributes
    ----------
    class_by_prefix
        Modelling class by HCAT3 prefix, two to ten digits.
    group_by_class
        Crop group by modelling class.
    agricultural
        The classes that count as agricultural activity.
    """

    class_by_prefix: Mapping[str, str]
    group_by_class: Mapping[str, str]
    agricultural: frozenset[str]

    @cached_property
    def _lengths(self) -> list[int]:
        return sorted({len(prefix) for prefix in self.class_by_prefix}, reverse=True)

    def class_of(self, hcat_code: str | None) -> str | None:
        """Return the modelling class of a ten-digit HCAT3 code by its longest known prefix.

        Examples
        --------
        >>> groups = read_crop_groups()
        >>> groups.class_of("3301010402"), groups.class_of("3302000000"), groups.class_of(None)
        ('spring_barley', 'permanent_grassland', None)
        """
        prefixes = (hcat_code[:length] for length in self._lengths) if hcat_code else iter(())
        return next(
            (self.class_by_prefix[prefix] for prefix in prefixes if prefix in self.class_by_prefix), None
        )

    def group_of(self, crop_class: str | None) -> str | None:
        """Return the crop group of a modelling class; a class the table does not know is its own group."""
        return None if crop_class is None else self.group_by_class.get(crop_class, crop_class)

    def is_agricultural(self, crop_class: str) -> bool:
        """Say whether growing the class is agricultural activity; a class the table does not know is."""
        return crop_class in self.agricultural or crop_class not in self.group_by_class


def read_crop_groups(path: Path = GROUPS_FILE) -> CropGroups:
    """Read the group table (`hcat_prefix, crop_class, crop_group, agricultural`).

    Raises
    ------
    DeclarationError
        Where a column is missing, a prefix repeats, or a class stands in two groups.
    """
    table = read_text_table(path)
    missing = sorted({"hcat_prefix", "crop_class", "crop_group", "agricultural"} - set(table.columns))
    if missing:
        raise DeclarationError(
            f"The crop groups {path} lack the columns {listed(missing)}; they have {listed(table.columns)}."
        )
    prefixed = table.filter(pl.col("hcat_prefix").is_not_null())
    repeated = prefixed.filter(pl.col("hcat_prefix").is_duplicated())["hcat_prefix"].unique().sort().to_list()
    classes = table.select("crop_class", "crop_group", "agricultural").unique(maintain_order=True)
    torn = classes.filter(pl.col("crop_class").is_duplicated())["crop_class"].unique().sort().to_list()
    if repeated or torn:
        raise DeclarationError(
            f"The crop groups {path} contradict themselves: prefixes that repeat {listed(repeated)}, "
            f"classes in two groups {listed(torn)}; leave one row of each."
        )
    return CropGroups(
        dict(prefixed.select("hcat_prefix", "crop_class").iter_rows()),
        dict(classes.select("crop_class", "crop_group").iter_rows()),
        frozenset(classes.filter(pl.col("agricultural") == "yes")["crop_class"]),
    )


def read_crop_table(options: CropTableOptions) -> pl.DataFrame:
    """Read the code tables into one.

    Returns
    -------
    pl.DataFrame
        Schema `CROPS`, one row a code. `crop_class` as the table names it, else by the HCAT3 code.

    Raises
    ------
    DeclarationError
        Where a table is missing, lacks a column, or gives one code two meanings.
    """
    groups = read_crop_groups(options.groups)
    tables = [_one_table(path, options) for path in options.tables]
    crops = pl.concat([CROPS.to_frame().drop("crop_group"), *tables])
    crops = crops.filter(_keys(crops, options).is_first_distinct())
    named = pl.struct("crop_class", "hcat_code").map_elements(
        lambda row: row["crop_class"] or groups.class_of(row["hcat_code"]), return_dtype=pl.String
    )
    crops = crops.with_columns(crop_class=named)
    _warn_of_idle_merges(options.merge_classes, set(crops["crop_class"]))
    crops = crops.with_columns(pl.col("crop_class").replace(dict(options.merge_classes))).with_columns(
        crop_group=pl.col("crop_class").map_elements(groups.group_of, return_dtype=pl.String)
    )
    return crops.with_columns(pl.col("crop_class").replace(_kept_apart(set(crops["crop_class"]))))


def _kept_apart(classes: set[str]) -> dict[str, str]:
    """Return another name for each class that is called as a column of our tables."""
    names = {name: f"{name} (crop)" for name in sorted(RESERVED_CLASSES & classes)}
    for name, other in names.items():
        logger.info("The class %s is called %r here: a table has a column of that name.", name, other)
    return names


def _warn_of_idle_merges(merges: Mapping[str, str], classes: set[str]) -> None:
    for name in sorted(set(merges) - classes):
        logger.warning(
            "merge_classes names %s, a class of no code.%s", name, did_you_mean(name, classes - {None})
        )


def _one_table(path: Path, options: CropTableOptions) -> pl.DataFrame:
    table = read_text_table(path, options.encoding)
    wanted = {
        "code": options.code_column,
        "name": options.name_column,
        "hcat_code": options.hcat_column,
        "crop_class": options.class_column,
    }
    found = {ours: _column(table, theirs, HEADINGS[ours], path) for ours, theirs in wanted.items()}
    if found["code"] is None or (found["hcat_code"] is None and found["crop_class"] is None):
        raise DeclarationError(
            f"The code table {path} needs a column of codes and one of HCAT3 codes or classes; "
            f"it has {listed(table.columns)}. Name them with code_column, and hcat_column or class_column."
        )
    columns = [
        pl.lit(None, pl.String).alias(ours) if at is None else pl.col(at).alias(ours)
        for ours, at in found.items()
    ]
    coded = table.select(columns).filter(pl.col("code").is_not_null())
    mangled = coded.filter(~pl.col("hcat_code").str.contains(r"^\d{10}$"))["hcat_code"].to_list()
    if mangled:
        raise DeclarationError(
            f"{len(mangled)} HCAT3 codes of {path} are not ten digits, first {listed(mangled[:3])}; "
            "a spreadsheet may have rewritten them: take the table from its source again."
        )
    spelled = [None if code is None else options.spelled(code) for code in coded["code"]]
    coded = coded.with_columns(code=pl.Series(spelled, dtype=pl.String)).filter(pl.col("code") != "")
    meanings = coded.with_columns(key=_keys(coded, options)).unique(
        ["key", "hcat_code", "crop_class"], maintain_order=True
    )
    torn = meanings.filter(pl.col("key").is_duplicated())["code"].unique().sort().to_list()
    if torn:
        loose = options.pad or options.ignore_case or options.ignore_signs
        how = " as `pad`, `ignore_case` or `ignore_signs` write them" if loose else ""
        raise DeclarationError(
            f"{len(torn)} codes of {path} have two meanings{how}, first {listed(torn[:3])}; leave one "
            "row of each code."
        )
    return coded.filter(_keys(coded, options).is_first_distinct())


def _keys(table: pl.DataFrame, options: CropTableOptions) -> pl.Series:
    return pl.Series("key", [options.key(code) for code in table["code"]], dtype=pl.String)


def _column(table: pl.DataFrame, named: str | None, headings: tuple[str, ...], path: Path) -> str | None:
    if named is not None and named not in table.columns:
        hint = did_you_mean(named, table.columns)
        raise DeclarationError(
            f"The code table {path} has no column {named!r}.{hint} It has {listed(table.columns)}."
        )
    by_lower = {name.lower(): name for name in reversed(table.columns)}
    return named or next((by_lower[name.lower()] for name in headings if name.lower() in by_lower), None)


def column_headings(path: Path, options: CropTableOptions) -> dict[str, str]:
    """Return how a table calls its columns: heading by our name, `code`, `name`, `hcat_code`."""
    table = read_text_table(path, options.encoding)
    named = {"code": options.code_column, "name": options.name_column, "hcat_code": options.hcat_column}
    found = {ours: _column(table, theirs, HEADINGS[ours], path) for ours, theirs in named.items()}
    return {ours: heading for ours, heading in found.items() if heading is not None}
