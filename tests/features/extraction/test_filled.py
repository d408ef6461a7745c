from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.accounting import Tally
from features.catalog.place import UNTILED
from features.errors import CropcheckError
from features.extraction.extract import extract
from features.extraction.filling import blocks
from features.extraction.observations import read_observations
from features.extraction.options import ExtractOptions
from features.extraction.units import forget_tiles
from features.imagery.masks import MaskOptions
from features.indices.uncertainty import fill_moments, propagate
from features.schema import STATISTICS
from tests.small_imagery import LEFT, TOP, Constant, field, optical, parcels, scene, table

OPTIONS = ExtractOptions(
    optical=("B04", "B05", "ndvi"),
    radar=(),
    inner_buffer_m=0.0,
    mask=MaskOptions(dilation_m=0.0),
    clear_block_px=16,
)


def season(folder: Path, cover: float) -> list[dict]:
    rng = np.random.default_rng(11)
    masks = [np.where(rng.random((30, 30)) < cover, 9, 4).astype(np.uint8) for _ in range(3)]
    return [optical(folder, day, scene(rng), mask) for day, mask in enumerate(masks)]


FIELDS = parcels(field(3, 5, 210, 190), field(220, 30, 301, 222), field(0, 300, 50, 50))


def test_without_clouds_filling_changes_nothing_and_blocks_combine_exactly(tmp_path: Path) -> None:
    rows = table(*season(tmp_path / "i", 0))
    extract(rows, FIELDS, OPTIONS, tmp_path / "plain")
    extract(rows, FIELDS, OPTIONS, tmp_path / "filled", remover=Constant())
    plain, filled = (read_observations(tmp_path / name) for name in ("plain", "filled"))
    assert plain.select("parcel_id", "datetime", "feature").equals(
        filled.select("parcel_id", "datetime", "feature")
    )
    for name in (*STATISTICS, "pixel_count", "valid_share", "filled_share", "sigma"):
        np.testing.assert_allclose(filled[name], plain[name], rtol=2e-6, atol=1e-8, err_msg=name)


def test_a_band_of_one_scene_alone_is_not_filled_and_sets_no_other_aside(tmp_path: Path) -> None:
    rows = season(tmp_path / "i", 0.2)
    for usual in rows[:2]:
        usual["assets"] = [a for a in usual["assets"] if a["band"] != "B05"]
    _, account = extract(table(*rows), FIELDS, OPTIONS, tmp_path / "o", remover=Constant())
    assert (account.came_in, account.went_out) == (3, 3)
    dates = read_observations(tmp_path / "o").group_by("feature").agg(pl.col("datetime").n_unique())
    assert dict(dates.iter_rows()) == {"B04": 3, "ndvi": 3}


def test_filled_pixels_count_and_carry_their_share_and_sigma(tmp_path: Path) -> None:
    rows = season(tmp_path / "i", 0.4)
    extract(table(*rows), FIELDS, OPTIONS, tmp_path / "o", remover=Constant(0.3, 0.02))
    seen_only = tmp_path / "plain"
    extract(table(*rows), FIELDS, OPTIONS, seen_only)
    filled, plain = read_observations(tmp_path / "o"), read_observations(seen_only)
    assert filled["valid_share"].to_numpy() == pytest.approx(1)
    seen = filled["valid_share"] - filled["filled_share"]
    np.testing.assert_allclose(seen, plain["valid_share"], atol=1e-6)
    red = (pl.col("feature") == "B04") & (pl.col("parcel_id") == "000001")
    for one, two in zip(filled.filter(red).to_dicts(), plain.filter(red).to_dicts(), strict=True):
        share = one["filled_share"]
        assert one["mean"] == pytest.approx(share * 0.3 + (1 - share) * two["mean"], rel=1e-5)
        assert one["sigma"] == pytest.approx(0.02 * share, rel=1e-4)


def test_margins_are_given_and_cut_away_again(tmp_path: Path) -> None:
    rows = table(*season(tmp_path / "i", 0.4))
    remover = Constant(margin_px=6)
    extract(rows, FIELDS, OPTIONS, tmp_path / "o", remover=remover)
    extract(rows, FIELDS, OPTIONS, tmp_path / "p", remover=Constant())
    assert max(call["y"] for call in remover.calls) == 16 + 2 * 6
    assert read_observations(tmp_path / "o").equals(read_observations(tmp_path / "p"))


