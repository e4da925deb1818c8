import itertools
import logging
import runpy
import sys

import numpy as np
import pytest
import requests
import tensorflow as tf
import tensorflow_datasets as tfds

from draw_tf import config, data, download, philox
from draw_tf.data import Images

SHAPE = (4, 3, 2)  # 24 pixels


def numbered(count):
    """Images that show their own index: every pixel of image i is i / 255."""
    pixels = np.arange(count, dtype=np.uint8)[:, None, None, None]
    return Images(np.broadcast_to(pixels, (count, *SHAPE)), 255)


def grey(count, level=0.3, shape=SHAPE):
    """Float images of one level."""
    return Images(np.full((count, *shape), level, np.float32), 1)


def noise(count, shape=SHAPE):
    """Float images no two of which are alike, nor any two pixels."""
    return Images(np.random.RandomState(0).rand(count, *shape).astype(np.float32), 1)


def steps(images, count, **options):
    """The first `count` elements of the training stream, [count, N/R, H, W, C]."""
    dataset = data.train_dataset(images, **options)
    return np.stack([element.numpy() for element in dataset.take(count)])


def indices_of(batches):
    """Which of the numbered images stand in `batches`, in order."""
    return np.rint(np.asarray(batches)[..., 0, 0, 0] * 255).astype(int).ravel()


# The digits that ship.


def test_digits_have_the_promised_shape_and_range():
    train, test = data.load("digits", "train"), data.load("digits", "test")
    assert (len(train), len(test)) == (4500, 500)
    assert train.shape == test.shape == (28, 28, 1)
    for images in (train, test):
        assert images.pixels.dtype == np.uint8 and images.scale == 255
        assert (images.pixels.min(), images.pixels.max()) == (0, 255)
    # MNIST's mean grey level is 0.1307; its corners are black and its ink is in the middle.
    assert train.floats().mean() == pytest.approx(0.1307, abs=0.002)
    assert train.pixels[:, 0, 0].max() == 0 and train.floats()[:, 14, 14].mean() > 0.3


def test_no_digit_is_in_both_splits_or_twice():
    train, test = (data.load("digits", split).pixels for split in ("train", "test"))
    distinct = {image.tobytes() for image in np.concatenate([train, test])}
    assert len(distinct) == 5000


def test_digits_hold_every_class_in_equal_number_and_mixed_order():
    with np.load(data.__file__.replace("data.py", "digits.npz"), allow_pickle=False) as arrays:
        labels = {split: arrays[f"{split}_labels"] for split in ("train", "test")}
        images = arrays["train"].astype(np.float32).reshape(4500, -1) / 255
        test_images = arrays["test"].astype(np.float32).reshape(500, -1) / 255
    assert np.bincount(labels["train"]).tolist() == [450] * 10
    assert np.bincount(labels["test"]).tolist() == [50] * 10
    assert (np.diff(labels["train"].astype(int)) == 0).mean() == pytest.approx(0.1, abs=0.02)
    # The labels belong to the images: the class with the nearest mean is most often right.
    means = np.stack([images[labels["train"] == digit].mean(axis=0) for digit in range(10)])
    distances = np.square(test_images[:, None] - means).sum(axis=-1)  # [500, 10]
    assert (distances.argmin(axis=1) == labels["test"]).mean() > 0.75


def test_digits_need_no_tensorflow_datasets(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)  # importing it now fails
    for module in (download, data):
        runpy.run_path(module.__file__)  # importing these does not import it
    assert len(data.load("digits", "test")) == 500


# Images.


def test_floats_are_fractions_of_the_scale():
    images = numbered(5)
    assert images.floats().dtype == np.float32
    np.testing.assert_array_equal(images.floats([4, 1])[:, 0, 0, 0], np.float32([4, 1]) / 255)
    np.testing.assert_array_equal(grey(2).floats(), grey(2).pixels)


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


# The order of training images.


@pytest.mark.parametrize("count, batch_size", [(1, 1), (2, 1), (5, 2), (23, 7), (64, 64), (200, 9)])
def test_every_epoch_shows_every_image_once(count, batch_size):
    images = numbered(count)
    batches = steps(images, 3 * count, batch_size=batch_size, seed=0)
    epochs = indices_of(batches)[:3 * count].reshape(3, count)
    for epoch in epochs:
        assert sorted(epoch) == list(range(count))


