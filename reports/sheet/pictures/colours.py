"""Reflectance as the colours of a picture, and pixels as PNG."""

import base64
import struct
import zlib

import numpy as np

# reflectance shown as black and white, per colour: true (red, green, blue), false (near infrared, red, green)
STRETCH = {"true": ((0.0, 0.26), (0.0, 0.22), (0.0, 0.18)), "false": ((0.0, 0.55), (0.0, 0.24), (0.0, 0.22))}
GAMMA = 0.8
GREY = 150  # of a pixel without data


def data_uri(colours: list[np.ndarray], stretch: tuple[tuple[float, float], ...]) -> str:
    """Return the PNG of three colours `(y, x)` as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png(shaded(colours, stretch))).decode()


def shaded(colours: list[np.ndarray], stretch: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Return reflectance as 8-bit colours `(y, x, 3)`; a pixel without data is mid-grey."""
    light = np.stack(colours)
    black = np.array([low for low, _ in stretch], light.dtype)[:, None, None]
    span = np.array([high - low for low, high in stretch], light.dtype)[:, None, None]
    light -= black
    light /= span
    shade = np.clip(light, 0, 1, out=light) ** GAMMA
    shade *= 255
    np.rint(shade, out=shade)
    shade[np.isnan(shade)] = GREY
    return np.moveaxis(shade.astype(np.uint8), 0, -1)


def png(pixels: np.ndarray) -> bytes:
    """Return 8-bit RGB pixels (y, x, 3) as a PNG without any metadata, so that equal pixels give equal bytes.

    PNG specification (ISO/IEC 15948), sections 5 and 11: signature, IHDR, one IDAT, IEND; no filter.
    """
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # each begins with its filter, which is none
    lines[:, 1:].reshape(height, width, 3)[:] = pixels
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
