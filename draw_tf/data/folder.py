"""A folder of one's own pictures as a data set."""

import itertools
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from draw_tf.data.picture import ENDINGS, MODES, UnreadableError, fitted, opened, quiet
from draw_tf.data.reading import collect
from draw_tf.errors import ConfigError
from draw_tf.files import local_path


def read(name: str, split: str, data_dir, shape: tuple[int, int, int]) -> np.ndarray:
    """The pictures of "folder:PATH", cut to a shape's proportions and resized: uint8 [M, H, W, C].

    They are sorted by their path below PATH, and the last tenth, at least one, is the test split.
    Files that cannot be read are left out and counted on standard error.

    Raises:
      ConfigError: PATH is not a folder, it holds fewer than two pictures or none of a split can be
        read, or C is neither 1 nor 3.
    """
    if shape[2] not in MODES:
        raise ConfigError(f"dataset {name} has images of 1 or 3 channels, not {shape[2]}")
    paths = _paths(name)
    held_out = max(1, len(paths) // 10)
    paths = paths[-held_out:] if split == "test" else paths[:-held_out]
    broken = []

    def parts(pool):
        for path, picture in zip(paths, pool.map(_read_picture, paths, itertools.repeat(shape))):
            if isinstance(picture, str):
                broken.append(f"{path} ({picture})")
            else:
                yield picture[np.newaxis]  # [1, H, W, C]

    with quiet(), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        pixels = collect(parts(pool), len(paths), shape, name)  # [M, H, W, C]
    if not len(pixels):
        raise ConfigError(f"dataset {name}: none of the {len(paths)} pictures for {split} can be "
                          f"read, the first being {broken[0]}")
    if broken:
        print(f"dataset {name}: left out {len(broken)} of {len(paths)} pictures for {split} that "
              f"cannot be read, the first being {broken[0]}", file=sys.stderr, flush=True)
    return pixels


def is_folder(name: str) -> bool:
    """Whether PATH of "folder:PATH" is a folder on this machine."""
    return pathlib.Path(name.partition(":")[2]).expanduser().is_dir()


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
    """A picture as uint8 [H, W, C], or why it cannot be read."""
    try:
        with opened(path) as image:
            return fitted(image, shape)
    except UnreadableError as error:
        return str(error)
