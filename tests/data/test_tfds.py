"""Data sets through TensorFlow Datasets: read quietly, and a download that fails is explained."""

import io
import logging
import pathlib
import sys

import numpy as np
import pytest
import requests
import tensorflow as tf
import tensorflow_datasets as tfds

from draw_tf import data
from draw_tf.data import images
from draw_tf.data import tfds as tf_data
from draw_tf.errors import DataError
from tests.support.data_sets import steps


def nothing(feature):
    """An example of a feature that no test looks at."""
    if isinstance(feature, tfds.features.FeaturesDict):
        return {name: nothing(part) for name, part in feature.items()}
    return "" if isinstance(feature, tfds.features.Text) else 0


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Writes tiny data sets with the official builders and returns (data_dir, their images)."""
    random = np.random.RandomState(0)

    def prepare(name, high, now=True, **counts):
        builder = tfds.builder(name, data_dir=tmp_path)
        features = builder.info.features
        written = {split: random.randint(0, high, (count, *features["image"].shape)).astype(
            np.uint8) for split, count in counts.items()}
        splits = {split: [(i, {**nothing(features), "image": image})
                          for i, image in enumerate(array)] for split, array in written.items()}
        monkeypatch.setattr(type(builder), "_split_generators", lambda self, manager: splits)
        if now:
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


@pytest.mark.parametrize("name", ["cifar10", "svhn_cropped", "omniglot"])
def test_the_last_tenth_of_the_training_images_is_held_out(prepared, name):
    data_dir, prepare = prepared
    prepare(name, 256, train=30, test=3)
    splits = {split: data.load(name, split, data_dir)
              for split in ("train", "validation", "test")}
    assert {split: len(images) for split, images in splits.items()} == {
        "train": 27, "validation": 3, "test": 3}
    for split in splits.values():
        assert split.shape == ((28, 28, 1) if name == "omniglot" else (32, 32, 3))
        assert split.pixels.dtype == np.uint8 and split.scale == 255
    parts = np.concatenate([splits["train"].pixels, splits["validation"].pixels])  # [30, H, W, C]
    in_order = tfds.load(name, split="train", data_dir=data_dir, batch_size=-1)["image"].numpy()
    if name == "omniglot":
        in_order = [tf_data.letter(image) for image in in_order]
    np.testing.assert_array_equal(parts, in_order)


def test_letters_are_white_on_black_and_shrunk(prepared, monkeypatch):
    page = np.full((105, 105, 3), 255, np.uint8)
    page[30:60, 45:90] = 0  # between 8 and 16, 12 and 24 of 28
    small = tf_data.letter(page).numpy()
    assert small.shape == (28, 28, 1) and small.dtype == np.uint8
    assert (small[9:15, 13:23] == 255).all() and small[:7].max() == small[:, :11].max() == 0
    assert small[17:].max() == small[:, 25:].max() == 0
    assert small.mean() == pytest.approx((255 - page).mean(), rel=0.02)


@pytest.mark.slow
def test_faces_are_the_middle_of_photographs(prepared):
    data_dir, prepare = prepared
    photograph = np.zeros((218, 178, 3), np.uint8)
    photograph[55:163, 35:143] = 100  # the middle 108 x 108 pixels
    photograph[55:109, 35:89, 0] = 200
    small = tf_data.face(photograph).numpy()
    assert small.shape == (64, 64, 3) and small.dtype == np.uint8
    np.testing.assert_allclose(small[:30, :30], np.full((30, 30, 3), (200, 100, 100)))
    np.testing.assert_array_equal(small[34:], 100)

    prepare("celeb_a", 256, train=7, validation=2, test=3)
    for split, count in (("train", 7), ("validation", 2), ("test", 3)):
        images = data.load("celeb_a", split, data_dir)
        assert len(images) == count and images.shape == (64, 64, 3) and images.scale == 255
        in_order = tfds.load("celeb_a", split=split, data_dir=data_dir, batch_size=-1)["image"]
        np.testing.assert_array_equal(images.pixels, [tf_data.face(image) for image in in_order])


def test_images_are_read_in_small_parts_into_one_array(prepared, monkeypatch):
    data_dir, prepare = prepared
    written = prepare("svhn_cropped", 256, train=1, test=30)["test"]
    monkeypatch.setattr(tf_data, "READ_AT_ONCE", 7)
    collected = []

    def collect(parts, count, shape, name):
        collected.append((count, tuple(shape), [len(part) for part in parts]))
        return written

    monkeypatch.setattr(tf_data, "collect", collect)
    data.load("svhn_cropped", "test", data_dir)
    assert collected == [(30, (32, 32, 3), [7, 7, 7, 7, 2])]


def test_parts_of_any_length_become_one_array():
    pixels = np.random.RandomState(0).randint(0, 256, (9, 4, 3, 2)).astype(np.uint8)
    parts = iter([pixels[:4], pixels[4:4], pixels[4:5], pixels[5:]])
    np.testing.assert_array_equal(tf_data.collect(parts, 9, (4, 3, 2), "some"), pixels)
    fewer = tf_data.collect([pixels[:2]], 9, (4, 3, 2), "some")
    np.testing.assert_array_equal(fewer, pixels[:2])


def test_no_bar_where_there_is_no_terminal(capsys):
    tf_data.collect([np.zeros((1, 2, 2, 1))] * 3, 3, (2, 2, 1), "some")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_shows_the_progress_of_the_preparation(prepared, monkeypatch, terminal):
    data_dir, prepare = prepared
    written = prepare("mnist", 256, now=False, train=3, test=4)
    monkeypatch.setattr(requests, "head", lambda url, timeout: None)
    err, out = io.StringIO(), io.StringIO()
    err.isatty = lambda: terminal
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(sys, "stdout", out)
    images = data.load("mnist", "test", data_dir)
    assert as_set(images.pixels) == as_set(written["test"])
    lines = err.getvalue().splitlines()
    assert lines[0] == f"Downloading mnist to {data_dir}" and not out.getvalue()
    assert any("Generating" in line and "%" in line for line in lines) == terminal
    assert terminal or len(lines) == 1


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def lose_images(path):
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records[:-2]:
            writer.write(record)


def repeat_images(path):
    path.write_bytes(2 * path.read_bytes())


def write_another(path):
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"no example")


@pytest.mark.parametrize("file, damage", [
    ("dataset_info.json", cut), ("dataset_info.json", lambda path: path.write_text("{}")),
    *(("*-test.tfrecord*", damage) for damage in (
        cut, flip, lose_images, repeat_images, write_another, pathlib.Path.unlink))])
def test_a_damaged_data_set_is_reported_with_the_folder_to_remove(prepared, file, damage):
    data_dir, prepare = prepared
    prepare("mnist", 256, train=1, test=4)
    (path,) = (data_dir / "mnist").rglob(file)
    damage(path)
    with pytest.raises(DataError) as caught:
        data.load("mnist", "test", data_dir)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"dataset mnist in {data_dir / 'mnist'} cannot be read (")
    assert message.endswith("): remove this folder, and the data set will be downloaded again")


def test_a_folder_that_may_not_be_read_is_not_to_be_removed(prepared, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    data_dir, prepare = prepared
    prepare("mnist", 256, train=1, test=4)
    monkeypatch.setattr(tf_data, "collect", refuse)
    with pytest.raises(DataError, match=r"cannot be read \(Permission denied\)$"):
        data.load("mnist", "test", data_dir)


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
