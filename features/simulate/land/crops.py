# ruff: noqa: E501
"""The crops of the simulated region: national codes, shares, and how each grows."""

from dataclasses import dataclass

CEREAL, BROADLEAF, ROW, GRASS = "cereal", "broadleaf", "row", "grass"


@dataclass(frozen=True)
class Annual:
    """How an annual crop passes its year: thermal times in degree-days above `base_c`, between-field spreads beside.

    Winter crops count from 1 January, spring crops from their sowing day. Stages and spreads follow the
    phenology that Meier (2018, BBCH monograph) names and weather services report for the Low Countries and
    northern Germany; the spreads are those between fields of one district and year (sowing date, variety, soil).
    """

    form: str  # cereal, broadleaf or row: how the canopy stands and scatters
    base_c: float
    sowing: tuple[int, float]  # day of year and its spread, days; negative: in the autumn before
    leaf: tuple[float, float, float]  # mid of leaf growth, between-field spread, width
    heading: float  # ears, flowers or tassels out
    yellowing: tuple[float, float, float]  # mid of ripening, spread, width
    harvest: float  # ripe; the field is cut days later, when it is dry
    leaf_area: tuple[float, float]  # highest leaf area index and its spread
    chlorophyll: float  # ug cm-2 at its highest
    angle: float  # mean leaf inclination when grown, degrees
    winter_leaf_area: float = 0.0
    petals: float = 0.0  # cover of yellow flowers at full bloom
    water: float = 4.0  # plant water at its highest, kg m-2
    removed_day: float | None = None  # lifted or chopped by calendar instead of when ripe
    lifted: bool = False  # roots or tubers: harvest breaks the soil

    @property
    def sown_in_autumn(self) -> bool:
        """Whether the crop stands over winter."""
        return self.sowing[0] < 0


@dataclass(frozen=True)
class Grass:
    """How grass is used: cuts or grazing."""

    cuts: tuple[float, float]  # mean and spread of the number of cuts
    first_cut: tuple[int, float]  # day of year and its spread
    grazing: float  # share of growth eaten continuously
    leaf_area: tuple[float, float]  # what the sward tends to
    chlorophyll: float
    dead_share: float  # standing dead matter by late summer


@dataclass(frozen=True)
class Crop:
    """One modelling class with its share of the parcels and how it grows."""

    name: str
    share: float
    growth: Annual | Grass


@dataclass(frozen=True)
class Code:
    """One national code, as an agency's table has it; without `crop` and HCAT code where it is not monitored."""

    code: str
    name: str
    hcat_code: str
    crop: str | None
    share: float  # of its crop's parcels, or of all parcels where there is no crop


