"""Picture files, healthy and not."""

import struct
import zlib

import numpy as np
from PIL import Image

RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)


def save(path, pixels, **options):
    """Writes uint8 [h, w, 3] or a Pillow image, in the format of the path's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)


def plain(colour, size=(20, 30)):
    """One colour everywhere, uint8 [h, w, 3]."""
    return np.full((*size, 3), colour, np.uint8)


def thirds(width=90, height=30):
    """Red, green and blue side by side, uint8 [h, w, 3]."""
    return np.repeat([[RED, GREEN, BLUE]], width // 3, axis=1).repeat(height, axis=0).astype(
        np.uint8)


def header(kind, width, height):
    """The start of a file that claims a size and holds no pixels."""
    if kind == "bmp":
        return struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, width, height, 1, 24,
                           0, 0, 0, 0, 0, 0)
    if kind == "gif":
        return struct.pack("<6sHHBBB", b"GIF89a", width, height, 0, 0, 0) + struct.pack(
            "<BHHHHB", 0x2C, 0, 0, width, height, 0) + b"\x02\0;"
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    idat = b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + ihdr + struct.pack(
        ">I", zlib.crc32(ihdr)) + idat