def test_every_epoch_and_every_seed_has_its_own_order():
    images = numbered(250)
    orders = [indices_of(steps(images, 3, batch_size=250, seed=seed)).reshape(3, 250)
              for seed in (0, 1, 2)]
    orders = np.concatenate(orders)  # [9, 250]
    unlike = np.abs(np.corrcoef(np.concatenate([[np.arange(250)], orders])) - np.eye(10))
    assert unlike.max() < 0.3  # 4.7 standard deviations of a correlation of 250


def test_orders_of_a_large_set_are_not_correlated():
    # Catches a weak shuffle: over 50,000 images TensorFlow's default one repeats itself.
    count = 50_000
    epochs = data._shuffled(tf.range(4 * count, dtype=tf.int64), count, seed=0)
    epochs = epochs.numpy().reshape(4, count)
    unlike = np.abs(np.corrcoef(np.concatenate([[np.arange(count)], epochs])) - np.eye(5))
    assert unlike.max() < 0.025  # 5.6 standard deviations
    assert (np.sort(epochs) == np.arange(count)).all()


@pytest.mark.parametrize("binarize", config.BINARIZE)
def test_a_later_start_gives_the_same_batches_bit_for_bit(binarize):
    images = data.load("digits", "test")
    options = dict(batch_size=96, seed=3, binarize=binarize)
    whole = steps(images, 26, **options)  # nearly five epochs
    assert len({batch.tobytes() for batch in whole}) == 26
    for start in (5, 8, np.int64(19)):  # steps are prepared eight at once: inside such a group too
        resumed = steps(images, 26 - start, start_step=start, **options)
        np.testing.assert_array_equal(resumed, whole[start:])


@pytest.mark.parametrize("binarize", config.BINARIZE)
@pytest.mark.parametrize("shape", [SHAPE, (3, 3, 1)])  # whole numbers of draws, and not
def test_a_step_does_not_depend_on_the_steps_prepared_with_it(binarize, shape, monkeypatch):
    images = noise(11, shape)
    options = dict(batch_size=4, seed=5, binarize=binarize)
    together = steps(images, 19, **options)
    monkeypatch.setattr(data, "_CHUNK", 1)
    np.testing.assert_array_equal(steps(images, 19, **options), together)


@pytest.mark.parametrize("binarize", config.BINARIZE)
def test_batches_of_any_size_cut_one_stream_that_goes_beyond_32_bits(binarize):
    images = noise(11)
    options = dict(seed=0, binarize=binarize)
    fours = steps(images, 4, batch_size=4, start_step=2**30, **options)  # from position 2**32 on
    eights = steps(images, 2, batch_size=8, start_step=2**29, **options)
    np.testing.assert_array_equal(np.concatenate(fours), np.concatenate(eights))
    assert (fours != steps(images, 4, batch_size=4, **options)).any()


@pytest.mark.parametrize("binarize", config.BINARIZE)
@pytest.mark.parametrize("shape", [SHAPE, (3, 3, 1)])
def test_shards_together_are_the_batch_of_one_device(binarize, shape):
    images = noise(20, shape)
    options = dict(batch_size=6, seed=1, start_step=3, binarize=binarize)
    whole = steps(images, 10, **options)  # [10, 6, H, W, C]
    shards = steps(images, 30, num_shards=3, **options)  # [30, 2, H, W, C], a step's together
    np.testing.assert_array_equal(shards.reshape(whole.shape), whole)
    for here in ([0], [2], range(1, 3), range(3)):  # the replicas of one worker
        expected = whole.reshape(10, 3, 2, *shape)[:, here].reshape(-1, 2, *shape)
        worker = steps(images, 10 * len(here), num_shards=3, shards=here, **options)
        np.testing.assert_array_equal(worker, expected)


@pytest.mark.parametrize("binarize", config.BINARIZE)
def test_an_element_has_a_fixed_shape(binarize):
    dataset = data.train_dataset(numbered(9), batch_size=6, seed=0, binarize=binarize, num_shards=2)
    assert dataset.element_spec == tf.TensorSpec((3, *SHAPE), tf.float32)


