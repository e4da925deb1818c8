"""Batches as a function of seed and step, whatever the devices, the start and the batch size."""

import numpy as np
import pytest
import tensorflow as tf

from draw_tf import config, data, noise
from draw_tf.data import Images, batches
from tests.support.data_sets import SHAPE, grey, noisy, numbered, steps


def indices_of(batches):
    """Which of the numbered images stand in `batches`, in order."""
    return np.rint(np.asarray(batches)[..., 0, 0, 0] * 255).astype(int).ravel()


# ---------------------------------------------------------------- the order of training images


@pytest.mark.parametrize("count, batch_size", [(1, 1), (5, 2), (23, 7), (64, 64)])
def test_every_epoch_shows_every_image_once(count, batch_size):
    images = numbered(count)
    batches = steps(images, 3 * count, batch_size=batch_size, seed=0)
    epochs = indices_of(batches)[:3 * count].reshape(3, count)
    for epoch in epochs:
        assert sorted(epoch) == list(range(count))


@pytest.mark.parametrize("count, batch_size", [(1, 3), (5, 64), (7, 21)])
def test_a_batch_larger_than_the_data_holds_several_epochs(count, batch_size):
    images = numbered(count)
    batches = steps(images, 10, batch_size=batch_size, seed=3)
    assert batches.shape[:2] == (10, batch_size)
    stream = indices_of(batches)
    epochs = stream[:len(stream) // count * count].reshape(-1, count)
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
    # the same stream as in batches of another size, and from any step on
    np.testing.assert_array_equal(stream[:9], indices_of(steps(
        images, 9, batch_size=1, seed=3)))
    np.testing.assert_array_equal(batches[4:], steps(
        images, 6, batch_size=batch_size, seed=3, start_step=4))
    made = steps(grey(count), 2, batch_size=batch_size, seed=3, binarize="dynamic")
    assert set(np.unique(made)) == {0, 1} and made[0].std(axis=0).any()


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
    epochs = batches._shuffled(tf.range(4 * count, dtype=tf.int64), count, seed=0)
    epochs = epochs.numpy().reshape(4, count)
    unlike = np.abs(np.corrcoef(np.concatenate([[np.arange(count)], epochs])) - np.eye(5))
    assert unlike.max() < 0.025  # 5.6 standard deviations
    assert (np.sort(epochs) == np.arange(count)).all()


@pytest.mark.parametrize("binarize", config.BINARIZE)
def test_a_later_start_gives_the_same_batches_bit_for_bit(binarize):
    images = noisy(50)
    options = dict(batch_size=9, seed=3, binarize=binarize)
    whole = steps(images, 26, **options)  # nearly five epochs
    assert len({batch.tobytes() for batch in whole}) == 26
    for start in (8, np.int64(19)):  # steps are prepared eight at once: inside such a group too
        resumed = steps(images, 26 - start, start_step=start, **options)
        np.testing.assert_array_equal(resumed, whole[start:])


# shapes of a number of draws that is a multiple of four, which Philox makes at once, and not
@pytest.mark.parametrize("binarize, shape", [
    ("none", SHAPE), ("dynamic", SHAPE), ("dynamic", (3, 3, 1))])
def test_a_step_does_not_depend_on_the_steps_prepared_with_it(binarize, shape, monkeypatch):
    images = noisy(11, shape)
    options = dict(batch_size=4, seed=5, binarize=binarize)
    together = steps(images, 19, **options)
    monkeypatch.setattr(batches, "_CHUNK", 1)
    np.testing.assert_array_equal(steps(images, 19, **options), together)


@pytest.mark.parametrize("binarize", ["none", "dynamic"])
def test_batches_of_any_size_cut_one_stream_that_goes_beyond_32_bits(binarize):
    images = noisy(11)
    options = dict(seed=0, binarize=binarize)
    fours = steps(images, 4, batch_size=4, start_step=2**30, **options)  # from position 2**32 on
    eights = steps(images, 2, batch_size=8, start_step=2**29, **options)
    np.testing.assert_array_equal(np.concatenate(fours), np.concatenate(eights))
    assert (fours != steps(images, 4, batch_size=4, **options)).any()


@pytest.mark.parametrize("binarize, shape", [
    ("none", SHAPE), ("static", SHAPE), ("dynamic", SHAPE), ("dynamic", (3, 3, 1))])
def test_shards_together_are_the_batch_of_one_device(binarize, shape, monkeypatch):
    monkeypatch.setattr(batches, "_CHUNK", 2)  # a smaller graph
    images = noisy(20, shape)
    options = dict(batch_size=6, seed=1, start_step=3, binarize=binarize)
    whole = steps(images, 10, **options)  # [10, 6, H, W, C]
    shards = steps(images, 30, num_shards=3, **options)  # [30, 2, H, W, C], a step's together
    np.testing.assert_array_equal(shards.reshape(whole.shape), whole)
    for here in ([2], range(1, 3)):  # the replicas of one worker
        expected = whole.reshape(10, 3, 2, *shape)[:, here].reshape(-1, 2, *shape)
        worker = steps(images, 10 * len(here), num_shards=3, shards=here, **options)
        np.testing.assert_array_equal(worker, expected)


@pytest.mark.parametrize("binarize", config.BINARIZE)
def test_an_element_has_a_fixed_shape(binarize):
    dataset = data.train_dataset(numbered(9), batch_size=6, seed=0, binarize=binarize, num_shards=2)
    assert dataset.element_spec == tf.TensorSpec((3, *SHAPE), tf.float32)


def test_no_thread_tunes_a_pipeline():
    """That thread sleeps for up to a minute, and the end of a run can have to wait for it."""
    for dataset in (data.train_dataset(numbered(9), batch_size=3, seed=0),
                    data.eval_dataset(numbered(9), 3)):
        assert dataset.options().autotune.enabled is False


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


# ---------------------------------------------------------------- binarization


def test_static_draw_is_fixed_and_knows_no_seed():
    images = grey(40)
    first, second = (steps(images, 2, batch_size=40, seed=seed, binarize="static")
                     for seed in (0, 1))
    rows = [sorted(image.tobytes() for image in batch) for batch in (*first, *second)]
    assert rows[0] == rows[1] == rows[2] == rows[3]  # the same draws, in four orders
    assert set(np.unique(first)) == {0, 1}
    assert len(set(rows[0])) == 40  # no draw serves two images
    assert first.mean() == pytest.approx(0.3, abs=0.05)  # 3.4 standard deviations


def test_dynamic_draw_is_new_in_every_epoch_and_of_the_right_mean():
    levels = np.linspace(0, 1, 5, dtype=np.float32)  # one per image; 0 and 1 are certain
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
    other_seed = steps(images, 8, binarize="dynamic", batch_size=5, seed=1)
    assert drawn[:8].sum() != other_seed.sum()


@pytest.mark.parametrize("binarize", config.BINARIZE)
def test_zeros_and_ones_are_left_as_they_are(binarize):
    pixels = np.random.RandomState(0).randint(0, 2, (30, *SHAPE)).astype(np.uint8)
    images = Images(pixels, 1, "binarized_mnist")
    batch = steps(images, 1, batch_size=30, seed=0, binarize=binarize)[0]
    assert sorted(map(bytes, batch.astype(np.uint8))) == sorted(map(bytes, pixels))
    evaluated = next(iter(data.eval_dataset(images, 30, binarize)))[0]
    np.testing.assert_array_equal(evaluated, pixels)


def test_a_draw_of_exactly_zero_leaves_black_black(monkeypatch):
    monkeypatch.setattr(noise, "uniform",
                        lambda key, stream, first, count, shape: tf.zeros([count, *shape]))
    black = grey(2, level=0.0)
    assert not black.binarized().pixels.any()
    assert not steps(black, 1, batch_size=2, seed=0, binarize="dynamic").any()


# ---------------------------------------------------------------- evaluation


@pytest.mark.parametrize("count, batch_size", [(10, 4), (8, 4), (3, 5), (7, 1)])
def test_evaluation_sees_every_image_once_in_order_and_pads_with_weight_zero(count, batch_size):
    images = Images(numbered(count + 1).pixels[1:], 255)  # image i shows i + 1, none is blank
    batches, weights = zip(*data.eval_dataset(images, batch_size).as_numpy_iterator(), strict=True)
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


@pytest.mark.parametrize("options, words", [
    (dict(num_shards=3), "batch_size 4 cannot be divided by 3 devices"),
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
    data.check_batch(6, 3)
    with pytest.raises(ValueError, match="batch_size 6 cannot be divided by 4 devices"):
        data.check_batch(6, 4)


def test_evaluation_refuses_bad_arguments_too():
    with pytest.raises(ValueError, match="batch_size must be"):
        data.eval_dataset(numbered(3), 0)
    with pytest.raises(ValueError, match="binarize must be"):
        data.eval_dataset(numbered(3), 1, "always")
