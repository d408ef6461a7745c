"""The simulated land: parcels, people, crops, declarations and how fields look through the year."""

from datetime import date

import numpy as np
import pytest

from features.simulate.land.crops import CODES, CROPS, Annual
from features.simulate.land.declare import declare
from features.simulate.land.landscape import make_landscape
from features.simulate.land.population import PERMANENT, choose_crops
from features.simulate.land.weather import Climate, make_weather, root_zone_stress, top_soil_moisture
from features.simulate.options import SimulationOptions
from features.simulate.region.scenes import palette
from features.simulate.region.world import World, make_world
from features.simulate.sensors.canopy import TABLE_FILE, canopy_reflectance, canopy_table, soil_reflectance
from features.simulate.sensors.radar import Pass, backscatter, coherence

OPTIONS = SimulationOptions(n_parcels=900)
RED, NIR = 2, 6


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(OPTIONS, 2024, 5)


def ndvi(world: World, day: int) -> np.ndarray:
    """NDVI of every field on a day of year."""
    rho = palette(world, world.january + day, 40.0).base[1 : 1 + len(world.fields)]
    return (rho[:, NIR] - rho[:, RED]) / (rho[:, NIR] + rho[:, RED])


def median_ndvi(world: World, crop: str, day: int) -> float:
    return float(np.median(ndvi(world, day)[world.fields.crop == crop]))


# land and people


def test_parcels_have_realistic_sizes() -> None:
    land = make_landscape(2600, 1.6, 0.86, seed=1)
    hectares = np.array([parcel.area for parcel in land.parcels]) / 1e4
    assert len(hectares) == 2600
    assert 1.3 < np.median(hectares) < 2.0
    assert 0.5 < np.std(np.log(hectares)) < 0.95
    assert hectares.min() < 0.4 and hectares.max() > 7
    assert 0.6 < hectares.sum() / (land.width * land.height / 1e4) < 0.95


def test_holdings_have_several_parcels_near_each_other(world: World) -> None:
    names, counts = np.unique(world.holding, return_counts=True)
    assert 5 < OPTIONS.n_parcels / len(names) < 25
    assert (counts > 1).mean() > 0.7
    centres = np.array([parcel.centroid.coords[0] for parcel in world.parcels])
    within = np.mean(
        [
            np.linalg.norm(centres[world.holding == n] - centres[world.holding == n].mean(0), axis=1).mean()
            for n in names
        ]
    )
    overall = np.linalg.norm(centres - centres.mean(0), axis=1).mean()
    assert within < 0.6 * overall
    assert all(len(name) == 12 and int(name, 16) >= 0 for name in names), (
        "a pseudonym, not a name or a number"
    )


def test_a_holding_lies_in_one_of_two_regions(world: World) -> None:
    assert len(set(world.population.region)) == 2
    for name in np.unique(world.holding):
        assert len(set(world.population.region[world.holding == name])) == 1


def test_crops_are_many_imbalanced_and_as_asked(world: World) -> None:
    crop = world.population.crop
    for entry in CROPS:
        assert abs((crop == entry.name).mean() - entry.share) < 0.01
    assert len(CROPS) >= 10
    assert max(c.share for c in CROPS) > 10 * min(c.share for c in CROPS)
    assert (crop == "").any(), "some codes are not monitored"


def test_permanent_grass_stays_and_arable_crops_rotate() -> None:
    rng = np.random.default_rng(0)
    holding, soil = rng.integers(0, 40, 500), rng.integers(1, 5, 500).astype(float)
    (first, _), (second, _) = (choose_crops(holding, soil, 1, season) for season in (2023, 2024))
    grass = np.isin(first, PERMANENT)
    assert (first == second)[grass].all()
    assert (first == second)[~grass].mean() < 0.4


def test_codes_are_strings_with_their_zeros_and_known_to_hcat() -> None:
    assert all(len(entry.code) == 3 for entry in CODES)
    assert all(len(entry.hcat_code) == (10 if entry.crop else 0) for entry in CODES)
    assert {entry.crop for entry in CODES} == {crop.name for crop in CROPS} | {None}


# declarations