def test_memory_that_runs_out_makes_blocks_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = table(*season(tmp_path / "i", 0.4))
    extract(rows, FIELDS, OPTIONS, tmp_path / "o", remover=Constant())
    monkeypatch.setattr("features.extraction.filling.tiles.LEAST_SIDE", 4)
    read, sides = blocks._read, []

    def short_of_memory(unit: blocks.BlockUnit) -> blocks._Held:
        sides.append(max(unit.block.shape))
        if sides[-1] > 8:
            raise MemoryError
        return read(unit)

    monkeypatch.setattr(blocks, "_read", short_of_memory)
    forget_tiles()
    extract(rows, FIELDS, OPTIONS, tmp_path / "p", remover=Constant())
    assert sides[0] == 16 and max(sides[sides.index(8) :]) == 8
    assert "blocks of 8 pixels" in caplog.text
    assert_alike(tmp_path / "o", tmp_path / "p")
    monkeypatch.setattr("features.extraction.filling.tiles.LEAST_SIDE", 16)
    with pytest.raises(CropcheckError, match=r"extract\.threads"):
        extract(rows, FIELDS, OPTIONS, tmp_path / "q", remover=Constant())


def test_a_small_budget_that_was_said_makes_blocks_smaller_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = table(*season(tmp_path / "i", 0.4))
    extract(rows, FIELDS, OPTIONS, tmp_path / "o", remover=Constant())
    monkeypatch.setattr("features.extraction.filling.tiles.LEAST_SIDE", 4)
    monkeypatch.setattr("features.extraction.filling.tiles.BESIDE_STACKS", 0)
    layers = 3 * 2  # dates and bands
    monkeypatch.setattr("features.extraction.filling.tiles.budget", lambda: 9 * 4 * layers * 8**2)
    forget_tiles()
    remover = Constant()
    extract(rows, FIELDS, OPTIONS, tmp_path / "q", remover=remover)
    assert max(call["y"] for call in remover.calls) == 16 + 2 * 2  # nobody said what may be used
    monkeypatch.setenv("CROPCHECK_MEMORY", "1")
    forget_tiles()
    remover = Constant()
    extract(rows, FIELDS, OPTIONS, tmp_path / "p", remover=remover)
    assert max(call["y"] for call in remover.calls) == 8 + 2 * 2  # B05's pixels are two by two of the others
    assert "blocks of 8 pixels rather than 16" in caplog.text
    assert "set extract.clear_block_px=8" in caplog.text
    assert_alike(tmp_path / "o", tmp_path / "p")


def assert_alike(one: Path, two: Path) -> None:
    first, second = read_observations(one), read_observations(two)
    assert first.select("parcel_id", "datetime", "feature").equals(
        second.select("parcel_id", "datetime", "feature")
    )
    for name in (*STATISTICS, "pixel_count", "valid_share", "filled_share", "sigma"):
        np.testing.assert_allclose(first[name], second[name], rtol=2e-6, atol=1e-8, err_msg=name)


def test_resumes_and_sets_a_broken_acquisition_aside(tmp_path: Path) -> None:
    rows = season(tmp_path / "i", 0.4)
    href = Path(rows[1]["assets"][1]["href"])
    href.write_bytes(href.read_bytes()[:-1500])
    remover = Constant()
    _, first = extract(table(*rows), FIELDS, OPTIONS, tmp_path / "o", remover=remover)
    calls = len(remover.calls)
    _, second = extract(table(*rows), FIELDS, OPTIONS, tmp_path / "o", remover=remover)
    assert first == second
    assert (first.went_out, first.set_aside) == (2, {"unreadable": 1})
    assert len(remover.calls) == calls
    assert not list((tmp_path / "o" / "blocks").iterdir())
    extract(table(*rows), FIELDS, OPTIONS, tmp_path / "o", remover=Constant(0.2))
    assert len(list((tmp_path / "o" / "parts").rglob("*.parquet"))) == 2


def test_what_could_not_be_read_is_tried_again_and_alone_until_it_can(tmp_path: Path) -> None:
    rows = season(tmp_path / "i", 0.4)
    same = {asset["href"]: "as before" for row in rows for asset in row["assets"]}  # as a link without ETag
    href = Path(rows[1]["assets"][1]["href"])
    whole = href.read_bytes()
    remover = Constant()

    def again() -> Tally:
        return extract(table(*rows), FIELDS, OPTIONS, tmp_path / "o", remover=remover, stamps=same)[1]

    extract(table(*rows), FIELDS, OPTIONS, tmp_path / "all", remover=Constant())
    href.write_bytes(whole[:-1500])
    assert again().set_aside == {"unreadable": 1}
    calls = len(remover.calls)
    parts = {path: path.read_bytes() for path in (tmp_path / "o").rglob("*.parquet")}
    assert again().set_aside == {"unreadable": 1}
    assert len(remover.calls) == calls
    assert {path: path.read_bytes() for path in (tmp_path / "o").rglob("*.parquet")} == parts
    href.write_bytes(whole)
    assert again().set_aside == {}
    assert read_observations(tmp_path / "o").equals(read_observations(tmp_path / "all"))


