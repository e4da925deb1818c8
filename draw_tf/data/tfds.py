"""Whole splits of data sets, through TensorFlow Datasets."""

import contextlib
import io
import logging
import os
import sys
import urllib.parse
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from draw_tf.errors import DataError, DRAWError, why
from draw_tf.files import check_access, local_path

READ_AT_ONCE = 256  # images


def face(image: tf.Tensor) -> tf.Tensor:
    """The middle 108 x 108 pixels of a photograph, as uint8 [64, 64, C]."""
    return _resized(tf.image.resize_with_crop_or_pad(image, 108, 108), 64)


def letter(image: tf.Tensor) -> tf.Tensor:
    """A black letter on white [H, W, C] as a white one on black, uint8 [28, 28, 1]."""
    return 255 - _resized(image[..., :1], 28)


def _resized(image, side):
    image = tf.image.resize(image, [side, side], antialias=True)  # [side, side, C], float32
    return tf.cast(tf.round(tf.clip_by_value(image, 0, 255)), tf.uint8)  # [side, side, C]


def collect(parts: Iterable[np.ndarray], count: int, shape: tuple[int, int, int],
            name: str) -> np.ndarray:
    """Joins at most `count` images, in parts uint8 [any number, H, W, C], to one [M, H, W, C].

    No other memory is taken. On a terminal, slow reading shows a progress bar with `name`.
    """
    pixels = np.empty((count, *shape), np.uint8)  # [count, H, W, C]
    filled = 0
    with tqdm(total=count, desc=f"Reading {name}", unit=" images", delay=2, leave=False,
              disable=None) as bar:
        for part in parts:
            pixels[filled:filled + len(part)] = part
            filled += len(part)
            bar.update(len(part))
    return pixels[:filled]


def read_split(name: str, split: str, data_dir: str | None,
               fit: Callable[[tf.Tensor], tf.Tensor]) -> np.ndarray:
    """The images of a split as uint8 [M, H, W, C], in an order that never changes.

    `name` and `split` are TFDS's. What is not in `data_dir` is downloaded. `fit` brings images that
    differ to one shape. Raises DataError for what is damaged or cannot be downloaded.
    """
    import tensorflow_datasets as tfds  # here, because the digits that ship do without it
    folder = local_path(data_dir or tfds.core.constants.DATA_DIR, "data_dir")
    logger = logging.getLogger("absl")  # where TFDS logs
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            # what may not be read would be downloaded again
            check_access(folder / name, folders=os.R_OK | os.X_OK)
            builder = tfds.builder(name, data_dir=str(folder) if data_dir else None)
            if not builder.is_prepared():
                _download(tfds, builder)
            config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
            config.options.autotune.enabled = False  # as in `draw_tf.data.batches`
            images = builder.as_dataset(split=split, shuffle_files=False, read_config=config).map(
                lambda example: fit(example["image"]), num_parallel_calls=tf.data.AUTOTUNE)
            return collect(images.batch(READ_AT_ONCE).as_numpy_iterator(),
                           builder.info.splits[split].num_examples, images.element_spec.shape, name)
    except (DRAWError, ImportError):
        raise
    except Exception as error:  # there is no end to what a damaged file can raise
        keep = isinstance(error, (PermissionError, tf.errors.PermissionDeniedError, MemoryError))
        advice = "" if keep else ": remove this folder, and the data set will be downloaded again"
        raise DataError(f"dataset {name} in {folder / name} cannot be read ({why(error)}){advice}"
                        ) from error
    finally:
        logger.setLevel(level)


def is_prepared(name: str, data_dir: str | None) -> bool:
    """Whether a data set is in `data_dir`, so that reading it downloads nothing."""
    import tensorflow_datasets as tfds
    return tfds.builder(name, data_dir=data_dir).is_prepared()


def _download(tfds, builder):
    folder = builder.data_path.parents[1]
    (tfds.enable_progress_bar if sys.stderr.isatty() else tfds.disable_progress_bar)()
    print(f"Downloading {builder.name} to {folder}", file=sys.stderr, flush=True)
    try:
        _probe(builder.url_infos)
        builder.download_and_prepare()
    except Exception as error:  # of the network, the disk, or what was downloaded
        raise DataError(
            f"dataset {builder.name} is not in {folder} and cannot be downloaded ({why(error)}): "
            "give --data_dir=DIR, a folder where TensorFlow Datasets has prepared "
            "it, or use --dataset=digits to train, which needs no download") from error


def _probe(urls):
    """Asks once for the first of `urls`: without a network TFDS retries for over three minutes."""
    import requests  # what TFDS downloads with: proxies and certificates are treated alike
    for url in list(urls or ())[:1]:
        try:
            requests.head(url, timeout=10)  # any answer will do
        except requests.RequestException as error:
            raise OSError(f"no answer from {urllib.parse.urlsplit(url).hostname}") from error