def test_the_asked_share_of_declarations_is_wrong(world: World) -> None:
    classes = {entry.code: entry.crop or "" for entry in CODES}
    declared = np.array([classes[code] for code in world.declared.code])
    differs = declared != world.population.crop
    assert world.declared.wrong.sum() == round(0.03 * OPTIONS.n_parcels)
    assert (differs == world.declared.wrong).all(), (
        "a wrong declaration names another class, a right one never does"
    )


def test_wrong_declarations_have_realistic_causes(world: World) -> None:
    centres = np.array([parcel.centroid.coords[0] for parcel in world.parcels])
    declared = declare(world.population, centres, 0.5, seed=1, season=2024)
    classes = {entry.code: entry.crop for entry in CODES}
    pairs = [
        (t, classes[c])
        for t, c in zip(world.population.crop[declared.wrong], declared.code[declared.wrong], strict=True)
    ]
    assert ("winter_wheat", "triticale") in pairs, "a similar crop"
    assert any(t not in ("fallow", *PERMANENT) and c == "peas_beans" for t, c in pairs), (
        "a crop with more aid"
    )
    assert any(t == "fallow" and c in ("winter_wheat", "maize", "spring_barley") for t, c in pairs), (
        "land left idle"
    )
    assert sum(pair[::-1] in pairs for pair in pairs) > 20, "neighbours mixed up: both ways"


def test_interventions_fit_the_declared_crop(world: World) -> None:
    protein = np.isin(world.declared.code, ("401", "402"))
    assert set(world.declared.intervention[protein]) <= {"CIS_protein", "ECO_legumes"}
    assert set(world.declared.intervention[~protein]).isdisjoint({"CIS_protein"})


def test_some_parcels_grow_two_crops_and_half_of_them_say_so(world: World) -> None:
    assert 0.005 < len(world.parts) / OPTIONS.n_parcels < 0.03
    assert 0 < (world.second_code != "").sum() < len(world.parts)


# growth


@pytest.mark.parametrize(
    ("crop", "green", "bare"),
    [
        ("winter_wheat", 145, 208),
        ("winter_barley", 125, 190),
        ("maize", 215, 135),
        ("sugar_beet", 225, 105),
        ("winter_rapeseed", 150, 205),
    ],
)
def test_annual_crops_rise_and_fall(world: World, crop: str, green: int, bare: int) -> None:
    assert median_ndvi(world, crop, green) > 0.75
    assert median_ndvi(world, crop, bare) < 0.4


def test_winter_barley_ripens_two_to_four_weeks_before_wheat(world: World) -> None:
    days = np.arange(140, 230)
    curves = {
        crop: np.array([median_ndvi(world, crop, int(day)) for day in days])
        for crop in ("winter_barley", "winter_wheat")
    }
    barley, wheat = (int(days[np.argmax(curve < 0.5)]) for curve in curves.values())
    assert 10 <= wheat - barley <= 28


@pytest.mark.parametrize(
    "pair",
    [
        ("winter_wheat", "triticale"),
        ("winter_rye", "triticale"),
        ("spring_barley", "oats"),
        ("grassland_grazed", "fallow"),
    ],
)
def test_similar_crops_overlap_on_every_date(world: World, pair: tuple[str, str]) -> None:
    """On no day does a threshold on NDVI tell more than nine in ten fields of the pair apart."""
    for day in range(70, 290, 10):
        values = [ndvi(world, day)[world.fields.crop == crop] for crop in pair]
        levels = np.quantile(np.concatenate(values), np.linspace(0.02, 0.98, 49))
        right = [(np.mean(values[0] > level) + np.mean(values[1] <= level)) / 2 for level in levels]
        assert max(*right, 1 - min(right)) < 0.9, day


def test_fields_of_one_crop_differ_by_about_a_week(world: World) -> None:
    days = np.arange(150, 230)
    rows = np.flatnonzero(world.fields.crop == "winter_wheat")
    curve = np.stack([ndvi(world, int(day))[rows] for day in days])
    ripening = days[np.argmax(curve < 0.5, axis=0)]
    assert 3 < np.std(ripening) < 10


def test_mowing_shows_at_once_and_grows_back(world: World) -> None:
    rows = np.flatnonzero(world.fields.crop == "grassland_mown")
    leaf = world.states.leaf_area[rows]
    drop = -np.diff(leaf[:, 100:280], axis=1)
    cuts = (drop > 0.8).sum(axis=1)
    assert 2 <= np.median(cuts) <= 5
    field, day = np.argwhere(drop > 1.5)[0]
    assert leaf[field, 100 + day + 40] > leaf[field, 100 + day + 1] + 0.5


