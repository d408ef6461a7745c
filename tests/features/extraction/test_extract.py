from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
import pytest
import rasterio
import shapely

from features.accounting import Tally
from features.errors import ImageryError
from features.extraction.extract import extract, read_remarks_table, read_set_aside
from features.extraction.observations import read_observations
from features.extraction.options import ExtractOptions
from features.imagery.masks import MaskOptions
from features.schema import OBSERVATIONS, PARCELS, STATISTICS
from tests.small_imagery import (
    LEFT,
    SIDE,
    TOP,
    Constant,
    acquisition,
    all_clear,
    asset,
    field,
    optical,
    parcels,
    radar,
    scene,
    table,
    write_tif,
)

OPTIONS = ExtractOptions(
    optical=("B04", "B05", "ndvi"), radar=("s0vv_db", "ratio_db"), inner_buffer_m=0.0,
    mask=MaskOptions(dilation_m=0.0),
)  # fmt: skip


def row(observations: pl.DataFrame, parcel: str, feature: str) -> dict[str, float]:
    (found,) = observations.filter(pl.col("parcel_id") == parcel, pl.col("feature") == feature).to_dicts()
    return found


def test_bands_indices_and_masks_on_their_own_grids(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    bands, classes = scene(rng), all_clear()
    classes[0:2, 0:3] = 9  # 40 m x 60 m of cloud in the corner
    fields = parcels(field(0, 0, 100, 80), field(120, 40, 200, 200))
    found, account = extract(
        table(optical(tmp_path / "i", 0, bands, classes)), fields, OPTIONS, tmp_path / "o"
    )
    assert account == Tally("extract", "acquisitions", 1, 1, {})
    observations = read_observations(tmp_path / "o")
    assert observations.schema == OBSERVATIONS
    assert found.schema == PARCELS
    assert found["full_pixels"].to_list() == [80, 400]
    red, nir = (bands[name] * 1e-4 - 0.1 for name in ("B04", "B08"))
    seen = np.ones((8, 10), bool)
    seen[:4, :6] = False
    first = row(observations, "000000", "B04")
    assert first["mean"] == pytest.approx(red[:8, :10][seen].mean(), rel=1e-6)
    assert (first["pixel_count"], first["valid_share"]) == (56, pytest.approx(0.7))
    second = row(observations, "000001", "ndvi")
    ndvi = ((nir - red) / (nir + red))[4:24, 12:32]
    assert second["mean"] == pytest.approx(ndvi.mean(), rel=1e-5)
    assert [second[q] for q in ("p25", "median", "p75")] == pytest.approx(
        np.quantile(ndvi, [0.25, 0.5, 0.75]), rel=1e-5
    )
    coarse = row(observations, "000001", "B05")
    assert coarse["mean"] == pytest.approx((bands["B05"] * 1e-4 - 0.1)[2:12, 6:16].mean(), rel=1e-6)
    assert coarse["pixel_count"] == 100


def test_means_of_backscatter_are_taken_of_power(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    power = {name: rng.gamma(4, 0.02, (SIDE, SIDE)).astype(np.float32) for name in ("vv", "vh")}
    extract(table(radar(tmp_path / "i", 0, power)), parcels(field(0, 0, 300, 300)), OPTIONS, tmp_path / "o")
    observations = read_observations(tmp_path / "o")
    means = {name: power[name][:30, :30].mean() for name in power}
    assert row(observations, "000000", "s0vv_db")["mean"] == pytest.approx(
        10 * np.log10(means["vv"]), rel=1e-5
    )
    assert row(observations, "000000", "ratio_db")["mean"] == pytest.approx(
        10 * np.log10(means["vh"] / means["vv"]), rel=1e-4
    )
    decibels = 10 * np.log10(power["vv"][:30, :30])
    assert row(observations, "000000", "s0vv_db")["median"] == pytest.approx(np.median(decibels), rel=1e-5)


def test_blocks_give_what_the_whole_gives(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    classes = np.where(rng.random((30, 30)) < 0.3, 9, 4).astype(np.uint8)
    row_of = optical(tmp_path / "i", 0, scene(rng), classes)
    fields = parcels(
        *(shapely.Point(500_000 + x, 5_000_000 - y).buffer(70) for x in (90, 250, 420) for y in (80, 333))
    )
    tables = []
    for side, ahead in ((2048, 512), (32, 512), (32, 0)):
        changed = {"block_px": side, "read_ahead_mb": ahead, "mask": MaskOptions()}
        out = tmp_path / f"{side}-{ahead}"
        extract(table(row_of), fields, OPTIONS.model_copy(update=changed), out)
        tables.append(read_observations(out))
    assert tables[1].equals(tables[2]), "reading ahead must change nothing"
    for name in (*STATISTICS, "pixel_count", "valid_share"):
        np.testing.assert_allclose(
            tables[1][name].to_numpy(), tables[0][name].to_numpy(), rtol=1e-6, err_msg=name
        )


def test_second_run_writes_nothing_and_other_options_write_anew(tmp_path: Path) -> None:
    rows = table(optical(tmp_path / "i", 0, scene(np.random.default_rng(4)), all_clear()))
    fields = parcels(field(0, 0, 200, 200))
    extract(rows, fields, OPTIONS, tmp_path / "o")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "o" / "parts").rglob("*.parquet")}
    extract(rows, fields, OPTIONS, tmp_path / "o")
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "o" / "parts").rglob("*.parquet")}
    extract(rows, fields, OPTIONS.model_copy(update={"statistics": ("mean",)}), tmp_path / "o")
    after = list((tmp_path / "o" / "parts").rglob("*.parquet"))
    assert len(after) == 1
    assert after[0] not in before


