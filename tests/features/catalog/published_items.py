"""Items in the formats in which public catalogs publish them (2026), written for tests.

After the documentation of Earth Search (Element 84), Planetary Computer (Microsoft) and the Copernicus Data
Space Ecosystem; only what a reader of imagery needs is here, and files lie under an address of the test.
"""

from typing import Any

RING = [[4.70, 50.89], [4.75, 50.89], [4.75, 50.93], [4.70, 50.93], [4.70, 50.89]]
URI = "S2A_MSIL2A_20240501T104031_N0510_R008_T31UFS_20240501T150000.SAFE"
DATASTRIP = "S2A_OPER_MSI_L2A_DS_2APS_20240501T150000_S20240501T104035_N05.10"
RTC = "S1A_IW_GRDH_1SDV_20240503T173210_20240503T173235_053709_0685F1_rtc"
GRD = "S1A_IW_GRDH_1SDV_20240503T173210_20240503T173235_053709_0685F1"
COG = "image/tiff; application=geotiff; profile=cloud-optimized"


def item(item_id: str, collection: str, properties: dict[str, Any], assets: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": item_id, "collection": collection, "links": [],
        "bbox": [4.70, 50.89, 4.75, 50.93], "geometry": {"type": "Polygon", "coordinates": [RING]},
        "properties": properties, "assets": assets,
    }  # fmt: skip


def files(base: str, names: dict[str, str], **stated: Any) -> dict[str, Any]:
    """Assets by key: the file of each below `base`."""
    return {
        key: {"href": f"{base}/{name}.tif", "type": COG, "roles": ["data"], **stated}
        for key, name in names.items()
    }


def earth_search(base: str) -> dict[str, Any]:
    """Earth Search's `sentinel-2-l2a`: the offset is subtracted, and still stated."""
    bands = [{"nodata": 0, "data_type": "uint16", "scale": 0.0001, "offset": -0.1}]
    assets = files(base, {"red": "plain", "nir": "plain-nir"}, **{"raster:bands": bands})
    assets |= files(base, {"scl": "scl"}, **{"raster:bands": [{"nodata": 0, "data_type": "uint8"}]})
    assets |= files(base, {"red-jp2": "none", "thumbnail": "none"})
    properties = {
        "datetime": "2024-05-01T10:46:35.123000Z", "platform": "sentinel-2a", "constellation": "sentinel-2",
        "instruments": ["msi"], "eo:cloud_cover": 3.2, "proj:epsg": 32631, "mgrs:utm_zone": 31,
        "mgrs:latitude_band": "U", "mgrs:grid_square": "FS", "grid:code": "MGRS-31UFS",
        "s2:product_type": "S2MSI2A", "s2:processing_baseline": "05.10", "s2:product_uri": URI,
        "s2:datastrip_id": DATASTRIP, "s2:sequence": "0", "earthsearch:boa_offset_applied": True,
    }  # fmt: skip
    return item("S2A_31UFS_20240501_0_L2A", "sentinel-2-l2a", properties, assets)


def earth_search_c1(base: str) -> dict[str, Any]:
    """Earth Search's Collection 1: ESA's pixels, scale and offset stated."""
    bands = [{"nodata": 0, "data_type": "uint16", "scale": 0.0001, "offset": -0.1}]
    assets = files(base, {"red": "offset", "nir": "offset-nir"}, **{"raster:bands": bands})
    assets |= files(base, {"scl": "scl"}, **{"raster:bands": [{"nodata": 0, "data_type": "uint8"}]})
    properties = {
        "datetime": "2024-05-01T10:46:35.123000Z", "platform": "sentinel-2a", "constellation": "sentinel-2",
        "instruments": ["msi"], "eo:cloud_cover": 3.2, "proj:code": "EPSG:32631", "mgrs:utm_zone": 31,
        "mgrs:latitude_band": "U", "mgrs:grid_square": "FS", "grid:code": "MGRS-31UFS",
        "s2:processing_baseline": "05.10", "s2:product_uri": URI, "s2:datastrip_id": DATASTRIP,
        "processing:level": "L2A",
    }  # fmt: skip
    return item("S2A_T31UFS_20240501T104031_L2A", "sentinel-2-c1-l2a", properties, assets)


def earth_search_v0(base: str) -> dict[str, Any]:
    """The first Earth Search's `sentinel-s2-l2a-cogs`: bands by number, properties of its own."""
    assets = files(base, {"B04": "plain", "B08": "plain-nir", "SCL": "scl", "overview": "none"})
    properties = {
        "datetime": "2024-05-01T10:46:35Z", "platform": "sentinel-2a", "constellation": "sentinel-2",
        "instruments": ["msi"], "proj:epsg": 32631, "sentinel:utm_zone": 31, "sentinel:latitude_band": "U",
        "sentinel:grid_square": "FS", "sentinel:sequence": "0", "sentinel:data_coverage": 100,
        "sentinel:product_id": URI.removesuffix(".SAFE"), "sentinel:boa_offset_applied": True,
        "sentinel:processing_baseline": "05.10",
    }  # fmt: skip
    return item("S2A_31UFS_20240501_0_L2A", "sentinel-s2-l2a-cogs", properties, assets)


