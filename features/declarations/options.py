"""Where the declarations are, what their columns mean, how their codes map, and what is checked."""

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, field_validator

from features.declarations.cells.spelling import plain_code
from features.declarations.field_map import FieldOptions
from features.options import Options
from features.storage.database import DatabaseError, is_database, refuse_password

CONF = Path(__file__).parents[2] / "conf"
SCHEMES_FILE = CONF / "schemes.yaml"
GROUPS_FILE = CONF / "crop_groups.csv"
PADDABLE = re.compile(r"([0-9]{1,20})(?:\.0+)?")


class CropTableOptions(Options):
    """Where the code tables are and how their columns are called."""

    tables: tuple[Path, ...] = Field(
        (), description="Code tables (CSV); where a code is in several, the first wins."
    )
    code_column: str | None = Field(None, description="National code; by default `code` or `original_code`.")
    name_column: str | None = Field(None, description="National name; by default `name` or `original_name`.")
    hcat_column: str | None = Field(None, description="HCAT3 code; by default `hcat_code` or `HCAT3_code`.")
    class_column: str | None = Field(
        None, description="Modelling class; by default `crop_class`, else from the groups."
    )
    encoding: str | None = Field(
        None, description="Encoding of the tables, where it is not UTF-8, such as CP1250."
    )
    pad: int | None = Field(
        None,
        ge=1,
        le=20,
        description="Write codes of digits with this many, zeros in front, in the file and in the tables: "
        "with 3, `88`, `0088` and `88.0` are `088`.",
    )
    ignore_case: bool = Field(False, description="Codes that differ in capitals alone are one code.")
    ignore_signs: bool = Field(
        False, description="Codes that differ in dashes, points and spaces alone are one code."
    )
    second_none: tuple[str, ...] | None = Field(
        None,
        description="What stands for no second crop; by default zeros and dashes, where no table has them.",
    )
    groups: Path = Field(GROUPS_FILE, description="HCAT3 prefix to modelling class and crop group (CSV).")
    merge_classes: Mapping[str, str] = Field(
        default_factory=dict,
        description="Modelling classes to call by another class's name, such as spelt: winter_wheat.",
    )

    def spelled(self, code: str) -> str:
        """Return a code as codes are written here: digits padded, one Unicode form, single spaces.

        Examples
        --------
        >>> [CropTableOptions(pad=3).spelled(code) for code in ("88", "0088", "88.0", "1234", "A8", "000")]
        ['088', '088', '088', '1234', 'A8', '000']
        """
        plain = plain_code(code)
        digits = PADDABLE.fullmatch(plain) if self.pad else None
        return str(int(digits[1])).zfill(self.pad or 0) if digits else plain

    def key(self, code: str) -> str:
        """Return what two spellings of one code have in common.

        Examples
        --------
        >>> CropTableOptions(ignore_signs=True, ignore_case=True).key("11-01-06-000-A")
        '110106000a'
        """
        key = self.spelled(code)
        if self.ignore_signs:
            key = "".join(filter(str.isalnum, key)) or key
        return key.casefold() if self.ignore_case else key


class CheckOptions(Options):
    """From when on a finding counts."""

    farthest_km: float | None = Field(
        1000.0,
        gt=0,
        description="A few parcels (1%, at most 100) farther than this (km) from all others are misplaced; "
        "null keeps them.",
    )
    overlap_m2: float = Field(10.0, ge=0, description="Overlaps up to this area (m2) are digitising noise.")
    claimed_excess_ha: float = Field(
        0.01, ge=0, description="Claimed area may exceed the geometry by this much."
    )
    sliver_m2: float = Field(
        100.0, ge=0, description="Parcels below this area (m2, one Sentinel-2 pixel) are slivers."
    )


class DeclarationOptions(Options):
    """Where the parcels are, what their columns mean, and how their codes map."""

    path: str = Field(
        "",
        description="GeoPackage, Shapefile, GeoJSON, GML, GeoParquet, or a zip of one of these; or the "
        "address of a PostGIS database, postgresql://user@host/database, whose password is in PGPASSWORD or "
        "~/.pgpass.",
    )
    layer: str | None = Field(
        None, description="Layer, where the file holds several; of a database the table, schema.table."
    )
    member: str | None = Field(None, description="File inside the zip, where it holds several.")
    encoding: str | None = Field(
        None,
        description="Encoding of a Shapefile's or GeoJSON's texts, where the file says none or a wrong one, "
        "such as CP1250.",
    )
    swap_axes: bool = Field(
        False,
        description="Whether the file writes y before x, or latitude before longitude, against its format.",
    )
    crs: str | None = Field(None, description="Coordinate system, where the file does not say its own.")
    metric_crs: str | None = Field(
        None, description="Metric CRS to work in; by default the file's own, else UTM."
    )
    holding_key: Path | None = Field(
        None,
        description="File of the secret that holdings are pseudonymised with: one for all runs of an agency, "
        "so that seasons can be pooled. Made with 32 random bytes, readable by its owner alone, where there "
        "is none. CROPCHECK_HOLDING_KEY in the environment (any text) goes before it. With neither, each run "
        "makes a key of its own, .holding_key in its output folder, and cannot be pooled with another.",
    )
    most_unpacked_gib: float = Field(
        16.0, gt=0, description="What a zip, or a compressed table, may unpack to (GiB)."
    )
    most_parcels: int = Field(30_000_000, ge=1, description="Rows that a file may hold.")
    fields: FieldOptions = Field(FieldOptions(), description="Columns of the file.")
    crops: CropTableOptions = Field(CropTableOptions(), description="Code tables and crop groups.")
    checks: CheckOptions = Field(CheckOptions(), description="Geometry checks.")

    @field_validator("path")
    @classmethod
    def _no_password(cls, path: str) -> str:
        if is_database(path):
            try:
                refuse_password(path)
            except DatabaseError as error:
                raise ValueError(
                    "holds a password, which would be written into the run's record; leave it out and put it "
                    "into PGPASSWORD or ~/.pgpass"
                ) from error
        return path
