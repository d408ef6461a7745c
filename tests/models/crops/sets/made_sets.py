"""Tiny sets written after the published formats, with what each may hold that cannot be used."""

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

CROPS = {"wheat": 0.05, "maize": 0.12}  # red reflectance, so that a reader can be told right from wrong


def timesen2crop(folder: Path, samples: int = 2, bands: int = 9) -> Path:
    """Two tiles; the second date of every sample is cloudy."""
    for tile in ("33UVP", "33TWN"):
        place = folder / "TimeSen2Crop" / tile
        place.mkdir(parents=True)
        (place / "dates.csv").write_text("acquisition_date\n20180401\n20180511\n20180620\n")
        for label, red in (("12", 500), ("2", 1200), ("15", 900)):
            (place / label).mkdir()
            for number in range(samples):
                known = [100, 200, red, 4, 5, 6, 4000, 8, 9, 10, 11, 12][:bands]
                rows = [[*known, flag] for flag in (0, 1, 0)]
                text = "\n".join(",".join(map(str, row)) for row in rows)
                (place / label / f"{number}.csv").write_text(
                    "B1,B2,B3,B4,B5,B6,B7,B8,B9,Flag\n" + text + "\n"
                )
    return folder


def eurocropsml(folder: Path, bands: int = 13) -> Path:
    """Two parcels, one date of the first padded; a code whose crop is none."""
    folder.mkdir(parents=True, exist_ok=True)
    data = np.full((3, bands), 1000)
    data[1] = -999
    dates = np.array(["2021-04-01", "2021-05-11", "2021-06-20"], dtype="datetime64[D]")
    for name in ("EE001_17_3301010101", "LV003_8_3301010600", "PT111_9_9999999999"):
        np.savez(folder / f"{name}.npz", data=data, dates=dates, center=np.array([25.0, 58.0]))
    return folder


def breizhcrops(folder: Path, columns: int = 17) -> Path:
    """Two regions of 2017: one L1C in HDF5, one L2A in CSV; one code that the mapping lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classmapping.csv").write_text(",id,classname,code\n0,0,wheat,BTH\n1,1,corn,MIS\n")
    moments = np.array(["2017-04-01", "2017-05-11"], dtype="datetime64[ns]").astype(np.int64)
    for level, region in (("L1C", "frh01"), ("L2A", "frh02")):
        place = folder / "2017" / level
        place.mkdir(parents=True)
        with (place / f"{region}.csv").open("w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(["", "idx", "id", "CODE_CULTU", "path", "sequencelength"])
            writer.writerows(
                [k, k, k, code, f"csv/{k}.csv", 2] for k, code in enumerate(("BTH", "MIS", "XYZ"))
            )
    with h5py.File(folder / "2017/L1C/frh01.h5", "w") as file:
        for k in range(3):
            array = np.full((2, columns), 1000.0)
            array[:, 13:16] = 0
            array[1, 15] = 1024  # QA60: cloud
            array[:, 16] = moments
            file[f"csv/{k}.csv"] = array
    tables = folder / "2017/L2A/frh02/csv"
    tables.mkdir(parents=True)
    heading = ",doa,B2,B3,B4,B5,B6,B7,B8,B8A,B11,B12,CLD,EDG,SAT"
    for k in range(3):
        rows = [f"{n},2017-0{4 + n}-01," + ",".join(["1000"] * 10) + f",{n},0,0" for n in range(2)]
        (tables / f"{k}.csv").write_text("\n".join([heading, *rows]) + "\n")
    return folder


def pastis(folder: Path, radar: bool = True, bands: int = 10) -> Path:
    """One patch of 4 x 4 pixels: wheat, maize, void; the second date is cloud over wheat."""
    for name in ("DATA_S2", "ANNOTATIONS", *(("DATA_S1A",) if radar else ())):
        (folder / name).mkdir(parents=True)
    parcel = np.repeat(np.array([[5, 5, 7, 0]]), 4, axis=0)
    target = np.zeros((3, 4, 4), int)
    target[0] = np.where(parcel == 5, 2, np.where(parcel == 7, 3, 19))
    stack = np.full((2, bands, 4, 4), 1000, np.int16)
    stack[0, 2][parcel == 5] = 500
    stack[1, :, :, :2] = 8000
    np.save(folder / "DATA_S2/S2_10000.npy", stack)
    np.save(folder / "ANNOTATIONS/TARGET_10000.npy", target)
    np.save(folder / "ANNOTATIONS/ParcelIDs_10000.npy", parcel)
    properties = {"ID_PATCH": 10000, "TILE": "t30uxv", "dates-S2": {"0": 20190401, "1": 20190511}}
    if radar:
        np.save(folder / "DATA_S1A/S1A_10000.npy", np.full((1, 3, 4, 4), -12.0, np.float16))
        properties["dates-S1A"] = json.dumps({"0": 20190402})
    feature = {"type": "Feature", "geometry": None, "properties": properties}
    (folder / "metadata.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return folder


def cropharvest(folder: Path, shape: tuple[int, int] = (12, 18)) -> Path:
    """A maize point, a point that is no crop, and an array without a label."""
    arrays = folder / "features" / "arrays"
    arrays.mkdir(parents=True)
    labels = [
        {"index": 0, "dataset": "kenya", "label": "Maize", "classification_label": "cereals", "is_crop": 1},
        {"index": 1, "dataset": "kenya", "label": None, "classification_label": None, "is_crop": 0},
    ]
    features = [{"properties": {**of, "export_end_date": "2020-02-01T00:00:00"}} for of in labels]
    (folder / "labels.geojson").write_text(json.dumps({"features": features}))
    array = np.full(shape, 1000.0)
    array[:, :2] = -10
    array[4, 2:13] = 0  # nothing seen
    for name in ("0_kenya", "1_kenya", "2_kenya"):
        with h5py.File(arrays / f"{name}.h5", "w") as file:
            file["array"] = array
    return folder


def sen4agrinet(folder: Path, version: str = "21.03") -> Path:
    """One patch of 4 x 4 pixels of 10 m: a wheat parcel and one of a number that the classification lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "2020_31TCG_patch_14_14.nc"
    root = xr.Dataset(attrs={"version": version, "patch_year": "2020", "patch_tile": "31TCG"})
    root.to_netcdf(path, engine="h5netcdf")
    parcel = np.repeat(np.array([[3, 3, 9, 9]], np.uint32), 4, axis=0)
    labels = np.where(parcel == 3, 110, 1234).astype(np.uint32)
    times = np.array(["2020-04-01", "2020-05-11"], dtype="datetime64[ns]")
    for name, value in (("parcels", parcel), ("labels", labels)):
        xr.Dataset({name: (("y", "x"), value)}).to_netcdf(path, group=name, mode="a", engine="h5netcdf")
    for band in ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"):
        side = 4 if band in ("B02", "B03", "B04", "B08") else 2
        stack = np.full((2, side, side), 1000, np.uint16)
        stack[1] = 0  # nothing seen
        dataset = xr.Dataset({band: (("time", "y", "x"), stack)}, coords={"time": times})
        dataset.to_netcdf(path, group=band, mode="a", engine="h5netcdf")
    return folder
