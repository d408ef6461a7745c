"""Land-surface products as daily values where the parcels lie."""

from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from features.errors import ConfigError
from features.files import read_parquet
from models.forecast.learning.inputs import _past
from models.forecast.learning.samples import Samples
from pipelines.config import RunConfig, load_config
from pipelines.inputs.named_files import surface_files
from pipelines.inputs.surface_series import daily_surface, monthly_surface, surface_channels
from pipelines.plan.fill import stage
from pipelines.stages.fill import _maps
from pipelines.workspace import Workspace
from tests.features.context.test_lsa_saf import netcdf

CONFIG = """
name: fields
season: {year: 2024, start: 2024-03-01, end: 2024-10-31}
declarations: {path: parcels.gpkg, fields: {parcel_id: id, code: crop}}
"""
ORIGIN = date(2024, 1, 1)
MAY = (date(2024, 5, 1) - ORIGIN).days


def write(folder: Path) -> Path:
    (folder / "fields.yaml").write_text(CONFIG)
    return folder / "fields.yaml"


def config_in(folder: Path, *settings: str) -> RunConfig:
    et = f"rasters={{et: {{product: lsa_saf, path: {folder / 'et'}}}}}"
    return load_config(write(folder), [et, *settings])


def parcels(*places: tuple[float, float]) -> gpd.GeoDataFrame:
    shapes = [shapely.box(x, y, x + 0.001, y + 0.001) for x, y in places]
    return gpd.GeoDataFrame(geometry=shapes, crs="EPSG:4326").to_crs("EPSG:32631")


def made(folder: Path) -> None:
    netcdf(folder / "et", day="20240501", values=np.full((3, 4), 10))
    netcdf(folder / "et", day="20240503", values=np.full((3, 4), 30))
    netcdf(folder / "et", day="20240504", values=np.full((3, 4), 90), missing=50)


def test_a_day_has_what_was_known_by_its_end(tmp_path: Path) -> None:
    made(tmp_path)
    config = config_in(tmp_path)
    found = daily_surface(surface_channels(config), parcels((4.051, 50.051), (4.052, 50.052)), ORIGIN)
    assert found is not None
    assert (found.names, found.start, found.place.tolist()) == (("et",), MAY, [0, 0])
    assert found.value[0, :, 0].tolist() == pytest.approx([1, 1, 3, 3])  # the fourth lacks half of its slots
    assert found.until(MAY + 1).value[0, :, 0].tolist() == pytest.approx([1, 1])


def test_parcels_of_different_pixels_have_values_of_their_own(tmp_path: Path) -> None:
    netcdf(tmp_path / "et", day="20240501", values=np.array([[0, 0, 9, 9]] * 3))
    channels = surface_channels(config_in(tmp_path))
    found = daily_surface(channels, parcels((4.001, 50.051), (4.126, 50.051)), ORIGIN)
    assert found is not None and found.place.tolist() == [0, 1]
    west, east = found.value[:, 0, 0]
    assert west < 0.2 and east == pytest.approx(0.9, abs=0.01)


def test_forecasts_read_means_of_the_days_before_theirs(tmp_path: Path) -> None:
    for day in range(1, 13):
        netcdf(tmp_path / "et", day=f"202405{day:02d}", values=np.full((3, 4), day))
    found = daily_surface(surface_channels(config_in(tmp_path)), parcels((4.051, 50.051)), ORIGIN)
    assert found is not None
    one = (np.array([k]) for k in (0, MAY + 9, MAY + 30))
    value, names = _past(found, Samples(*one, np.zeros(1, np.float32)))
    assert dict(zip(names, value[0].tolist(), strict=True))["et_10"] == pytest.approx(0.55)  # 1 to 10, tenths
    assert np.isnan(value[0, 1])  # 30 days are not known


def test_in_season_later_files_are_neither_read_nor_declared(tmp_path: Path) -> None:
    made(tmp_path)
    names = [path.name[-15:-7] for path in surface_files(config_in(tmp_path)).values()]
    assert names == ["20240501", "20240503", "20240504"]
    early = surface_files(config_in(tmp_path, "season.until=2024-05-02"))
    assert [path.name[-15:-7] for path in early.values()] == ["20240501"]


def test_a_run_without_products_has_no_values(tmp_path: Path) -> None:
    assert surface_channels(load_config(write(tmp_path))) == ()
    assert daily_surface((), parcels((4.0, 50.0)), ORIGIN) is None
    assert monthly_surface((), parcels((4.0, 50.0)), ORIGIN, date(2024, 10, 31)) is None


def test_crop_models_read_the_mean_of_every_month_of_the_season(tmp_path: Path) -> None:
    made(tmp_path)
    field = parcels((4.051, 50.051)).assign(parcel_id=["007"])
    channels = surface_channels(config_in(tmp_path))
    found = monthly_surface(channels, field, date(2024, 4, 15), date(2024, 6, 30))
    assert found is not None
    april, may, june = found.row(0)[1:]
    assert found.columns == ["parcel_id", "surface_et_01", "surface_et_02", "surface_et_03"]
    assert (april, june) == (None, None)
    assert may == pytest.approx(2)  # known by the end of 1, 2, 3 and 4 May: 1, 1, 3, 3


def test_the_fill_stage_declares_them_and_writes_them_beside_what_maps_say(tmp_path: Path) -> None:
    made(tmp_path)
    config, workspace = config_in(tmp_path), Workspace(tmp_path / "run")
    workspace.folder.mkdir()
    field = parcels((4.051, 50.051)).assign(parcel_id=["007"])
    assert _maps(config, workspace, field) == [workspace.context]
    table = read_parquet(workspace.context)
    assert table["surface_et_03"].to_list() == pytest.approx([2])  # May, the third month from 1 March
    inputs = stage(config).inputs
    assert "rasters" in inputs.options
    assert inputs.files is not None and len(inputs.files(config, workspace)) == 3


def test_a_folder_without_products_is_said(tmp_path: Path) -> None:
    (tmp_path / "et").mkdir()
    with pytest.raises(ConfigError, match="et cannot be used"):
        surface_channels(config_in(tmp_path))
