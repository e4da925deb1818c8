"""What is made of the digits that ship: digits in colour, and two at once."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf

from draw_tf import data
from draw_tf.data import batches, digits
from tests.support.data_sets import steps


@pytest.mark.parametrize("split, each", [("train", 450), ("test", 50)])
def test_labels_say_which_digit_an_image_is(split, each):
    images = data.load("digits", split)
    assert [*np.bincount(images.labels)] == [each] * 10
    # a one has least ink, and a zero has none in its middle
    ink = [images.pixels[images.labels == digit].mean() for digit in range(10)]
    middle = images.pixels[images.labels == 0, 13:15, 13:15].mean()
    assert np.argmin(ink) == 1 and middle < 20
    for same in (images.binarized(), data.load("colour_digits", split)):
        np.testing.assert_array_equal(same.labels, images.labels)
    assert data.load("two_digits", split).labels is None


# ---------------------------------------------------------------- colour


@pytest.mark.parametrize("split, count", [("train", 4500), ("test", 500)])
def test_digits_in_colour_are_the_digits_that_ship(split, count):
    colour, grey = data.load("colour_digits", split), data.load("digits", split)
    assert len(colour) == count and colour.shape == (28, 28, 3)
    assert colour.pixels.dtype == np.uint8 and colour.scale == 255
    ink, ground = digits.colours(np.arange(count) + (0 if split == "train" else 4500))  # [M, 3]
    for index in (0, 1, count - 1):
        mixed = ground[index] + grey.floats([index])[0] * (ink - ground)[index]  # [28, 28, 3]
        np.testing.assert_allclose(colour.floats([index])[0], mixed, atol=0.51 / 255)


def test_ink_is_well_apart_from_its_ground():
    ink, ground = digits.colours(np.arange(5000))
    for colour in (ink, ground):
        assert colour.shape == (5000, 3) and colour.min() >= 0 and colour.max() <= 1
    assert ((ink - ground) @ digits.LUMA).min() > 0.5


@pytest.mark.parametrize("first", [0, 4500])
def test_colours_go_over_the_whole_circle_in_both_splits(first):
    hues = np.array([[colorsys.rgb_to_hsv(*colour)[0] for colour in colours]
                     for colours in digits.colours(np.arange(first, first + 500))])  # [2, 500]
    together = np.histogram2d(*hues, bins=5, range=[[0, 1]] * 2)[0]  # of ink and ground
    assert together.min() > 10  # 20 on average


# ---------------------------------------------------------------- two digits


@pytest.fixture(scope="module")
def pairs():
    return data.load("two_digits", "test")


def test_two_digits_have_the_promised_shape_and_range(pairs):
    assert len(pairs) == 500 and pairs.shape == (60, 60, 1)
    assert pairs.pixels.dtype == np.uint8 and pairs.scale == 255
    assert len({image.tobytes() for image in pairs.pixels}) == 500
    train = data.load("two_digits", "train")
    assert len(train) == 4500
    single = data.load("digits", "train").pixels
    assert train.pixels.mean() * 60**2 == pytest.approx(2 * single.mean() * 28**2, rel=0.05)


def test_digits_are_added_and_clipped_and_lie_anywhere_inside():
    levels = np.full((1, 50, 40, 1), 200, np.uint8)  # one "digit", which has 11 * 21 places
    images = digits.two(levels, 0, tf.range(1500, dtype=tf.int64)).numpy()[..., 0]  # [M, 60, 60]
    assert set(np.unique(images)) == {0, 200, 255}
    layers = np.select([images == 255, images == 200], [2, 1])  # [M, 60, 60]
    assert (layers.sum(axis=(1, 2)) == 2 * 50 * 40).all()  # none lies outside, even in part
    drawn = layers.sum(axis=0)  # [60, 60]
    corners = drawn[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.min() > 2 and corners.max() < 30  # 13 on average
    np.testing.assert_allclose(drawn, drawn[::-1, ::-1], atol=0.05 * 2 * 1500)  # evenly spread


def test_both_digits_are_drawn_from_all():
    levels = np.array([1, 20], np.uint8).reshape(2, 1, 1, 1)
    sums = digits.two(levels, 0, tf.range(400, dtype=tf.int64)).numpy().sum(axis=(1, 2, 3))  # [400]
    counts = {total: (sums == total).sum() for total in (2, 21, 40)}
    assert sum(counts.values()) == 400
    assert 70 < counts[2] < 130 and 160 < counts[21] < 240 and 70 < counts[40] < 130  # 3.5 sigma


def test_the_images_to_evaluate_on_are_fixed_and_no_training_images(pairs):
    np.testing.assert_array_equal(data.load("two_digits", "test").pixels, pairs.pixels)
    evaluated, _ = next(iter(data.eval_dataset(pairs, 500)))
    np.testing.assert_array_equal(evaluated, pairs.floats())
    assert not pairs.binarized().make  # its draw is fixed too
    trained = steps(pairs, 1, batch_size=50, seed=0)[0]
    trained, evaluated = (set(map(bytes, images)) for images in (trained, pairs.floats()))
    assert not trained & evaluated


@pytest.mark.parametrize("binarize", ["none", "static", "dynamic"])
def test_training_images_are_new_without_end_and_follow_from_seed_and_step(pairs, binarize):
    options = dict(batch_size=6, binarize=binarize)
    whole = steps(pairs, 20, seed=1, **options)  # [20, 6, 60, 60, 1]
    assert len({image.tobytes() for batch in whole for image in batch}) == 120
    assert (set(np.unique(whole)) == {0, 1}) == (binarize != "none")
    for start in (8, 13):
        resumed = steps(pairs, 20 - start, seed=1, start_step=start, **options)
        np.testing.assert_array_equal(resumed, whole[start:])
    assert (steps(pairs, 1, seed=2, **options)[0] != whole[0]).any()


@pytest.mark.parametrize("binarize", ["none", "static"])
def test_shards_of_two_digits_together_are_the_batch_of_one_device(pairs, binarize, monkeypatch):
    monkeypatch.setattr(batches, "_CHUNK", 2)  # a smaller graph
    options = dict(batch_size=6, seed=1, start_step=3, binarize=binarize)
    whole = steps(pairs, 4, **options)  # [4, 6, 60, 60, 1]
    shards = steps(pairs, 12, num_shards=3, **options)  # [12, 2, 60, 60, 1]
    np.testing.assert_array_equal(shards.reshape(whole.shape), whole)
    worker = steps(pairs, 8, num_shards=3, shards=[1, 2], **options)
    np.testing.assert_array_equal(worker.reshape(4, 4, 60, 60, 1), whole[:, 2:])