def test_a_mirrored_strategy_gets_a_shard_for_each_replica():
    images = numbered(20)
    devices = tf.config.list_logical_devices("CPU")
    strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    replicas = strategy.num_replicas_in_sync
    options = dict(batch_size=4 * replicas, seed=0)
    distributed = iter(strategy.distribute_datasets_from_function(
        lambda _: data.train_dataset(images, num_shards=replicas, **options)))
    for batch in steps(images, 10, **options):
        values = strategy.experimental_local_results(next(distributed))
        np.testing.assert_array_equal(np.concatenate(values), batch)


# Binarization.


def test_static_draw_is_fixed_and_knows_no_seed():
    images = grey(40)
    first, second = (steps(images, 2, batch_size=40, seed=seed, binarize="static")
                     for seed in (0, 1))
    rows = [sorted(image.tobytes() for image in batch) for batch in (*first, *second)]
    assert rows[0] == rows[1] == rows[2] == rows[3]  # the same draws, in four orders
    assert set(np.unique(first)) == {0, 1}
    assert len(set(rows[0])) == 40  # no draw serves two images
    assert first.mean() == pytest.approx(0.3, abs=0.05)  # 3.4 standard deviations


def test_static_draw_differs_between_splits_and_sets():
    images = grey(5)
    validation = Images(images.pixels, 1, split="validation")
    other = Images(images.pixels, 1, name="other")
    drawn = [i.binarized().pixels for i in (images, validation, other)]
    assert not any((a == b).all() for a, b in itertools.combinations(drawn, 2))


def test_static_draw_does_not_depend_on_how_many_images_are_drawn_at_once():
    many = grey(2003).binarized()
    assert many.pixels.dtype == np.uint8 and many.scale == 1
    draws = philox.uniform(data.zlib.crc32(b"arrays/train"), philox.STATIC, 0, 2003, SHAPE)
    np.testing.assert_array_equal(many.pixels, draws.numpy() < np.float32(0.3))


def test_dynamic_draw_is_new_in_every_epoch_and_of_the_right_mean():
    levels = np.linspace(0, 1, 5, dtype=np.float32)  # an image a level; 0 and 1 are certain
    images = Images(np.broadcast_to(levels[:, None, None, None], (5, 16, 16, 1)), 1)
    options = dict(batch_size=5, seed=0)
    shown = steps(images, 80, binarize="none", **options)[..., 0, 0, 0]  # [80, 5]
    drawn = steps(images, 80, binarize="dynamic", **options)  # [80, 5, 16, 16, 1]
    assert set(np.unique(drawn)) == {0, 1}
    for level in levels:
        draws = drawn[shown == level]  # [80, 16, 16, 1]
        assert len(draws) == 80
        assert draws.mean() == pytest.approx(level, abs=0.017 * (0 < level < 1))  # 5 sigma
        assert len({draw.tobytes() for draw in draws}) == (80 if 0 < level < 1 else 1)
    other_seed = steps(images, 80, binarize="dynamic", batch_size=5, seed=1)
    assert drawn.sum() != other_seed.sum()


def test_draws_of_one_stream_are_uniform_and_independent():
    draws = philox.uniform(7, philox.DYNAMIC, 10**12, 5000, (3, 3, 1)).numpy().reshape(5000, 9)
    assert draws.min() >= 0 and draws.max() < 1
    assert np.histogram(draws, 10, (0, 1))[0] == pytest.approx([4500] * 10, abs=320)  # 5 sigma
    assert np.abs(np.corrcoef(draws.T) - np.eye(9)).max() < 0.075  # 5.3 sigma


@pytest.mark.parametrize("binarize", config.BINARIZE)
def test_zeros_and_ones_are_left_as_they_are(binarize):
    pixels = np.random.RandomState(0).randint(0, 2, (30, *SHAPE)).astype(np.uint8)
    images = Images(pixels, 1, "binarized_mnist")
    batch = steps(images, 1, batch_size=30, seed=0, binarize=binarize)[0]
    assert sorted(map(bytes, batch.astype(np.uint8))) == sorted(map(bytes, pixels))
    evaluated = next(iter(data.eval_dataset(images, 30, binarize)))[0]
    np.testing.assert_array_equal(evaluated, pixels)


def test_a_draw_of_exactly_zero_leaves_black_black(monkeypatch):
    monkeypatch.setattr(philox, "uniform",
                        lambda key, stream, first, count, shape: tf.zeros([count, *shape]))
    black = grey(2, level=0.0)
    assert not black.binarized().pixels.any()
    assert not steps(black, 1, batch_size=2, seed=0, binarize="dynamic").any()


