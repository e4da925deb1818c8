"""Random numbers that follow from what they are for, whatever is drawn beside them."""

import math

import tensorflow as tf

ALGORITHM = 1  # Philox's number among TensorFlow's generators
# Each use has a stream of its own under a key: the upper half of the generator's counter.
ORDER, DYNAMIC, STATIC, EVALUATION = range(4)


def uniform(key, stream, first, count, shape):
    """Draws in [0, 1) for items `first` to `first + count - 1`, float32 [count, *shape]."""
    return _draws(tf.raw_ops.StatelessRandomUniformV2, key, stream, first, count, shape)


def normal(key, stream, first, count, shape):
    """Standard normal draws for items `first` to `first + count - 1`, float32 [count, *shape]."""
    return _draws(tf.raw_ops.StatelessRandomNormalV2, key, stream, first, count, shape)


def integers(key, stream, first, count, size):
    """Whole numbers of 32 bits, uint32 [count, size] for at most four numbers an item."""
    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=tf.stack([count, 4]), key=_uint64([key]), counter=_uint64([first, stream]),
        alg=ALGORITHM, dtype=tf.uint32)[:, :size]  # [count, size]


def _draws(op, key, stream, first, count, shape):
    """The generator makes four numbers of each value of its counter, and an item owns a whole
    number of these values: its draws depend on key, stream and position alone.
    """
    size = math.prod(shape)
    values = math.ceil(size / 4)
    draws = op(shape=[count, 4 * values], key=_uint64([key]),
               counter=_uint64([first * values, stream]), alg=ALGORITHM,
               dtype=tf.float32)  # [count, 4 * values]
    return tf.reshape(draws[:, :size], [count, *shape])  # [count, *shape]


def _uint64(numbers):
    return tf.cast(tf.stack([tf.cast(number, tf.int64) for number in numbers]), tf.uint64)
