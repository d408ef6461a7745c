"""The run's own masks, from rasters to what extraction sees."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.errors import ConfigError
from features.extraction.extract import extract, read_set_aside
from features.extraction.observations import read_observations
from features.imagery.windows import read_window
from features.schema import SCENE_CLASS
from models.clouds.mask.methods import peers
from models.clouds.mask.methods.temporal import TemporalMask
from pipelines.config import RunConfig, load_config
from pipelines.inputs.pixels.cloud_masks import (
    mask_stamps,
    masked_extract,
    read_index,
    showing_masks,
    with_masks,
    without_mask,
)
from pipelines.stages.observing.clear import unreadable
from pipelines.steps.mask_scenes import _bands, make_masks
from pipelines.workspace import Workspace
from tests.small_imagery import SIDE, all_clear, field, optical, parcels, table

GRASS = {"B02": 300, "B03": 600, "B04": 400, "B08": 4000, "B11": 2000, "B12": 1000}


def temporal(*settings: str) -> RunConfig:
    return load_config(Path("conf/tiny.yaml"), ["clear.mask.method=temporal", *settings])


def picture(cloudy: slice | None = None, offset: int = 1000) -> dict[str, np.ndarray]:
    """Grass, and a cloud of 10 x 10 pixels where asked for; as stored numbers."""
    out = {}
    for band, value in GRASS.items():
        size = SIDE // 2 if band in ("B11", "B12") else SIDE
        numbers = np.full((size, size), value + offset, np.uint16)
        if cloudy is not None:
            part = slice(cloudy.start * size // SIDE, cloudy.stop * size // SIDE)
            numbers[part, part] = 6200 + offset
        out[band] = numbers
    return out


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "run")
    made.folder.mkdir()
    parcels(field(100, 100, 300, 300)).to_parquet(made.declarations)
    return made


def season(folder: Path, classes: int = 4) -> pl.DataFrame:
    """Six dates; a cloud on the third that the scene classes do not know."""
    dates = [picture(slice(20, 30) if day == 10 else None) for day in range(0, 30, 5)]
    return table(*(optical(folder, 5 * k, date, all_clear(classes)) for k, date in enumerate(dates)))


def test_a_cloud_that_the_scene_classes_miss_is_left_out_of_the_observations(
    tmp_path: Path, workspace: Workspace
) -> None:
    acquired, config = season(tmp_path), temporal("extract.statistics=[mean]")
    (tally,) = make_masks(acquired, config, workspace, lambda done, total: None)
    assert (tally.came_in, tally.went_out) == (6, 6)
    acquisitions = with_masks(acquired, config.clear.mask, workspace)
    options = masked_extract(config).model_copy(update={"optical": ("B02",)})
    stamps = mask_stamps(config.clear.mask, workspace)
    extract(acquisitions, parcels(field(100, 100, 300, 300)), options, workspace.observations, stamps=stamps)
    seen = read_observations(workspace.observations).sort("datetime")
    assert np.allclose(seen["mean"].to_numpy(), 0.03, atol=1e-6)
    shares = seen["valid_share"].to_numpy()
    # of 900 pixels the cloud hides 100; at 20 m it is 5 x 5 pixels and grows by a disc of two
    assert shares[2] == pytest.approx(1 - (25 + 4 * 5 * 2 + 4 * 1) * 4 / 29**2, abs=0.08)
    assert shares[[0, 1, 3, 4, 5]].min() > 0.99


def test_the_same_physics_before_and_after_the_offset_of_baseline_4(
    tmp_path: Path, workspace: Workspace
) -> None:
    """Stored numbers with 1000 added and an offset of -0.1, or neither: the same masks."""
    found = []
    for name, offset in (("after", 1000), ("before", 0)):
        rows = []
        for day in range(0, 30, 5):
            made = optical(
                tmp_path / name, day, picture(slice(20, 30) if day == 10 else None, offset), all_clear()
            )
            for asset in made["assets"]:
                asset["offset"] = -offset * 1e-4 if asset["band"] != SCENE_CLASS else 0.0
            rows.append(made)
        make_masks(table(*rows), temporal(), workspace, lambda done, total: None)
        index = read_index(workspace)
        found.append([read_window(str(workspace.folder / "masks" / file)) for file in index["file"]])
        assert index["cloud_px"].to_list()[2] > 25
    assert np.array_equal(found[0], found[1])


def test_what_has_no_mask_is_set_aside_by_reason_and_accounted_for(
    tmp_path: Path, workspace: Workspace
) -> None:
    acquired, config = season(tmp_path), temporal("extract.statistics=[mean]")
    rows = acquired.to_dicts()
    rows[1]["assets"] = [asset for asset in rows[1]["assets"] if asset["band"] != "B02"]
    broken = next(asset["href"] for asset in rows[3]["assets"] if asset["band"] == "B08")
    Path(broken).write_bytes(Path(broken).read_bytes()[:200])
    acquired = table(*rows)
    (tally,) = make_masks(acquired, config, workspace, lambda done, total: None)
    assert (tally.came_in, tally.went_out) == (6, 4)
    assert tally.set_aside == {"missing_band": 1, "unreadable": 1}
    shown = showing_masks(acquired, config.clear.mask, workspace)
    assert shown["item_id"].to_list() == acquired["item_id"].to_list(), "pages and desk show all dates"
    own = [any("/masks/" in asset["href"] for asset in row["assets"]) for row in shown.to_dicts()]
    assert own == [True, False, True, False, True, True], "with the run's own mask where there is one"
    aside = without_mask(config.clear.mask, workspace)
    options = masked_extract(config).model_copy(update={"optical": ("B02",)})
    _, account = extract(
        with_masks(acquired, config.clear.mask, workspace), parcels(field(100, 100, 300, 300)), options,
        workspace.observations, known_aside=aside,
    )  # fmt: skip
    assert (account.came_in, account.went_out) == (6, 4)
    assert sorted(read_set_aside(workspace.observations)["reason"]) == ["missing_band", "unreadable"]


def test_pixels_are_counted_by_class_and_by_reason(tmp_path: Path, workspace: Workspace) -> None:
    acquired = season(tmp_path, classes=11)  # called snow throughout
    make_masks(acquired, temporal(), workspace, lambda done, total: None)
    index = read_index(workspace)
    pixels = (SIDE // 2) ** 2
    assert index["snow_px"].to_list() == [pixels] * 6
    assert index.select(pl.sum_horizontal(pl.col("^.*_px$"))).to_series().to_list() == [pixels] * 6


def test_delivered_scene_classes_stay_as_they_are(tmp_path: Path, workspace: Workspace) -> None:
    config, acquired = load_config(Path("conf/tiny.yaml"), ["clear.mask.method=scl"]), season(tmp_path)
    assert make_masks(acquired, config, workspace, lambda done, total: None) == []
    assert with_masks(acquired, config.clear.mask, workspace).equals(acquired)
    assert masked_extract(config) == config.extract


def test_scene_classes_with_own_buffers_are_written_anew(tmp_path: Path, workspace: Workspace) -> None:
    classes = all_clear()
    classes[15, 15] = 9
    acquired = table(optical(tmp_path, 0, picture(), classes))
    config = load_config(
        Path("conf/tiny.yaml"),
        ["clear.mask.method=scl", "clear.mask.buffer_px={cloud: 1, thin: 0, shadow: 0}"],
    )
    make_masks(acquired, config, workspace, lambda done, total: None)
    assert read_index(workspace)["cloud_px"].to_list() == [5]


def test_only_files_that_could_not_be_read_and_have_changed_are_a_reason_to_try_again(
    tmp_path: Path, workspace: Workspace
) -> None:
    acquired, config = season(tmp_path), temporal()
    rows = acquired.to_dicts()
    rows[1]["assets"] = [asset for asset in rows[1]["assets"] if asset["band"] != "B02"]
    broken = Path(next(asset["href"] for asset in rows[3]["assets"] if asset["band"] == "B08"))
    whole = broken.read_bytes()
    broken.write_bytes(whole[:200])
    acquired = table(*rows)
    make_masks(acquired, config, workspace, lambda done, total: None)
    before = unreadable(acquired, config, workspace)
    assert list(before) == [rows[3]["item_id"]]
    assert unreadable(acquired, config, workspace) == before
    broken.write_bytes(whole)
    assert unreadable(acquired, config, workspace) != before


def test_s2cloudless_reads_level_1c_by_config(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package itself is an extra: what stands in for it calls bright cirrus cloud, from ten bands."""

    class Detector:
        def __init__(self, **_: object) -> None:
            pass

        def get_cloud_probability_maps(self, values: np.ndarray) -> np.ndarray:
            assert values.shape[-1] == len(peers.L1C_BANDS)
            return np.asarray(values[..., peers.L1C_BANDS.index("B10")] > 0.1, np.float32)

    monkeypatch.setattr(peers, "_package", lambda *_: SimpleNamespace(S2PixelCloudDetector=Detector))
    base = picture()
    cirrus = np.full((SIDE // 2, SIDE // 2), 1000, np.uint16)
    cirrus[:10] = 4000
    more = {**dict.fromkeys(("B01", "B05", "B8A", "B09"), base["B11"]), "B10": cirrus}
    made = optical(tmp_path, 0, {**base, **more}, all_clear())
    made["assets"] = [asset for asset in made["assets"] if asset["band"] != SCENE_CLASS]
    options = ["clear.mask.method=s2cloudless", "clear.mask.buffer_px={cloud: 0, thin: 0, shadow: 0}"]
    config = load_config(Path("conf/tiny.yaml"), [*options, "imagery.level=L1C"])
    (tally,) = make_masks(table(made), config, workspace, lambda done, total: None)
    assert (tally.came_in, tally.went_out) == (1, 1)
    assert read_index(workspace).select("cloud_px", "clear_px").row(0) == (10 * SIDE // 2, 20 * SIDE // 2)
    with pytest.raises(ConfigError, match=r"set imagery\.level: L1C"):
        load_config(Path("conf/tiny.yaml"), options)


@pytest.mark.parametrize(
    "method",
    [
        "fmask",
        "temporal",
        "ukis_csmask",
        pytest.param("unet", marks=pytest.mark.slow),
        pytest.param("combined", marks=pytest.mark.slow),
    ],
)
def test_every_method_hides_a_cloud_from_what_is_extracted(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """DLR's package is an extra: what stands in for it calls what is bright cloud."""

    class Stand:
        def __init__(self, image: np.ndarray, **_: object) -> None:
            self.csm = np.where(image[..., :1] > 0.3, 1, 0)  # 0 clear, 1 cloud, 2 shadow

    monkeypatch.setattr(peers, "_package", lambda *_: SimpleNamespace(CSmask=Stand))
    network = "{epochs: 1, windows: 4, window_px: 32}"
    settings = [f"clear.mask.method={method}", f"clear.mask.network={network}", "extract.statistics=[mean]"]
    config, acquired = load_config(Path("conf/tiny.yaml"), settings), season(tmp_path)
    (tally,) = make_masks(acquired, config, workspace, lambda done, total: None)
    assert (tally.came_in, tally.went_out) == (6, 6)
    assert read_index(workspace)["cloud_px"].to_list()[2] >= 25  # 5 x 5 pixels of 20 m
    options = masked_extract(config).model_copy(update={"optical": ("B02",)})
    acquisitions, fields = (
        with_masks(acquired, config.clear.mask, workspace),
        parcels(field(100, 100, 300, 300)),
    )
    extract(acquisitions, fields, options, workspace.observations)
    seen = read_observations(workspace.observations).sort("datetime")
    assert np.allclose(seen["mean"].to_numpy(), 0.03, atol=2e-3), "nothing of the cloud is seen"


def without_classes(made: dict[str, Any]) -> dict[str, Any]:
    return made | {"assets": [asset for asset in made["assets"] if asset["band"] != SCENE_CLASS]}


def test_fmask_stands_in_where_a_scene_comes_without_classes(tmp_path: Path, workspace: Workspace) -> None:
    """The scene class of the second date hides a pixel; the third has none, and a cloud."""
    told = all_clear()
    told[15, 15] = 9
    rows = [
        optical(tmp_path, 0, picture(), all_clear()),
        optical(tmp_path, 5, picture(), told),
        without_classes(optical(tmp_path, 10, picture(slice(20, 30)), all_clear())),
    ]
    settings = ["clear.mask.fallback=fmask", "extract.statistics=[mean]", "extract.mask.dilation_m=0"]
    settings.append("extract.inner_buffer_m=0")
    config, acquired = load_config(Path("conf/tiny.yaml"), settings), table(*rows)
    (tally,) = make_masks(acquired, config, workspace, lambda done, total: None)
    assert (tally.came_in, tally.went_out) == (1, 1), "only the scene without classes is masked"
    options = masked_extract(config).model_copy(update={"optical": ("B02",)})
    acquisitions, fields = with_masks(acquired, config.clear.mask, workspace), parcels(field(0, 0, 600, 600))
    extract(acquisitions, fields, options, workspace.observations)
    counts = read_observations(workspace.observations).sort("datetime")["pixel_count"].to_list()
    assert counts == pytest.approx([3600, 3600 - 4, 3600 - 100])
    own = load_config(Path("conf/tiny.yaml"), [*settings, "clear.mask.buffer_px={cloud: 1}"])
    (tally,) = make_masks(acquired, own, workspace, lambda done, total: None)
    assert (tally.came_in, tally.went_out) == (3, 3), "with buffers of its own each scene has a mask anew"


def test_the_red_is_looked_at_so_that_a_harvest_is_no_cloud(tmp_path: Path, workspace: Workspace) -> None:
    """Stubble is brighter than grass in the blue, and twice as much so in the red, as no haze is."""
    stubble = {"B02": 1100, "B03": 1700, "B04": 2400, "B08": 3000, "B11": 3800, "B12": 2800}
    bare = {band: np.full_like(numbers, stubble[band] + 1000) for band, numbers in picture().items()}
    dates = [*(picture() for _ in range(5)), bare]
    rows = [without_classes(optical(tmp_path, 5 * k, date, all_clear())) for k, date in enumerate(dates)]
    make_masks(table(*rows), temporal(), workspace, lambda done, total: None)
    assert read_index(workspace)["clear_px"].to_list() == [(SIDE // 2) ** 2] * 6


def test_snow_is_counted_without_scene_classes_too(tmp_path: Path, workspace: Workspace) -> None:
    snow = {"B02": 9000, "B03": 9200, "B04": 9000, "B08": 8500, "B11": 2000, "B12": 1800}
    dates = [picture() for _ in range(6)]
    for band, numbers in dates[2].items():
        numbers[: len(numbers) // 3] = snow[band]
    rows = [without_classes(optical(tmp_path, 5 * k, date, all_clear())) for k, date in enumerate(dates)]
    make_masks(table(*rows), temporal(), workspace, lambda done, total: None)
    assert read_index(workspace)["snow_px"].to_list() == [0, 0, (SIDE // 2) ** 2 // 3, 0, 0, 0]


def test_saturated_and_absent_pixels_are_counted_apart(tmp_path: Path, workspace: Workspace) -> None:
    """A mask's pixel is saturated where one of its four of 10 m is 65535, and unknown where one is 0."""
    dates = [picture() for _ in range(6)]
    dates[2]["B02"][0, :8:2] = 65535
    dates[2]["B02"][10, :4:2] = 0
    dates[2]["B02"][11, :2] = 65535  # below the first of these
    rows = [optical(tmp_path, 5 * k, date, all_clear()) for k, date in enumerate(dates)]
    make_masks(table(*rows), temporal(), workspace, lambda done, total: None)
    counted = read_index(workspace).select("saturated_px", "nodata_px").rows()
    assert counted == [(0, 0), (0, 0), (4, 2), (0, 0), (0, 0), (0, 0)]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["temporal", "combined"])
def test_a_season_without_a_clear_date_goes_on_in_either_way(
    tmp_path: Path, workspace: Workspace, method: str
) -> None:
    acquired = table(*(optical(tmp_path, 5 * k, picture(slice(0, SIDE)), all_clear(9)) for k in range(3)))
    config = load_config(Path("conf/tiny.yaml"), [f"clear.mask.method={method}"])
    (tally,) = make_masks(acquired, config, workspace, lambda done, total: None)
    assert (tally.came_in, tally.went_out) == (3, 3)
    assert read_index(workspace)["cloud_px"].to_list() == [(SIDE // 2) ** 2] * 3


@pytest.mark.parametrize(("near", "read"), [(("B8A", "B08"), "B8A"), (("B08",), "B08")])
def test_of_a_group_no_band_is_read_that_would_stand_before_the_chosen_one(
    near: tuple[str, ...], read: str
) -> None:
    mask = TemporalMask()
    bands = _bands(mask, (("B02",), (near[0],)))
    assert {"B02", "B03", "B04", "B11", read} == set(bands)
