"""Whole splits of data sets, through TensorFlow Datasets."""

import contextlib
import io
import logging
import sys
import urllib.parse

import numpy as np

from draw_tf.errors import DataError


def read_split(name: str, split: str, data_dir: str | None) -> np.ndarray:
    """The images of a split; the data set is downloaded first where it is not on this machine.

    Args:
      name: of the data set, in TFDS's terms.
      split: in TFDS's terms.
      data_dir: folder of TFDS; None is its default, ~/tensorflow_datasets.

    Returns:
      uint8 [M, H, W, C], in an order that never changes.

    Raises:
      DataError: the data set is not in `data_dir` and cannot be downloaded.
    """
    import tensorflow_datasets as tfds  # here, because the digits that ship do without it
    tfds.disable_progress_bar()
    with _hushed():
        builder = tfds.builder(name, data_dir=data_dir)
        if not builder.is_prepared():
            _download(builder)
        examples = builder.as_dataset(  # batch_size=-1: the whole split in one
            split=split, batch_size=-1, shuffle_files=False,
            read_config=tfds.ReadConfig(interleave_cycle_length=1))
        return examples["image"].numpy()


def _download(builder):
    """Downloads and prepares a data set, or raises DataError."""
    folder = builder.data_path.parents[1]
    print(f"Downloading {builder.name} to {folder}", file=sys.stderr, flush=True)
    try:
        _probe(builder.url_infos)
        builder.download_and_prepare()
    except Exception as error:  # of the network, the disk, or what was downloaded
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            f"dataset {builder.name} is not in {folder} and cannot be downloaded ({reason}): "
            "give --data_dir=DIR, a folder where TensorFlow Datasets has prepared "
            "it, or use --dataset=digits to train, which needs no download")  from error


def _probe(urls):
    """Asks once for the first of `urls`: without a network TFDS retries for over three minutes."""
    import requests  # what TFDS downloads with: proxies and certificates are treated alike
    for url in list(urls or ())[:1]:
        try:
            requests.head(url, timeout=10)  # any answer will do
        except requests.RequestException as error:
            raise OSError(f"no answer from {urllib.parse.urlsplit(url).hostname}") from error


@contextlib.contextmanager
def _hushed():
    """Keeps the routine messages of TFDS away from a command's log and its standard output."""
    logger = logging.getLogger("absl")  # where TFDS logs
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