# Evaluation.


@pytest.mark.parametrize("count, batch_size", [(10, 4), (8, 4), (3, 5), (7, 1)])
def test_evaluation_sees_every_image_once_in_order_and_pads_with_weight_zero(count, batch_size):
    images = Images(numbered(count + 1).pixels[1:], 255)  # image i shows i + 1, none is blank
    batches, weights = zip(*data.eval_dataset(images, batch_size).as_numpy_iterator())
    assert {b.shape for b in batches} == {(batch_size, *SHAPE)}
    batches, weights = np.concatenate(batches), np.concatenate(weights)
    assert weights.sum() == count and weights.dtype == np.float32
    np.testing.assert_array_equal(batches[weights == 1], images.floats())
    assert not batches[weights == 0].any()
    assert len(weights) < count + batch_size


def test_evaluation_always_uses_the_fixed_draw():
    images = grey(6)
    fixed = images.binarized().floats()
    for binarize in ("static", "dynamic"):
        batch, _ = next(iter(data.eval_dataset(images, 6, binarize)))
        np.testing.assert_array_equal(batch, fixed)
    batch, _ = next(iter(data.eval_dataset(images, 6, "none")))
    np.testing.assert_array_equal(batch, images.floats())


# Through TensorFlow Datasets.


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Writes tiny data sets with the official builders and returns (data_dir, their images)."""
    random = np.random.RandomState(0)

    def prepare(name, high, **counts):
        builder = tfds.builder(name, data_dir=tmp_path)
        images = {split: random.randint(0, high, (count, 28, 28, 1)).astype(np.uint8)
                  for split, count in counts.items()}
        extra = {} if name == "binarized_mnist" else {"label": 0}
        splits = {split: [(i, {"image": image, **extra}) for i, image in enumerate(array)]
                  for split, array in images.items()}
        monkeypatch.setattr(type(builder), "_split_generators", lambda self, manager: splits)
        builder.download_and_prepare()
        return images

    return tmp_path, prepare


def as_set(pixels):
    return {image.tobytes() for image in pixels}


def test_mnist_is_read_through_tfds_without_a_word(prepared, monkeypatch, caplog, capsys):
    data_dir, prepare = prepared
    written = prepare("mnist", 256, train=9, test=4)
    caplog.set_level(logging.INFO)
    capsys.readouterr()
    caplog.clear()
    test = data.load("mnist", "test", data_dir)
    assert not [record for record in caplog.records if record.name == "absl"]
    assert capsys.readouterr().out == ""
    assert test.scale == 255 and str(test) == "mnist/test" and test.pixels.dtype == np.uint8
    assert as_set(test.pixels) == as_set(written["test"])
    again = data.load("mnist", "test", str(data_dir))
    np.testing.assert_array_equal(again.pixels, test.pixels)  # the order too

    monkeypatch.setitem(data._SPLITS, "mnist", {"train": "train[:7]", "validation": "train[7:]"})
    parts = [data.load("mnist", split, data_dir).pixels for split in ("train", "validation")]
    assert [len(part) for part in parts] == [7, 2]
    assert as_set(np.concatenate(parts)) == as_set(written["train"])


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_validation_is_the_last_10000_training_images(name, monkeypatch):
    def read(name, split, data_dir):
        return eval(split, {  # the specification is a slice of the split's 60,000 or 10,000
            "train": (np.arange(60_000) % 251).astype(np.uint8).reshape(-1, 1, 1, 1),
            "test": np.full((10_000, 1, 1, 1), 255, np.uint8)})

    monkeypatch.setattr(data, "read_split", read)
    train, validation, test = (data.load(name, split).pixels.ravel()
                               for split in ("train", "validation", "test"))
    np.testing.assert_array_equal(train, np.arange(50_000) % 251)
    np.testing.assert_array_equal(validation, np.arange(50_000, 60_000) % 251)
    assert len(test) == 10_000 and (test == 255).all()


def test_binarized_mnist_is_not_divided_by_255(prepared):
    data_dir, prepare = prepared
    written = prepare("binarized_mnist", 2, train=3, validation=5, test=4)
    for split, images in written.items():
        loaded = data.load("binarized_mnist", split, data_dir)
        assert as_set(loaded.pixels) == as_set(images)
        assert set(np.unique(loaded.floats())) == {0, 1}
        batch = steps(loaded, 1, batch_size=len(images), seed=0)
        assert batch.max() == 1 and batch.mean() == pytest.approx(images.mean())


def test_evaluation_split_is_one_the_data_set_has():
    assert {name: data.evaluation_split(name) for name in data.DATASETS} == {
        "digits": "test", "mnist": "validation", "fashion_mnist": "validation",
        "binarized_mnist": "validation"}


# Errors, each one sentence.


def one_sentence(message):
    return message and "\n" not in message and not message.rstrip(".").count(". ")


def no_network(url, **kwargs):
    raise requests.ConnectionError(f"cannot resolve {url}")


def test_without_network_a_sentence_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(requests, "head", no_network)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare",
                        lambda self: pytest.fail("would retry for minutes"))
    for name in ("mnist", "fashion_mnist", "binarized_mnist"):
        with pytest.raises(download.DataError) as caught:
            data.load(name, "test", tmp_path)
        message = str(caught.value)
        assert one_sentence(message)
        for words in (f"Dataset {name} ", str(tmp_path), "--dataset=digits", "--data_dir"):
            assert words in message
    assert isinstance(caught.value, RuntimeError)


def test_a_download_that_breaks_says_why(tmp_path, monkeypatch):
    def full(self):
        raise OSError("No space left on device\nand more")

    monkeypatch.setattr(requests, "head", lambda url, timeout: None)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", full)
    with pytest.raises(download.DataError, match="mnist .*No space left.*=digits") as caught:
        data.load("mnist", "train", tmp_path)
    assert one_sentence(str(caught.value))


@pytest.mark.parametrize("name, split, words", [
    ("cifar", "train", "dataset must be one of digits, mnist, fashion_mnist, binarized_mnist, "
     "got 'cifar'"),
    ("digits", "validation", "dataset digits has no split 'validation', only train, test"),
    ("mnist", "train[:5]", "dataset mnist has no split 'train[:5]', only train, validation, test"),
])
def test_unknown_names_are_refused(name, split, words):
    with pytest.raises(ValueError) as caught:
        data.load(name, split)
    assert str(caught.value) == words


@pytest.mark.parametrize("options, words", [
    (dict(batch_size=11), "batch_size 11 is more than the 10 images of arrays/train"),
    (dict(num_shards=3), "batch_size 4 can not be divided by 3 devices"),
    (dict(num_shards=2, shards=[2]), "shards must be among 0..1, got [2]"),
    (dict(num_shards=2, shards=[]), "shards must be among 0..1, got []"),
    (dict(batch_size=0), "batch_size must be a whole number from 1 to 2147483647, got 0"),
    (dict(num_shards=0), "num_shards must be a whole number from 1 to 2147483647, got 0"),
    (dict(start_step=-1), "start_step must be a whole number from 0 to 2147483647, got -1"),
    (dict(seed=-1), "seed must be a whole number from 0 to 2147483647, got -1"),
    (dict(seed=2**31), "seed must be a whole number from 0 to 2147483647, got 2147483648"),
    (dict(seed=0.5), "seed must be a whole number from 0 to 2147483647, got 0.5"),
    (dict(binarize="always"), "binarize must be one of none, static, dynamic, got 'always'"),
])
def test_bad_arguments_are_named(options, words):
    with pytest.raises(ValueError) as caught:
        data.train_dataset(numbered(10), **{"batch_size": 4, "seed": 0, **options})
    assert str(caught.value) == words


def test_a_batch_can_be_checked_before_there_is_a_pipeline():
    data.check_batch(numbered(10), 10)
    data.check_batch(numbered(10), 6, 3)
    with pytest.raises(ValueError, match="batch_size 11 is more than the 10 images of arrays/tra"):
        data.check_batch(numbered(10), 11, 11)
    with pytest.raises(ValueError, match="batch_size 6 can not be divided by 4 devices"):
        data.check_batch(numbered(10), 6, 4)


def test_evaluation_refuses_bad_arguments_too():
    with pytest.raises(ValueError, match="batch_size must be"):
        data.eval_dataset(numbered(3), 0)
    with pytest.raises(ValueError, match="binarize must be"):
        data.eval_dataset(numbered(3), 1, "always")


def test_names_agree_with_the_settings():
    assert tuple(data._SPLITS) == data.DATASETS == config.DATASETS
