"""Standard normal noise for the latent variables, a pure function of what it is for.

Letters in shapes: T steps, N images, Z latent variables.
"""

import math

import numpy as np
import tensorflow as tf

TRAINING, _EVALUATION = 1, 3  # streams of random numbers
_PHILOX = 1  # the number of this algorithm among TensorFlow's generators


def noise_for(seed, stream, number, shape):
    """Standard normal noise of one batch, a pure function of its arguments."""
    key = tf.random.experimental.stateless_fold_in([seed, stream], number)
    # the algorithm is named, so that all devices draw the same
    return tf.random.stateless_normal(shape, key, alg="philox")


def evaluation_noise(sample, first, count, glimpses, latent_size):
    """The noise that images of a data set are evaluated with.

    An image's noise depends on the image's number and on `sample`, not on the batch it is in: a
    data set has the same bound at every batch size.

    Args:
      sample: a whole number; each stands for other noise.
      first, count: the images number `first` to `first + count - 1` of the data set.
      glimpses, latent_size: T and Z.

    Returns:
      [T, count, Z].
    """
    size = glimpses * latent_size
    # the generator makes four numbers of each value of its counter
    values = math.ceil(size / 4)
    draws = tf.raw_ops.StatelessRandomNormalV2(
        shape=[count, 4 * values], key=tf.constant([sample], tf.uint64),
        counter=tf.constant([first * values, _EVALUATION], tf.uint64), alg=_PHILOX,
        dtype=tf.float32)  # [count, 4 * values]
    noise = tf.reshape(draws[:, :size], [count, glimpses, latent_size])  # [count, T, Z]
    return tf.transpose(noise, [1, 0, 2])  # [T, count, Z]


def between(first, last, num):
    """Spherical interpolation, which keeps Gaussian noise as likely as its ends.

    Args:
      first, last: [T, 1, Z].
      num: how many points, the ends among them.

    Returns:
      [T, num, Z].
    """
    cosine = np.sum(first * last) / (np.linalg.norm(first) * np.linalg.norm(last))
    angle = np.arccos(np.clip(cosine, -1, 1))
    way = np.linspace(0, 1, num)[:, np.newaxis]  # [num, 1]
    return (np.sin((1 - way) * angle) * first + np.sin(way * angle) * last) / np.sin(angle)