def test_sigma_of_an_index_is_its_first_order_propagation() -> None:
    red, nir = np.float32([0.1, 0.1]), np.float32([0.4, 0.4])
    sigma = {"B04": np.float32([0.01, 0.01]), "B08": np.float32([0.03, 0.03])}
    found = propagate("ndvi", {"B04": red, "B08": nir}, sigma, np.float32([1, 0]))
    expected = np.sqrt((2 * 0.4 / 0.25 * 0.01) ** 2 + (2 * 0.1 / 0.25 * 0.03) ** 2)
    assert found.tolist() == [pytest.approx(expected, rel=1e-3), 0]


def test_filled_weight_and_mean_sigma_are_sums_over_the_pixels_that_have_a_value() -> None:
    value = np.float32([1, 1, np.nan, 1])
    sigma, filled = np.float32([0.0, 0.2, 0.9, 0.4]), np.float32([0, 1, 1, 1])
    found = fill_moments(value, sigma, filled, np.float32([1, 1, 1, 0.5]), np.array([0, 3, 4]))
    np.testing.assert_allclose(found, [[1, 0.1, 2], [0.5, 0.4, 0.5]], rtol=1e-6)


@pytest.mark.parametrize(
    "damaged", ["parts/*/*.parquet", "parts/*/fill-*.json", "tiles/*.parquet", "coverage/*.npz"]
)
def test_what_a_killed_extraction_left_is_used_only_as_it_was_written(tmp_path: Path, damaged: str) -> None:
    rows = table(*season(tmp_path / "i", 0.4))
    extract(rows, FIELDS, OPTIONS, tmp_path / "o", remover=Constant())
    whole = {path: path.read_bytes() for path in (tmp_path / "o").rglob("*") if path.is_file()}
    path = next(path for path in sorted(whole) if path.match(damaged))
    for at in np.linspace(0, len(whole[path]) - 1, 5).astype(int):
        changed = bytearray(whole[path])
        changed[at] ^= 4
        path.write_bytes(changed)
        forget_tiles()  # as a new process
        extract(rows, FIELDS, OPTIONS, tmp_path / "o", remover=Constant())
        found = {path: path.read_bytes() for path in (tmp_path / "o").rglob("*") if path.is_file()}
        assert found == whole


@pytest.mark.parametrize("damaged", ["*-moments.npy", "*-samples.npy", "notes.json", "*-owners.npy"])
def test_a_block_that_was_damaged_between_two_runs_is_filled_again(
    tmp_path: Path, damaged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is killed when all blocks are there and none is joined; each file of a block is damaged."""
    rows = table(*season(tmp_path / "i", 0.4))
    extract(rows, FIELDS, OPTIONS, tmp_path / "all", remover=Constant())

    def killed(job: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("features.extraction.filling.tiles._join", killed)
        extract(rows, FIELDS, OPTIONS, tmp_path / "o", remover=Constant())
    path = sorted((tmp_path / "o" / "blocks").rglob(damaged))[0]
    changed = bytearray(path.read_bytes())
    changed[-3] ^= 4
    path.write_bytes(changed)
    remover = Constant()
    extract(rows, FIELDS, OPTIONS, tmp_path / "o", remover=remover)
    assert len(remover.calls) == 1  # the one block
    assert read_observations(tmp_path / "o").equals(read_observations(tmp_path / "all"))


def test_strips_that_drift_from_date_to_date_are_filled_where_they_lie(tmp_path: Path) -> None:
    """Images without a tile, of one lattice, of which each begins 100 m further south: a parcel in the north
    is seen on the first date, one in the middle on all, one in the south on the last.
    """
    rows = []
    for day in range(3):
        top = TOP - 100.0 * day
        bands = {"B04": np.full((60, 60), 2000 + 1000 * day, np.uint16)}
        classes = np.full((30, 30), 9 if day == 1 else 4, np.uint8)  # the second date is all cloud
        rows.append(optical(tmp_path / "i", day, bands, classes, tile=UNTILED, corner=(LEFT, top)))
    fields = parcels(field(100, 20, 60, 60), field(100, 300, 60, 60), field(100, 720, 60, 60))
    options = OPTIONS.model_copy(update={"optical": ("B04",)})
    _, account = extract(table(*rows), fields, options, tmp_path / "o", remover=Constant(0.3))
    assert account == Tally("extract", "acquisitions", 3, 3, {})
    found = read_observations(tmp_path / "o").filter(pl.col("pixel_count") > 0).sort("parcel_id", "datetime")
    means = {key[0]: part["mean"].to_list() for key, part in found.group_by("parcel_id")}
    assert means["000000"][0] == pytest.approx(0.1)
    assert means["000001"] == pytest.approx([0.1, 0.3, 0.3])
    assert means["000002"][-1] == pytest.approx(0.3)
    shares = {key[0]: part["filled_share"].to_list() for key, part in found.group_by("parcel_id")}
    assert (shares["000000"][0], shares["000001"], shares["000002"][-1]) == (0, [0, 1, 0], 0)
