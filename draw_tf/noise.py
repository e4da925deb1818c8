"""Standard normal noise for the latent variables, a pure function of what it is for.

Letters in shapes: T steps, N images, Z latent variables.
"""

import numpy as np
import tensorflow as tf

from draw_tf import philox

TRAINING = 1  # the use that the noise of training is folded with


def noise_for(seed, use, number, shape):
    """Standard normal noise of one batch, a pure function of its arguments."""
    key = tf.random.experimental.stateless_fold_in([seed, use], number)
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
    noise = philox.normal(sample, philox.EVALUATION, first, count,
                          [glimpses, latent_size])  # [count, T, Z]
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
