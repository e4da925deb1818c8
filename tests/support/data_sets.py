"""Images that the tests of this room share."""

import numpy as np

from draw_tf import data
from draw_tf.data import Images

SHAPE = (4, 3, 2)  # 24 pixels


def numbered(count):
    """Images that show their own index: every pixel of image i is i / 255."""
    pixels = np.arange(count, dtype=np.uint8)[:, None, None, None]
    return Images(np.broadcast_to(pixels, (count, *SHAPE)), 255)


def grey(count, level=0.3, shape=SHAPE):
    """Float images of one level."""
    return Images(np.full((count, *shape), level, np.float32), 1)


def noisy(count, shape=SHAPE):
    """Float images no two of which are alike, nor any two pixels."""
    return Images(np.random.RandomState(0).rand(count, *shape).astype(np.float32), 1)


def steps(images, count, **options):
    """The first `count` elements of the training stream, [count, N/R, H, W, C]."""
    dataset = data.train_dataset(images, **options)
    return np.stack([element.numpy() for element in dataset.take(count)])