def test_grazed_grass_is_never_mown_short_everywhere(world: World) -> None:
    grazed = world.fields.crop == "grassland_grazed"
    assert np.median(np.diff(world.states.leaf_area[grazed][:, 100:280]).min(axis=1)) > -1.5


def test_dry_soils_ripen_and_suffer_first() -> None:
    weather = make_weather(2024, 1)
    stress = root_zone_stress(weather, np.array([80.0, 200.0]))
    assert stress[0].sum() > stress[1].sum()
    assert ((stress >= 0) & (stress <= 1)).all()


def test_height_delays_growth(world: World) -> None:
    """Where the terrain is higher it is colder: 0.65 K per 100 m."""
    fields = world.fields
    wheat = fields.crop == "winter_wheat"
    slope = np.polyfit(fields.warming_c[wheat], world.states.leaf_area[wheat, 115], 1)
    assert slope[0] > 0.05, "warmer fields are further on in April"


def test_two_seasons_have_different_weather_of_one_climate() -> None:
    first, second = make_weather(2023, 1), make_weather(2024, 1)
    july = [
        w.t_mean_c[w.index(date(y, 7, 1)) : w.index(date(y, 8, 1))].mean()
        for w, y in ((first, 2023), (second, 2024))
    ]
    assert all(14 < mean < 23 for mean in july)
    assert abs(first.t_mean_c[:300] - second.t_mean_c[:300]).mean() > 1
    assert (first.t_max_c >= first.t_min_c).all()
    annual = [w.precipitation_mm[122:].sum() for w in (make_weather(2024, seed) for seed in range(12))]
    assert 600 < np.mean(annual) < 950


def test_a_warmer_and_drier_climate_has_the_same_days_with_other_values() -> None:
    mild, warm = make_weather(2024, 1), make_weather(2024, 1, Climate(warmer_c=3, rain_factor=0.5))
    np.testing.assert_allclose(warm.t_mean_c, mild.t_mean_c + 3, atol=0.1001)
    np.testing.assert_allclose(warm.precipitation_mm, mild.precipitation_mm / 2, atol=0.0501)


def test_where_it_is_warmer_crops_are_sown_and_ripe_earlier() -> None:
    """Spring is as warm 7.6 days earlier a degree; then warmth does the rest."""
    worlds = [make_world(SimulationOptions(n_parcels=200, warmer_c=c), 2024, 5) for c in (0, 3)]

    def median_day(world: World, crop: str, what: str) -> float:
        field, event, day, _ = world.diary.table()
        mine = (event == what) & np.isin(field, np.flatnonzero(world.fields.crop == crop))
        _, first = np.unique(field[mine], return_index=True)  # in each field: they are in order
        return float(np.median(day[mine][first]))

    def days_earlier(crop: str, what: str) -> float:
        mild, warm = (median_day(world, crop, what) for world in worlds)
        return mild - warm

    assert days_earlier("maize", "sowing") == pytest.approx(23, abs=2)
    assert 15 < days_earlier("winter_wheat", "harvest") < 50
    assert 10 < days_earlier("grassland_mown", "mowing") < 30


def test_rain_wets_the_soil_and_days_dry_it() -> None:
    weather = make_weather(2024, 1)
    wet = top_soil_moisture(weather)
    rainy = weather.precipitation_mm[1:] > 10
    assert (np.diff(wet)[rainy & (wet[:-1] < 0.5)] > 0).all()
    assert (np.diff(wet)[weather.precipitation_mm[1:] == 0] < 0).all()


# canopy


def test_the_table_says_where_it_comes_from_and_needs_no_pickle() -> None:
    with np.load(TABLE_FILE, allow_pickle=False) as file:
        assert "prosail 2.0.5" in str(file["provenance"])
    assert TABLE_FILE.stat().st_size < 1.5e6
    assert np.isfinite(canopy_table().values).all()


