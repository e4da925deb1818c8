"""Data sets: a name and a split in, a whole split of images in memory out.

A data set is one entry of `_REGISTRY`, and no other file lists their names.
"""

import dataclasses
import functools
import os
import zlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from draw_tf import noise
from draw_tf.data import digits, folder, tfds
from draw_tf.errors import ConfigError
from draw_tf.files import local_path


@dataclasses.dataclass(frozen=True)
class _DataSet:
    splits: dict[str, str]  # what `read` takes for "train", "test" and, if any, "validation"
    read: Callable | None = None  # (name, entry of splits, data_dir, shape) to pixels; None is TFDS
    fit: Callable = tf.identity  # brings images of TFDS that differ to one shape
    binary: bool = False  # pixels are 0 or 1, a draw of grey images, and not levels 0..255
    part_of: tuple[str, ...] = ()  # data sets whose training images include this one's
    compose: Callable | None = None  # (pixels, key, numbers) to images, as `Images.make`
    labels: Callable | None = None  # (entry of splits) to what each image shows, [M]


_TWO = {"train": "train", "test": "test"}
_THREE = {"train": "train", "validation": "validation", "test": "test"}
_HOLD_OUT_LAST = {"train": "train[:50000]", "validation": "train[50000:]", "test": "test"}
_HOLD_OUT_TENTH = {"train": "train[:90%]", "validation": "train[90%:]", "test": "test"}
_REGISTRY = {
    # from MNIST's training images; MNIST's test split has none of them
    "digits": _DataSet(_TWO, digits.read, part_of=("mnist", "binarized_mnist"),
                       labels=digits.labels),
    "colour_digits": _DataSet(_TWO, digits.read_colour, labels=digits.labels),
    "two_digits": _DataSet(_TWO, digits.read, compose=digits.two),
    "mnist": _DataSet(_HOLD_OUT_LAST),
    "fashion_mnist": _DataSet(_HOLD_OUT_LAST),
    "binarized_mnist": _DataSet(_THREE, binary=True),  # TensorFlow Datasets has 0 and 1 here
    "omniglot": _DataSet(_HOLD_OUT_TENTH, fit=tfds.letter),
    "cifar10": _DataSet(_HOLD_OUT_TENTH),
    "svhn_cropped": _DataSet(_HOLD_OUT_TENTH),
    "celeb_a": _DataSet(_THREE, fit=tfds.face),
    "folder:PATH": _DataSet(_TWO, folder.read),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """One split in memory.

    Attributes:
      pixels: [M, H, W, C] of any number type, not empty, in [0, scale]; else raises ConfigError.
      scale: 255 for grey levels, 1 for pixels that are 0 or 1 or already fractions.
      name, split: the name of the data set, and "train", "validation" or "test".
      make: for images made without end, a function of (key, numbers) that returns the images of
        these numbers, int64 [K], with the shape and scale of `pixels`. Training calls it with the
        seed as the key; `pixels` is a fixed sample for everything else.
      labels: what each image shows, whole numbers [M], or None where that is not known.
    """

    pixels: np.ndarray
    scale: float
    name: str = "arrays"
    split: str = "train"
    make: Callable | None = None
    labels: np.ndarray | None = None

    def __post_init__(self):
        if self.pixels.ndim != 4 or not self.pixels.size:
            raise ConfigError(
                f"pixels of {self} must be [M, H, W, C], got shape {self.pixels.shape}")
        low, high = self.pixels.min(), self.pixels.max()
        if not (low >= 0 and high <= self.scale):  # NaN too
            raise ConfigError(f"pixels of {self} must be in [0, {self.scale}], got [{low}, {high}]")

    def __len__(self) -> int:
        return len(self.pixels)

    def __str__(self) -> str:
        return f"{self.name}/{self.split}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (H, W, C) of one image."""
        return self.pixels.shape[1:]

    def floats(self, indices: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Some images, or all, as float32 [K, H, W, C] in [0, 1], for showing; never binarized."""
        return self.pixels[indices].astype(np.float32) / np.float32(self.scale)

    def mean(self) -> np.ndarray:
        """The mean image, float64 [H, W, C] in [0, 1]; of binarized images, that of their draw."""
        return self.pixels.mean(axis=0, dtype=np.float64) / self.scale  # [H, W, C]

    def binarized(self) -> "Images":
        """One Bernoulli draw of each image for ever: `Images` of pixels uint8 {0, 1}.

        It depends on name, split and index, not on a training seed: runs can be compared.
        """
        key = zlib.crc32(str(self).encode())
        pixels = np.empty(self.pixels.shape, np.uint8)  # [M, H, W, C]
        with tf.device("CPU:0"):  # the same numbers on every machine
            for first in range(0, len(self), 1000):  # bounds the memory for draws
                grey = self.floats(slice(first, first + 1000))  # [<=1000, H, W, C]
                draws = noise.uniform(key, noise.STATIC, first, len(grey), self.shape)
                pixels[first:first + 1000] = draws < grey
        return dataclasses.replace(self, pixels=pixels, scale=1, make=None)


def names() -> list[str]:
    """The names of all data sets; PATH in a name stands for a path."""
    return list(_REGISTRY)


def load(name: str, split: str, data_dir: str | None = None,
         shape: tuple[int, int, int] = (64, 64, 3)) -> Images:
    """Loads one split of a data set as uint8 `Images`, in an order that never changes.

    Args:
      name: one of `names()`. Digits ship with the package, "folder:PATH" is the pictures of a
        folder, and the rest come through TensorFlow Datasets, which downloads them once.
      split: "train" or "test"; or "validation", which digits and folders lack. Where the publishers
        have none, it is the last of their training images (10,000 of MNIST and Fashion-MNIST, else
        a tenth), and "train" is the rest.
      data_dir: folder of TensorFlow Datasets; None is its default, ~/tensorflow_datasets.
      shape: (H, W, C) that the pictures of a folder are brought to; other data sets have their own.

    Raises:
      ConfigError: there is no data set or split of this name, or the folder cannot be used.
      DataError: the data set is not in `data_dir` and cannot be downloaded, or is damaged there.
    """
    entry = _entry(name)
    if split not in entry.splits:
        raise ConfigError(f"split of dataset {name} must be one of {', '.join(entry.splits)}, "
                          f"got {split!r}")
    part = entry.splits[split]
    pixels = (entry.read(name, part, data_dir, shape) if entry.read
              else tfds.read_split(name, part, data_dir, entry.fit))  # [M, H, W, C]
    make = entry.compose and functools.partial(entry.compose, pixels)
    if make:
        key = zlib.crc32(f"{name}/{split}".encode())
        pixels = make(key, tf.range(len(pixels), dtype=tf.int64)).numpy()  # [M, H, W, C]
    labels = entry.labels and entry.labels(part)  # [M]
    return Images(pixels, 1 if entry.binary else 255, name, split, make, labels)


def is_here(name: str, data_dir: str | None = None) -> bool:
    """Whether `load` finds the images of a data set on this machine and downloads nothing."""
    read = _entry(name).read
    if read is None:
        return tfds.is_prepared(name, data_dir)
    return read is not folder.read or local_path(name.partition(":")[2], "dataset").is_dir()


def evaluation_split(name: str) -> str:
    """The split to watch during training: "validation", or "test" where there is no other."""
    return "validation" if "validation" in _entry(name).splits else "test"


def binarize_for(trained_on: str, binarize: str, name: str) -> str:
    """The `binarize` for images of the data set `name` that a trained model is given.

    It is the one of its training, or "static" where `trained_on` has pixels 0 and 1 only and `name`
    has grey ones.
    """
    trained = _REGISTRY.get(trained_on)  # None for a folder, and for arrays that have no entry
    return "static" if trained and trained.binary and not _entry(name).binary else binarize


def overlaps(trained_on: str, name: str) -> bool:
    """Whether images of the data set `name` are among the training images of another one."""
    return trained_on in _entry(name).part_of


def _entry(name):
    """The registry's entry for a name, in which a path may stand after a colon."""
    kind, colon, _ = name.partition(":")
    key = f"{kind}:PATH" if colon else name
    if key not in _REGISTRY:
        hint = f": give folder:{name} for the pictures in it" if os.path.isdir(name) else ""
        raise ConfigError(f"dataset must be one of {', '.join(_REGISTRY)}, got {name!r}{hint}")
    return _REGISTRY[key]
