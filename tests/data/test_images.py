"""Data sets by name, what a split in memory is, and its fixed draw of zeros and ones."""

import itertools
import runpy
import sys
import zlib

import numpy as np
import pytest

from draw_tf import data, noise, training
from draw_tf.data import Images, images, tfds
from tests.support.cli import run_script
from tests.support.data_sets import SHAPE, grey, numbered

# ---------------------------------------------------------------- the digits that ship


def test_digits_have_the_promised_shape_and_range():
    train, test = data.load("digits", "train"), data.load("digits", "test")
    assert (len(train), len(test)) == (4500, 500)
    assert train.shape == test.shape == (28, 28, 1)
    for split in (train, test):
        assert split.pixels.dtype == np.uint8 and split.scale == 255
        assert (split.pixels.min(), split.pixels.max()) == (0, 255)
    # MNIST's mean grey level is 0.1307; its corners are black and its ink is in the middle.
    assert train.floats().mean() == pytest.approx(0.1307, abs=0.002)
    assert train.pixels[:, 0, 0].max() == 0 and train.floats()[:, 14, 14].mean() > 0.3


def test_no_digit_is_in_both_splits_or_twice():
    train, test = (data.load("digits", split).pixels for split in ("train", "test"))
    assert len({image.tobytes() for image in np.concatenate([train, test])}) == 5000


def test_digits_need_no_tensorflow_datasets(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)  # importing it now fails
    for module in (tfds, images):
        runpy.run_path(module.__file__)  # importing these does not import it
    assert len(data.load("digits", "test")) == 500


# ---------------------------------------------------------------- data sets by name


def test_one_entry_makes_a_data_set_for_everything(monkeypatch, tiny_run, tmp_path):
    asked = []

    def read(name, split, data_dir, shape):
        asked.append((name, split, data_dir, shape))
        return np.eye(28, dtype=np.uint8)[np.newaxis, ..., np.newaxis].repeat(64, axis=0)

    splits = {"train": "first half", "test": "second half"}
    monkeypatch.setitem(images._REGISTRY, "stripes", images._DataSet(
        splits, read, binary=True, part_of=("digits",)))
    assert data.names()[-1] == "stripes" and data.evaluation_split("stripes") == "test"
    loaded = data.load("stripes", "test", "folder", (2, 3, 1))
    assert str(loaded) == "stripes/test" and loaded.floats().max() == 1
    assert asked == [("stripes", "second half", "folder", (2, 3, 1))]
    assert data.overlaps("digits", "stripes") and not data.overlaps("stripes", "digits")
    assert data.binarize_for("stripes", "none", "digits") == "static"

    trained = []
    monkeypatch.setattr(training, "train_and_evaluate", lambda *given: trained.append(given))
    assert run_script("train.py", f"--workdir={tmp_path}/run", "--dataset=stripes",
                      "--image_size=50,40", "--image_channels=1") == 0
    assert [str(split) for split in trained[0][3:5]] == ["stripes/train", "stripes/test"]
    assert run_script("generate.py", f"--workdir={tiny_run}", "--mode=reconstruct", "--num=1",
                      "--dataset=stripes", f"--out={tmp_path}/strip.png") == 0
    assert [shape for *_, shape in asked[1:]] == [(50, 40, 1)] * 2 + [(28, 28, 1)]


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_validation_is_the_last_10000_training_images(name, monkeypatch):
    def read(name, split, *_):
        return eval(split, {  # the specification is a slice of the split's 60,000 or 10,000
            "train": (np.arange(60_000) % 251).astype(np.uint8).reshape(-1, 1, 1, 1),
            "test": np.full((10_000, 1, 1, 1), 255, np.uint8)})

    entry = images._DataSet(images._REGISTRY[name].splits, read)
    monkeypatch.setitem(images._REGISTRY, name, entry)
    train, validation, test = (data.load(name, split).pixels.ravel()
                               for split in ("train", "validation", "test"))
    np.testing.assert_array_equal(train, np.arange(50_000) % 251)
    np.testing.assert_array_equal(validation, np.arange(50_000, 60_000) % 251)
    assert len(test) == 10_000 and (test == 255).all()


