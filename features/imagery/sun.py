"""Where the sun stands, from time and place: which way shadows fall."""

from collections.abc import Sequence

import numpy as np


def sun_position(times: np.ndarray, longitude: float, latitude: float) -> np.ndarray:
    """Return zenith and azimuth (clockwise from north) in degrees, `(time, 2)`.

    The low-precision formulae of the Astronomical Almanac (to 0.01 degrees of the sun's own place).

    Parameters
    ----------
    times
        `datetime64 (time,)`, UTC.
    longitude, latitude
        Degrees.

    Examples
    --------
    >>> noon = np.array(["2024-06-21T12:00"], "datetime64[s]")
    >>> sun_position(noon, 0.0, 51.5).round(0).tolist()
    [[28.0, 179.0]]
    """
    days = (times.astype("datetime64[s]") - np.datetime64("2000-01-01T12:00:00")).astype(float) / 86400
    mean_longitude, anomaly = 280.460 + 0.9856474 * days, np.radians(357.528 + 0.9856003 * days)
    ecliptic = np.radians(mean_longitude + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    tilt = np.radians(23.439 - 4e-7 * days)
    ascension = np.arctan2(np.cos(tilt) * np.sin(ecliptic), np.cos(ecliptic))
    declination = np.arcsin(np.sin(tilt) * np.sin(ecliptic))
    sidereal = np.radians(280.46062 + 360.98564737 * days + longitude)
    return np.stack(zenith_and_azimuth(declination, sidereal - ascension, latitude), axis=-1)


def zenith_and_azimuth(
    declination: np.ndarray | float, hour: np.ndarray | float, latitude: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return zenith and azimuth (clockwise from north) in degrees, of the shape of `declination` and `hour`.

    Spherical trigonometry (Meeus 1998, Astronomical Algorithms, chapter 13).

    Parameters
    ----------
    declination, hour
        Of the sun, and its angle west of the south, radians.
    latitude
        Degrees.
    """
    lat = np.radians(latitude)
    up = np.sin(lat) * np.sin(declination) + np.cos(lat) * np.cos(declination) * np.cos(hour)
    east = -np.cos(declination) * np.sin(hour)
    north = np.cos(lat) * np.sin(declination) - np.sin(lat) * np.cos(declination) * np.cos(hour)
    return np.degrees(np.arccos(np.clip(up, -1, 1))), np.degrees(np.arctan2(east, north)) % 360


def fall(sun: Sequence[float] | np.ndarray, height_m: float, pixel_m: float) -> tuple[float, float]:
    """Return by how many rows (down) and columns (right) a shadow lies off what casts it, north up.

    Examples
    --------
    >>> [round(part, 6) + 0.0 for part in fall(np.array([45.0, 180.0]), 100, 10)]  # sun in the south
    [-10.0, 0.0]
    """
    throw = height_m * np.tan(np.radians(min(float(sun[0]), 85.0))) / pixel_m
    return float(throw * np.cos(np.radians(sun[1]))), float(-throw * np.sin(np.radians(sun[1])))
