"""A folder of one's own pictures as a data set."""

import itertools
import os
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageOps

from draw_tf.data.reading import collect
from draw_tf.errors import ConfigError
from draw_tf.files import local_path

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
MAX_PIXELS = 50_000_000  # a picture of more would take too much memory, or pretends to
MODES = {1: "L", 3: "RGB"}  # Pillow's names, by the number of channels


def read(name: str, split: str, data_dir, shape: tuple[int, int, int]) -> np.ndarray:
    """The pictures of "folder:PATH", cut to a shape's proportions and resized: uint8 [M, H, W, C].

    They are sorted by their path below PATH, and the last tenth, at least one, is the test split.
    Files that cannot be read are left out and counted on standard error.

    Raises:
      ConfigError: PATH is not a folder, it holds fewer than two pictures or none of a split can be
        read, one has more than 50 megapixels, or C is neither 1 nor 3.
    """
    if shape[2] not in MODES:
        raise ConfigError(f"dataset {name} has images of 1 or 3 channels, not {shape[2]}")
    paths = _paths(name)
    held_out = max(1, len(paths) // 10)
    paths = paths[-held_out:] if split == "test" else paths[:-held_out]
    broken = []

    def parts(pool):
        for path, picture in zip(paths, pool.map(_read_picture, paths, itertools.repeat(shape))):
            if picture is None:
                broken.append(path)
            else:
                yield picture[np.newaxis]  # [1, H, W, C]

    with warnings.catch_warnings(), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # Pillow's, of files that are odd or large
        pixels = collect(parts(pool), len(paths), shape, name)  # [M, H, W, C]
    if not len(pixels):
        raise ConfigError(f"dataset {name}: none of the {len(paths)} pictures for {split} can be "
                          f"read, the first being {paths[0]}")
    if broken:
        print(f"dataset {name}: left out {len(broken)} of {len(paths)} pictures for {split} that "
              f"cannot be read, the first being {broken[0]}", file=sys.stderr, flush=True)
    return pixels


def _paths(name):
    text = name.partition(":")[2]
    root = local_path(text, "dataset folder:")
    if not text or not root.is_dir():
        raise ConfigError(f"dataset {name} needs a folder, and {text!r} is not one")
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in ENDINGS
                   and not path.name.startswith(".") and path.is_file())
    if len(paths) < 2:
        raise ConfigError(f"dataset {name} needs at least two pictures ({', '.join(ENDINGS)}), "
                          f"and there {'is one' if paths else 'are none'}")
    return paths


def _read_picture(path, shape):
    """A picture as uint8 [H, W, C], or None where the file cannot be read."""
    try:
        with Image.open(path, formats=FORMATS) as image:  # reads the header only
            if image.width * image.height <= MAX_PIXELS:
                return _fitted(image, shape)
    except Image.DecompressionBombError:  # far too large
        pass
    except Exception:  # Pillow raises many kinds
        return None
    raise ConfigError(f"picture {path} has more than {MAX_PIXELS // 10**6} megapixels by its "
                      "header: make it smaller or take it out of the folder")


def _fitted(image, shape):
    """The middle of an open picture as uint8 [H, W, C]."""
    height, width, channels = shape
    mode = MODES[channels]
    # a large JPEG is decoded at an eighth to a half of its size where that is enough
    excess = min(image.size) / (2 * max(height, width))
    image.draft(mode, tuple(round(side / excess) for side in image.size))
    ImageOps.exif_transpose(image, in_place=True)  # upright
    if image.mode.startswith("I"):  # 16 bits
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    transparent = image.has_transparency_data
    needed = "RGBA" if transparent else mode
    if image.mode != needed:  # if not, it would make a copy
        image = image.convert(needed)
    image = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
    if transparent:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert(mode)
    return np.asarray(image).reshape(shape)