def test_bad_acquisitions_are_set_aside_by_reason_and_the_run_goes_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    folder = tmp_path / "i"
    rows = [optical(folder, day, scene(rng), all_clear()) for day in range(8)]
    cut = Path(rows[1]["assets"][0]["href"])
    cut.write_bytes(cut.read_bytes()[:-2500])
    Path(rows[2]["assets"][1]["href"]).unlink()
    rows[3]["assets"] = rows[3]["assets"][1:]
    href = rows[4]["assets"][0]["href"]
    Path(href).write_text('<VRTDataset rasterXSize="60" rasterYSize="60"><SRS>EPSG:32635</SRS></VRTDataset>')
    rows[5] = optical(folder, 5, scene(rng), all_clear(), corner=(500_003.0, 5_000_000.0))
    rows[6] = optical(folder, 6, scene(rng), all_clear(), epsg=32634)
    rows[7]["assets"] = [a for a in rows[7]["assets"] if a["band"] != "scl"]
    _, account = extract(table(*rows), parcels(field(0, 0, 200, 200)), OPTIONS, tmp_path / "o")
    assert (account.came_in, account.went_out) == (8, 1)
    assert account.set_aside == {
        "unreadable": 2, "missing_file": 1, "missing_band": 1,
        "shifted_grid": 1, "other_crs": 1, "no_scene_class": 1,
    }  # fmt: skip
    assert set(read_set_aside(tmp_path / "o")["item_id"]) == {f"S2_35VLF_{day:03d}" for day in range(1, 8)}