def look(leaf_area: float, **changes: float) -> np.ndarray:
    given = {"leaf_area": leaf_area, "chlorophyll": 45.0, "senescence": 0.0, "leaf_angle": 50.0} | changes
    states = {name: np.array([value], np.float32) for name, value in given.items()}
    soil = soil_reflectance(np.array([0.7]), np.array([0.3]), np.array([0.0]))
    return canopy_reflectance(**states, sun_zenith=40.0, soil=soil, petals=np.zeros(1, np.float32))[0]


def test_bare_ground_shows_its_soil() -> None:
    soil = soil_reflectance(np.array([0.7]), np.array([0.3]), np.array([0.0]))[0]
    np.testing.assert_allclose(look(0.0), soil, atol=2e-3)


def test_leaves_darken_red_and_brighten_near_infrared() -> None:
    thin, dense = look(0.5), look(4.0)
    assert dense[RED] < thin[RED] < look(0.0)[RED]
    assert dense[NIR] > thin[NIR] > look(0.0)[NIR]


def test_between_nodes_the_table_is_monotonic_in_leaf_area() -> None:
    near_infrared = [look(x)[NIR] for x in np.linspace(0.3, 6, 40)]
    assert (np.diff(near_infrared) > 0).all()


def test_senescence_removes_the_red_edge() -> None:
    green, brown = look(3.0), look(3.0, senescence=1.0)
    assert brown[RED] > green[RED] and brown[NIR] < green[NIR]


# radar


def at(day: int) -> Pass:
    return Pass(incidence=38.0, day=day, previous_day=day - 6)


def median_coherence(world: World, crop: str, day: int) -> float:
    return float(np.median(coherence(world.states, world.fields, at(day), 1.0)[world.fields.crop == crop, 0]))


def test_coherence_falls_with_growth_and_rises_after_harvest(world: World) -> None:
    grown, stubble = (
        median_coherence(world, "winter_wheat", 150),
        median_coherence(world, "winter_wheat", 232),
    )
    assert grown < 0.25
    assert stubble > 0.45


def test_coherence_rises_when_grass_is_cut(world: World) -> None:
    rows = np.flatnonzero(world.fields.crop == "grassland_mown")
    drop = -np.diff(world.states.leaf_area[rows], axis=1)
    field, day = np.argwhere(drop > 2.0)[0]
    before, across, after = (
        coherence(world.states, world.fields, at(day + k), 1.0)[rows[field], 0] for k in (0, 3, 9)
    )
    assert across < after, "the cut itself lies between two passes and breaks coherence"
    assert before < after, "short grass holds still"


def test_vv_exceeds_vh_and_oblique_looks_are_darker(world: World) -> None:
    near = 10 * np.log10(backscatter(world.states, world.fields, Pass(33.0, 100, 94), 0.4))
    far = 10 * np.log10(backscatter(world.states, world.fields, Pass(43.0, 100, 94), 0.4))
    assert (near[:, 0] > near[:, 1] + 2).all()
    assert np.median(near[:, 0] - far[:, 0]) > 0.5


def test_wet_soil_is_brighter(world: World) -> None:
    dry, wet = (
        10 * np.log10(backscatter(world.states, world.fields, at(110), level)) for level in (0.1, 0.9)
    )
    bare = world.fields.crop == "maize"
    assert 1.5 < np.median((wet - dry)[bare, 0]) < 4


def test_without_spread_all_fields_of_a_crop_share_one_calendar() -> None:
    uniform = make_world(OPTIONS.model_copy(update={"spread": 0.0, "n_parcels": 300}), 2024, 5)
    real = make_world(OPTIONS.model_copy(update={"n_parcels": 300}), 2024, 5)
    wheat = [w.states.leaf_area[w.fields.crop == "winter_wheat", 105].std() for w in (uniform, real)]
    assert wheat[0] < 0.5 * wheat[1]


def test_every_annual_crop_has_a_plausible_calendar() -> None:
    for crop in CROPS:
        if isinstance(crop.growth, Annual):
            assert crop.growth.leaf[0] < crop.growth.heading < crop.growth.yellowing[0]


@pytest.mark.parametrize("seed", [11, 12])
def test_the_sides_of_a_region_are_whole_pixels_of_20_m(seed: int) -> None:
    """Seed 11 finds no side that gives the wanted number of fields; it takes the last one tried."""
    land = make_landscape(150, 1.6, 0.86, seed)
    assert (land.width % 20, land.height % 20, len(land.parcels)) == (0, 0, 150)