CROPS = (
    Crop("winter_wheat", 0.215, Annual(CEREAL, 0, (-78, 10), (590, 75, 86), 1190, (1900, 95, 80), 2290, (5.2, 0.9), 50, 62, 0.26)),
    Crop("winter_barley", 0.085, Annual(CEREAL, 0, (-95, 8), (470, 70, 90), 940, (1580, 90, 80), 1940, (4.9, 0.9), 46, 58, 0.45)),
    Crop("winter_rye", 0.04, Annual(CEREAL, 0, (-88, 9), (470, 75, 85), 980, (1795, 95, 85), 2220, (4.3, 0.9), 43, 66, 0.4)),
    Crop("triticale", 0.045, Annual(CEREAL, 0, (-85, 9), (515, 75, 90), 1090, (1830, 95, 85), 2240, (4.9, 0.9), 47, 63, 0.36)),
    Crop("spring_barley", 0.05, Annual(CEREAL, 0, (82, 9), (450, 60, 80), 880, (1435, 90, 80), 1760, (4.5, 0.9), 45, 58)),
    Crop("oats", 0.02, Annual(CEREAL, 0, (80, 9), (470, 65, 85), 950, (1535, 95, 85), 1880, (4.6, 0.9), 43, 60)),
    Crop("winter_rapeseed", 0.065, Annual(BROADLEAF, 0, (-125, 7), (350, 70, 90), 780, (1600, 85, 75), 2010, (4.8, 0.8), 52, 48, 1.3, 0.34, 6.0)),
    Crop("maize", 0.15, Annual(ROW, 8, (124, 8), (428, 55, 50), 640, (1250, 90, 110), 1300, (4.6, 0.8), 54, 54, 0.0, 0.0, 5.5, 283)),
    Crop("sugar_beet", 0.045, Annual(ROW, 3, (92, 8), (640, 75, 95), 1200, (3300, 250, 250), 2500, (4.6, 0.8), 47, 50, 0.0, 0.0, 6.0, 292, True)),
    Crop("potatoes", 0.04, Annual(ROW, 3, (112, 10), (520, 70, 75), 800, (1620, 130, 95), 1850, (4.4, 0.9), 46, 42, 0.0, 0.02, 4.5, 262, True)),
    Crop("peas_beans", 0.025, Annual(BROADLEAF, 2, (78, 10), (430, 75, 75), 700, (1230, 95, 75), 1480, (3.8, 0.8), 44, 44, 0.0, 0.0, 3.6)),
    Crop("sunflower", 0.015, Annual(ROW, 6, (112, 9), (430, 65, 65), 720, (1330, 100, 100), 1560, (3.2, 0.7), 45, 42, 0.0, 0.12, 4.2)),
    Crop("grassland_mown", 0.105, Grass((3.4, 0.8), (138, 11), 0.0, (4.0, 1.0), 42, 0.14)),
    Crop("grassland_grazed", 0.07, Grass((0.6, 0.6), (165, 16), 0.55, (2.6, 0.7), 40, 0.2)),
    Crop("fallow", 0.03, Grass((0.7, 0.6), (205, 25), 0.0, (2.1, 0.9), 34, 0.42)),
)  # fmt: skip
CODES = (
    Code("001", "winter wheat, soft", "3301010101", "winter_wheat", 0.96),
    Code("002", "winter spelt", "3301011001", "winter_wheat", 0.04),
    Code("011", "winter barley", "3301010401", "winter_barley", 1.0),
    Code("012", "spring barley", "3301010402", "spring_barley", 1.0),
    Code("021", "winter rye", "3301010301", "winter_rye", 1.0),
    Code("031", "winter triticale", "3301010801", "triticale", 1.0),
    Code("041", "spring oats", "3301010502", "oats", 1.0),
    Code("101", "grain maize", "3301010699", "maize", 0.4),
    Code("102", "silage maize", "3301090400", "maize", 0.6),
    Code("201", "winter rapeseed", "3301060402", "winter_rapeseed", 1.0),
    Code("211", "sunflower", "3301060500", "sunflower", 1.0),
    Code("301", "sugar beet", "3301290700", "sugar_beet", 1.0),
    Code("311", "potatoes for starch", "3301030000", "potatoes", 0.45),
    Code("312", "potatoes for eating", "3301030000", "potatoes", 0.55),
    Code("401", "field peas", "3301020600", "peas_beans", 0.55),
    Code("402", "field beans", "3301020100", "peas_beans", 0.45),
    Code("451", "meadow, mown", "3302000000", "grassland_mown", 1.0),
    Code("452", "pasture, grazed", "3302000000", "grassland_grazed", 1.0),
    Code("591", "fallow land", "3301110000", "fallow", 1.0),
    Code("810", "tree nursery", "", None, 0.006),
    Code("990", "house garden", "", None, 0.003),
)
# what a code may be claimed under; the first is the rule, the others what its holder may add
INTERVENTIONS = {
    "peas_beans": ("CIS_protein", "ECO_legumes"),
    "sugar_beet": ("CIS_sugar_beet", "BISS"),
    "potatoes": ("BISS", "CIS_starch_potato"),
    "grassland_mown": ("ECO_grassland", "BISS"),
    "grassland_grazed": ("ECO_grassland", "BISS"),
    "fallow": ("ECO_fallow", "BISS"),
    "spring_barley": ("BISS", "ECO_diversity"),
    "oats": ("BISS", "ECO_diversity"),
}


def crop_named(name: str) -> Crop:
    """Return the crop of a class name."""
    return next(crop for crop in CROPS if crop.name == name)


def code_of(code: str) -> Code:
    """Return the entry of a national code."""
    return next(entry for entry in CODES if entry.code == code)
