"""One picture file: opened whatever its metadata are, set upright, brought to a model's shape."""

import contextlib
import io
import os
import struct
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from draw_tf.data import pen
from draw_tf.errors import DataError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
MAX_PIXELS = 50_000_000  # a picture of more would take too much memory, or pretends to
MODES = {1: "L", 3: "RGB"}  # Pillow's names, by the number of channels
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
# what may say how the camera was held: a chunk and keywords of text chunks of PNG, JPEG's APP1
_ORIENTATION = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp", 0xE1)
_ALL = (*_ORIENTATION, "all else")


class UnreadableError(Exception):
    """A file is no picture that can be read; says why."""


def pictures(paths: Sequence[str | os.PathLike], shape: tuple[int, int, int], *,
             invert: bool | None = None, dark_background: bool = False,
             fit_digit: bool = False) -> np.ndarray:
    """Reads picture files for a model of a `shape` (H, W, C): float32 [N, H, W, C] in [0, 1].

    The middle of a picture is cut to the shape's proportions, resized, and made grey or colour.

    Args:
      paths: N files.
      shape: (H, W, C) of the model's images, C being 1 or 3.
      invert: whether to turn light into dark. None does so where `dark_background` is true and the
        ground of the picture, which its border shows, is light.
      dark_background: whether the model draws light on dark.
      fit_digit: whether to treat grey pictures as MNIST treated its digits, unless they have the
        size of the model's images already: the paper becomes 0 and the ink 1, and the digit is
        brought to 20/28 of the shape and its centre of mass to the middle.

    Raises:
      DataError: there is no file, or one is missing, is no picture, has too many pixels, or shows
        nothing.
    """
    if not len(paths):
        raise DataError(f"paths must name at least one picture, got {paths!r}")
    if shape[2] not in MODES:
        raise DataError(f"pictures can be made for images of 1 or 3 channels, not {shape[2]}")

    def prepared(path):
        """One of the pictures, float32 [H, W, C]."""
        try:
            with warnings.catch_warnings(action="ignore"), opened(path) as image:
                digit = fit_digit and shape[2] == 1 and image.size != shape[1::-1]
                pixels = whole(image, pen.SIDE) if digit else fitted(image, shape)
        except UnreadableError as error:
            raise DataError(f"picture {path} cannot be read: {error}") from error
        pixels = pixels.astype(np.float32) / 255  # [H, W, C], of a digit [h, w, 1]
        if invert or (invert is None and dark_background and pen.on_light_ground(pixels)):
            pixels = 1 - pixels
        result = pen.like_mnist(pixels, shape) if digit else pixels
        if result is None:
            raise DataError(f"picture {path} shows no digit: it is of one level everywhere")
        return result

    return np.stack([prepared(path) for path in paths])


@contextlib.contextmanager
def opened(path: str | os.PathLike) -> Iterator[Image.Image]:
    """Opens a picture, of which nothing but the header has been read.

    What is wrong with its metadata is no obstacle. Raises UnreadableError, in the block too.
    """
    try:
        with open(path, "rb") as file, _image(file) as image:
            yield image
    except UnreadableError:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableError("it has too many pixels") from error
    except IsADirectoryError as error:
        raise UnreadableError("it is a folder") from error
    except OSError as error:
        text = error.strerror if error.filename else "it is not a picture, or is damaged"
        raise UnreadableError(text) from error
    except Exception as error:  # Pillow raises many kinds
        raise UnreadableError("it is damaged") from error


def fitted(image: Image.Image, shape: tuple[int, int, int]) -> np.ndarray:
    """The middle of an open picture as uint8 [H, W, C]; transparent parts are white."""
    height, width, channels = shape
    image = _upright(image, 2 * max(height, width), MODES[channels])
    image = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
    return _opaque(image, MODES[channels]).reshape(shape)


