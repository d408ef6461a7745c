"""What the pages are made of: figures, words, quality, pictures, escaping."""

import re
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.schema import SchemaError
from reports.embed import clean, embed_json, file_name, policy
from reports.options import PublishOptions
from reports.pages.follow_up import candidates
from reports.pages.sections.confusion import confusion_of
from reports.pages.sections.drift import stability
from reports.pages.sections.evaluation import stored
from reports.pages.sections.quality import errors_by, false_alarm_curve, quality_of, reliability, set_coverage
from reports.pages.sections.summary import group, split
from reports.sheet.pictures.colours import png
from reports.sheet.reasons import weights_of
from reports.sheet.season import Season
from reports.sheet.sheets import p_sentence
from reports.svg import Plot, _n, _numbers, heat_map
from reports.translation import translation
from reports.words import feature_words, step_words
from tests.mock_run import make_run

TEXT = translation("en")


@given(st.lists(st.floats(-1e4, 1e4)))
def test_many_coordinates_are_written_as_one_is(values: list[float]) -> None:
    assert _numbers(np.array(values)) == [_n(value) for value in values]


def test_a_band_goes_up_and_comes_back_where_both_ends_are_known() -> None:
    """Ten pixels a unit on both axes, counted downwards."""
    plot = Plot(50, 50, (0, 5), (0, 5), "band", left=0, right=0, top=0, bottom=0)
    plot.band([0, 1, 2, 3], [1, 1, float("nan"), 1], [2, 3, 4, 2], "b")
    assert plot.parts == ['<path class="b" d="M0 30L10 20L30 30L30 40L10 40L0 40z"/>']


def test_an_unknown_point_breaks_a_line() -> None:
    figure = (
        Plot(100, 50, (0, 3), (0, 1), "line").line([0, 1, 2, 3], [0.1, float("nan"), 0.5, 0.6], "l0").markup()
    )
    assert figure.count("M") == 2


def test_a_figure_escapes_its_texts() -> None:
    figure = Plot(10, 10, (0, 1), (0, 1), '"><script>').text(1, 1, "<b>&", "tick").markup()
    assert "<script>" not in figure
    assert "&lt;b&gt;&amp;" in figure


def test_a_heat_map_has_room_for_its_longest_label() -> None:
    """The label ends where `x` says; wide letters of the 10.5 px of a tick take 6 px on average."""
    label = "Backscatter VH - VV, relative orbit 139 (dB)"
    figure = heat_map([label, "NDVI"], ["Jan"], np.ones((2, 1)), "heat")
    (end,) = {float(x) for x in re.findall(r'class="tick end" x="([\d.]+)"', figure)}
    assert end >= 6 * len(label)


def test_a_heat_map_leaves_unknown_cells_blank() -> None:
    figure = heat_map(["a", "b"], ["Jan", ""], np.array([[0.0, 1.0], [np.nan, 0.5]]), "heat")
    assert figure.count("h15v12") == 3


def test_one_pixel_is_a_png_that_others_read() -> None:
    import imagecodecs

    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert np.array_equal(imagecodecs.png_decode(png(pixels)), pixels)


def test_json_survives_its_embedding() -> None:
    assert "</" not in embed_json(["</script>", "\u2028", "<!--"])


def test_names_of_sheets_do_not_collide() -> None:
    names = ["a/b", "a.b", "a b", "a-b", "..", "", "x" * 300]
    assert len({file_name(name) for name in names}) == len(names)


def test_control_characters_and_direction_marks_go() -> None:
    assert clean("a\u202eb\u0000\u200f\ud800c") == "abc"


def test_the_policy_names_only_hashes() -> None:
    assert "unsafe" not in policy(["a"], ["b"])
    assert "script-src 'none'" in policy(["a"], [])


def test_settled_parcels_do_not_come_back_as_doubts() -> None:
    run = make_run(200, 1)
    flagged = run.verdicts["verdict"] == "contradicted"
    settled = run.verdicts.with_columns(
        reason=pl.when(flagged).then(pl.lit("field_wrong")).otherwise("reason"),
        q_value=pl.when(flagged).then(None).otherwise("q_value"),
    )
    listed = candidates(make_run(200, 1, verdicts=settled), PublishOptions()).filter("listed")
    assert not (listed["verdict"] == "contradicted").any()


def test_sheets_stop_at_their_limit_but_the_list_does_not() -> None:
    listed = candidates(make_run(300, 1), PublishOptions(max_sheets=3, list_rate_limit=1))
    assert listed["sheet"].is_not_null().sum() == 3
    assert len(listed) > 3


