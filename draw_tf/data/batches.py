"""Batches of a split as a function of seed and step.

A training batch is computed from its step number alone: position p = step * batch_size + i of the
endless stream holds image p mod M of epoch p div M's own shuffle, and the draws of dynamic
binarization belong to positions too. So there is no iterator state to save, resuming is exact, and
devices that share a batch see what one device would.
"""

import math
from collections.abc import Iterable

import tensorflow as tf

from draw_tf import noise
from draw_tf.config import TrainConfig, check_whole
from draw_tf.data.images import Images
from draw_tf.errors import ConfigError

_CHUNK = 8  # steps prepared at once: four times as fast as one by one
_OPTIONS = tf.data.Options()
# A pipeline knows its own shards: a distribution strategy must not divide it again.
_OPTIONS.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
# There is nothing to tune, and the thread that would can hold up the end of a run by a minute.
_OPTIONS.autotune.enabled = False


def check_batch(batch_size: int, num_shards: int) -> None:
    """Raises ConfigError unless `batch_size` can be divided by `num_shards`."""
    if batch_size % num_shards:
        raise ConfigError(f"batch_size {batch_size} cannot be divided by {num_shards} devices")


def train_dataset(images: Images, *, batch_size: int, seed: int, start_step: int = 0,
                  binarize: str = "none", num_shards: int = 1,
                  shards: Iterable[int] | None = None) -> tf.data.Dataset:
    """The endless stream of training batches, each float32 [N/R, H, W, C] in [0, 1].

    Every image is seen once an epoch, in a new order every epoch; a batch may hold the end of one
    epoch and the start of the next, and several epochs where there are few images. A batch depends
    on `images`, `batch_size`, `seed`, `binarize` and the number of its step alone. Raises
    ConfigError for an argument out of its range.

    Args:
      images: what to train on.
      batch_size: N, images per step over all shards.
      seed, start_step: whole numbers from 0 to 2**31 - 1; the first batch is of step `start_step`.
      binarize: "none"; "static", the fixed draw of `Images.binarized`; or "dynamic", a new draw
        each time an image is seen, as "static" is too for images without end (`Images.make`).
      num_shards: R, replicas that share a batch; replica r has its rows r * N/R to (r+1) * N/R.
      shards: which of them this pipeline yields, one after the other for the same step; None is
        all. A worker among several gives those of its own replicas.
    """
    check_whole(0, seed=seed, start_step=start_step)
    check_whole(1, batch_size=batch_size, num_shards=num_shards)
    check_batch(batch_size, num_shards)
    TrainConfig(binarize=binarize)  # refuses what is no choice of this setting
    shards = list(range(num_shards) if shards is None else shards)
    if not shards or not set(shards) <= set(range(num_shards)):
        raise ConfigError(f"shards must be among 0..{num_shards - 1}, got {shards}")
    if binarize == "static" and not images.make:
        images, binarize = images.binarized(), "none"
    rows = batch_size // num_shards
    offsets = [shard * rows for shard in shards]  # [S], where each shard begins in a batch

    @tf.autograph.experimental.do_not_convert  # traced in less time
    def chunk(number):
        """The batches of a few steps, float32 [CHUNK * S, rows, H, W, C] for S shards here."""
        steps = start_step + number * _CHUNK + tf.range(_CHUNK, dtype=tf.int64)  # [CHUNK]
        # the positions of each batch's first image, and of all its images
        first = tf.reshape(steps[:, tf.newaxis] * batch_size + offsets, [-1])  # [CHUNK * S]
        positions = first[:, tf.newaxis] + tf.range(rows, dtype=tf.int64)  # [CHUNK * S, rows]
        positions = tf.reshape(positions, [-1])  # [CHUNK * S * rows]
        batches = (images.make(seed, positions) if images.make else
                   _chosen(images, _shuffled(positions, len(images), seed)))
        batches = tf.reshape(batches, [-1, rows, *images.shape])  # [CHUNK * S, rows, H, W, C]
        batches = tf.cast(batches, tf.float32) / images.scale
        if binarize != "none":
            draws = tf.stack([noise.uniform(seed, noise.DYNAMIC, position, rows, images.shape)
                              for position in tf.unstack(first)])  # [CHUNK * S, rows, H, W, C]
            batches = tf.cast(draws < batches, tf.float32)
        return batches

    # One thread keeps far ahead of training; more would only take its cores.
    dataset = tf.data.Dataset.counter().map(chunk).unbatch()
    return dataset.prefetch(2 * _CHUNK * len(shards)).with_options(_OPTIONS)


def eval_dataset(images: Images, batch_size: int, binarize: str = "none") -> tf.data.Dataset:
    """Every image once, in order, in pairs of a batch float32 [N, H, W, C] in [0, 1] and weights.

    The weights, float32 [N], are 1 for an image and 0 for the blank ones that fill the last batch.
    `batch_size` is N. `binarize` is as in training, but "dynamic" means the fixed draw too, so that
    every evaluation is of the same images. Raises ConfigError for bad arguments.
    """
    check_whole(1, batch_size=batch_size)
    TrainConfig(binarize=binarize)  # as above
    if binarize != "none":
        images = images.binarized()

    @tf.autograph.experimental.do_not_convert  # as above
    def element(number):
        indices = number * batch_size + tf.range(batch_size, dtype=tf.int64)  # [N]
        weights = tf.cast(indices < len(images), tf.float32)  # [N]
        batch = _chosen(images, tf.minimum(indices, len(images) - 1))  # [N, H, W, C]
        batch = tf.cast(batch, tf.float32) / images.scale
        return batch * weights[:, tf.newaxis, tf.newaxis, tf.newaxis], weights

    dataset = tf.data.Dataset.range(math.ceil(len(images) / batch_size)).map(element)
    return dataset.prefetch(2).with_options(_OPTIONS)


def _chosen(images, indices):
    # NumPy picks the images: a pipeline of TensorFlow would hold two more copies of them all.
    pixels = tf.numpy_function(images.pixels.__getitem__, [indices], images.pixels.dtype)
    return tf.ensure_shape(pixels, [*indices.shape, *images.shape])  # [K, H, W, C]


def _shuffled(positions, count, seed):
    """Which of `count` images stands at each of some positions of the stream, int64 [K].

    Four rounds of mixing, as in `tf.random.experimental.index_shuffle`, are too few: its orders of
    50,000 images under seeds (0, 0) and (0, 1) have a correlation of 0.75.
    """
    epochs = positions // count
    first, last = tf.reduce_min(epochs), tf.reduce_max(epochs)
    keys = noise.integers(seed, noise.ORDER, first, last - first + 1, 3)  # [epochs, 3]
    return tf.raw_ops.RandomIndexShuffle(
        index=positions % count, seed=tf.gather(keys, epochs - first),  # [K], [K, 3]
        max_index=tf.constant(count - 1, tf.int64), rounds=8)