def whole(image: Image.Image, side: int) -> np.ndarray:
    """All of an open picture, its longer side at most `side`, as grey levels uint8 [h, w, 1].

    Transparent parts are white, or black where they are most of the picture and the rest is light.
    """
    image = _upright(image, side, "L")
    image.thumbnail((side, side), Image.Resampling.BICUBIC)
    ground = "white"
    if image.mode == "RGBA":  # so that ink on nothing can be seen, whether it is dark or light
        grey, opaque = np.moveaxis(np.asarray(image.convert("LA")) / 255, -1, 0)  # [h, w] each
        if np.mean(opaque) < 0.5 and np.sum(grey * opaque) > np.sum(opaque) / 2:
            ground = "black"
    return _opaque(image, "L", ground)[..., np.newaxis]


def _image(file):
    """An open picture of an open file."""
    start = file.read(8)
    for magic, kind, part in ((_PNG, PngImageFile, _png_part), (_JPEG, JpegImageFile, _jpeg_part)):
        if start.startswith(magic):
            for kept in (_ALL, _ORIENTATION):
                with contextlib.suppress(Exception):  # of metadata, which come before the pixels
                    return kind(part(file, kept))
            return kind(part(file, ()))
    if start[4:] == b"ftyp":
        raise UnreadableError("it is in HEIC or a format like it: save it as JPEG first")
    return Image.open(file, formats=("BMP", "GIF", "WEBP"))


def _png_part(file, kept):
    """A PNG without metadata, except those in `kept` that say how to turn it."""
    file.seek(len(_PNG))
    head, pixels, size = [_PNG], list[bytes](), 0
    while len(start := file.read(8)) == 8 and size < 8 * MAX_PIXELS:
        length, kind = struct.unpack(">I4s", start)
        needed = kind in (*kept, b"tRNS") or kind[:1].isupper()
        if not needed and (kind not in (b"tEXt", b"zTXt", b"iTXt") or length > 2**20):
            file.seek(length + 4, io.SEEK_CUR)
            continue
        content = file.read(length + 4)
        if needed or content.split(b"\0", 1)[0] in kept:
            (pixels if kind in (b"IDAT", b"IEND") else head).append(start + content)
            size += length
    return io.BytesIO(b"".join(head + pixels))


def _jpeg_part(file, kept):
    """A JPEG; or the same without metadata, except those in `kept`."""
    if kept is _ALL:
        file.seek(0)
        return file
    file.seek(2)
    parts = [b"\xff\xd8"]
    while len(start := file.read(4)) == 4 and start[1] != 0xDA:  # after which there are pixels
        content = file.read(max(0, int.from_bytes(start[2:]) - 2))
        # of APP0 to APP15 and comments, the first and APP14 say which colours the numbers mean
        colour = start[1] in (0xE0, 0xEE) and len(content) >= 12
        if colour or start[1] in kept or start[1] not in (*range(0xE0, 0xF0), 0xFE):
            parts.append(start + content)
    return io.BytesIO(b"".join([*parts, start, file.read(8 * MAX_PIXELS)]))


def _upright(image, side, mode):
    """An open picture as the camera was held, decoded to `mode`, or RGBA where it is transparent.

    A large JPEG is decoded at an eighth to a half of its size where that leaves `side` pixels.
    """
    full, excess = image.width * image.height, min(image.size) / side
    image.draft(mode, tuple(round(size / excess) for size in image.size))
    # all coefficients of a progressive JPEG are in memory at once
    needed = image.width * image.height + image.info.get("progressive", 0) * full * 3 // 8
    if needed > MAX_PIXELS:
        raise UnreadableError(f"it has {full / 1e6:.1f} megapixels, and the most for a picture of "
                              f"its kind is {MAX_PIXELS * full / needed / 1e6:.0f}")
    image.load()
    with contextlib.suppress(Exception):  # odd metadata may raise, once the picture is turned
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):  # 16 bits
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    mode = "RGBA" if image.has_transparency_data else mode
    return image if image.mode == mode else image.convert(mode)  # convert would make a copy


def _opaque(image, mode, ground="white"):
    """An upright picture on a ground, uint8 [h, w] or [h, w, 3]."""
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, ground), image).convert(mode)
    return np.asarray(image)
