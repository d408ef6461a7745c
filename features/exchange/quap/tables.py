"""The tables of the QUAP exchange (IACS quality assessment, deliveries of 1 November): columns, types, keys.

Source: "IACS quality assessment data exchange in November 2023: Technical Specifications" (JRC), and the
column checks that the QUAP platform runs (ec-jrc/cbm, iacs_qa/data_validation/tables.json).
"""

from collections.abc import Mapping
from dataclasses import dataclass

TEXT, FLAG, AREA = "text", "flag", "area"
EPSG = 4326


@dataclass(frozen=True)
class Table:
    """One table of the exchange.

    Attributes
    ----------
    name
        As its file is called, less the ending.
    columns
        Name to TEXT, FLAG (0 or 1, true or false) or AREA (hectares, four decimals at most).
    key
        Primary key.
    may_be_empty
        Columns whose cells may be empty.
    geometry
        Whether each row has a (multi)polygon.
    relations
        Columns that must stand in another table: name of that table, and its columns.
    aliases
        Other words that a file's name may hold.
    """

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    may_be_empty: tuple[str, ...] = ()
    geometry: bool = False
    relations: Mapping[str, tuple[str, ...]] | None = None
    aliases: tuple[str, ...] = ()


LAND_COVER = ("al_area", "pc_area", "pg_area")  # arable land, permanent crops, permanent grassland
PARTS = (*LAND_COVER, "na_area", "af_area", "n2000_area", "pw_area", "lf_area", "anc_area")

GSA = Table(
    "gsa_population",
    {
        "gsa_par_id": TEXT, "gsa_hol_id": TEXT, "gsa_col_id": TEXT, "main_crop": TEXT, "catch_crop": TEXT,
        "organic": FLAG,
    },
    ("gsa_par_id",),
    may_be_empty=("gsa_col_id", "catch_crop"),
    geometry=True,
    aliases=("gsa",),
)  # fmt: skip
LPIS = Table(
    "lpis_population",
    {
        "lpis_code": TEXT,
        "lpis_rp_id": TEXT,
        "tot_area": AREA,
        **dict.fromkeys(PARTS, AREA),
        "avail_area": FLAG,
    },
    ("lpis_rp_id",),
    geometry=True,
    aliases=("lpis",),
)
GSA_LPIS = Table(
    "gsa_lpis_relationship",
    {"lpis_code": TEXT, "lpis_rp_id": TEXT, "gsa_par_id": TEXT},
    ("lpis_rp_id", "gsa_par_id"),
    relations={"gsa_population": ("gsa_par_id",), "lpis_population": ("lpis_rp_id",)},
    aliases=("gsa_lpis",),
)
CLAIMED = Table(
    "gsa_ua_claimed",
    {"gsa_par_id": TEXT, "ua": TEXT, "claim_area": AREA},
    ("gsa_par_id", "ua"),
    relations={"gsa_population": ("gsa_par_id",), "interventions": ("ua",)},
    aliases=("ua_claimed",),
)
INTERVENTIONS = Table(
    "interventions",
    {"ua": TEXT, "ua_grp": TEXT, "interv": TEXT, "interv_lev": TEXT, "interv_typ": TEXT, "ua_grp_est": TEXT},
    ("ua",),
    may_be_empty=("ua_grp_est",),
    aliases=("inter",),
)
TABLES = (GSA_LPIS, CLAIMED, INTERVENTIONS, GSA, LPIS)  # the longer names first: they hold the shorter ones


def table_called(stem: str) -> Table | None:
    """Return the table that a file is, by its name; None where no word of it is known.

    Examples
    --------
    >>> stems = ("GSA_UA_CLAIMED_2026", "lpis", "AT_gsa_population")
    >>> [found.name for stem in stems if (found := table_called(stem))]
    ['gsa_ua_claimed', 'lpis_population', 'gsa_population']
    """
    words = stem.lower().replace("-", "_")
    by_name = next((table for table in TABLES if table.name in words), None)
    return by_name or next(
        (table for table in TABLES if any(alias in words for alias in table.aliases)), None
    )
