"""The digits that ship, and what is made of them: digits in colour, and two at once."""

import importlib.resources

import numpy as np
import tensorflow as tf

from draw_tf import noise

SIDE = 60  # pixels, of an image of two digits
LUMA = np.array([0.299, 0.587, 0.114])  # how light red, green and blue look


def read(name: str, split: str, *_) -> np.ndarray:
    """The digits of a split, uint8 [M, 28, 28, 1]: 4,500 of "train", 500 of "test"."""
    return _array(split)


def labels(split: str) -> np.ndarray:
    """Which digit each image of a split is, uint8 [M] from 0 to 9."""
    return _array(f"{split}_labels")


def _array(name):
    path = importlib.resources.files("draw_tf.data").joinpath("digits.npz")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return arrays[name]


def read_colour(name: str, split: str, *_) -> np.ndarray:
    """The digits of a split in colour, uint8 [M, 28, 28, 3]; the test split has colours of its own.

    A pixel is a mixture of the image's ink and ground, as much ink as the grey digit has.
    """
    share = read(name, split) / 255  # [M, 28, 28, 1], of ink
    indices = np.arange(len(share)) + {"train": 0, "test": 4500}[split]
    ink, ground = colours(indices)[:, :, np.newaxis, np.newaxis]  # [M, 1, 1, 3]
    return np.rint(255 * (share * ink + (1 - share) * ground)).astype(np.uint8)  # [M, 28, 28, 3]


def colours(indices: np.ndarray) -> np.ndarray:
    """The ink and the ground of images by their index [M], together [2, M, 3] in [0, 1].

    Both go over the whole circle of hues, and the ink is always the lighter one.
    """
    # Multiples of these two spread evenly over the unit square (Martin Roberts's R2 sequence).
    hues = np.outer([0.7548776662466927, 0.5698402909980532], indices) % 1  # [2, M]
    lightness = np.reshape([0.7, 0.15], [2, 1, 1])
    # the purest colours that have these hues and this lightness
    pure = np.clip(np.abs((hues[..., np.newaxis] * 6 + [0, 4, 2]) % 6 - 3) - 1, 0, 1)  # [2, M, 3]
    luma = (pure @ LUMA)[..., np.newaxis]  # [2, M, 1]
    darker = pure * lightness / luma  # [2, M, 3], mixed with black
    lighter = pure + (1 - pure) * (lightness - luma) / (1 - luma)  # [2, M, 3], mixed with white
    return np.where(lightness < luma, darker, lighter)  # [2, M, 3]


def two(digits: np.ndarray, key: int, numbers: tf.Tensor) -> tf.Tensor:
    """Images of two `digits` at random places, added and clipped: the paper's MultiMNIST.

    From digits uint8 [M, H, W, 1], makes the images of `numbers`, int64 [K], which lie close
    together, as uint8 [K, 60, 60, 1]. Image i depends on `digits`, `key` (a whole number) and i
    alone.
    """
    first, last = tf.reduce_min(numbers), tf.reduce_max(numbers)
    draws = noise.integers(key, noise.COMPOSE, first, last - first + 1, 4)  # [last - first + 1, 4]
    draws = tf.cast(tf.gather(draws, numbers - first), tf.int64)  # [K, 4]
    # [2K] each, the two digits of an image side by side; all values of `place` are places
    index, place = tf.unstack(tf.reshape(draws, [-1, 2]), axis=1)
    down, right = (SIDE - side for side in digits.shape[1:3])  # how far a digit may go
    image = tf.gather(digits, index % len(digits))  # [2K, H, W, 1]
    image = tf.pad(image, [[0, 0], [down, down], [right, right], [0, 0]])  # on black
    pixels = tf.range(SIDE, dtype=tf.int64)  # [60]
    rows = (down - place % (down + 1))[:, tf.newaxis] + pixels  # [2K, 60]
    columns = (right - place // (down + 1) % (right + 1))[:, tf.newaxis] + pixels  # [2K, 60]
    image = tf.gather(image, rows, axis=1, batch_dims=1)  # [2K, 60, 2 * 60 - W, 1]
    image = tf.gather(image, columns, axis=2, batch_dims=1)  # [2K, 60, 60, 1]
    one, other = tf.unstack(tf.reshape(image, [-1, 2, SIDE, SIDE, 1]), axis=1)  # [K, 60, 60, 1]
    return one + tf.minimum(other, 255 - one)  # [K, 60, 60, 1], clipped at 255
