"""The region's place on earth: its pixel grid, its tile's name, the sun above it."""

from dataclasses import dataclass
from datetime import date

import numpy as np
from affine import Affine
from pyproj import Transformer

from features.imagery.sun import zenith_and_azimuth

PIXEL = 10.0


@dataclass(frozen=True)
class Grid:
    """A north-up grid of 10 m pixels in a UTM zone."""

    epsg: int
    left: float
    top: float
    shape: tuple[int, int]

    @property
    def transform(self) -> Affine:
        """Pixel to CRS coordinates."""
        return Affine(PIXEL, 0, self.left, 0, -PIXEL, self.top)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top."""
        return self.left, self.top - self.shape[0] * PIXEL, self.left + self.shape[1] * PIXEL, self.top

    @property
    def ring_wgs84(self) -> list[list[float]]:
        """The outline in longitude and latitude, counter-clockwise, closed."""
        left, bottom, right, top = self.bounds
        to_wgs84 = Transformer.from_crs(self.epsg, 4326, always_xy=True)
        corners = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
        return [[round(value, 7) for value in to_wgs84.transform(*corner)] for corner in corners]

    @property
    def centre_wgs84(self) -> tuple[float, float]:
        """Longitude and latitude of the centre."""
        ring = np.array(self.ring_wgs84[:4])
        return float(ring[:, 0].mean()), float(ring[:, 1].mean())

    @property
    def tile(self) -> str:
        """The MGRS 100 km square that holds the upper left corner, such as 31UFS."""
        zone = self.epsg % 100
        latitude = self.centre_wgs84[1]
        band = "CDEFGHJKLMNPQRSTUVWX"[min(int((latitude + 80) // 8), 19)]
        column = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")[(zone - 1) % 3][int(self.left // 1e5) - 1]
        row = "ABCDEFGHJKLMNPQRSTUV"[(int(self.top // 1e5) + (0 if zone % 2 else 5)) % 20]
        return f"{zone}{band}{column}{row}"


def sun_position(latitude: float, day: date) -> tuple[float, float]:
    """Return the sun's zenith and azimuth in degrees at 10:50 local solar time, Sentinel-2's hour, north of
    the tropics.
    """
    year_day = day.timetuple().tm_yday
    declination = np.radians(23.44) * np.sin(2 * np.pi * (year_day - 81) / 365.25)
    zenith, azimuth = zenith_and_azimuth(declination, np.radians(15 * (10.8 - 12)), latitude)
    return float(zenith), float(azimuth)