def test_the_split_to_watch_is_one_that_the_data_set_has():
    assert {name for name in data.names() if data.evaluation_split(name) == "test"} == {
        "digits", "colour_digits", "two_digits", "folder:PATH"}
    assert data.evaluation_split("mnist") == "validation"


@pytest.mark.parametrize("trained_on, binarize, name, expected", [
    ("mnist", "none", "mnist", "none"),
    ("mnist", "dynamic", "digits", "dynamic"),
    ("binarized_mnist", "none", "mnist", "static"),
    ("binarized_mnist", "none", "binarized_mnist", "none"),  # it is 0 and 1 already
    ("my own images", "static", "digits", "static"),
    ("folder:some/where", "none", "folder:some/where", "none"),
    ("binarized_mnist", "none", "folder:some/where", "static"),
])
def test_a_model_of_binary_images_is_given_binary_images(trained_on, binarize, name, expected):
    assert data.binarize_for(trained_on, binarize, name) == expected


def test_models_of_mnist_have_seen_the_digits():
    assert [name for name in data.names() if data.overlaps(name, "digits")] == [
        "mnist", "binarized_mnist"]
    assert not data.overlaps("digits", "digits")  # its test images are its own
    assert not data.overlaps("digits", "mnist")  # whose test images are none of the digits


@pytest.mark.parametrize("name, split, words", [
    ("emnist", "train", f"dataset must be one of {', '.join(data.names())}, got 'emnist'"),
    ("digits", "validation", "split of dataset digits must be one of train, test, "
     "got 'validation'"),
    ("mnist", "train[:5]", "split of dataset mnist must be one of train, validation, test, "
     "got 'train[:5]'"),
])
def test_unknown_names_are_refused(name, split, words):
    with pytest.raises(ValueError) as caught:
        data.load(name, split)
    assert str(caught.value) == words


def test_a_folder_in_the_place_of_a_name_is_helped(tmp_path):
    with pytest.raises(ValueError, match=rf"got '{tmp_path}': give folder:{tmp_path} for the pict"):
        data.load(str(tmp_path), "train")


# ---------------------------------------------------------------- images


def test_floats_are_fractions_of_the_scale():
    some = numbered(5)
    assert some.floats().dtype == np.float32
    np.testing.assert_array_equal(some.floats([4, 1])[:, 0, 0, 0], np.float32([4, 1]) / 255)
    np.testing.assert_array_equal(grey(2).floats(), grey(2).pixels)


def test_the_mean_image_is_in_fractions_of_the_scale():
    mean = numbered(5).mean()
    assert mean.shape == SHAPE and mean.dtype == np.float64
    np.testing.assert_allclose(mean, 2 / 255)


@pytest.mark.parametrize("pixels, scale, words", [
    (np.zeros((3, 28, 28)), 1, "[M, H, W, C]"),
    (np.zeros((0, 28, 28, 1)), 1, "[M, H, W, C]"),
    (np.full((1, 2, 2, 1), 2, np.uint8), 1, "[0, 1]"),  # grey levels where 0 and 1 are expected
    (np.full((1, 2, 2, 1), -1.0), 255, "[0, 255]"),
    (np.full((1, 2, 2, 1), np.nan), 1, "[0, 1]"),
])
def test_images_out_of_shape_or_range_are_refused(pixels, scale, words):
    with pytest.raises(ValueError, match="pixels of arrays/train must be") as caught:
        Images(pixels, scale)
    assert words in str(caught.value)


# ---------------------------------------------------------------- the fixed draw


def test_the_fixed_draw_differs_between_splits_and_sets():
    some = grey(5)
    validation = Images(some.pixels, 1, split="validation")
    other = Images(some.pixels, 1, name="other")
    drawn = [i.binarized().pixels for i in (some, validation, other)]
    assert not any((a == b).all() for a, b in itertools.combinations(drawn, 2))


def test_the_fixed_draw_does_not_depend_on_how_many_images_are_drawn_at_once():
    many = Images(np.full((2003, *SHAPE), 51, np.uint8), 255).binarized()
    assert many.pixels.dtype == np.uint8 and many.scale == 1
    draws = noise.uniform(zlib.crc32(b"arrays/train"), noise.STATIC, 0, 2003, SHAPE)
    np.testing.assert_array_equal(many.pixels, draws.numpy() < np.float32(0.2))