def planetary_computer(base: str) -> dict[str, Any]:
    """Planetary Computer's `sentinel-2-l2a`: ESA's pixels, nothing stated of scale or offset."""
    assets = files(
        base, {"B04": "offset", "B08": "offset-nir", "SCL": "scl", "AOT": "none", "visual": "none"}
    )
    properties = {
        "datetime": "2024-05-01T10:40:31.024000Z", "platform": "Sentinel-2A", "constellation": "Sentinel 2",
        "instruments": ["msi"], "eo:cloud_cover": 3.2, "proj:epsg": 32631, "s2:mgrs_tile": "31UFS",
        "s2:product_type": "S2MSI2A", "s2:processing_baseline": "05.10", "s2:product_uri": URI,
        "s2:datastrip_id": DATASTRIP, "sat:orbit_state": "descending", "sat:relative_orbit": 8,
        "s2:generation_time": "2024-05-01T15:00:00.000000Z",
    }  # fmt: skip
    return item(URI.removesuffix(".SAFE").replace("_N0510", ""), "sentinel-2-l2a", properties, assets)


def planetary_computer_rtc(base: str) -> dict[str, Any]:
    """Planetary Computer's `sentinel-1-rtc`: linear gamma0 in slices, no tile, no unit."""
    assets = files(base, {"vv": "power", "vh": "power-vh"}, **{"raster:bands": [{"nodata": -32768,
                   "data_type": "float32", "spatial_resolution": 10.0}]})  # fmt: skip
    assets |= files(base, {"tilejson": "none", "rendered_preview": "none"})
    properties = {
        "datetime": "2024-05-03T17:32:22.500000Z", "start_datetime": "2024-05-03T17:32:10Z",
        "end_datetime": "2024-05-03T17:32:35Z", "platform": "SENTINEL-1A", "constellation": "Sentinel-1",
        "proj:epsg": 32631, "sar:product_type": "RTC", "sar:instrument_mode": "IW",
        "sar:polarizations": ["VV", "VH"], "sat:orbit_state": "ascending", "sat:absolute_orbit": 53709,
        "sat:relative_orbit": 87, "s1:processing_level": "1",
    }  # fmt: skip
    return item(RTC, "sentinel-1-rtc", properties, assets)


def planetary_computer_grd(base: str) -> dict[str, Any]:
    """Planetary Computer's `sentinel-1-grd`: amplitudes in the radar's own geometry."""
    assets = files(base, {"vv": "power", "vh": "power-vh", "thumbnail": "none"})
    properties = {
        "datetime": "2024-05-03T17:32:22.500000Z", "platform": "SENTINEL-1A", "constellation": "Sentinel-1",
        "sar:product_type": "GRD", "sar:instrument_mode": "IW", "sat:orbit_state": "ascending",
        "sat:absolute_orbit": 53709, "s1:processing_level": "1", "s1:shape": [25218, 16773],
    }  # fmt: skip
    return item(GRD, "sentinel-1-grd", properties, assets)


def cdse(base: str) -> dict[str, Any]:
    """CDSE's `sentinel-2-l2a`: bands by number and resolution, everything stated by each asset."""
    stated = {"nodata": 0, "data_type": "uint16", "raster:scale": 0.0001, "raster:offset": -0.1,
              "proj:code": "EPSG:32631"}  # fmt: skip
    names = {"B04_10m": "offset", "B04_20m": "none", "B08_10m": "offset-nir"}
    assets = files(base, names, **stated) | files(base, {"SCL_20m": "scl", "TCI_10m": "none"}, nodata=0)
    properties = {
        "datetime": "2024-05-01T10:40:31.024000Z", "start_datetime": "2024-05-01T10:40:31.024000Z",
        "end_datetime": "2024-05-01T10:40:31.024000Z", "platform": "sentinel-2a",
        "constellation": "sentinel-2", "instruments": ["msi"], "eo:cloud_cover": 3.2,
        "grid:code": "MGRS-31UFS", "product:type": "S2MSI2A", "processing:level": "L2",
        "processing:version": "05.10", "sat:orbit_state": "descending", "sat:relative_orbit": 8,
        "sat:absolute_orbit": 46275, "processing:datetime": "2024-05-01T15:00:00.000000Z",
    }  # fmt: skip
    return item(URI.removesuffix(".SAFE"), "sentinel-2-l2a", properties, assets)


def cdse_grd(base: str) -> dict[str, Any]:
    """CDSE's `sentinel-1-grd`."""
    assets = files(base, {"vv": "power", "vh": "power-vh", "safe_manifest": "none"})
    properties = {
        "datetime": "2024-05-03T17:32:22.5Z", "platform": "sentinel-1a", "constellation": "sentinel-1",
        "product:type": "IW_GRDH_1S", "processing:level": "L1", "sat:orbit_state": "ascending",
        "sat:absolute_orbit": 53709, "sat:relative_orbit": 87,
    }  # fmt: skip
    return item(GRD, "sentinel-1-grd", properties, assets)


OPTICAL = (earth_search, earth_search_c1, earth_search_v0, planetary_computer, cdse)
IN_RADAR_GEOMETRY = (planetary_computer_grd, cdse_grd)
