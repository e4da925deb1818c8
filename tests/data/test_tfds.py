"""Data sets through TensorFlow Datasets: read quietly, and a download that fails is explained."""

import logging

import numpy as np
import pytest
import requests
import tensorflow_datasets as tfds

from draw_tf import data
from draw_tf.data import images
from draw_tf.errors import DataError
from tests.data.examples import steps


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Writes tiny data sets with the official builders and returns (data_dir, their images)."""
    random = np.random.RandomState(0)

    def prepare(name, high, **counts):
        builder = tfds.builder(name, data_dir=tmp_path)
        written = {split: random.randint(0, high, (count, 28, 28, 1)).astype(np.uint8)
                   for split, count in counts.items()}
        extra = {} if name == "binarized_mnist" else {"label": 0}
        splits = {split: [(i, {"image": image, **extra}) for i, image in enumerate(array)]
                  for split, array in written.items()}
        monkeypatch.setattr(type(builder), "_split_generators", lambda self, manager: splits)
        builder.download_and_prepare()
        return written

    return tmp_path, prepare


def as_set(pixels):
    return {image.tobytes() for image in pixels}


def test_mnist_is_read_without_a_word(prepared, monkeypatch, caplog, capsys):
    data_dir, prepare = prepared
    written = prepare("mnist", 256, train=9, test=4)
    caplog.set_level(logging.INFO)
    capsys.readouterr()
    caplog.clear()
    test = data.load("mnist", "test", data_dir)
    assert not [record for record in caplog.records if record.name == "absl"]
    assert capsys.readouterr() == ("", "")
    assert test.scale == 255 and str(test) == "mnist/test" and test.pixels.dtype == np.uint8
    assert as_set(test.pixels) == as_set(written["test"])
    again = data.load("mnist", "test", str(data_dir))
    np.testing.assert_array_equal(again.pixels, test.pixels)  # the order too

    monkeypatch.setitem(images._REGISTRY, "mnist", images._DataSet(
        {"train": "train[:7]", "validation": "train[7:]"}))
    parts = [data.load("mnist", split, data_dir).pixels for split in ("train", "validation")]
    assert [len(part) for part in parts] == [7, 2]
    assert as_set(np.concatenate(parts)) == as_set(written["train"])


def test_binarized_mnist_is_not_divided_by_255(prepared):
    data_dir, prepare = prepared
    written = prepare("binarized_mnist", 2, train=3, validation=5, test=4)
    for split, pixels in written.items():
        loaded = data.load("binarized_mnist", split, data_dir)
        assert as_set(loaded.pixels) == as_set(pixels)
        assert set(np.unique(loaded.floats())) == {0, 1}
        batch = steps(loaded, 1, batch_size=len(pixels), seed=0)
        assert batch.max() == 1 and batch.mean() == pytest.approx(pixels.mean())


def is_one_sentence(message):
    return message and "\n" not in message and not message.rstrip(".").count(". ")


def test_without_a_network_one_sentence_says_what_to_do(tmp_path, monkeypatch):
    def no_network(url, **_):
        raise requests.ConnectionError(f"cannot resolve {url}")

    monkeypatch.setattr(requests, "head", no_network)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare",
                        lambda self: pytest.fail("would retry for minutes"))
    for name in ("mnist", "fashion_mnist", "binarized_mnist"):
        with pytest.raises(DataError) as caught:
            data.load(name, "test", tmp_path)
        message = str(caught.value)
        assert is_one_sentence(message)
        for words in (f"dataset {name} ", str(tmp_path), "--dataset=digits", "--data_dir"):
            assert words in message


def test_a_download_that_breaks_says_why(tmp_path, monkeypatch, capsys):
    def full(self):
        raise OSError("No space left on device\nand more")

    monkeypatch.setattr(requests, "head", lambda url, timeout: None)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", full)
    with pytest.raises(DataError, match="mnist .*No space left.*=digits") as caught:
        data.load("mnist", "train", tmp_path)
    assert is_one_sentence(str(caught.value))
    assert f"Downloading mnist to {tmp_path}" in capsys.readouterr().err