def test_one_scene_with_an_extra_band_does_not_set_the_others_aside(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    rows = [optical(tmp_path / "i", day, scene(rng), all_clear()) for day in range(3)]
    for usual in rows[:2]:
        usual["assets"] = [a for a in usual["assets"] if a["band"] != "B05"]
    _, account = extract(table(*rows), parcels(field(0, 0, 200, 200)), OPTIONS, tmp_path / "o")
    assert account == Tally("extract", "acquisitions", 3, 3, {})
    dates = read_observations(tmp_path / "o").group_by("feature").agg(pl.col("datetime").n_unique())
    assert dict(dates.iter_rows()) == {"B04": 3, "ndvi": 3, "B05": 1}


def test_parcels_elsewhere_are_a_clear_error(tmp_path: Path) -> None:
    rows = table(optical(tmp_path / "i", 0, scene(np.random.default_rng(6)), all_clear()))
    with pytest.raises(ImageryError, match="None of 1 parcels lies on the imagery"):
        extract(rows, parcels(field(90_000, 0, 200, 200)), OPTIONS, tmp_path / "o")


def test_a_shifted_band_within_one_acquisition_is_set_aside(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    rows = [optical(tmp_path / "i", day, scene(rng), all_clear()) for day in range(2)]
    values = rng.integers(1200, 6000, (SIDE, SIDE)).astype(np.uint16)
    write_tif(Path(rows[1]["assets"][1]["href"]), values, corner=(500_004.0, 5_000_000.0))
    _, account = extract(table(*rows), parcels(field(0, 0, 200, 200)), OPTIONS, tmp_path / "o")
    assert account.set_aside == {"shifted_grid": 1}


@pytest.mark.parametrize("east", [2e7, 1e60])
def test_a_band_that_lies_far_from_the_others_is_set_aside(tmp_path: Path, east: float) -> None:
    rng = np.random.default_rng(7)
    rows = [optical(tmp_path / "i", day, scene(rng), all_clear()) for day in range(2)]
    values = rng.integers(1200, 6000, (SIDE, SIDE)).astype(np.uint16)
    write_tif(Path(rows[1]["assets"][1]["href"]), values, corner=(500_000.0 + east, 5_000_000.0))
    _, account = extract(table(*rows), parcels(field(0, 0, 200, 200)), OPTIONS, tmp_path / "o")
    assert account.set_aside == {"shifted_grid": 1}


def test_parcels_outside_on_nodata_and_within_a_pixel_each_have_a_row(tmp_path: Path) -> None:
    bands = scene(np.random.default_rng(8))
    bands["B04"][:20, :20] = 0  # nodata
    rows = table(optical(tmp_path / "i", 0, bands, all_clear()))
    fields = parcels(field(90_000, 0, 200, 200), field(10, 10, 100, 100), field(303, 303, 4, 4))
    found, _ = extract(rows, fields, OPTIONS, tmp_path / "o")
    assert found["tile"].to_list() == [None, "35VLF", "35VLF"]
    assert found["full_pixels"].to_list() == [0, 100, 0]
    seen = read_observations(tmp_path / "o").filter(pl.col("feature") == "B04").sort("parcel_id")
    assert seen["parcel_id"].to_list() == found["parcel_id"].to_list()[1:]
    assert seen["pixel_count"].to_list() == pytest.approx([0, 0.16])
    assert seen["mean"].is_null().to_list() == [True, False]


def test_imagery_in_degrees_is_read_like_imagery_in_metres(tmp_path: Path) -> None:
    """Pixels of 0.0001 degrees, NDVI 0.5 everywhere, a strip of cloud on the western edge."""
    bands = {"B04": np.full((SIDE, SIDE), 2000, np.uint16), "B08": np.full((SIDE, SIDE), 4000, np.uint16)}
    classes = np.full((SIDE, SIDE), 4, np.uint8)
    classes[:, 0] = 9
    corner, epsg = (25.0, 58.0), 4326
    assets = []
    for band, values in {**bands, "scl": classes}.items():
        path = write_tif(tmp_path / f"{band}.tif", values, 0.0001, corner, epsg)
        assets.append(asset(band, path, "class" if band == "scl" else "reflectance"))
    row = acquisition("S2_degrees", 0, "s2", "untiled", assets) | {"epsg": epsg}
    degrees = gpd.GeoDataFrame(
        {"parcel_id": ["a", "b"]},
        geometry=[
            shapely.box(25.0010, 57.9950, 25.0050, 57.9990),
            shapely.box(25, 57.9950, 25.0010, 57.9990),
        ],
        crs=4326,
    )
    options = ExtractOptions(optical=("B04", "ndvi"), radar=(), inner_buffer_m=0.0)
    found, account = extract(table(row), degrees.to_crs(32635), options, tmp_path / "o")
    assert account.went_out == 1
    seen = read_observations(tmp_path / "o").filter(pl.col("feature") == "ndvi").sort("parcel_id")
    assert seen["mean"].to_list() == pytest.approx([0.5, 0.5], abs=1e-6)
    assert seen["pixel_count"][0] == pytest.approx(1600, rel=1e-3)
    # 20 m are three pixels of 5.9 m to the east, so that clouds hide the first four columns of ten
    assert seen["valid_share"].to_list() == pytest.approx([1, 0.6], abs=2e-3)
    assert found["full_pixels"][0] > 1500


def test_values_that_cannot_be_and_contradictions_are_counted(tmp_path: Path) -> None:
    bands = {"B04": np.full((SIDE, SIDE), 2000, np.uint16), "B08": np.full((SIDE, SIDE), 4000, np.uint16)}
    bands["B04"][:10, :10], bands["B08"][:10, :10] = 960, 1050  # -0.004 and 0.005
    row = optical(tmp_path / "i", 0, bands, all_clear())
    write_tif(Path(row["assets"][0]["href"]), bands["B04"], nodata=65535)
    options = ExtractOptions(optical=("B04", "ndvi"), radar=(), inner_buffer_m=0.0)
    for remover in (None, Constant()):
        out = tmp_path / str(remover is None)
        extract(table(row), parcels(field(0, 0, 200, 200)), options, out, remover=remover)
        seen = read_observations(out).filter(pl.col("feature") == "ndvi")
        assert (seen["max"].item(), seen["pixel_count"].item()) == (pytest.approx(0.5), 300)
        assert read_remarks_table(out).sort("remark").drop("tile").rows() == [
            ("S2_35VLF_000", "ndvi", "left_out", 100),
            ("S2_35VLF_000", "B04", "nodata_differs", None),
        ]


def test_parcels_outside_the_imagery_have_no_tile_and_those_lost_to_the_buffer_have(tmp_path: Path) -> None:
    """Beside the raster, round its corner (only the box touches), shrunk to nothing inside, and inside."""
    row = optical(tmp_path / "i", 0, scene(np.random.default_rng(9)), all_clear())
    corner = shapely.Polygon([(LEFT - 50, TOP + 5), (LEFT + 5, TOP + 5), (LEFT - 50, TOP - 50)])
    shapes = [field(90_000, 0, 200, 200), corner, field(50, 50, 8, 8), field(100, 100, 200, 200)]
    options = OPTIONS.model_copy(update={"inner_buffer_m": 5.0})
    found, _ = extract(table(row), parcels(*shapes), options, tmp_path / "o")
    assert found["tile"].to_list() == [None, None, "35VLF", "35VLF"]


def test_parcels_that_only_radar_sees_are_inside_the_imagery(tmp_path: Path) -> None:
    seen = optical(tmp_path / "i", 0, scene(np.random.default_rng(9)), all_clear())
    power = {"vv": np.full((SIDE, SIDE), 0.08, np.float32), "vh": np.full((SIDE, SIDE), 0.02, np.float32)}
    beside = radar(tmp_path / "r", 1, power, tile="untiled")
    for held in beside["assets"]:
        write_tif(Path(held["href"]), power[held["band"]], corner=(LEFT + 600, TOP))
    found, _ = extract(
        table(seen, beside), parcels(field(0, 0, 200, 200), field(700, 0, 200, 200)), OPTIONS, tmp_path / "o"
    )
    assert found["tile"].to_list() == ["35VLF", "untiled"]
    assert found["full_pixels"].to_list() == [400, 400]


def test_where_nothing_can_be_used_the_reasons_are_said(tmp_path: Path) -> None:
    row = optical(tmp_path / "i", 0, scene(np.random.default_rng(9)), all_clear())
    Path(row["assets"][0]["href"]).unlink()
    with pytest.raises(ImageryError, match=r"No acquisition can be used \(.*missing_file.*does not exist"):
        extract(table(row), parcels(field(0, 0, 200, 200)), OPTIONS, tmp_path / "o")


def test_a_raster_that_declares_more_pixels_than_allowed_is_set_aside_unread(tmp_path: Path) -> None:
    """A sparse file of 200,000 x 200,000 pixels takes two megabytes on disk and 75 GiB in memory."""
    rows = [optical(tmp_path / "i", day, scene(np.random.default_rng(9)), all_clear()) for day in range(2)]
    side = 200_000
    with rasterio.open(
        rows[1]["assets"][1]["href"], "w", driver="GTiff", height=side, width=side, count=1, dtype="uint16",
        crs="EPSG:32635", transform=rasterio.Affine(10, 0, LEFT, 0, -10, TOP), tiled=True, compress="deflate",
        blockxsize=512, blockysize=512, SPARSE_OK=True, BIGTIFF="YES",
    ):  # fmt: skip
        pass
    _, account = extract(table(*rows), parcels(field(0, 0, 200, 200)), OPTIONS, tmp_path / "o")
    assert account.set_aside == {"too_large": 1}
    (lost,) = read_set_aside(tmp_path / "o").to_dicts()
    assert "200000 x 200000 pixels, more than extract.most_megapixels" in lost["detail"]


def test_a_raster_of_one_huge_block_is_set_aside(tmp_path: Path) -> None:
    rows = [optical(tmp_path / "i", day, scene(np.random.default_rng(9)), all_clear()) for day in range(2)]
    with rasterio.open(
        rows[1]["assets"][0]["href"], "w", driver="GTiff", height=20_000, width=20_000, count=1,
        dtype="uint16", crs="EPSG:32635", transform=rasterio.Affine(10, 0, LEFT, 0, -10, TOP),
        blockysize=20_000, SPARSE_OK=True, compress="deflate",
    ):  # fmt: skip
        pass
    _, account = extract(table(*rows), parcels(field(0, 0, 200, 200)), OPTIONS, tmp_path / "o")
    assert account.set_aside == {"too_large": 1}


def test_parcels_that_the_buffer_leaves_nothing_of_are_said_to_be_so(tmp_path: Path) -> None:
    rows = table(optical(tmp_path / "i", 0, scene(np.random.default_rng(1)), all_clear()))
    options = OPTIONS.model_copy(update={"inner_buffer_m": 10.0})
    with pytest.raises(ImageryError, match=r"shrunk by 10 m; lower extract\.inner_buffer_m"):
        extract(rows, parcels(field(100, 100, 6, 6), field(200, 100, 6, 6)), options, tmp_path / "o")


def test_a_raster_with_its_rows_from_south_to_north_is_set_aside(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [optical(tmp_path / "i", 5 * day, scene(rng), all_clear()) for day in range(3)]
    path = Path(next(one["href"] for one in rows[1]["assets"] if one["band"] == "B04"))
    with rasterio.open(path) as raster:
        values, profile, place = raster.read(1), raster.profile, raster.transform
    upward = place @ place.translation(0, SIDE) @ place.scale(1, -1)
    with rasterio.open(path, "w", **(profile | {"transform": upward})) as out:
        out.write(values[::-1], 1)
    _, account = extract(table(*rows), parcels(field(0, 0, 100, 80)), OPTIONS, tmp_path / "o")
    assert account.set_aside == {"rotated_grid": 1}
    assert "B04" in read_set_aside(tmp_path / "o")["detail"][0]


def test_bands_that_some_acquisitions_lack_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Single and dual polarisation: the ratio comes from those that hold both."""
    both = {"vv": np.full((SIDE, SIDE), 0.1, np.float32), "vh": np.full((SIDE, SIDE), 0.02, np.float32)}
    rows = [radar(tmp_path / "i", day, both if day < 2 else {"vv": both["vv"]}) for day in range(3)]
    options = ExtractOptions(radar=("s0vv_db", "ratio_db"), inner_buffer_m=0.0)
    extract(table(*rows), parcels(field(0, 0, 100, 100)), options, tmp_path / "o")
    said = "Not all of 3 acquisitions (s1) of tile 35VLF hold every band: vh in 2."
    assert said in caplog.text
    counts = read_observations(tmp_path / "o").group_by("feature").len()
    assert dict(counts.iter_rows()) == {"s0vv_db": 3, "ratio_db": 2}


def test_numbers_that_are_no_scene_classes_hide_no_season_in_silence(tmp_path: Path) -> None:
    rows = [optical(tmp_path / "i", day, {"B04": np.full((SIDE, SIDE), 2000, np.uint16)}, all_clear(classes))
            for day, classes in enumerate((4, 40, 255))]  # fmt: skip
    options = ExtractOptions(optical=("B04", "ndvi"), inner_buffer_m=0.0)
    for remover in (None, Constant()):
        out = tmp_path / str(remover is None)
        extract(table(*rows), parcels(field(0, 0, 100, 100)), options, out, remover=remover)
        (aside,) = read_set_aside(out).to_dicts()
        assert (aside["item_id"], aside["reason"]) == ("S2_35VLF_001", "no_scene_class")
        assert "none of 0 to 11, such as 40" in aside["detail"]


def test_features_that_no_acquisition_allows_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    row = optical(tmp_path / "i", 0, {"B04": np.full((SIDE, SIDE), 2000, np.uint16)}, all_clear())
    options = ExtractOptions(optical=("B04", "ndvi"), inner_buffer_m=0.0)
    extract(table(row), parcels(field(0, 0, 100, 100)), options, tmp_path / "o")
    assert "No acquisition (s2) of tile 35VLF holds the bands of ndvi" in caplog.text