def test_groups_add_up() -> None:
    table = make_run(200, 1).table
    rows = group(table, "region", str, "none")
    assert sum(row.total.parcels for row in rows) == 200
    assert sum(amount.hectares for amount in split(table).by_verdict.values()) == pytest.approx(
        split(table).total.hectares
    )


def test_shares_lie_in_their_intervals() -> None:
    quality = quality_of(make_run(400, 1))
    shares = [share for _, share in reliability(quality)] + [
        share for _, share in false_alarm_curve(quality, (0.05, 0.2))
    ]
    shares.append(set_coverage(quality))
    assert quality.groups == "holding"
    for share in shares:
        assert share.low is not None
        assert share.low - 1e-9 <= share.value <= share.high + 1e-9


def test_errors_by_a_group_are_those_of_the_table() -> None:
    quality = quality_of(make_run(400, 1))
    label = np.array([f"0|{name}" for name in quality.table["region"]], dtype=object)
    for share in errors_by(quality, label):
        part = quality.table.filter(pl.col("region") == share.name.split("|")[1])
        assert share.value == pytest.approx(1 - part["right"].mean())
        assert share.n == len(part)


def test_blocks_stand_in_where_there_are_no_holdings() -> None:
    run = make_run(400, 1)
    declarations = run.declarations.assign(holding_id=None)
    assert quality_of(make_run(400, 1, declarations=declarations)).groups in ("block", "none")


def test_another_key_for_holdings_moves_no_interval() -> None:
    run = make_run(400, 1)
    turned = run.declarations.assign(holding_id=run.declarations["holding_id"].str[::-1])
    one, two = (set_coverage(quality_of(r)) for r in (run, make_run(400, 1, declarations=turned)))
    assert (one.low, one.high) == (two.low, two.high)


def test_confusion_counts_every_judged_parcel() -> None:
    run = make_run(150, 1)
    assert confusion_of(quality_of(run)).count.sum() == run.verdicts["predicted"].count()


def test_contributions_push_from_declared_to_predicted() -> None:
    run = make_run(120, 1)
    weights = weights_of(run)
    parcel = next(iter(weights))
    rows = run.contributions.filter(pl.col("parcel_id") == parcel)
    of = run.verdicts.filter(pl.col("parcel_id") == parcel).row(0, named=True)
    first = weights[parcel][0]
    cell = rows.filter((pl.col("feature") == first.feature) & (pl.col("time") == first.day))
    push = sum(
        value * ((name == of["predicted"]) - (name == of["crop_class"]))
        for name, value in cell.select("crop_class", "contribution").iter_rows()
    )
    assert first.push == pytest.approx(push, rel=1e-4)
    assert [abs(weight.push) for weight in weights[parcel]] == sorted(
        (abs(w.push) for w in weights[parcel]), reverse=True
    )


def test_ranges_hold_the_middle_of_a_class() -> None:
    season = Season(make_run(400, 1))
    band = season.range_of("maize", "ndvi")
    places = np.flatnonzero(season.classes == "maize")
    members = np.array([season.own(place)[0][:, season.features.index("ndvi")] for place in places])
    inside = (members >= band[0]) & (members <= band[2])
    assert 0.7 < inside.mean() < 0.9
    assert season.range_of("unheard of", "ndvi") is None


def test_steps_and_features_in_words() -> None:
    assert step_words(date(2025, 5, 11), date(2025, 5, 21), TEXT) == "11–20 May"
    assert step_words(date(2025, 5, 28), date(2025, 6, 4), TEXT) == "28 May – 3 Jun"
    assert feature_words("unheard_of", TEXT) == "unheard_of"


@pytest.mark.parametrize(
    ("p", "said"),
    [(0.0004, "at most one"), (0.02, "about 20"), (0.31, "about 31"), (None, "nothing to compare")],
)
def test_a_p_value_is_said_plainly(p: float | None, said: str) -> None:
    assert said in p_sentence(p, "maize", TEXT)


def test_a_stored_table_without_its_columns_is_refused() -> None:
    run = make_run(30, 1, evaluation={"in_season": pl.DataFrame({"day": [1]})})
    with pytest.raises(SchemaError, match="in_season"):
        stored(run, "in_season")


def test_stability_grows_with_the_change() -> None:
    assert stability({"a": 0.5, "b": 0.5}, {"a": 0.6, "b": 0.4}) < stability(
        {"a": 0.5, "b": 0.5}, {"a": 0.9, "b": 0.1}
    )


def test_contributions_of_some_parcels_are_those_of_all() -> None:
    run = make_run(60, 1)
    every = weights_of(run)
    some = list(every)[3:5]
    assert weights_of(run, some) == {name: every[name] for name in some}
