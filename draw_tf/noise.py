"""Random numbers as pure functions of what they are for, whatever is drawn beside them.

Letters in shapes: T steps, N images, Z latent variables.
"""

import functools
import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf

Number: TypeAlias = int | tf.Tensor  # a whole one
_PHILOX = 1  # the generator's number in TensorFlow; named, so that all devices draw the same
# Each use has a stream of its own under a key: the upper half of the generator's counter.
ORDER, DYNAMIC, STATIC, EVALUATION, COMPOSE = range(5)


def noise_for(seed: int, step: int | tf.Tensor, shape: Sequence[int]) -> tf.Tensor:
    """Standard normal noise of a step of training, a pure function of its arguments."""
    # the 1 has no meaning, but another number would change what a seed trains
    with tf.device("CPU"):  # which hands the key to whatever device draws
        seed = tf.random.experimental.stateless_fold_in([seed, 1], step)  # [2]
        key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)  # [1], [2]
    return tf.raw_ops.StatelessRandomNormalV2(shape=shape, key=key, counter=counter, alg=_PHILOX)


def _draws(op, key, stream, first, count, shape, dtype=tf.float32) -> tf.Tensor:
    """Draws for items `first` to `first + count - 1`, [count, *shape]."""
    # Philox makes four numbers of each value of its counter, and an item owns a whole number of
    # these values: its draws depend on key, stream and position alone.
    size = math.prod(shape)
    values = math.ceil(size / 4)
    key, counter = (tf.cast(tf.stack([tf.cast(number, tf.int64) for number in numbers]), tf.uint64)
                    for numbers in ([key], [first * values, stream]))  # [1], [2]
    draws = op(shape=tf.stack([count, 4 * values]), key=key, counter=counter, alg=_PHILOX,
               dtype=dtype)  # [count, 4 * values]
    return tf.reshape(draws[:, :size], tf.stack([count, *shape]))  # [count, *shape]


# of key, stream, first, count and shape: draws in [0, 1), and standard normal ones
uniform = functools.partial(_draws, tf.raw_ops.StatelessRandomUniformV2)
normal = functools.partial(_draws, tf.raw_ops.StatelessRandomNormalV2)


def integers(key: Number, stream: int, first: Number, count: Number, size: int) -> tf.Tensor:
    """Whole numbers of 32 bits for items `first` to `first + count - 1`, uint32 [count, size]."""
    op = tf.raw_ops.StatelessRandomUniformFullIntV2
    return _draws(op, key, stream, first, count, [size], tf.uint32)


def evaluation_noise(sample: int, first: int, count: int, glimpses: int,
                     latent_size: int) -> tf.Tensor:
    """The noise [T, count, Z] that images `first` to `first + count - 1` are evaluated with.

    An image's noise depends on its number in the data set and on `sample`, a whole number, but not
    on the batch that it is in: a data set has the same bound at every batch size.
    """
    noise = normal(sample, EVALUATION, first, count, [glimpses, latent_size])  # [count, T, Z]
    return tf.transpose(noise, [1, 0, 2])  # [T, count, Z]


def between(first: np.ndarray, last: np.ndarray, num: int) -> np.ndarray:
    """Spherical interpolation, which keeps Gaussian noise as likely as its ends.

    Returns `num` points, [T, num, Z], from `first` to `last`, [T, 1, Z] each, both included.
    """
    cosine = np.sum(first * last) / (np.linalg.norm(first) * np.linalg.norm(last))
    angle = np.arccos(np.clip(cosine, -1, 1))
    way = np.linspace(0, 1, num)[:, np.newaxis]  # [num, 1]
    if np.sin(angle) < 1e-6:  # the ends lie in one direction: nothing to go around
        return (1 - way) * first + way * last  # [T, num, Z]
    return (np.sin((1 - way) * angle) * first + np.sin(way * angle) * last) / np.sin(angle)
