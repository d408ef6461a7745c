"""Every file, date, band, item and acquisition of real imagery folders is accounted for."""

from datetime import date
from pathlib import Path

import pytest
import xarray as xr

from features.catalog.reader import ImageryOptions, read_acquisitions
from features.errors import ImageryError
from features.indexing.folder import Indexed, index_folder

pytestmark = pytest.mark.realdata
ALWAYS = (date(2000, 1, 1), date(2099, 12, 31))
FOLDERS = ("wheat-ch", "field-cubes", "flanders-patches/000028085BF08E7E", "minicubes")


@pytest.fixture(scope="module", params=FOLDERS)
def indexed(
    request: pytest.FixtureRequest, real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Indexed]:
    folder = real_data / request.param
    return folder, index_folder(folder, tmp_path_factory.mktemp("catalog") / "out")


def dates_on_disk(folder: Path) -> int:
    """Dates in the cubes of imagery that lie in a folder, and its dated rasters."""
    rasters = sum(1 for path in folder.rglob("*.tif"))
    cubes = 0
    for path in folder.rglob("*.nc"):
        with xr.open_dataset(path, engine="h5netcdf", mask_and_scale=False) as cube:
            if any(str(name).removeprefix("s2_") in {"B04", "B8A", "VV"} for name in cube.data_vars):
                cubes += next(size for name, size in cube.sizes.items() if name in {"t", "time", "timestamp"})
    return rasters + cubes


def test_every_file_date_and_band_comes_out_or_is_set_aside(indexed: tuple[Path, Indexed]) -> None:
    folder, found = indexed
    on_disk = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert found.files.came_in == len(on_disk)
    assert found.files.set_aside.get("other_format", 0) == sum(
        path.suffix not in {".nc", ".tif"} for path in on_disk
    )
    assert found.dates.came_in == dates_on_disk(folder)


def test_every_item_becomes_an_acquisition_or_is_set_aside(indexed: tuple[Path, Indexed]) -> None:
    _, found = indexed
    options = ImageryOptions(catalog=str(found.catalog), default_offset=0)
    table, tally = read_acquisitions(options, (-180, -90, 180, 90), *ALWAYS)
    assert tally.came_in == found.items
    assert tally.went_out == table.height
    assert set(tally.set_aside) <= {"duplicate", "superseded", "no_known_band"}
    assert table["item_id"].is_unique().all()
    if tally.went_out == tally.came_in:
        assert table["assets"].list.len().sum() == found.bands.went_out
    assert all(Path(asset["href"]).is_file() for assets in table["assets"].to_list() for asset in assets)


def test_arrays_without_a_raster_format_are_refused_in_a_sentence(real_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageryError, match=r"holds none of \.nc.* among its \d+ files"):
        index_folder(real_data / "slovenia-eopatch", tmp_path / "out")
